//! What a file may ask of memory.

use std::path::Path;

use crate::DataError;

/// Bytes that a byte of a file stands for at most. Deflate, the tightest of the formats that have a bound, reaches 1032.
const MOST_EXPANSION: u64 = 2048;

/// The largest inputs that are read. Compared with a file's size and header before anything is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Pixels (rows x columns) of an image, an organised grid, a mask or a map.
    pub max_pixels: u64,
    /// Bytes of a file.
    pub max_file_bytes: u64,
    /// Points of a cloud (and rows of any other element in its file).
    pub max_points: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// 100 megapixels, 1 GiB, 50 million points.
    pub const DEFAULT: Self =
        Self { max_pixels: 100_000_000, max_file_bytes: 1 << 30, max_points: 50_000_000 };

    /// Checks a header's size; answers it as `(rows, columns)`.
    ///
    /// # Errors
    /// [`DataError::Malformed`] for an empty image, [`DataError::TooLarge`] beyond `max_pixels`.
    pub(crate) fn check_size(
        &self,
        path: &Path,
        columns: u32,
        rows: u32,
    ) -> Result<(usize, usize), DataError> {
        let pixels = u64::from(columns) * u64::from(rows);
        if pixels == 0 {
            return Err(DataError::malformed(path, format!("its header says {columns} x {rows} pixels")));
        }
        check(path, "pixels", "pixels", pixels, self.max_pixels)?;
        Ok((rows as usize, columns as usize))
    }

    /// Checks the element count of a cloud's header.
    pub(crate) fn check_points(&self, path: &Path, count: u64) -> Result<(), DataError> {
        check(path, "points", "points", count, self.max_points)
    }

    /// Checks that a file is long enough for what its header promises: `stored` bytes before compression.
    ///
    /// # Errors
    /// [`DataError::Malformed`] where no compression could make it so short.
    pub(crate) fn check_expansion(&self, path: &Path, stored: u64, length: usize) -> Result<(), DataError> {
        if stored <= MOST_EXPANSION.saturating_mul(length as u64) {
            return Ok(());
        }
        let cause = format!("its header promises {stored} bytes of samples, the file has {length} in all");
        Err(DataError::malformed(path, cause))
    }

    /// Checks a file's length.
    pub(crate) fn check_bytes(&self, path: &Path, length: u64) -> Result<(), DataError> {
        check(path, "bytes", "file_bytes", length, self.max_file_bytes)
    }
}

fn check(
    path: &Path,
    what: &'static str,
    key: &'static str,
    found: u64,
    limit: u64,
) -> Result<(), DataError> {
    if found <= limit {
        return Ok(());
    }
    Err(DataError::TooLarge { path: path.to_path_buf(), what, found, limit, key })
}
