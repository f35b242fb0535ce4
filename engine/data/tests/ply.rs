//! PLY files of the crate ply-rs-bw read as that crate reads them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::Path;

use assay_data::Limits;
use assay_data::decode::{self, Encoded, Stored};
use ply_rs_bw::parser::Parser;
use ply_rs_bw::ply::{
    Addable, DefaultElement, ElementDef, Encoding, Ply, Property, PropertyDef, PropertyType, ScalarType,
};
use ply_rs_bw::writer::Writer;
use proptest::prelude::*;

/// Vertices with a colour in front of the coordinates, behind faces of several lengths.
fn file(points: &[[f32; 3]], double: bool, encoding: Encoding) -> Vec<u8> {
    let scalar = |name: &str, kind| PropertyDef::new(name.into(), PropertyType::Scalar(kind));
    let mut ply = Ply::<DefaultElement>::new();
    ply.header.encoding = encoding;
    let mut face = ElementDef::new("face".into());
    let list = PropertyType::List(ScalarType::UChar, ScalarType::Int);
    face.properties.add(PropertyDef::new("vertex_indices".into(), list));
    ply.header.elements.add(face);
    let mut vertex = ElementDef::new("vertex".into());
    vertex.properties.add(scalar("red", ScalarType::UChar));
    let kind = if double { ScalarType::Double } else { ScalarType::Float };
    ["x", "y", "z"].iter().for_each(|axis| vertex.properties.add(scalar(axis, kind.clone())));
    ply.header.elements.add(vertex);
    let faces = (0..3).map(|n| {
        let mut face = DefaultElement::new();
        face.insert("vertex_indices".into(), Property::ListInt((0..n).collect()));
        face
    });
    let vertices = points.iter().enumerate().map(|(k, point)| {
        let mut vertex = DefaultElement::new();
        vertex.insert("red".into(), Property::UChar(k as u8));
        for (axis, &value) in ["x", "y", "z"].into_iter().zip(point) {
            let value = if double { Property::Double(value.into()) } else { Property::Float(value) };
            vertex.insert(axis.into(), value);
        }
        vertex
    });
    ply.payload.insert("face".into(), faces.collect());
    ply.payload.insert("vertex".into(), vertices.collect());
    let mut bytes = Vec::new();
    Writer::new().write_ply(&mut bytes, &mut ply).unwrap();
    bytes
}

fn theirs(bytes: &[u8]) -> Vec<[f32; 3]> {
    let ply = Parser::<DefaultElement>::new().read_ply(&mut Cursor::new(bytes)).unwrap();
    let value = |property: &Property| match *property {
        Property::Float(v) => v,
        Property::Double(v) => v as f32,
        _ => f32::NAN,
    };
    ply.payload["vertex"].iter().map(|v| ["x", "y", "z"].map(|axis| value(&v[axis]))).collect()
}

proptest! {
    #[test]
    fn every_point_reads_as_ply_rs_reads_it(
        points in prop::collection::vec(prop::array::uniform3(0.001f32..1e6), 1..40),
        double: bool,
        encoding in prop::sample::select(vec![
            Encoding::Ascii, Encoding::BinaryLittleEndian, Encoding::BinaryBigEndian,
        ]),
    ) {
        let bytes = file(&points, double, encoding);
        let encoded = Encoded::new(Path::new("cloud.ply"), &bytes[..]);
        let cloud = decode::points(&encoded, &Stored::default(), &Limits::default()).unwrap();
        let ours: Vec<[f32; 3]> = cloud.positions.outer_iter().map(|p| [p[0], p[1], p[2]]).collect();
        prop_assert_eq!(&ours, &theirs(&bytes));
        prop_assert_eq!(ours, points);
    }
}
