//! What `generate` leaves on disk.

#![allow(clippy::unwrap_used)] // the helpers are test code too

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use assay_synthetic::{DefectKind, Spec, SyntheticError, generate};

fn small() -> Spec {
    Spec { size: (72, 96), train: 2, validation: 1, test_good: 1, defects_per_kind: 1, seed: 11 }
}

/// Every file under `dir` by its path, with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn generated(spec: &Spec) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), spec).unwrap();
    files(dir.path())
}

#[test]
fn the_layout_is_that_of_mvtec_3d_ad() {
    let files = generated(&small());
    for scan in
        ["train/good", "validation/good", "test/good", "test/dent", "test/bump", "test/stain", "test/hole"]
    {
        assert!(files.contains_key(&format!("{scan}/rgb/000.png")), "{scan}");
        assert!(files.contains_key(&format!("{scan}/xyz/000.tiff")), "{scan}");
        assert_eq!(files.contains_key(&format!("{scan}/gt/000.png")), scan.starts_with("test"), "{scan}");
    }
    assert_eq!(files.len(), 3 * 2 + 5 * 3);
}

#[test]
fn equal_specs_give_equal_bytes_and_another_seed_others() {
    let first = generated(&small());
    assert!(first == generated(&small()));
    assert!(first != generated(&Spec { seed: 12, ..small() }));
}

#[test]
fn a_scan_does_not_depend_on_how_many_others_there_are() {
    let (few, many) = (generated(&small()), generated(&Spec { train: 4, defects_per_kind: 2, ..small() }));
    assert!(few.iter().all(|(name, bytes)| many[name] == *bytes));
}

#[test]
fn files_hold_what_the_summary_says() {
    let dir = tempfile::tempdir().unwrap();
    let summary = generate(dir.path(), &small()).unwrap();
    assert_eq!((summary.train, summary.validation, summary.test_good), (2, 1, 1));
    assert_eq!(summary.defects.iter().map(|d| d.kind).collect::<Vec<_>>(), DefectKind::ALL);
    for defect in &summary.defects {
        let folder = dir.path().join("test").join(defect.kind.name());
        let truth = image::open(folder.join("gt/000.png")).unwrap().into_luma8();
        assert_eq!((truth.width(), truth.height()), (96, 72));
        assert_eq!(truth.iter().filter(|&&v| v == defect.kind.class_id()).count(), defect.pixels);
        assert!(truth.iter().all(|&v| v == 0 || v == defect.kind.class_id()) && defect.pixels > 0);
    }
    let truth = image::open(dir.path().join("test/good/gt/000.png")).unwrap().into_luma8();
    assert!(truth.iter().all(|&v| v == 0));

    let file = fs::File::open(dir.path().join("train/good/xyz/001.tiff")).unwrap();
    let mut decoder = tiff::decoder::Decoder::new(std::io::BufReader::new(file)).unwrap();
    assert_eq!(decoder.dimensions().unwrap(), (96, 72));
    let tiff::decoder::DecodingResult::F32(points) = decoder.read_image().unwrap() else { panic!("not f32") };
    assert_eq!(points.len(), 72 * 96 * 3);
    assert!(points.iter().all(|v| v.is_finite()));
    let missing = points.chunks_exact(3).filter(|p| **p == [0.0; 3]).count();
    assert!(missing > 72 * 96 / 50 && missing < 72 * 96 / 3, "{missing}");
}

#[test]
fn a_spec_out_of_range_or_a_full_folder_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let refuse = |spec: Spec| generate(dir.path(), &spec).unwrap_err();
    assert!(matches!(refuse(Spec { size: (10, 256), ..small() }), SyntheticError::Size { rows: 10, .. }));
    assert!(matches!(refuse(Spec { size: (256, 1 << 20), ..small() }), SyntheticError::Size { .. }));
    assert!(matches!(refuse(Spec { train: 1001, ..small() }), SyntheticError::Count { field: "train", .. }));
    assert!(files(dir.path()).is_empty());
    fs::write(dir.path().join("mine.txt"), "keep").unwrap();
    assert!(matches!(refuse(small()), SyntheticError::NotEmpty(_)));
    assert_eq!(files(dir.path()).len(), 1);
}
