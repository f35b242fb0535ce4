//! A file before it is decoded, and how the lengths in it are to be read.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{DataError, Limits};

/// A file's bytes and the path that messages name. What the bytes hold is found from them alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded<'a> {
    /// The file that errors name; it is not opened.
    pub path: &'a Path,
    /// All of the file's bytes.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Encoded<'a> {
    /// Bytes that are already in memory.
    pub fn new(path: &'a Path, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { path, bytes: bytes.into() }
    }

    /// Reads a whole file, its length checked first.
    ///
    /// # Errors
    /// [`DataError::Read`], and [`DataError::TooLarge`] beyond `limits.max_file_bytes`.
    pub fn read(path: &'a Path, limits: &Limits) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::read(path))?;
        let length = file.metadata().map_err(DataError::read(path))?.len();
        limits.check_bytes(path, length)?;
        let mut bytes = Vec::with_capacity(length as usize);
        // A file that grows while it is read, or a device without a length, is held to the same limit.
        let ceiling = limits.max_file_bytes.saturating_add(1);
        file.take(ceiling).read_to_end(&mut bytes).map_err(DataError::read(path))?;
        limits.check_bytes(path, bytes.len() as u64)?;
        Ok(Self { path, bytes: bytes.into() })
    }
}

/// How a file stores lengths: metres = stored value * `metres` + `offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored {
    /// Metres a stored unit.
    pub metres: f64,
    /// Metres that are added to a depth; organised points and clouds have none.
    pub offset: f64,
    /// The stored value that means "nothing was measured": of a depth, and of the z of a point. Compared as f32.
    pub invalid: Option<f64>,
}

impl Default for Stored {
    /// Metres, without an offset or an invalid value.
    fn default() -> Self {
        Self { metres: 1.0, offset: 0.0, invalid: None }
    }
}

impl Stored {
    /// Whether a stored value means that nothing was measured.
    pub(super) fn is_invalid(&self, value: f32) -> bool {
        self.invalid.is_some_and(|invalid| value == invalid as f32)
    }
}
