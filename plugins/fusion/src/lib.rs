//! Score fusers (`sum`, `max`, `weighted`, `one-class-svm`) and feature concatenation (`concat`).
//!
//! The host puts every score output on a common scale before a fuser sees it (0 = the median patch of a good part,
//! 1 = its 99th percentile) and resamples score grids of one fuser to the finest of them, so the methods here only
//! combine cells.

mod concat;
mod decision;
mod fuse;
mod one_class;

pub use concat::Concat;
pub use decision::Decision;
pub use fuse::{Max, Sum, Weighted};

assay_sdk::export!(Sum, Max, Weighted, Decision, Concat);
