//! Small helpers for `save` and `load`: little-endian numbers and arrays, with lengths checked before memory is taken.

use crate::error::{Error, Result};
use std::io::{Read, Write};

/// Writes a count or extent.
///
/// # Errors
/// Where the stream fails.
pub fn write_u64(out: &mut dyn Write, v: u64) -> Result<()> {
    Ok(out.write_all(&v.to_le_bytes())?)
}

/// Writes a real number.
///
/// # Errors
/// Where the stream fails.
pub fn write_f64(out: &mut dyn Write, v: f64) -> Result<()> {
    Ok(out.write_all(&v.to_le_bytes())?)
}

/// Writes a string with its length.
///
/// # Errors
/// Where the stream fails.
pub fn write_text(out: &mut dyn Write, text: &str) -> Result<()> {
    write_u64(out, text.len() as u64)?;
    Ok(out.write_all(text.as_bytes())?)
}

/// Reads a count or extent.
///
/// # Errors
/// Where the stream fails or ends.
pub fn read_u64(input: &mut dyn Read) -> Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads a count or extent that must not exceed `max`.
///
/// # Errors
/// A state error where it does.
pub fn read_count(input: &mut dyn Read, max: usize, what: &str) -> Result<usize> {
    let n = read_u64(input)?;
    usize::try_from(n)
        .ok()
        .filter(|&n| n <= max)
        .ok_or_else(|| Error::state(format!("the saved state claims {n} {what}, at most {max} are possible")))
}

/// Reads a finite real number.
///
/// # Errors
/// Where the stream ends or the number is not finite.
pub fn read_f64(input: &mut dyn Read) -> Result<f64> {
    let v = f64::from_bits(read_u64(input)?);
    if v.is_finite() { Ok(v) } else { Err(Error::state("the saved state holds a number that is not finite")) }
}

/// Reads a string of at most 4096 bytes.
///
/// # Errors
/// Where the stream ends, or the text is too long or not UTF-8.
pub fn read_text(input: &mut dyn Read) -> Result<String> {
    let mut bytes = vec![0; read_count(input, 4096, "bytes of text")?];
    input.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Error::state("the saved state holds text that is not UTF-8"))
}

/// Bytes converted at a time: a truncated state costs at most this much memory beyond what it holds.
const CHUNK: usize = 1 << 16;

macro_rules! arrays {
    ($write:ident, $read:ident, $ty:ty, $doc:literal, $ok:expr) => {
        #[doc = concat!("Writes ", $doc, " without a length.")]
        ///
        /// # Errors
        /// Where the stream fails.
        pub fn $write(out: &mut dyn Write, values: &[$ty]) -> Result<()> {
            let mut bytes = Vec::with_capacity(CHUNK);
            for part in values.chunks(CHUNK / size_of::<$ty>()) {
                bytes.clear();
                bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
                out.write_all(&bytes)?;
            }
            Ok(())
        }

        #[doc = concat!("Reads `len` ", $doc, "; check `len` against what is plausible first.")]
        ///
        /// # Errors
        /// Where the stream ends or a value is not finite.
        pub fn $read(input: &mut dyn Read, len: usize) -> Result<Vec<$ty>> {
            let (mut values, mut bytes) =
                (Vec::new(), vec![0; CHUNK.min(len.saturating_mul(size_of::<$ty>()))]);
            while values.len() < len {
                let n = bytes.len().min((len - values.len()) * size_of::<$ty>());
                input.read_exact(&mut bytes[..n])?;
                for b in bytes[..n].chunks_exact(size_of::<$ty>()) {
                    let mut le = [0; size_of::<$ty>()];
                    le.copy_from_slice(b);
                    let v = <$ty>::from_le_bytes(le);
                    #[allow(clippy::redundant_closure_call)]
                    if !($ok)(v) {
                        return Err(Error::state("the saved state holds a number that is not finite"));
                    }
                    values.push(v);
                }
            }
            Ok(values)
        }
    };
}
arrays!(write_f32s, read_f32s, f32, "f32 values", |v: f32| v.is_finite());
arrays!(write_f64s, read_f64s, f64, "f64 values", |v: f64| v.is_finite());
arrays!(write_u32s, read_u32s, u32, "u32 values", |_| true);
arrays!(write_u8s, read_u8s, u8, "bytes", |_| true);
