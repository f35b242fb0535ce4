//! Fast point feature histograms (Rusu, Blodow and Beetz, ICRA 2009), as Open3D computes them.

use crate::neighbours::Neighbours;
use assay_sdk::{Parallel, for_each_chunk};
use pulp::{Arch, Simd, WithSimd};

/// Bins of one angle.
const BINS: usize = 11;

/// Length of a histogram: three angles, in the order of Open3D: theta, alpha, phi.
pub const WIDTH: usize = 3 * BINS;

/// Points a task.
const CHUNK: usize = 256;

/// The FPFH of a point: theta, alpha, phi, each bin 0 to 200.
pub type Histogram = [f32; WIDTH];

/// A histogram in pieces that fill vector registers.
type Padded = [[f32; LANES]; WIDTH.div_ceil(LANES)];

/// Neighbours whose bins are computed, and bins that are summed, at a time.
const LANES: usize = 8;

/// FPFH of every point: its own histogram of pair angles plus the mean of its neighbours' histograms, weighted by
/// 1/distance^2, each 11-bin block of the mean scaled to the sum 100.
///
/// The nearest entry of a neighbour list (the point itself) is skipped, and in the mean all at distance 0.
/// A point without neighbours has an empty histogram. Each block sums to 200 elsewhere, but to 100 where all
/// neighbours are at distance 0. `normals` are unit vectors, one a point; `neighbours` are those of `points`.
///
/// # Panics
/// Where normals or neighbours are those of another number of points.
pub(crate) fn fpfh(
    points: &[[f32; 3]],
    normals: &[[f32; 3]],
    neighbours: &Neighbours,
    par: &dyn Parallel,
) -> Vec<Histogram> {
    let simple = simple_histograms(points, normals, neighbours, par);
    let mut features = vec![[0.0; WIDTH]; points.len()];
    let arch = Arch::new();
    for_each_chunk(par, &mut features, CHUNK, &|chunk, part| {
        let first = chunk * CHUNK;
        let mut sums = vec![Padded::default(); part.len()];
        arch.dispatch(Sums { simple: &simple, neighbours, first, out: &mut sums });
        for ((own, sums), feature) in simple[first..].iter().zip(&sums).zip(part) {
            let blocks = sums.as_flattened().chunks_exact(BINS).zip(own.as_flattened().chunks_exact(BINS));
            for (out, (sums, own)) in feature.chunks_exact_mut(BINS).zip(blocks) {
                let total: f32 = sums.iter().sum();
                let scale = if total > 0.0 { 100.0 / total } else { 0.0 };
                for ((v, sum), own) in out.iter_mut().zip(sums).zip(own) {
                    *v = sum * scale + own;
                }
            }
        }
    });
    features
}

/// The sums of the histograms of each point's neighbours over their squared distances, for the points from `first` on.
///
/// Apart from the blocks of 11 the compiler sees whole vectors.
struct Sums<'a> {
    simple: &'a [Padded],
    neighbours: &'a Neighbours,
    first: usize,
    /// Zeros.
    out: &'a mut [Padded],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (i, out) in (self.first..).zip(self.out) {
            let mut sums = Padded::default();
            for (j, squared) in self.neighbours.of(i).skip(1) {
                if squared > 0.0 {
                    // Bounded, so that sums stay finite however near two points are.
                    let weight = 1.0 / squared.max(1e-30);
                    for (sums, values) in sums.iter_mut().zip(&self.simple[j]) {
                        for lane in 0..LANES {
                            sums[lane] += weight * values[lane];
                        }
                    }
                }
            }
            *out = sums;
        }
    }
}

/// The histograms of the angles between each point and its neighbours alone (SPFH); each block sums to 100.
pub(crate) fn simple_histograms(
    points: &[[f32; 3]],
    normals: &[[f32; 3]],
    neighbours: &Neighbours,
    par: &dyn Parallel,
) -> Vec<Padded> {
    // One place in memory a neighbour.
    let oriented: Vec<[f32; 6]> =
        points.iter().zip(normals).map(|(&[x, y, z], &[nx, ny, nz])| [x, y, z, nx, ny, nz]).collect();
    let mut histograms = vec![Padded::default(); points.len()];
    let arch = Arch::new();
    for_each_chunk(par, &mut histograms, CHUNK, &|chunk, out| {
        arch.dispatch(Pairs { oriented: &oriented, neighbours, first: chunk * CHUNK, out });
    });
    histograms
}

