//! The stages of an inspection, one by one, on one synthetic scan of 400 x 400: `cargo bench -p assay-benches`.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench fails by panicking")]

use assay_data::Limits;
use assay_data::decode::{self, Encoded, Stored};
use assay_data::prepare::{Background, resize};
use assay_inference::{DEFAULT_BACKBONE, Engine, Options, Runtime};
use assay_kernels::bank::Bank;
use assay_kernels::coreset::greedy_k_centre;
use assay_kernels::embed::{Embedding, embed};
use assay_metrics::MapSet;
use assay_sdk::Serial;
use assay_synthetic::{Spec, generate};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::{Array2, Array3, ArrayD};
use std::hint::black_box;

/// Numbers in 0..1 that repeat from run to run.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn rows(n: usize, dims: usize, seed: u64) -> Array2<f32> {
    let mut next = noise(seed);
    Array2::from_shape_simple_fn((n, dims), &mut next)
}

fn decoding_and_preparation(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let spec = Spec { size: (400, 400), train: 1, validation: 0, test_good: 0, defects_per_kind: 0, seed: 0 };
    generate(&dir.path().join("part"), &spec).unwrap();
    let (png, tiff) =
        (dir.path().join("part/train/good/rgb/000.png"), dir.path().join("part/train/good/xyz/000.tiff"));
    let (limits, stored) = (Limits::default(), Stored::default());
    let read = |path| Encoded::read(path, &limits).unwrap();
    let (png, tiff) = (read(&png), read(&tiff));
    c.bench_function("decode PNG 400x400", |b| b.iter(|| decode::image(black_box(&png), &limits).unwrap()));
    c.bench_function("decode xyz TIFF 400x400", |b| {
        b.iter(|| decode::xyz(black_box(&tiff), &stored, &limits).unwrap())
    });
    let (image, points) =
        (decode::image(&png, &limits).unwrap(), decode::xyz(&tiff, &stored, &limits).unwrap());
    c.bench_function("resize RGB 400 -> 320", |b| {
        b.iter(|| resize::image(black_box(&image), (320, 320)).unwrap())
    });
    let planes = Array3::<f32>::zeros((3, 400, 400));
    c.bench_function("resize 3 planes 400 -> 320", |b| {
        b.iter(|| resize::planes(planes.view(), (320, 320)).unwrap())
    });
    let background = Background::default();
    c.bench_function("plane and clusters 400x400", |b| {
        b.iter(|| background.remove(black_box(&points)).unwrap())
    });
}

fn inference(c: &mut Criterion) {
    let image = ArrayD::<f32>::from_elem(vec![1, 3, 320, 320], 100.0);
    for runtime in [Runtime::OnnxRuntime, Runtime::Rten] {
        let Ok(engine) = Engine::open(&Options { runtime, ..Options::default() }) else { continue };
        let session = engine.session("backbone", DEFAULT_BACKBONE, 1).unwrap();
        let name = format!("EfficientNet-Lite0 320x320, {} 1 thread", engine.describe().name);
        c.bench_function(&name, |b| b.iter(|| session.run(&[("image", image.view())]).unwrap()));
    }
}

fn kernels(c: &mut Criterion) {
    let mut next = noise(1);
    let mut map = |channels, side| Array3::from_shape_simple_fn((channels, side, side), &mut next);
    let maps = [map(24, 80), map(40, 40), map(112, 20)];
    let views = [maps[0].view(), maps[1].view(), maps[2].view()];
    c.bench_function("embed c2+c3+c4 at 80x80", |b| {
        b.iter(|| embed(&views, &Embedding::PATCHCORE, &Serial).unwrap())
    });
    let (bank, queries) = (Bank::new(rows(10_000, 176, 2), &Serial).unwrap(), rows(1600, 176, 3));
    c.bench_function("nearest row 1600 x 10000 x 176", |b| {
        b.iter(|| bank.nearest(queries.view(), &Serial).unwrap())
    });
    let cloud = rows(10_000, 64, 4);
    c.bench_function("greedy k-centre 10000 x 64 -> 500", |b| {
        b.iter(|| greedy_k_centre(cloud.view(), 500, 0, &Serial).unwrap());
    });
}

fn metrics(c: &mut Criterion) {
    let mut next = noise(5);
    let maps: Vec<Vec<f32>> = (0..10).map(|_| (0..160_000).map(|_| next()).collect()).collect();
    let mask: Vec<bool> = (0..160_000).map(|i| (i / 400 % 40 < 4) && (i % 400 < 20)).collect();
    c.bench_function("exact AU-PRO of 10 maps 400x400", |b| {
        b.iter(|| {
            let mut set = MapSet::new();
            for map in &maps {
                set.add(map, &mask, 400, 400).unwrap();
            }
            set.rank().unwrap().pro_curve().unwrap().au_pro(0.3).unwrap()
        });
    });
}

criterion_group! {
    name = stages;
    config = Criterion::default().sample_size(20);
    targets = decoding_and_preparation, inference, kernels, metrics
}
criterion_main!(stages);
