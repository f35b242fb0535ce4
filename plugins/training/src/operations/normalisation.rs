//! The normalisation of each channel over a batch (Ioffe and Szegedy 2015), with the rectifier that follows it, and the gradient of both.
//!
//! What lies between the two is not kept: the gradient takes it from the input again.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Values that are summed side by side.
const LANES: usize = 16;

/// Pictures `[n, channels, cells]` and what happens to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) channels: usize,
    pub(super) cells: usize,
    /// Of each channel: mean, biased variance, factor and offset.
    pub(super) mean: &'a [f32],
    pub(super) variance: &'a [f32],
    pub(super) factor: &'a [f32],
    pub(super) offset: &'a [f32],
    /// Added to the variance.
    pub(super) epsilon: f64,
    /// What negative values are multiplied by.
    pub(super) slope: f32,
}

/// Adds up what `term` makes of the values of a channel of `x` and `y` [n, channels, cells]: in lanes, and runs of them in f64. What the loop is
/// made of has to be inlined to get the vectors of the machine, which closures under `dispatch` are not.
struct Sums<'a, const N: usize, T: Fn(f32, f32) -> [f32; N]> {
    x: &'a [f32],
    y: &'a [f32],
    channel: usize,
    channels: usize,
    cells: usize,
    term: T,
}

impl<const N: usize, T: Fn(f32, f32) -> [f32; N]> WithSimd for Sums<'_, N, T> {
    type Output = [f64; N];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f64; N] {
        // Short runs in f32: the error does not grow with the picture.
        const RUN: usize = 64 * LANES;
        let Self { x, y, channel, channels, cells, term } = self;
        let picture = (channels * cells).max(1);
        let mut all = [0f64; N];
        for (x, y) in x.chunks_exact(picture).zip(y.chunks_exact(picture)) {
            let [x, y] = [x, y].map(|values| &values[channel * cells..][..cells]);
            for (x, y) in x.chunks(RUN).zip(y.chunks(RUN)) {
                let mut lanes = [[0f32; LANES]; N];
                let (x, x_rest) = x.as_chunks::<LANES>();
                let (y, y_rest) = y.as_chunks::<LANES>();
                for (x, y) in x.iter().zip(y) {
                    for lane in 0..LANES {
                        let terms = term(x[lane], y[lane]);
                        for n in 0..N {
                            lanes[n][lane] += terms[n];
                        }
                    }
                }
                for (x, y) in x_rest.iter().zip(y_rest) {
                    let terms = term(*x, *y);
                    for n in 0..N {
                        lanes[n][0] += terms[n];
                    }
                }
                for n in 0..N {
                    all[n] += lanes[n].iter().map(|&x| f64::from(x)).sum::<f64>();
                }
            }
        }
        all
    }
}

/// `out` = scale x + shift, negative values multiplied by `slope`.
struct Rectified<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    scale: f32,
    shift: f32,
    slope: f32,
}

impl WithSimd for Rectified<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { out, x, scale, shift, slope } = self;
        for (out, x) in out.iter_mut().zip(x) {
            let y = scale * x + shift;
            *out = if y < 0.0 { slope * y } else { y };
        }
    }
}

/// `out` = scale g + along x + level, g the gradient of what [`Rectified`] made before it was rectified.
struct Back<'a> {
    made: Rectified<'a>,
    gradient: &'a [f32],
    along: f32,
    level: f32,
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { made: Rectified { out, x, scale, shift, slope }, gradient, along, level } = self;
        for ((out, x), g) in out.iter_mut().zip(x).zip(gradient) {
            let g = if scale * x + shift < 0.0 { slope * g } else { *g };
            *out = scale * g + (along * x + level);
        }
    }
}

/// Mean and biased variance of each channel of `x` [n, channels, cells]: `[2, channels]`.
pub(super) fn statistics(x: &[f32], channels: usize, cells: usize) -> Vec<f32> {
    let count = (x.len() / channels.max(1)).max(1) as f64;
    let both: Vec<[f32; 2]> = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let arch = Arch::new();
            let [sum] = arch.dispatch(Sums { x, y: x, channel, channels, cells, term: |x, _| [x] });
            let mean = (sum / count) as f32;
            // Around the mean, where nothing cancels.
            let square = |x, _| [(x - mean) * (x - mean)];
            let [squares] = arch.dispatch(Sums { x, y: x, channel, channels, cells, term: square });
            [mean, (squares / count) as f32]
        })
        .collect();
    both.iter().map(|b| b[0]).chain(both.iter().map(|b| b[1])).collect()
}

