//! NPY arrays: pictures, organised points, depth and clouds as NumPy saves them.

use image::DynamicImage;
use ndarray::Array3;

use super::picture::from_raw;
use super::scalar::Scalar;
use super::{Encoded, Look};
use crate::{DataError, Limits};

/// Bytes of a header that is read.
const LONGEST_HEADER: usize = 64 << 10;

/// An array's header, checked against the limits, and its numbers.
struct Npy<'a> {
    kind: Scalar,
    /// Whether the numbers are truth values.
    truth: bool,
    big_endian: bool,
    shape: Vec<usize>,
    data: &'a [u8],
}

/// Decodes `[H, W]` or `[H, W, 1 | 3 | 4]` of 8- or 16-bit unsigned integers (or `[H, W]` of truth values).
pub(super) fn picture(file: &Encoded, limits: &Limits) -> Result<DynamicImage, DataError> {
    let npy = Npy::open(file, limits)?;
    let (rows, columns, channels) = match npy.shape[..] {
        [rows, columns] => (rows, columns, 1),
        [rows, columns, channels @ (1 | 3 | 4)] => (rows, columns, channels),
        _ => return Err(npy.unsupported(file, "a picture is [H, W], [H, W, 3] or [H, W, 4]")),
    };
    let (w, h) = (columns as u32, rows as u32);
    let picture = match (npy.kind, channels) {
        (Scalar::U8, 1) => from_raw(w, h, npy.data.to_vec(), DynamicImage::ImageLuma8),
        (Scalar::U8, 3) => from_raw(w, h, npy.data.to_vec(), DynamicImage::ImageRgb8),
        (Scalar::U8, _) => from_raw(w, h, npy.data.to_vec(), DynamicImage::ImageRgba8),
        (Scalar::U16, 1) => from_raw(w, h, npy.wide(), DynamicImage::ImageLuma16),
        (Scalar::U16, 3) => from_raw(w, h, npy.wide(), DynamicImage::ImageRgb16),
        (Scalar::U16, _) => from_raw(w, h, npy.wide(), DynamicImage::ImageRgba16),
        _ => return Err(npy.unsupported(file, "a picture has 8- or 16-bit unsigned integers")),
    };
    picture.ok_or_else(|| DataError::malformed(file.path, "the array is cut short"))
}

/// Decodes organised points `[H, W, 3]` of floats to planes `[3, H, W]`.
pub(super) fn organised(file: &Encoded, limits: &Limits) -> Result<Array3<f32>, DataError> {
    let npy = Npy::open(file, limits)?;
    match npy.shape[..] {
        [rows, columns, 3] if npy.kind.is_float() => {
            let planes = Array3::from_shape_vec((rows, columns, 3), npy.numbers());
            let planes = planes.map_err(|e| DataError::malformed(file.path, e))?;
            Ok(planes.permuted_axes([2, 0, 1]).as_standard_layout().into_owned())
        }
        [3, _, _] => {
            Err(npy.unsupported(file, "organised points are [H, W, 3]; save array.transpose(1, 2, 0).copy()"))
        }
        _ => Err(npy.unsupported(file, "organised points are [H, W, 3] of floats")),
    }
}

/// Decodes a depth image `[H, W]` of floats or of 16- or 32-bit unsigned integers to `[1, H, W]`.
pub(super) fn depth(file: &Encoded, limits: &Limits) -> Result<Array3<f32>, DataError> {
    let npy = Npy::open(file, limits)?;
    match npy.shape[..] {
        [rows, columns] if npy.kind.is_float() || matches!(npy.kind, Scalar::U16 | Scalar::U32) => {
            Array3::from_shape_vec((1, rows, columns), npy.numbers())
                .map_err(|e| DataError::malformed(file.path, e))
        }
        _ => Err(npy.unsupported(file, "a depth image is [H, W] of floats, u16 or u32")),
    }
}

/// Decodes a cloud `[N, 3]` of floats.
pub(super) fn points(file: &Encoded, limits: &Limits) -> Result<Vec<[f32; 3]>, DataError> {
    let npy = Npy::open(file, limits)?;
    match npy.shape[..] {
        [_, 3] if npy.kind.is_float() => Ok(npy.numbers().as_chunks().0.to_vec()),
        [_, _, 3] if npy.kind.is_float() => {
            organised(file, limits).map(|planes| super::cloud::of_planes(&planes))
        }
        _ => Err(npy.unsupported(file, "a cloud is [N, 3] of floats")),
    }
}

