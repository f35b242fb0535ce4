//! The method plugin `easynet`: networks that are trained on good scans with synthetic defects to rebuild the pictures of colour and depth
//! and to find what does not belong; no memory of the scans.

mod defects;
mod fitted;
mod gate;
mod lie;
mod method;
mod network;
mod noise;
mod scans;
#[cfg(test)]
mod tests;
mod texture;
mod train;
mod variation;
mod views;
mod window;

pub use method::EasyNet;

assay_sdk::export!(EasyNet);
