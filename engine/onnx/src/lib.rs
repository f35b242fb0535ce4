//! ONNX files as data: read, write, build, and quantise to int8. Nothing here runs a network; `assay-inference` does.
//!
//! - [`message`]: the messages of the format; [`mod@file`] turns them into bytes and back.
//! - [`build`] and [`tensor`]: making nodes, attributes and tensors, and reading constants.
//! - [`quantise`]: a float32 network and what its tensors were seen to hold in, an int8 network out.
//!
//! # Untrusted files
//! What is read is taken as data: lengths are those of the bytes at hand, sizes are compared before memory is taken, names may be
//! missing or wrong, and nesting ends at protobuf's limit of 100. Reading takes memory in proportion to the file's length.

pub mod build;
mod error;
pub mod file;
mod index;
pub mod message;
pub mod quantise;
pub mod tensor;

pub use error::{Error, Result};
