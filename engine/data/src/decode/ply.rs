//! PLY clouds, ascii and binary, with whatever other elements and properties their writers add.
//!
//! The header is read here because names in real files are freer than the format says: `scalar_C2C[<0.1]`, names
//! that occur twice, comments that are not Unicode.

use super::cloud::Raw;
use super::scalar::{Scalar, number};
use super::{Encoded, Look};
use crate::{DataError, Limits};

/// Bytes of a header that is read.
const LONGEST_HEADER: usize = 1 << 20;

struct Header {
    ascii: bool,
    big_endian: bool,
    elements: Vec<Element>,
    /// `(rows, columns)` of an organised cloud, as range scanners note it in comments.
    size: Option<(usize, usize)>,
}

struct Element {
    name: String,
    count: usize,
    properties: Vec<Property>,
}

struct Property {
    name: String,
    /// The type of the count in front, of a list.
    list: Option<Scalar>,
    kind: Scalar,
}

/// Reads the vertices; the rest of the file must be whole, too.
pub(super) fn read(file: &Encoded, limits: &Limits) -> Result<Raw, DataError> {
    let (header, body) = header(file)?;
    let mut body = Body { rest: body, ascii: header.ascii, big_endian: header.big_endian };
    let (mut vertices, mut grid) = (None, None);
    for element in &header.elements {
        element.check(file, limits, &body)?;
        let damaged = |row| {
            let cause =
                format!("row {row} of {} of its `{}` is no row of numbers", element.count, element.name);
            DataError::malformed(file.path, cause)
        };
        match element.name.as_str() {
            "vertex" if vertices.is_none() => {
                vertices = Some(element.vertices(&mut body, element.coordinates(file)?).map_err(damaged)?);
            }
            "range_grid" if grid.is_none() => grid = Some(element.first_of_each(&mut body).map_err(damaged)?),
            _ => element.skip(&mut body).map_err(damaged)?,
        }
    }
    let vertices = vertices.ok_or_else(|| {
        DataError::unsupported(file.path, "the PLY has no element `vertex`; it holds no points")
    })?;
    match (header.size, grid) {
        // A range grid lists, per pixel, the vertex that was measured there, if any.
        (Some(size), Some(grid)) if grid.len() == size.0 * size.1 => {
            let point =
                |index: Option<usize>| index.and_then(|k| vertices.get(k)).copied().unwrap_or_default();
            Ok(Raw { points: grid.into_iter().map(point).collect(), size: Some(size) })
        }
        (size, _) => Ok(Raw { size: size.filter(|s| s.0 * s.1 == vertices.len()), points: vertices }),
    }
}

/// How many points the header promises, and how they are arranged.
pub(super) fn look(file: &Encoded, limits: &Limits) -> Result<Look, DataError> {
    let header = header(file)?.0;
    let count = |name: &str| header.elements.iter().find(|e| e.name == name).map_or(0, |e| e.count);
    let points = count("vertex");
    limits.check_points(file.path, points as u64)?;
    let size = header.size.filter(|s| [points, count("range_grid")].contains(&(s.0 * s.1)));
    Ok(Look::Cloud { points: points as u64, size })
}

/// The header, and the bytes behind it.
fn header<'a>(file: &'a Encoded) -> Result<(Header, &'a [u8]), DataError> {
    let damaged = |cause: String| DataError::malformed(file.path, cause);
    let mut header = Header { ascii: true, big_endian: false, elements: Vec::new(), size: None };
    let (mut columns, mut rows) = (None, None);
    let mut rest = &file.bytes[..];
    loop {
        let end = rest.iter().take(LONGEST_HEADER).position(|&b| b == b'\n' || b == b'\r');
        let end = end.ok_or_else(|| damaged("the header of the PLY has no end".into()))?;
        let line = String::from_utf8_lossy(&rest[..end]);
        let line_end = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let bad = || damaged(format!("its header line `{}` is not understood", line.trim()));
        match words[..] {
            ["ply"] | [] => {}
            ["format", format, _] => {
                (header.ascii, header.big_endian) = match format {
                    "ascii" => (true, false),
                    "binary_little_endian" => (false, false),
                    "binary_big_endian" => (false, true),
                    _ => return Err(bad()),
                };
            }
            ["comment" | "obj_info", ..] => {
                let text = line.replace(['=', ':'], " ");
                match text.split_ascii_whitespace().collect::<Vec<_>>()[1..] {
                    ["num_cols" | "width", n] => columns = n.parse().ok(),
                    ["num_rows" | "height", n] => rows = n.parse().ok(),
                    _ => {}
                }
            }
            ["element", name, count] => {
                let count = count.parse().map_err(|_| bad())?;
                header.elements.push(Element { name: name.into(), count, properties: Vec::new() });
            }
            ["property", ref definition @ ..] => {
                let element = header.elements.last_mut().ok_or_else(bad)?;
                element.properties.push(property(definition).ok_or_else(bad)?);
            }
            ["end_header"] => break,
            _ => return Err(bad()),
        }
        if file.bytes.len() - rest.len() > LONGEST_HEADER {
            return Err(damaged("the header of the PLY has no end".into()));
        }
    }
    let size: Option<(usize, usize)> = rows.zip(columns);
    header.size = size.filter(|&(rows, columns)| rows.checked_mul(columns).is_some_and(|n| n > 0));
    Ok((header, rest))
}

