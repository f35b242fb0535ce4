//! Samples out of strips and tiles.
//!
//! Strips and tiles are read one by one: the decoder's own reading of a whole image stops after the first of
//! several planes. Compressed ones are taken from the file side by side on rayon's threads.

use ndarray::Array3;
use rayon::prelude::*;
use tiff::TiffResult;
use tiff::decoder::{ChunkType, DecodingResult};

use super::Image;
use super::header::{UNCOMPRESSED, failed};
use crate::DataError;
use crate::decode::Encoded;

/// Bytes of samples that lie in memory beside the image before they are put in their place, but for a single strip or tile that has more.
const AT_ONCE: usize = if cfg!(test) { 1 << 10 } else { 16 << 20 };

/// Bytes of samples for which a decoder of their own pays.
const A_DECODER: usize = if cfg!(test) { 1 << 8 } else { 1 << 18 };

/// Most strips or tiles that several decoders read: each holds where all of them are.
const MOST_SHARED: usize = 1 << 16;

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

impl<'a> Image<'a> {
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

    /// Decoders that share the work, beside the image's own.
    fn helpers(
        &self,
        file: &Encoded,
        chunks: usize,
        bytes: usize,
    ) -> Result<Vec<super::Strips<'a>>, DataError> {
        if self.compression == UNCOMPRESSED || chunks > MOST_SHARED {
            return Ok(Vec::new());
        }
        let all = self.rows * self.columns * self.channels * usize::from(self.bits) / 8;
        let most = [rayon::current_num_threads(), chunks, AT_ONCE / bytes, all / A_DECODER];
        let helpers = (1..most.into_iter().fold(usize::MAX, usize::min)).map(|_| self.another_decoder());
        helpers.collect::<TiffResult<_>>().map_err(failed(file))
    }

    /// Decodes all strips or tiles and has them taken one after the other; `take` answers `None` for one that is too small.
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
        let chunks = planes * a_plane;
        // A tile may reach beyond the image, and is decoded whole.
        let whole = match self.decoder.get_chunk_type() {
            ChunkType::Strip => height,
            ChunkType::Tile => self.decoder.chunk_dimensions().1 as usize,
        };
        let bytes = (width * whole * samples * usize::from(self.bits)).div_ceil(8).max(1);
        let mut helpers = self.helpers(file, chunks, bytes)?;
        let decoders = 1 + helpers.len();
        // Each decoder takes so many in a row.
        let each = chunks.div_ceil(decoders).min(AT_ONCE / decoders / bytes).max(1);
        for first in (0..chunks).step_by(each * decoders) {
            let decoders: Vec<_> = std::iter::once(&mut self.decoder).chain(&mut helpers).collect();
            let read = decoders.into_par_iter().enumerate().map(|(nth, decoder)| {
                let first = first + nth * each;
                let chunks = first..(first + each).min(chunks);
                let one =
                    |k| Ok((k, decoder.read_chunk(k as u32)?, decoder.chunk_data_dimensions(k as u32).0));
                chunks.map(one).collect::<Vec<TiffResult<_>>>()
            });
            for read in read.collect::<Vec<_>>().into_iter().flatten() {
                let (k, chunk, inside) = read.map_err(failed(file))?;
                let (row, column) = (k % a_plane / across * height, k % across * width);
                let place = Place { plane: k / a_plane, row, column, width: inside as usize, samples };
                take(self, place, chunk).ok_or_else(|| {
                    DataError::malformed(file.path, format!("its strip or tile {k} is cut short"))
                })?;
            }
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use tiff::encoder::colortype::RGB32Float;
    use tiff::encoder::compression::DeflateLevel;
    use tiff::encoder::{Compression, TiffEncoder};

    use crate::Limits;
    use crate::decode::tiff::{Numbers, measurements};

    use super::*;

    /// A value of row `k / 39` of rows of 13 pixels.
    fn value(k: usize) -> f32 {
        k as f32 * 0.37 + 1.0
    }

    /// Deflated rows, so many a strip.
    fn deflated(rows: usize, a_strip: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let values: Vec<f32> = (0..rows * 13 * 3).map(value).collect();
        let mut encoder =
            TiffEncoder::new(&mut bytes).unwrap().with_compression(Compression::Deflate(DeflateLevel::Fast));
        let mut image = encoder.new_image::<RGB32Float>(13, rows as u32).unwrap();
        image.rows_per_strip(a_strip).unwrap();
        image.write_data(&values).unwrap();
        bytes.into_inner()
    }

    /// Read by so many threads.
    fn read(bytes: &[u8], threads: usize) -> Result<Array3<f32>, DataError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let file = Encoded::new(Path::new("strips.tiff"), bytes);
        pool.install(|| measurements(&file, &Limits::default(), 3, Numbers::Floats))
    }

    #[test]
    fn strips_come_to_their_place_at_any_number_of_threads() {
        for (rows, a_strip) in [(41, 1), (41, 3), (3, 1), (7, 7), (1, 1), (64, 16)] {
            let bytes = deflated(rows, a_strip);
            let expected = Array3::from_shape_fn((3, rows, 13), |(c, i, j)| value((i * 13 + j) * 3 + c));
            for threads in [1, 2, 3, 7] {
                assert!(read(&bytes, threads).unwrap() == expected, "{rows} {a_strip} {threads}");
            }
        }
    }

    #[test]
    fn a_broken_strip_in_the_middle_is_the_same_error_at_any_number_of_threads() {
        let mut bytes = deflated(41, 1);
        // Strips lie one after the other behind the header.
        let middle = bytes.len() / 2;
        bytes[middle..middle + 60].fill(0xff);
        let errors = [1, 2, 3, 7].map(|threads| read(&bytes, threads).unwrap_err().to_string());
        assert!(errors.iter().all(|e| *e == errors[0] && e.contains("strips.tiff")), "{errors:?}");
    }

    #[test]
    fn few_strips_and_small_images_are_read_by_one_decoder() {
        let helpers = |rows: usize, a_strip: u32, bytes: usize| {
            let file = deflated(rows, a_strip);
            let file = Encoded::new(Path::new("strips.tiff"), &file[..]);
            let image = Image::open(&file, &Limits::default()).unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
            pool.install(|| image.helpers(&file, rows.div_ceil(a_strip as usize), bytes).unwrap().len())
        };
        assert_eq!(helpers(40, 1, 156), 3);
        assert_eq!(helpers(40, 40, 6240), 0);
        assert_eq!(helpers(3, 1, 156), 0);
        // Strips or tiles that would fill the memory.
        assert_eq!(helpers(40, 1, AT_ONCE / 2), 1);
        assert_eq!(helpers(40, 1, 2 * AT_ONCE), 0);
    }
}
