//! Averages over the neighbourhood of each cell.

use assay_sdk::{Parallel, for_each_chunk};
use ndarray::{Array3, ArrayView3};

use crate::KernelError;
use crate::error::{area, filled};

/// Each cell of `map` [C, h, w] replaced by the mean of its `window` x `window` neighbourhood.
///
/// Stride 1; cells beyond the border count as zeros, and are counted (torch `avg_pool2d(3, 1, 1)`).
///
/// # Errors
/// A `window` that is even or above 255; no memory.
pub fn average(map: ArrayView3<f32>, window: usize, par: &dyn Parallel) -> Result<Array3<f32>, KernelError> {
    check_window(window)?;
    let (channels, h, w) = map.dim();
    let map = map.as_standard_layout();
    let planes = map.as_slice().unwrap_or_default();
    let mut out = filled("pooled map", area("pooled map", channels, h * w)?, 0f32)?;
    if !out.is_empty() {
        for_each_chunk(par, &mut out, h * w, &|c, plane| {
            let mut sums = vec![0f32; w];
            for (y, line) in plane.chunks_exact_mut(w).enumerate() {
                average_line(&planes[c * h * w..][..h * w], y, window, &mut sums, line);
            }
        });
    }
    Array3::from_shape_vec((channels, h, w), out).map_err(|_| KernelError::Shape {
        what: "pooled map",
        expected: channels * h * w,
        found: 0,
    })
}

/// That a neighbourhood has a centre.
pub(crate) fn check_window(window: usize) -> Result<(), KernelError> {
    let range = "odd and at most 255 cells wide";
    if window % 2 == 1 && window < 256 {
        Ok(())
    } else {
        Err(KernelError::Range { what: "neighbourhood", range })
    }
}

/// Line `y` of the average of one plane [h, w], into `out` [w]; `sums` [w] is scratch.
pub(crate) fn average_line(plane: &[f32], y: usize, window: usize, sums: &mut [f32], out: &mut [f32]) {
    let w = out.len();
    if window == 1 {
        out.copy_from_slice(&plane[y * w..][..w]);
        return;
    }
    let h = plane.len() / w;
    let reach = window / 2;
    sums.fill(0.0);
    for line in plane[y.saturating_sub(reach) * w..(y + reach + 1).min(h) * w].chunks_exact(w) {
        for (sum, &value) in sums.iter_mut().zip(line) {
            *sum += value;
        }
    }
    out.copy_from_slice(sums);
    for shift in 1..=reach.min(w - 1) {
        for (out, &sum) in out[shift..].iter_mut().zip(&*sums) {
            *out += sum;
        }
        for (out, &sum) in out.iter_mut().zip(&sums[shift..]) {
            *out += sum;
        }
    }
    let cells = (window as f32) * (window as f32);
    for out in out {
        *out /= cells;
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_is_counted() {
        let ones = Array3::from_elem((1, 3, 3), 9.0f32);
        let mean = average(ones.view(), 3, &Serial).unwrap();
        assert_eq!(mean.as_slice().unwrap(), &[4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
    }

    #[test]
    fn even_neighbourhoods_are_refused() {
        let map = Array3::zeros((1, 2, 2));
        assert!(matches!(average(map.view(), 2, &Serial), Err(KernelError::Range { .. })));
    }

    proptest! {
        #[test]
        fn agrees_with_padded_sums(c in 1usize..3, h in 1usize..7, w in 1usize..7, half in 0usize..4, seed in 0u32..1000) {
            let map = Array3::from_shape_fn((c, h, w), |(c, y, x)| ((seed + 7 * c as u32 + 5 * y as u32 + 3 * x as u32) % 11) as f32);
            let window = 2 * half + 1;
            let got = average(map.view(), window, &Serial).unwrap();
            for ((c, y, x), &value) in got.indexed_iter() {
                let mut sum = 0.0;
                for yy in y as isize - half as isize..=(y + half) as isize {
                    for xx in x as isize - half as isize..=(x + half) as isize {
                        if yy >= 0 && xx >= 0 {
                            sum += map.get((c, yy as usize, xx as usize)).copied().unwrap_or(0.0);
                        }
                    }
                }
                prop_assert!((value - sum / (window * window) as f32).abs() < 1e-4);
            }
        }
    }
}
