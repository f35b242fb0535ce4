//! A defect of a few pixels on a scan much larger than a tile is found through tiles.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;
use support::{assay, exit_with, json_lines, root, stderr, succeed};

const ROWS: u32 = 150;
const COLUMNS: u32 = 430;

/// A grey scan as a BMP: brushed metal whose grain differs from scan to scan, and a dark spot of 6 x 6 pixels at (x, y).
fn write_scan(path: &Path, seed: u32, defect: Option<(u32, u32)>) {
    let stride = (COLUMNS * 3).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    for number in [54 + stride * ROWS, 0, 54, 40, COLUMNS, ROWS] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    // Rows of a BMP go from bottom to top.
    for y in (0..ROWS).rev() {
        let start = bytes.len();
        for x in 0..COLUMNS {
            let hash =
                (x ^ y.wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35);
            let brushed = ((y * 5 % 17) * 3 + (x / 9 + y) % 5 * 4) as u8;
            let spot = defect.is_some_and(|(dx, dy)| (dx..dx + 6).contains(&x) && (dy..dy + 6).contains(&y));
            let grey = if spot { 20 } else { 110 + brushed + (hash >> 28) as u8 };
            bytes.extend([grey; 3]);
        }
        bytes.resize(start + stride as usize, 0);
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The recipe for high resolution with tiles that suit the small scans.
fn recipe() -> String {
    let text = std::fs::read_to_string(root().join("configs/mvtec-highres.toml")).unwrap();
    let changed = text.replace("tile = 320", "tile = 96");
    assert_ne!(changed, text);
    changed
}

#[test]
fn a_small_defect_on_a_large_scan_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for seed in 0..24 {
        write_scan(&path(&format!("part/train/good/{seed:03}.bmp")), seed, None);
    }
    // In a tile, where tiles overlap, at the scan's end.
    let defects = [(40, 30), (150, 80), (422, 140)];
    for (at, defect) in defects.into_iter().enumerate() {
        write_scan(&path(&format!("part/test/spot/{at:03}.bmp")), 200 + at as u32, Some(defect));
        write_scan(&path(&format!("part/test/good/{at:03}.bmp")), 300 + at as u32, None);
    }
    std::fs::write(path("recipe.toml"), recipe()).unwrap();
    let fit = |model: &str, threads: &str| {
        let mut fit = assay();
        fit.arg("fit").arg(path("recipe.toml")).arg("--data").arg(path("part")).arg("-o").arg(path(model));
        succeed(fit.args(["--runtime", "rten", "--on-too-few", "warn", "--threads", threads]));
        std::fs::read(path(model)).unwrap()
    };
    assert!(fit("part.assay", "2") == fit("one.assay", "1"), "models differ by the count of threads");
    let score = |scans: &str| {
        let mut score = assay();
        score.arg("score").arg(path("part.assay")).arg(path("part/test").join(scans));
        json_lines(&score.args(["--runtime", "rten"]).output().unwrap())
    };
    // What so few calibration scans promise of the verdicts is little: the scores are compared.
    let good = score("good");
    assert_eq!(good.len(), defects.len());
    let good = good.iter().map(|l| l["score"].as_f64().unwrap()).fold(f64::MIN, f64::max);
    let found = score("spot");
    assert_eq!(found.len(), defects.len());
    for (line, (x, y)) in found.iter().zip(defects) {
        assert!(line["score"].as_f64().unwrap() > 2.0 * good, "{good} {line}");
        let region = &line["defects"][0];
        let number = |key: &str, i: usize| region[key][i].as_f64().unwrap();
        // The spot's surroundings rise with it; at the scan's end they lie to one side of it.
        for (axis, (at, size)) in [(x, COLUMNS), (y, ROWS)].into_iter().enumerate() {
            let (centre, start, length) = (f64::from(at + 3), number("bbox", axis), number("bbox", axis + 2));
            let inside = start > 0.0 && start + length < f64::from(size);
            let off = (number("centroid", axis) - centre).abs();
            assert!((start..start + length).contains(&centre) && (off < 8.0 || !inside), "{line}");
        }
    }
}

#[test]
fn tiles_that_do_not_fit_are_errors_at_the_recipes_key() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..24 {
        write_scan(&folder.path().join(format!("part/train/good/{seed:03}.bmp")), seed, None);
    }
    let path = folder.path().join("recipe.toml");
    for (from, to, key) in [
        ("overlap = 32", "overlap = 64", "steps.look.overlap"),
        ("tile = 96", "tile = 100", "steps.look.tile"),
        ("overlap = 32", "overlap = 24", "steps.look.overlap"),
        ("size = []", "size = 150", "steps.look.size"),
    ] {
        std::fs::write(&path, recipe().replace(from, to)).unwrap();
        let mut fit = assay();
        fit.arg("fit").arg(&path).arg("--data").arg(folder.path().join("part"));
        fit.arg("-o").arg(folder.path().join("part.assay"));
        let text = stderr(&exit_with(fit.args(["--runtime", "rten", "--on-too-few", "warn"]), 2));
        assert!(text.contains(key) && text.contains("recipe.toml:"), "{text}");
    }
}
