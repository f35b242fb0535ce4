//! PatchCore (Roth et al. 2022): a memory bank of patch vectors of good scans, and the distance to its nearest row.

mod detector;
mod gather;
mod patches;
mod pooled;
#[cfg(test)]
mod tests;

pub use detector::{PatchCore, Settings};
pub use pooled::{Pool, PoolParams};

assay_sdk::export!(PatchCore, Pool);
