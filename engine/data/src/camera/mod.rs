//! Cameras: where a point is seen, and where a pixel looks.

mod file;

use crate::{DataError, Frame, Grid, Mask};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// How a lens bends its picture. Radii are of normalised image coordinates: x / z, y / z.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lens {
    /// Not at all.
    #[default]
    Pinhole,
    /// The division model (Fitzgibbon, CVPR 2001, eq. 4): undistorted = distorted / (1 + k r^2), r of the distorted point.
    /// HALCON's kappa, which is for metres on the sensor, times the squared focal length.
    Division(f64),
    /// Brown's model with OpenCV's five coefficients k1, k2, p1, p2, k3.
    Brown([f64; 5]),
}

/// A camera's intrinsics. Its frame: x to the right, y down, z along the optical axis; the centre of the first pixel is (0, 0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Focal length in pixel widths.
    pub fx: f64,
    /// Focal length in pixel heights.
    pub fy: f64,
    /// Column of the principal point.
    pub cx: f64,
    /// Row of the principal point.
    pub cy: f64,
    /// The lens.
    #[serde(default)]
    pub lens: Lens,
    /// `(rows, columns)` of the pictures that it was calibrated for, if known.
    #[serde(default)]
    pub size: Option<(usize, usize)>,
}

/// Pixels of the longest side of a picture.
const LONGEST_SIDE: usize = 1 << 24;

/// Iterations and exactness (normalised coordinates) of inverting a lens model without a closed form.
const ITERATIONS: usize = 50;
const EXACT: f64 = 1e-9;

impl Camera {
    /// Refuses intrinsics that no camera has.
    ///
    /// # Errors
    /// [`DataError::BadArgument`].
    pub fn check(&self) -> Result<(), DataError> {
        let bad = |cause: String| Err(DataError::bad_argument("camera", cause));
        let numbers = [self.fx, self.fy, self.cx, self.cy];
        let lens: &[f64] = match &self.lens {
            Lens::Pinhole => &[],
            Lens::Division(k) => std::slice::from_ref(k),
            Lens::Brown(k) => k,
        };
        if numbers.iter().chain(lens).any(|v| !v.is_finite() || v.abs() > 1e9) {
            return bad("fx, fy, cx, cy and distortions must be numbers of at most 1e9".into());
        }
        if self.fx <= 0.0 || self.fy <= 0.0 {
            return bad(format!("fx = {} and fy = {} must be greater than 0", self.fx, self.fy));
        }
        if let Some((rows, cols)) = self.size
            && [rows, cols].iter().any(|side| !(1..=LONGEST_SIDE).contains(side))
        {
            return bad(format!(
                "its pictures have {rows} x {cols} pixels; 1 to {LONGEST_SIDE} a side can be"
            ));
        }
        Ok(())
    }

    /// The pixel `(column, row)` that sees a point of the camera's frame; `None` for a point behind it or beyond what the lens
    /// can show. It may lie outside the picture.
    pub fn project(&self, [x, y, z]: [f64; 3]) -> Option<(f64, f64)> {
        if z.is_nan() || z <= 0.0 {
            return None;
        }
        let (x, y) = self.lens.distorted(x / z, y / z)?;
        let pixel = (self.fx * x + self.cx, self.fy * y + self.cy);
        (pixel.0.is_finite() && pixel.1.is_finite()).then_some(pixel)
    }

    /// Where a pixel looks: x and y at z = 1; `None` where the lens model has no such ray.
    pub fn ray(&self, column: f64, row: f64) -> Option<(f64, f64)> {
        self.lens.undistorted((column - self.cx) / self.fx, (row - self.cy) / self.fy)
    }

    /// The camera of the same view in another resolution: `from` and `to` are `(rows, columns)`.
    #[must_use]
    pub fn scaled(&self, from: (usize, usize), to: (usize, usize)) -> Self {
        let (sy, sx) = (to.0 as f64 / from.0 as f64, to.1 as f64 / from.1 as f64);
        Self {
            fx: self.fx * sx,
            fy: self.fy * sy,
            cx: (self.cx + 0.5) * sx - 0.5,
            cy: (self.cy + 0.5) * sy - 0.5,
            lens: self.lens,
            size: Some(to),
        }
    }

