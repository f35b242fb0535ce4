//! Checks on row-major matrices before anything is computed from them.

use ndarray::{ArrayView2, CowArray, Ix2};

use crate::KernelError;

/// Rows up to this length keep every squared distance, four times over, inside f32.
const LONGEST: f64 = (1u64 << 60) as f64;

/// More columns than any embedding has; the rounding margins hold up to here with room to spare.
const MOST_COLUMNS: usize = 1 << 20;

/// A matrix in row-major order whose values are finite and in range, with its rows' lengths.
pub(crate) struct Rows<'a> {
    matrix: CowArray<'a, f32, Ix2>,
    /// Euclidean length of each row, summed in f64.
    pub(crate) lengths: Vec<f64>,
}

impl<'a> Rows<'a> {
    /// Checks `matrix` [n, c]; copies it only where it is not in row-major order.
    ///
    /// # Errors
    /// No columns or too many, a value that is not finite, a row longer than 2^60.
    pub(crate) fn new(what: &'static str, matrix: ArrayView2<'a, f32>) -> Result<Self, KernelError> {
        let dims = matrix.ncols();
        if dims == 0 || dims > MOST_COLUMNS {
            return Err(KernelError::Range { what, range: "between 1 and 2^20 columns wide" });
        }
        let standard = matrix.is_standard_layout();
        let matrix: CowArray<'a, f32, Ix2> =
            if standard { matrix.into() } else { matrix.as_standard_layout().into_owned().into() };
        let mut lengths = Vec::with_capacity(matrix.nrows());
        for (row, values) in matrix.outer_iter().enumerate() {
            let values = values.to_slice().unwrap_or_default();
            let length = length(values);
            if !length.is_finite() {
                return Err(KernelError::NotFinite { what, row });
            }
            if length > LONGEST {
                return Err(KernelError::TooLong { what, row });
            }
            lengths.push(length);
        }
        Ok(Self { matrix, lengths })
    }

    /// The values, row after row.
    pub(crate) fn values(&self) -> &[f32] {
        self.matrix.as_slice().unwrap_or_default()
    }

    /// The values of row `i`.
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        let dims = self.dims();
        &self.values()[i * dims..][..dims]
    }

    pub(crate) fn len(&self) -> usize {
        self.matrix.nrows()
    }

    pub(crate) fn dims(&self) -> usize {
        self.matrix.ncols()
    }
}

/// Euclidean length in f64: never overflows for finite f32, not finite otherwise.
pub(crate) fn length(values: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let (chunks, tail) = values.as_chunks::<8>();
    for chunk in chunks {
        for l in 0..8 {
            lanes[l] += f64::from(chunk[l]) * f64::from(chunk[l]);
        }
    }
    let tail: f64 = tail.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (lanes.iter().sum::<f64>() + tail).sqrt()
}
