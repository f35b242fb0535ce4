//! What a file holds, by its header: no pixel is decoded.

use std::io::Cursor;
use std::path::Path;

use ::image::codecs::jpeg::JpegDecoder;
use ::image::codecs::png::PngDecoder;
use ::image::{ColorType, ImageDecoder, ImageError, ImageFormat, guess_format};

use super::{Encoded, cloud, tiff};
use crate::{DataError, Limits};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A PNG or JPEG.
    Picture {
        /// `(rows, columns)`.
        size: (usize, usize),
        /// Whether it has colour; a palette counts as colour.
        colour: bool,
        /// Bits a sample: 8 or 16.
        bits: u8,
    },
    /// A TIFF, as measurements are stored.
    Raster {
        /// `(rows, columns)`.
        size: (usize, usize),
        /// Samples a pixel.
        channels: usize,
        /// Whether the samples are floats; else they are whole numbers.
        float: bool,
        /// Bits a sample.
        bits: u8,
    },
    /// A PLY with points.
    Cloud {
        /// How many points its header promises.
        points: u64,
    },
}

/// Reads the header of a file in any format that is read here.
///
/// # Errors
/// [`DataError::TooLarge`], [`DataError::UnknownFormat`], [`DataError::Malformed`],
/// [`DataError::Unsupported`].
pub fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let (path, bytes) = (file.path, &file.bytes[..]);
    if tiff::is_tiff(bytes) {
        return tiff::header(path, bytes, limits);
    }
    if cloud::is_ply(bytes) {
        return cloud::header(path, bytes, limits);
    }
    match guess_format(bytes) {
        Ok(ImageFormat::Png) => picture(path, PngDecoder::new(Cursor::new(bytes)), limits),
        Ok(ImageFormat::Jpeg) => picture(path, JpegDecoder::new(Cursor::new(bytes)), limits),
        _ => Err(DataError::UnknownFormat {
            path: path.to_path_buf(),
            expected: "a PNG or JPEG image, a TIFF or a PLY cloud",
        }),
    }
}

fn picture(
    path: &Path,
    decoder: Result<impl ImageDecoder, ImageError>,
    limits: &Limits,
) -> Result<Look, DataError> {
    let decoder = decoder.map_err(|e| DataError::malformed(path, e))?;
    let (columns, rows) = decoder.dimensions();
    let size = limits.check_size(path, columns, rows)?;
    let (colour, bits) = match decoder.color_type() {
        ColorType::L8 | ColorType::La8 => (false, 8),
        ColorType::L16 | ColorType::La16 => (false, 16),
        ColorType::Rgb16 | ColorType::Rgba16 => (true, 16),
        _ => (true, 8),
    };
    Ok(Look::Picture { size, colour, bits })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ::image::{DynamicImage, GrayImage, ImageBuffer, Luma, RgbImage};
    use ::tiff::encoder::{TiffEncoder, colortype};

    use super::*;

    #[test]
    fn the_header_tells_pictures_measurements_and_clouds_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let look =
            |name: &str| look(&Encoded::read(&at(name), &Limits::default()).unwrap(), &Limits::default());
        RgbImage::new(5, 4).save(at("colour.jpg")).unwrap();
        DynamicImage::from(GrayImage::new(5, 4)).save(at("grey.png")).unwrap();
        ImageBuffer::<Luma<u16>, Vec<u16>>::new(5, 4).save(at("deep.png")).unwrap();
        let tiff = |name: &str| TiffEncoder::new(fs::File::create(at(name)).unwrap()).unwrap();
        tiff("xyz.tiff").write_image::<colortype::RGB32Float>(5, 4, &[0.5; 60]).unwrap();
        tiff("depth.tiff").write_image::<colortype::Gray16>(5, 4, &[7; 20]).unwrap();
        let ply = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n\
                   property float z\nend_header\n1 2 3\n4 5 6\n";
        fs::write(at("cloud.ply"), ply).unwrap();
        fs::write(at("notes.png"), "no picture").unwrap();

        let size = (4, 5);
        assert_eq!(look("colour.jpg").unwrap(), Look::Picture { size, colour: true, bits: 8 });
        assert_eq!(look("grey.png").unwrap(), Look::Picture { size, colour: false, bits: 8 });
        assert_eq!(look("deep.png").unwrap(), Look::Picture { size, colour: false, bits: 16 });
        assert_eq!(look("xyz.tiff").unwrap(), Look::Raster { size, channels: 3, float: true, bits: 32 });
        assert_eq!(look("depth.tiff").unwrap(), Look::Raster { size, channels: 1, float: false, bits: 16 });
        assert_eq!(look("cloud.ply").unwrap(), Look::Cloud { points: 2 });
        assert!(matches!(look("notes.png"), Err(DataError::UnknownFormat { .. })));
    }
}
