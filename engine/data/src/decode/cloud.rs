//! Unorganised clouds: PLY, ascii or binary.

use std::io::Cursor;
use std::path::Path;

use ndarray::Array2;
use ply_rs_bw::parser::{ParseError, Parser, Reader};
use ply_rs_bw::ply::{ElementDef, Encoding, PropertyAccess, PropertyAccessResult, PropertyType, ScalarType};

use super::{Encoded, Look, Stored};
use crate::{DataError, Limits};

/// Unorganised points in metres.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloud {
    /// `[N, 3]`: x, y, z; (0, 0, 0) where invalid.
    pub positions: Array2<f32>,
    /// One flag a point; `None` = every point is valid.
    pub valid: Option<Vec<bool>>,
}

impl Cloud {
    /// Points, valid or not.
    pub fn len(&self) -> usize {
        self.positions.nrows()
    }

    /// Whether there is no point at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether point `k` is valid.
    pub fn is_valid(&self, k: usize) -> bool {
        self.valid.as_ref().is_none_or(|v| v[k])
    }
}

/// Reads the vertices of a PLY file (ascii, binary little or big endian; x, y, z as float or double) in metres
/// (without `stored.offset`). Colours, normals, faces and other elements are skipped. Validity as in
/// [`super::xyz`].
///
/// # Errors
/// [`DataError::TooLarge`], [`DataError::UnknownFormat`], [`DataError::Malformed`], and
/// [`DataError::Unsupported`] when there are no vertices with x, y and z.
pub fn points(file: &Encoded, stored: &Stored, limits: &Limits) -> Result<Cloud, DataError> {
    let (path, bytes) = (file.path, &file.bytes[..]);
    if !is_ply(bytes) {
        return Err(DataError::UnknownFormat { path: path.to_path_buf(), expected: "a PLY cloud" });
    }
    let malformed = |e: ParseError| DataError::malformed(path, e);
    let parser = Parser::<Vertex>::new();
    let mut reader = Reader::new(Cursor::new(bytes));
    let header = parser.read_header(&mut reader).map_err(malformed)?;
    // The crate's ascii grammar has no NaN, which is how many cameras write a missing point.
    let mut lines = (header.encoding == Encoding::Ascii).then(|| lines_after_header(bytes));
    for (_, element) in &header.elements {
        limits.check_points(path, element.count as u64)?;
        // A row takes at least a byte, so that a short file cannot ask for much memory.
        if element.properties.is_empty() || element.count > bytes.len() {
            let cause = format!("its header promises {} of `{}`", element.count, element.name);
            return Err(DataError::malformed(path, cause));
        }
        if element.name == "vertex" {
            check_coordinates(path, element)?;
            let vertices = match &mut lines {
                Some(lines) => ascii_vertices(path, lines, element)?,
                None => parser.read_payload_for_element(&mut reader, element, &header).map_err(malformed)?,
            };
            return Ok(cloud(&vertices, stored));
        }
        match &mut lines {
            Some(lines) => lines.take(element.count).for_each(drop),
            None => drop(parser.read_payload_for_element(&mut reader, element, &header).map_err(malformed)?),
        }
    }
    Err(DataError::unsupported(path, "the PLY has no element `vertex`; it holds no points"))
}

/// Whether the bytes start as a PLY does.
pub(super) fn is_ply(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ply")
}

/// How many points the header promises.
pub(super) fn header(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Look, DataError> {
    let parser = Parser::<Vertex>::new();
    let header = parser
        .read_header(&mut Reader::new(Cursor::new(bytes)))
        .map_err(|e| DataError::malformed(path, e))?;
    let points = header.elements.get("vertex").map_or(0, |vertex| vertex.count as u64);
    limits.check_points(path, points)?;
    Ok(Look::Cloud { points })
}

fn check_coordinates(path: &Path, vertex: &ElementDef) -> Result<(), DataError> {
    for axis in ["x", "y", "z"] {
        let kind = vertex.properties.get(axis).map(|p| &p.data_type);
        if !matches!(kind, Some(PropertyType::Scalar(ScalarType::Float | ScalarType::Double))) {
            return Err(DataError::unsupported(
                path,
                format!("the PLY's vertices have no float or double property `{axis}`"),
            ));
        }
    }
    Ok(())
}

/// The lines of the payload.
fn lines_after_header(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut lines = bytes.split(|&b| b == b'\n');
    lines.by_ref().find(|line| line.trim_ascii() == b"end_header");
    lines
}

fn ascii_vertices<'a>(
    path: &Path,
    lines: &mut impl Iterator<Item = &'a [u8]>,
    vertex: &ElementDef,
) -> Result<Vec<Vertex>, DataError> {
    if vertex.properties.iter().any(|(_, p)| !matches!(p.data_type, PropertyType::Scalar(_))) {
        return Err(DataError::unsupported(path, "the vertices of an ascii PLY have a list property"));
    }
    (0..vertex.count)
        .map(|k| {
            let bad = || {
                DataError::malformed(path, format!("vertex {k} of {} is not a row of numbers", vertex.count))
            };
            let row = lines.next().and_then(|line| str::from_utf8(line).ok()).ok_or_else(bad)?;
            let mut numbers = row.split_ascii_whitespace();
            let mut read = Vertex::new();
            for (name, _) in &vertex.properties {
                let value = numbers.next().and_then(|n| n.parse().ok()).ok_or_else(bad)?;
                read.set(name, value);
            }
            Ok(read)
        })
        .collect()
}

