//! Surface normals of organised scans (`normals`), point feature histograms of scans and clouds (`fpfh`), and what was not measured
//! (`gaps`).
//!
//! None of them has a state. Searches are exact and every loop owns its output, so results do not
//! depend on the number of threads.
//!
//! A host loads the library and knows its C ABI alone. What else is public are the steps of `fpfh` on a cloud, for programs that
//! time and compare them one by one: [`Neighbours`], then [`normals_of_cloud`], then [`fpfh()`].

mod fill;
mod fpfh;
mod gaps;
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

pub use fpfh::{Histogram, WIDTH, fpfh};
pub use methods::{Fpfh, Gaps, NormalImage};
pub use neighbours::{Neighbours, Search, SearchError};
pub use normals::{Normals, of_cloud as normals_of_cloud};
pub use plane::Facing;

assay_sdk::export!(NormalImage, Fpfh, Gaps);
