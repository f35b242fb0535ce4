//! PNG pictures.

use std::io::Cursor;

use image::DynamicImage;
use image::metadata::Orientation;
use png::{BitDepth, ColorType, DecodingError, Reader, Transformations};

use super::picture::from_raw;
use super::{Encoded, Look, orientation};
use crate::{DataError, Limits};

/// What the decoder may take beside the pixels.
const OVERHEAD: usize = 64 << 20;

/// Decodes a PNG in its own pixel type; palettes and less than 8 bits are expanded.
///
/// All of it is read: without its end, or with a wrong checksum in a chunk that matters, it is damaged.
pub(super) fn decode(file: &Encoded, limits: &Limits) -> Result<DynamicImage, DataError> {
    let failed = |e: DecodingError| DataError::malformed(file.path, e);
    let mut reader = reader(file, limits)?;
    let size = reader.output_buffer_size().unwrap_or(usize::MAX);
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(failed)?;
    reader.finish().map_err(failed)?;
    let (w, h) = (frame.width, frame.height);
    let mut picture = match (frame.color_type, frame.bit_depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => from_raw(w, h, wide(&pixels), DynamicImage::ImageLuma16),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            from_raw(w, h, wide(&pixels), DynamicImage::ImageLumaA16)
        }
        (ColorType::Rgb, BitDepth::Sixteen) => from_raw(w, h, wide(&pixels), DynamicImage::ImageRgb16),
        (ColorType::Rgba, BitDepth::Sixteen) => from_raw(w, h, wide(&pixels), DynamicImage::ImageRgba16),
        (ColorType::Grayscale, _) => from_raw(w, h, pixels, DynamicImage::ImageLuma8),
        (ColorType::GrayscaleAlpha, _) => from_raw(w, h, pixels, DynamicImage::ImageLumaA8),
        (ColorType::Rgba, _) => from_raw(w, h, pixels, DynamicImage::ImageRgba8),
        _ => from_raw(w, h, pixels, DynamicImage::ImageRgb8),
    }
    .ok_or_else(|| DataError::malformed(file.path, "its pixels are fewer than its header promises"))?;
    picture.apply_orientation(upright(file));
    Ok(picture)
}

/// What a PNG holds, by its header.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let reader = reader(file, limits)?;
    let info = reader.info();
    let size = orientation::turned_size((info.height as usize, info.width as usize), upright(file));
    let colour = !matches!(info.color_type, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    Ok(Look::Picture { size, colour, bits: if info.bit_depth == BitDepth::Sixteen { 16 } else { 8 } })
}

/// Reads the header and compares it with the limits.
fn reader<'a>(file: &'a Encoded, limits: &Limits) -> Result<Reader<Cursor<&'a [u8]>>, DataError> {
    let failed = |e: DecodingError| DataError::malformed(file.path, e);
    let mut decoder = png::Decoder::new(Cursor::new(&file.bytes[..]));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(failed)?;
    limits.check_size(file.path, info.width, info.height)?;
    let stored = info.raw_bytes();
    limits.check_expansion(file.path, stored as u64, file.bytes.len())?;
    decoder.set_limits(png::Limits { bytes: stored.saturating_add(OVERHEAD) });
    decoder.read_info().map_err(failed)
}

/// The `eXIf` chunk may come before the pixels or after them.
fn upright(file: &Encoded) -> Orientation {
    let mut rest = file.bytes.get(8..).unwrap_or_default();
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if head.ends_with(b"eXIf") {
            return orientation::of_exif(tail.get(..length));
        }
        rest = tail.get(length.saturating_add(4)..).unwrap_or_default();
    }
    Orientation::NoTransforms
}

fn wide(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
}
