//! Feature maps brought to another size.

use assay_sdk::{Parallel, for_each_chunk};
use ndarray::{Array3, ArrayView3};

use crate::KernelError;
use crate::error::{area, filled};

/// How values between cells are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resample {
    /// Linear along both axes between cell centres, the border repeated (torch `bilinear`, `align_corners=False`).
    Bilinear,
    /// The cell in which the new cell's centre lies: replication where the size is a multiple.
    Nearest,
}

/// `map` [C, h, w] resampled to [C, `height`, `width`]; up or down, without smoothing before a reduction.
///
/// # Errors
/// An empty map or target; no memory.
pub fn resample(
    map: ArrayView3<f32>,
    height: usize,
    width: usize,
    how: Resample,
    par: &dyn Parallel,
) -> Result<Array3<f32>, KernelError> {
    let (channels, h, w) = map.dim();
    if channels * h * w == 0 || height == 0 || width == 0 {
        return Err(KernelError::TooFew { what: "resampled map", needed: 1 });
    }
    let map = map.as_standard_layout();
    let planes = map.as_slice().unwrap_or_default();
    let plane_size = area("resampled map", height, width)?;
    let mut out = filled("resampled map", area("resampled map", channels, plane_size)?, 0f32)?;
    let (down, across) = (Axis::new(h, height, how), Axis::new(w, width, how));
    for_each_chunk(par, &mut out, plane_size, &|c, plane| {
        let source = &planes[c * h * w..][..h * w];
        let mut line = vec![0f32; w];
        for (y, out) in plane.chunks_exact_mut(width).enumerate() {
            let tap = down.taps[y];
            blend(tap, &source[tap.low * w..][..w], &source[tap.high * w..][..w], &mut line);
            for (x, out) in out.iter_mut().enumerate() {
                *out = across.at(x, &line);
            }
        }
    });
    Array3::from_shape_vec((channels, height, width), out).map_err(|_| KernelError::Shape {
        what: "resampled map",
        expected: channels * plane_size,
        found: 0,
    })
}

/// Where one target cell takes its value from: `low` and `high` with weights `1 - weight` and `weight`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) weight: f32,
}

/// The taps of every target cell along one axis.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) taps: Vec<Tap>,
}

impl Axis {
    /// From `source` to `target` cells, both at least 1.
    pub(crate) fn new(source: usize, target: usize, how: Resample) -> Self {
        let scale = source as f64 / target as f64;
        let last = source - 1;
        let tap = |i: usize| match how {
            Resample::Nearest => {
                // (2i + 1) source / (2 target) in integers, so that a centre on an edge always goes up.
                let low = (((2 * i + 1) as u128 * source as u128) / (2 * target as u128)) as usize;
                Tap { low: low.min(last), high: low.min(last), weight: 0.0 }
            }
            Resample::Bilinear => {
                let at = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
                let low = (at as usize).min(last);
                Tap { low, high: (low + 1).min(last), weight: (at - low as f64).min(1.0) as f32 }
            }
        };
        Self { taps: (0..target).map(tap).collect() }
    }

    /// Target cell `i` of a source line.
    #[inline]
    pub(crate) fn at(&self, i: usize, line: &[f32]) -> f32 {
        let tap = self.taps[i];
        (1.0 - tap.weight) * line[tap.low] + tap.weight * line[tap.high]
    }
}

/// The line between `low` and `high` that `tap` asks for.
pub(crate) fn blend(tap: Tap, low: &[f32], high: &[f32], out: &mut [f32]) {
    for ((out, &a), &b) in out.iter_mut().zip(low).zip(high) {
        *out = (1.0 - tap.weight) * a + tap.weight * b;
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use proptest::prelude::*;

    use super::*;

    fn ramp(h: usize, w: usize) -> Array3<f32> {
        Array3::from_shape_fn((2, h, w), |(c, y, x)| (c * 100 + y * 10 + x) as f32)
    }

    #[test]
    fn doubling_takes_quarters_between_centres_and_repeats_the_border() {
        let up = resample(ramp(1, 2).view(), 1, 4, Resample::Bilinear, &Serial).unwrap();
        assert_eq!(up.as_slice().unwrap()[..4], [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn nearest_replicates_whole_cells() {
        let up = resample(ramp(1, 2).view(), 2, 6, Resample::Nearest, &Serial).unwrap();
        assert_eq!(
            up.as_slice().unwrap()[..12],
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
        );
    }

    #[test]
    fn an_empty_target_is_refused() {
        assert!(resample(ramp(2, 2).view(), 0, 2, Resample::Nearest, &Serial).is_err());
    }

    proptest! {
        #[test]
        fn same_size_changes_nothing(h in 1usize..9, w in 1usize..9) {
            for how in [Resample::Bilinear, Resample::Nearest] {
                prop_assert_eq!(resample(ramp(h, w).view(), h, w, how, &Serial).unwrap(), ramp(h, w));
            }
        }

        #[test]
        fn bilinear_reproduces_planes_away_from_the_border(h in 2usize..9, w in 2usize..9, oh in 1usize..20, ow in 1usize..20) {
            let got = resample(ramp(h, w).view(), oh, ow, Resample::Bilinear, &Serial).unwrap();
            for ((c, y, x), &value) in got.indexed_iter() {
                let at = |i: usize, n: usize, m: usize| ((i as f64 + 0.5) * n as f64 / m as f64 - 0.5).clamp(0.0, (n - 1) as f64);
                let expected = (c * 100) as f64 + 10.0 * at(y, h, oh) + at(x, w, ow);
                prop_assert!((f64::from(value) - expected).abs() < 1e-3);
            }
        }
    }
}
