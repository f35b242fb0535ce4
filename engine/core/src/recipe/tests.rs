//! The list of keys, and what reading a recipe makes of them.

use super::keys::{self, AnyKey, KEYS};
use super::{OnTooFew, Recipe, Statistic};
use crate::error::Error;
use crate::threshold::Budget;
use std::collections::HashSet;

#[test]
fn each_path_stands_once_and_below_a_table_of_the_list() {
    let paths: HashSet<&str> = KEYS.iter().map(|k| k.path()).collect();
    assert_eq!(paths.len(), KEYS.len());
    for key in KEYS {
        assert!(key.parent().is_empty() || paths.contains(key.parent()), "{}", key.path());
    }
}

#[test]
fn words_are_those_that_the_types_print() {
    for (word, kind) in keys::SENSOR_KIND.takes.0.0 {
        assert_eq!(*word, kind.to_string());
    }
    for (word, unit) in keys::SENSOR_UNIT.takes.0 {
        assert_eq!(*word, unit.to_string());
    }
    for (word, runtime) in keys::ENGINE_RUNTIME.takes.0 {
        assert_eq!(*word, runtime.to_string());
    }
}

/// The smallest recipe with an example put where its key belongs.
fn with(key: &dyn AnyKey) -> String {
    const SENSORS: &str = "[sensors]\ncolour = \"rgb/{id}.png\"\nrange = \"range/{id}.tiff\"\n";
    const STEPS: &str = "[steps]\nlook = { method = \"onnx\", from = \"colour\" }\n";
    let example = key.example();
    match key.parent() {
        "" if key.name() == "sensors" => format!("{example}\n{STEPS}"),
        "" if key.name() == "steps" => format!("{example}\n{SENSORS}"),
        "" => format!("{example}\n{SENSORS}{STEPS}"),
        "sensors" => format!("{SENSORS}{example}\n{STEPS}"),
        "sensors.<name>" if key.name() == "files" => format!("[sensors.colour]\n{example}\n{STEPS}"),
        "sensors.<name>.camera" => {
            const NUMBERS: [&str; 4] = ["fx = 1.0", "fy = 1.0", "cx = 0.0", "cy = 0.0"];
            let others = NUMBERS.into_iter().filter(|k| !k.starts_with(&format!("{} ", key.name())));
            let numbers = others.collect::<Vec<_>>().join("\n");
            format!(
                "[sensors.colour]\nfiles = \"rgb/{{id}}.png\"\n[sensors.colour.camera]\n{numbers}\n{example}\n{STEPS}"
            )
        }
        "sensors.<name>" => format!("[sensors.colour]\nfiles = \"rgb/{{id}}.*\"\n{example}\n{STEPS}"),
        "steps" => format!("{SENSORS}{STEPS}{example}\n"),
        "steps.<name>" => {
            let keys = ["method = \"onnx\"", "from = \"colour\""];
            let others: Vec<&str> =
                keys.into_iter().filter(|k| !k.starts_with(&format!("{} ", key.name()))).collect();
            format!("{SENSORS}[steps.look]\n{}\n{example}\n", others.join("\n"))
        }
        parent => format!("{SENSORS}{STEPS}[{parent}]\n{example}\n"),
    }
}

