//! The decoders of scans, masks and maps.

use super::KIB;
use crate::Target;
use assay_data::decode::{self, Encoded, Look, Stored};
use assay_data::{DataError, Grid, Limits};
use std::path::Path;

/// Small, so that inputs stay quick; decoders compare them with headers as they do greater ones.
const LIMITS: Limits = Limits { max_pixels: 1 << 12, max_file_bytes: 1 << 20, max_points: 1 << 12 };
/// Stored samples and what is made of them, of the largest image, and the decoders' own tables and windows.
const MEMORY: (usize, usize) = (128 * LIMITS.max_pixels as usize + 8 * 1024 * KIB, 256);

const fn target(name: &'static str, read: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, read, seeds, words: || WORDS.to_vec(), memory: MEMORY }
}

pub(super) const IMAGE: Target = target("image", image, || files(&["png", "jpg", "bmp", "tiff"]));
pub(super) const GRAY: Target = target("gray", gray, || files(&["png", "jpg", "bmp", "tiff"]));
pub(super) const XYZ: Target = target("xyz", xyz, || files(&["tiff", "npy", "pcd", "ply"]));
pub(super) const DEPTH: Target = target("depth", depth, || files(&["tiff", "npy", "png"]));
pub(super) const POINTS: Target = target("points", points, || files(&["ply", "pcd", "npy"]));
pub(super) const MASK: Target = target("mask", mask, || files(&["png", "tiff", "bmp", "npy"]));
pub(super) const MAP: Target = target("map", map, || files(&["tiff", "npy"]));
pub(super) const LOOK: Target =
    target("look", look, || files(&["png", "jpg", "bmp", "tiff", "npy", "ply", "pcd"]));

const WORDS: &[&str] = &[
    // PNG and JPEG
    "IHDR",
    "PLTE",
    "IDAT",
    "IEND",
    "tRNS",
    "iCCP",
    "eXIf",
    "zTXt",
    "acTL",
    "fdAT",
    "\u{0}\u{0}\u{0}\u{0}IEND",
    "Exif\0\0",
    // TIFF
    "II*\0",
    "MM\0*",
    "II+\0\u{8}\0\0\0",
    "\u{3}\0\u{1}\0\0\0",
    "\u{4}\0\u{1}\0\0\0",
    // PLY
    "ply\n",
    "format ascii 1.0\n",
    "format binary_little_endian 1.0\n",
    "format binary_big_endian 1.0\n",
    "comment ",
    "obj_info ",
    "element vertex ",
    "element face ",
    "property float x\n",
    "property double y\n",
    "property uchar z\n",
    "property list uchar int ",
    "end_header\n",
    "nan ",
    "4294967296",
    // PCD
    "VERSION 0.7\n",
    "FIELDS x y z\n",
    "SIZE 4 4 4\n",
    "TYPE F F F\n",
    "COUNT 1 1 1\n",
    "WIDTH ",
    "HEIGHT ",
    "POINTS ",
    "VIEWPOINT 0 0 0 1 0 0 0\n",
    "DATA ascii\n",
    "DATA binary\n",
    "DATA binary_compressed\n",
    // NPY
    "\u{1}\0v\0{'descr': ",
    "'<f4'",
    "'>f8'",
    "'|b1'",
    "'<u2'",
    "'fortran_order': ",
    "True",
    "False",
    "'shape': (",
    ", }",
    ")",
];

/// The files of these extensions beside `files/make.py`.
fn files(extensions: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("files");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn file(input: &[u8]) -> Encoded<'_> {
    Encoded::new(Path::new("input"), input)
}

/// What was read must be what a look at the header promises, and within the limits.
fn agrees(input: &[u8], read: (usize, usize)) {
    assert!((1..=LIMITS.max_pixels).contains(&((read.0 * read.1) as u64)), "{read:?}");
    let size = match decode::look(&file(input), &LIMITS).unwrap() {
        Look::Picture { size, .. } | Look::Raster { size, .. } | Look::Cloud { size: Some(size), .. } => size,
        // Three numbers a row may be points, or a narrow depth image.
        Look::Cloud { points, size: None } => (points as usize, 3),
    };
    assert_eq!(size, read);
}

fn told(error: &DataError) {
    assert!(error.to_string().starts_with("input: "), "{error}");
}

fn image(input: &[u8]) {
    match decode::image(&file(input), &LIMITS) {
        Ok(pixels) => {
            assert_eq!(pixels.dim().2, 3);
            agrees(input, (pixels.dim().0, pixels.dim().1));
        }
        Err(error) => told(&error),
    }
}

fn gray(input: &[u8]) {
    match decode::gray(&file(input), &LIMITS) {
        Ok(pixels) => {
            assert_eq!(pixels.dim().2, 1);
            agrees(input, (pixels.dim().0, pixels.dim().1));
        }
        Err(error) => told(&error),
    }
}

const STORED: Stored = Stored { metres: 1e-3, offset: 0.5, invalid: Some(65535.0) };

fn xyz(input: &[u8]) {
    match decode::xyz(&file(input), &Stored { offset: 0.0, ..STORED }, &LIMITS) {
        Ok(grid) => whole(input, &grid, 3),
        Err(error) => told(&error),
    }
}

fn depth(input: &[u8]) {
    match decode::depth(&file(input), &STORED, &LIMITS) {
        Ok(grid) => whole(input, &grid, 1),
        Err(error) => told(&error),
    }
}

/// A cell is a finite measurement, or an invalid zero.
fn whole(input: &[u8], grid: &Grid, channels: usize) {
    let (found, rows, columns) = grid.values.dim();
    assert_eq!(found, channels);
    for ((_, i, j), &v) in grid.values.indexed_iter() {
        assert!(if grid.is_valid(i, j) { v.is_finite() } else { v == 0.0 }, "{v} at {i}, {j}");
    }
    agrees(input, (rows, columns));
}

fn points(input: &[u8]) {
    match decode::points(&file(input), &STORED, &LIMITS) {
        Ok(cloud) => {
            assert!(cloud.len() as u64 <= LIMITS.max_points);
            for (k, point) in cloud.positions.outer_iter().enumerate() {
                let valid = cloud.is_valid(k);
                assert!(point.iter().all(|v| if valid { v.is_finite() } else { *v == 0.0 }), "{point}");
            }
            decode::look(&file(input), &LIMITS).unwrap();
        }
        Err(error) => told(&error),
    }
}

fn mask(input: &[u8]) {
    match decode::mask(&file(input), &LIMITS) {
        Ok(mask) => agrees(input, mask.dim()),
        Err(error) => told(&error),
    }
}

fn map(input: &[u8]) {
    match decode::map(&file(input), &LIMITS) {
        Ok(map) => {
            assert!(map.iter().all(|v| v.is_finite()));
            agrees(input, map.dim());
        }
        Err(DataError::NotFinite { .. }) => {}
        Err(error) => told(&error),
    }
}

fn look(input: &[u8]) {
    match decode::look(&file(input), &LIMITS) {
        Ok(Look::Picture { size, .. } | Look::Raster { size, .. }) => {
            assert!((1..=LIMITS.max_pixels).contains(&((size.0 * size.1) as u64)), "{size:?}");
        }
        Ok(Look::Cloud { points, .. }) => assert!(points <= LIMITS.max_points),
        Err(error) => told(&error),
    }
}
