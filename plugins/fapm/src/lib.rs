//! FAPM (Kim et al. 2023): a memory for each region of each layer, so that a patch is compared with few.

mod detector;
mod jobs;
mod memory;
mod plan;
#[cfg(test)]
mod tests;
mod thin;

pub use detector::{Fapm, Settings};

assay_sdk::export!(Fapm);