/// The first step for the points from `first` on.
struct Pairs<'a> {
    /// Position and normal.
    oriented: &'a [[f32; 6]],
    neighbours: &'a Neighbours,
    first: usize,
    out: &'a mut [Padded],
}

impl WithSimd for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (i, histogram) in (self.first..).zip(self.out) {
            let mut others = self.neighbours.of(i).skip(1).map(|(j, _)| &self.oriented[j]);
            let pairs = others.len();
            let mut counts = [[0u32; 16]; 3];
            while others.len() > 0 {
                count_pairs(&self.oriented[i], &mut others, &mut counts);
            }
            if pairs > 0 {
                let increment = 100.0 / pairs as f32;
                for (block, counts) in histogram.as_flattened_mut().chunks_exact_mut(BINS).zip(&counts) {
                    for (bin, &count) in block.iter_mut().zip(counts) {
                        *bin = count as f32 * increment;
                    }
                }
            }
        }
    }
}

/// Counts the bins of the pairs that a point forms with the next [`LANES`] of `others`, or fewer at their end.
#[inline(always)]
fn count_pairs<'a>(
    point: &[f32; 6],
    others: &mut impl ExactSizeIterator<Item = &'a [f32; 6]>,
    counts: &mut [[u32; 16]; 3],
) {
    let [x, y, z, own @ ..] = *point;
    let pairs = others.len().min(LANES);
    // By coordinate, so that the angles of several neighbours are computed at a time.
    let mut way = [[0.0; LANES]; 3];
    let mut normal = [[0.0; LANES]; 3];
    for (lane, other) in others.by_ref().take(LANES).enumerate() {
        (way[0][lane], way[1][lane], way[2][lane]) = (other[0] - x, other[1] - y, other[2] - z);
        (normal[0][lane], normal[1][lane], normal[2][lane]) = (other[3], other[4], other[5]);
    }
    let mut bins = [[0; LANES]; 3];
    for lane in 0..LANES {
        let at = |v: &[[f32; LANES]; 3]| [v[0][lane], v[1][lane], v[2][lane]];
        [bins[0][lane], bins[1][lane], bins[2][lane]] = pair_bins(at(&way), own, at(&normal));
    }
    for (counts, bins) in counts.iter_mut().zip(&bins) {
        for &bin in &bins[..pairs] {
            counts[bin as usize % 16] += 1;
        }
    }
}

/// Cosine and sine of the upper bin edges of a non-negative theta: 1/11, 3/11, ... 9/11 of pi.
const EDGES: [(f32, f32); BINS / 2] = [
    (0.959_493, 0.281_732_56),
    (0.654_860_73, 0.755_749_6),
    (0.142_314_84, 0.989_821_43),
    (-0.415_415_02, 0.909_631_97),
    (-0.841_253_5, 0.540_640_83),
];

/// The bins of the three angles of a pair: the way from one point to the other and their unit normals.
///
/// With source normal s, target normal t and way d of length 1 (the source is the one whose normal is nearer to the
/// way), u = s, v = (d x s)/|d x s| and w = u x v: theta = atan2(w.t, u.t), alpha = v.t, phi = s.d. A pair that
/// determines no frame counts as zeros. The form below is free of branches and of arc tangents: theta's bin
/// follows from comparing its direction with those of the edges.
#[inline(always)]
fn pair_bins(way: [f32; 3], own: [f32; 3], other: [f32; 3]) -> [u32; 3] {
    let squared = dot(way, way);
    let length = squared.sqrt();
    let (a, b) = (dot(own, way), dot(other, way));
    // Source and target swapped, the way turns round too.
    let swap = a.abs() < b.abs();
    let along = if swap { -b } else { a };
    let across = if swap { -a } else { b };
    let source: [f32; 3] = std::array::from_fn(|c| if swap { other[c] } else { own[c] });
    let normal = cross(way, source);
    let sine = dot(normal, normal).sqrt();
    let cosine = dot(own, other);
    let triple = dot(way, cross(own, other));
    let (y, x) = (across - along * cosine, cosine * sine);
    let mut steps = 0;
    for (cos, sin) in EDGES {
        steps += u32::from(y.abs() * cos >= x * sin);
    }
    let middle = (BINS / 2) as u32;
    let theta = if y >= 0.0 { middle + steps } else { middle - steps };
    let half = 0.5 * BINS as f32;
    let alpha = bin(half * (triple / sine) + half);
    let phi = bin(half * (along / length) + half);
    if squared > 0.0 && sine > 0.0 { [theta, alpha, phi] } else { [middle; 3] }
}

