//! Names as cameras and people give them.

use super::*;
use crate::layout::natural::natural;

/// The sensors' patterns, the number of ids and of loose files.
fn named(mut files: Vec<String>) -> (Vec<String>, usize, usize) {
    files.sort_by(|a, b| natural(a, b));
    let naming = of(&files).expect("the files join to scans");
    (naming.sensors.into_iter().map(|s| s.pattern).collect(), naming.ids, naming.loose.len())
}

fn check(files: Vec<String>, patterns: &[&str], ids: usize) {
    assert_eq!(named(files), (patterns.iter().map(|p| p.to_string()).collect(), ids, 0));
}

/// `make` for the numbers 1 to `n`, each as it is and with leading zeros.
fn scans<const K: usize>(n: usize, make: impl Fn(&str) -> [String; K]) -> Vec<String> {
    (1..=n).flat_map(|k| make(&format!("{k:03}"))).collect()
}

#[test]
fn one_folder_a_sensor() {
    check(
        scans(20, |k| [format!("rgb/{k}.png"), format!("xyz/{k}.tiff")]),
        &["rgb/{id}.png", "xyz/{id}.tiff"],
        20,
    );
    let deep = scans(9, |k| [format!("top/cam a/{k}.JPG"), format!("top/laser/{k}.tif")]);
    check(deep, &["top/cam a/{id}.JPG", "top/laser/{id}.tif"], 9);
}

#[test]
fn the_sensor_is_in_the_name_too() {
    let files = scans(5, |k| [format!("rgb/part_{k}_rgb.png"), format!("xyz/part_{k}_xyz.tiff")]);
    check(files, &["rgb/part_{id}_rgb.png", "xyz/part_{id}_xyz.tiff"], 5);
}

#[test]
fn files_of_one_scan_lie_side_by_side() {
    let files = scans(12, |k| [format!("{k}_rgb.png"), format!("{k}_xyz.tiff"), format!("{k}_ir.png")]);
    check(files, &["{id}_ir.png", "{id}_rgb.png", "{id}_xyz.tiff"], 12);
    check(scans(6, |k| [format!("{k}.png"), format!("{k}.tiff")]), &["{id}.png", "{id}.tiff"], 6);
    check(
        scans(6, |k| [format!("{k}left.jpg"), format!("{k}right.jpg")]),
        &["{id}left.jpg", "{id}right.jpg"],
        6,
    );
}

#[test]
fn cameras_are_numbered() {
    check(
        scans(9, |k| [format!("cam0_{k}.png"), format!("cam1_{k}.png")]),
        &["cam0_{id}.png", "cam1_{id}.png"],
        9,
    );
    check(scans(9, |k| [format!("L{k}.png"), format!("R{k}.png")]), &["L{id}.png", "R{id}.png"], 9);
    check(
        scans(9, |k| [format!("{k}_1.png"), format!("{k}_2.png"), format!("{k}_3.png")]),
        &["{id}_1.png", "{id}_2.png", "{id}_3.png"],
        9,
    );
}

#[test]
fn scans_with_many_images_and_other_files() {
    let files = scans(30, |k| {
        [
            format!("{k}_image_0.png"),
            format!("{k}_image_1.png"),
            format!("{k}_depth.png"),
            format!("{k}_pc.ply"),
        ]
    });
    check(files, &["{id}_depth.png", "{id}_image_0.png", "{id}_image_1.png", "{id}_pc.ply"], 30);
}

#[test]
fn one_folder_a_scan() {
    let files = scans(15, |k| [format!("scan_{k}/rgb.png"), format!("scan_{k}/height.tiff")]);
    check(files, &["{id}/height.tiff", "{id}/rgb.png"], 15);
    let files = scans(3, |k| [format!("all/{k}/cam0/image.png"), format!("all/{k}/cam1/image.png")]);
    check(files, &["all/{id}/cam0/image.png", "all/{id}/cam1/image.png"], 3);
}

#[test]
fn a_folder_of_pictures_is_one_sensor_whatever_their_names() {
    check(scans(9, |k| [format!("{k}.png")]), &["{id}.png"], 9);
    check(scans(9, |k| [format!("IMG_2024_{k}.jpg")]), &["{id}.jpg"], 9);
    check(
        ["kos01_Part0", "kos01_Part2", "kos02_Part1", "kos03_Part0"].map(|n| format!("{n}.jpg")).into(),
        &["{id}.jpg"],
        4,
    );
    check(["a", "b c", "d-e-f"].map(|n| format!("{n}.png")).into(), &["{id}.png"], 3);
    check(vec!["only.png".into()], &["{id}.png"], 1);
}

#[test]
fn lots_and_years_are_no_sensors() {
    let lots = (0..24).map(|k| format!("lot{}_{:02}.png", 1000 + k / 12, k % 12)).collect();
    check(lots, &["{id}.png"], 24);
}

#[test]
fn extensions_may_differ_within_a_sensor() {
    check(vec!["1.png".into(), "2.jpg".into(), "3.PNG".into()], &["{id}.*"], 3);
}

#[test]
fn a_file_that_belongs_to_no_sensor_is_loose() {
    let mut files = scans(20, |k| [format!("rgb/{k}.png"), format!("xyz/{k}.tiff")]);
    files.extend(["preview/a.png".to_owned(), "preview/b.png".to_owned()]);
    assert_eq!(named(files), (vec!["rgb/{id}.png".into(), "xyz/{id}.tiff".into()], 20, 2));
}

#[test]
fn a_scan_without_one_of_its_files_does_not_hide_the_sensor() {
    let mut files = scans(20, |k| [format!("rgb/{k}.png"), format!("xyz/{k}.tiff")]);
    files.retain(|f| f != "xyz/007.tiff");
    let (patterns, _, loose) = named(files);
    assert_eq!((patterns, loose), (vec!["rgb/{id}.png".into(), "xyz/{id}.tiff".into()], 0));
}

#[test]
fn folders_that_have_nothing_in_common_do_not_join() {
    let files: Vec<String> = (0..40).map(|k| format!("{}/{k}/{k}.png", k % 20)).collect();
    assert!(of(&files).is_none_or(|naming| naming.loose.len() > 20));
}
