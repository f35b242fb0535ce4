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
    write_map(&path("a.tiff"), &ndarray::Array2::from_shape_fn((9, 14), |(i, j)| (i + j) as f32)).unwrap();
    let mut files: Vec<_> =
        ["a.png", "a.jpg", "a.tiff"].iter().map(|name| fs::read(path(name)).unwrap()).collect();
    files.push(
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n\
          end_header\n1 2 3\n4 5 6\n"
            .to_vec(),
    );
    for compression in [Compression::Lzw, Compression::Deflate(Default::default())] {
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

#[test]
fn every_sample_is_read_whole_and_none_panics_at_any_length() {
    for bytes in samples() {
        assert!(read_as_everything(&bytes), "a sample of {} bytes is read", bytes.len());
        for length in 0..bytes.len() {
            read_as_everything(&bytes[..length]);
        }
    }
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
        which in 0usize..6,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_as_everything(&bytes);
    }

    #[test]
    fn garbage_behind_a_signature_never_panics(
        signature in prop::sample::select(vec![
            &b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", b"II+\0", b"ply\n", b"",
        ]),
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        read_as_everything(&[signature, &garbage].concat());
    }
}
