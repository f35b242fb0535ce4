//! PCD clouds of the Point Cloud Library: ascii, binary and compressed.

use super::cloud::Raw;
use super::scalar::{Scalar, number};
use super::{Encoded, Look};
use crate::{DataError, Limits};

/// Bytes of a header that is read.
const LONGEST_HEADER: usize = 64 << 10;

/// How many bytes a byte of compressed data can stand for at most: a run of 264 takes three.
const MOST_EXPANSION: usize = 88;

#[derive(Default)]
struct Header {
    fields: Vec<String>,
    sizes: Vec<usize>,
    types: Vec<u8>,
    counts: Vec<usize>,
    width: Option<usize>,
    height: Option<usize>,
    points: Option<usize>,
    data: String,
}

/// One coordinate in a row.
#[derive(Clone, Copy)]
struct Field {
    /// Numbers in front of it in a row.
    index: usize,
    /// Bytes in front of it in a row.
    offset: usize,
    kind: Scalar,
}

/// Reads x, y and z of every point.
pub(super) fn read(file: &Encoded, limits: &Limits) -> Result<Raw, DataError> {
    let (header, body) = header(file)?;
    let (count, size) = header.arrangement(file, limits)?;
    let fields = header.coordinates(file)?;
    let stride: usize = header.sizes.iter().zip(&header.counts).map(|(size, count)| size * count).sum();
    let short = || {
        let cause = format!("its header promises {count} points, the data ends before them");
        DataError::malformed(file.path, cause)
    };
    let points = match header.data.as_str() {
        "ascii" => ascii(body, count, header.counts.iter().sum(), fields).ok_or_else(short)?,
        "binary" => {
            let rows = stride.checked_mul(count).and_then(|bytes| body.get(..bytes)).ok_or_else(short)?;
            let read = |row: &[u8], field: Field| field.kind.read(&row[field.offset..], false);
            let point = |row| fields.map(|field| read(row, field).unwrap_or(f64::NAN) as f32);
            rows.chunks_exact(stride).map(point).collect()
        }
        "binary_compressed" => compressed(body, count, stride, fields).ok_or_else(short)?,
        other => return Err(DataError::unsupported(file.path, format!("PCD data of the kind `{other}`"))),
    };
    Ok(Raw { points, size })
}

/// How many points the header promises, and how they are arranged.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let header = header(file)?.0;
    let (points, size) = header.arrangement(file, limits)?;
    header.coordinates(file)?;
    Ok(Look::Cloud { points: points as u64, size })
}

fn ascii(body: &[u8], count: usize, numbers: usize, fields: [Field; 3]) -> Option<Vec<[f32; 3]>> {
    // Every number takes two bytes, but for the last.
    if count.checked_mul(numbers)?.checked_mul(2)? > body.len() + 1 {
        return None;
    }
    let mut lines =
        body.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty() && l[0] != b'#');
    let mut points = Vec::with_capacity(count);
    for _ in 0..count {
        let tokens: Vec<&[u8]> =
            lines.next()?.split(u8::is_ascii_whitespace).filter(|t| !t.is_empty()).collect();
        let value = |field: Field| {
            tokens.get(field.index).and_then(|t| number(t)).filter(|_| tokens.len() >= numbers)
        };
        let [Some(x), Some(y), Some(z)] = fields.map(value) else { return None };
        points.push([x, y, z].map(|v| v as f32));
    }
    Some(points)
}

/// Compressed data is stored field after field: all x, then all y.
fn compressed(body: &[u8], count: usize, stride: usize, fields: [Field; 3]) -> Option<Vec<[f32; 3]>> {
    let (lengths, data) = body.split_first_chunk::<8>()?;
    let length =
        |at: usize| u32::from_le_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]]);
    let (packed, unpacked) = (length(0) as usize, length(4) as usize);
    let packed = data.get(..packed)?;
    if stride.checked_mul(count)? != unpacked || unpacked > packed.len().saturating_mul(MOST_EXPANSION) {
        return None;
    }
    let columns = unpack(packed, unpacked)?;
    let value = |k: usize, field: Field| {
        let at = field.offset * count + k * field.kind.size();
        field.kind.read(columns.get(at..)?, false)
    };
    (0..count)
        .map(|k| match fields.map(|field| value(k, field)) {
            [Some(x), Some(y), Some(z)] => Some([x as f32, y as f32, z as f32]),
            _ => None,
        })
        .collect()
}

