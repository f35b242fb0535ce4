//! What can keep a category from being written.

use std::path::PathBuf;

/// Why no synthetic category was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyntheticError {
    /// A side of the scans lies outside the range that shows the part.
    #[error("scans of {rows} x {columns} pixels: each side must be {least} to {most}")]
    Size {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// Smallest side.
        least: usize,
        /// Largest side.
        most: usize,
    },
    /// More scans than three-digit names can number.
    #[error("{count} scans for `{field}`: at most {most} fit the three-digit names of the layout")]
    Count {
        /// The field of [`crate::Spec`].
        field: &'static str,
        /// Scans asked for.
        count: usize,
        /// Most scans of a folder.
        most: usize,
    },
    /// The folder holds something already, and nothing is overwritten.
    #[error("{} is not empty: name a new folder, or remove this one first", .0.display())]
    NotEmpty(PathBuf),
    /// A folder or file could not be made.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A picture could not be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// A point grid could not be encoded.
    #[error("cannot encode {}: {source}", path.display())]
    Points {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: tiff::TiffError,
    },
}
