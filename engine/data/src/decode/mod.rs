//! Files to arrays and back: colour images, organised points, depth, clouds, masks, anomaly maps.
//!
//! A file's content decides its format, never its extension. Each decoder reads the header first, compares it
//! with [`Limits`], and only then allocates.

mod cloud;
mod image;
mod look;
mod map;
mod mask;
mod tiff;
mod xyz;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use self::cloud::{Cloud, points};
pub use self::image::{gray, image, write_png_rgb};
pub use self::look::{Look, look};
pub use self::map::{map, write_map};
pub use self::mask::mask;
pub use self::xyz::{depth, xyz};
use crate::{DataError, Limits};

/// A whole file, its length checked first.
fn bytes_of(path: &Path, limits: &Limits) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::read(path))?;
    let length = file.metadata().map_err(DataError::read(path))?.len();
    limits.check_bytes(path, length)?;
    let mut bytes = Vec::with_capacity(length as usize);
    // A file that grows while it is read, or a device without a length, is held to the same limit.
    let ceiling = limits.max_file_bytes.saturating_add(1);
    file.take(ceiling).read_to_end(&mut bytes).map_err(DataError::read(path))?;
    limits.check_bytes(path, bytes.len() as u64)?;
    Ok(bytes)
}

#[cfg(test)]
mod damage_tests;
