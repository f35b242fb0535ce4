//! What can be wrong with the numbers handed to a kernel.

use assay_sdk::{Code, Error as MethodError};
use thiserror::Error;

/// Why a kernel refused its input. Nothing was changed when one is returned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KernelError {
    /// There is nothing to work on.
    #[error("{what}: no rows; at least {needed} needed")]
    TooFew {
        /// The argument at fault.
        what: &'static str,
        /// The least number of rows, maps or positions.
        needed: usize,
    },
    /// A length or an index does not fit the other arguments.
    #[error("{what}: {found} where {expected} was expected")]
    Shape {
        /// The length at fault.
        what: &'static str,
        /// What the other arguments ask for.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A number lies outside its range.
    #[error("{what} must be {range}")]
    Range {
        /// The argument at fault.
        what: &'static str,
        /// The permitted range, in words.
        range: &'static str,
    },
    /// A row holds NaN or an infinity.
    #[error("{what}: row {row} holds a value that is not finite; mask the cell or look at the step before")]
    NotFinite {
        /// The argument at fault.
        what: &'static str,
        /// The first such row.
        row: usize,
    },
    /// A row is so long that squared distances could overflow f32.
    #[error("{what}: row {row} is longer than 2^60; scale the features down")]
    TooLong {
        /// The argument at fault.
        what: &'static str,
        /// The first such row.
        row: usize,
    },
    /// The memory asked for cannot be had.
    #[error("{what}: {elements} values of {size} bytes do not fit in memory; lower the method's limits")]
    Memory {
        /// What the memory is for.
        what: &'static str,
        /// How many values.
        elements: usize,
        /// Bytes of one value.
        size: usize,
    },
    /// The scratch folder does not take or give back what a fit keeps there.
    #[error("the scratch folder: {reason}; make room there, or raise the method's memory limit")]
    Scratch {
        /// What the system says.
        reason: String,
    },
    /// A covariance has no Cholesky factor.
    #[error("covariance at position {position} is not positive definite; raise epsilon")]
    NotPositiveDefinite {
        /// Row of the position.
        position: usize,
    },
    /// A Cholesky factor does not fit in half floats.
    #[error("the Gaussian at position {position} is beyond the range of f16; store it as f32")]
    HalfRange {
        /// Row of the position.
        position: usize,
    },
}

impl From<KernelError> for MethodError {
    fn from(error: KernelError) -> Self {
        let code = match error {
            KernelError::Range { .. }
            | KernelError::NotPositiveDefinite { .. }
            | KernelError::HalfRange { .. } => Code::Parameter,
            KernelError::Memory { .. } | KernelError::Scratch { .. } => Code::Resource,
            _ => Code::Input,
        };
        Self::new(code, "", error.to_string())
    }
}

/// An empty vector with room for `elements`, or [`KernelError::Memory`].
pub(crate) fn reserved<T>(what: &'static str, elements: usize) -> Result<Vec<T>, KernelError> {
    let mut out = Vec::new();
    let size = size_of::<T>();
    out.try_reserve_exact(elements).map_err(|_| KernelError::Memory { what, elements, size })?;
    Ok(out)
}

/// A vector of `elements` copies of `value`, or [`KernelError::Memory`].
pub(crate) fn filled<T: Clone>(what: &'static str, elements: usize, value: T) -> Result<Vec<T>, KernelError> {
    let mut out = Vec::new();
    let size = size_of::<T>();
    out.try_reserve_exact(elements).map_err(|_| KernelError::Memory { what, elements, size })?;
    out.resize(elements, value);
    Ok(out)
}

/// `a * b`, or [`KernelError::Memory`] where the product of sizes overflows.
pub(crate) fn area(what: &'static str, a: usize, b: usize) -> Result<usize, KernelError> {
    a.checked_mul(b).ok_or(KernelError::Memory { what, elements: usize::MAX, size: size_of::<f32>() })
}

/// That `found` equals `expected`, or [`KernelError::Shape`].
pub(crate) fn expect(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
}
