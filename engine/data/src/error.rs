//! What can go wrong between a folder of scans and prepared grids.

use std::io;
use std::path::{Path, PathBuf};

/// An error about a file, a folder or a sensor. Each names the thing, the cause and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file that was to be written; an older version of it is untouched.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file asks for more than [`crate::Limits`] allow.
    #[error("{}: {found} {what}, the limit is {limit}; raise `{key}` in the recipe's [limits] if the file is genuine", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is counted: pixels, bytes or points.
        what: &'static str,
        /// The count in the file.
        found: u64,
        /// The limit.
        limit: u64,
        /// The key of the recipe's table `limits`.
        key: &'static str,
    },
    /// The content is none of the formats that are read here.
    #[error("{}: not {expected} (the content decides, not the extension); convert the file or name another sensor kind", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The formats that would do.
        expected: &'static str,
    },
    /// The format is right but the content is broken: cut short, corrupt, or against the format.
    #[error("{}: {cause}; the file is damaged, record or copy it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        cause: String,
    },
    /// The content is well formed, but of a kind that is not read as this sensor.
    #[error("{}: {cause}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what is read instead.
        cause: String,
    },
    /// A NaN or an infinity where every value must be a number.
    #[error("{what}: value at row {row}, column {column} is not a finite number")]
    NotFinite {
        /// The file or the argument.
        what: String,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// The sensor saw no point at all: every cell of its grid or cloud is invalid.
    #[error("{}: sensor `{sensor}` measured nothing: every value is missing (0, not finite, the recipe's `invalid`, saturated or out of view); check exposure and range", path.display())]
    NothingMeasured {
        /// The file.
        path: PathBuf,
        /// The sensor.
        sensor: String,
    },
    /// A sensor's camera was calibrated for pictures of another view.
    #[error("{}: {} x {} (rows x columns), but the camera of sensor `{sensor}` was calibrated for {} x {}, which is another view; give the camera of these files",
        path.display(), found.0, found.1, calibrated.0, calibrated.1)]
    CameraSize {
        /// The file.
        path: PathBuf,
        /// Its sensor.
        sensor: String,
        /// `(rows, columns)` that the camera was calibrated for.
        calibrated: (usize, usize),
        /// `(rows, columns)` of the file.
        found: (usize, usize),
    },
    /// Two sensors of one scan cannot be related through cameras, poses and points.
    #[error("{}: sensor `{sensor}` cannot be brought onto the pixels of sensor `{first}`: {cause}", path.display())]
    Unrelated {
        /// The file.
        path: PathBuf,
        /// Its sensor.
        sensor: String,
        /// The sensor that the others are related to.
        first: String,
        /// What is missing.
        cause: String,
    },
    /// Two sensors of one scan differ in size.
    #[error("{} is {} x {} and {} is {} x {} (rows x columns), which is not one view in two resolutions; give both sensors a `camera` (and a `pose` where they stand apart), or crop them to one view",
        first.display(), first_size.0, first_size.1, second.display(), second_size.0, second_size.1)]
    SizesDiffer {
        /// The first file.
        first: PathBuf,
        /// Its `(rows, columns)`.
        first_size: (usize, usize),
        /// The second file.
        second: PathBuf,
        /// Its `(rows, columns)`.
        second_size: (usize, usize),
    },
    /// A sensor's name, pattern, kind or unit is not usable.
    #[error("sensor `{sensor}`: {cause}")]
    BadSensor {
        /// The sensor's name.
        sensor: String,
        /// What is wrong and what would be right.
        cause: String,
    },
    /// A word that is none of those allowed.
    #[error("unknown {what} `{found}`; one of {allowed}")]
    UnknownWord {
        /// What the word should name.
        what: &'static str,
        /// The word.
        found: String,
        /// The words that are known.
        allowed: &'static str,
    },
    /// A folder that must exist does not.
    #[error("no folder {}: {why}", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// Why it is needed.
        why: String,
    },
    /// A folder holds no scan.
    #[error("no scans in {}: no file matches {patterns}", path.display())]
    NoScans {
        /// The folder.
        path: PathBuf,
        /// The sensors' patterns.
        patterns: String,
    },
    /// A scan lacks the file of one sensor.
    #[error("scan `{id}` has no `{sensor}` file ({} is missing); add it or remove the scan's other files", path.display())]
    MissingFile {
        /// The scan.
        id: String,
        /// The sensor, or `mask`.
        sensor: String,
        /// Where the file was expected.
        path: PathBuf,
    },
    /// Two files claim to be the same one of a scan.
    #[error("{} and {} are both the `{sensor}` file of scan `{id}`; keep one, or narrow the pattern", first.display(), second.display())]
    Ambiguous {
        /// The scan.
        id: String,
        /// The sensor.
        sensor: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A folder does not have the layout that was named, or none that is known.
    #[error("{} is not {layout}: {cause}", path.display())]
    LayoutMismatch {
        /// The folder.
        path: PathBuf,
        /// The layout.
        layout: String,
        /// What is missing.
        cause: String,
    },
    /// An argument of a preparation step is out of range.
    #[error("{what}: {cause}")]
    BadArgument {
        /// The step or the argument.
        what: &'static str,
        /// What is wrong and what is allowed.
        cause: String,
    },
}

impl DataError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_path_buf(), source }
    }

    pub(crate) fn malformed(path: &Path, cause: impl ToString) -> Self {
        Self::Malformed { path: path.to_path_buf(), cause: cause.to_string() }
    }

    pub(crate) fn unsupported(path: &Path, cause: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), cause: cause.into() }
    }

    pub(crate) fn bad_argument(what: &'static str, cause: impl Into<String>) -> Self {
        Self::BadArgument { what, cause: cause.into() }
    }
}
