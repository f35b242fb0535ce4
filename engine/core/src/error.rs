//! The engine's one error type: each variant is a different person's to mend.

use assay_data::DataError;
use assay_inference::InferenceError;
use std::path::PathBuf;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe's author: a key, a value, a reference is wrong.
    #[error("{file}:{line}: {key}: {message}")]
    Recipe {
        /// The recipe file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Dotted key.
        key: String,
        /// What is wrong and the nearest right thing.
        message: String,
    },
    /// The integrator or whoever installed the plugin: a library cannot be used.
    #[error("plugin {}: {message}", path.display())]
    Plugin {
        /// The library or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A step failed on a scan (or while it was fitted).
    #[error("step `{step}` ({method}){}: {message}", if scan.is_empty() { String::new() } else { format!(" on scan {scan}") })]
    Step {
        /// The step's name.
        step: String,
        /// The method's id.
        method: String,
        /// The scan's id, or empty.
        scan: String,
        /// What the method said.
        message: String,
    },
    /// Whoever placed the part: the scan is readable and cannot be inspected.
    #[error("scan {scan}: {message}")]
    Scan {
        /// The scan's id.
        scan: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// Whoever took or keeps the scans.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The station's inference runtime or an ONNX model.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// A model file that cannot be used.
    #[error("model {}: {message}", path.display())]
    Model {
        /// The model file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The request cannot be met as the scans are.
    #[error("{0}")]
    Request(String),
    /// Stopped because the user asked.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// An I/O error that names its path.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bytes of the longest word that a hint is looked for: comparing takes the product of both lengths in memory.
const LONGEST_WORD: usize = 256;

/// The nearest of `known` to a mistyped `word`, as a hint for messages; empty where none is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .filter(|k| word.len().max(k.len()) <= LONGEST_WORD)
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(d, k)| *d <= 1 + k.len().max(word.len()) / 3)
        .min()
        .map_or_else(String::new, |(_, k)| format!("; did you mean `{k}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_has_a_hint_and_a_very_long_one_costs_nothing() {
        assert_eq!(nearest("colr", ["height", "colour"]), "; did you mean `colour`?");
        assert_eq!(nearest("pressure", ["height", "colour"]), "");
        // Compared letter by letter, these would take terabytes.
        let long = ["a", "b"].map(|letter| letter.repeat(1 << 20));
        assert_eq!(nearest(&long[0], [long[1].as_str()]), "");
    }
}
