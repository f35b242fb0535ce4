//! The surface around a region, as it would go on without a defect.

use assay_data::Grid;
use nalgebra::{Matrix3, SMatrix, Vector3};
use ndarray::Array2;
use std::ops::Range;

/// Terms of a quadratic in two coordinates.
const TERMS: usize = 6;

/// Fewest points that a surface is fitted to.
pub(super) const FEWEST: usize = 12;

/// Rounds of reweighting: first by Cauchy's function, which leads there from afar, then by Tukey's, which gives points far off no weight
/// at all (Huber and Ronchetti, Robust Statistics, ch. 4 and 7).
const ROUNDS: [usize; 2] = [8, 12];

/// Where the two functions set in, in standard deviations as estimated from the median residual: 95 % as efficient as least squares.
const TUNING: [f64; 2] = [2.385, 4.685];

/// Points in metres as quadratic functions of native pixels, fitted to points around a region.
#[derive(Debug, Clone)]
pub(super) struct Surface {
    coefficients: SMatrix<f64, TERMS, 3>,
    centre: [f64; 2],
    scale: f64,
}

/// A place on a surface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Metres, the camera's frame.
    pub(super) point: Vector3<f64>,
    /// Of length 1, towards the camera.
    pub(super) normal: Vector3<f64>,
    /// Of the surface that one native pixel sees, m^2.
    pub(super) area: f64,
}

impl Surface {
    /// Fitted to the valid points of `ring`, cells of `points`, around `centre` (native pixels `[x, y]`): quadratic where they lie on
    /// all sides of it, else a plane. Points off the surface that most lie on, such as those beyond a step, hardly count (iterated
    /// least squares). `None` where there are too few.
    pub(super) fn fit(points: &Grid, ring: &[(usize, usize)], centre: [f64; 2]) -> Option<Self> {
        let frame = points.frame;
        let at = |&(i, j): &(usize, usize)| [frame.native_x(j as f64), frame.native_y(i as f64)];
        let ring: Vec<&(usize, usize)> = ring.iter().filter(|&&(i, j)| points.is_valid(i, j)).collect();
        if ring.len() < FEWEST {
            return None;
        }
        let reach = |[x, y]: [f64; 2]| (x - centre[0]).abs().max((y - centre[1]).abs());
        let scale = ring.iter().map(|c| reach(at(c))).fold(1.0, f64::max);
        let mut sides = [false; 4];
        for cell in &ring {
            let [x, y] = at(cell);
            sides[usize::from(x > centre[0]) + 2 * usize::from(y > centre[1])] = true;
        }
        let terms = if sides == [true; 4] && ring.len() >= 3 * TERMS { TERMS } else { 3 };
        let mut surface = Self { coefficients: SMatrix::zeros(), centre, scale };
        let mut weights = vec![1.0; ring.len()];
        for round in 0..ROUNDS[0] + ROUNDS[1] {
            let mut normal = SMatrix::<f64, TERMS, TERMS>::zeros();
            let mut right = SMatrix::<f64, TERMS, 3>::zeros();
            for (cell, weight) in ring.iter().zip(&weights) {
                let mut row = surface.row(at(cell));
                row.rows_mut(terms, TERMS - terms).fill(0.0);
                let p = point(points, **cell);
                normal += *weight * row * row.transpose();
                right += *weight * row * p.transpose();
            }
            // What is not determined stays small; terms that are left out stay 0.
            let ridge = 1e-9 * normal.trace();
            for k in 0..TERMS {
                normal[(k, k)] += if k < terms { ridge } else { 1.0 };
            }
            surface.coefficients = normal.cholesky()?.solve(&right);
            let residuals: Vec<f64> =
                ring.iter().map(|cell| (point(points, **cell) - surface.point(at(cell))).norm()).collect();
            let mut sorted = residuals.clone();
            let (_, median, _) = sorted.select_nth_unstable_by(ring.len() / 2, f64::total_cmp);
            let sigma = 1.4826 * *median;
            if sigma <= 0.0 {
                break;
            }
            let weight = |residual: &f64| match round < ROUNDS[0] {
                true => 1.0 / (1.0 + (residual / (TUNING[0] * sigma)).powi(2)),
                false => (1.0 - (residual / (TUNING[1] * sigma)).powi(2)).max(0.0).powi(2),
            };
            weights = residuals.iter().map(weight).collect();
        }
        surface.coefficients.iter().all(|c| c.is_finite()).then_some(surface)
    }

    fn row(&self, [x, y]: [f64; 2]) -> SMatrix<f64, TERMS, 1> {
        let (u, v) = ((x - self.centre[0]) / self.scale, (y - self.centre[1]) / self.scale);
        SMatrix::<f64, TERMS, 1>::from([1.0, u, v, u * u, u * v, v * v])
    }

