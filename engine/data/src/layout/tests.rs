//! Data sets made of empty files, and the shared ones.

use std::fs;
use std::path::Path;

use super::*;
use crate::{SensorKind, shared_scans};

fn sensor(name: &str, pattern: &str) -> Sensor {
    let kind = if name == "height" { SensorKind::Xyz } else { SensorKind::Rgb };
    Sensor::new(name, pattern, kind)
}

fn both() -> [Sensor; 2] {
    [sensor("colour", "rgb/{id}.png"), sensor("height", "xyz/{id}.tiff")]
}

/// A folder with these empty files.
fn tree(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    root
}

fn ids(scans: &[ScanFiles]) -> Vec<&str> {
    scans.iter().map(|scan| scan.id.as_str()).collect()
}

const MVTEC3D: &[&str] = &[
    "train/good/rgb/10.png",
    "train/good/xyz/10.tiff",
    "train/good/rgb/9.png",
    "train/good/xyz/9.tiff",
    "validation/good/rgb/0.png",
    "validation/good/xyz/0.tiff",
    "test/bent/rgb/003.png",
    "test/bent/xyz/003.tiff",
    "test/bent/gt/003.png",
    "test/good/rgb/003.png",
    "test/good/xyz/003.tiff",
    "test/good/gt/003.png",
];

const MVTEC_AD: &[&str] =
    &["train/good/a.png", "test/good/a.png", "test/crack/b.png", "ground_truth/crack/b_mask.png"];

#[test]
fn mvtec_3d_ad_is_found_by_looking() {
    let root = tree(MVTEC3D);
    let data = Dataset::find(root.path(), None, &both()).unwrap();
    assert_eq!(data.layout, Layout::Mvtec3d);
    assert_eq!(ids(&data.train), ["train/good/9", "train/good/10"]);
    assert_eq!(ids(&data.validation), ["validation/good/0"]);
    assert_eq!(ids(&data.test), ["test/bent/003", "test/good/003"]);
    assert_eq!(data.test[0].defect.as_deref(), Some("bent"));
    assert_eq!(data.test[1].defect, None);
    assert!(data.test.iter().all(|scan| scan.mask.is_some()));
    assert_eq!(data.train[0].files[1], ("height".into(), root.path().join("train/good/xyz/9.tiff")));
}

#[test]
fn mvtec_ad_is_found_by_looking() {
    let root = tree(MVTEC_AD);
    let data = Dataset::find(root.path(), None, &[sensor("colour", "{id}.*")]).unwrap();
    assert_eq!((data.layout, data.validation.len()), (Layout::MvtecAd, 0));
    assert_eq!(ids(&data.test), ["test/crack/b", "test/good/a"]);
    assert_eq!(data.test[0].mask, Some(root.path().join("ground_truth/crack/b_mask.png")));
    assert_eq!(data.test[1].mask, None);
}

#[test]
fn a_plain_folder_is_all_for_training() {
    let root = tree(&["rgb/b.png", "xyz/b.tiff", "rgb/a.png", "xyz/a.tiff", "notes.txt"]);
    let data = Dataset::find(root.path(), None, &both()).unwrap();
    assert_eq!((data.layout, ids(&data.train)), (Layout::Plain, vec!["a", "b"]));
    assert!(data.validation.is_empty() && data.test.is_empty());
}

#[test]
fn a_file_belongs_to_its_most_specific_pattern() {
    let root = tree(&["1.png", "1_side.png", "2.png", "2_side.png"]);
    let sensors = [sensor("top", "{id}.*"), sensor("side", "{id}_side.png")];
    let data = Dataset::find(root.path(), None, &sensors).unwrap();
    assert_eq!(ids(&data.train), ["1", "2"]);
    assert_eq!(ids(&scans_under(&root.path().join("2_side.png"), &sensors).unwrap()), ["2"]);
}

#[test]
fn one_file_may_serve_two_sensors() {
    let root = tree(&["1.png"]);
    let data = Dataset::find(root.path(), None, &[sensor("a", "{id}.png"), sensor("b", "{id}.png")]).unwrap();
    assert_eq!(data.train[0].files[0].1, data.train[0].files[1].1);
}

