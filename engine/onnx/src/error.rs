//! What can go wrong.

/// An error; whoever knows the file's name puts it in front.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no ONNX file.
    #[error("it is no ONNX model: {0}")]
    Malformed(String),
    /// It is an ONNX model, but nothing that can be quantised.
    #[error("it cannot be quantised: {0}")]
    Unquantisable(String),
    /// What was seen of a tensor does not go with the network.
    #[error("tensor `{tensor}`: {reason}")]
    Observation {
        /// Its name.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
}

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
