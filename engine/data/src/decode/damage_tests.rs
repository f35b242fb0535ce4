//! Damaged files: whatever the bytes, each decoder answers; none panics.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::shared_scans;
use ::tiff::encoder::{Compression, TiffEncoder, colortype::RGB32Float};

const SMALL: Limits = Limits { max_pixels: 1 << 20, max_file_bytes: 1 << 24, max_points: 1 << 16 };

/// Every decoder on one file; whether any of them read it.
fn read_as_everything(path: &Path) -> bool {
    let read = [
        image(path, &SMALL).is_ok(),
        gray(path, &SMALL).is_ok(),
        xyz(path, 1.0, &SMALL).is_ok(),
        depth(path, 1.0, &SMALL).is_ok(),
        mask(path, &SMALL).is_ok(),
        map(path, &SMALL).is_ok(),
        points(path, 1.0, &SMALL).is_ok(),
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
    let file = tempfile::NamedTempFile::new().unwrap();
    for bytes in samples() {
        fs::write(file.path(), &bytes).unwrap();
        assert!(read_as_everything(file.path()), "a sample of {} bytes is read", bytes.len());
        for length in 0..bytes.len() {
            fs::write(file.path(), &bytes[..length]).unwrap();
            read_as_everything(file.path());
        }
    }
}

#[test]
fn real_scans_cut_anywhere_are_refused() {
    let Some(category) = shared_scans::cable_gland() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    for name in ["train/good/rgb/000.png", "train/good/xyz/000.tiff", "test/bent/gt/000.png"] {
        let bytes = fs::read(category.join(name)).unwrap();
        for step in 0..40 {
            fs::write(file.path(), &bytes[..bytes.len() * step / 40]).unwrap();
            assert!(!read_as_everything(file.path()), "{name} cut to {step} / 40");
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
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        read_as_everything(file.path());
    }

    #[test]
    fn garbage_behind_a_signature_never_panics(
        signature in prop::sample::select(vec![
            &b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", b"II+\0", b"ply\n", b"",
        ]),
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [signature, &garbage].concat()).unwrap();
        read_as_everything(file.path());
    }
}
