//! PaDiM (Defard et al. 2020): a Gaussian of good features at every position, and the Mahalanobis distance to it.

mod detector;
#[cfg(test)]
mod tests;

pub use detector::{Padim, Settings};

assay_sdk::export!(Padim);
