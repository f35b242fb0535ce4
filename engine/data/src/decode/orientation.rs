//! Orientation tags: every file is given as a viewer shows it, so that all sensors of a camera agree.

use image::metadata::Orientation;
use ndarray::{Array3, Axis};

/// What an Exif block says; upright where there is none or it does not say.
pub(super) fn of_exif(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// `(rows, columns)` as they are once the orientation is applied.
pub(super) fn turned_size((rows, columns): (usize, usize), orientation: Orientation) -> (usize, usize) {
    if turns(orientation) { (columns, rows) } else { (rows, columns) }
}

/// Planes `[C, H, W]` with the orientation applied.
pub(super) fn turned(planes: Array3<f32>, orientation: Orientation) -> Array3<f32> {
    if orientation == Orientation::NoTransforms {
        return planes;
    }
    let mut planes = planes;
    if turns(orientation) {
        planes.swap_axes(1, 2);
    }
    let (upside_down, mirrored) = match orientation {
        Orientation::NoTransforms | Orientation::Rotate90FlipH => (false, false),
        Orientation::FlipHorizontal | Orientation::Rotate90 => (false, true),
        Orientation::Rotate180 | Orientation::Rotate270FlipH => (true, true),
        Orientation::FlipVertical | Orientation::Rotate270 => (true, false),
    };
    if upside_down {
        planes.invert_axis(Axis(1));
    }
    if mirrored {
        planes.invert_axis(Axis(2));
    }
    planes.as_standard_layout().into_owned()
}

fn turns(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageBuffer, Luma};

    use super::*;

    #[test]
    fn planes_are_turned_as_pictures_are() {
        let values: Vec<u8> = (0..6).collect();
        for tag in 1..=8 {
            let orientation = Orientation::from_exif(tag).unwrap();
            let mut picture =
                DynamicImage::from(ImageBuffer::<Luma<u8>, _>::from_raw(3, 2, values.clone()).unwrap());
            picture.apply_orientation(orientation);
            let planes =
                Array3::from_shape_vec((1, 2, 3), values.iter().map(|&v| v.into()).collect()).unwrap();
            let planes = turned(planes, orientation);
            assert_eq!(
                (picture.height() as usize, picture.width() as usize),
                turned_size((2, 3), orientation)
            );
            assert_eq!(planes.dim(), (1, picture.height() as usize, picture.width() as usize));
            let turned: Vec<u8> = planes.iter().map(|&v| v as u8).collect();
            assert_eq!(picture.into_luma8().into_raw(), turned, "{orientation:?}");
        }
    }
}
