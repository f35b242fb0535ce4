//! What the tests share: the runtimes of this machine, the shared files, small models made by hand.
#![allow(dead_code, unreachable_pub)] // Each test program uses its own part.

pub mod onnx;

use std::path::{Path, PathBuf};

use assay_inference::{Engine, InferenceError, NamedArray, Options, Runtime, Session};
use ndarray::ArrayD;

/// rten, and ONNX Runtime where this machine has one.
pub fn engines() -> Vec<Engine> {
    let open = |runtime| Engine::open(&Options { runtime, ..Options::default() });
    let mut engines = vec![open(Runtime::Rten).unwrap()];
    match open(Runtime::OnnxRuntime) {
        Ok(engine) => engines.push(engine),
        Err(InferenceError::RuntimeNotFound { .. }) => eprintln!("skipped: ONNX Runtime not found"),
        Err(error) => panic!("{error}"),
    }
    engines
}

/// A file of the shared folder, if it is there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("ASSAY_SHARED").map_or_else(beside, PathBuf::from).join(name);
    if !path.is_file() {
        eprintln!("skipped: {name}: shared scans not found");
        return None;
    }
    Some(path)
}

/// A picture-like input: smooth, with some noise, 0 to 255.
pub fn image(shape: [usize; 4], seed: u32) -> ArrayD<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9).wrapping_add(1);
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65536.0
    };
    ArrayD::from_shape_fn(shape.to_vec(), |i| {
        let wave =
            ((i[2] as f32 * 0.07 + i[1] as f32).sin() + (i[3] as f32 * 0.05 + seed as f32).cos()) * 0.25;
        (wave * 230.0 + 127.0 + 25.0 * (noise() - 0.5)).clamp(0.0, 255.0)
    })
}

pub fn run(session: &Session, image: &ArrayD<f32>) -> Vec<NamedArray> {
    session.run(&[("image", image.view())]).unwrap()
}

/// The largest difference, relative to the largest value of `expected`.
pub fn relative_error(got: &ArrayD<f32>, expected: &ArrayD<f32>) -> f32 {
    assert_eq!(got.shape(), expected.shape());
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    got.iter().zip(expected).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / largest
}
