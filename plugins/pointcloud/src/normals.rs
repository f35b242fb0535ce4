//! Surface normals of organised scans, as unit vectors towards the camera at the origin, and of clouds.

use crate::neighbours::Neighbours;
use crate::plane::{Facing, Moments, least_directions, towards_camera};
use assay_sdk::{Parallel, for_each_chunk};
use pulp::{Arch, Simd, WithSimd};

/// A normal of each point or pixel; `None` where its surroundings do not span a plane.
pub(crate) type Normals = Vec<Option<[f32; 3]>>;

/// Rows or points a task.
const ROWS: usize = 8;
const POINTS: usize = 512;

/// Pixels whose planes are found together.
const LANES: usize = 8;

/// Steepest step to a neighbouring pixel that still is one surface, in steps sideways: about 63 degrees.
const STEEPEST: f64 = 2.0;

/// An organised scan: a point of each pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// x, y and z of all pixels, row-major, metres; z away from the camera.
    pub(crate) planes: [&'a [f32]; 3],
    /// Which pixels hold a (finite) point.
    pub(crate) valid: &'a [bool],
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) cols: usize,
}

impl Scan<'_> {
    /// The point of pixel `i`.
    pub(crate) fn point(&self, i: usize) -> [f32; 3] {
        self.planes.map(|plane| plane[i])
    }

    /// The typical distance between neighbouring pixels of a row, across the line of sight; `None` without neighbours.
    fn pitch(&self) -> Option<f64> {
        // A few thousand pairs tell it.
        let stride = (self.valid.len() / 8192).max(1) | 1;
        let mut steps: Vec<f64> = (0..self.valid.len().saturating_sub(1))
            .step_by(stride)
            .filter(|&i| self.valid[i] && self.valid[i + 1] && (i + 1) % self.cols != 0)
            .map(|i| {
                let step = |c: usize| f64::from(self.planes[c][i + 1]) - f64::from(self.planes[c][i]);
                step(0).hypot(step(1))
            })
            .collect();
        let middle = steps.len() / 2;
        (!steps.is_empty()).then(|| *steps.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}

/// Normals of a cloud, unit vectors: of each point, that of the plane through the first `count` of its neighbours (itself
/// included), as Open3D's `estimate_normals` and, facing the camera, `orient_normals_towards_camera_location(0)` compute them.
///
/// `neighbours` are those of `points`.
///
/// # Panics
/// Where they are those of another number of points.
pub(crate) fn of_cloud(
    points: &[[f32; 3]],
    neighbours: &Neighbours,
    count: usize,
    facing: Facing,
    par: &dyn Parallel,
) -> Normals {
    let mut normals = vec![None; points.len()];
    for_each_chunk(par, &mut normals, POINTS, &|chunk, part| {
        for (i, normal) in (chunk * POINTS..).zip(part) {
            let p = points[i].map(f64::from);
            let mut moments = Moments::default();
            for (j, _) in neighbours.of(i).take(count) {
                let q = points[j];
                moments.add(std::array::from_fn(|c| f64::from(q[c]) - p[c]));
            }
            *normal = moments.normal().map(|n| facing.turned(n, p));
        }
    });
    normals
}

/// Normals of an organised scan: of each pixel, the plane through the pixels at most `window` rows and columns away
/// that lie on its own surface, that is, whose depth differs by no more than [`STEEPEST`] times the window's radius in
/// metres. A pixel with fewer than a quarter of its window has none.
///
/// Where no depth differs by more, which is nearly everywhere, the sums over a window are differences of running sums of column
/// sums, so that their cost does not grow with the window.
pub(crate) fn of_scan(scan: &Scan<'_>, window: usize, par: &dyn Parallel) -> Normals {
    let mut normals = vec![None; scan.valid.len()];
    let Some(pitch) = scan.pitch() else { return normals };
    let fit = Fit { scan, window, jump: STEEPEST * window as f64 * pitch, centre: centre(scan) };
    for_each_chunk(par, &mut normals, ROWS * scan.cols, &|chunk, part| {
        Arch::new().dispatch(Rows { fit: &fit, first: chunk * ROWS, out: part });
    });
    normals
}

/// Some rows, one after the other, on the widest vectors that the machine has.
struct Rows<'a> {
    fit: &'a Fit<'a>,
    first: usize,
    out: &'a mut [Option<[f32; 3]>],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut sums = Sums::default();
        for (row, out) in (self.first..).zip(self.out.chunks_mut(self.fit.scan.cols)) {
            self.fit.row(row, &mut sums, out);
        }
    }
}

