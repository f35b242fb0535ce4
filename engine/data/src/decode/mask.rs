//! Ground-truth masks.

use ::image::DynamicImage;

use super::format::Format;
use super::{Encoded, picture, tiff};
use crate::{DataError, Limits, Mask};

/// Reads a mask, `[H, W]`: defective where any colour channel is above 0 (a class id is as good as 255; alpha
/// does not count). Images of any bit depth, or a TIFF or NPY array of one number a pixel; upright, as [`super::image()`].
///
/// # Errors
/// As [`super::image()`]; [`DataError::Unsupported`] for JPEG, whose compression leaves values above 0 all over.
pub fn mask(file: &Encoded, limits: &Limits) -> Result<Mask, DataError> {
    match Format::of(&file.bytes) {
        Some(Format::Tiff) => tiff::positive(file, limits),
        Some(Format::Jpeg) => {
            Err(DataError::unsupported(file.path, "a JPEG cannot be a mask: it is not lossless; store a PNG"))
        }
        _ => of_picture(file, picture::decode(file, limits)?),
    }
}

/// Where any colour channel is above 0.
pub(super) fn of_picture(file: &Encoded, picture: DynamicImage) -> Result<Mask, DataError> {
    let (rows, columns) = (picture.height() as usize, picture.width() as usize);
    let cells = match picture {
        DynamicImage::ImageLuma8(grey) => grey.into_raw().into_iter().map(|v| v > 0).collect(),
        other => other.into_rgb16().pixels().map(|p| p.0.iter().any(|&v| v > 0)).collect(),
    };
    Mask::from_shape_vec((rows, columns), cells).map_err(|e| DataError::malformed(file.path, e))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;
    use std::path::Path;

    use ::image::{ImageBuffer, ImageFormat, Luma, LumaA};

    use super::*;
    use crate::shared_scans;

    fn read(image: DynamicImage, format: ImageFormat) -> Result<Vec<bool>, DataError> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        mask(&Encoded::new(Path::new("mask"), bytes.into_inner()), &Limits::default())
            .map(|m| m.into_raw_vec_and_offset().0)
    }

    #[test]
    fn any_value_above_zero_is_defective() {
        let narrow = ImageBuffer::<Luma<u8>, _>::from_raw(4, 1, vec![0, 1, 254, 255]).unwrap();
        let wide = ImageBuffer::<Luma<u16>, _>::from_raw(4, 1, vec![0, 1, 255, 65535]).unwrap();
        for image in [narrow.into(), wide.into()] {
            assert_eq!(read(image, ImageFormat::Png).unwrap(), [false, true, true, true]);
        }
    }

    #[test]
    fn alpha_is_not_a_defect() {
        let opaque = ImageBuffer::<LumaA<u8>, _>::from_raw(2, 1, vec![0, 255, 9, 255]).unwrap();
        assert_eq!(read(opaque.into(), ImageFormat::Png).unwrap(), [false, true]);
    }

    #[test]
    fn a_jpeg_is_refused() {
        let grey = ImageBuffer::<Luma<u8>, _>::new(8, 8);
        assert!(matches!(read(grey.into(), ImageFormat::Jpeg), Err(DataError::Unsupported { .. })));
    }

    #[test]
    fn masks_of_every_class_id_hold_a_defect_and_good_ones_none() {
        let Some(category) = shared_scans::cable_gland() else { return };
        for (defect, defective) in [("good", false), ("bent", true), ("cut", true)] {
            for entry in fs::read_dir(category.join("test").join(defect).join("gt")).unwrap() {
                let (path, limits) = (entry.unwrap().path(), Limits::default());
                let mask = mask(&Encoded::read(&path, &limits).unwrap(), &limits).unwrap();
                assert_eq!(mask.dim(), (400, 400));
                assert_eq!(mask.iter().any(|&d| d), defective);
            }
        }
    }
}