/// The integer part of `v`, held in `0..BINS`; the conversions of the language would be done lane by lane.
#[inline(always)]
fn bin(v: f32) -> u32 {
    let below = BINS as f32 - 1e-5;
    let v = if v > 0.0 { v } else { 0.0 };
    let v = if v < below { v } else { below };
    // 16 + v has the exponent of 16: the four highest bits of its mantissa are the integer part of v.
    (16.0 + v).to_bits() >> 19 & 15
}

#[inline(always)]
fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[inline(always)]
fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Threads, golden, wavy_cloud};
    use crate::neighbours::Search;
    use crate::normals;
    use crate::plane::Facing;
    use assay_sdk::Serial;

    /// Open3D's own steps with its arc tangent and branches, in f64.
    fn naive_bins(way: [f64; 3], own: [f64; 3], other: [f64; 3]) -> [usize; 3] {
        let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let cross = |a: [f64; 3], b: [f64; 3]| {
            [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
        };
        let length = dot(way, way).sqrt();
        let (a, b) = (dot(own, way) / length, dot(other, way) / length);
        let (way, source, target, phi) = if a.abs().acos() > b.abs().acos() {
            (way.map(|v| -v), other, own, -b)
        } else {
            (way, own, other, a)
        };
        let v = cross(way, source);
        let sine = dot(v, v).sqrt();
        let angles = if length == 0.0 || sine == 0.0 {
            [0.0; 3]
        } else {
            let v = v.map(|c| c / sine);
            let w = cross(source, v);
            [dot(w, target).atan2(dot(source, target)) / std::f64::consts::PI, dot(v, target), phi]
        };
        angles.map(|f| ((11.0 * (f + 1.0) / 2.0).floor().max(0.0) as usize).min(10))
    }

    #[test]
    fn bins_follow_from_the_definition() {
        let mut next = crate::fixtures::uniform(7);
        let mut direction = |flat: f64| {
            let v = [next() - 0.5, next() - 0.5, flat * (next() - 0.5)];
            let n = v.iter().map(|c| c * c).sum::<f64>().sqrt();
            v.map(|c| (c / n) as f32)
        };
        let mut differ = 0;
        for i in 0..20_000 {
            let (way, own, other) =
                (direction([1.0, 0.1][i % 2]), direction(1.0), direction([1.0, 8.0][i / 2 % 2]));
            let way = way.map(|v| 1e-3 * v);
            let expected = naive_bins(way.map(f64::from), own.map(f64::from), other.map(f64::from));
            let bins = pair_bins(way, own, other).map(|b| b as usize);
            differ += usize::from(bins != expected);
        }
        assert!(differ < 4, "{differ} of 20000 pairs lie on an edge");
    }

    #[test]
    fn degenerate_pairs_count_as_zeros() {
        let up = [0.0, 0.0, -1.0];
        assert_eq!(pair_bins([0.0; 3], up, up), [5; 3]);
        assert_eq!(pair_bins([0.0, 0.0, 0.002], up, up), [5; 3]);
        let features = fpfh(&[[1.0; 3]; 4], &[up; 4], &search(&[[1.0; 3]; 4], Search::nearest(4)), &Serial);
        assert_eq!(features[0].iter().sum::<f32>(), 300.0);
        assert_eq!(features[0][5], 100.0);
    }

    #[test]
    fn points_nearer_than_floats_can_square_have_finite_features() {
        let points: Vec<_> =
            (0..40u8).map(|i| [1e-20 * f32::from(i), 1e-19 * f32::from(i % 7), 0.0]).collect();
        let features = fpfh(&points, &[[0.0, 0.0, -1.0]; 40], &search(&points, Search::nearest(9)), &Serial);
        assert!(features.iter().flatten().all(|v| (0.0..=200.01).contains(v)));
    }

    #[test]
    fn a_point_alone_has_an_empty_histogram() {
        let table = search(&[[1.0; 3]], Search::nearest(9));
        assert_eq!(fpfh(&[[1.0; 3]], &[[0.0, 0.0, -1.0]], &table, &Serial), [[0.0; WIDTH]]);
    }

    #[test]
    fn edges_are_the_odd_elevenths_of_a_half_turn() {
        for (i, (cos, sin)) in EDGES.into_iter().enumerate() {
            let angle = std::f64::consts::PI * (2 * i + 1) as f64 / 11.0;
            assert_eq!((cos, sin), (angle.cos() as f32, angle.sin() as f32));
        }
    }

    #[test]
    fn blocks_sum_to_200_and_threads_change_nothing() {
        let points = wavy_cloud(2000, 3);
        let table = search(&points, Search::nearest(50));
        let normals: Vec<_> =
            normals::of_cloud(&points, &table, 30, Facing::Camera, &Serial).into_iter().flatten().collect();
        let features = fpfh(&points, &normals, &table, &Serial);
        assert!(
            features
                .iter()
                .flat_map(|f| f.chunks(BINS))
                .all(|b| (b.iter().sum::<f32>() - 200.0).abs() < 0.01)
        );
        assert_eq!(features, fpfh(&points, &normals, &table, &Threads(3)));
    }

    fn search(points: &[[f32; 3]], search: Search) -> Neighbours {
        Neighbours::search(points, search, &Serial).unwrap()
    }

    fn share(hits: impl ExactSizeIterator<Item = bool>) -> f64 {
        let n = hits.len() as f64;
        hits.filter(|&h| h).count() as f64 / n
    }

    #[test]
    fn features_agree_with_open3d() {
        let Some(points) = golden::<3>("points") else { return };
        let points: Vec<_> = points.iter().map(|p| p.map(|v| v as f32)).collect();
        let normals: Vec<_> =
            golden::<3>("normals_knn30_to_camera").unwrap().iter().map(|n| n.map(|v| v as f32)).collect();
        for (name, wanted) in
            [("fpfh_knn100", Search::nearest(100)), ("fpfh_hybrid_5mm_100", Search { k: 100, radius: 0.005 })]
        {
            let expected = golden::<WIDTH>(name).unwrap();
            let features = fpfh(&points, &normals, &search(&points, wanted), &Serial);
            let error = |(a, b): (&Histogram, &[f64; WIDTH])| {
                let norm = b.iter().map(|v| v * v).sum::<f64>().sqrt();
                a.iter().zip(b).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum::<f64>().sqrt() / norm
            };
            let mut errors: Vec<_> = features.iter().zip(&expected).map(error).collect();
            let agree = share(errors.iter().map(|&e| e < 1e-3));
            errors.sort_by(f64::total_cmp);
            eprintln!(
                "{name}: {agree:.5} of rows within 1e-3; median {:.1e}, greatest {:.1e}",
                errors[errors.len() / 2],
                errors[errors.len() - 1]
            );
            assert!(agree >= 0.995, "{name}: {agree}");
        }
    }

    #[test]
    fn normals_agree_with_open3d() {
        let Some(points) = golden::<3>("points") else { return };
        let expected = golden::<3>("normals_knn30_to_camera").unwrap();
        let points: Vec<_> = points.iter().map(|p| p.map(|v| v as f32)).collect();
        let table = search(&points, Search::nearest(30));
        let found = normals::of_cloud(&points, &table, 30, Facing::Camera, &Serial);
        let near = |(a, b): (&Option<[f32; 3]>, &[f64; 3])| {
            let Some(a) = a else { return false };
            let apart = a.iter().zip(b).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum::<f64>().sqrt();
            apart < 1e-3
        };
        let agree = share(found.iter().zip(&expected).map(near));
        eprintln!("normals: {agree:.5} of rows within 1e-3 rad");
        assert!(agree >= 0.999, "{agree}");
    }
}
