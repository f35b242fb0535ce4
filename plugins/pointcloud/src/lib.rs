//! Surface normals of organised scans (`normals`) and heights above a plane (`height`), point feature histograms of scans and clouds
//! (`fpfh`), and what was not measured (`gaps`).
//!
//! None of them has a state. Searches are exact and every loop owns its output, so results do not
//! depend on the number of threads.
//!
//! A host loads the library and knows its C ABI alone. What else is public is what `fpfh` makes of points, [`Features`], for
//! programs that time and compare it.

mod features;
mod fill;
mod fpfh;
mod gaps;
mod height;
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

pub use features::{Features, Surroundings};
pub use fpfh::{Histogram, WIDTH};
pub use methods::{Fpfh, Gaps, HeightImage, NormalImage};
pub use neighbours::SearchError;
pub use plane::Facing;

assay_sdk::export!(NormalImage, HeightImage, Fpfh, Gaps);
