//! Layers over pictures `[n, channels, h, w]`, with seeded weights.

use crate::layers::Draws;
use crate::operations::{self, convolve, normalise, on_processor, statistics};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};

/// A convolution of a square of `side` cells (odd), with zeros around the picture. Its weights are drawn as PyTorch's are: evenly
/// from -1/sqrt(n) to 1/sqrt(n), n the values that go into a cell.
pub fn convolution(
    [inputs, outputs]: [usize; 2],
    side: usize,
    bias: bool,
    draws: &mut Draws,
    device: &Device,
) -> Conv2d {
    let area = side * side;
    let bound = 1.0 / ((inputs * area).max(1) as f64).sqrt();
    let config = Conv2dConfig::new([inputs, outputs], [side, side]).with_padding(PaddingConfig2d::Same);
    // Weights that nobody draws twice.
    let mut layer = config.with_bias(false).with_initializer(Initializer::Zeros).init(device);
    let weight =
        TensorData::new(draws.uniform(inputs * outputs * area, bound), [outputs, inputs, side, side]);
    layer.weight = Param::from_tensor(Tensor::from_data(weight, device));
    if bias {
        let bias = TensorData::new(draws.uniform(outputs, bound), [outputs]);
        layer.bias = Some(Param::from_tensor(Tensor::from_data(bias, device)));
    }
    layer
}

/// A convolution and the normalisation of each of its channels over the batch, as one layer.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// Without bias: the normalisation has one.
    pub conv: Conv2d,
    /// Over the batch while training, by what it has seen after.
    pub norm: BatchNorm,
}

impl ConvNorm {
    /// From `inputs` to `outputs` channels over a square of `side` cells.
    pub fn new([inputs, outputs]: [usize; 2], side: usize, draws: &mut Draws, device: &Device) -> Self {
        let conv = convolution([inputs, outputs], side, false, draws, device);
        Self { conv, norm: BatchNormConfig::new(outputs).init(device) }
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h, w]`, negative values multiplied by `slope`: 0 rectifies, 1 leaves them.
    pub fn forward(&self, pictures: Tensor<4>, slope: f64) -> Tensor<4> {
        self.normalised(convolved(&self.conv, pictures), slope)
    }

    /// What the convolution made, normalised, negative values multiplied by `slope`.
    pub fn normalised(&self, made: Tensor<4>, slope: f64) -> Tensor<4> {
        if !on_processor(&made.device()) {
            return leaky_relu(self.norm.forward(made), slope);
        }
        let BatchNorm { gamma, beta, epsilon, .. } = &self.norm;
        normalise(made.clone(), gamma.val(), beta.val(), self.statistics(&made), *epsilon, slope)
    }

    /// Those of the batch while training, which are kept; those that were kept after.
    fn statistics(&self, made: &Tensor<4>) -> Tensor<2> {
        let BatchNorm { running_mean, running_var, momentum, .. } = &self.norm;
        if !made.device().is_autodiff() {
            return Tensor::stack(vec![running_mean.value(), running_var.value()], 0);
        }
        let batch = statistics(made);
        for (kept, row) in [(running_mean, 0), (running_var, 1)] {
            let of_batch = batch.clone().narrow(0, row, 1).reshape([-1]);
            let mixed = kept.value_sync() * (1.0 - momentum) + of_batch * *momentum;
            kept.update(mixed.detach());
        }
        batch
    }
}

/// Pictures `[n, inputs, h, w]` through a layer that [`convolution`] made.
pub fn convolved(layer: &Conv2d, pictures: Tensor<4>) -> Tensor<4> {
    if !on_processor(&pictures.device()) {
        return layer.forward(pictures);
    }
    let made = convolve(pictures, layer.weight.val());
    match &layer.bias {
        Some(bias) => made + bias.val().reshape([1, -1, 1, 1]),
        None => made,
    }
}

/// The greatest value of each 2 x 2 cells.
pub fn halve(pictures: Tensor<4>) -> Tensor<4> {
    max_pool2d(pictures, MaxPoolOptions::new([2, 2]).with_stride([2, 2]))
}

/// Twice the size, bilinear, corners on corners, as EasyNet's and DRAEM's code.
pub fn double(pictures: Tensor<4>) -> Tensor<4> {
    if on_processor(&pictures.device()) { operations::double(pictures) } else { doubled(pictures) }
}

/// The same as two products with matrices, one an axis: burn's own layer has no gradient on CUDA.
fn doubled(pictures: Tensor<4>) -> Tensor<4> {
    let [_, _, rows, cols] = pictures.dims();
    let device = pictures.device();
    let along = |cells: usize| Tensor::<4>::from_data(doubling(cells), &device);
    along(rows).matmul(pictures).matmul(along(cols).transpose())
}

/// `[1, 1, 2 n, n]`: what each of twice as many cells takes of `n` cells.
fn doubling(n: usize) -> TensorData {
    let mut shares = vec![0.0f32; 2 * n * n];
    for (i, row) in shares.chunks_exact_mut(n).enumerate() {
        let at = (i * (n - 1)) as f64 / (2 * n - 1) as f64;
        let (low, high) = (at as usize, (at as usize + 1).min(n - 1));
        row[high] += (at - low as f64) as f32;
        row[low] += (1.0 - (at - low as f64)) as f32;
    }
    TensorData::new(shares, [1, 1, 2 * n, n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::values;

    #[test]
    fn doubling_by_matrices_gives_the_values_and_the_gradient_of_the_kernel() {
        let device = Device::flex().autodiff();
        let drawn = |seed, [rows, cols]: [usize; 2]| {
            let values = Draws::new(seed).uniform(2 * 3 * rows * cols, 1.0);
            Tensor::<4>::from_data(TensorData::new(values, [2, 3, rows, cols]), &device)
        };
        for [rows, cols] in [[1, 1], [2, 3], [8, 8], [5, 16]] {
            let weights = drawn(2, [2 * rows, 2 * cols]);
            let both = [doubled, double].map(|layer| {
                let pictures = drawn(1, [rows, cols]).require_grad();
                let made = layer(pictures.clone());
                let gradients = (made.clone() * weights.clone()).sum().backward();
                let gradient = pictures.grad(&gradients).unwrap();
                [values(made).unwrap(), values(gradient).unwrap()].concat()
            });
            let apart = both[0].iter().zip(&both[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(both[0].len() == both[1].len() && apart < 1e-5, "{rows} x {cols}: {apart}");
        }
    }
}