/// `float x`, or `list uchar int vertex_indices`. A name may have blanks.
fn property(words: &[&str]) -> Option<Property> {
    let scalar = |name: &str| {
        Some(match name {
            "char" | "int8" => Scalar::I8,
            "uchar" | "uint8" => Scalar::U8,
            "short" | "int16" => Scalar::I16,
            "ushort" | "uint16" => Scalar::U16,
            "int" | "int32" => Scalar::I32,
            "uint" | "uint32" => Scalar::U32,
            "float" | "float32" => Scalar::F32,
            "double" | "float64" => Scalar::F64,
            _ => return None,
        })
    };
    match *words {
        ["list", count, kind, ref name @ ..] if !name.is_empty() => {
            let list = Some(scalar(count).filter(|c| !c.is_float())?);
            Some(Property { name: name.join(" "), list, kind: scalar(kind)? })
        }
        [kind, ref name @ ..] if !name.is_empty() => {
            Some(Property { name: name.join(" "), list: None, kind: scalar(kind)? })
        }
        _ => None,
    }
}

impl Element {
    /// A short file cannot ask for much memory or time.
    fn check(&self, file: &Encoded, limits: &Limits, body: &Body<'_>) -> Result<(), DataError> {
        limits.check_points(file.path, self.count as u64)?;
        let row: usize = self.properties.iter().map(|p| p.list.unwrap_or(p.kind).size()).sum();
        // A number in text takes a digit and a blank; the last one of the file may do without the blank.
        let row = if body.ascii { 2 * self.properties.len() } else { row };
        let least = row.saturating_mul(self.count);
        if (row == 0 && self.count > 0) || least > body.rest.len() + usize::from(body.ascii) {
            let cause =
                format!("its header promises {} of `{}`, the file is too short", self.count, self.name);
            return Err(DataError::malformed(file.path, cause));
        }
        Ok(())
    }

    /// Which properties are x, y and z.
    fn coordinates(&self, file: &Encoded) -> Result<[usize; 3], DataError> {
        let mut at = [0; 3];
        for (at, axis) in at.iter_mut().zip(["x", "y", "z"]) {
            let found = self.properties.iter().position(|p| p.name == axis && p.list.is_none());
            *at = found.filter(|&k| self.properties[k].kind.is_float()).ok_or_else(|| {
                let cause = format!("the PLY's vertices have no float or double property `{axis}`");
                DataError::unsupported(file.path, cause)
            })?;
        }
        Ok(at)
    }

    /// Bytes a row; `None` where lists make rows differ, and of text.
    fn stride(&self, body: &Body<'_>) -> Option<usize> {
        let fixed = !body.ascii && self.properties.iter().all(|p| p.list.is_none());
        fixed.then(|| self.properties.iter().map(|p| p.kind.size()).sum())
    }

    /// The points; on failure, the row that is broken.
    fn vertices(&self, body: &mut Body<'_>, at: [usize; 3]) -> Result<Vec<[f32; 3]>, usize> {
        if let Some(stride) = self.stride(body).filter(|&stride| stride > 0) {
            let (rows, rest) = body.rest.split_at_checked(stride * self.count).ok_or(self.count)?;
            body.rest = rest;
            let big_endian = body.big_endian;
            let fields = at.map(|k| {
                (self.properties[..k].iter().map(|p| p.kind.size()).sum::<usize>(), self.properties[k].kind)
            });
            let read = |row: &[u8], (offset, kind): (usize, Scalar)| kind.read(&row[offset..], big_endian);
            let point = |row| fields.map(|field| read(row, field).unwrap_or(f64::NAN) as f32);
            return Ok(rows.chunks_exact(stride).map(point).collect());
        }
        let mut points = Vec::with_capacity(self.count);
        let mut row = vec![0.0; self.properties.len()];
        for k in 0..self.count {
            for (value, property) in row.iter_mut().zip(&self.properties) {
                *value = property.first(body).ok_or(k)?.unwrap_or(f64::NAN);
            }
            points.push(at.map(|axis| row[axis] as f32));
        }
        Ok(points)
    }

    /// Per row, the first item of the first property; on failure, the row that is broken.
    fn first_of_each(&self, body: &mut Body<'_>) -> Result<Vec<Option<usize>>, usize> {
        let mut found = Vec::with_capacity(self.count);
        for k in 0..self.count {
            let mut first = None;
            for (index, property) in self.properties.iter().enumerate() {
                let value = property.first(body).ok_or(k)?;
                first = if index == 0 { value } else { first };
            }
            found.push(first.filter(|&v| v >= 0.0).map(|v| v as usize));
        }
        Ok(found)
    }

    /// On failure, the row that is broken.
    fn skip(&self, body: &mut Body<'_>) -> Result<(), usize> {
        if let Some(stride) = self.stride(body) {
            body.rest = body.rest.get(stride * self.count..).ok_or(self.count)?;
            return Ok(());
        }
        (0..self.count)
            .try_for_each(|k| self.properties.iter().try_for_each(|p| p.first(body).map(drop).ok_or(k)))
    }
}

impl Property {
    /// Reads the value, or all of a list, and gives the first number; the outer `None` where the file is broken.
    fn first(&self, body: &mut Body<'_>) -> Option<Option<f64>> {
        let Some(count) = self.list else { return body.value(self.kind).map(Some) };
        let count = body.value(count).filter(|&n| n >= 0.0)?;
        let mut first = None;
        for k in 0..count as usize {
            let value = body.value(self.kind)?;
            first = if k == 0 { Some(value) } else { first };
        }
        Some(first)
    }
}

/// The numbers behind the header.
struct Body<'a> {
    rest: &'a [u8],
    ascii: bool,
    big_endian: bool,
}

impl Body<'_> {
    fn value(&mut self, kind: Scalar) -> Option<f64> {
        if self.ascii {
            let text = self.rest.trim_ascii_start();
            let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
            let (token, rest) = text.split_at(end);
            self.rest = rest;
            return number(token);
        }
        let value = kind.read(self.rest, self.big_endian)?;
        self.rest = &self.rest[kind.size()..];
        Some(value)
    }
}
