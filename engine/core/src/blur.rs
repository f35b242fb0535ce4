//! Gaussian smoothing of maps: two passes over rows, in parallel and on the widest vectors that the machine has.

use ndarray::Array2;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows a task.
const ROWS: usize = 16;

/// Half of a normalised Gaussian kernel, centre first, cut at 4 sigma.
pub(crate) fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (4.0 * sigma + 0.5) as usize;
    let half: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    half.into_iter().map(|v| (v / total) as f32).collect()
}

/// Separable convolution with a symmetric kernel, of which `kernel` is the half from the centre on; the image is mirrored at its
/// borders (d c b a | a b c d). Each sum runs from the centre outwards, so the bits do not depend on the machine or the threads.
pub(crate) fn blur(image: &Array2<f32>, kernel: &[f32]) -> Array2<f32> {
    let (rows, cols) = image.dim();
    let image = image.as_standard_layout();
    let values = image.as_slice().unwrap_or_default();
    let mut across = vec![0f32; rows * cols];
    let mut out = vec![0f32; rows * cols];
    if !out.is_empty() {
        across.par_chunks_mut(ROWS * cols).enumerate().for_each(|(chunk, out)| {
            let values = &values[chunk * ROWS * cols..][..out.len()];
            Arch::new().dispatch(Across { values, cols, kernel, out });
        });
        out.par_chunks_mut(ROWS * cols).enumerate().for_each(|(chunk, out)| {
            Arch::new().dispatch(Down { values: &across, first: chunk * ROWS, cols, kernel, out });
        });
    }
    Array2::from_shape_vec((rows, cols), out).unwrap_or_default()
}

/// `to` += `weight` * (`a` + `b`).
#[inline(always)]
fn add_pair(to: &mut [f32], weight: f32, a: &[f32], b: &[f32]) {
    for ((t, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *t += weight * (a + b);
    }
}

/// Rows convolved along themselves.
struct Across<'a> {
    values: &'a [f32],
    cols: usize,
    kernel: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Across<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (cols, radius) = (self.cols, self.kernel.len() - 1);
        let mut padded = vec![0f32; cols + 2 * radius];
        for (from, to) in self.values.chunks_exact(cols).zip(self.out.chunks_exact_mut(cols)) {
            let (left, rest) = padded.split_at_mut(radius);
            let (middle, right) = rest.split_at_mut(cols);
            middle.copy_from_slice(from);
            for (k, value) in left.iter_mut().rev().enumerate() {
                *value = from[mirror(-1 - k as isize, cols)];
            }
            for (k, value) in right.iter_mut().enumerate() {
                *value = from[mirror((cols + k) as isize, cols)];
            }
            for (to, &value) in to.iter_mut().zip(&padded[radius..]) {
                *to = self.kernel[0] * value;
            }
            for (k, &weight) in self.kernel.iter().enumerate().skip(1) {
                add_pair(to, weight, &padded[radius - k..], &padded[radius + k..]);
            }
        }
    }
}

/// Some rows of the convolution of all rows with each other.
struct Down<'a> {
    values: &'a [f32],
    first: usize,
    cols: usize,
    kernel: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Down<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let cols = self.cols;
        let rows = self.values.len() / cols;
        let row = |i: isize| &self.values[mirror(i, rows) * cols..][..cols];
        for (i, to) in (self.first as isize..).zip(self.out.chunks_exact_mut(cols)) {
            for (to, &value) in to.iter_mut().zip(row(i)) {
                *to = self.kernel[0] * value;
            }
            for (k, &weight) in (0isize..).zip(self.kernel).skip(1) {
                add_pair(to, weight, row(i - k), row(i + k));
            }
        }
    }
}

/// The index inside `0..n` that `i` mirrors to.
fn mirror(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let at = i.rem_euclid(period);
    (if at < n as isize { at } else { period - 1 - at }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mirroring_repeats_the_edge() {
        assert_eq!((-4..8).map(|i| mirror(i, 4)).collect::<Vec<_>>(), [3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0]);
        assert_eq!(mirror(-9, 2), 0);
    }

    proptest! {
        #[test]
        fn equals_the_sum_over_each_neighbourhood(rows in 1usize..40, cols in 1usize..40, sigma in 0.3f64..6.0, seed in 0u32..100) {
            let image = Array2::from_shape_fn((rows, cols), |(i, j)| ((i as u32 * 31 + j as u32 * 17 + seed) % 23) as f32);
            let kernel = gaussian(sigma);
            let radius = kernel.len() as isize - 1;
            let weight = |k: isize| f64::from(kernel[k.unsigned_abs()]);
            let found = blur(&image, &kernel);
            for ((i, j), &value) in found.indexed_iter() {
                let mut expected = 0.0;
                for di in -radius..=radius {
                    for dj in -radius..=radius {
                        let at = (mirror(i as isize + di, rows), mirror(j as isize + dj, cols));
                        expected += weight(di) * weight(dj) * f64::from(image[at]);
                    }
                }
                prop_assert!((f64::from(value) - expected).abs() < 1e-4, "{value} {expected}");
            }
        }
    }
}
