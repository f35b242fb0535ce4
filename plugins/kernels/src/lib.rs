//! Numerics that several Assay methods share: patch embedding, the memory bank and its coreset,
//! Gaussian models.
//!
//! Nothing here starts a thread. A function that can use several takes the host's loop as
//! `&dyn assay_sdk::Parallel`, and its result has the same bits at any thread count.
//!
//! | module | what |
//! |---|---|
//! | [`grids`] | a method's feature inputs as one set of maps |
//! | [`pool`], [`resample`], [`embed`], [`joint`] | feature maps `[C, h, w]` to patch vectors `[h*w, C]` |
//! | [`adaptive`] | maps averaged to a grid of a given size |
//! | [`distance`] | the one squared distance that every reported figure comes from |
//! | [`bank`] | exact nearest rows of a memory bank |
//! | [`choice`], [`held`], [`projection`], [`coreset`] | which rows a bank keeps |
//! | [`apart`] | which rows a training learns from, and which judge it |
//! | [`score`] | PatchCore's image score |
//! | [`gaussian`] | one Gaussian a position, and the Mahalanobis distance to it |

pub mod adaptive;
pub mod apart;
pub mod bank;
pub mod choice;
pub mod coreset;
mod cover;
pub mod distance;
pub mod embed;
mod error;
mod factors;
pub mod gaussian;
#[cfg(test)]
mod golden;
pub mod grids;
pub mod held;
pub mod joint;
pub mod pool;
mod product;
pub mod projection;
pub mod resample;
mod rows;
pub mod score;
mod search;
mod sketch;
mod triangular;

pub use error::KernelError;
