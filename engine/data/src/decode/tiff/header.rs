//! The header of the first image, and what it may ask for.

use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;

use image::metadata::Orientation;
use tiff::decoder::ifd::Value;
use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::{SampleFormat, Tag};
use tiff::{TiffError, TiffResult};

use super::{Bytes, Image, Strips};
use crate::decode::{Encoded, jpeg};
use crate::{DataError, Limits};

pub(super) const WHITE_IS_ZERO: u16 = 0;
pub(super) const BLACK_IS_ZERO: u16 = 1;
pub(super) const RGB: u16 = 2;
pub(super) const PALETTE: u16 = 3;
pub(super) const CMYK: u16 = 5;
pub(super) const YCBCR: u16 = 6;

pub(super) const UNCOMPRESSED: u16 = 1;
const OLD_JPEG: u16 = 6;
const JPEG: u16 = 7;
/// Compressions whose blank areas take next to nothing, so that a short file may be a large image.
const BOUNDLESS: [u16; 2] = [4, 50000];

/// Samples a pixel that are read at most.
const MOST_CHANNELS: usize = 16;

pub(super) fn failed(file: &Encoded) -> impl Fn(TiffError) -> DataError {
    move |error| match error {
        TiffError::UnsupportedError(e) => DataError::unsupported(file.path, e.to_string()),
        e => DataError::malformed(file.path, e),
    }
}

impl<'a> Image<'a> {
    /// Reads the header and compares it with the limits and with the file's length.
    pub(super) fn open(file: &'a Encoded, limits: &Limits) -> Result<Self, DataError> {
        let failed = failed(file);
        // The decoder takes memory for the values of an entry before it looks for them, and loses its place in a
        // BigTIFF behind an entry of a type that it does not know.
        if let Some(tag) = Directory::first(&file.bytes).and_then(|d| d.unreadable()) {
            let cause =
                format!("its tag {tag} claims more values than the file has bytes, or ones of no known type");
            return Err(DataError::malformed(file.path, cause));
        }
        let mut bytes = Bytes(Arc::new(Cow::Borrowed(&file.bytes[..])));
        let mut decoder = Decoder::new(Cursor::new(bytes.clone())).map_err(&failed)?;
        let (columns, rows) = decoder.dimensions().map_err(&failed)?;
        limits.check_size(file.path, columns, rows)?;
        let mut tag = |tag, usual: u16| {
            decoder.find_tag_unsigned::<u16>(tag).map_err(&failed).map(|found| found.unwrap_or(usual))
        };
        let photometric = tag(Tag::PhotometricInterpretation, 0)?;
        let channels = usize::from(tag(Tag::SamplesPerPixel, 1)?);
        let compression = tag(Tag::Compression, UNCOMPRESSED)?;
        let planar = tag(Tag::PlanarConfiguration, 1)? == 2 && channels > 1;
        let orientation = u8::try_from(tag(Tag::Orientation, 1)?).ok().and_then(Orientation::from_exif);
        let reversed = tag(Tag::FillOrder, 1)? == 2;
        let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(&failed)?;
        let format = format
            .and_then(|f| f.first().copied())
            .map_or(SampleFormat::Uint, SampleFormat::from_u16_exhaustive);
        let bits = decoder.find_tag_unsigned_vec::<u8>(Tag::BitsPerSample).map_err(&failed)?;
        let bits = bits.and_then(|b| b.first().copied()).unwrap_or(1);
        if channels > MOST_CHANNELS {
            let cause = format!("the TIFF has {channels} samples a pixel, at most {MOST_CHANNELS} are read");
            return Err(DataError::unsupported(file.path, cause));
        }
        if reversed {
            return Err(DataError::unsupported(
                file.path,
                "the TIFF's bits are in reversed order (FillOrder 2)",
            ));
        }
        if compression == OLD_JPEG {
            return Err(DataError::unsupported(
                file.path,
                "the TIFF has old-style JPEG compression; store it again",
            ));
        }
        if photometric == YCBCR && compression != JPEG {
            let subsampling =
                decoder.find_tag_unsigned_vec::<u16>(Tag::ChromaSubsampling).map_err(&failed)?;
            if subsampling != Some(vec![1, 1]) {
                let cause = "the TIFF stores colour at half the resolution (YCbCr) without JPEG; store RGB";
                return Err(DataError::unsupported(file.path, cause));
            }
        }
        let mut changes = Vec::new();
        // The decoder would turn measurements whose zero is white around, and refuses palettes and extra samples:
        // it is told that the samples mean nothing.
        if photometric != BLACK_IS_ZERO && !(photometric == RGB && channels == 3) {
            changes.push((Tag::PhotometricInterpretation, u32::from(BLACK_IS_ZERO)));
        }
        // It reads a tile that reaches beyond the image in pieces, on which its LZW may break off, and does not
        // know such tiles in planes: it is told that the image ends where its tiles do.
        if decoder.get_chunk_type() == ChunkType::Tile {
            let (width, height) = decoder.chunk_dimensions();
            for (tag, size, tile) in [(Tag::ImageWidth, columns, width), (Tag::ImageLength, rows, height)] {
                let whole = size.checked_next_multiple_of(tile).unwrap_or(size);
                changes.extend(Some((tag, whole)).filter(|_| whole != size));
            }
        }
        if !changes.is_empty() {
            let changed =
                Directory::first(&file.bytes).and_then(|d| d.changed(&changes)).ok_or_else(|| {
                    DataError::unsupported(
                        file.path,
                        "its size or its colours are stored in an unusual way; store it again",
                    )
                })?;
            bytes = Bytes(Arc::new(Cow::Owned(changed)));
            decoder = Decoder::new(Cursor::new(bytes.clone())).map_err(&failed)?;
        }
        let (rows, columns) = (rows as usize, columns as usize);
        let mut tiff_limits = tiff::decoder::Limits::default();
        // A strip is no larger than the image; a tile may be, and a palette of a small one.
        let (width, height) = decoder.chunk_dimensions();
        let pixels = (rows * columns).max((width as usize).saturating_mul(height as usize));
        let values = file.bytes.len().saturating_mul(size_of::<Value>());
        tiff_limits.decoding_buffer_size = pixels.saturating_mul(channels * size_of::<f64>()).max(values);
        tiff_limits.intermediate_buffer_size = file.bytes.len();
        tiff_limits.ifd_value_size = file.bytes.len();
        let decoder = decoder.with_limits(tiff_limits.clone());
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        let mut image = Self {
            bytes,
            decoder,
            limits: tiff_limits,
            rows,
            columns,
            channels,
            bits,
            format,
            photometric,
            compression,
            planar,
            orientation,
        };
        image.check(file, limits)?;
        Ok(image)
    }

