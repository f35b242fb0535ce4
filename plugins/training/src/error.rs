//! What can go wrong in a training.

/// A training that gave no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The loss or the criterion is no number any more.
    #[error(
        "the {what} is {value} at step {step} of the training: use a lower learning rate, or look for scans with extreme values"
    )]
    Diverged {
        /// Loss or criterion.
        what: &'static str,
        /// What it became.
        value: f64,
        /// Steps done before.
        step: usize,
    },
    /// The device that was asked for cannot be had.
    #[error("cannot train on the device that is asked for: {0}")]
    NoDevice(String),
    /// No threads could be started.
    #[error("no threads for the training: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Values that a network should have given could not be read.
    #[error("the tensors of the training could not be read: {0}")]
    Tensor(String),
    /// A network that does not fit into an ONNX file.
    #[error("the trained network could not be written: {0}")]
    Onnx(#[from] assay_onnx::Error),
    /// The ONNX file does not do what the network did.
    #[error(
        "the network's ONNX file gives other values than the network did ({apart:e} of their size apart): this is a defect of the program, please report it"
    )]
    Unfaithful {
        /// Greatest difference over the greatest value.
        apart: f64,
    },
}

/// Short for a result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl From<Error> for assay_sdk::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cancelled => Self::cancelled(),
            Error::Diverged { .. } => Self::parameter("learning_rate", error.to_string()),
            Error::NoDevice(_) => Self::parameter("device", error.to_string()),
            Error::Threads(_) => Self::resource(error.to_string()),
            Error::Tensor(_) | Error::Onnx(_) | Error::Unfaithful { .. } => Self::internal(error.to_string()),
        }
    }
}
