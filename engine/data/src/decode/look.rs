//! What a file holds, by its header: no pixel is decoded.

use super::format::Format;
use super::{Encoded, bmp, jpeg, npy, pcd, ply, png, tiff};
use crate::{DataError, Limits};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A picture: PNG, JPEG, BMP, and TIFF or NPY but for what may be measurements.
    Picture {
        /// `(rows, columns)`, upright.
        size: (usize, usize),
        /// Whether it has colour; a palette counts as colour.
        colour: bool,
        /// Bits a sample: 8 or 16.
        bits: u8,
    },
    /// A TIFF or NPY array, as measurements are stored.
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
    /// A PLY, PCD or NPY array with points.
    Cloud {
        /// How many points its header promises.
        points: u64,
        /// `(rows, columns)` where they are those of an image.
        size: Option<(usize, usize)>,
    },
}

/// Reads the header of a file in any format that is read here.
///
/// # Errors
/// [`DataError::TooLarge`], [`DataError::UnknownFormat`], [`DataError::Malformed`], [`DataError::Unsupported`].
pub fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    match Format::of(&file.bytes) {
        Some(Format::Png) => png::look(file, limits),
        Some(Format::Jpeg) => jpeg::look(file, limits),
        Some(Format::Bmp) => bmp::look(file, limits),
        Some(Format::Tiff) => tiff::look(file, limits),
        Some(Format::Npy) => npy::look(file, limits),
        Some(Format::Ply) => ply::look(file, limits),
        Some(Format::Pcd) => pcd::look(file, limits),
        None => Err(DataError::UnknownFormat {
            path: file.path.to_path_buf(),
            expected: "a PNG, JPEG or BMP image, a TIFF, a PLY or PCD cloud or an NPY array",
        }),
    }
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
        assert_eq!(look("cloud.ply").unwrap(), Look::Cloud { points: 2, size: None });
        assert!(matches!(look("notes.png"), Err(DataError::UnknownFormat { .. })));
    }
}