    /// One more decoder of the same image.
    pub(super) fn another_decoder(&self) -> TiffResult<Strips<'a>> {
        Ok(Decoder::new(Cursor::new(self.bytes.clone()))?.with_limits(self.limits.clone()))
    }

    /// Compares what the header promises with the file's length.
    fn check(&mut self, file: &Encoded, limits: &Limits) -> Result<(), DataError> {
        let row = (self.columns * self.channels) as u64 * u64::from(self.bits);
        let stored = row.div_ceil(8) * self.rows as u64;
        if self.compression == UNCOMPRESSED && stored > file.bytes.len() as u64 {
            let cause = format!("its header promises {stored} bytes of samples, the file is shorter");
            return Err(DataError::malformed(file.path, cause));
        }
        if !BOUNDLESS.contains(&self.compression) {
            limits.check_expansion(file.path, stored, file.bytes.len())?;
        }
        if self.decoder.get_chunk_type() == ChunkType::Tile {
            // A tile may be larger than its image, and is decoded whole.
            let (width, height) = self.decoder.chunk_dimensions();
            limits.check_size(file.path, width, height)?;
            let samples =
                u64::from(width) * u64::from(height) * if self.planar { 1 } else { self.channels as u64 };
            if !BOUNDLESS.contains(&self.compression) {
                limits.check_expansion(file.path, samples * u64::from(self.bits) / 8, file.bytes.len())?;
            }
        }
        if self.compression == JPEG { self.check_jpeg(file) } else { Ok(()) }
    }

    /// JPEG strips and tiles say their own size: it must be theirs, and their data whole.
    fn check_jpeg(&mut self, file: &Encoded) -> Result<(), DataError> {
        let failed = failed(file);
        let tags = match self.decoder.get_chunk_type() {
            ChunkType::Strip => [Tag::StripOffsets, Tag::StripByteCounts],
            ChunkType::Tile => [Tag::TileOffsets, Tag::TileByteCounts],
        };
        let [offsets, lengths] =
            tags.map(|tag| self.decoder.find_tag_unsigned_vec::<u64>(tag).map(Option::unwrap_or_default));
        let (width, height) = self.decoder.chunk_dimensions();
        let samples = if self.planar { 1 } else { self.channels };
        if ![1, 3, 4].contains(&samples) {
            let cause = format!("the TIFF has {samples} samples a pixel in JPEG; 1, 3 or 4 are read");
            return Err(DataError::unsupported(file.path, cause));
        }
        // The decoder takes the size from wherever it finds one, be it in the tables that all strips share.
        let tables = self.decoder.find_tag(Tag::JPEGTables).map_err(&failed)?;
        let tables = tables.map(Value::into_u8_vec).transpose().map_err(&failed)?;
        if jpeg::frames(&tables.unwrap_or_default()) > 0 {
            return Err(DataError::malformed(file.path, "the tables of its JPEG strips hold an image"));
        }
        for (offset, length) in offsets.map_err(&failed)?.into_iter().zip(lengths.map_err(&failed)?) {
            let end = offset.checked_add(length).map_or(usize::MAX, |end| end as usize);
            let chunk = file.bytes.get(offset as usize..end).unwrap_or_default();
            let frame = jpeg::Frame::find(chunk)
                .filter(|frame| frame.columns == width && frame.rows <= height && frame.samples() == samples);
            if frame.is_some_and(|frame| !frame.first_is_finest()) {
                return Err(DataError::unsupported(file.path, jpeg::COARSE_FIRST));
            }
            if frame.is_none() || jpeg::frames(chunk) != 1 || !jpeg::is_complete(chunk) {
                let cause = "a JPEG strip or tile is cut short or has another size than the header says";
                return Err(DataError::malformed(file.path, cause));
            }
        }
        Ok(())
    }
}

