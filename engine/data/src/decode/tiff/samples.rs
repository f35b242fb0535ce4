//! Samples out of strips and tiles.
//!
//! Strips and tiles are read one by one: the decoder's own reading of a whole image stops after the first of
//! several planes.

use ndarray::Array3;
use tiff::decoder::DecodingResult;

use super::Image;
use super::header::failed;
use crate::DataError;
use crate::decode::Encoded;

/// Where the samples of a strip or tile belong.
struct Place {
    /// The channel that it holds; all of them where they are interleaved.
    plane: usize,
    row: usize,
    column: usize,
    /// Columns that it holds.
    width: usize,
    /// Channels that it holds.
    samples: usize,
}

/// How an image lies in memory: elements from a channel, a row, a column to the next.
struct Steps {
    channel: usize,
    row: usize,
    column: usize,
}

impl Image<'_> {
    /// Numbers as planes `[C, H, W]`.
    pub(super) fn planes(&mut self, file: &Encoded) -> Result<Array3<f32>, DataError> {
        let (rows, columns, channels) = (self.rows, self.columns, self.channels);
        let mut planes = vec![0.0; rows * columns * channels];
        let steps = Steps { channel: rows * columns, row: columns, column: 1 };
        self.each_chunk(file, |image, place, chunk| {
            let out = &mut planes;
            match chunk {
                DecodingResult::U8(v) => image.scatter(&v, place, out, &steps, f32::from),
                DecodingResult::U16(v) => image.scatter(&v, place, out, &steps, f32::from),
                DecodingResult::U32(v) => image.scatter(&v, place, out, &steps, |v| v as f32),
                DecodingResult::U64(v) => image.scatter(&v, place, out, &steps, |v| v as f32),
                DecodingResult::I8(v) => image.scatter(&v, place, out, &steps, f32::from),
                DecodingResult::I16(v) => image.scatter(&v, place, out, &steps, f32::from),
                DecodingResult::I32(v) => image.scatter(&v, place, out, &steps, |v| v as f32),
                DecodingResult::I64(v) => image.scatter(&v, place, out, &steps, |v| v as f32),
                DecodingResult::F16(v) => image.scatter(&v, place, out, &steps, |v| v.to_f32()),
                DecodingResult::F32(v) => image.scatter(&v, place, out, &steps, |v| v),
                DecodingResult::F64(v) => image.scatter(&v, place, out, &steps, |v| v as f32),
            }
        })?;
        Array3::from_shape_vec((channels, rows, columns), planes)
            .map_err(|e| DataError::malformed(file.path, e))
    }

    /// Samples of at most 8 bits, interleaved.
    pub(super) fn narrow(&mut self, file: &Encoded) -> Result<Vec<u8>, DataError> {
        let mut out = vec![0; self.rows * self.columns * self.channels];
        let steps = self.interleaved();
        self.each_chunk(file, |image, place, chunk| match chunk {
            DecodingResult::U8(v) if image.bits < 8 => {
                image.scatter(&image.unpacked(&v, &place), place, &mut out, &steps, |v| v)
            }
            DecodingResult::U8(v) => image.scatter(&v, place, &mut out, &steps, |v| v),
            _ => None,
        })?;
        Ok(out)
    }

    /// Samples of 16 bits, interleaved.
    pub(super) fn wide(&mut self, file: &Encoded) -> Result<Vec<u16>, DataError> {
        let mut out = vec![0; self.rows * self.columns * self.channels];
        let steps = self.interleaved();
        self.each_chunk(file, |image, place, chunk| match chunk {
            DecodingResult::U16(v) => image.scatter(&v, place, &mut out, &steps, |v| v),
            _ => None,
        })?;
        Ok(out)
    }

    fn interleaved(&self) -> Steps {
        Steps { channel: 1, row: self.columns * self.channels, column: self.channels }
    }

    /// Decodes strip after strip or tile after tile; `take` answers `None` for one that is too small.
    fn each_chunk(
        &mut self,
        file: &Encoded,
        mut take: impl FnMut(&Self, Place, DecodingResult) -> Option<()>,
    ) -> Result<(), DataError> {
        let (width, height) = self.decoder.chunk_dimensions();
        let (width, height) = (width as usize, (height as usize).min(self.rows));
        let across = self.columns.div_ceil(width);
        let a_plane = across * self.rows.div_ceil(height);
        let (planes, samples) = if self.planar { (self.channels, 1) } else { (1, self.channels) };
        for k in 0..planes * a_plane {
            let chunk = self.decoder.read_chunk(k as u32).map_err(failed(file))?;
            let (inside, _) = self.decoder.chunk_data_dimensions(k as u32);
            let (row, column) = (k % a_plane / across * height, k % across * width);
            let place = Place { plane: k / a_plane, row, column, width: inside as usize, samples };
            take(self, place, chunk).ok_or_else(|| {
                DataError::malformed(file.path, format!("its strip or tile {k} is cut short"))
            })?;
        }
        Ok(())
    }

    fn scatter<S: Copy, T>(
        &self,
        chunk: &[S],
        place: Place,
        out: &mut [T],
        steps: &Steps,
        value: impl Fn(S) -> T,
    ) -> Option<()> {
        let (_, height) = self.decoder.chunk_dimensions();
        let rows = (height as usize).min(self.rows - place.row);
        let columns = place.width.min(self.columns - place.column);
        for row in 0..rows {
            let from = chunk.get(row * place.width * place.samples..)?.get(..columns * place.samples)?;
            let start =
                (place.row + row) * steps.row + place.column * steps.column + place.plane * steps.channel;
            for channel in 0..place.samples {
                let to = out.get_mut(start + channel * steps.channel..)?.iter_mut().step_by(steps.column);
                for (to, from) in to.zip(from[channel..].iter().step_by(place.samples)) {
                    *to = value(*from);
                }
            }
        }
        Some(())
    }

    /// Samples of less than 8 bits, one a byte; rows begin at whole bytes.
    fn unpacked(&self, packed: &[u8], place: &Place) -> Vec<u8> {
        let bits = usize::from(self.bits);
        let a_row = place.width * place.samples;
        let row = |bytes: &[u8]| -> Vec<u8> {
            (0..a_row).map(|k| bytes[k * bits / 8] >> (8 - bits - k * bits % 8) & ((1 << bits) - 1)).collect()
        };
        packed.chunks_exact((a_row * bits).div_ceil(8)).flat_map(row).collect()
    }
}
