//! Rows that a fit holds on to: in memory, or in a file where they would take too much of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ndarray::Array2;

use crate::KernelError;
use crate::error::{area, expect, filled, reserved};

/// Rows of one width, by number.
#[derive(Debug)]
pub struct HeldRows {
    dims: usize,
    len: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<f32>),
    File(File),
}

impl HeldRows {
    /// No rows yet, of `dims` columns, in memory, and room for `capacity`.
    ///
    /// # Errors
    /// No memory.
    pub fn in_memory(dims: usize, capacity: usize) -> Result<Self, KernelError> {
        let values = reserved("rows held", area("rows held", dims, capacity)?)?;
        Ok(Self { dims, len: 0, place: Place::Memory(values) })
    }

    /// The rows of `values` [n, dims], in memory.
    ///
    /// # Errors
    /// Values that are no whole number of rows.
    pub fn of(values: Vec<f32>, dims: usize) -> Result<Self, KernelError> {
        let len = values.len() / dims.max(1);
        expect("values of the rows to hold", len * dims, values.len())?;
        Ok(Self { dims, len, place: Place::Memory(values) })
    }

    /// No rows yet, of `dims` columns, in a file of `folder` that has no name and is gone with this.
    ///
    /// # Errors
    /// [`KernelError::Scratch`] where the file cannot be made.
    pub fn in_folder(dims: usize, folder: &Path) -> Result<Self, KernelError> {
        let file = tempfile::tempfile_in(folder).map_err(scratch)?;
        Ok(Self { dims, len: 0, place: Place::File(file) })
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets row `at`, which may be the first that does not exist yet.
    ///
    /// # Errors
    /// Another width, a row further on; no memory, a full disk.
    pub fn put(&mut self, at: usize, row: &[f32]) -> Result<(), KernelError> {
        expect("columns of a row to hold", self.dims, row.len())?;
        expect("row to hold", at.min(self.len), at)?;
        match &mut self.place {
            Place::Memory(values) if at < self.len => {
                values[at * self.dims..][..self.dims].copy_from_slice(row);
            }
            Place::Memory(values) => {
                let full =
                    KernelError::Memory { what: "rows held", elements: self.dims, size: size_of::<f32>() };
                values.try_reserve(self.dims).map_err(|_| full)?;
                values.extend_from_slice(row);
            }
            Place::File(file) => {
                file.seek(place_of(at, self.dims)).map_err(scratch)?;
                file.write_all(bytemuck::cast_slice(row)).map_err(scratch)?;
            }
        }
        self.len = self.len.max(at + 1);
        Ok(())
    }

    /// The rows of these numbers, in this order.
    ///
    /// # Errors
    /// A row that is not there; no memory, a disk that fails.
    pub fn select(&mut self, rows: &[usize]) -> Result<Array2<f32>, KernelError> {
        let mut out = filled("rows held", area("rows held", rows.len(), self.dims)?, 0f32)?;
        for (out, &at) in out.chunks_exact_mut(self.dims.max(1)).zip(rows) {
            expect("row held", at.min(self.len.saturating_sub(1)), at)?;
            match &mut self.place {
                Place::Memory(values) => out.copy_from_slice(&values[at * self.dims..][..self.dims]),
                Place::File(file) => {
                    file.seek(place_of(at, self.dims)).map_err(scratch)?;
                    file.read_exact(bytemuck::cast_slice_mut(out)).map_err(scratch)?;
                }
            }
        }
        Array2::from_shape_vec((rows.len(), self.dims), out).map_err(|_| KernelError::Shape {
            what: "rows held",
            expected: rows.len() * self.dims,
            found: 0,
        })
    }

    /// Moves row `from` to the number `to`, which is not greater.
    ///
    /// # Errors
    /// As [`Self::select`] and [`Self::put`].
    pub fn pull(&mut self, from: usize, to: usize) -> Result<(), KernelError> {
        if from == to {
            return Ok(());
        }
        let row = self.select(&[from])?;
        self.put(to, row.as_slice().unwrap_or_default())
    }

    /// Forgets all rows but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if let Place::Memory(values) = &mut self.place {
            values.truncate(self.len * self.dims);
        }
    }
}

fn place_of(row: usize, dims: usize) -> SeekFrom {
    SeekFrom::Start(row as u64 * (dims * size_of::<f32>()) as u64)
}

fn scratch(error: io::Error) -> KernelError {
    KernelError::Scratch { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_memory_and_from_a_file_alike() {
        let folder = tempfile::tempdir().unwrap();
        for mut held in [HeldRows::in_memory(2, 5).unwrap(), HeldRows::in_folder(2, folder.path()).unwrap()] {
            for i in 0..5 {
                held.put(i, &[i as f32, 0.5]).unwrap();
            }
            held.put(1, &[f32::MIN_POSITIVE, -0.0]).unwrap();
            held.pull(4, 0).unwrap();
            held.truncate(4);
            let rows = held.select(&[3, 0, 1]).unwrap();
            assert_eq!(rows, ndarray::array![[3.0, 0.5], [4.0, 0.5], [f32::MIN_POSITIVE, -0.0]]);
            assert_eq!(rows[[2, 1]].to_bits(), (-0f32).to_bits());
            assert!(held.select(&[4]).is_err() && held.put(5, &[0.0; 2]).is_err());
            assert!(held.put(0, &[0.0; 3]).is_err());
            assert_eq!(held.len(), 4);
        }
        // The file has no name.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let missing = Path::new("/nonexistent/scratch");
        assert!(matches!(HeldRows::in_folder(1, missing), Err(KernelError::Scratch { .. })));
    }
}