    /// The points of a depth image `[1, H, W]`: `[3, H, W]` in the camera's frame, metres.
    pub fn points(&self, depth: &Grid) -> Grid {
        let (rows, cols) = depth.size();
        let mut values = Array3::<f32>::zeros((3, rows, cols));
        let mut valid = Mask::from_elem((rows, cols), false);
        for i in 0..rows {
            for j in 0..cols {
                let z = depth.values[(0, i, j)];
                if depth.is_valid(i, j)
                    && let Some((x, y)) = self.ray(j as f64, i as f64)
                {
                    let point = [(x * f64::from(z)) as f32, (y * f64::from(z)) as f32, z];
                    if point.iter().all(|v| v.is_finite()) {
                        valid[(i, j)] = true;
                        (0..3).for_each(|c| values[(c, i, j)] = point[c]);
                    }
                }
            }
        }
        let all = valid.iter().all(|&v| v);
        Grid { values, valid: (!all).then_some(valid), frame: Frame::NATIVE }
    }
}

impl Lens {
    fn distorted(self, x: f64, y: f64) -> Option<(f64, f64)> {
        let r2 = x * x + y * y;
        match self {
            Self::Pinhole => Some((x, y)),
            Self::Division(k) => {
                let root = 1.0 - 4.0 * k * r2;
                let factor = 2.0 / (1.0 + root.sqrt());
                (root >= 0.0).then_some((x * factor, y * factor))
            }
            Self::Brown([k1, k2, p1, p2, k3]) => {
                let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
                // Beyond its turning point the polynomial folds the picture over itself.
                let slope = 1.0 + r2 * (3.0 * k1 + r2 * (5.0 * k2 + r2 * 7.0 * k3));
                let u = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
                let v = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
                (slope > 0.0).then_some((u, v))
            }
        }
    }