impl Layer<'_> {
    /// What a channel's values are multiplied by, and what is added.
    fn line(&self, channel: usize) -> (f32, f32) {
        let scale = f64::from(self.factor[channel]) * self.inverse(channel);
        let shift = f64::from(self.offset[channel]) - scale * f64::from(self.mean[channel]);
        (scale as f32, shift as f32)
    }

    /// One over a channel's deviation.
    fn inverse(&self, channel: usize) -> f64 {
        1.0 / (f64::from(self.variance[channel]) + self.epsilon).sqrt()
    }

    fn channel(&self, plane: usize) -> usize {
        plane % self.channels
    }

    /// The layer's output.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let planes = out.par_chunks_mut(self.cells.max(1)).zip(x.par_chunks(self.cells.max(1)));
        planes.enumerate().for_each(|(plane, (out, x))| {
            let (scale, shift) = self.line(self.channel(plane));
            Arch::new().dispatch(Rectified { out, x, scale, shift, slope: self.slope });
        });
        out
    }

    /// The gradients of factors and offsets, `[2, channels]`, for `gradient` of the output.
    pub(super) fn of_parameters(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let both: Vec<[f64; 2]> = (0..self.channels)
            .into_par_iter()
            .map(|channel| {
                let (scale, shift) = self.line(channel);
                let mean = self.mean[channel];
                let slope = self.slope;
                let term = |x, g| {
                    let g = if scale * x + shift < 0.0 { slope * g } else { g };
                    [g, g * (x - mean)]
                };
                let Self { channels, cells, .. } = *self;
                let [offset, factor] =
                    Arch::new().dispatch(Sums { x, y: gradient, channel, channels, cells, term });
                [factor * self.inverse(channel), offset]
            })
            .collect();
        both.iter().map(|b| b[0] as f32).chain(both.iter().map(|b| b[1] as f32)).collect()
    }

    /// The gradient of the input, whose own statistics these are, from that of the parameters.
    pub(super) fn of_input(&self, x: &[f32], gradient: &[f32], parameters: &[f32]) -> Vec<f32> {
        let count = (x.len() / self.channels.max(1)).max(1) as f64;
        let mut out = vec![0.0; x.len()];
        let planes = out.par_chunks_mut(self.cells.max(1));
        let planes = planes.zip(x.par_chunks(self.cells.max(1))).zip(gradient.par_chunks(self.cells.max(1)));
        planes.enumerate().for_each(|(plane, ((out, x), gradient))| {
            let channel = self.channel(plane);
            let (scale, shift) = self.line(channel);
            let of_factor = f64::from(parameters[channel]);
            let of_offset = f64::from(parameters[self.channels + channel]);
            // scale (g - mean of g - x^ mean of g x^), x^ the normalised value.
            let along = -f64::from(scale) * of_factor / count * self.inverse(channel);
            let level = -f64::from(scale) * of_offset / count - along * f64::from(self.mean[channel]);
            let (along, level) = (along as f32, level as f32);
            let made = Rectified { out, x, scale, shift, slope: self.slope };
            Arch::new().dispatch(Back { made, gradient, along, level });
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Draws;

    const CHANNELS: usize = 3;
    const CELLS: usize = 37;

    fn layer<'a>(statistics: &'a [f32], parameters: &'a [f32]) -> Layer<'a> {
        let (mean, variance) = statistics.split_at(CHANNELS);
        let (factor, offset) = parameters.split_at(CHANNELS);
        Layer { channels: CHANNELS, cells: CELLS, mean, variance, factor, offset, epsilon: 1e-5, slope: 0.2 }
    }

    fn value(x: &[f32], parameters: &[f32], along: &[f32]) -> f64 {
        let statistics = statistics(x, CHANNELS, CELLS);
        let out = layer(&statistics, parameters).forward(x);
        out.iter().zip(along).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn channels_get_mean_and_deviation_of_offset_and_factor() {
        let mut draws = Draws::new(1);
        let x: Vec<f32> = draws.uniform(2 * CHANNELS * CELLS, 3.0).iter().map(|x| x + 100.0).collect();
        let found = statistics(&x, CHANNELS, CELLS);
        let parameters = [2.0, 1.0, 0.5, 9.0, -1.0, 4.0];
        let plain = Layer { slope: 1.0, ..layer(&found, &parameters) };
        let again = statistics(&plain.forward(&x), CHANNELS, CELLS);
        for channel in 0..CHANNELS {
            let values: Vec<f64> = x
                .chunks_exact(CHANNELS * CELLS)
                .flat_map(|p| &p[channel * CELLS..][..CELLS])
                .map(|&x| f64::from(x))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((f64::from(found[channel]) - mean).abs() < 1e-4);
            assert!((again[channel] - parameters[CHANNELS + channel]).abs() < 1e-4);
            assert!((again[CHANNELS + channel].sqrt() - parameters[channel]).abs() < 1e-4);
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_value() {
        let mut draws = Draws::new(2);
        let x = draws.uniform(2 * CHANNELS * CELLS, 3.0);
        let along = draws.uniform(x.len(), 1.0);
        let parameters = [2.0, -1.0, 0.5, 0.3, -1.0, 0.4];
        let found = statistics(&x, CHANNELS, CELLS);
        let layer = layer(&found, &parameters);
        let of_parameters = layer.of_parameters(&x, &along);
        let of_input = layer.of_input(&x, &along, &of_parameters);
        let slope = |change: &dyn Fn(f32) -> f64| (change(1e-3) - change(-1e-3)) / 2e-3;
        for i in 0..parameters.len() {
            let expected = slope(&|by| {
                let mut moved = parameters;
                moved[i] += by;
                value(&x, &moved, &along)
            });
            assert!(
                (f64::from(of_parameters[i]) - expected).abs() < 0.02,
                "{i}: {of_parameters:?} {expected}"
            );
        }
        for i in (0..x.len()).step_by(11) {
            let expected = slope(&|by| {
                let mut moved = x.clone();
                moved[i] += by;
                value(&moved, &parameters, &along)
            });
            assert!((f64::from(of_input[i]) - expected).abs() < 0.02, "{i}: {} {expected}", of_input[i]);
        }
    }
}
