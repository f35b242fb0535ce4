//! Anomaly maps: single-channel float TIFF at a scan's native size, as the official evaluation reads them.

use std::io;
use std::path::Path;

use ndarray::Array2;
use tiff::encoder::{TiffEncoder, colortype::Gray32Float};

use super::format::Format;
use super::{Encoded, tiff as rasters};
use crate::{DataError, Limits, atomic};

/// Reads an anomaly map `[H, W]`; higher is more anomalous. 32- or 64-bit floats.
///
/// # Errors
/// As [`super::xyz`], and [`DataError::NotFinite`] for a NaN or an infinity.
pub fn map(file: &Encoded, limits: &Limits) -> Result<Array2<f32>, DataError> {
    if Format::of(&file.bytes) != Some(Format::Tiff) {
        let expected = "a single-channel float TIFF";
        return Err(DataError::UnknownFormat { path: file.path.to_path_buf(), expected });
    }
    let planes = rasters::measurements(file, limits, 1, rasters::Numbers::Floats)?;
    let map = planes.index_axis_move(ndarray::Axis(0), 0);
    check_finite(file.path, &map)?;
    Ok(map)
}

/// Writes an anomaly map `[H, W]` as 32-bit float TIFF, uncompressed, atomically. The folder must exist.
///
/// # Errors
/// [`DataError::NotFinite`], [`DataError::BadArgument`] for an empty map, [`DataError::Write`].
pub fn write_map(path: &Path, map: &Array2<f32>) -> Result<(), DataError> {
    check_finite(path, map)?;
    let (rows, columns) = map.dim();
    let (Ok(width @ 1..), Ok(height @ 1..)) = (u32::try_from(columns), u32::try_from(rows)) else {
        return Err(DataError::bad_argument("write_map", format!("a map of {rows} x {columns} cells")));
    };
    let cells = map.as_standard_layout();
    let cells = cells.as_slice().unwrap_or_default();
    atomic::write(path, |w| {
        TiffEncoder::new(w)
            .and_then(|mut encoder| encoder.write_image::<Gray32Float>(width, height, cells))
            .map_err(io::Error::other)
    })
}

fn check_finite(path: &Path, map: &Array2<f32>) -> Result<(), DataError> {
    match map.indexed_iter().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some(((row, column), _)) => {
            Err(DataError::NotFinite { what: path.display().to_string(), row, column })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(path: &Path) -> Array2<f32> {
        let limits = Limits::default();
        map(&Encoded::read(path, &limits).unwrap(), &limits).unwrap()
    }

    proptest! {
        #[test]
        fn a_map_survives_writing_and_reading_bit_for_bit(
            rows in 1usize..20, columns in 1usize..20,
            seed in proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO, 400),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("000.tiff");
            let written = Array2::from_shape_fn((rows, columns), |(i, j)| seed[i * columns + j]);
            write_map(&path, &written).unwrap();
            let read = read(&path);
            prop_assert_eq!(read.dim(), written.dim());
            prop_assert!(read.iter().zip(&written).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn a_map_in_column_order_is_written_as_it_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000.tiff");
        let turned = Array2::from_shape_fn((3, 5), |(i, j)| (10 * i + j) as f32).reversed_axes();
        write_map(&path, &turned).unwrap();
        assert_eq!(read(&path), turned);
    }

    #[test]
    fn a_nan_is_neither_written_nor_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000.tiff");
        let mut broken = Array2::zeros((4, 4));
        broken[(2, 3)] = f32::NAN;
        let error = write_map(&path, &broken).unwrap_err();
        assert!(matches!(error, DataError::NotFinite { row: 2, column: 3, .. }), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_map_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_map(&folder.path().join("000.tiff"), &Array2::zeros((0, 4))).unwrap_err();
        assert!(matches!(error, DataError::BadArgument { .. }), "{error}");
    }
}
