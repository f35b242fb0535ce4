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
        least_direction(self.covariance())
    }

    /// Covariance of the points, `[xx, xy, xz, yy, yz, zz]`; there is at least one.
    #[inline(always)]
    pub(crate) fn covariance(&self) -> [f64; 6] {
        let share = 1.0 / self.count;
        let [x, y, z] = self.first.map(|s| s * share);
        let [xx, xy, xz, yy, yz, zz] = self.second.map(|s| s * share);
        [xx - x * x, xy - x * y, xz - x * z, yy - y * y, yz - y * z, zz - z * z]
    }
}

/// The unit eigenvector of the least eigenvalue of the covariance `[xx, xy, xz, yy, yz, zz]`.
fn least_direction(covariance: [f64; 6]) -> Option<[f64; 3]> {
    let found = least_directions(&covariance.map(|v| [v]));
    (found[0] != [0.0] || found[1] != [0.0] || found[2] != [0.0]).then(|| found.map(|v| v[0]))
}

/// Steps of Newton's method at most. Points on a surface take three or four.
const STEPS: usize = 40;

/// The unit eigenvectors of the least eigenvalues of `N` covariances `[xx, xy, xz, yy, yz, zz]`, side by side: the longest cross
/// product of two rows of each matrix less its eigenvalue. Zeros where there is none.
///
/// Each lane is computed as it would be alone, in the same operations, so that the bits do not depend on `N`.
#[inline(always)]
pub(crate) fn least_directions<const N: usize>(covariance: &[[f64; N]; 6]) -> [[f64; N]; 3] {
    let mut scaled = [[0.0; N]; 6];
    for l in 0..N {
        let largest = covariance.iter().fold(0.0f64, |a, v| if v[l].abs() > a { v[l].abs() } else { a });
        let scale = 1.0 / largest;
        for (to, from) in scaled.iter_mut().zip(covariance) {
            to[l] = from[l] * scale;
        }
    }
    let [xx, xy, xz, yy, yz, zz] = &scaled;
    // The characteristic polynomial x^3 - trace x^2 + minors x - det.
    let (mut trace, mut minors, mut det) = ([0.0; N], [0.0; N], [0.0; N]);
    for l in 0..N {
        trace[l] = xx[l] + yy[l] + zz[l];
        minors[l] = (xx[l] * yy[l] - xy[l] * xy[l])
            + (xx[l] * zz[l] - xz[l] * xz[l])
            + (yy[l] * zz[l] - yz[l] * yz[l]);
        det[l] = xx[l] * (yy[l] * zz[l] - yz[l] * yz[l]) - xy[l] * (xy[l] * zz[l] - yz[l] * xz[l])
            + xz[l] * (xy[l] * yz[l] - yy[l] * xz[l]);
    }
    let least = least_roots(&trace, &minors, &det);
    let mut out = [[0.0; N]; 3];
    for l in 0..N {
        // Of the other two eigenvalues the sum, which is about the greatest of all, and the product.
        let sum = trace[l] - least[l];
        let product = minors[l] - least[l] * sum;
        let (a, b, c) = (xx[l] - least[l], yy[l] - least[l], zz[l] - least[l]);
        let rows = [[a, xy[l], xz[l]], [xy[l], b, yz[l]], [xz[l], yz[l], c]];
        let first = cross(rows[0], rows[1]);
        let (second, third) = (cross(rows[1], rows[2]), cross(rows[2], rows[0]));
        let (mut best, mut squared) = (first, dot(first, first));
        for next in [second, third] {
            let longer = dot(next, next) > squared;
            squared = if longer { dot(next, next) } else { squared };
            best = std::array::from_fn(|i| if longer { next[i] } else { best[i] });
        }
        let length = squared.sqrt();
        // False for what is not finite, too.
        let spans = (product > THINNEST * sum * sum) & (length > THINNEST * sum * sum);
        let along = if spans { 1.0 / length } else { 0.0 };
        for (out, v) in out.iter_mut().zip(best) {
            out[l] = if spans { v * along } else { 0.0 };
        }
    }
    out
}

