//! Point features of single pixels, averaged to the cells of a coarse grid.

use crate::fpfh::{Histogram, WIDTH};
use assay_kernels::adaptive::runs;
use assay_sdk::{Parallel, for_each_chunk};

/// How pixels without a point count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// As features of zeros.
    Zeros,
    /// Not at all: a cell is the mean of its points.
    Valid,
}

/// Averages features to `cells` = (rows, columns): an average over 3x3 pixels with stride 1 and no padding, then an
/// adaptive average, as BTF pools its FPFH features.
///
/// `at` holds the index into `features` of each of `pixels` = (rows, columns), both at least 3. Returns the features of
/// each cell, row-major, and the share of its weight that lies on points, 0..1; a cell without points is all zeros.
pub(crate) fn pool(
    features: &[Histogram],
    at: &[Option<u32>],
    pixels: (usize, usize),
    cells: (usize, usize),
    pooling: Pooling,
    par: &dyn Parallel,
) -> Vec<(Histogram, f32)> {
    let (down, across) = (runs(pixels.0, cells.0), runs(pixels.1, cells.1));
    let mut out = vec![([0.0; WIDTH], 0.0); cells.0 * cells.1];
    for_each_chunk(par, &mut out, cells.1, &|row, line| {
        for ((mean, share), across) in line.iter_mut().zip(&across) {
            for (y, wy) in (down[row].first..).zip(&down[row].weights) {
                for (x, wx) in (across.first..).zip(&across.weights) {
                    if let Some(i) = at[y * pixels.1 + x] {
                        let weight = wy * wx;
                        *share += weight;
                        for (sum, v) in mean.iter_mut().zip(&features[i as usize]) {
                            *sum += weight * v;
                        }
                    }
                }
            }
            if pooling == Pooling::Valid && *share > 0.0 {
                mean.iter_mut().for_each(|v| *v /= *share);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Threads, uniform};
    use assay_sdk::Serial;
    use proptest::prelude::*;

    /// Both averages one after the other over a dense plane.
    fn dense(plane: &[f64], (rows, cols): (usize, usize), (down, across): (usize, usize)) -> Vec<f64> {
        let mean = |plane: &[f64], cols: usize, ys: std::ops::Range<usize>, xs: std::ops::Range<usize>| {
            let n = (ys.len() * xs.len()) as f64;
            ys.flat_map(|y| xs.clone().map(move |x| plane[y * cols + x])).sum::<f64>() / n
        };
        let (r, c) = (rows - 2, cols - 2);
        let small: Vec<f64> =
            (0..r * c).map(|i| mean(plane, cols, i / c..i / c + 3, i % c..i % c + 3)).collect();
        let bounds = |i: usize, pooled: usize, cells: usize| {
            let edge = |i: usize| i as f64 * pooled as f64 / cells as f64;
            edge(i).floor() as usize..edge(i + 1).ceil() as usize
        };
        (0..down * across)
            .map(|i| mean(&small, c, bounds(i / across, r, down), bounds(i % across, c, across)))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn cells_are_the_averages_of_averages(rows in 3..30usize, cols in 3..30usize, down in 1..9usize, across in 1..9usize, seed: u64) {
            let mut next = uniform(seed);
            let (mut features, mut at, mut plane, mut weight) = (vec![], vec![], vec![], vec![]);
            for _ in 0..rows * cols {
                let present = next() < 0.7;
                at.push(present.then_some(features.len() as u32));
                let v = next();
                plane.push(if present { v } else { 0.0 });
                weight.push(if present { 1.0 } else { 0.0 });
                if present {
                    features.push([v as f32; WIDTH]);
                }
            }
            let (pixels, cells) = ((rows, cols), (down, across));
            let (values, shares) = (dense(&plane, pixels, cells), dense(&weight, pixels, cells));
            let zeros = pool(&features, &at, pixels, cells, Pooling::Zeros, &Serial);
            let valid = pool(&features, &at, pixels, cells, Pooling::Valid, &Threads(2));
            for i in 0..down * across {
                prop_assert!((f64::from(zeros[i].0[7]) - values[i]).abs() < 1e-5);
                prop_assert!((f64::from(zeros[i].1) - shares[i]).abs() < 1e-5);
                let mean = if shares[i] > 1e-9 { values[i] / shares[i] } else { 0.0 };
                prop_assert!((f64::from(valid[i].0[32]) - mean).abs() < 1e-5);
            }
        }
    }
}
