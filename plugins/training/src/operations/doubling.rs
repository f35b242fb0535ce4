//! Twice the size, bilinear, corners on corners, and the gradient of it.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Where doubled lines come from: between which two lines each lies, and the share of the upper one.
struct Sources {
    lower: Vec<usize>,
    share: Vec<f32>,
}

impl Sources {
    /// Of `n` lines that are doubled.
    fn of(n: usize) -> Self {
        let doubled = 2 * n;
        let step = (n.max(1) - 1) as f64 / (doubled.max(2) - 1) as f64;
        let place = |i: usize| {
            let at = i as f64 * step;
            // The last line is the end of the last interval.
            let lower = (at as usize).min(n.saturating_sub(2));
            (lower, (at - lower as f64) as f32)
        };
        let (lower, share) = (0..doubled).map(place).unzip();
        Self { lower, share }
    }

    /// The lower line, the upper one and its share.
    fn at(&self, i: usize) -> (usize, usize, f32) {
        let lower = self.lower[i];
        (lower, (lower + 1).min(self.lower.len() / 2 - 1), self.share[i])
    }
}

/// A line between `above` and `below`, to twice as many values. In the middle pair k lies between the values k - 1, k and k + 1, so that
/// nothing is looked up.
struct Line<'a> {
    above: &'a [f32],
    below: &'a [f32],
    share: f32,
    sources: &'a Sources,
    between: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { above, below, share, sources, between: values, out } = self;
        let between = |a: f32, b: f32, share: f32| a + share * (b - a);
        for ((value, a), b) in values.iter_mut().zip(above).zip(below) {
            *value = between(*a, *b, share);
        }
        let n = values.len();
        for i in (0..2 * n).filter(|i| !(2..2 * n - 2).contains(i)) {
            let (lower, upper, share) = sources.at(i);
            out[i] = between(values[lower], values[upper], share);
        }
        if n > 2 {
            let (pairs, _) = out[2..2 * n - 2].as_chunks_mut::<2>();
            let (shares, _) = sources.share[2..2 * n - 2].as_chunks::<2>();
            for ((pair, around), share) in pairs.iter_mut().zip(values.array_windows::<3>()).zip(shares) {
                let [before, own, after] = *around;
                *pair = [between(before, own, share[0]), between(own, after, share[1])];
            }
        }
    }
}

/// The gradient of the values of a line for that of what they were doubled to.
struct LineBack<'a> {
    doubled: &'a [f32],
    sources: &'a Sources,
    out: &'a mut [f32],
}

impl WithSimd for LineBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { doubled, sources, out } = self;
        let n = out.len();
        out.fill(0.0);
        let middle = if n < 5 { 0..0 } else { 2..n - 2 };
        // Value k of the middle went into 2k - 1 to 2k + 2.
        for k in middle.clone() {
            let (values, shares) = (&doubled[2 * k - 1..2 * k + 3], &sources.share[2 * k - 1..2 * k + 3]);
            out[k] = shares[0] * values[0]
                + shares[1] * values[1]
                + (1.0 - shares[2]) * values[2]
                + (1.0 - shares[3]) * values[3];
        }
        for i in (0..2 * n).filter(|&i| i < 5 || i + 5 >= 2 * n || middle.is_empty()) {
            let (lower, upper, share) = sources.at(i);
            for (k, share) in [(lower, 1.0 - share), (upper, share)] {
                if !middle.contains(&k) {
                    out[k] += share * doubled[i];
                }
            }
        }
    }
}

/// Planes `[n, rows, cols]` to `[n, 2 rows, 2 cols]`.
///
/// # Panics
/// Where `planes` is not of whole planes.
pub(super) fn double(planes: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    assert!(rows > 0 && cols > 0 && planes.len().is_multiple_of(rows * cols), "shapes disagree");
    let (of_rows, of_cols) = (Sources::of(rows), Sources::of(cols));
    let mut out = vec![0.0; 4 * planes.len()];
    let tasks = out.par_chunks_exact_mut(4 * rows * cols).zip(planes.par_chunks_exact(rows * cols));
    tasks.for_each_init(
        || vec![0.0; cols],
        |between, (out, plane)| {
            for (i, out) in out.chunks_exact_mut(2 * cols).enumerate() {
                let (lower, upper, share) = of_rows.at(i);
                let above = &plane[lower * cols..][..cols];
                let below = &plane[upper * cols..][..cols];
                let sources = &of_cols;
                Arch::new().dispatch(Line { above, below, share, sources, between: &mut *between, out });
            }
        },
    );
    out
}

/// The gradient of planes `[n, rows, cols]` for that of what they were doubled to.
///
/// # Panics
/// Where `doubled` is not of whole planes.
pub(super) fn back(doubled: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    assert!(rows > 0 && cols > 0 && doubled.len().is_multiple_of(4 * rows * cols), "shapes disagree");
    let (of_rows, of_cols) = (Sources::of(rows), Sources::of(cols));
    let mut out = vec![0.0; doubled.len() / 4];
    let tasks = out.par_chunks_exact_mut(rows * cols).zip(doubled.par_chunks_exact(4 * rows * cols));
    tasks.for_each_init(
        || vec![0.0; cols],
        |between, (out, doubled)| {
            for (i, line) in doubled.chunks_exact(2 * cols).enumerate() {
                let (lower, upper, share) = of_rows.at(i);
                let sources = &of_cols;
                Arch::new().dispatch(LineBack { doubled: line, sources, out: &mut *between });
                for (row, share) in [(lower, 1.0 - share), (upper, share)] {
                    for (out, between) in out[row * cols..][..cols].iter_mut().zip(&*between) {
                        *out += share * between;
                    }
                }
            }
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Draws;

    #[test]
    fn corners_stay_and_a_slope_stays_a_slope() {
        let plane: Vec<f32> = (0..3 * 5).map(|i| (i / 5) as f32 * 10.0 + (i % 5) as f32).collect();
        let doubled = double(&plane, 3, 5);
        assert_eq!([doubled[0], doubled[9], doubled[50], doubled[59]], [0.0, 4.0, 20.0, 24.0]);
        for (i, value) in doubled.iter().enumerate() {
            let (row, col) = ((i / 10) as f32 * 2.0 / 5.0, (i % 10) as f32 * 4.0 / 9.0);
            assert!((value - (10.0 * row + col)).abs() < 1e-5, "{value} at {i}");
        }
        assert_eq!(double(&[7.0], 1, 1), [7.0; 4]);
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        for (rows, cols) in [(3, 5), (1, 4), (2, 1), (8, 8)] {
            let mut draws = Draws::new(1);
            let x = draws.uniform(2 * rows * cols, 1.0);
            let y = draws.uniform(8 * rows * cols, 1.0);
            let product = |a: &[f32], b: &[f32]| -> f64 {
                assert_eq!(a.len(), b.len());
                a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
            };
            let (forth, back) = (product(&double(&x, rows, cols), &y), product(&x, &back(&y, rows, cols)));
            assert!((forth - back).abs() < 1e-4, "{forth} {back}");
        }
    }
}
