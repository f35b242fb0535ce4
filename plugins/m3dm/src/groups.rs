//! Point-MAE's tokens: centres that are far apart, the points around each, and centres' features brought back to the points.

use assay_sdk::{Parallel, for_each_chunk};

/// A point, metres.
pub(crate) type Point = [f32; 3];

/// Centres whose features a point takes.
pub(crate) const NEAREST: usize = 3;

/// What a squared distance is raised by before its inverse becomes a weight.
const EPSILON: f32 = 1e-8;

fn squared(a: Point, b: Point) -> f32 {
    let [dx, dy, dz] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    dx * dx + dy * dy + dz * dz
}

/// The indices of `n` points, the first one first, then always the one that is farthest from all before (farthest-point sampling; the lowest
/// index of equals). More centres than points repeat the last one found.
pub(crate) fn farthest(points: &[Point], n: usize) -> Vec<usize> {
    let mut apart = vec![f32::INFINITY; points.len()];
    let mut centres = Vec::with_capacity(n);
    let mut next = 0;
    for _ in 0..n {
        centres.push(next);
        let centre = points[next];
        for (apart, &p) in apart.iter_mut().zip(points) {
            *apart = apart.min(squared(p, centre));
        }
        let (mut at, mut most) = (next, 0.0);
        for (i, &apart) in apart.iter().enumerate() {
            if apart > most {
                (at, most) = (i, apart);
            }
        }
        next = at;
    }
    centres
}

/// The `k` nearest points of each centre, minus the centre, nearest first; `[centres, k, 3]`. Where there are fewer points the nearest, which is
/// the centre itself, fills up.
pub(crate) fn groups(points: &[Point], centres: &[usize], k: usize, par: &dyn Parallel) -> Vec<f32> {
    let mut groups = vec![0.0f32; centres.len() * k * 3];
    for_each_chunk(par, &mut groups, k * 3, &|c, group| {
        let centre = points[centres[c]];
        let mut keys: Vec<(f32, u32)> =
            points.iter().enumerate().map(|(i, &p)| (squared(p, centre), i as u32)).collect();
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if keys.len() > k {
            keys.select_nth_unstable_by(k - 1, order);
            keys.truncate(k);
        }
        keys.sort_unstable_by(order);
        for (to, &(_, i)) in group.chunks_exact_mut(3).zip(&keys) {
            let p = points[i as usize];
            to.copy_from_slice(&[p[0] - centre[0], p[1] - centre[1], p[2] - centre[2]]);
        }
    });
    groups
}

/// The nearest centres of each point and their weights, which add up to 1: the inverse of the squared distance (M3DM's point feature
/// alignment). With fewer than three centres the weights of the rest are 0.
pub(crate) fn shares(points: &[Point], centres: &[Point], par: &dyn Parallel) -> Vec<[(u32, f32); NEAREST]> {
    let mut shares = vec![[(0, 0.0); NEAREST]; points.len()];
    for_each_chunk(par, &mut shares, 256, &|chunk, part| {
        for (share, &p) in part.iter_mut().zip(&points[chunk * 256..]) {
            let mut nearest = [(0u32, f32::INFINITY); NEAREST];
            for (c, &centre) in centres.iter().enumerate() {
                let mut found = (c as u32, squared(p, centre));
                if found.1 < nearest[NEAREST - 1].1 {
                    for held in &mut nearest {
                        if found.1 < held.1 {
                            std::mem::swap(held, &mut found);
                        }
                    }
                }
            }
            let weights = nearest.map(|(_, squared)| 1.0 / (squared + EPSILON));
            let sum: f32 = weights.iter().sum();
            *share = std::array::from_fn(|i| (nearest[i].0, weights[i] / sum));
        }
    });
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::Serial;
    use assay_training::layers::Draws;

    fn cloud(n: usize) -> Vec<Point> {
        Draws::new(8).uniform(3 * n, 0.05).as_chunks().0.to_vec()
    }

    #[test]
    fn each_centre_is_the_point_farthest_from_those_before() {
        let points = cloud(200);
        let centres = farthest(&points, 20);
        assert_eq!(centres[0], 0);
        let apart = |i: usize, n: usize| {
            centres[..n].iter().map(|&c| squared(points[i], points[c])).fold(f32::INFINITY, f32::min)
        };
        for n in 1..20 {
            let most = (0..200).map(|i| apart(i, n)).fold(0.0, f32::max);
            assert_eq!(apart(centres[n], n), most);
        }
        assert_eq!(farthest(&[[1.0; 3]; 2], 3), [0, 0, 0]);
    }

    #[test]
    fn a_group_is_the_nearest_points_around_their_centre() {
        let points = cloud(100);
        let found = groups(&points, &[7, 40], 10, &Serial);
        for (group, c) in found.chunks_exact(30).zip([7, 40]) {
            assert_eq!(group[..3], [0.0; 3]);
            let lengths: Vec<f32> = group.as_chunks::<3>().0.iter().map(|p| squared(*p, [0.0; 3])).collect();
            assert!(lengths.is_sorted());
            let mut all: Vec<f32> = points.iter().map(|&p| squared(p, points[c])).collect();
            all.sort_by(f32::total_cmp);
            assert!(lengths.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-9));
        }
        assert_eq!(groups(&points[..2], &[0], 4, &Serial)[6..], [0.0; 6]);
    }

    #[test]
    fn a_point_takes_its_nearest_centres_by_the_inverse_of_their_squared_distances() {
        let centres = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.2, 0.0, 0.0], [0.3, 0.0, 0.0]];
        let points = [[0.1, 0.0, 0.0], [0.15, 0.0, 0.1], [0.26, 0.0, 0.0]];
        let found = shares(&points, &centres, &Serial);
        assert_eq!(found[0][0].0, 1);
        assert!(found[0][0].1 > 0.999_99);
        assert!((found[1][0].1 - found[1][1].1).abs() < 1e-4);
        assert_eq!(found[2].map(|s| s.0), [3, 2, 1]);
        let expected = [0.04f32, 0.06, 0.16].map(|d| 1.0 / (d * d + 1e-8));
        let sum: f32 = expected.iter().sum();
        assert!(found[2].iter().zip(expected).all(|(s, e)| (s.1 - e / sum).abs() < 1e-4));
        assert_eq!(shares(&points, &centres[..1], &Serial)[1].map(|s| s.1), [1.0, 0.0, 0.0]);
    }
}
