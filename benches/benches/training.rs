//! A layer of a trained network, there and back, by the project's operations and by burn's: same weights, pictures and threads.
#![allow(clippy::expect_used, reason = "a bench")]

use assay_training::burn::nn::{BatchNorm, conv::Conv2d};
use assay_training::burn::tensor::activation::leaky_relu;
use assay_training::burn::tensor::module::interpolate;
use assay_training::burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use assay_training::burn::tensor::{Device, Tensor, TensorData};
use assay_training::layers::Draws;
use assay_training::pictures::{ConvNorm, double};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const THREADS: usize = 2;
const BATCH: usize = 4;

fn pictures(channels: usize, side: usize, device: &Device) -> Tensor<4> {
    let values = Draws::new(1).uniform(BATCH * channels * side * side, 1.0);
    Tensor::from_data(TensorData::new(values, [BATCH, channels, side, side]), device).require_grad()
}

/// There and back: the gradients of all that `forward` takes.
fn back(made: Tensor<4>) {
    black_box(made.sum().backward());
}

fn burns(conv: &Conv2d, norm: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    leaky_relu(norm.forward(conv.forward(x)), 0.0)
}

fn layers(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("threads");
    let device = Device::flex().autodiff();
    // Those of EasyNet's outer, middle and inner stages at a width of 16.
    for (inputs, outputs, side) in [(16, 16, 128), (64, 64, 32), (128, 128, 8)] {
        let mut group = c.benchmark_group(format!("layer {inputs} to {outputs} at {side}"));
        let layer = ConvNorm::new([inputs, outputs], 3, &mut Draws::new(0), &device);
        let x = pictures(inputs, side, &device);
        group.bench_function("here", |b| {
            pool.install(|| b.iter(|| back(layer.forward(x.clone(), 0.0))));
        });
        group.bench_function("burn", |b| {
            pool.install(|| b.iter(|| back(burns(&layer.conv, &layer.norm, x.clone()))));
        });
        group.finish();
    }
    let mut group = c.benchmark_group("twice the size, 16 at 64");
    let x = pictures(16, 64, &device);
    group.bench_function("here", |b| pool.install(|| b.iter(|| back(double(x.clone())))));
    let bilinear = || {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear);
        options.with_scale_factor([2.0, 2.0]).with_align_corners(true)
    };
    group.bench_function("burn", |b| {
        pool.install(|| b.iter(|| back(interpolate(x.clone(), bilinear()))));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = layers
}
criterion_main!(benches);
