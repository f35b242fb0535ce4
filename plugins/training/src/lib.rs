//! Training of small networks on good scans, for the method plugins that have one.
//!
//! Networks, losses and optimisers are burn's; on the processor the layers over pictures are kernels of this crate, on CUDA burn's own. What comes out of a training is an ONNX file, which the host's
//! inference service runs: nothing of burn is needed to score.
//!
//! - [`device`]: processor or CUDA; [`operations`]: what layers over pictures do, on the processor.
//! - [`layers`] and [`pictures`]: layers with seeded weights; [`losses`]: what is minimised; [`schedule`]: learning rates.
//! - [`learner`]: a network and its optimiser at their task; [`run`]: the loop: progress, cancelling, a limit of time, the best of what was tried by a
//!   criterion, and going on after an interruption; [`Watched`]: how the host sees it.
//! - [`export`]: trained layers as nodes of an ONNX graph.
//! - [`threads`]: training on as many threads as the host has.
//!
//! # Determinism
//! On the processor: weights and orders are drawn from a seeded stream cipher, and burn's sums do not depend on the number of threads, so that the same
//! scans and seed give the same bits - unless a limit of time ends a training.

pub mod device;
mod error;
pub mod export;
pub mod layers;
pub mod learner;
pub mod losses;
mod memory;
pub mod operations;
pub mod pictures;
pub mod run;
pub mod schedule;
pub mod threads;
mod watched;

pub use error::{Error, Result};
pub use watched::Watched;

/// The tensor library, for the plugins: one version in one place.
pub use burn;
