//! Points without or with an arrangement: PLY, PCD, NPY, and the points of an organised TIFF.

use ndarray::{Array2, Array3};

use super::format::Format;
use super::{Encoded, Stored, npy, pcd, ply, tiff};
use crate::{DataError, Limits};

/// Unorganised points in metres.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloud {
    /// `[N, 3]`: x, y, z; (0, 0, 0) where invalid.
    pub positions: Array2<f32>,
    /// One flag a point; `None` = every point is valid.
    pub valid: Option<Vec<bool>>,
}

impl Cloud {
    /// Points, valid or not.
    pub fn len(&self) -> usize {
        self.positions.nrows()
    }

    /// Whether there is no point at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether point `k` is valid.
    pub fn is_valid(&self, k: usize) -> bool {
        self.valid.as_ref().is_none_or(|v| v[k])
    }
}

/// Points as they are stored.
pub(super) struct Raw {
    pub(super) points: Vec<[f32; 3]>,
    /// `(rows, columns)` where the points are those of an image, row by row.
    pub(super) size: Option<(usize, usize)>,
}

/// Reads the points of a PLY or PCD file, an NPY array `[N, 3]`, or any file of organised points ([`super::xyz`]), in
/// metres (without `stored.offset`). Colours, normals, faces and whatever else is skipped. Validity as in
/// [`super::xyz`].
///
/// # Errors
/// [`DataError::TooLarge`], [`DataError::UnknownFormat`], [`DataError::Malformed`], and [`DataError::Unsupported`]
/// when there are no points with x, y and z.
pub fn points(file: &Encoded, stored: &Stored, limits: &Limits) -> Result<Cloud, DataError> {
    let points = match Format::of(&file.bytes) {
        Some(Format::Ply) => ply::read(file, limits)?.points,
        Some(Format::Pcd) => pcd::read(file, limits)?.points,
        Some(Format::Npy) => npy::points(file, limits)?,
        Some(Format::Tiff) => of_planes(&tiff::measurements(file, limits, 3, tiff::Numbers::Floats)?),
        _ => {
            let expected = "a PLY or PCD cloud, an NPY array or an xyz TIFF";
            return Err(DataError::UnknownFormat { path: file.path.to_path_buf(), expected });
        }
    };
    let path = file.path;
    let mut valid = vec![true; points.len()];
    let mut positions = points.into_flattened();
    for (point, valid) in positions.as_chunks_mut::<3>().0.iter_mut().zip(&mut valid) {
        let missing = stored.is_invalid(point[2]) || *point == [0.0; 3];
        if stored.metres != 1.0 {
            *point = point.map(|v| (f64::from(v) * stored.metres) as f32);
        }
        *valid = !missing && point.iter().all(|v| v.is_finite());
        if !*valid {
            *point = [0.0; 3];
        }
    }
    let positions =
        Array2::from_shape_vec((valid.len(), 3), positions).map_err(|e| DataError::malformed(path, e))?;
    Ok(Cloud { positions, valid: Some(valid).filter(|valid| valid.contains(&false)) })
}

/// The points of planes `[3, H, W]`, row by row.
pub(super) fn of_planes(planes: &Array3<f32>) -> Vec<[f32; 3]> {
    let (_, rows, columns) = planes.dim();
    (0..rows * columns).map(|k| [0, 1, 2].map(|c| planes[(c, k / columns, k % columns)])).collect()
}

impl Raw {
    /// Organised points as planes `[3, H, W]`; `None` where no arrangement is known.
    pub(super) fn planes(&self) -> Option<Array3<f32>> {
        let (rows, columns) = self.size.filter(|s| s.0 * s.1 == self.points.len())?;
        Some(Array3::from_shape_fn((3, rows, columns), |(c, i, j)| self.points[i * columns + j][c]))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(bytes: &[u8], limits: Limits) -> Result<Cloud, DataError> {
        points(&Encoded::new(Path::new("cloud.ply"), bytes), &Stored::default(), &limits)
    }

    fn header(format: &str, count: usize, kind: &str) -> String {
        format!(
            "ply\nformat {format} 1.0\nelement vertex {count}\nproperty {kind} x\nproperty {kind} y\n\
             property {kind} z\nproperty uchar red\nelement face 1\n\
             property list uchar int vertex_indices\nend_header\n"
        )
    }

    const EXPECTED: [[f32; 3]; 3] = [[1.0, 2.5, -3.0], [0.0, 0.0, 0.0], [0.25, 0.0, 0.0]];

    fn check(bytes: &[u8]) {
        let cloud = read(bytes, Limits::default()).unwrap();
        assert_eq!(cloud.positions, ndarray::arr2(&EXPECTED));
        assert_eq!((0..3).map(|k| cloud.is_valid(k)).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn ascii_is_read_and_nan_is_an_invalid_point() {
        let text = header("ascii", 3, "float") + "1 2.5 -3 255\nnan 1 1 0\n0.25 0 0 7\n3 0 1 2\n";
        check(text.as_bytes());
    }

    #[test]
    fn binary_of_both_orders_and_widths_is_read() {
        let mut little = header("binary_little_endian", 3, "float").into_bytes();
        let mut big = header("binary_big_endian", 3, "double").into_bytes();
        for point in EXPECTED {
            point.iter().for_each(|v| little.extend(v.to_le_bytes()));
            point.iter().for_each(|v| big.extend(f64::from(*v).to_be_bytes()));
            little.push(9);
            big.push(9);
        }
        little.extend([1, 0, 0, 0, 0]);
        big.extend([1, 0, 0, 0, 0]);
        check(&little);
        check(&big);
    }

    #[test]
    fn counts_beyond_the_limit_or_the_file_are_refused() {
        let limits = Limits { max_points: 2, ..Limits::default() };
        let text = header("ascii", 3, "float");
        assert!(matches!(read(text.as_bytes(), limits), Err(DataError::TooLarge { what: "points", .. })));
        let text = header("ascii", 40_000_000, "float");
        assert!(matches!(read(text.as_bytes(), Limits::default()), Err(DataError::Malformed { .. })));
    }

    #[test]
    fn vertices_without_coordinates_are_refused_by_name() {
        let text = header("ascii", 0, "float").replace("float z", "float depth");
        let error = read(text.as_bytes(), Limits::default()).unwrap_err();
        assert!(error.to_string().contains("`z`"), "{error}");
    }
}
