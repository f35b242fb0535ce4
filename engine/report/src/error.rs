//! What a report refuses to draw.

/// Why a picture or page could not be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Two inputs of one picture differ in rows or columns.
    #[error(
        "the {what} is {found:?} (rows, columns) but the picture is {expected:?}: bring both to the scan's size"
    )]
    SizesDiffer {
        /// The input that does not fit.
        what: &'static str,
        /// Its rows and columns.
        found: (usize, usize),
        /// Those of the picture.
        expected: (usize, usize),
    },
    /// The picture has another number of channels than three.
    #[error("a colour picture has 3 channels, this one has {0}: repeat a grey channel three times")]
    NotColour(usize),
    /// A pixel that counts is NaN or infinite.
    #[error("the {what} is {value} at row {row}, column {column}: mark such pixels invalid before drawing")]
    NotFinite {
        /// The input.
        what: &'static str,
        /// Row of the first such pixel.
        row: usize,
        /// Column of the first such pixel.
        column: usize,
        /// The value there.
        value: f32,
    },
    /// The ends of a scale and its threshold are not finite and in order.
    #[error("a scale needs finite low < high with the threshold between, not {low}, {threshold}, {high}")]
    Scale {
        /// Where the colours start.
        low: f32,
        /// Where regions start.
        threshold: f32,
        /// Where the colours end.
        high: f32,
    },
    /// A number of a scan is NaN or infinite.
    #[error("{what} of scan `{id}` is not a finite number")]
    Number {
        /// The scan.
        id: String,
        /// Which number.
        what: String,
    },
    /// A row of the metrics has another number of cells than the header.
    #[error("row {row} of the metrics has {found} cells, its header has {expected}")]
    Metrics {
        /// The row, from 0.
        row: usize,
        /// Its cells.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
    /// A picture is not named by a path relative to the page.
    #[error("picture `{path}` of scan `{id}` must be a path relative to the page")]
    Path {
        /// The scan.
        id: String,
        /// The path.
        path: String,
    },
}
