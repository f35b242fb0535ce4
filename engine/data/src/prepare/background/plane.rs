//! A plane through most of the points: seeded RANSAC over least-squares fits.

use nalgebra::{Matrix3, Vector3};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Background;

/// Points that candidate planes are judged by; the refinement uses all.
const JUDGES: usize = 512;

/// Chance of missing the plane that ends the search early.
const MISS: f64 = 1e-3;

/// Refits at most, each to the points near the last fit.
const REFITS: usize = 8;

/// A plane in metres: the points p with `normal . p + offset = 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// Of length 1, on the side of the sensor (the origin).
    pub normal: [f64; 3],
    /// Distance of the sensor from the plane, metres; not negative.
    pub offset: f64,
}

impl Plane {
    /// Signed distance of a point, metres: positive on the sensor's side, so that it is a height above a table.
    pub fn distance(&self, [x, y, z]: [f64; 3]) -> f64 {
        let [a, b, c] = self.normal;
        a * x + b * y + c * z + self.offset
    }

    /// The least-squares plane (orthogonal distances); `None` where the points lie on a line or in one place.
    fn through<'a>(points: impl Iterator<Item = &'a [f64; 3]> + Clone) -> Option<Self> {
        let (mut count, mut sum) = (0.0, Vector3::zeros());
        for p in points.clone() {
            count += 1.0;
            sum += Vector3::from(*p);
        }
        let centre = sum / count;
        let mut spread = Matrix3::zeros();
        for p in points {
            let d = Vector3::from(*p) - centre;
            spread += d * d.transpose();
        }
        let eigen = spread.symmetric_eigen();
        let mut axes = [0, 1, 2];
        axes.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
        let [least, middle, most] = axes.map(|a| eigen.eigenvalues[a]);
        if !least.is_finite() || !most.is_finite() || middle <= 1e-9 * most {
            return None;
        }
        let normal = eigen.eigenvectors.column(axes[0]).into_owned();
        let offset = -normal.dot(&centre);
        let side = if offset < 0.0 { -1.0 } else { 1.0 };
        Some(Self { normal: (side * normal).into(), offset: side * offset })
    }

    fn near<'a>(
        &self,
        points: &'a [[f64; 3]],
        distance: f64,
    ) -> impl Iterator<Item = &'a [f64; 3]> + Clone + use<'a> {
        let plane = *self;
        points.iter().filter(move |p| plane.distance(**p).abs() < distance)
    }
}

/// The plane that holds most of `points` (whose order changes), or `None` where none holds the least share.
pub(super) fn ransac(points: &mut [[f64; 3]], settings: &Background) -> Option<Plane> {
    if points.len() < settings.sample_points {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    shuffle_front(points, JUDGES, &mut random);
    let judges: Vec<_> = points.iter().take(JUDGES).copied().collect();
    let mut best: Option<(usize, Plane)> = None;
    let mut needed = settings.iterations as f64;
    let mut done = 0;
    while (done as f64) < needed {
        done += 1;
        shuffle_front(points, settings.sample_points, &mut random);
        let Some(plane) = Plane::through(points[..settings.sample_points].iter()) else { continue };
        let votes = plane.near(&judges, settings.plane_distance).count();
        if best.is_none_or(|(most, _)| votes > most) {
            best = Some((votes, plane));
            // A sample without a stray point is as good as any; after so many, one has been drawn.
            let share = votes as f64 / judges.len() as f64;
            let clean = share.powi(settings.sample_points.min(1000) as i32);
            needed = needed.min(MISS.ln() / (-clean).ln_1p());
        }
    }
    let plane = refined(best?.1, points, settings.plane_distance)?;
    let share = plane.near(points, settings.plane_distance).count() as f64 / points.len() as f64;
    (share >= settings.least_share).then_some(plane)
}

/// Fits again to all points near the plane, until they no longer change.
fn refined(mut plane: Plane, points: &[[f64; 3]], distance: f64) -> Option<Plane> {
    let mut count = 0;
    for _ in 0..REFITS {
        let near = plane.near(points, distance).count();
        if near == count {
            break;
        }
        count = near;
        plane = Plane::through(plane.near(points, distance))?;
    }
    Some(plane)
}

/// Moves `count` randomly drawn points, without repetition, to the front.
fn shuffle_front(points: &mut [[f64; 3]], count: usize, random: &mut ChaCha8Rng) {
    for k in 0..count.min(points.len()) {
        let left = (points.len() - k) as u64;
        let drawn = (u64::from(random.next_u32()) * left) >> 32;
        points.swap(k, k + drawn as usize);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plane_among_stray_points_is_found(
            seed in any::<u64>(), tilt in -0.5f64..0.5, turn in -0.5f64..0.5, stray in 0usize..150,
        ) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut uniform = |low: f64, high: f64| low + (high - low) * f64::from(random.next_u32()) / 2f64.powi(32);
            let mut points: Vec<[f64; 3]> = (0..1000)
                .map(|_| {
                    let (x, y) = (uniform(-0.1, 0.1), uniform(-0.1, 0.1));
                    [x, y, 0.6 + tilt * x + turn * y + uniform(-0.0005, 0.0005)]
                })
                .collect();
            points.extend((0..stray).map(|_| [uniform(-0.1, 0.1), uniform(-0.1, 0.1), uniform(0.45, 0.5)]));
            let plane = ransac(&mut points, &Background::default()).unwrap();
            prop_assert!(plane.offset > 0.0);
            for (x, y) in [(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1)] {
                prop_assert!(plane.distance([x, y, 0.6 + tilt * x + turn * y]).abs() < 5e-4);
            }
        }
    }

    #[test]
    fn distances_are_heights_above_the_plane() {
        let mut points: Vec<_> = (0..400).map(|k| [f64::from(k % 20), f64::from(k / 20), 2.0]).collect();
        let plane = ransac(&mut points, &Background::default()).unwrap();
        assert!((plane.distance([3.0, 4.0, 1.5]) - 0.5).abs() < 1e-12);
        assert!((plane.distance([3.0, 4.0, 2.5]) + 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_line_and_a_single_place_are_no_plane() {
        let mut line: Vec<_> = (0..100).map(|k| [f64::from(k), 0.0, 1.0]).collect();
        assert_eq!(ransac(&mut line, &Background::default()), None);
        assert_eq!(ransac(&mut [[1.0, 2.0, 3.0]; 100], &Background::default()), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let points: Vec<_> =
            (0..300).map(|k| [f64::from(k % 17), f64::from(k % 23), 0.001 * f64::from(k % 7)]).collect();
        let plane = || ransac(&mut points.clone(), &Background { seed: 7, ..Default::default() });
        assert_eq!(plane(), plane());
    }
}