    fn point(&self, pixel: [f64; 2]) -> Vector3<f64> {
        self.coefficients.transpose() * self.row(pixel)
    }

    /// The surface where it is seen at a native pixel `[x, y]`.
    pub(super) fn at(&self, pixel: [f64; 2]) -> Place {
        let [x, y] = pixel;
        let (u, v) = ((x - self.centre[0]) / self.scale, (y - self.centre[1]) / self.scale);
        let across = SMatrix::<f64, TERMS, 1>::from([0.0, 1.0, 0.0, 2.0 * u, v, 0.0]);
        let down = SMatrix::<f64, TERMS, 1>::from([0.0, 0.0, 1.0, 0.0, u, 2.0 * v]);
        let c = self.coefficients.transpose() / self.scale;
        let cross = (c * across).cross(&(c * down));
        let point = self.point(pixel);
        let area = cross.norm();
        let normal = if area > 0.0 { cross / area } else { Vector3::z() };
        let normal = if normal.dot(&point) > 0.0 { -normal } else { normal };
        Place { point, normal, area }
    }
}

/// The point of a cell, metres.
pub(super) fn point(points: &Grid, (i, j): (usize, usize)) -> Vector3<f64> {
    Vector3::from_fn(|c, _| f64::from(points.values[(c, i, j)]))
}

/// The area of the surface that each native pixel sees, mm^2, from organised points: by the neighbours of each cell, at most four
/// times the median, which a surface has that is seen at 75 degrees; the median where there are none, too.
pub(crate) fn pixel_areas(points: &Grid) -> Vec<f64> {
    let (rows, columns) = points.size();
    let own = |at: (usize, usize)| points.is_valid(at.0, at.1).then(|| point(points, at));
    let across = |i: usize, j: usize| -> Option<f64> {
        let (left, right) = (j.saturating_sub(2), (j + 2).min(columns - 1));
        let (top, bottom) = (i.saturating_sub(2), (i + 2).min(rows - 1));
        let x = (own((i, right))? - own((i, left))?) / right.checked_sub(left).filter(|n| *n > 0)? as f64;
        let y = (own((bottom, j))? - own((top, j))?) / bottom.checked_sub(top).filter(|n| *n > 0)? as f64;
        Some(x.cross(&y).norm())
    };
    let cells: Vec<Option<f64>> = (0..rows * columns)
        .map(|k| own((k / columns, k % columns)).and_then(|_| across(k / columns, k % columns)))
        .collect();
    let mut known: Vec<f64> = cells.iter().flatten().copied().collect();
    let median = match known.len() {
        0 => 0.0,
        n => *known.select_nth_unstable_by(n / 2, f64::total_cmp).1,
    };
    let per_pixel = 1e6 / (points.frame.stride_x * points.frame.stride_y);
    cells.into_iter().map(|area| area.map_or(median, |a| a.min(4.0 * median)) * per_pixel).collect()
}

/// The principal axes of points: unit vectors by falling spread.
pub(crate) fn principal_axes(
    points: impl Iterator<Item = Vector3<f64>> + Clone,
    centre: Vector3<f64>,
) -> Matrix3<f64> {
    let spread = points.fold(Matrix3::zeros(), |sum, p| sum + (p - centre) * (p - centre).transpose());
    let eigen = spread.symmetric_eigen();
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    Matrix3::from_columns(&order.map(|k| eigen.eigenvectors.column(k).into_owned()))
}

/// A range of rows and one of columns.
pub(super) type Window = (Range<usize>, Range<usize>);

/// Neighbouring cells lie on one face where their points are nearer to each other than so many times what is usual: no steeper than 66
/// degrees to a surface that is seen from above.
const STEP: f64 = 2.5;

