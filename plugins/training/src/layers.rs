//! Layers with seeded weights.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Where weights come from: a seeded stream, so that they do not depend on what else draws.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The `n`-th stream of a seed: what a step of a training draws then depends on nothing but its number, and a training that was
    /// interrupted goes on as it would have.
    pub fn of(seed: u64, n: u64) -> Self {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        draws.set_stream(n);
        Self(draws)
    }

    /// `n` values, evenly spread over -`bound`..`bound`.
    pub fn uniform(&mut self, n: usize, bound: f64) -> Vec<f32> {
        // 24 bits: every value is a float as it is.
        (0..n)
            .map(|_| ((f64::from(self.0.next_u32() >> 8) / f64::from(1 << 23) - 1.0) * bound) as f32)
            .collect()
    }

    /// A whole number below `n`, which is above 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    /// Brings `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// A linear layer whose weights are drawn as PyTorch's are: evenly from -1/sqrt(inputs) to 1/sqrt(inputs).
pub fn linear(inputs: usize, outputs: usize, draws: &mut Draws, device: &Device) -> Linear {
    let bound = 1.0 / (inputs.max(1) as f64).sqrt();
    let mut layer = LinearConfig::new(inputs, outputs).with_bias(false).init(device);
    let weight = TensorData::new(draws.uniform(inputs * outputs, bound), [inputs, outputs]);
    let bias = TensorData::new(draws.uniform(outputs, bound), [outputs]);
    layer.weight = Param::from_tensor(Tensor::from_data(weight, device));
    layer.bias = Some(Param::from_tensor(Tensor::from_data(bias, device)));
    layer
}

/// A perceptron with one hidden layer, over rows: normalisation, linear, GELU, linear.
#[derive(Module, Debug)]
pub struct Perceptron {
    /// Each row is brought to mean 0 and variance 1 first.
    pub norm: LayerNorm,
    /// To the hidden layer.
    pub up: Linear,
    /// To the output.
    pub down: Linear,
}

impl Perceptron {
    /// From rows of `inputs` values through `hidden` to `outputs`.
    pub fn new(inputs: usize, hidden: usize, outputs: usize, draws: &mut Draws, device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(inputs).with_epsilon(NORM_EPSILON).init(device),
            up: linear(inputs, hidden, draws, device),
            down: linear(hidden, outputs, draws, device),
        }
    }

    /// `[n, inputs]` to `[n, outputs]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        self.down.forward(gelu(self.up.forward(self.norm.forward(rows))))
    }
}

/// What is added to the variance of a row, as in PyTorch.
pub(crate) const NORM_EPSILON: f64 = 1e-5;
