//! From decoded scans to what a method works on: its size, and the part without its background.

pub mod background;
mod dilate;
pub mod polygon;
pub mod resize;

pub use self::background::{Background, Foreground, Plane};
pub use self::dilate::dilate;
