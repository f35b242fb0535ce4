//! The plane of least squares through a handful of points: the normal by principal component analysis.

/// Thinnest neighbourhood that still spans a plane: the ratio of the middle to the greatest variance.
const THINNEST: f64 = 1e-8;

/// Sums over points from which their covariance follows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    /// Points.
    pub(crate) count: f64,
    /// Sums of x, y, z.
    pub(crate) first: [f64; 3],
    /// Sums of xx, xy, xz, yy, yz, zz.
    pub(crate) second: [f64; 6],
}

impl Moments {
    /// Takes a point. Let the origin be near all points: the covariance is a difference of these sums.
    #[inline]
    pub(crate) fn add(&mut self, [x, y, z]: [f64; 3]) {
        self.count += 1.0;
        for (sum, v) in self.first.iter_mut().zip([x, y, z]) {
            *sum += v;
        }
        for (sum, v) in self.second.iter_mut().zip([x * x, x * y, x * z, y * y, y * z, z * z]) {
            *sum += v;
        }
    }

    /// The unit normal of the plane, of either sign; `None` where the points do not span one: fewer than three,
    /// (nearly) on a line, or spread alike in all directions.
    pub(crate) fn normal(&self) -> Option<[f64; 3]> {
        if self.count < 3.0 {
            return None;
        }
        let [x, y, z] = self.first.map(|s| s / self.count);
        let [xx, xy, xz, yy, yz, zz] = self.second.map(|s| s / self.count);
        least_direction([xx - x * x, xy - x * y, xz - x * z, yy - y * y, yz - y * z, zz - z * z])
    }
}

/// The unit eigenvector of the least eigenvalue of the covariance `[xx, xy, xz, yy, yz, zz]`.
///
/// The eigenvalues come from the trigonometric solution of the characteristic polynomial (Smith 1961); the vector is
/// the longest cross product of two rows of the matrix less its eigenvalue.
fn least_direction(covariance: [f64; 6]) -> Option<[f64; 3]> {
    let largest = covariance.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    if largest <= 0.0 || !largest.is_finite() {
        return None;
    }
    let [xx, xy, xz, yy, yz, zz] = covariance.map(|v| v / largest);
    let mean = (xx + yy + zz) / 3.0;
    let (dx, dy, dz) = (xx - mean, yy - mean, zz - mean);
    let spread = ((dx * dx + dy * dy + dz * dz + 2.0 * (xy * xy + xz * xz + yz * yz)) / 6.0).sqrt();
    if spread <= 0.0 {
        return None;
    }
    let det = dx * (dy * dz - yz * yz) - xy * (xy * dz - yz * xz) + xz * (xy * yz - dy * xz);
    let angle = (det / (2.0 * spread * spread * spread)).clamp(-1.0, 1.0).acos() / 3.0;
    let greatest = mean + 2.0 * spread * angle.cos();
    let least = mean + 2.0 * spread * (angle + std::f64::consts::TAU / 3.0).cos();
    let middle = 3.0 * mean - greatest - least;
    if middle <= THINNEST * greatest {
        return None;
    }
    let rows = [[xx - least, xy, xz], [xy, yy - least, yz], [xz, yz, zz - least]];
    let candidates = [cross(rows[0], rows[1]), cross(rows[1], rows[2]), cross(rows[2], rows[0])];
    let lengths = candidates.map(|v| dot(v, v));
    let best = (1..3).fold(0, |best, i| if lengths[i] > lengths[best] { i } else { best });
    let length = lengths[best].sqrt();
    (length > THINNEST * greatest * greatest).then(|| candidates[best].map(|v| v / length))
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Of a normal of either sign at `point`, the one that looks to the camera at the origin, or straight up the
/// optical axis where the surface is seen edge-on.
pub(crate) fn towards_camera(normal: [f64; 3], point: [f64; 3]) -> [f32; 3] {
    let away = dot(normal, point);
    let flip = away > 0.0 || (away == 0.0 && normal[2] > 0.0);
    normal.map(|v| if flip { -v } else { v } as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Matrix3;
    use proptest::prelude::*;

    fn moments(points: &[[f64; 3]]) -> Moments {
        let mut m = Moments::default();
        points.iter().for_each(|&p| m.add(p));
        m
    }

    proptest! {
        #[test]
        fn the_normal_is_the_eigenvector_that_an_iterative_solver_finds(
            points in prop::collection::vec([-1.0..1.0f64, -1.0..1.0f64, -1.0..1.0f64], 4..40),
            flat in 1e-5..1.0f64,
        ) {
            let points: Vec<_> = points.into_iter().map(|[x, y, z]| [x, y, 0.3 * x - 0.2 * y + flat * z]).collect();
            let n = points.len() as f64;
            let mean: [f64; 3] = std::array::from_fn(|c| points.iter().map(|p| p[c]).sum::<f64>() / n);
            let covariance = Matrix3::from_fn(|r, c| points.iter().map(|p| (p[r] - mean[r]) * (p[c] - mean[c])).sum::<f64>() / n);
            let eigen = covariance.symmetric_eigen();
            let mut order = [0, 1, 2];
            order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
            let [least, middle, greatest] = order.map(|i| eigen.eigenvalues[i]);
            prop_assume!(middle - least > 1e-3 * greatest);
            let expected = eigen.eigenvectors.column(order[0]);
            let normal = moments(&points).normal().unwrap();
            let along = expected.iter().zip(normal).map(|(a, b)| a * b).sum::<f64>().abs();
            prop_assert!((1.0 - along) < 1e-12, "{along}");
        }
    }

    #[test]
    fn an_exact_plane_has_its_exact_normal() {
        let normal =
            moments(&[[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]).normal().unwrap();
        assert_eq!(normal.map(f64::abs), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn points_that_span_no_plane_have_no_normal() {
        assert_eq!(moments(&[[0.0; 3], [1.0; 3]]).normal(), None);
        assert_eq!(moments(&[[0.5; 3]; 9]).normal(), None);
        let line: Vec<_> =
            (0..9).map(|i| [0.1 * f64::from(i), 0.2 * f64::from(i), 0.3 * f64::from(i)]).collect();
        assert_eq!(moments(&line).normal(), None);
        let cube: Vec<_> =
            (0..8).map(|i| [f64::from(i & 1), f64::from(i >> 1 & 1), f64::from(i >> 2)]).collect();
        assert_eq!(moments(&cube).normal(), None);
        assert_eq!(moments(&[[f64::NAN; 3]; 5]).normal(), None);
    }

    #[test]
    fn normals_look_to_the_camera() {
        assert_eq!(towards_camera([0.0, 0.0, 1.0], [0.1, 0.0, 0.5]), [0.0, 0.0, -1.0]);
        assert_eq!(towards_camera([0.0, 0.0, -1.0], [0.1, 0.0, 0.5]), [0.0, 0.0, -1.0]);
        assert_eq!(towards_camera([0.0, 0.6, 0.8], [0.0; 3]), [0.0, -0.6, -0.8]);
    }
}
