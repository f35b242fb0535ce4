//! What the samples of a picture mean.

use image::DynamicImage;
use tiff::tags::{SampleFormat, Tag};

use super::Image;
use super::header::{BLACK_IS_ZERO, CMYK, PALETTE, RGB, WHITE_IS_ZERO, YCBCR, failed};
use crate::DataError;
use crate::decode::Encoded;
use crate::decode::picture::from_raw;

/// Grey or colour of 8 or 16 bits; alpha and other extra samples are dropped.
pub(super) fn picture(image: &mut Image<'_>, file: &Encoded) -> Result<DynamicImage, DataError> {
    let needed = match image.photometric {
        WHITE_IS_ZERO | BLACK_IS_ZERO | PALETTE => 1,
        RGB | YCBCR => 3,
        CMYK => 4,
        other => {
            let cause =
                format!("the TIFF's colours are of a kind that is not read (photometric {other}); store RGB");
            return Err(DataError::unsupported(file.path, cause));
        }
    };
    let narrow = [CMYK, YCBCR].contains(&image.photometric);
    let known = matches!(image.bits, 8 | 16) || (matches!(image.bits, 1 | 2 | 4) && needed == 1);
    if image.format != SampleFormat::Uint || !known || (narrow && image.bits != 8) {
        let cause = format!("the TIFF's samples are {}, a picture has 8 or 16 bits", image.kind());
        return Err(DataError::unsupported(file.path, cause));
    }
    if image.channels < needed {
        let cause = format!("the TIFF has {} samples a pixel, its colours need {needed}", image.channels);
        return Err(DataError::malformed(file.path, cause));
    }
    let palette = if image.photometric == PALETTE { palette(image, file)? } else { Vec::new() };
    let (w, h) = (image.columns as u32, image.rows as u32);
    let channels = image.channels;
    let picture = if image.bits == 16 && palette.is_empty() {
        let mut samples = keep(image.wide(file)?, channels, needed);
        if image.photometric == WHITE_IS_ZERO {
            samples.iter_mut().for_each(|v| *v = !*v);
        }
        match needed {
            1 => from_raw(w, h, samples, DynamicImage::ImageLuma16),
            _ => from_raw(w, h, samples, DynamicImage::ImageRgb16),
        }
    } else if !palette.is_empty() {
        let indices: Vec<u16> = match image.bits {
            16 => image.wide(file)?,
            _ => image.narrow(file)?.into_iter().map(u16::from).collect(),
        };
        let colour = |&index: &u16| palette.get(usize::from(index)).copied().unwrap_or_default();
        let pixels: Vec<[u8; 3]> = keep(indices, channels, 1).iter().map(colour).collect();
        from_raw(w, h, pixels.into_flattened(), DynamicImage::ImageRgb8)
    } else {
        let mut samples = keep(image.narrow(file)?, channels, needed);
        let most = 255 >> (8 - image.bits);
        match image.photometric {
            WHITE_IS_ZERO => samples.iter_mut().for_each(|v| *v = (most - *v) * (255 / most)),
            BLACK_IS_ZERO if most < 255 => samples.iter_mut().for_each(|v| *v *= 255 / most),
            CMYK => samples = samples.as_chunks().0.iter().flat_map(of_cmyk).collect(),
            YCBCR => samples = samples.as_chunks().0.iter().flat_map(of_ycbcr).collect(),
            _ => {}
        }
        match needed {
            1 => from_raw(w, h, samples, DynamicImage::ImageLuma8),
            _ => from_raw(w, h, samples, DynamicImage::ImageRgb8),
        }
    };
    picture.ok_or_else(|| DataError::malformed(file.path, "its pixels are fewer than its header promises"))
}

/// The first samples of every pixel.
fn keep<T: Copy>(samples: Vec<T>, channels: usize, kept: usize) -> Vec<T> {
    if channels == kept {
        return samples;
    }
    samples.chunks_exact(channels).flat_map(|pixel| &pixel[..kept]).copied().collect()
}

/// The colours of a palette image. Some writers store 8 bits where the format has 16.
fn palette(image: &mut Image<'_>, file: &Encoded) -> Result<Vec<[u8; 3]>, DataError> {
    let map = image.decoder.find_tag_unsigned_vec::<u16>(Tag::ColorMap).map_err(failed(file))?;
    let n = 1 << image.bits;
    let map = map
        .filter(|map| map.len() == 3 * n)
        .ok_or_else(|| DataError::malformed(file.path, "the palette of the TIFF has a wrong size"))?;
    let shift = if map.iter().all(|&v| v < 256) { 0 } else { 8 };
    Ok((0..n).map(|k| [map[k], map[n + k], map[2 * n + k]].map(|v| (v >> shift) as u8)).collect())
}

fn of_cmyk(&[c, m, y, k]: &[u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| {
        let (ink, black) = (255 - u32::from(ink), 255 - u32::from(k));
        ((ink * black + 127) / 255) as u8
    })
}

/// Rec. 601, full range, as JPEG has it.
fn of_ycbcr(&[y, cb, cr]: &[u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round() as u8)
}
