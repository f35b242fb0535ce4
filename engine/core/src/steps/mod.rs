//! The steps that the engine has itself: networks that it runs through its inference service.

pub mod onnx;
pub mod onnx_map;
mod picture;
mod tiles;