fn cloud(vertices: &[Vertex], stored: &Stored) -> Cloud {
    let mut valid = Vec::with_capacity(vertices.len());
    let mut positions = Array2::zeros((vertices.len(), 3));
    for (vertex, mut row) in vertices.iter().zip(positions.rows_mut()) {
        let point = vertex.0.map(|v| (v * stored.metres) as f32);
        let measured = !stored.is_invalid(vertex.0[2] as f32)
            && point.iter().all(|v| v.is_finite())
            && point.iter().any(|&v| v != 0.0);
        valid.push(measured);
        if measured {
            row.assign(&ndarray::arr1(&point));
        }
    }
    let valid = valid.iter().any(|&v| !v).then_some(valid);
    Cloud { positions, valid }
}

struct Vertex([f64; 3]);

impl Vertex {
    fn set(&mut self, axis: &str, value: f64) -> PropertyAccessResult {
        match axis {
            "x" => self.0[0] = value,
            "y" => self.0[1] = value,
            "z" => self.0[2] = value,
            _ => return PropertyAccessResult::Ignored,
        }
        PropertyAccessResult::Set
    }
}

impl PropertyAccess for Vertex {
    fn new() -> Self {
        Self([0.0; 3])
    }

    fn set_float(&mut self, name: &str, value: f32) -> PropertyAccessResult {
        self.set(name, f64::from(value))
    }

    fn set_double(&mut self, name: &str, value: f64) -> PropertyAccessResult {
        self.set(name, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], limits: Limits) -> Result<Cloud, DataError> {
        points(&Encoded::new(Path::new("cloud.ply"), bytes), &Stored::default(), &limits)
    }

    fn header(format: &str, count: usize, kind: &str) -> String {
        format!(
            "ply\nformat {format} 1.0\nelement vertex {count}\nproperty {kind} x\nproperty {kind} y\n\
             property {kind} z\nproperty uchar red\nelement face 1\n\
             property list uchar int vertex_indices\nend_header\n"
        )
    }

    const EXPECTED: [[f32; 3]; 3] = [[1.0, 2.5, -3.0], [0.0, 0.0, 0.0], [0.25, 0.0, 0.0]];

    fn check(bytes: &[u8]) {
        let cloud = read(bytes, Limits::default()).unwrap();
        assert_eq!(cloud.positions, ndarray::arr2(&EXPECTED));
        assert_eq!((0..3).map(|k| cloud.is_valid(k)).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn ascii_is_read_and_nan_is_an_invalid_point() {
        let text = header("ascii", 3, "float") + "1 2.5 -3 255\nnan 1 1 0\n0.25 0 0 7\n3 0 1 2\n";
        check(text.as_bytes());
    }

    #[test]
    fn binary_of_both_orders_and_widths_is_read() {
        let mut little = header("binary_little_endian", 3, "float").into_bytes();
        let mut big = header("binary_big_endian", 3, "double").into_bytes();
        for point in EXPECTED {
            point.iter().for_each(|v| little.extend(v.to_le_bytes()));
            point.iter().for_each(|v| big.extend(f64::from(*v).to_be_bytes()));
            little.push(9);
            big.push(9);
        }
        check(&little);
        check(&big);
    }

    #[test]
    fn counts_beyond_the_limit_or_the_file_are_refused() {
        let limits = Limits { max_points: 2, ..Limits::default() };
        let text = header("ascii", 3, "float");
        assert!(matches!(read(text.as_bytes(), limits), Err(DataError::TooLarge { what: "points", .. })));
        let text = header("ascii", 40_000_000, "float");
        assert!(matches!(read(text.as_bytes(), Limits::default()), Err(DataError::Malformed { .. })));
    }

    #[test]
    fn vertices_without_coordinates_are_refused_by_name() {
        let text = header("ascii", 0, "float").replace("float z", "float depth");
        let error = read(text.as_bytes(), Limits::default()).unwrap_err();
        assert!(error.to_string().contains("`z`"), "{error}");
    }
}
