//! Decoders beside ones that were not chosen: `cargo bench -p assay-benches --bench decoders`.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench fails by panicking")]

use assay_data::Limits;
use assay_data::decode::{self, Encoded, Stored};
use criterion::{Criterion, criterion_group, criterion_main};
use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, png::PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use ply_rs_bw::parser::Parser;
use ply_rs_bw::ply::{PropertyAccess, PropertyAccessResult};
use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;
use zune_png::zune_core::bytestream::ZCursor;

const SIDE: u32 = 800;

/// A picture as cameras make them: smooth, with a little noise.
fn picture() -> Vec<u8> {
    let mut noise = 1u32;
    let pixel = |k: u32| {
        let (i, j) = (k / SIDE, k % SIDE);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = noise >> 29;
        [i * 200 / SIDE + grain, j * 200 / SIDE + grain, (i + j) * 100 / SIDE + grain].map(|v| v as u8)
    };
    (0..SIDE * SIDE).flat_map(pixel).collect()
}

fn pictures(c: &mut Criterion) {
    let (pixels, limits) = (picture(), Limits::default());
    let (mut png, mut jpeg, mut bmp) = (Vec::new(), Vec::new(), Vec::new());
    let colour = ExtendedColorType::Rgb8;
    PngEncoder::new(&mut png).write_image(&pixels, SIDE, SIDE, colour).unwrap();
    JpegEncoder::new_with_quality(&mut jpeg, 92).write_image(&pixels, SIDE, SIDE, colour).unwrap();
    BmpEncoder::new(&mut bmp).write_image(&pixels, SIDE, SIDE, colour).unwrap();
    let read = |bytes: &[u8]| decode::image(&Encoded::new(Path::new("picture"), bytes), &limits).unwrap();
    for (name, bytes) in [("PNG", &png), ("JPEG", &jpeg), ("BMP", &bmp)] {
        c.bench_function(&format!("{name} 800x800"), |b| b.iter(|| read(black_box(bytes))));
    }
    c.bench_function("PNG 800x800, zune-png", |b| {
        b.iter(|| zune_png::PngDecoder::new(ZCursor::new(black_box(&png))).decode_raw().unwrap());
    });
}

/// A vertex as ply-rs-bw fills it in.
struct Vertex([f32; 3]);

impl PropertyAccess for Vertex {
    fn new() -> Self {
        Self([0.0; 3])
    }

    fn set_float(&mut self, name: &str, value: f32) -> PropertyAccessResult {
        match name {
            "x" => self.0[0] = value,
            "y" => self.0[1] = value,
            "z" => self.0[2] = value,
            _ => return PropertyAccessResult::Ignored,
        }
        PropertyAccessResult::Set
    }
}

fn clouds(c: &mut Criterion) {
    let count = SIDE * SIDE;
    let head = |format: &str| {
        format!(
            "ply\nformat {format} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n\
             property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
        )
    };
    let points = || (0..count).map(|k| [k % SIDE, k / SIDE, 400 + k % 7].map(|v| v as f32 * 1e-3));
    let mut binary = head("binary_little_endian").into_bytes();
    let mut text = head("ascii");
    for point in points() {
        point.iter().for_each(|v| binary.extend(v.to_le_bytes()));
        binary.extend([90, 100, 110]);
        text += &format!("{} {} {} 90 100 110\n", point[0], point[1], point[2]);
    }
    let (stored, limits) = (Stored::default(), Limits::default());
    for (name, bytes) in [("binary", &binary[..]), ("ascii", text.as_bytes())] {
        c.bench_function(&format!("PLY of 640 000 points, {name}"), |b| {
            let file = Encoded::new(Path::new("cloud"), bytes);
            b.iter(|| decode::points(black_box(&file), &stored, &limits).unwrap());
        });
        c.bench_function(&format!("PLY of 640 000 points, {name}, ply-rs-bw"), |b| {
            b.iter(|| Parser::<Vertex>::new().read_ply(&mut Cursor::new(black_box(bytes))).unwrap());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = pictures, clouds
}
criterion_main!(benches);
