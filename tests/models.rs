//! Model files: what they hold, what changes them, what they refuse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Category, assay, exit_with, json_lines, root, stderr, stdout, succeed};

fn manifest(model: &Path) -> Value {
    json_lines(&succeed(assay().arg("show").arg(model).arg("--json"))).remove(0)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_model_says_what_it_was_made_of() {
    let (category, model) = Category::fitted();
    let text = stdout(&succeed(assay().arg("show").arg(model)));
    for expected in [
        "format 2",
        "rten",
        "7, small",
        "test bench",
        "colour: rgb/{id}.png (rgb)",
        "24 learned",
        "6 set the thresholds",
        "built-in backbone, 2.8 MB",
        "averaged over calibrations",
        "this station's own rate is at most",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let recipe = std::fs::read_to_string(category.path("recipe.toml")).unwrap();
    let shown = stdout(&succeed(assay().arg("show").arg(model).arg("--recipe")));
    assert_eq!(shown.trim(), recipe.trim());
    let scans = stdout(&succeed(assay().arg("show").arg(model).arg("--scans")));
    assert_eq!(scans.lines().filter(|l| l.starts_with("learned")).count(), 24);
    assert_eq!(scans.lines().filter(|l| l.starts_with("calibrated")).count(), 6);
    // The conformal rank of 6 parts at 20 %: the 6th; the 95 % bound of the highest of 6 in closed form.
    let image = &manifest(model)["calibration"]["image"];
    assert_eq!((image["parts"].as_u64(), image["rank"].as_u64()), (Some(6), Some(6)));
    assert!((number(&image["bound"]) - (1.0 - 0.05_f64.powf(1.0 / 6.0))).abs() < 1e-9, "{image}");
}

#[test]
fn the_resolved_recipe_of_a_model_says_what_defaults_were() {
    let (_, model) = Category::fitted();
    let resolved = stdout(&succeed(assay().arg("show").arg(model).arg("--resolved")));
    let table: toml::Table = resolved.parse().unwrap();
    assert_eq!(table["decide"]["folds"].as_integer(), Some(3), "{resolved}");
    assert_eq!(table["steps"]["geometry"]["max_bank"].as_integer(), Some(2000), "{resolved}");
    assert!(table["steps"]["geometry"].get("coreset").is_some(), "{resolved}");
}

#[test]
fn calibration_changes_thresholds_and_nothing_else() {
    let (category, model) = Category::fitted();
    let (tight, loose) = (category.path("tight.assay"), category.path("loose.assay"));
    let calibrate = |rate: &str, to: &Path| {
        let mut command = assay();
        command.arg("calibrate").arg(model).args(["--false-reject-rate", rate]).arg("-o").arg(to);
        command
    };
    let before = std::fs::read(model).unwrap();
    let text = stdout(&succeed(&mut calibrate("0.5", &loose)));
    assert!(text.contains("at most 50 %") && text.contains("95 % confidence"), "{text}");
    assert!(std::fs::read(model).unwrap() == before, "-o leaves the old model as it is");
    let message = stderr(&exit_with(&mut calibrate("0.05", &tight), 2));
    assert!(message.contains("takes 19 calibration scans, there are 6"), "{message}");
    assert!(!tight.exists());
    succeed(calibrate("0.05", &tight).args(["--on-too-few", "warn"]));

    let (old, new) = (manifest(model), manifest(&loose));
    let scores: Vec<f64> =
        old["calibration"]["scans"].as_array().unwrap().iter().map(|s| number(&s["score"])).collect();
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    // ceil(7 * 0.5) = 4th of 6; ceil(7 * 0.8) = 6th; too few: the highest.
    assert_eq!(number(&new["calibration"]["image"]["value"]), sorted[3]);
    assert_eq!(number(&old["calibration"]["image"]["value"]), sorted[5]);
    let tight = manifest(&tight);
    assert_eq!(number(&tight["calibration"]["image"]["value"]), sorted[5]);
    assert!((number(&tight["calibration"]["image"]["rate"]) - 1.0 / 7.0).abs() < 1e-12);
    for key in ["scales", "floor", "training", "plugins", "networks", "recipe_sha256"] {
        assert_eq!(old[key], new[key], "{key}");
    }

    // Back at the old rate the file is the old file, byte for byte.
    let again = category.path("again.assay");
    succeed(assay().arg("calibrate").arg(&loose).args(["--false-reject-rate", "0.2", "-o"]).arg(&again));
    assert!(std::fs::read(&again).unwrap() == before, "calibration is not reversible");
}

#[test]
fn calibration_on_scans_gives_the_scores_of_the_line_and_refuses_learned_ones() {
    let (category, model) = Category::fitted();
    let out = category.path("recalibrated.assay");
    let mut command = assay();
    command.arg("calibrate").arg(model).arg("-o").arg(&out).arg("--data");
    succeed(command.arg(category.scans().join("test/good")).args(["--false-reject-rate", "0.25"]));
    let calibration = &manifest(&out)["calibration"];
    let line = json_lines(&succeed(assay().arg("score").arg(model).arg(category.scans().join("test/good"))));
    let scans = calibration["scans"].as_array().unwrap();
    assert_eq!(scans.len(), 3);
    for (scan, line) in scans.iter().zip(&line) {
        assert_eq!((&scan["id"], &scan["score"]), (&line["id"], &line["score"]));
    }
    let mut command = assay();
    command.arg("calibrate").arg(model).arg("-o").arg(&out).arg("--data");
    let output = exit_with(command.arg(category.scans().join("train/good")), 2);
    assert!(stderr(&output).contains("24 of the 24 scans were learned"), "{}", stderr(&output));
    // The data set itself: its validation scans, so that nothing changes.
    let same = category.path("same.assay");
    succeed(assay().arg("calibrate").arg(model).arg("-o").arg(&same).arg("--data").arg(category.scans()));
    assert!(std::fs::read(&same).unwrap() == std::fs::read(model).unwrap());
}

#[test]
fn scans_between_the_thresholds_are_for_review() {
    let (category, model) = Category::fitted();
    let banded = category.path("banded.assay");
    let mut command = assay();
    command.arg("calibrate").arg(model).arg("-o").arg(&banded);
    succeed(command.args(["--false-reject-rate", "0.2", "--review", "0.85"]));
    let folder = category.scans().join("validation/good");
    let output = exit_with(assay().arg("score").arg(&banded).arg(folder), 1);
    let lines = json_lines(&output);
    // The thresholds are the 2nd and the 6th of these six scans' own scores.
    let count = |verdict: &str| lines.iter().filter(|l| l["verdict"] == verdict).count();
    assert_eq!((count("ok"), count("review"), count("ng")), (2, 4, 0), "{lines:?}");
    for line in &lines {
        let (score, review) = (number(&line["score"]), number(&line["review_threshold"]));
        assert_eq!(line["verdict"] == "review", score > review);
    }
    let mut command = assay();
    command.arg("calibrate").arg(&banded).args(["--review", "0.1"]);
    assert!(stderr(&exit_with(&mut command, 2)).contains("must be larger"));
    succeed(assay().arg("calibrate").arg(&banded).args(["--review", "none"]));
    assert!(manifest(&banded)["calibration"]["review"].is_null());
}

#[test]
fn too_few_calibration_scans_are_refused_before_anything_is_fitted() {
    let category = Category::small();
    let model = category.path("part.assay");
    let mut command = assay();
    command.arg("fit").arg(category.path("recipe.toml")).arg("--data").arg(category.scans());
    let output = exit_with(command.arg("-o").arg(&model).args(["--confidence", "0.95"]), 2);
    let message = stderr(&output);
    assert!(message.contains("20 % with 95 % confidence takes 14 calibration scans"), "{message}");
    assert!(message.contains("on_too_few"), "{message}");
    assert!(!model.exists());
}

#[test]
fn a_locked_model_refuses_another_build_of_its_plugins_and_an_open_one_warns_once() {
    let (category, model) = Category::fitted();
    let plugins = support::plugin_folder();
    let library = support::library("assay_padim");
    let copy = plugins.path().join(library.file_name().unwrap());
    let scan = category.scans().join("test/good/rgb/000.png");
    let score = |extra: &[&str]| {
        let mut command = assay();
        command.arg("score").arg(model).arg(&scan).arg("--plugin-path").arg(plugins.path()).args(extra);
        command
    };
    succeed(&mut score(&["--locked"]));
    // The same code with other bytes after its end: another build, for all that a hash can tell.
    let mut bytes = std::fs::read(&library).unwrap();
    bytes.extend_from_slice(b"another build");
    std::fs::write(&copy, bytes).unwrap();
    let output = exit_with(&mut score(&["--locked"]), 2);
    assert!(stderr(&output).contains("padim") && stderr(&output).contains("--locked"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
    let output = succeed(&mut score(&[]));
    assert_eq!(json_lines(&output).len(), 1);
}

#[test]
fn networks_that_are_left_out_are_found_beside_the_model_and_must_be_the_same() {
    let category = Category::small();
    let network = category.path("backbone.onnx");
    std::fs::copy(root().join("engine/inference/backbone/efficientnet-lite0.onnx"), &network).unwrap();
    let recipe = std::fs::read_to_string(category.path("recipe.toml")).unwrap();
    let recipe = recipe.replace("from = \"colour\",", "from = \"colour\", model = \"backbone.onnx\",");
    std::fs::write(category.path("recipe.toml"), recipe).unwrap();
    let (whole, external) =
        (category.fit("whole.assay", &[]), category.fit("external.assay", &["--external"]));
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&whole) > size(&external) + 2_000_000);
    let scan = category.scans().join("test/good/rgb/000.png");
    let score = |model: &Path| {
        let mut command = assay();
        command.arg("score").arg(model).arg(&scan);
        command
    };
    let (a, b) = (json_lines(&succeed(&mut score(&whole))), json_lines(&succeed(&mut score(&external))));
    assert_eq!((&a[0]["score"], &a[0]["steps"]), (&b[0]["score"], &b[0]["steps"]));
    std::fs::write(&network, b"another network").unwrap();
    let message = stderr(&exit_with(&mut score(&external), 2));
    assert!(message.contains("backbone.onnx") && message.contains("another"), "{message}");
    std::fs::remove_file(&network).unwrap();
    let message = stderr(&exit_with(&mut score(&external), 2));
    assert!(message.contains("backbone.onnx") && message.contains("SHA-256"), "{message}");
    succeed(&mut score(&whole));
}

#[test]
fn a_model_cut_or_flipped_anywhere_is_one_clear_error() {
    let (category, model) = Category::fitted();
    let bytes = std::fs::read(model).unwrap();
    let path = category.path("broken.assay");
    let step = bytes.len() / 12;
    for at in (0..bytes.len()).step_by(step) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        for broken in [&bytes[..at], &flipped] {
            std::fs::write(&path, broken).unwrap();
            let output = exit_with(assay().arg("show").arg(&path), 2);
            let message = stderr(&output);
            assert!(message.contains("broken.assay") && message.lines().count() == 1, "{message}");
            assert!(stdout(&output).is_empty());
        }
    }
}

#[test]
fn a_model_of_format_1_still_scores_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let spec = assay_synthetic::Spec {
        size: (64, 64),
        train: 8,
        validation: 4,
        test_good: 1,
        defects_per_kind: 1,
        seed: 9,
    };
    assay_synthetic::generate(&folder.path().join("part"), &spec).unwrap();
    let old = root().join("tests/fixtures/format1.assay");
    let scans = folder.path().join("part/test");
    // Written by the program of format 1 when it made the model.
    let expected = [
        ("bump/000", "ng", 2.061_774_492_263_794),
        ("dent/000", "ng", 2.130_088_567_733_764_6),
        ("good/000", "ok", 0.718_881_964_683_532_7),
        ("hole/000", "ok", 0.683_023_154_735_565_2),
        ("stain/000", "ok", 0.868_483_662_605_285_6),
    ];
    let output = exit_with(assay().arg("score").arg(&old).arg(&scans).args(["--runtime", "rten"]), 1);
    let lines = json_lines(&output);
    for (line, (id, verdict, score)) in lines.iter().zip(expected) {
        assert_eq!((line["id"].as_str(), line["verdict"].as_str()), (Some(id), Some(verdict)));
        assert!((number(&line["score"]) - score).abs() < 1e-6, "{line}");
        assert!((number(&line["threshold"]) - 1.958_965_659_141_540_5).abs() < 1e-12, "{line}");
    }
    assert_eq!(lines.len(), expected.len());
    assert!(stdout(&succeed(assay().arg("show").arg(&old))).contains("format 1"));
    // It kept no calibration scores: another rate takes the scans again, and then it is of the new format.
    let new = folder.path().join("new.assay");
    let mut command = assay();
    command
        .arg("calibrate")
        .arg(&old)
        .args(["--false-reject-rate", "0.5", "--runtime", "rten", "-o"])
        .arg(&new);
    let output = exit_with(&mut command, 2);
    assert!(stderr(&output).contains("--data"), "{}", stderr(&output));
    succeed(command.arg("--data").arg(folder.path().join("part")));
    let output = succeed(assay().arg("show").arg(&new));
    assert!(stdout(&output).contains("format 2"), "{}", stdout(&output));
}