/// What an array holds, by its header.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let npy = Npy::open(file, limits)?;
    let (float, bits) = (npy.kind.is_float(), npy.kind.size() as u8 * 8);
    match npy.shape[..] {
        [points, 3] if float => Ok(Look::Cloud { points: points as u64, size: None }),
        [rows, columns] if bits > 8 => Ok(Look::Raster { size: (rows, columns), channels: 1, float, bits }),
        [rows, columns] => Ok(Look::Picture { size: (rows, columns), colour: false, bits }),
        [rows, columns, channels] if float => {
            Ok(Look::Raster { size: (rows, columns), channels, float, bits })
        }
        [rows, columns, channels @ (1 | 3 | 4)] => {
            Ok(Look::Picture { size: (rows, columns), colour: channels > 1, bits })
        }
        _ => Err(npy.unsupported(file, "neither a picture, organised points, a depth image nor a cloud")),
    }
}

impl<'a> Npy<'a> {
    fn open(file: &'a Encoded, limits: &Limits) -> Result<Self, DataError> {
        let damaged = || DataError::malformed(file.path, "the header of the NPY array is broken");
        let (text, data) = split(&file.bytes).ok_or_else(damaged)?;
        let descr = value(text, "descr").ok_or_else(damaged)?;
        let name = descr.strip_prefix(['\'', '"']).and_then(|d| d.split(['\'', '"']).next());
        let (order, kind) = match name.map(str::as_bytes) {
            Some([order @ (b'<' | b'>' | b'|' | b'='), kind, size @ ..]) => {
                let size = str::from_utf8(size).ok().and_then(|s| s.parse().ok()).unwrap_or(0);
                (*order, (*kind, size))
            }
            _ => return Err(DataError::unsupported(file.path, "the NPY array has no single number type")),
        };
        let truth = kind == (b'b', 1);
        let kind = if truth { Some(Scalar::U8) } else { Scalar::of(kind.0, kind.1) };
        let kind = kind.ok_or_else(|| {
            let cause = format!("an NPY array of `{}`; save integers or floats", name.unwrap_or_default());
            DataError::unsupported(file.path, cause)
        })?;
        if value(text, "fortran_order").is_none_or(|v| !v.starts_with("False")) {
            let cause = "the NPY array is in column order; save numpy.ascontiguousarray(array)";
            return Err(DataError::unsupported(file.path, cause));
        }
        let shape =
            value(text, "shape").and_then(|v| v.strip_prefix('(')?.split_once(')')).ok_or_else(damaged)?.0;
        let shape: Result<Vec<usize>, _> = shape
            .split(',')
            .map(|n| n.trim().trim_end_matches('L'))
            .filter(|n| !n.is_empty())
            .map(str::parse)
            .collect();
        let shape = shape.map_err(|_| damaged())?;
        let big_endian = order == b'>';
        let npy = Self { kind, truth, big_endian, shape, data };
        npy.check(file, limits)?;
        Ok(npy)
    }

    fn check(&self, file: &Encoded, limits: &Limits) -> Result<(), DataError> {
        match self.shape[..] {
            [points, 3] if self.kind.is_float() => limits.check_points(file.path, points as u64)?,
            [rows, columns] | [rows, columns, _] => {
                let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                limits.check_size(file.path, side(columns), side(rows))?;
            }
            _ => return Err(self.unsupported(file, "an array of two or three axes is needed")),
        }
        let bytes = self.shape.iter().try_fold(self.kind.size(), |all, &n| all.checked_mul(n));
        if bytes != Some(self.data.len()) {
            let cause = format!("{} bytes of numbers, its header promises {:?}", self.data.len(), self.shape);
            return Err(DataError::malformed(file.path, cause));
        }
        Ok(())
    }

    fn unsupported(&self, file: &Encoded, wanted: &str) -> DataError {
        let kind =
            if self.truth { "truth values".to_owned() } else { format!("{:?}", self.kind).to_lowercase() };
        DataError::unsupported(file.path, format!("the NPY array is {:?} of {kind}; {wanted}", self.shape))
    }

    fn numbers(&self) -> Vec<f32> {
        let numbers = self.data.chunks_exact(self.kind.size());
        numbers.map(|n| self.kind.read(n, self.big_endian).unwrap_or(f64::NAN) as f32).collect()
    }

    fn wide(&self) -> Vec<u16> {
        let read = if self.big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        self.data.as_chunks().0.iter().map(|&pair| read(pair)).collect()
    }
}

/// The header's text and what follows it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (start, length) = match *bytes.get(6)? {
        1 => (10, usize::from(u16::from_le_bytes(*bytes.get(8..)?.first_chunk()?))),
        2 | 3 => (12, u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?) as usize),
        _ => return None,
    };
    let end = start + Some(length).filter(|&l| l <= LONGEST_HEADER)?;
    Some((str::from_utf8(bytes.get(start..end)?).ok()?, bytes.get(end..)?))
}

/// What follows a key in the header, a literal of Python.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let after =
        text.split(&format!("'{key}'")).nth(1).or_else(|| text.split(&format!("\"{key}\"")).nth(1))?;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}