/// The mean of the valid points: an origin near them keeps the sums of squares exact enough.
fn centre(scan: &Scan<'_>) -> [f64; 3] {
    let count = scan.valid.iter().filter(|&&v| v).count().max(1) as f64;
    scan.planes.map(|plane| {
        plane.iter().zip(scan.valid).filter(|&(_, &v)| v).map(|(&p, _)| f64::from(p)).sum::<f64>() / count
    })
}

/// What fitting a pixel's plane takes.
struct Fit<'a> {
    scan: &'a Scan<'a>,
    window: usize,
    /// Greatest difference of depth within a surface, metres.
    jump: f64,
    centre: [f64; 3],
}

/// Sums over the rows of a window: count, the first and the second moments, and the range of depth.
#[derive(Default)]
struct Sums {
    /// Of each column, then of all columns before it.
    moments: [Vec<f64>; 10],
    /// By column.
    nearest: Vec<f32>,
    farthest: Vec<f32>,
    /// By window around a column.
    least: Vec<f32>,
    most: Vec<f32>,
}

/// Pixels of a row whose normals are computed side by side.
#[derive(Default)]
struct Batch {
    cols: [usize; LANES],
    covariances: [[f64; LANES]; 6],
    len: usize,
}

impl Batch {
    #[inline(always)]
    fn add(&mut self, col: usize, covariance: [f64; 6]) {
        self.cols[self.len] = col;
        for (to, from) in self.covariances.iter_mut().zip(covariance) {
            to[self.len] = from;
        }
        self.len += 1;
    }
}

