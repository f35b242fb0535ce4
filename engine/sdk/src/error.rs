//! What can go wrong inside a method, by who can mend it.

use assay_abi as abi;
use std::fmt;

/// The kind of a failure: the status that crosses the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A parameter is wrong; the recipe's author can mend it.
    Parameter,
    /// An input does not fit.
    Input,
    /// Called out of order, or a saved state that is not this method's.
    State,
    /// Memory, disk, or a host service that is not there.
    Resource,
    /// A defect of the plugin.
    Internal,
    /// A valid request that this method does not offer.
    Unsupported,
    /// Stopped because the host asked.
    Cancelled,
}

impl Code {
    /// The ABI's status.
    pub fn status(self) -> abi::Status {
        match self {
            Self::Parameter => abi::ERR_PARAMETER,
            Self::Input => abi::ERR_INPUT,
            Self::State => abi::ERR_STATE,
            Self::Resource => abi::ERR_RESOURCE,
            Self::Internal => abi::ERR_INTERNAL,
            Self::Unsupported => abi::ERR_UNSUPPORTED,
            Self::Cancelled => abi::CANCELLED,
        }
    }

    /// The kind of a status other than `OK`; an unknown one is [`Code::Internal`].
    pub fn of(status: abi::Status) -> Self {
        match status {
            abi::ERR_PARAMETER => Self::Parameter,
            abi::ERR_INPUT => Self::Input,
            abi::ERR_STATE => Self::State,
            abi::ERR_RESOURCE => Self::Resource,
            abi::ERR_UNSUPPORTED => Self::Unsupported,
            abi::CANCELLED => Self::Cancelled,
            _ => Self::Internal,
        }
    }
}

/// A failure: its kind, what it is about, and a sentence that says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub code: Code,
    /// A parameter, a port, a file; may be empty.
    pub subject: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Error {
    /// An error of any kind.
    pub fn new(code: Code, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, subject: subject.into(), message: message.into() }
    }

    /// Parameter `name` is wrong.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::new(Code::Parameter, name, message)
    }

    /// The input on `port` does not fit.
    pub fn input(port: &str, message: impl Into<String>) -> Self {
        Self::new(Code::Input, port, message)
    }

    /// Called out of order, or a foreign state.
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(Code::State, "", message)
    }

    /// Memory, disk or a missing host service.
    pub fn resource(message: impl Into<String>) -> Self {
        Self::new(Code::Resource, "", message)
    }

    /// A defect of the plugin itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, "", message)
    }

    /// The host asked to stop.
    pub fn cancelled() -> Self {
        Self::new(Code::Cancelled, "", "stopped as the host asked")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "`{}`: {}", self.subject, self.message)
        }
    }
}

impl std::error::Error for Error {}

/// Failures of state streams.
impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        let code = if e.kind() == std::io::ErrorKind::UnexpectedEof { Code::State } else { Code::Resource };
        Self::new(code, "", format!("the state stream failed: {e}"))
    }
}

/// The result of a method's functions.
pub type Result<T> = std::result::Result<T, Error>;
