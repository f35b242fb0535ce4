//! Surface normals of organised scans (`normals`) and point feature histograms of scans and clouds (`fpfh`).
//!
//! Both are extractors without a state. Searches are exact and every loop owns its output, so results do not
//! depend on the number of threads.

mod fill;
mod fpfh;
mod methods;
mod neighbours;
mod normals;
mod plane;
mod pool;
mod voxel;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod timings;

pub use methods::{Fpfh, NormalImage};

assay_sdk::export!(NormalImage, Fpfh);
