//! Damaged files: whatever the bytes, each decoder answers; none panics.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::{Limits, shared_scans};
use ::tiff::encoder::{Compression, TiffEncoder, colortype::RGB32Float};

const SMALL: Limits = Limits { max_pixels: 1 << 20, max_file_bytes: 1 << 24, max_points: 1 << 16 };

/// Every decoder on one file; whether any of them read it.
fn read_as_everything(bytes: &[u8]) -> bool {
    let file = &Encoded::new(Path::new("a file"), bytes);
    let stored = &Stored::default();
    let read = [
        image(file, &SMALL).is_ok(),
        gray(file, &SMALL).is_ok(),
        xyz(file, stored, &SMALL).is_ok(),
        depth(file, stored, &SMALL).is_ok(),
        mask(file, &SMALL).is_ok(),
        map(file, &SMALL).is_ok(),
        points(file, stored, &SMALL).is_ok(),
    ];
    assert!(look(file, &SMALL).is_ok() || !read.contains(&true), "what is read has a header that is read");
    read.contains(&true)
}

/// Small files of every format, as real encoders write them.
fn samples() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let pixels = ndarray::Array3::from_shape_fn((9, 14, 3), |(i, j, c)| (i * j * 7 + c * 31) as u8);
    write_png_rgb(&path("a.png"), &pixels).unwrap();
    let picture = ::image::RgbImage::from_raw(14, 9, pixels.into_raw_vec_and_offset().0).unwrap();
    picture.save(path("a.jpg")).unwrap();
    picture.save(path("a.bmp")).unwrap();
    ::image::GrayImage::from_fn(14, 9, |x, y| ::image::Luma([(x * y) as u8])).save(path("grey.bmp")).unwrap();
    write_map(&path("a.tiff"), &ndarray::Array2::from_shape_fn((9, 14), |(i, j)| (i + j) as f32)).unwrap();
    let mut files: Vec<_> = ["a.png", "a.jpg", "a.tiff", "a.bmp", "grey.bmp"]
        .iter()
        .map(|name| fs::read(path(name)).unwrap())
        .collect();
    files.push(
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n\
          end_header\n1 2 3\n4 5 6\n"
            .to_vec(),
    );
    files.extend(clouds());
    for compression in [Compression::Lzw, Compression::Deflate(Default::default()), Compression::Packbits] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let values: Vec<f32> = (0..4 * 5 * 3).map(|k| k as f32 * 0.37).collect();
        TiffEncoder::new(&mut bytes)
            .unwrap()
            .with_compression(compression)
            .write_image::<RGB32Float>(5, 4, &values)
            .unwrap();
        files.push(bytes.into_inner());
    }
    files
}

/// Clouds and arrays, 5 points as 5 x 1, whose last byte belongs to a number.
fn clouds() -> Vec<Vec<u8>> {
    let points = |kind: u8| {
        (0..15u8).flat_map(|k| f32::from_le_bytes([k, kind, 7, 64]).to_le_bytes()).collect::<Vec<u8>>()
    };
    let with = |header: &str, data: &[u8]| [header.as_bytes(), data].concat();
    let ply = |format: &str| {
        format!(
            "ply\nformat {format} 1.0\nobj_info num_cols 5\nobj_info num_rows 1\nelement vertex 5\nproperty float x\n\
             property float y\nproperty float z\nelement face 1\nproperty list uchar int i\nend_header\n"
        )
    };
    let pcd = |data: &str| {
        format!(
            "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 5\n\
             VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 5\nDATA {data}\n"
        )
    };
    let face = [3, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    // Two literal runs: LZF without any repetition.
    let packed: Vec<u8> = points(1).chunks(30).flat_map(|run| [&[29][..], run].concat()).collect();
    let lengths = [62u32.to_le_bytes(), 60u32.to_le_bytes()].concat();
    let npy = |shape: &str| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &points(3)].concat()
    };
    vec![
        with(&ply("binary_little_endian"), &[points(2), face.to_vec()].concat()),
        with(&pcd("binary"), &points(4)),
        with(&pcd("binary_compressed"), &[lengths, packed].concat()),
        with(&pcd("ascii"), b"1 2 3\n4 5 6\n7 8 nan\n1 1 1\n2 2 2\n"),
        npy("(5, 3)"),
        npy("(5, 1, 3)"),
        npy("(3, 5)"),
    ]
}

