//! The part's own frame.

use super::surface::{point, principal_axes};
use assay_data::prepare::Plane;
use assay_data::{Grid, Mask};
use nalgebra::{Matrix3, Vector3};

/// Points nearer to the surface that the part lies on do not tell where the part is, metres.
const NEAR: f64 = 1e-3;

/// Whether a point belongs to the part rather than to the surface that it lies on.
pub(super) fn stands_out(plane: &Plane, point: Vector3<f64>) -> bool {
    plane.distance(point.into()) > NEAR
}

/// Where a part lies: an origin and axes that move with it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    origin: Vector3<f64>,
    /// Rows x, y, z.
    axes: Matrix3<f64>,
}

impl Part {
    /// Of the valid points on `mask`. The origin is their mean; z is the normal of the surface that they lie on, or their direction of
    /// least extent, towards the camera; x is their direction of greatest extent across z, towards the side that reaches farther
    /// (the sign of the third moment). Axes of a part that is the same from several sides are as good as another's.
    /// `None` of fewer than three points, or of points in one place.
    pub(super) fn of(points: &Grid, mask: Option<&Mask>, plane: Option<&Plane>) -> Option<Self> {
        let (rows, columns) = points.size();
        let cells = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        let own: Vec<Vector3<f64>> = cells
            .filter(|&(i, j)| points.is_valid(i, j) && mask.is_none_or(|mask| mask[(i, j)]))
            .map(|cell| point(points, cell))
            .filter(|p| plane.is_none_or(|plane| stands_out(plane, *p)))
            .collect();
        if own.len() < 3 {
            return None;
        }
        let origin = own.iter().sum::<Vector3<f64>>() / own.len() as f64;
        let z = match plane {
            Some(plane) => Vector3::from(plane.normal),
            None => {
                let least = principal_axes(own.iter().copied(), origin).column(2).into_owned();
                if least.dot(&origin) > 0.0 { -least } else { least }
            }
        };
        let across = own.iter().map(|p| (p - origin) - z * z.dot(&(p - origin)));
        let x = principal_axes(across.clone(), Vector3::zeros()).column(0).into_owned();
        let x = (x - z * z.dot(&x)).try_normalize(1e-9)?;
        let skew: f64 = across.map(|p| p.dot(&x).powi(3)).sum();
        let x = if skew < 0.0 { -x } else { x };
        Some(Self {
            origin,
            axes: Matrix3::from_rows(&[x.transpose(), z.cross(&x).transpose(), z.transpose()]),
        })
    }

    /// A point of the camera's frame in the part's, metres.
    pub(super) fn own(&self, p: Vector3<f64>) -> [f64; 3] {
        (self.axes * (p - self.origin)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_data::Frame;
    use nalgebra::Rotation3;
    use ndarray::Array3;

    /// An arrow of points on a table 0.4 m away, turned about the camera's axis.
    fn arrow(angle: f64) -> (Grid, Plane) {
        let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), angle);
        let shape = |k: usize| {
            let (u, v) = ((k % 40) as f64, (k / 40) as f64 - 10.0);
            let inside = if u < 10.0 { v.abs() < 8.0 } else { v.abs() < 2.0 };
            inside.then(|| Vector3::new(u * 1e-3, v * 1e-3, -5e-3))
        };
        let points: Vec<Vector3<f64>> = (0..800).filter_map(shape).collect();
        let place = |k: usize| turn * points[k] + Vector3::new(0.02, -0.01, 0.4);
        let values = Array3::from_shape_fn((3, 1, points.len()), |(c, _, k)| place(k)[c] as f32);
        let plane = Plane { normal: [0.0, 0.0, -1.0], offset: 0.4 };
        (Grid { values, valid: None, frame: Frame::NATIVE }, plane)
    }

    #[test]
    fn a_place_on_the_part_has_the_same_coordinates_however_the_part_lies() {
        let places: Vec<[f64; 3]> = [0.0, 1.0, 2.5, -2.0]
            .into_iter()
            .map(|angle| {
                let (points, plane) = arrow(angle);
                let tip = (0..points.size().1).map(|j| point(&points, (0, j)));
                let tip = tip.max_by(|a, b| {
                    let along = |p: &Vector3<f64>| (p - Vector3::new(0.02, -0.01, 0.395)).norm();
                    along(a).total_cmp(&along(b))
                });
                Part::of(&points, None, Some(&plane)).unwrap().own(tip.unwrap())
            })
            .collect();
        for place in &places {
            // The tip is far along x, and the third axis points to the camera.
            assert!(place[0] > 0.02 && place[1].abs() < 0.003 && place[2].abs() < 1e-6, "{place:?}");
            assert!((place[0] - places[0][0]).abs() < 1e-6, "{places:?}");
        }
    }

    #[test]
    fn without_a_surface_the_least_extent_points_to_the_camera() {
        let (points, _) = arrow(0.3);
        let part = Part::of(&points, None, None).unwrap();
        assert!((part.axes.row(2).transpose() - Vector3::new(0.0, 0.0, -1.0)).norm() < 1e-6);
        assert!(Part::of(&points, Some(&Mask::from_elem(points.size(), false)), None).is_none());
    }
}