#[test]
fn what_is_missing_is_named() {
    let message = |files: &[&str], named, sensors: &[Sensor]| {
        Dataset::find(tree(files).path(), named, sensors).unwrap_err().to_string()
    };
    let none = message(&["readme.txt"], None, &both());
    assert!(none.contains("no scans in") && none.contains("`rgb/{id}.png`, `xyz/{id}.tiff`"), "{none}");
    let wrong = message(&["rgb/1.png", "xyz/1.tiff"], Some(Layout::Mvtec3d), &both());
    assert!(wrong.contains("not a `mvtec3d` data set") && wrong.contains("train/good"), "{wrong}");
    let outer = message(&["bagel/train/good/rgb/1.png", "rope/train/good/rgb/1.png"], None, &both());
    assert!(outer.contains("name one of them: bagel, rope"), "{outer}");
    let twice = message(&["1.png"], None, &[sensor("a", "{id}.png"), sensor("a", "x{id}.png")]);
    assert!(twice.contains("`a`: the name is used twice"), "{twice}");
    let absent = Dataset::find(Path::new("absent"), None, &both()).unwrap_err();
    assert!(matches!(absent, DataError::NoFolder { .. }), "{absent}");
}

#[test]
fn a_scan_that_is_not_complete_is_found_and_says_what_it_lacks() {
    let bent = ["test/bent/rgb/4.png", "test/bent/xyz/4.tif", "test/bent/xyz/4.tiff", "test/bent/xyz/5.tiff"];
    let root = tree(&[MVTEC3D, &bent].concat());
    let sensors = [sensor("colour", "rgb/{id}.png"), sensor("height", "xyz/{id}.*")];
    let data = Dataset::find(root.path(), None, &sensors).unwrap();
    assert_eq!(ids(&data.test), ["test/bent/003", "test/bent/4", "test/bent/5", "test/good/003"]);
    let message =
        |scan: usize, sensor: usize| data.test[scan].file_of(&sensors[sensor]).unwrap_err().to_string();
    let gap = message(2, 0);
    assert!(gap.contains("`test/bent/5` has no `colour` file") && gap.contains("rgb/5.png"), "{gap}");
    let double = message(1, 1);
    assert!(double.contains("4.tif and") && double.contains("4.tiff are both the `height` file"), "{double}");
    assert_eq!(data.test[1].mask, Some(root.path().join("test/bent/gt/4.png")), "its mask is missing too");
    assert_eq!(ids(&scans_under(&root.path().join("test/bent"), &sensors).unwrap()), ["003", "4", "5"]);
}

#[test]
fn a_path_means_a_scan_a_folder_of_scans_or_a_data_set() {
    let root = tree(MVTEC3D);
    let under = |path: &str| scans_under(&root.path().join(path), &both());
    assert_eq!(ids(&under("test/bent/xyz/003.tiff").unwrap()), ["003"]);
    assert_eq!(ids(&under("train/good").unwrap()), ["9", "10"]);
    assert_eq!(ids(&under("").unwrap()), ["test/bent/003", "test/good/003"]);
    assert_eq!(ids(&under("test").unwrap()), ["bent/003", "good/003"]);
    assert!(matches!(under("test/bent/gt/003.png"), Err(DataError::NoScans { .. })));
    assert!(matches!(under("test/bent/gt"), Err(DataError::NoScans { .. })));
    assert!(matches!(under("absent"), Err(DataError::NoFolder { .. })));
}

#[test]
fn a_file_finds_its_scan_however_the_extension_is_spelled() {
    let root = tree(&["a.png", "a_h.tif", "b.PNG", "b_h.TIFF", "c.png", "c.jpg", "c_h.tif", "d_h.tif"]);
    let sensors = [sensor("colour", "{id}.*"), sensor("height", "{id}_h.*")];
    let scan = |file: &str| scan_of(&root.path().join(file), &sensors);
    for (file, id, other) in [("a.png", "a", "a_h.tif"), ("b_h.TIFF", "b", "b_h.TIFF")] {
        let scan = scan(file).unwrap();
        assert_eq!((scan.id.as_str(), &scan.files[1].1), (id, &root.path().join(other)));
    }
    let colour = |file: &str| scan(file).unwrap().file_of(&sensors[0]).map(drop);
    assert!(matches!(colour("c_h.tif"), Err(DataError::Ambiguous { .. })));
    assert!(matches!(colour("d_h.tif"), Err(DataError::MissingFile { id, .. }) if id == "d"));
    assert_eq!(id_of(Path::new("absent/e_h.tif"), &sensors[1..]).unwrap().as_deref(), Some("e"));
    assert_eq!(id_of(Path::new("e.ply"), &sensors).unwrap(), None);
}

