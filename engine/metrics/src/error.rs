//! What can be wrong with the input of a metric, and allocations that may fail.

/// Why a metric could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// No score or no map was given.
    #[error("there is nothing to evaluate: no {what} were given")]
    Empty {
        /// What is missing: scores or maps.
        what: &'static str,
    },
    /// All labels are alike, so that good cannot be told from defective.
    #[error("{good} good and {defective} defective {what}: the metric needs at least one of each")]
    SingleClass {
        /// What is labelled: scores or pixels.
        what: &'static str,
        /// How many are good.
        good: usize,
        /// How many are defective.
        defective: usize,
    },
    /// Scores and labels do not pair up.
    #[error("{scores} scores but {labels} labels: give one label a score")]
    LabelCount {
        /// Number of scores.
        scores: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A score is NaN or infinite.
    #[error("score {index} (from 0) is {value}: scores must be finite")]
    ScoreNotFinite {
        /// Position of the score, from 0.
        index: usize,
        /// The score.
        value: f64,
    },
    /// A pixel of an anomaly map is NaN or infinite.
    #[error("map {map} (from 0) holds {value} at row {row}, column {col}: every pixel needs a finite score")]
    MapNotFinite {
        /// Position of the map in the order of adding, from 0.
        map: usize,
        /// Row of the pixel, from 0.
        row: usize,
        /// Column of the pixel, from 0.
        col: usize,
        /// The pixel's score.
        value: f32,
    },
    /// An image does not have rows x cols pixels.
    #[error("the {what} has {found} pixels but {rows} rows x {cols} columns need {expected}")]
    PixelCount {
        /// Which image: map, mask or image.
        what: &'static str,
        /// Rows stated.
        rows: usize,
        /// Columns stated.
        cols: usize,
        /// rows x cols.
        expected: usize,
        /// Pixels given.
        found: usize,
    },
    /// An image is larger than its labels can count.
    #[error(
        "an image of {rows} rows x {cols} columns is too large: at most {} pixels are supported",
        u32::MAX
    )]
    TooLarge {
        /// Rows stated.
        rows: usize,
        /// Columns stated.
        cols: usize,
    },
    /// The integration limit of AU-PRO lies outside (0, 1].
    #[error(
        "integration limit {limit} is not a false-positive rate: give one above 0 and at most 1, such as 0.3"
    )]
    Limit {
        /// The limit given.
        limit: f64,
    },
    /// A sampled PRO curve was asked of too few or too many thresholds.
    #[error("{thresholds} thresholds do not sample a PRO curve: give 2 to {max}, such as 100")]
    Thresholds {
        /// Number of thresholds asked for.
        thresholds: usize,
        /// Most thresholds that are accepted.
        max: usize,
    },
    /// Memory for the evaluation could not be had.
    #[error("no memory for {elements} more values of {bytes} bytes: evaluate fewer or smaller maps at once")]
    OutOfMemory {
        /// Number of values.
        elements: usize,
        /// Size of each in bytes.
        bytes: usize,
    },
}

/// Makes room for `additional` more values, growing by doubling.
///
/// # Errors
/// [`MetricError::OutOfMemory`] when the allocator refuses.
pub(crate) fn reserve<T>(values: &mut Vec<T>, additional: usize) -> Result<(), MetricError> {
    values
        .try_reserve(additional)
        .map_err(|_| MetricError::OutOfMemory { elements: additional, bytes: size_of::<T>() })
}

/// `n` copies of `value`.
///
/// # Errors
/// [`MetricError::OutOfMemory`] when the allocator refuses.
pub(crate) fn filled<T: Clone>(value: T, n: usize) -> Result<Vec<T>, MetricError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(n)
        .map_err(|_| MetricError::OutOfMemory { elements: n, bytes: size_of::<T>() })?;
    values.resize(n, value);
    Ok(values)
}

/// rows x cols, where both images named hold that many pixels.
///
/// # Errors
/// [`MetricError::TooLarge`] above `u32::MAX` pixels, [`MetricError::PixelCount`] where a length differs.
pub(crate) fn check_pixels(
    rows: usize,
    cols: usize,
    images: &[(&'static str, usize)],
) -> Result<usize, MetricError> {
    let expected = rows
        .checked_mul(cols)
        .filter(|&pixels| u32::try_from(pixels).is_ok())
        .ok_or(MetricError::TooLarge { rows, cols })?;
    match images.iter().find(|(_, found)| *found != expected) {
        Some(&(what, found)) => Err(MetricError::PixelCount { what, rows, cols, expected, found }),
        None => Ok(expected),
    }
}