    fn undistorted(self, x: f64, y: f64) -> Option<(f64, f64)> {
        match self {
            Self::Pinhole => Some((x, y)),
            Self::Division(k) => {
                let factor = 1.0 + k * (x * x + y * y);
                (factor > 0.0).then_some((x / factor, y / factor))
            }
            Self::Brown([k1, k2, p1, p2, k3]) => {
                let (mut u, mut v) = (x, y);
                for _ in 0..ITERATIONS {
                    let r2 = u * u + v * v;
                    let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
                    let next = (
                        (x - 2.0 * p1 * u * v - p2 * (r2 + 2.0 * u * u)) / radial,
                        (y - p1 * (r2 + 2.0 * v * v) - 2.0 * p2 * u * v) / radial,
                    );
                    let step = (next.0 - u).abs() + (next.1 - v).abs();
                    (u, v) = next;
                    if step < EXACT * 1e-3 {
                        break;
                    }
                }
                let back = self.distorted(u, v)?;
                ((back.0 - x).abs() + (back.1 - y).abs() < EXACT).then_some((u, v))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, Encoded, Stored};
    use crate::{Limits, shared_scans};
    use proptest::prelude::*;

    fn camera(lens: Lens) -> Camera {
        Camera { fx: 610.0, fy: 605.0, cx: 321.5, cy: 239.0, lens, size: None }
    }

    proptest! {
        #[test]
        fn a_pixel_sees_what_it_looks_at(column in 0.0..640.0, row in 0.0..480.0, z in 0.1..3.0, which in 0usize..3) {
            let lens = [Lens::Pinhole, Lens::Division(-0.23), Lens::Brown([-0.2, 0.05, 1e-3, -5e-4, 0.0])][which];
            let camera = camera(lens);
            let (x, y) = camera.ray(column, row).unwrap();
            let (c, r) = camera.project([x * z, y * z, z]).unwrap();
            prop_assert!((c - column).abs() < 1e-4 && (r - row).abs() < 1e-4, "{c} {r}");
        }

        #[test]
        fn a_scaled_camera_sees_the_same_view(x in -0.2..0.2, y in -0.2..0.2) {
            let camera = camera(Lens::Division(-0.1));
            let small = camera.scaled((480, 640), (240, 320));
            let ((c, r), (c2, r2)) = (camera.project([x, y, 1.0]).unwrap(), small.project([x, y, 1.0]).unwrap());
            prop_assert!(((c + 0.5) / 2.0 - 0.5 - c2).abs() < 1e-9 && ((r + 0.5) / 2.0 - 0.5 - r2).abs() < 1e-9);
        }
    }

    #[test]
    fn brown_is_the_published_polynomial() {
        let camera = Camera {
            fx: 1.0,
            fy: 1.0,
            cx: 0.0,
            cy: 0.0,
            ..camera(Lens::Brown([0.1, 0.01, 0.002, 0.003, 0.001]))
        };
        // x = 0.3, y = -0.4: r2 = 0.25, radial = 1 + 0.025 + 0.000625 + 0.000015625.
        let (u, v) = camera.project([0.3, -0.4, 1.0]).unwrap();
        let radial = 1.025640625;
        assert!((u - (0.3 * radial + 2.0 * 0.002 * -0.12 + 0.003 * 0.43)).abs() < 1e-12);
        assert!((v - (-0.4 * radial + 0.002 * (0.25 + 0.32) + 2.0 * 0.003 * -0.12)).abs() < 1e-12);
    }

    #[test]
    fn points_behind_the_camera_are_not_seen_and_rays_that_do_not_exist_measure_nothing() {
        assert_eq!(camera(Lens::Pinhole).project([0.0, 0.0, -1.0]), None);
        assert_eq!(camera(Lens::Pinhole).project([0.0, 0.0, f64::NAN]), None);
        let folded = camera(Lens::Brown([-3.0, 0.0, 0.0, 0.0, 0.0]));
        let depth = Grid { values: Array3::from_elem((1, 480, 640), 0.5), valid: None, frame: Frame::NATIVE };
        let points = folded.points(&depth);
        assert!(!points.is_valid(0, 0) && points.is_valid(239, 321));
        assert!(points.values.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn the_shared_calibration_sees_each_point_in_its_own_pixel() {
        let Some(category) = shared_scans::cable_gland() else { return };
        let camera =
            Camera::read(&category.join("calibration/camera_parameters.json"), &Limits::default()).unwrap();
        assert_eq!(camera.size, Some((400, 400)));
        let file = category.join("train/good/xyz/000.tiff");
        let limits = Limits::default();
        let points =
            decode::xyz(&Encoded::read(&file, &limits).unwrap(), &Stored::default(), &limits).unwrap();
        let (mut worst, mut n) = (0.0_f64, 0);
        for i in 0..400 {
            for j in (0..400).filter(|&j| points.is_valid(i, j)) {
                let p: [f64; 3] = std::array::from_fn(|c| f64::from(points.values[(c, i, j)]));
                let (column, row) = camera.project(p).unwrap();
                worst = worst.max((column - j as f64).abs()).max((row - i as f64).abs());
                n += 1;
            }
        }
        // The file's principal point is off by a pixel in rows, and its points were rounded; a wrong lens would be off by more.
        assert!(n > 100_000 && worst < 1.6, "{worst} pixels over {n} points");
        let pinhole = Camera { lens: Lens::Pinhole, ..camera };
        let corner: [f64; 3] = [0.08, 0.04, 0.63];
        let (a, b) = (camera.project(corner).unwrap(), pinhole.project(corner).unwrap());
        assert!((a.0 - b.0).abs() > 1.5, "{a:?} {b:?}");
    }

    #[test]
    fn intrinsics_that_no_camera_has_are_refused() {
        assert!(Camera { fx: 0.0, ..camera(Lens::Pinhole) }.check().is_err());
        assert!(Camera { cy: f64::NAN, ..camera(Lens::Pinhole) }.check().is_err());
        assert!(camera(Lens::Division(f64::INFINITY)).check().is_err());
        assert!(camera(Lens::Division(-0.2)).check().is_ok());
    }
}