#[test]
fn scans_that_are_not_complete_are_present_too() {
    let root = tree(&["rgb/10.png", "rgb/9.png", "xyz/9.tiff", "xyz/11.tiff", "rgb/8.png"]);
    let present = scans_present(root.path(), &both(), &|id| id == "8").unwrap();
    let counts: Vec<_> =
        present.iter().map(|s| (s.id.as_str(), s.files[0].1.len(), s.files[1].1.len())).collect();
    assert_eq!(counts, [("9", 1, 1), ("10", 1, 0), ("11", 0, 1)]);
    let absent = scans_present(&root.path().join("absent"), &both(), &|_| false);
    assert!(matches!(absent, Err(DataError::NoFolder { .. })));
}

#[test]
fn maps_pair_with_masks_from_either_folder_level() {
    let data = tree(
        &MVTEC3D
            .iter()
            .map(|file| format!("rope/{file}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let maps = tree(&["rope/test/bent/003.tiff", "rope/test/good/003.tif"]);
    let all = maps_with_masks(maps.path(), data.path()).unwrap();
    assert_eq!((all.len(), all[0].object.as_str()), (1, "rope"));
    assert_eq!(all[0].pairs.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["bent/003", "good/003"]);
    assert_eq!(all[0].pairs[0].mask, Some(data.path().join("rope/test/bent/gt/003.png")));
    for (maps, data) in [
        (maps.path().join("rope"), data.path().join("rope")),
        (maps.path().join("rope"), data.path().to_path_buf()),
        (maps.path().to_path_buf(), data.path().join("rope")),
    ] {
        assert_eq!(maps_with_masks(&maps, &data).unwrap(), all);
    }
}

#[test]
fn maps_of_a_2d_set_have_no_masks_for_good_scans() {
    let (data, maps) = (tree(MVTEC_AD), tree(&["test/crack/b.tiff", "test/good/a.tiff"]));
    let all = maps_with_masks(maps.path(), data.path()).unwrap();
    assert_eq!(all[0].pairs[0].mask, Some(data.path().join("ground_truth/crack/b_mask.png")));
    assert_eq!(all[0].pairs[1].mask, None);
}

#[test]
fn maps_and_test_scans_must_match_one_to_one() {
    let data = tree(MVTEC3D);
    let message = |files: &[&str]| maps_with_masks(tree(files).path(), data.path()).unwrap_err().to_string();
    let lacking = message(&["test/bent/003.tiff"]);
    assert!(lacking.contains("test/good/003` has no `map` file"), "{lacking}");
    let spare = message(&["test/bent/003.tiff", "test/bent/004.tiff", "test/good/003.tiff"]);
    assert!(spare.contains("test/bent/004` has no `test` file"), "{spare}");
    let other = message(&["test/bent/003.tiff", "test/hole/004.tiff", "test/good/003.tiff"]);
    assert!(other.contains("test/hole/004` has no `test` file"), "{other}");
}

#[test]
fn the_shared_data_sets_have_their_counts() {
    let Some(data) = shared_scans::folder() else { return };
    let count = |folder: &str, sensors: &[Sensor]| {
        let data = Dataset::find(&data.join(folder), None, sensors).unwrap();
        let masks = data.test.iter().filter(|scan| scan.mask.is_some()).count();
        (data.layout, data.train.len(), data.validation.len(), data.test.len(), masks)
    };
    let colour = [sensor("colour", "{id}.*")];
    assert_eq!(count("mvtec3d/cable_gland", &both()), (Layout::Mvtec3d, 72, 12, 27, 27));
    assert_eq!(count("mvtec/kolektor_commutator", &colour), (Layout::MvtecAd, 60, 0, 55, 25));
    assert_eq!(count("mvtec/deeppcb", &colour), (Layout::MvtecAd, 150, 0, 160, 100));
}
