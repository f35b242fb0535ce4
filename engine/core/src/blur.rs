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

/// Cells that are summed side by side, in registers from the first weight to the last.
const LANES: usize = 32;

/// Separable convolution with a symmetric kernel, of which `kernel` is the half from the centre on; the image is mirrored at its
/// borders (d c b a | a b c d). Each sum runs from the centre outwards, so the bits do not depend on the machine or the threads.
pub(crate) fn blur(image: &Array2<f32>, kernel: &[f32]) -> Array2<f32> {
    let (rows, cols) = image.dim();
    if cols < LANES && rows > LANES {
        // A narrow image on its side: its rows would be mostly lanes that nothing is in.
        return blur(&image.t().to_owned(), kernel).t().as_standard_layout().into_owned();
    }
    let image = image.as_standard_layout();
    let values = image.as_slice().unwrap_or_default();
    // Rows of whole lanes.
    let stride = cols.next_multiple_of(LANES);
    let mut across = vec![0f32; rows * stride];
    let mut out = vec![0f32; rows * cols];
    if !out.is_empty() {
        across.par_chunks_mut(ROWS * stride).zip(values.par_chunks(ROWS * cols)).for_each(|(out, values)| {
            Arch::new().dispatch(Across { values, cols, kernel, out });
        });
        out.par_chunks_mut(ROWS * cols).enumerate().for_each(|(chunk, out)| {
            Arch::new().dispatch(Down { values: &across, first: chunk * ROWS, cols, kernel, out });
        });
    }
    Array2::from_shape_vec((rows, cols), out).unwrap_or_default()
}

/// The weighted sum of pairs of runs that lie as far before a run as after it, from the run itself on. Lanes are indexed by constants alone:
/// otherwise they would live in memory.
#[inline(always)]
fn weighted<'a>(kernel: &[f32], pair: impl Fn(usize) -> [&'a [f32]; 2]) -> [f32; LANES] {
    let mut sums = [0f32; LANES];
    for (k, &weight) in kernel.iter().enumerate() {
        let [Some((before, _)), Some((after, _))] = pair(k).map(<[f32]>::split_first_chunk::<LANES>) else {
            continue;
        };
        for l in 0..LANES {
            sums[l] = if k == 0 { weight * before[l] } else { sums[l] + weight * (before[l] + after[l]) };
        }
    }
    sums
}

/// Rows convolved along themselves, to rows of whole lanes.
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
        let stride = cols.next_multiple_of(LANES);
        let mut padded = vec![0f32; stride + 2 * radius];
        for (from, to) in self.values.chunks_exact(cols).zip(self.out.chunks_exact_mut(stride)) {
            padded[radius..][..cols].copy_from_slice(from);
            for k in 0..radius {
                padded[radius - 1 - k] = from[mirror(-1 - k as isize, cols)];
                padded[radius + cols + k] = from[mirror((cols + k) as isize, cols)];
            }
            for (at, to) in (radius..).step_by(LANES).zip(to.as_chunks_mut().0) {
                *to = weighted(self.kernel, |k| [&padded[at - k..], &padded[at + k..]]);
            }
        }
    }
}

/// Some rows of the convolution of all rows, which are of whole lanes, with each other.
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
        let stride = self.cols.next_multiple_of(LANES);
        let rows = self.values.len() / stride;
        let row = |i: isize| &self.values[mirror(i, rows) * stride..][..stride];
        for (i, to) in (self.first as isize..).zip(self.out.chunks_exact_mut(self.cols)) {
            let pairs: Vec<[&[f32]; 2]> =
                (0..self.kernel.len() as isize).map(|k| [row(i - k), row(i + k)]).collect();
            for (at, to) in (0..).step_by(LANES).zip(to.chunks_mut(LANES)) {
                let sums = weighted(self.kernel, |k| pairs[k].map(|row| &row[at..]));
                to.copy_from_slice(&sums[..to.len()]);
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
