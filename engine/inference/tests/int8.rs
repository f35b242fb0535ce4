//! Networks quantised by `assay-onnx` in both runtimes: close to float32, close to each other, the same bits every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // It is a test.

mod common;

use assay_inference::{DEFAULT_BACKBONE, Engine, NamedArray};
use assay_onnx::quantise::{Observation, Plan, Quantised};
use common::{engines, image, run, shared};
use ndarray::{ArrayD, Axis, concatenate};
use std::collections::HashMap;

/// Quantises by what a runtime makes of some images.
fn quantised(engine: &Engine, onnx: &[u8], images: &[ArrayD<f32>]) -> Quantised {
    let plan = Plan::of(onnx).unwrap();
    let observed = engine.session("observed", &plan.observed().unwrap(), 2).unwrap();
    let mut seen: HashMap<String, Observation> = HashMap::new();
    for image in images {
        let outputs: HashMap<String, ArrayD<f32>> = run(&observed, image).into_iter().collect();
        for watched in plan.watched() {
            let values = &outputs[&watched.name];
            let seen = seen.entry(watched.name.clone()).or_default();
            seen.add(&watched.name, watched.axis, values.shape(), values.as_slice().unwrap()).unwrap();
        }
    }
    plan.write(&seen).unwrap()
}

fn images(size: usize, seeds: std::ops::Range<u32>) -> Vec<ArrayD<f32>> {
    seeds.map(|seed| image([1, 3, size, size], seed)).collect()
}

/// The length of the difference, relative to that of `expected`.
fn error(got: &ArrayD<f32>, expected: &ArrayD<f32>) -> f64 {
    assert_eq!(got.shape(), expected.shape());
    let square = |v: f32| f64::from(v) * f64::from(v);
    let difference: f64 = got.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    (difference / expected.iter().map(|&v| square(v)).sum::<f64>()).sqrt()
}

/// Compares int8 features with float32 ones and those of the two runtimes with each other; errors above `most` fail.
fn compare(what: &str, onnx: &[u8], size: usize, most: f64) {
    let engines = engines();
    let int8 = quantised(&engines[0], onnx, &images(size, 0..6));
    assert!(int8.onnx.len() * 2 < onnx.len() * 3 / 2, "{} of {} bytes", int8.onnx.len(), onnx.len());
    assert_eq!(int8.layers, int8.of);
    let input = image([1, 3, size, size], 9);
    let mut results: Vec<Vec<NamedArray>> = Vec::new();
    for engine in &engines {
        let full = run(&engine.session("float32", onnx, 1).unwrap(), &input);
        let coded = run(&engine.session("int8", &int8.onnx, 1).unwrap(), &input);
        for ((name, got), (expected_name, expected)) in coded.iter().zip(&full) {
            assert_eq!(name, expected_name);
            let error = error(got, expected);
            eprintln!("{what} {name} on {}: {error:.3} from float32", engine.describe().name);
            assert!(error < most, "{what} {name}: {error}");
        }
        results.push(coded);
    }
    if let [rten, onnx_runtime] = &results[..] {
        for ((name, a), (_, b)) in rten.iter().zip(onnx_runtime) {
            let error = error(a, b);
            eprintln!("{what} {name}: {error:.4} between the runtimes");
            assert!(error < most / 2.0, "{what} {name}: {error}");
        }
    }
}

#[test]
fn the_built_in_backbone_keeps_its_features() {
    compare("backbone", DEFAULT_BACKBONE, 224, 0.25);
}

#[test]
fn weights_that_the_graph_casts_from_float16_are_quantised_too() {
    let Some(path) = shared("backbones/resnet50-fp16weights.onnx") else { return };
    compare("resnet50", &std::fs::read(path).unwrap(), 128, 0.3);
}

#[test]
fn the_bits_are_the_same_at_any_count_of_threads_and_in_any_batch() {
    for engine in engines() {
        let int8 = quantised(&engine, DEFAULT_BACKBONE, &images(128, 0..3));
        let (a, b) = (image([1, 3, 97, 130], 1), image([1, 3, 97, 130], 2));
        let both = concatenate(Axis(0), &[a.view(), b.view()]).unwrap();
        let one = run(&engine.session("int8", &int8.onnx, 1).unwrap(), &b);
        for threads in [1, 2, 3] {
            let session = engine.session("int8", &int8.onnx, threads).unwrap();
            assert_eq!(run(&session, &b), one, "{threads} threads");
            for ((name, values), (_, alone)) in run(&session, &both).iter().zip(&one) {
                let second = values.index_axis(Axis(0), 1);
                assert_eq!(second, alone.index_axis(Axis(0), 0), "{name}, {threads} threads");
            }
        }
    }
}

#[test]
fn the_same_observations_give_the_same_file_on_any_count_of_threads() {
    let engines = engines();
    let engine = &engines[0];
    let first = quantised(engine, DEFAULT_BACKBONE, &images(64, 0..2));
    assert_eq!(first, quantised(engine, DEFAULT_BACKBONE, &images(64, 0..2)));
    let written = Plan::of(&first.onnx).unwrap_err().to_string();
    assert!(written.contains("quantised already"), "{written}");
}
