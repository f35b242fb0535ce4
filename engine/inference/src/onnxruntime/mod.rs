//! The ONNX Runtime backend, on a library that is loaded while the program runs.

mod cuda;
mod environment;
mod library;
mod model;

pub(crate) use environment::{OnnxRuntime, open};
pub(crate) use model::OnnxRuntimeModel;

/// The runtime's name, for messages and records.
pub(crate) const NAME: &str = "ONNX Runtime";