#[test]
fn each_example_is_read() {
    // A calibration file is read beside a recipe's file: a test of its own.
    for key in KEYS.iter().filter(|k| k.path() != keys::CAMERA_FILE.path) {
        let text = with(*key);
        assert!(key.example().contains(key.name()) || key.name() == "<name>", "{}", key.path());
        Recipe::parse("example.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
}

const SMALLEST: &str =
    "[sensors]\ncolour = \"rgb/{id}.png\"\n[steps]\nfound = { method = \"onnx-map\", from = \"colour\" }\n";

fn decide(keys: &str) -> Result<super::Decide, Error> {
    Recipe::parse("r.toml", &format!("{SMALLEST}[decide]\n{keys}\n")).map(|r| r.decide)
}

#[test]
fn a_recipe_that_says_nothing_has_the_listed_defaults() {
    let recipe = Recipe::parse("r.toml", SMALLEST).unwrap();
    assert_eq!(recipe.prepare.plane, assay_data::prepare::Background::default());
    assert_eq!((recipe.prepare.margin, recipe.prepare.rotations), (0.05, 1));
    assert_eq!(recipe.map.sigma, 4.0 / 224.0);
    let decide = recipe.decide;
    assert_eq!((decide.false_reject_rate, decide.folds, decide.score), (0.05, 3, Statistic::Map));
    assert_eq!((decide.confidence, decide.on_too_few, decide.review), (None, OnTooFew::Error, None));
}

#[test]
fn the_keys_of_a_verdict_are_read_and_kept_in_their_ranges() {
    let read = decide("confidence = 0.95\non_too_few = \"warn\"\nreview = 0.2").unwrap();
    assert_eq!((read.confidence, read.on_too_few, read.review), (Some(0.95), OnTooFew::Warn, Some(0.2)));
    for (wrong, line, says) in [
        ("confidence = 0.4", 6, "0.4 is outside 0.5 ..= 0.999999"),
        ("confidence = 1", 6, "1 is outside"),
        ("on_too_few = \"warning\"", 6, "did you mean `warn`?"),
        ("\nreview = 0.05", 7, "0.05 is not greater than false_reject_rate, which is 0.05"),
        ("review = 0.95", 6, "0.95 is outside"),
        ("folds = 2.0", 6, "expected an integer, found a number"),
        ("confidense = 0.9", 6, "did you mean `confidence`?"),
    ] {
        let error = decide(wrong).unwrap_err().to_string();
        assert!(error.starts_with(&format!("r.toml:{line}: decide.")) && error.contains(says), "{error}");
    }
}

#[test]
fn a_rate_says_how_many_calibration_scans_it_takes() {
    for (keys, n) in [
        ("", 19),
        ("false_reject_rate = 0.01", 99),
        ("false_reject_rate = 0.07", 14),
        ("false_reject_rate = 0.5", 1),
        ("confidence = 0.95", 59),
        ("false_reject_rate = 0.01\nconfidence = 0.95", 299),
        ("false_reject_rate = 0.5\nconfidence = 0.5", 1),
    ] {
        assert_eq!(Budget::from(decide(keys).unwrap()).parts_needed(), n, "{keys}");
    }
}

#[test]
fn a_table_inside_a_list_of_inputs_is_an_error_at_its_line() {
    let text = SMALLEST.replace("from = \"colour\"", "from = { image = [\"colour\", 3] }");
    let error = Recipe::parse("r.toml", &text).unwrap_err().to_string();
    assert!(error.starts_with("r.toml:4: steps.found.from: expected a name"), "{error}");
}

const CAMERA: &str = r#"{"camera_type": "area_scan_division", "focus": 0.01, "kappa": -2000.0, "sx": 4e-6, "sy": 4e-6,
    "cx": 54.0, "cy": 196.0, "image_width": 400, "image_height": 300}"#;

#[test]
fn a_calibration_file_is_read_beside_the_recipe_and_stays_in_the_resolved_one_as_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(folder.path().join("camera.json"), CAMERA).unwrap();
    let text = |camera: &str| {
        format!(
            "format = 1\n[sensors.range]\nfiles = \"depth/{{id}}.png\"\nkind = \"depth\"\ncamera = {camera}\n\
             [steps]\nlook = {{ method = \"onnx\", from = \"range\" }}\n"
        )
    };
    std::fs::write(&recipe, text("\"camera.json\"")).unwrap();
    let camera = Recipe::read(&recipe).unwrap().sensors[0].camera.unwrap();
    assert!((camera.fx - 2500.0).abs() < 1e-9 && camera.size == Some((300, 400)));
    // Where there is no folder, as in a model, nothing is read.
    let error = Recipe::parse("recipe", &text("\"camera.json\"")).unwrap_err().to_string();
    assert!(error.contains("camera.json") && error.contains("sensors.range.camera"), "{error}");
    std::fs::write(&recipe, text("\"other.json\"")).unwrap();
    let error = Recipe::read(&recipe).unwrap_err().to_string();
    assert!(error.contains("other.json") && error.contains(":5"), "{error}");
    for (camera, part) in [
        ("{ file = \"camera.json\", fx = 1.0 }", "file and numbers"),
        ("{ fx = 1.0, fy = 1.0, cx = 0.0 }", "fx, fy, cx and cy"),
        (
            "{ fx = 1.0, fy = 1.0, cx = 0.0, cy = 0.0, division = 0.1, brown = [0, 0, 0, 0, 0] }",
            "two lens models",
        ),
        ("{ fx = 1.0, fy = 1.0, cx = 0.0, cy = 0.0, size = [640.5, 480] }", "whole pixels"),
        ("{ fx = 1.0, fy = 1.0, cx = 0.0, cy = 0.0, brown = [0, 0, 0, 0] }", "list of 5 numbers"),
        ("{ fx = -1.0, fy = 1.0, cx = 0.0, cy = 0.0 }", "outside"),
    ] {
        let error = Recipe::parse("recipe", &text(camera)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("camera"), "{error}");
    }
}

#[test]
fn a_pose_that_is_no_rotation_is_an_error_at_its_line() {
    let text = "format = 1\n[sensors.colour]\nfiles = \"{id}.png\"\npose = [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]\n\
                [steps]\nlook = { method = \"onnx\", from = \"colour\" }\n";
    let error = Recipe::parse("recipe", text).unwrap_err().to_string();
    assert!(
        error.contains("sensors.colour.pose") && error.contains(":4") && error.contains("rotation"),
        "{error}"
    );
}

#[test]
fn limits_of_a_recipe_are_those_that_files_are_read_with() {
    let text = "format = 1\nlimits = { pixels = 1000, points = 5 }\n[sensors]\ncolour = \"{id}.png\"\n\
                [steps]\nlook = { method = \"onnx\", from = \"colour\" }\n";
    let limits = Recipe::parse("recipe", text).unwrap().limits;
    assert_eq!((limits.max_pixels, limits.max_points), (1000, 5));
    assert_eq!(limits.max_file_bytes, assay_data::Limits::DEFAULT.max_file_bytes);
}

#[test]
fn lists_and_tables_that_never_end_are_refused_and_brackets_in_words_are_not() {
    for deep in ["[", "{ a = ", "[steps]\nlook = { method *.p\n", "x = [ } { ] {", "a = [\"]\", {"] {
        let text = format!("{SMALLEST}a = {}", deep.repeat(40_000));
        let error = Recipe::parse("r.toml", &text).unwrap_err().to_string();
        assert!(error.starts_with("r.toml:") && error.contains("more than 64 deep"), "{error}");
    }
    let words = format!("station = \"{0}\" # {0}\n{SMALLEST}", "[{".repeat(300));
    assert_eq!(Recipe::parse("r.toml", &words).unwrap().station.len(), 600);
}
