//! What a check comes to.

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The plugin does what it should.
    Pass,
    /// The check does not concern this plugin, or cannot be made here.
    Skip,
    /// It works, and its users will stumble over it.
    Warn,
    /// It breaks the ABI or a promise of its own.
    Fail,
    /// It took its process with it.
    Crash,
    /// It did not come back.
    Timeout,
}

impl Status {
    /// Its word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Timeout => "timeout",
        }
    }

    /// Whether a plugin that has it should not be used.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::Crash | Self::Timeout)
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check, `group/name`; explained in `docs/plugin-validator.md`.
    pub check: String,
    /// The method that it was about; none of a check of the library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How it ended.
    pub status: Status,
    /// What is wrong, or why it was skipped; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Seconds it took.
    pub seconds: f64,
}

/// What a check says when it ends on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Said {
    pub(crate) fn pass() -> Self {
        Self { status: Status::Pass, message: String::new() }
    }

    pub(crate) fn skip(why: impl Into<String>) -> Self {
        Self { status: Status::Skip, message: why.into() }
    }

    pub(crate) fn warn(what: impl Into<String>) -> Self {
        Self { status: Status::Warn, message: what.into() }
    }

    pub(crate) fn fail(what: impl Into<String>) -> Self {
        Self { status: Status::Fail, message: what.into() }
    }

    /// A warning of all of `what`; a pass of nothing.
    pub(crate) fn warn_of(what: &[String]) -> Self {
        if what.is_empty() { Self::pass() } else { Self::warn(what.join("; ")) }
    }
}

/// The end of a check: an error is a failure of the plugin.
pub(crate) type Outcome = Result<Said, String>;