/// LZF: a control byte says how many bytes follow as they are, or how many to repeat from how far back.
fn unpack(mut packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::with_capacity(length);
    let mut next = |n: usize| {
        let (head, tail) = packed.split_at_checked(n)?;
        packed = tail;
        Some(head)
    };
    while let Some(&[control]) = next(1) {
        let control = usize::from(control);
        if control < 32 {
            out.extend_from_slice(next(control + 1)?);
        } else {
            let run = match control >> 5 {
                7 => 9 + usize::from(next(1)?[0]),
                short => 2 + short,
            };
            let back = ((control & 31) << 8 | usize::from(next(1)?[0])) + 1;
            let start = out.len().checked_sub(back)?;
            for k in start..start + run {
                out.push(out[k]);
            }
        }
        if out.len() > length {
            return None;
        }
    }
    (out.len() == length).then_some(out)
}

fn header<'a>(file: &'a Encoded) -> Result<(Header, &'a [u8]), DataError> {
    let damaged = |cause: &str| DataError::malformed(file.path, cause);
    let mut header = Header::default();
    let mut rest = &file.bytes[..];
    while header.data.is_empty() {
        let end = rest.iter().take(LONGEST_HEADER).position(|&b| b == b'\n');
        let end = end.filter(|_| file.bytes.len() - rest.len() < LONGEST_HEADER);
        let end = end.ok_or_else(|| damaged("the header of the PCD has no line `DATA`"))?;
        let line = String::from_utf8_lossy(&rest[..end]);
        rest = &rest[end + 1..];
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        let values: Vec<&str> = words.collect();
        let bad = || damaged(&format!("its header line `{}` is not understood", line.trim()));
        let numbers =
            || values.iter().map(|v| v.parse().ok()).collect::<Option<Vec<usize>>>().ok_or_else(bad);
        let number = || numbers().and_then(|n| n.first().copied().ok_or_else(bad)).map(Some);
        match key {
            "FIELDS" | "COLUMNS" => header.fields = values.iter().map(|&v| v.to_owned()).collect(),
            "SIZE" => header.sizes = numbers()?,
            "TYPE" => header.types = values.iter().map(|v| v.as_bytes()[0]).collect(),
            "COUNT" => header.counts = numbers()?,
            "WIDTH" => header.width = number()?,
            "HEIGHT" => header.height = number()?,
            "POINTS" => header.points = number()?,
            "DATA" => header.data = values.first().ok_or_else(bad)?.to_ascii_lowercase(),
            // The view point does not move the points.
            "VERSION" | "VIEWPOINT" => {}
            _ => return Err(bad()),
        }
    }
    let n = header.fields.len();
    // The first versions of the format leave out what has a usual value.
    for (column, usual) in [(&mut header.sizes, 4), (&mut header.counts, 1)] {
        if column.is_empty() {
            column.resize(n, usual);
        }
    }
    if header.types.is_empty() {
        header.types.resize(n, b'F');
    }
    let known = header.sizes.iter().all(|s| [1, 2, 4, 8].contains(s));
    let lengths = [header.sizes.len(), header.types.len(), header.counts.len()];
    let few = header.counts.iter().all(|&count| count <= LONGEST_HEADER);
    if n == 0 || lengths != [n; 3] || !known || !few {
        return Err(damaged("FIELDS, SIZE, TYPE and COUNT of the PCD do not fit each other"));
    }
    Ok((header, rest))
}

impl Header {
    /// How many points there are, and `(rows, columns)` where they are organised.
    fn arrangement(
        &self,
        file: &Encoded,
        limits: &Limits,
    ) -> Result<(usize, Option<(usize, usize)>), DataError> {
        let height = self.height.unwrap_or(1);
        let count = match (self.width, self.points) {
            (Some(width), points) => {
                width.checked_mul(height).filter(|&product| points.is_none_or(|points| points == product))
            }
            (None, points) => points,
        };
        let cause = "WIDTH, HEIGHT and POINTS of the PCD do not fit each other";
        let count = count.ok_or_else(|| DataError::malformed(file.path, cause))?;
        limits.check_points(file.path, count as u64)?;
        Ok((count, self.width.filter(|_| height > 1 && count > 0).map(|width| (height, width))))
    }

    fn coordinates(&self, file: &Encoded) -> Result<[Field; 3], DataError> {
        let mut fields = [Field { index: 0, offset: 0, kind: Scalar::F32 }; 3];
        for (field, axis) in fields.iter_mut().zip(["x", "y", "z"]) {
            let k = self.fields.iter().position(|f| f == axis);
            let float = |k: &usize| self.types[*k] == b'F' && self.sizes[*k] >= 4 && self.counts[*k] == 1;
            let k = k.filter(float).ok_or_else(|| {
                let cause = format!("the PCD has no field `{axis}` of TYPE F and SIZE 4 or 8");
                DataError::unsupported(file.path, cause)
            })?;
            let kind = if self.sizes[k] == 8 { Scalar::F64 } else { Scalar::F32 };
            let offset = self.sizes.iter().zip(&self.counts).take(k).map(|(size, count)| size * count).sum();
            *field = Field { index: self.counts[..k].iter().sum(), offset, kind };
        }
        Ok(fields)
    }
}
