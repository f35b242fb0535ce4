//! Values of many scans on disk, so that the memory of a fit does not grow with the number of scans.

use crate::error::{Error, Result};
use crate::value::{Cloud, Content, Data, Value};
use assay_data::{Frame, Grid, Mask};
use ndarray::{Array2, Array3};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Values by `(step, output, scan)`.
pub struct Store {
    path: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    end: u64,
    index: HashMap<(usize, usize, usize), u64>,
}

impl Store {
    /// An empty store in a file under `scratch`.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be made.
    pub fn new(scratch: &Path) -> Result<Self> {
        let path = scratch.join("values");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        Ok(Self { path, inner: Mutex::new(Inner { file, end: 0, index: HashMap::new() }) })
    }

    /// Keeps a value; the last one of a key counts.
    ///
    /// # Errors
    /// [`Error::Io`] where the disk is full or fails.
    pub fn put(&self, step: usize, output: usize, scan: usize, value: &Value) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let at = inner.end;
        let written = write(&mut inner.file, at, value).map_err(|e| Error::io(&self.path, e))?;
        inner.end = written;
        inner.index.insert((step, output, scan), at);
        Ok(())
    }

    /// Forgets all values and gives their room back.
    ///
    /// # Errors
    /// [`Error::Io`] where the disk fails.
    pub fn clear(&self) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.index.clear();
        inner.end = 0;
        inner.file.set_len(0).map_err(|e| Error::io(&self.path, e))
    }

    /// Whether a value is there.
    pub fn has(&self, step: usize, output: usize, scan: usize) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).index.contains_key(&(step, output, scan))
    }

    /// Reads a value back, bit for bit.
    ///
    /// # Errors
    /// [`Error::Io`] where the disk fails or nothing was kept under the key.
    pub fn get(&self, step: usize, output: usize, scan: usize) -> Result<Value> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = || Error::io(&self.path, std::io::Error::other("a value was not kept"));
        let at = *inner.index.get(&(step, output, scan)).ok_or_else(missing)?;
        read(&mut inner.file, at).map_err(|e| Error::io(&self.path, e))
    }
}

const CLOUD: u64 = 1;
const MASKED: u64 = 2;

fn write(file: &mut File, at: u64, value: &Value) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(at))?;
    let mut out = BufWriter::with_capacity(1 << 20, &mut *file);
    let put = |out: &mut BufWriter<&mut File>, words: &[u64]| {
        words.iter().try_for_each(|w| out.write_all(&w.to_le_bytes()))
    };
    let floats = |out: &mut BufWriter<&mut File>, values: &[f32]| out.write_all(bytemuck::cast_slice(values));
    let flag = |cloud: bool, masked: bool| u64::from(cloud) * CLOUD + u64::from(masked) * MASKED;
    put(&mut out, &[u64::from(value.content.bit()), value.image_score.to_bits()])?;
    match &value.data {
        Data::Grid(g) => {
            let (c, h, w) = g.values.dim();
            let f = g.frame;
            put(&mut out, &[flag(false, g.valid.is_some()), c as u64, h as u64, w as u64])?;
            put(&mut out, &[f.offset_x, f.offset_y, f.stride_x, f.stride_y].map(f64::to_bits))?;
            match &g.valid {
                None => floats(&mut out, &g.values.iter().copied().collect::<Vec<f32>>())?,
                Some(mask) => {
                    // Most cells of a masked grid are 0: those are left out. Bit 0: valid, bit 1: kept.
                    let mut flags: Vec<u8> = mask.iter().map(|&ok| u8::from(ok)).collect();
                    for plane in g.values.outer_iter() {
                        for (flag, v) in flags.iter_mut().zip(plane) {
                            *flag |= u8::from(v.to_bits() != 0) << 1;
                        }
                    }
                    out.write_all(&flags)?;
                    for plane in g.values.outer_iter() {
                        let kept = plane.iter().zip(&flags).filter(|(_, f)| **f & 2 != 0).map(|(v, _)| *v);
                        floats(&mut out, &kept.collect::<Vec<f32>>())?;
                    }
                }
            }
        }
        Data::Cloud(c) => {
            put(
                &mut out,
                &[flag(true, c.valid.is_some()), c.positions.nrows() as u64, c.values.ncols() as u64],
            )?;
            floats(&mut out, &c.positions.iter().copied().collect::<Vec<f32>>())?;
            floats(&mut out, &c.values.iter().copied().collect::<Vec<f32>>())?;
            if let Some(mask) = &c.valid {
                out.write_all(&mask.iter().map(|&b| u8::from(b)).collect::<Vec<u8>>())?;
            }
        }
        Data::Image(_) => return Err(std::io::Error::other("images are not kept")),
    }
    out.flush()?;
    drop(out);
    file.stream_position()
}

