//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use crate::options::Device;

/// An inference error. Every message names the library, model or tensor and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// A runtime or device was spelt in a way that is not known.
    #[error("unknown {what} `{given}`: expected {expected}")]
    UnknownName {
        /// `runtime` or `device`.
        what: &'static str,
        /// The text given.
        given: String,
        /// The spellings that are known.
        expected: &'static str,
    },
    /// The options contradict each other or are out of range.
    #[error("inference options: {reason}")]
    Options {
        /// What is wrong with them and how to mend it.
        reason: String,
    },
    /// No usable ONNX Runtime was found where one is needed.
    #[error(
        "no usable ONNX Runtime for device {device}: name one with --runtime-path or {var}, or use the \
         runtime `rten` on the CPU. Looked at:\n  {}", .searched.join("\n  "), var = crate::locate::ASSAY_VARIABLE
    )]
    RuntimeNotFound {
        /// The device that was asked for.
        device: Device,
        /// Each place looked at and what was found there.
        searched: Vec<String>,
    },
    /// An ONNX Runtime named by the user does not work.
    #[error("ONNX Runtime named by {named_by}, {}: {reason}", .path.display())]
    RuntimeUnusable {
        /// What named it: the runtime path or an environment variable.
        named_by: &'static str,
        /// The path it named.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// This process already runs another ONNX Runtime.
    #[error(
        "ONNX Runtime {} was asked for, but this process already runs {}; a process can load only one: start \
         another process", .asked.display(), .loaded.display()
    )]
    RuntimeAlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The library or folder asked for.
        asked: PathBuf,
    },
    /// The file is not a model that this runtime can load.
    #[error("model `{model}`: {runtime} cannot load it: {reason}")]
    Load {
        /// The caller's label of the model.
        model: String,
        /// The runtime that refused it.
        runtime: &'static str,
        /// The reason, with the operator where the runtime names one.
        reason: String,
    },
    /// An input of the model is of a type that cannot be fed.
    #[error(
        "model `{model}`: input `{input}` is {dtype}; only float32 tensors can be fed: export the model with \
         float32 inputs"
    )]
    InputType {
        /// The caller's label of the model.
        model: String,
        /// The input.
        input: String,
        /// Its type as the model declares it.
        dtype: String,
    },
    /// The inputs given are not the inputs of the model.
    #[error("model `{model}`: {reason}; its inputs are: {}", .inputs.join(", "))]
    InputNames {
        /// The caller's label of the model.
        model: String,
        /// Which input is unknown, missing or given twice.
        reason: String,
        /// The names of the model's inputs.
        inputs: Vec<String>,
    },
    /// An input has a shape that the model does not take.
    #[error("model `{model}`: input `{input}` has shape {given:?}, the model takes {expected}")]
    InputShape {
        /// The caller's label of the model.
        model: String,
        /// The input.
        input: String,
        /// The shape given.
        given: Vec<usize>,
        /// The shape declared, `?` for a free axis.
        expected: String,
    },
    /// A tensor holds NaN or an infinity.
    #[error("model `{model}`: {tensor} holds a value that is not finite (NaN or infinity)")]
    NotFinite {
        /// The caller's label of the model.
        model: String,
        /// The tensor: ``input `x` `` or ``output `y` ``.
        tensor: String,
    },
    /// The runtime failed while it ran the model.
    #[error("model `{model}`: {runtime} failed to run it: {reason}")]
    Run {
        /// The caller's label of the model.
        model: String,
        /// The runtime.
        runtime: &'static str,
        /// The runtime's own message.
        reason: String,
    },
}
