//! M3DM's hybrid fusion (Wang et al., CVPR 2023): features of a colour image and of 3D points, each as it is and both fused by a network
//! that is trained to tell which patches belong together. Three memory banks and a decision layer, steps of their own, follow. And the
//! features of a point transformer, where one is at hand.

mod groups;
mod method;
mod patches;
mod point_mae;
mod standard;
#[cfg(test)]
mod tests;
mod uff;

pub use method::M3dm;
pub use point_mae::PointMae;

assay_sdk::export!(M3dm, PointMae);
