//! TIFF: the first image, whatever its strips, tiles, planes, compression and byte order.

mod colour;
mod header;
mod samples;

use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;

use image::DynamicImage;
use image::metadata::Orientation;
use ndarray::Array3;
use tiff::decoder::Decoder;
use tiff::tags::SampleFormat;

use super::{Encoded, Look, orientation};
use crate::{DataError, Limits, Mask};

/// The types of numbers that a measurement may be stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Floats.
    Floats,
    /// Floats, and 16- or 32-bit unsigned integers as depth cameras write them.
    FloatsOrDepth,
}

/// A file's bytes, which several decoders read.
#[derive(Clone)]
struct Bytes<'a>(Arc<Cow<'a, [u8]>>);

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads strips or tiles.
type Strips<'a> = Decoder<Cursor<Bytes<'a>>>;

/// A TIFF's first image: its header, compared with the limits, and the decoder of its strips or tiles.
struct Image<'a> {
    bytes: Bytes<'a>,
    decoder: Strips<'a>,
    /// What a decoder may take.
    limits: tiff::decoder::Limits,
    rows: usize,
    columns: usize,
    /// Samples a pixel.
    channels: usize,
    bits: u8,
    format: SampleFormat,
    photometric: u16,
    compression: u16,
    /// Whether each channel is stored as a plane of its own.
    planar: bool,
    orientation: Orientation,
}

/// Decodes a picture of 1, 2, 4, 8 or 16 bits a sample to grey or colour, upright.
pub(super) fn picture(file: &Encoded, limits: &Limits) -> Result<DynamicImage, DataError> {
    let mut image = Image::open(file, limits)?;
    let mut picture = colour::picture(&mut image, file)?;
    picture.apply_orientation(image.orientation);
    Ok(picture)
}

/// Decodes measurements to planes `[C, H, W]`, upright; the image must have `channels` samples a pixel.
pub(super) fn measurements(
    file: &Encoded,
    limits: &Limits,
    channels: usize,
    numbers: Numbers,
) -> Result<Array3<f32>, DataError> {
    let mut image = Image::open(file, limits)?;
    if image.channels != channels {
        let cause =
            format!("the TIFF has {} samples a pixel, this sensor kind needs {channels}", image.channels);
        return Err(DataError::unsupported(file.path, cause));
    }
    if image.photometric == header::WHITE_IS_ZERO {
        let cause = "the TIFF says that zero is white; measurements have no colour";
        return Err(DataError::unsupported(file.path, cause));
    }
    let whole = numbers == Numbers::FloatsOrDepth && matches!(image.bits, 16 | 32);
    match image.format {
        SampleFormat::IEEEFP => {}
        SampleFormat::Uint if whole => {}
        _ => {
            let found = image.kind();
            let wanted = match numbers {
                Numbers::Floats => "floats of 16, 32 or 64 bits",
                Numbers::FloatsOrDepth => "floats, or unsigned integers of 16 or 32 bits",
            };
            let cause = format!("the TIFF's samples are {found}; this sensor kind needs {wanted}");
            return Err(DataError::unsupported(file.path, cause));
        }
    }
    let planes = image.planes(file)?;
    Ok(orientation::turned(planes, image.orientation))
}

/// Per cell, whether any colour channel of a picture, or the one number of anything else, is above 0.
pub(super) fn positive(file: &Encoded, limits: &Limits) -> Result<Mask, DataError> {
    let mut image = Image::open(file, limits)?;
    if image.is_picture() {
        let mut picture = colour::picture(&mut image, file)?;
        picture.apply_orientation(image.orientation);
        return super::mask::of_picture(file, picture);
    }
    if image.channels != 1 {
        let cause = format!("the TIFF has {} numbers a pixel; a mask needs one", image.channels);
        return Err(DataError::unsupported(file.path, cause));
    }
    let planes = orientation::turned(image.planes(file)?, image.orientation);
    Ok(planes.index_axis_move(ndarray::Axis(0), 0).mapv(|v| v > 0.0))
}

/// What the first image holds, by its header.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let image = Image::open(file, limits)?;
    let size = orientation::turned_size((image.rows, image.columns), image.orientation);
    let grey = image.photometric <= header::BLACK_IS_ZERO;
    if image.is_picture() && !(grey && image.bits == 16) {
        return Ok(Look::Picture { size, colour: !grey, bits: image.bits.max(8) });
    }
    let float = image.format == SampleFormat::IEEEFP;
    Ok(Look::Raster { size, channels: image.channels, float, bits: image.bits })
}

impl Image<'_> {
    /// Whether the samples are those of pictures.
    fn is_picture(&self) -> bool {
        self.format == SampleFormat::Uint && self.bits <= 16
    }

    /// What the samples are, for messages.
    fn kind(&self) -> String {
        let kind = match self.format {
            SampleFormat::IEEEFP => "floats",
            SampleFormat::Uint => "unsigned integers",
            _ => "signed integers",
        };
        format!("{}-bit {kind}", self.bits)
    }
}