/// Where the numbers of the first directory stand.
struct Directory<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// Of the first entry.
    start: usize,
    entries: usize,
    /// Bytes an entry.
    entry: usize,
    /// Bytes of a count, or of an offset.
    wide: usize,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = bytes.first()? == &b'M';
        let large = number(bytes, big_endian, 2, 2)? == 43;
        // Bytes of an offset, of the count of entries, of an entry.
        let (offset, count, entry) = if large { (8, 8, 20) } else { (4, 2, 12) };
        let at = usize::try_from(number(bytes, big_endian, offset, offset)?).ok()?;
        let entries = usize::try_from(number(bytes, big_endian, at, count)?).ok()?.min(bytes.len() / entry);
        Some(Self { bytes, big_endian, start: at + count, entries, entry, wide: offset })
    }

    fn number(&self, at: usize, size: usize) -> Option<u64> {
        number(self.bytes, self.big_endian, at, size)
    }

    /// Where each entry begins.
    fn entries(&self) -> impl Iterator<Item = usize> {
        let (start, entry) = (self.start, self.entry);
        (0..self.entries).map(move |k| start + k * entry)
    }

    /// The tag of the first entry that claims more values than the file has bytes or, in a BigTIFF, ones of no known type.
    fn unreadable(&self) -> Option<u64> {
        let claims = |at: usize| self.number(at + 4, self.wide).is_some_and(|n| n > self.bytes.len() as u64);
        let known = |at: usize| {
            self.wide == 4 || self.number(at + 2, 2).is_none_or(|kind| matches!(kind, 1..=13 | 16..=18))
        };
        self.entries().find(|&at| claims(at) || !known(at)).and_then(|at| self.number(at, 2))
    }

    /// The file with other numbers in this directory.
    fn changed(&self, changes: &[(Tag, u32)]) -> Option<Vec<u8>> {
        let mut out = self.bytes.to_vec();
        for (tag, value) in changes {
            let at = self.entries().find(|&at| self.number(at, 2) == Some(tag.to_u16().into()))?;
            let size = match self.number(at + 2, 2)? {
                3 if *value <= u32::from(u16::MAX) => 2,
                4 => 4,
                _ => return None,
            };
            let value = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            let value = if self.big_endian { &value[4 - size..] } else { &value[..size] };
            let at = at + 4 + self.wide;
            out.get_mut(at..at + size)?.copy_from_slice(value);
        }
        Some(out)
    }
}

fn number(bytes: &[u8], big_endian: bool, at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let value = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    Some(if big_endian { bytes.iter().fold(0, value) } else { bytes.iter().rev().fold(0, value) })
}
