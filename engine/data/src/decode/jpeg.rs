//! JPEG pictures.

use image::DynamicImage;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::picture::from_raw;
use super::{Encoded, Look, orientation};
use crate::{DataError, Limits};

/// Decodes a JPEG to grey or red, green, blue (from YCbCr, CMYK or YCCK) and applies its orientation.
pub(super) fn decode(file: &Encoded, limits: &Limits) -> Result<DynamicImage, DataError> {
    if !is_complete(&file.bytes) {
        return Err(DataError::malformed(file.path, "the JPEG ends before its end marker"));
    }
    let mut decoder = opened(file, limits)?;
    // As a look at the header finds it: data behind the first scan may hold another Exif block.
    let turned = orientation::of_exif(decoder.exif().map(Vec::as_slice));
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(|e| failed(file, &e))?;
    let (columns, rows) = decoder.dimensions().unwrap_or_default();
    let (columns, rows) = (columns as u32, rows as u32);
    let picture = if grey {
        from_raw(columns, rows, pixels, DynamicImage::ImageLuma8)
    } else {
        from_raw(columns, rows, pixels, DynamicImage::ImageRgb8)
    };
    let mut picture = picture
        .ok_or_else(|| DataError::malformed(file.path, "its pixels are fewer than its header promises"))?;
    picture.apply_orientation(turned);
    Ok(picture)
}

/// What a JPEG holds, by its header.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let decoder = opened(file, limits)?;
    let (columns, rows) = decoder.dimensions().unwrap_or_default();
    let turned = orientation::of_exif(decoder.exif().map(Vec::as_slice));
    let colour = decoder.input_colorspace() != Some(ColorSpace::Luma);
    Ok(Look::Picture { size: orientation::turned_size((rows, columns), turned), colour, bits: 8 })
}

/// Reads the headers and compares them with the limits.
fn opened<'a>(file: &'a Encoded, limits: &Limits) -> Result<JpegDecoder<ZCursor<&'a [u8]>>, DataError> {
    // Strict: where the data breaks off or a marker is out of place, the decoder would otherwise fill in grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&file.bytes[..]), options);
    decoder.decode_headers().map_err(|e| failed(file, &e))?;
    let (columns, rows) = decoder.dimensions().unwrap_or_default();
    limits.check_size(file.path, columns as u32, rows as u32)?;
    limits.check_expansion(file.path, columns as u64 * rows as u64, file.bytes.len())?;
    match Frame::find(&file.bytes) {
        None => Err(DataError::malformed(file.path, "the JPEG has no frame header where its markers lead")),
        Some(frame) if !frame.first_is_finest() => Err(DataError::unsupported(file.path, COARSE_FIRST)),
        Some(_) => Ok(decoder),
    }
}

fn failed(file: &Encoded, error: &DecodeErrors) -> DataError {
    match error {
        DecodeErrors::Unsupported(kind) => {
            DataError::unsupported(file.path, format!("a JPEG of a kind that is not read: {kind:?}"))
        }
        error => DataError::malformed(file.path, error),
    }
}

/// Whether an end marker follows the last scan. The decoder itself does not ask for it.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    // Inside a scan every 0xFF byte of data is followed by 0, so that neither marker occurs there.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    matches!((last([0xFF, 0xDA]), last([0xFF, 0xD9])), (Some(scan), Some(end)) if scan < end)
}

/// How many frames a stream may hold: markers that start one, but for the tables and the reserved marker among them.
pub(super) fn frames(bytes: &[u8]) -> usize {
    let starts = |pair: &&[u8]| pair[0] == 0xFF && starts_frame(pair[1]);
    bytes.windows(2).filter(starts).count()
}

fn starts_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

/// What the header of a frame says.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) columns: u32,
    pub(super) rows: u32,
    /// Name, sampling factors (across << 4 | down) and quantisation table of each component.
    components: &'a [[u8; 3]],
}

impl<'a> Frame<'a> {
    /// The first frame header of a stream; `None` where the markers before it lead nowhere.
    pub(super) fn find(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.get(2..)?;
        loop {
            let marker = *rest.get(1).filter(|_| rest[0] == 0xFF)?;
            if marker == 0xFF {
                // Fill bytes may stand before any marker.
                rest = &rest[1..];
                continue;
            }
            let length = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
            if starts_frame(marker) {
                let [_, h1, h0, w1, w0, samples] = *rest.get(4..10)? else { return None };
                let components = rest.get(10..10 + 3 * usize::from(samples))?.as_chunks().0;
                let [columns, rows] = [[w1, w0], [h1, h0]].map(|size| u16::from_be_bytes(size).into());
                return Some(Self { columns, rows, components });
            }
            rest = rest.get(2 + usize::from(length)..)?;
        }
    }

    pub(super) fn samples(self) -> usize {
        self.components.len()
    }

    /// Whether the first component has the samples of every other a whole number of times, as in all but made-up files.
    pub(super) fn first_is_finest(self) -> bool {
        let factors = |component: &[u8; 3]| [component[1] >> 4, component[1] & 15];
        self.components.first().map(factors).is_some_and(|[across, down]| {
            let covers =
                |[a, d]: [u8; 2]| a > 0 && d > 0 && across.is_multiple_of(a) && down.is_multiple_of(d);
            self.components.iter().map(factors).all(covers)
        })
    }
}

/// What to say where [`Frame::first_is_finest`] is not so. The decoder would take such a file, and write past its rows.
pub(super) const COARSE_FIRST: &str =
    "a JPEG whose first component is coarser than another, or no whole multiple of it";