fn read(file: &mut File, at: u64) -> std::io::Result<Value> {
    file.seek(SeekFrom::Start(at))?;
    let mut input = BufReader::with_capacity(1 << 20, file);
    let word = |input: &mut BufReader<&mut File>| {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    };
    let floats = |input: &mut BufReader<&mut File>, n: usize| {
        let mut values = vec![0f32; n];
        input.read_exact(bytemuck::cast_slice_mut(&mut values)).map(|()| values)
    };
    let mask = |input: &mut BufReader<&mut File>, n: usize| {
        let mut bytes = vec![0u8; n];
        input.read_exact(&mut bytes).map(|()| bytes.into_iter().map(|b| b != 0).collect::<Vec<bool>>())
    };
    let broken = |e: ndarray::ShapeError| std::io::Error::other(e);
    let content = Content::in_set(word(&mut input)? as u32);
    let content = *content.first().ok_or_else(|| std::io::Error::other("a kept value is broken"))?;
    let image_score = f64::from_bits(word(&mut input)?);
    let flags = word(&mut input)?;
    let data = if flags & CLOUD == 0 {
        let (c, h, w) = (word(&mut input)? as usize, word(&mut input)? as usize, word(&mut input)? as usize);
        let mut frame = [0.0; 4];
        for f in &mut frame {
            *f = f64::from_bits(word(&mut input)?);
        }
        let [offset_x, offset_y, stride_x, stride_y] = frame;
        let (values, valid) = if flags & MASKED == 0 {
            (Array3::from_shape_vec((c, h, w), floats(&mut input, c * h * w)?).map_err(broken)?, None)
        } else {
            let mut flags = vec![0u8; h * w];
            input.read_exact(&mut flags)?;
            let valid = flags.iter().map(|f| f & 1 != 0).collect();
            let valid = Mask::from_shape_vec((h, w), valid).map_err(broken)?;
            let cells: Vec<usize> = (0..flags.len()).filter(|&i| flags[i] & 2 != 0).collect();
            let mut values = vec![0f32; c * h * w];
            for plane in values.chunks_exact_mut((h * w).max(1)) {
                for (&cell, v) in cells.iter().zip(floats(&mut input, cells.len())?) {
                    plane[cell] = v;
                }
            }
            (Array3::from_shape_vec((c, h, w), values).map_err(broken)?, Some(valid))
        };
        Data::Grid(Grid { values, valid, frame: Frame { offset_x, offset_y, stride_x, stride_y } })
    } else {
        let (n, c) = (word(&mut input)? as usize, word(&mut input)? as usize);
        let positions = Array2::from_shape_vec((n, 3), floats(&mut input, n * 3)?).map_err(broken)?;
        let values = Array2::from_shape_vec((n, c), floats(&mut input, n * c)?).map_err(broken)?;
        let valid = if flags & MASKED == 0 { None } else { Some(mask(&mut input, n)?) };
        Data::Cloud(Cloud { positions, values, valid })
    };
    Ok(Value { content, data, image_score })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_bit_for_bit_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path()).unwrap();
        let grid = |v: f32| Value {
            content: Content::Scores,
            data: Data::Grid(Grid {
                values: Array3::from_shape_fn(
                    (2, 2, 3),
                    |(c, i, j)| if j == 1 { 0.0 } else { v + (c + i) as f32 },
                ),
                valid: Some(Mask::from_shape_fn((2, 3), |(_, j)| j != 1)),
                frame: Frame { offset_x: 0.5, offset_y: -1.0, stride_x: 4.0, stride_y: 2.0 },
            }),
            image_score: f64::from(v),
        };
        let cloud = Value {
            content: Content::Features,
            data: Data::Cloud(Cloud {
                positions: Array2::from_elem((2, 3), 0.1),
                values: Array2::from_elem((2, 5), -3.0),
                valid: None,
            }),
            image_score: 1.5,
        };
        store.put(0, 0, 0, &grid(1.0)).unwrap();
        store.put(1, 0, 7, &cloud).unwrap();
        store.put(0, 0, 0, &grid(2.0)).unwrap();
        assert_eq!(store.get(0, 0, 0).unwrap(), grid(2.0));
        assert_eq!(store.get(1, 0, 7).unwrap(), cloud);
        assert!(store.has(1, 0, 7) && !store.has(1, 0, 0) && store.get(1, 0, 0).is_err());
    }
}