/// The least roots of x^3 - trace x^2 + minors x - det, whose roots are real and not negative, by Newton's method from 0: left of
/// its least root a cubic of real roots is concave and rises, so that every step ends left of the root, too.
#[inline(always)]
fn least_roots<const N: usize>(trace: &[f64; N], minors: &[f64; N], det: &[f64; N]) -> [f64; N] {
    let mut x = [0.0; N];
    for _ in 0..STEPS {
        let mut moved = 0.0f64;
        for l in 0..N {
            let value = ((x[l] - trace[l]) * x[l] + minors[l]) * x[l] - det[l];
            let slope = (3.0 * x[l] - 2.0 * trace[l]) * x[l] + minors[l];
            let step = -value / slope;
            // Rounding ends it, and a multiple root, where the slope vanishes. Once a lane stands still, it stays.
            let step = if step > 1e-17 { step } else { 0.0 };
            x[l] += step;
            moved = if step > moved { step } else { moved };
        }
        if moved <= 0.0 {
            break;
        }
    }
    x
}

#[inline(always)]
fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[inline(always)]
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

/// Which of its two directions a normal has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Facing {
    /// Towards the camera at the origin: for what was seen from there.
    Camera,
    /// Away from this point, metres: for clouds that were put together from several views.
    Outward([f64; 3]),
}

impl Facing {
    /// [`Facing::Outward`] from the mean of `points`, added up in their order.
    pub fn outward(points: &[[f32; 3]]) -> Self {
        let mut sum = [0.0; 3];
        for point in points {
            sum.iter_mut().zip(point).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        Self::Outward(sum.map(|sum| sum / points.len().max(1) as f64))
    }

    /// Of a normal of either sign at `point`, the one of this direction; where the direction lies in the surface, the one with
    /// z towards the camera.
    pub(crate) fn turned(self, normal: [f64; 3], point: [f64; 3]) -> [f32; 3] {
        match self {
            Self::Camera => towards_camera(normal, point),
            // As towards the camera, were the way to `from` that from the camera.
            Self::Outward(from) => towards_camera(normal, std::array::from_fn(|c| from[c] - point[c])),
        }
    }

    /// The direction itself at `point`, of length 1; straight up the optical axis where there is none.
    pub fn at(self, point: [f32; 3]) -> [f32; 3] {
        let way: [f64; 3] = match self {
            Self::Camera => point.map(|v| -f64::from(v)),
            Self::Outward(from) => std::array::from_fn(|c| f64::from(point[c]) - from[c]),
        };
        let length = dot(way, way).sqrt();
        if length > 0.0 { way.map(|v| (v / length) as f32) } else { [0.0, 0.0, -1.0] }
    }
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

    #[test]
    fn normals_look_away_from_the_middle_of_a_ball() {
        let facing = Facing::outward(&[[1.0, 0.0, 2.0], [-1.0, 0.0, 2.0], [0.0, 1.0, 2.0], [0.0, -1.0, 2.0]]);
        assert_eq!(facing, Facing::Outward([0.0, 0.0, 2.0]));
        for normal in [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]] {
            assert_eq!(facing.turned(normal, [0.1, 0.0, 3.0]), [0.0, 0.0, 1.0]);
            assert_eq!(facing.turned(normal, [0.1, 0.0, 1.0]), [0.0, 0.0, -1.0]);
            // Edge-on.
            assert_eq!(facing.turned(normal, [0.1, 0.0, 2.0]), [0.0, 0.0, -1.0]);
        }
        assert_eq!(facing.at([0.0, 0.0, 5.0]), [0.0, 0.0, 1.0]);
        assert_eq!(facing.at([0.0, 0.0, 2.0]), [0.0, 0.0, -1.0]);
        assert_eq!(Facing::Camera.at([0.0, 0.0, 5.0]), [0.0, 0.0, -1.0]);
    }
}