/// The faces of a window that `seeds` lie on: a number from 1 for each valid cell that is reached from a seed without a step, the same
/// for those that are reached from each other; 0 elsewhere. `[rows, columns]` of the window.
pub(super) fn faces(points: &Grid, (down, across): &Window, seeds: &[(usize, usize)]) -> Array2<u32> {
    let (height, width) = (down.len(), across.len());
    let at = |i: usize, j: usize| (down.start + i, across.start + j);
    let apart = |a: (usize, usize), b: (usize, usize)| {
        let valid = points.is_valid(a.0, a.1) && points.is_valid(b.0, b.1);
        valid.then(|| (point(points, a) - point(points, b)).norm())
    };
    let cells = (0..height).flat_map(|i| (0..width).map(move |j| (i, j)));
    let mut usual: Vec<f64> =
        cells.filter(|&(_, j)| j + 1 < width).filter_map(|(i, j)| apart(at(i, j), at(i, j + 1))).collect();
    let mut faces = Array2::zeros((height, width));
    if usual.is_empty() {
        return faces;
    }
    let middle = usual.len() / 2;
    let step = STEP * *usual.select_nth_unstable_by(middle, f64::total_cmp).1;
    let mut number = 0;
    for &(row, column) in seeds.iter().filter(|&&(i, j)| points.is_valid(i, j)) {
        let start = (row - down.start, column - across.start);
        if faces[start] != 0 {
            continue;
        }
        number += 1;
        faces[start] = number;
        let mut open = vec![start];
        while let Some((i, j)) = open.pop() {
            let beside = [(i.wrapping_sub(1), j), (i + 1, j), (i, j.wrapping_sub(1)), (i, j + 1)];
            for (y, x) in beside.into_iter().filter(|&(y, x)| y < height && x < width) {
                if faces[(y, x)] == 0 && apart(at(i, j), at(y, x)).is_some_and(|d| d < step) {
                    faces[(y, x)] = number;
                    open.push((y, x));
                }
            }
        }
    }
    faces
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_data::Frame;
    use assay_data::Mask;
    use ndarray::Array3;

    /// A cylinder of 50 mm radius seen from 0.3 m, pixels of 0.2 mm, with a step of 5 mm at column 34.
    fn cylinder(dent: bool) -> Grid {
        let values = Array3::from_shape_fn((3, 40, 40), |(c, i, j)| {
            let (x, y) = ((j as f64 - 20.0) * 2e-4, (i as f64 - 20.0) * 2e-4);
            let mut z = 0.35 - (0.05f64.powi(2) - x * x).sqrt();
            if j >= 34 {
                z += 5e-3;
            }
            if dent && (18..23).contains(&i) && (18..23).contains(&j) {
                z += 1e-3;
            }
            [x, y, z][c] as f32
        });
        Grid { values, valid: None, frame: Frame::NATIVE }
    }

    #[test]
    fn the_surface_goes_on_under_a_dent_and_past_a_step() {
        let points = cylinder(true);
        let dent = |i: usize, j: usize| (17..24).contains(&i) && (17..24).contains(&j);
        let ring: Vec<_> =
            (3..38).flat_map(|i| (3..38).map(move |j| (i, j))).filter(|&(i, j)| !dent(i, j)).collect();
        let surface = Surface::fit(&points, &ring, [20.0, 20.0]).unwrap();
        let (clean, place) = (cylinder(false), surface.at([20.0, 20.0]));
        assert!((point(&clean, (20, 20)) - place.point).norm() < 2e-5, "{place:?}");
        let depth = (point(&points, (20, 20)) - place.point).dot(&place.normal);
        assert!((depth + 1e-3).abs() < 2e-5, "{depth}");
        assert!((place.area - 4e-8).abs() < 2e-9, "{}", place.area);
        assert!(place.normal.z < -0.99);
    }

    #[test]
    fn a_face_ends_at_a_step() {
        let window = (0..40, 10..40);
        let found = faces(&cylinder(false), &window, &[(20, 20), (20, 21)]);
        assert!(found.indexed_iter().all(|((_, j), &face)| face == u32::from(j + 10 < 34)));
        let found = faces(&cylinder(true), &window, &[(20, 20), (2, 12)]);
        assert_eq!(found.iter().filter(|face| **face == 1).count(), 25);
        assert_eq!(found[(39, 0)], 2);
    }

    #[test]
    fn points_on_one_side_give_a_plane_and_few_points_none() {
        let points = cylinder(false);
        let side: Vec<_> = (0..40).flat_map(|i| (0..10).map(move |j| (i, j))).collect();
        let surface = Surface::fit(&points, &side, [20.0, 20.0]).unwrap();
        assert_eq!(surface.coefficients.rows(3, 3).abs().max(), 0.0);
        assert!(Surface::fit(&points, &side[..5], [0.0, 0.0]).is_none());
    }

    #[test]
    fn a_pixel_sees_its_area_of_the_surface_and_no_more_than_four_at_steps() {
        let areas = pixel_areas(&cylinder(false));
        assert!((areas[20 * 40 + 20] - 0.04).abs() < 1e-3, "{}", areas[20 * 40 + 20]);
        assert!(areas.iter().all(|a| (0.03..0.2).contains(a)));
        let empty = Grid { valid: Some(Mask::from_elem((40, 40), false)), ..cylinder(false) };
        assert!(pixel_areas(&empty).iter().all(|a| *a == 0.0));
    }
}
