//! BMP pictures.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError};

use super::{Encoded, Look};
use crate::{DataError, Limits};

/// Decodes a BMP; a palette of greys gives grey.
pub(super) fn decode(file: &Encoded, limits: &Limits) -> Result<DynamicImage, DataError> {
    let decoder = opened(file, limits)?;
    let grey = has_grey_palette(&decoder);
    let picture = DynamicImage::from_decoder(decoder).map_err(|e| failed(file, e))?;
    Ok(if grey { picture.into_luma8().into() } else { picture })
}

/// What a BMP holds, by its header.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let decoder = opened(file, limits)?;
    let (columns, rows) = decoder.dimensions();
    let colour = decoder.color_type() != ColorType::L8 && !has_grey_palette(&decoder);
    Ok(Look::Picture { size: (rows as usize, columns as usize), colour, bits: 8 })
}

fn opened<'a>(file: &'a Encoded, limits: &Limits) -> Result<BmpDecoder<Cursor<&'a [u8]>>, DataError> {
    let decoder = BmpDecoder::new(Cursor::new(&file.bytes[..])).map_err(|e| failed(file, e))?;
    let (columns, rows) = decoder.dimensions();
    limits.check_size(file.path, columns, rows)?;
    limits.check_expansion(file.path, u64::from(columns) * u64::from(rows) / 8, file.bytes.len())?;
    if overlaps(&file.bytes) == Some(true) {
        return Err(DataError::malformed(
            file.path,
            "its header says that the pixels begin inside the palette",
        ));
    }
    Ok(decoder)
}

/// Whether the pixels would begin before the palette ends; `None` where the header has no room for a palette's length.
fn overlaps(bytes: &[u8]) -> Option<bool> {
    let number = |at: usize| Some(u64::from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    let (pixels, header, colours) = (number(10)?, number(14)?, number(46)?);
    let bits = u32::from(u16::from_le_bytes(*bytes.get(28..)?.first_chunk()?));
    if header < 40 || !(1..=8).contains(&bits) {
        return None;
    }
    let colours = if colours == 0 { 1 << bits } else { colours.min(1 << bits) };
    Some(pixels < 14 + header + 4 * colours)
}

/// Grey cameras write one byte a pixel with a palette of greys.
fn has_grey_palette(decoder: &BmpDecoder<Cursor<&[u8]>>) -> bool {
    decoder.get_palette().is_some_and(|palette| palette.iter().all(|[r, g, b]| r == g && g == b))
}

fn failed(file: &Encoded, error: ImageError) -> DataError {
    match error {
        ImageError::Unsupported(e) => DataError::unsupported(file.path, e.to_string()),
        error => DataError::malformed(file.path, error),
    }
}
