//! Colour and grey images.

use std::io;
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use ndarray::Array3;

use super::{Encoded, picture};
use crate::{DataError, Limits, atomic};

/// Reads a PNG, JPEG, BMP, TIFF or NPY image as red, green, blue: `[H, W, 3]`, 0..=255.
///
/// Grey and palette images are expanded, 16-bit values v become round(v / 257), alpha is dropped. Orientation tags
/// are applied: pixels lie as a viewer shows them. Colour profiles are not: values stay what the camera wrote.
///
/// # Errors
/// [`DataError::TooLarge`], [`DataError::UnknownFormat`] for any other format, [`DataError::Unsupported`] for a kind
/// of pixels that is not read, and [`DataError::Malformed`] for a damaged file; one that was cut short is never
/// returned in part.
pub fn image(file: &Encoded, limits: &Limits) -> Result<Array3<u8>, DataError> {
    let pixels = picture::decode(file, limits)?.into_rgb8();
    let (columns, rows) = pixels.dimensions();
    to_array(file.path, (rows as usize, columns as usize, 3), pixels.into_raw())
}

/// Reads an image as grey: `[H, W, 1]`, 0..=255. Colour is reduced to luma (Rec. 709); else as [`image()`].
///
/// # Errors
/// As [`image()`].
pub fn gray(file: &Encoded, limits: &Limits) -> Result<Array3<u8>, DataError> {
    let pixels = picture::decode(file, limits)?.into_luma8();
    let (columns, rows) = pixels.dimensions();
    to_array(file.path, (rows as usize, columns as usize, 1), pixels.into_raw())
}

/// Writes `[H, W, 3]` as an 8-bit RGB PNG, atomically.
///
/// # Errors
/// [`DataError::BadArgument`] when the last axis is not 3 or the image is empty; [`DataError::Write`].
pub fn write_png_rgb(path: &Path, pixels: &Array3<u8>) -> Result<(), DataError> {
    let (rows, columns, channels) = pixels.dim();
    let size = (u32::try_from(columns).unwrap_or(0), u32::try_from(rows).unwrap_or(0));
    if channels != 3 || size.0 == 0 || size.1 == 0 {
        let cause = format!("an array of {rows} x {columns} x {channels}; a picture is rows x columns x 3");
        return Err(DataError::bad_argument("write_png_rgb", cause));
    }
    let interleaved = pixels.as_standard_layout();
    let bytes = interleaved.as_slice().unwrap_or_default();
    atomic::write(path, |w| {
        PngEncoder::new(w)
            .write_image(bytes, size.0, size.1, ExtendedColorType::Rgb8)
            .map_err(io::Error::other)
    })
}

fn to_array(path: &Path, shape: (usize, usize, usize), pixels: Vec<u8>) -> Result<Array3<u8>, DataError> {
    Array3::from_shape_vec(shape, pixels).map_err(|e| DataError::malformed(path, e))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba};
    use ndarray::Array3;

    use super::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Encoded<'static> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        Encoded::new(Path::new("a picture"), bytes.into_inner())
    }

    #[test]
    fn colour_survives_a_png_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let pixels = Array3::from_shape_fn((5, 7, 3), |(i, j, c)| (i * 40 + j * 5 + c) as u8);
        write_png_rgb(&path, &pixels).unwrap();
        let limits = Limits::default();
        assert_eq!(image(&Encoded::read(&path, &limits).unwrap(), &limits).unwrap(), pixels);
    }

    #[test]
    fn sixteen_bits_round_to_eight() {
        let deep = ImageBuffer::<Rgb<u16>, _>::from_fn(256, 2, |x, y| Rgb([(x * 257 + y * 129) as u16; 3]));
        let file = encoded(DynamicImage::ImageRgb16(deep), ImageFormat::Png);
        let pixels = image(&file, &Limits::default()).unwrap();
        assert!((0..256).all(|x| pixels[(0, x, 0)] as usize == x));
        assert!((0..255).all(|x| pixels[(1, x, 0)] as usize == x + 1));
    }

    #[test]
    fn alpha_is_dropped_and_not_blended() {
        let clear = ImageBuffer::<Rgba<u8>, _>::from_pixel(2, 2, Rgba([10, 20, 30, 0]));
        let file = encoded(DynamicImage::ImageRgba8(clear), ImageFormat::Png);
        let pixels = image(&file, &Limits::default()).unwrap();
        assert_eq!(pixels.iter().copied().collect::<Vec<_>>(), [10, 20, 30].repeat(4));
    }

    #[test]
    fn grey_is_expanded_as_colour_and_kept_as_grey() {
        let grey = GrayImage::from_fn(6, 4, |x, y| Luma([(x * 30 + y) as u8]));
        let file = encoded(DynamicImage::ImageLuma8(grey), ImageFormat::Png);
        let colour = image(&file, &Limits::default()).unwrap();
        let single = gray(&file, &Limits::default()).unwrap();
        assert_eq!((colour.dim(), single.dim()), ((4, 6, 3), (4, 6, 1)));
        for ((i, j, _), &v) in colour.indexed_iter() {
            assert_eq!((v, single[(i, j, 0)]), ((j * 30 + i) as u8, v));
        }
    }

    #[test]
    fn the_content_decides_the_format() {
        let mut file = encoded(RgbImage::from_pixel(8, 8, Rgb([200, 100, 50])), ImageFormat::Jpeg);
        file.path = Path::new("misnamed.png");
        assert_eq!(image(&file, &Limits::default()).unwrap().dim(), (8, 8, 3));
    }

    #[test]
    fn a_jpeg_cut_short_is_refused() {
        let file = encoded(
            RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, (x ^ y) as u8])),
            ImageFormat::Jpeg,
        );
        for length in 0..file.bytes.len() {
            let cut = Encoded::new(file.path, &file.bytes[..length]);
            assert!(image(&cut, &Limits::default()).is_err(), "{length} of {} bytes", file.bytes.len());
        }
    }

    #[test]
    fn a_header_beyond_the_limits_is_refused_by_name() {
        let file = encoded(RgbImage::new(40, 30), ImageFormat::Png);
        let limits = Limits { max_pixels: 1199, ..Limits::default() };
        let error = image(&file, &limits).unwrap_err();
        assert!(error.to_string().contains("1200 pixels, the limit is 1199"), "{error}");
    }

    #[test]
    fn a_file_beyond_the_limits_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [0; 11]).unwrap();
        let limits = Limits { max_file_bytes: 10, ..Limits::default() };
        assert!(matches!(
            Encoded::read(file.path(), &limits),
            Err(DataError::TooLarge { what: "bytes", .. })
        ));
    }

    #[test]
    fn other_content_is_not_an_image() {
        let file = Encoded::new(Path::new("notes.txt"), b"notes");
        assert!(matches!(image(&file, &Limits::default()), Err(DataError::UnknownFormat { .. })));
    }
}
