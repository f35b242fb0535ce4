//! The samples of a TIFF's first image, whatever its strips, tiles, planes, compression and byte order.

use std::io::Cursor;
use std::path::Path;

use ndarray::Array3;
use tiff::TiffError;
use tiff::decoder::{ChunkType, Decoder, DecodingResult};
use tiff::tags::{SampleFormat, Tag};

use super::{Encoded, Look};
use crate::{DataError, Limits};

/// `PhotometricInterpretation` of images whose zero is white: the decoder would invert them.
const WHITE_IS_ZERO: u32 = 0;

/// `PlanarConfiguration` of images whose channels are stored one after the other.
const SEPARATE: u32 = 2;

/// Samples as stored, with their arrangement.
pub(super) struct Raster {
    rows: usize,
    columns: usize,
    channels: usize,
    /// Whether each channel is stored as a plane of its own.
    planar: bool,
    samples: DecodingResult,
}

/// Whether the bytes start as a TIFF or BigTIFF does.
pub(super) fn is_tiff(bytes: &[u8]) -> bool {
    matches!(bytes.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

/// What the first image holds, by its header.
pub(super) fn header(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Look, DataError> {
    let failed = |e: TiffError| DataError::malformed(path, e);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (columns, rows) = decoder.dimensions().map_err(failed)?;
    let size = limits.check_size(path, columns, rows)?;
    let colour = decoder.colortype().map_err(failed)?;
    let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(failed)?;
    let float = format.is_some_and(|f| f.first() == Some(&SampleFormat::IEEEFP.to_u16()));
    Ok(Look::Raster { size, channels: colour.num_samples().into(), float, bits: colour.bit_depth() })
}

/// Decodes the first image; it must have `channels` samples a pixel. `expected` completes "not ..." for files
/// that are no TIFF.
pub(super) fn raster(
    file: &Encoded,
    limits: &Limits,
    channels: usize,
    expected: &'static str,
) -> Result<Raster, DataError> {
    let (path, bytes) = (file.path, &file.bytes[..]);
    if !is_tiff(bytes) {
        return Err(DataError::UnknownFormat { path: path.to_path_buf(), expected });
    }
    let failed = |e: TiffError| match e {
        TiffError::UnsupportedError(e) => DataError::unsupported(path, e.to_string()),
        e => DataError::malformed(path, e),
    };
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (columns, rows) = decoder.dimensions().map_err(failed)?;
    let (rows, columns) = limits.check_size(path, columns, rows)?;
    let found = decoder.colortype().map_err(failed)?.num_samples();
    if usize::from(found) != channels {
        return Err(DataError::unsupported(
            path,
            format!("the TIFF has {found} samples a pixel, this sensor kind needs {channels}"),
        ));
    }
    if decoder.find_tag_unsigned(Tag::PhotometricInterpretation).map_err(failed)? == Some(WHITE_IS_ZERO) {
        return Err(DataError::unsupported(
            path,
            "the TIFF says that zero is white; measurements have no colour",
        ));
    }
    // The decoder panics on these.
    let separate = decoder.find_tag_unsigned(Tag::PlanarConfiguration).map_err(failed)? == Some(SEPARATE);
    if separate && decoder.get_chunk_type() == ChunkType::Tile {
        return Err(DataError::unsupported(
            path,
            "the TIFF has tiles of separate planes; store it interleaved",
        ));
    }
    let samples = rows * columns * channels;
    let mut tiff_limits = tiff::decoder::Limits::default();
    tiff_limits.decoding_buffer_size = samples * size_of::<f64>();
    tiff_limits.intermediate_buffer_size = bytes.len();
    tiff_limits.ifd_value_size = bytes.len();
    let mut decoder = decoder.with_limits(tiff_limits);
    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(failed)?;
    let raster = Raster { rows, columns, channels, planar: layout.planes > 1, samples: result };
    // The decoder may answer only the first plane of a planar image.
    if raster.len() != samples || (raster.planar && layout.planes != channels) {
        let cause =
            format!("{} of {samples} samples could be read; store the TIFF interleaved", raster.len());
        return Err(DataError::unsupported(path, cause));
    }
    Ok(raster)
}

impl Raster {
    fn len(&self) -> usize {
        match &self.samples {
            DecodingResult::U8(v) => v.len(),
            DecodingResult::U16(v) => v.len(),
            DecodingResult::U32(v) => v.len(),
            DecodingResult::U64(v) => v.len(),
            DecodingResult::I8(v) => v.len(),
            DecodingResult::I16(v) => v.len(),
            DecodingResult::I32(v) => v.len(),
            DecodingResult::I64(v) => v.len(),
            DecodingResult::F16(v) => v.len(),
            DecodingResult::F32(v) => v.len(),
            DecodingResult::F64(v) => v.len(),
        }
    }

    /// The values of a measurement, `[C, H, W]`, as stored (f64 rounded to f32).
    ///
    /// `whole` also admits 16- and 32-bit unsigned integers, as depth cameras write them.
    pub(super) fn into_measurements(self, path: &Path, whole: bool) -> Result<Array3<f32>, DataError> {
        match &self.samples {
            DecodingResult::F32(v) => self.arranged(path, v, |x| x),
            DecodingResult::F64(v) => self.arranged(path, v, |x| x as f32),
            DecodingResult::U16(v) if whole => self.arranged(path, v, f32::from),
            DecodingResult::U32(v) if whole => self.arranged(path, v, |x| x as f32),
            _ => Err(DataError::unsupported(
                path,
                if whole {
                    "the TIFF's samples are neither 32- or 64-bit floats nor 16- or 32-bit unsigned integers"
                } else {
                    "the TIFF's samples are not 32- or 64-bit floats"
                },
            )),
        }
    }

    /// Per cell of a single-channel image: is it above zero? `[H, W]`. NaN is not.
    pub(super) fn into_positive(self, path: &Path) -> Result<crate::Mask, DataError> {
        fn above<T: Copy + PartialOrd + Default>(v: &[T]) -> Vec<bool> {
            v.iter().map(|&x| x > T::default()).collect()
        }
        let cells = match &self.samples {
            DecodingResult::U8(v) => above(v),
            DecodingResult::U16(v) => above(v),
            DecodingResult::U32(v) => above(v),
            DecodingResult::U64(v) => above(v),
            DecodingResult::I8(v) => above(v),
            DecodingResult::I16(v) => above(v),
            DecodingResult::I32(v) => above(v),
            DecodingResult::I64(v) => above(v),
            DecodingResult::F16(v) => above(v),
            DecodingResult::F32(v) => above(v),
            DecodingResult::F64(v) => above(v),
        };
        crate::Mask::from_shape_vec((self.rows, self.columns), cells)
            .map_err(|e| DataError::malformed(path, e))
    }

    fn arranged<T: Copy>(
        &self,
        path: &Path,
        stored: &[T],
        value: impl Fn(T) -> f32,
    ) -> Result<Array3<f32>, DataError> {
        let (c, cells) = (self.channels, self.rows * self.columns);
        let mut planes = vec![0.0; stored.len()];
        if self.planar || c == 1 {
            for (to, &from) in planes.iter_mut().zip(stored) {
                *to = value(from);
            }
        } else {
            for (channel, plane) in planes.chunks_exact_mut(cells).enumerate() {
                for (to, pixel) in plane.iter_mut().zip(stored.chunks_exact(c)) {
                    *to = value(pixel[channel]);
                }
            }
        }
        Array3::from_shape_vec((c, self.rows, self.columns), planes)
            .map_err(|e| DataError::malformed(path, e))
    }
}
