//! ONNX inference for Assay: ONNX Runtime where it is found, rten everywhere.
//!
//! An [`Engine`] is one runtime on one device; it turns the bytes of an ONNX file into a [`Session`], which
//! runs on float32 arrays from any number of threads at once.
//!
//! ```
//! use assay_inference::{DEFAULT_BACKBONE, Engine, Options, Runtime};
//! use ndarray::ArrayD;
//!
//! let engine = Engine::open(&Options { runtime: Runtime::Rten, ..Options::default() })?;
//! let backbone = engine.session("backbone", DEFAULT_BACKBONE, 1)?;
//! let image = ArrayD::<f32>::zeros(vec![1, 3, 64, 96]);
//! let taps = backbone.run(&[("image", image.view())])?;
//! assert_eq!(taps[1].0, "c3");
//! assert_eq!(taps[1].1.shape(), [1, 40, 8, 12]);
//! # Ok::<(), assay_inference::InferenceError>(())
//! ```
//!
//! # Where ONNX Runtime is looked for
//! [`Options::runtime_path`], else `ASSAY_ONNXRUNTIME` (a file, or a folder that holds it; one that does not
//! work is an error), then `ORT_DYLIB_PATH`, beside the executable, the system's library folders, and last,
//! with a notice, Python installations. It must be 1.24 or newer. [`RuntimeInfo::searched`] lists what was
//! looked at.
//!
//! # Determinism
//! On the CPU both runtimes give the same bits at any count of threads and for each item of any batch; this is
//! tested with the default backbone. The two agree with each other to f32 rounding, not to the bit, and
//! so may two versions of one runtime or two kinds of processor. CUDA makes no such promise.
//!
//! # Untrusted models
//! A file that is no model is an error. A model is code, however: one made with intent can ask for any
//! amount of memory and time when it is loaded or run.

mod engine;
mod error;
mod lender;
mod locate;
mod onnxruntime;
mod options;
mod platform;
mod rten;
mod session;
mod wire;

pub use engine::{Engine, RuntimeInfo};
pub use error::InferenceError;
pub use options::{Device, MAX_THREADS, Options, Runtime};
pub use session::{ElementType, NamedArray, Session, TensorInfo};
pub use wire::check as check_onnx;

use sha2::{Digest, Sha256};

/// The built-in backbone: EfficientNet-Lite0 (Tan and Le, 2019), trained on ImageNet, up to its stage of
/// stride 16, as an ONNX file of 2.8 MB under Apache-2.0. Its provenance is in `backbone/README.md`.
///
/// Input `image` `[N, 3, H, W]`, RGB, 0 to 255, any H and W: the normalisation is inside the graph. Outputs
/// `c2` `[N, 24, H/4, W/4]`, `c3` `[N, 40, H/8, W/8]` and `c4` `[N, 112, H/16, W/16]`, sizes rounded up.
pub const DEFAULT_BACKBONE: &[u8] = include_bytes!("../backbone/efficientnet-lite0.onnx");

/// The SHA-256 of `bytes` in lower-case hexadecimal, by which models and their files are known.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // Writing to a string cannot fail.
        hex
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn engines_and_sessions_may_be_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<super::Engine>();
        shared::<super::Session>();
    }

    #[test]
    fn the_hash_is_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(super::sha256_hex(b""), empty);
    }

    #[test]
    fn the_backbone_is_the_one_whose_provenance_is_stated() {
        let readme = include_str!("../backbone/README.md");
        assert!(readme.contains(&super::sha256_hex(super::DEFAULT_BACKBONE)));
    }
}