#[test]
fn every_sample_is_read_whole_and_refused_at_any_other_length() {
    for bytes in samples() {
        assert!(read_as_everything(&bytes), "a sample of {} bytes is read", bytes.len());
        // What is written as text may lack its last line end, and the last digit of a number is not missed.
        let text = if bytes.is_ascii() { 2 } else { 0 };
        for length in 0..bytes.len() {
            let read = read_as_everything(&bytes[..length]);
            assert!(!read || length >= bytes.len() - text, "{length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn a_tag_that_claims_more_values_than_the_file_has_bytes_is_refused() {
    let mut bytes = samples().into_iter().find(|bytes| bytes.starts_with(b"II*\0")).unwrap();
    let directory = u32::from_le_bytes(*bytes[4..].first_chunk().unwrap()) as usize;
    bytes[directory + 6..directory + 10].copy_from_slice(&5_000_000u32.to_le_bytes());
    let file = Encoded::new(Path::new("a.tiff"), &bytes[..]);
    let error = look(&file, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("claims more values"), "{error}");
}

/// The frame header of a colour JPEG, its own or that of a TIFF's strip, with colour sampled finer than brightness.
fn with_finer_colour(mut bytes: Vec<u8>) -> Vec<u8> {
    let frame = bytes.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
    assert_eq!(bytes[frame + 9], 3, "components");
    bytes[frame + 11] = 0x11;
    bytes[frame + 14] = 0x11;
    bytes[frame + 17] = 0x22;
    bytes
}

#[test]
fn a_jpeg_whose_colour_is_finer_than_its_brightness_is_refused() {
    let files = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/files"));
    for name in ["turned.jpg", "progressive.jpg", "jpeg.tiff"] {
        let bytes = fs::read(files.join(name)).unwrap();
        image(&Encoded::new(Path::new(name), &bytes[..]), &Limits::default()).unwrap();
        let bytes = with_finer_colour(bytes);
        let error = image(&Encoded::new(Path::new(name), &bytes[..]), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("coarser than another"), "{error}");
    }
}

#[test]
fn pixels_that_begin_inside_the_palette_are_refused() {
    let mut bytes = samples().into_iter().rfind(|bytes| bytes.starts_with(b"BM")).unwrap();
    bytes[10..14].copy_from_slice(&54u32.to_le_bytes());
    let file = Encoded::new(Path::new("grey.bmp"), &bytes[..]);
    let error = image(&file, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("inside the palette"), "{error}");
}

#[test]
fn real_scans_cut_anywhere_are_refused() {
    let Some(category) = shared_scans::cable_gland() else { return };
    for name in ["train/good/rgb/000.png", "train/good/xyz/000.tiff", "test/bent/gt/000.png"] {
        let bytes = fs::read(category.join(name)).unwrap();
        for step in 0..40 {
            assert!(!read_as_everything(&bytes[..bytes.len() * step / 40]), "{name} cut to {step} / 40");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_bytes_never_panic(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = samples();
        let mut bytes = bytes.swap_remove(which.index(bytes.len()));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_as_everything(&bytes);
    }

    #[test]
    fn garbage_behind_a_signature_never_panics(
        signature in prop::sample::select(vec![
            &b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", b"II+\0", b"ply\n", b"# .PCD v0.7\n",
            b"\x93NUMPY\x01\0\x40\0", b"BM\x40\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", b"",
        ]),
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        read_as_everything(&[signature, &garbage].concat());
    }
}