impl Fit<'_> {
    /// The normals of a row.
    #[inline(always)]
    fn row(&self, row: usize, sums: &mut Sums, out: &mut [Option<[f32; 3]>]) {
        self.sum_columns(row, sums);
        self.run(sums);
        let cols = self.scan.cols;
        let quarter = (2 * self.window + 1).pow(2) as f64 / 4.0;
        let mut batch = Batch::default();
        for col in 0..cols {
            let i = row * cols + col;
            if !self.scan.valid[i] {
                continue;
            }
            let depth = f64::from(self.scan.planes[2][i]);
            let span = col.saturating_sub(self.window)..(col + self.window + 1).min(cols);
            let (nearest, farthest) = (f64::from(sums.least[col]), f64::from(sums.most[col]));
            let moments = if depth - nearest <= self.jump && farthest - depth <= self.jump {
                let [count, first @ .., xx, xy, xz, yy, yz, zz] =
                    sums.moments.each_ref().map(|m| m[span.end] - m[span.start]);
                Moments { count, first, second: [xx, xy, xz, yy, yz, zz] }
            } else {
                self.own_surface(row, span, depth)
            };
            if moments.count >= quarter.max(3.0) {
                batch.add(col, moments.covariance());
                if batch.len == LANES {
                    self.empty(&mut batch, row, out);
                }
            }
        }
        self.empty(&mut batch, row, out);
    }

    /// Sets the normals of a batch.
    #[inline(always)]
    fn empty(&self, batch: &mut Batch, row: usize, out: &mut [Option<[f32; 3]>]) {
        let found = least_directions(&batch.covariances);
        for lane in 0..batch.len {
            let normal = found.map(|v| v[lane]);
            let col = batch.cols[lane];
            let p = self.scan.point(row * self.scan.cols + col).map(f64::from);
            out[col] = (normal != [0.0; 3]).then(|| towards_camera(normal, p));
        }
        batch.len = 0;
    }

    /// Column sums to running sums, ranges of columns to ranges of windows.
    #[inline(always)]
    fn run(&self, sums: &mut Sums) {
        let cols = self.scan.cols;
        let mut total = [0.0; 10];
        for c in 0..cols {
            for (moment, total) in sums.moments.iter_mut().zip(&mut total) {
                let own = moment[c];
                moment[c] = *total;
                *total += own;
            }
        }
        for (moment, total) in sums.moments.iter_mut().zip(total) {
            moment[cols] = total;
        }
        let Sums { nearest, farthest, least, most, .. } = sums;
        least.clone_from(nearest);
        most.clone_from(farthest);
        for shift in 1..=self.window.min(cols.saturating_sub(1)) {
            for (least, other) in least.iter_mut().zip(&nearest[shift..]) {
                *least = if *other < *least { *other } else { *least };
            }
            for (least, other) in least[shift..].iter_mut().zip(&*nearest) {
                *least = if *other < *least { *other } else { *least };
            }
            for (most, other) in most.iter_mut().zip(&farthest[shift..]) {
                *most = if *other > *most { *other } else { *most };
            }
            for (most, other) in most[shift..].iter_mut().zip(&*farthest) {
                *most = if *other > *most { *other } else { *most };
            }
        }
    }

    fn rows(&self, row: usize) -> std::ops::Range<usize> {
        row.saturating_sub(self.window)..(row + self.window + 1).min(self.scan.rows)
    }

    #[inline(always)]
    fn sum_columns(&self, row: usize, sums: &mut Sums) {
        let cols = self.scan.cols;
        for m in &mut sums.moments {
            m.clear();
            m.resize(cols + 1, 0.0);
        }
        sums.nearest.clear();
        sums.nearest.resize(cols, f32::INFINITY);
        sums.farthest.clear();
        sums.farthest.resize(cols, f32::NEG_INFINITY);
        let [n, x1, y1, z1, xx, xy, xz, yy, yz, zz] = sums.moments.each_mut().map(|m| &mut m[..cols]);
        let (nearest, farthest) = (&mut sums.nearest[..cols], &mut sums.farthest[..cols]);
        for r in self.rows(row) {
            let line = r * cols..(r + 1) * cols;
            let [xs, ys, zs] = self.scan.planes.map(|plane| &plane[line.clone()]);
            let valid = &self.scan.valid[line];
            for c in 0..cols {
                // Selected, not multiplied: what is not valid may be NaN.
                let keep = |v: f32, centre: f64| if valid[c] { f64::from(v) - centre } else { 0.0 };
                let (x, y, z) =
                    (keep(xs[c], self.centre[0]), keep(ys[c], self.centre[1]), keep(zs[c], self.centre[2]));
                n[c] += f64::from(u8::from(valid[c]));
                x1[c] += x;
                y1[c] += y;
                z1[c] += z;
                xx[c] += x * x;
                xy[c] += x * y;
                xz[c] += x * z;
                yy[c] += y * y;
                yz[c] += y * z;
                zz[c] += z * z;
                let (near, far) = (nearest[c], farthest[c]);
                nearest[c] = if valid[c] && zs[c] < near { zs[c] } else { near };
                farthest[c] = if valid[c] && zs[c] > far { zs[c] } else { far };
            }
        }
    }

    fn own_surface(&self, row: usize, span: std::ops::Range<usize>, depth: f64) -> Moments {
        let mut moments = Moments::default();
        for r in self.rows(row) {
            for i in r * self.scan.cols + span.start..r * self.scan.cols + span.end {
                if self.scan.valid[i] && (f64::from(self.scan.planes[2][i]) - depth).abs() <= self.jump {
                    let p = self.scan.point(i);
                    moments.add(std::array::from_fn(|c| f64::from(p[c]) - self.centre[c]));
                }
            }
        }
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Threads, read_xyz, shared, uniform, wavy_scan};
    use crate::neighbours::Search;
    use assay_sdk::Serial;
    use proptest::prelude::*;

    /// A scan that owns its points.
    struct Owned {
        values: Vec<f32>,
        valid: Vec<bool>,
        rows: usize,
        cols: usize,
    }

    impl Owned {
        fn new(values: Vec<f32>, rows: usize, cols: usize) -> Self {
            let n = rows * cols;
            let valid = (0..n).map(|i| (0..3).any(|c| values[c * n + i] != 0.0)).collect();
            Self { values, valid, rows, cols }
        }

        fn scan(&self) -> Scan<'_> {
            let n = self.rows * self.cols;
            let planes = [0, 1, 2].map(|c| &self.values[c * n..][..n]);
            Scan { planes, valid: &self.valid, rows: self.rows, cols: self.cols }
        }
    }

    fn degrees(a: [f32; 3], b: [f32; 3]) -> f64 {
        let apart: f64 = a.iter().zip(b).map(|(&a, b)| f64::from(a - b).powi(2)).sum();
        2.0 * (apart.sqrt() / 2.0).min(1.0).asin().to_degrees()
    }

    /// Gaussian enough: the sum of four uniform numbers, of standard deviation 1.
    fn noise(next: &mut impl FnMut() -> f64) -> f64 {
        ((0..4).map(|_| next()).sum::<f64>() - 2.0) * 3f64.sqrt()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn sums_of_columns_give_what_each_window_alone_gives(
            rows in 1..14usize, cols in 2..14usize, window in 1..4usize, seed: u64, step in 0.0..0.004f32,
        ) {
            let mut next = uniform(seed);
            let mut owned = Owned::new(wavy_scan(rows, cols), rows, cols);
            let n = rows * cols;
            for i in 0..n {
                owned.valid[i] = next() < 0.9;
                owned.values[2 * n + i] += (5e-5 * noise(&mut next)) as f32 + if i % cols > cols / 2 { step } else { 0.0 };
            }
            let scan = owned.scan();
            let found = of_scan(&scan, window, &Threads(2));
            prop_assume!(scan.pitch().is_some());
            let jump = STEEPEST * window as f64 * scan.pitch().unwrap();
            let fit = Fit { scan: &scan, window, jump, centre: centre(&scan) };
            for i in 0..n {
                let (row, col) = (i / cols, i % cols);
                let span = col.saturating_sub(window)..(col + window + 1).min(cols);
                let moments = fit.own_surface(row, span, f64::from(scan.planes[2][i]));
                let enough = scan.valid[i] && 4.0 * moments.count >= (2 * window + 1).pow(2) as f64;
                let alone = if enough { moments.normal() } else { None };
                prop_assert_eq!(found[i].is_some(), alone.is_some());
                if let (Some(a), Some(b)) = (found[i], alone) {
                    prop_assert!(degrees(a, towards_camera(b, scan.point(i).map(f64::from))) < 0.01);
                }
            }
        }
    }

    #[test]
    fn noise_of_50_um_turns_the_normals_of_a_plane_by_few_degrees() {
        let (rows, cols) = (60, 60);
        let mut next = uniform(1);
        let mut owned = Owned::new(wavy_scan(rows, cols), rows, cols);
        for z in &mut owned.values[2 * rows * cols..] {
            *z = (0.4 + 5e-5 * noise(&mut next)) as f32;
        }
        let found = of_scan(&owned.scan(), 3, &Serial);
        let mut errors: Vec<f64> = found.iter().flatten().map(|&n| degrees(n, [0.0, 0.0, -1.0])).collect();
        errors.sort_by(f64::total_cmp);
        assert_eq!(errors.len(), rows * cols);
        assert!(errors[rows * cols / 2] < 1.5, "median {}", errors[rows * cols / 2]);
    }

    #[test]
    fn a_step_of_depth_does_not_tilt_the_surfaces_beside_it() {
        let (rows, cols) = (20, 20);
        let mut owned = Owned::new(wavy_scan(rows, cols), rows, cols);
        for (i, z) in owned.values[2 * rows * cols..].iter_mut().enumerate() {
            *z = if i % cols < 10 { 0.4 } else { 0.403 };
        }
        let found = of_scan(&owned.scan(), 3, &Serial);
        assert!(found.iter().all(|n| degrees(n.unwrap(), [0.0, 0.0, -1.0]) < 1e-3));
    }

    #[test]
    fn isolated_points_have_no_normal() {
        let mut owned = Owned::new(wavy_scan(9, 9), 9, 9);
        owned.valid = (0..81).map(|i| i == 40 || i == 41 || i == 49).collect();
        assert_eq!(of_scan(&owned.scan(), 3, &Serial), vec![None; 81]);
        owned.valid = vec![false; 81];
        assert_eq!(of_scan(&owned.scan(), 3, &Serial), vec![None; 81]);
        assert_eq!(of_scan(&Owned::new(vec![], 0, 0).scan(), 3, &Serial), vec![]);
    }

    #[test]
    fn threads_do_not_change_normals() {
        let owned = Owned::new(wavy_scan(40, 50), 40, 50);
        assert_eq!(of_scan(&owned.scan(), 3, &Serial), of_scan(&owned.scan(), 3, &Threads(3)));
    }

    /// These scans are noisy: normals of 30 and of 49 nearest points are 4.7 degrees (median) apart themselves.
    #[test]
    fn normals_of_real_scans_are_as_near_to_those_of_nearest_neighbours_as_noise_lets_them() {
        for i in 0..2 {
            let path = format!("data/mvtec3d/cable_gland/train/good/xyz/{i:03}.tiff");
            let Some(path) = shared(&path) else { return };
            let (values, rows, cols) = read_xyz(&path);
            let owned = Owned::new(values, rows, cols);
            let scan = owned.scan();
            let pixels: Vec<usize> = (0..rows * cols).filter(|&i| owned.valid[i]).collect();
            let cloud: Vec<_> = pixels.iter().map(|&i| scan.point(i)).collect();
            let table = Neighbours::search(&cloud, Search::nearest(80), &Threads(2)).unwrap();
            for (window, count, median, p95) in [(3, 30, 5.0, 15.0), (4, 49, 4.0, 12.0), (5, 80, 3.0, 11.0)] {
                let expected = of_cloud(&cloud, &table, count, Facing::Camera, &Threads(2));
                let found = of_scan(&scan, window, &Threads(2));
                let pairs = pixels.iter().zip(&expected);
                let mut errors: Vec<f64> =
                    pairs.filter_map(|(&i, &b)| Some(degrees(found[i]?, b?))).collect();
                errors.sort_by(f64::total_cmp);
                let (middle, high) = (errors[errors.len() / 2], errors[errors.len() * 95 / 100]);
                eprintln!(
                    "scan {i}, window {window} and {count}-nn: median {middle:.2}, p95 {high:.2} degrees apart"
                );
                assert!(middle < median && high < p95 && errors.len() * 100 > 99 * pixels.len());
            }
        }
    }
}
