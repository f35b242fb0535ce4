//! Files to arrays and back: colour images, organised points, depth, clouds, masks, anomaly maps.
//!
//! A module a sensor kind ([`image()`], [`xyz()`], [`points`] ...) and one a format.
//!
//! A file's content decides its format, never its extension. Each decoder works on a file's bytes ([`Encoded`]):
//! it reads the header first, compares it with [`crate::Limits`], and only then allocates.

mod bmp;
mod cloud;
mod encoded;
mod format;
mod image;
mod jpeg;
mod look;
mod map;
mod mask;
mod npy;
mod orientation;
mod pcd;
mod picture;
mod ply;
mod ply_write;
mod png;
mod scalar;
mod tiff;
mod xyz;

pub use self::cloud::{Cloud, points};
pub use self::encoded::{Encoded, Stored};
pub use self::image::{gray, image, write_png_rgb};
pub use self::look::{Look, look};
pub use self::map::{map, write_map};
pub use self::mask::mask;
pub use self::ply_write::{Vertex, write_ply};
pub use self::xyz::{depth, xyz};

#[cfg(test)]
mod damage_tests;
