//! Clouds brought into one pose: for parts that are scanned as they lie, by methods that look at where points are.

use crate::defect::principal_axes;
use crate::recipe::Align;
use crate::value::Cloud;
use assay_data::Pose;
use nalgebra::{Matrix3, Vector3};
use ndarray::Array2;

/// Where an aligned cloud's middle lies before the camera, metres: any place will do that is the same for all.
const DISTANCE: f64 = 1.0;

/// The pose that takes a cloud's valid points into the common one, with their middle on the optical axis at 1 m.
///
/// [`Align::Centre`] moves alone. [`Align::Principal`] turns, too: the longest extent along x, the least along z, each towards the side
/// that reaches farther (the sign of the third moment); z stays on its side of the camera, so that what was seen is still in front. A
/// part whose extents or sides are nearly alike may come out turned from scan to scan. `None` where nothing is to be done, or there are
/// fewer than three valid points.
pub(crate) fn pose(cloud: &Cloud, align: Align) -> Option<Pose> {
    let ok = |i: usize| cloud.valid.as_ref().is_none_or(|v| v[i]);
    let points: Vec<Vector3<f64>> = (0..cloud.positions.nrows())
        .filter(|&i| ok(i))
        .map(|i| Vector3::from_fn(|c, _| f64::from(cloud.positions[(i, c)])))
        .filter(|p| p.iter().all(|v| v.is_finite()))
        .collect();
    if align == Align::Off || points.len() < 3 {
        return None;
    }
    let middle = points.iter().sum::<Vector3<f64>>() / points.len() as f64;
    let rotation = match align {
        Align::Principal => {
            let axes = principal_axes(points.iter().copied(), middle);
            let skew =
                |axis: Vector3<f64>| points.iter().map(|p| (p - middle).dot(&axis).powi(3)).sum::<f64>();
            let (x, z) = (axes.column(0).into_owned(), axes.column(2).into_owned());
            let x = if skew(x) < 0.0 { -x } else { x };
            let z = if z.dot(&middle) < 0.0 { -z } else { z };
            Matrix3::from_rows(&[x.transpose(), z.cross(&x).transpose(), z.transpose()])
        }
        _ => Matrix3::identity(),
    };
    let shift = Vector3::new(0.0, 0.0, DISTANCE) - rotation * middle;
    let row = |i: usize| [rotation[(i, 0)], rotation[(i, 1)], rotation[(i, 2)], shift[i]];
    Pose::from_rows([row(0), row(1), row(2)].concat().try_into().ok()?).ok()
}

/// Moves points `[N, 3]`.
pub(crate) fn apply(positions: &mut Array2<f32>, pose: &Pose) {
    for mut p in positions.rows_mut() {
        let moved = pose.apply([f64::from(p[0]), f64::from(p[1]), f64::from(p[2])]);
        (0..3).for_each(|c| p[c] = moved[c] as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Rotation3;

    /// A wedge of points, 40 x 16 x 4 mm, seen from 0.4 m.
    fn wedge(turn: Rotation3<f64>) -> Cloud {
        let place = |k: usize| {
            let (u, v) = ((k % 40) as f64, (k / 40) as f64);
            let p = Vector3::new(u * 1e-3, v * 1e-3 * (1.0 - u / 60.0), u * v * 4e-6);
            turn * p + Vector3::new(0.01, -0.02, 0.4)
        };
        let positions = Array2::from_shape_fn((640, 3), |(k, c)| place(k)[c] as f32);
        Cloud { positions, values: Array2::zeros((640, 0)), valid: None }
    }

    fn aligned(mut cloud: Cloud, align: Align) -> Cloud {
        let pose = pose(&cloud, align).unwrap();
        apply(&mut cloud.positions, &pose);
        cloud
    }

    #[test]
    fn principal_axes_undo_a_turn_and_centring_undoes_a_shift() {
        let straight = aligned(wedge(Rotation3::identity()), Align::Principal);
        for (roll, pitch, yaw) in [(0.3, -0.2, 2.0), (-0.4, 0.1, -1.0)] {
            let turned = aligned(wedge(Rotation3::from_euler_angles(roll, pitch, yaw)), Align::Principal);
            let apart = (&turned.positions - &straight.positions).mapv(f32::abs);
            assert!(apart.iter().all(|d| *d < 1e-6), "{:?}", apart.iter().copied().fold(0.0, f32::max));
        }
        let mean = aligned(wedge(Rotation3::identity()), Align::Centre)
            .positions
            .mean_axis(ndarray::Axis(0))
            .unwrap();
        assert!((mean[0].abs() + mean[1].abs() + (mean[2] - 1.0).abs()) < 1e-5, "{mean}");
    }

    #[test]
    fn nothing_is_moved_without_being_asked_or_without_points() {
        let cloud = wedge(Rotation3::identity());
        assert!(pose(&cloud, Align::Off).is_none());
        let none = Cloud { valid: Some(vec![false; 640]), ..cloud };
        assert!(pose(&none, Align::Principal).is_none());
    }
}
