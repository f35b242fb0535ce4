//! Pictures of every format, in their own pixel type and upright.

use image::{DynamicImage, ImageBuffer, Pixel};

use super::format::Format;
use super::{Encoded, bmp, jpeg, npy, png, tiff};
use crate::{DataError, Limits};

/// Decodes a picture in its own pixel type and applies its orientation.
pub(super) fn decode(file: &Encoded, limits: &Limits) -> Result<DynamicImage, DataError> {
    match Format::of(&file.bytes) {
        Some(Format::Png) => png::decode(file, limits),
        Some(Format::Jpeg) => jpeg::decode(file, limits),
        Some(Format::Bmp) => bmp::decode(file, limits),
        Some(Format::Tiff) => tiff::picture(file, limits),
        Some(Format::Npy) => npy::picture(file, limits),
        Some(Format::Ply | Format::Pcd) | None => Err(DataError::UnknownFormat {
            path: file.path.to_path_buf(),
            expected: "a PNG, JPEG, BMP, TIFF or NPY image",
        }),
    }
}

/// A picture of samples in rows; `None` where they are too few.
pub(super) fn from_raw<P: Pixel>(
    columns: u32,
    rows: u32,
    samples: Vec<P::Subpixel>,
    kind: impl Fn(ImageBuffer<P, Vec<P::Subpixel>>) -> DynamicImage,
) -> Option<DynamicImage> {
    ImageBuffer::from_raw(columns, rows, samples).map(kind)
}
