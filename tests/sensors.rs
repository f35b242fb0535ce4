//! Sensors that differ in size, store depth instead of points, or measure nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use assay_data::decode::{self, Encoded, Stored};
use assay_data::{Limits, decode::write_png_rgb};
use ndarray::Array3;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

/// Colour at twice the resolution of the depth image, whose camera is known; either may be missing.
const RECIPE: &str = r#"
format = 1
[engine]
runtime = "rten"
[sensors.colour]
files = "rgb/{id}.png"
saturated = "invalid"
missing = "degrade"
[sensors.height]
files = "depth/{id}.tiff"
kind = "depth"
unit = "mm"
scale = 0.01
offset = 300.0
invalid = 65535
missing = "degrade"
camera = "camera.json"
[steps]
look       = { method = "onnx", from = "colour", size = 192 }
normals    = { method = "normals", from = "height" }
relief     = { method = "onnx", from = "normals", size = 192 }
appearance = { method = "padim", from = ["look.c2", "look.c3"], channels = 20 }
geometry   = { method = "padim", from = ["relief.c2", "relief.c3"], channels = 20 }
[decide]
false_reject_rate = 0.2
"#;

/// The synthetic camera for 192 x 192 pixels.
const CAMERA: &str = r#"{"width": 192, "height": 192,
    "intrinsic_matrix": [662.0689655172414, 0, 0, 0, 662.0689655172414, 0, 95.5, 95.5, 1]}"#;

/// Every scan of a small category as a station with such a camera would store it.
fn station(category: &Category) -> PathBuf {
    let limits = Limits::default();
    let scans = category.scans();
    for folder in ["train/good", "validation/good", "test/good"].map(|f| scans.join(f)) {
        std::fs::create_dir(folder.join("depth")).unwrap();
        for entry in std::fs::read_dir(folder.join("xyz")).unwrap() {
            let path = entry.unwrap().path();
            let points =
                decode::xyz(&Encoded::read(&path, &limits).unwrap(), &Stored::default(), &limits).unwrap();
            write_depth(&folder.join("depth").join(path.file_name().unwrap()), &points);
        }
        for entry in std::fs::read_dir(folder.join("rgb")).unwrap() {
            let path = entry.unwrap().path();
            let small = decode::image(&Encoded::read(&path, &limits).unwrap(), &limits).unwrap();
            let (rows, cols, _) = small.dim();
            let large = Array3::from_shape_fn((2 * rows, 2 * cols, 3), |(i, j, c)| small[(i / 2, j / 2, c)]);
            write_png_rgb(&path, &large).unwrap();
        }
    }
    std::fs::write(category.path("camera.json"), CAMERA).unwrap();
    let recipe = category.path("station.toml");
    std::fs::write(&recipe, RECIPE).unwrap();
    recipe
}

/// 16 bits: hundredths of a millimetre beyond 300 mm; 65535 where nothing was measured.
fn write_depth(path: &Path, points: &assay_data::Grid) {
    let (rows, cols) = points.size();
    let stored = |i: usize, j: usize| {
        let steps = (f64::from(points.values[(2, i, j)]) * 1e3 - 300.0) / 0.01;
        if points.is_valid(i, j) { steps.round() as u16 } else { u16::MAX }
    };
    let samples: Vec<u16> = (0..rows * cols).map(|k| stored(k / cols, k % cols)).collect();
    write_gray16(path, (rows, cols), &samples);
}

fn write_gray16(path: &Path, (rows, cols): (usize, usize), samples: &[u16]) {
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = tiff::encoder::TiffEncoder::new(file).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray16>(cols as u32, rows as u32, samples).unwrap();
}

fn line(model: &Path, scans: &Path, code: i32) -> Value {
    let output = exit_with(assay().arg("score").arg(model).arg(scans), code);
    json_lines(&output).remove(0)
}

#[test]
fn sensors_of_two_sizes_are_one_scan_and_one_of_them_may_be_missing() {
    let category = Category::small();
    let recipe = station(&category);
    let model = category.path("station.assay");
    let fitted =
        succeed(assay().arg("fit").arg(&recipe).arg("--data").arg(category.scans()).arg("-o").arg(&model));
    assert_eq!(stdout(&fitted), "");

    // A scan of its own: rgb/007.png and depth/007.tiff.
    let part = category.path("line");
    let copy = |folder: &str, file: &str, to: &str| {
        std::fs::create_dir_all(part.join(folder)).unwrap();
        std::fs::copy(category.scans().join("test/good").join(folder).join(file), part.join(folder).join(to))
            .unwrap();
    };
    copy("rgb", "000.png", "007.png");
    copy("depth", "000.tiff", "007.tiff");
    let maps = category.path("maps");
    let output = assay().arg("score").arg(&model).arg(&part).arg("--maps").arg(&maps).output().unwrap();
    let whole = json_lines(&output).remove(0);
    assert!(whole.get("missing").is_none() && whole["steps"]["geometry"].is_f64(), "{whole}");
    let map =
        decode::map(&Encoded::read(&maps.join("007.tiff"), &Limits::default()).unwrap(), &Limits::default());
    assert_eq!(map.unwrap().dim(), (384, 384), "the map has the size of the first sensor");

    // The depth camera saw nothing: the rest decides, by thresholds of its own.
    write_gray16(&part.join("depth/007.tiff"), (192, 192), &vec![u16::MAX; 192 * 192]);
    let output = assay().arg("score").arg(&model).arg(&part).output().unwrap();
    let partial = json_lines(&output).remove(0);
    assert_eq!(partial["missing"], serde_json::json!(["height"]));
    assert!(
        partial["steps"].get("geometry").is_none() && partial["steps"]["appearance"].is_f64(),
        "{partial}"
    );
    assert_ne!(partial["threshold"], whole["threshold"]);
    assert!(["ok", "ng"].contains(&partial["verdict"].as_str().unwrap()));

    // The lamp blinded the colour camera too: nothing is left.
    write_png_rgb(&part.join("rgb/007.png"), &Array3::from_elem((384, 384, 3), 255)).unwrap();
    let nothing = line(&model, &part, 2);
    assert_eq!(nothing["verdict"], "invalid");
    let error = nothing["error"].as_str().unwrap();
    assert!(error.contains("measured nothing"), "{error}");

    // Depth alone.
    copy("depth", "000.tiff", "007.tiff");
    let output = assay().arg("score").arg(&model).arg(&part).output().unwrap();
    let depth = json_lines(&output).remove(0);
    assert_eq!(depth["missing"], serde_json::json!(["colour"]));
    assert_eq!(
        depth["steps"]["geometry"], whole["steps"]["geometry"],
        "the other sensor's steps see what they saw"
    );

    // Thresholds of all three kinds follow another rate, from the scores that the model keeps.
    let shown = |model: &Path| stdout(&succeed(assay().arg("show").arg(model)));
    assert!(shown(&model).contains("without height"), "{}", shown(&model));
    let other = category.path("other.assay");
    succeed(assay().arg("calibrate").arg(&model).args(["--false-reject-rate", "0.4"]).arg("-o").arg(&other));
    let lower = json_lines(&assay().arg("score").arg(&other).arg(&part).output().unwrap()).remove(0);
    assert!(lower["threshold"].as_f64() < depth["threshold"].as_f64(), "{lower}");

    // A picture is drawn of what is left.
    let pictures = category.path("pictures");
    let drawn =
        assay().arg("score").arg(&model).arg(&part).arg("--pictures").arg(&pictures).output().unwrap();
    assert!(pictures.join("007.png").exists(), "{}", stderr(&drawn));

    // What is learned must be complete.
    write_gray16(&category.scans().join("train/good/depth/003.tiff"), (192, 192), &vec![0; 192 * 192]);
    let refused = exit_with(
        assay()
            .arg("fit")
            .arg(&recipe)
            .arg("--data")
            .arg(category.scans())
            .arg("-o")
            .arg(category.path("no.assay")),
        2,
    );
    let message = stderr(&refused);
    assert!(message.contains("train/good/003") && message.contains("`height`"), "{message}");
    assert!(!category.path("no.assay").exists());
}

#[test]
fn a_sensor_that_leaves_nothing_to_decide_on_cannot_be_missing() {
    let category = Category::small();
    let recipe = category.path("one.toml");
    std::fs::write(
        &recipe,
        "format = 1\n[engine]\nruntime = \"rten\"\n[sensors.colour]\nfiles = \"rgb/{id}.png\"\nmissing = \"degrade\"\n\
         [steps]\nlook = { method = \"onnx\", from = \"colour\", size = 192 }\n\
         found = { method = \"padim\", from = \"look.c2\", channels = 10 }\n[decide]\nfalse_reject_rate = 0.2\n",
    )
    .unwrap();
    let model = category.path("one.assay");
    let refused = exit_with(
        assay().arg("fit").arg(&recipe).arg("--data").arg(category.scans()).arg("-o").arg(&model),
        2,
    );
    let message = stderr(&refused);
    assert!(message.contains("sensors.colour.missing") && message.contains("nothing is left"), "{message}");
    assert!(!model.exists());
}

#[test]
fn sensors_that_cannot_be_related_are_one_clear_error() {
    let category = Category::small();
    let path = category.scans().join("train/good/rgb/000.png");
    write_png_rgb(&path, &Array3::zeros((100, 192, 3))).unwrap();
    let refused = exit_with(
        assay()
            .arg("fit")
            .arg(category.path("recipe.toml"))
            .arg("--data")
            .arg(category.scans())
            .args(["-o"])
            .arg(category.path("no.assay")),
        2,
    );
    let message = stderr(&refused);
    assert!(
        ["100 x 192", "192 x 192", "`camera`", "000.png", "000.tiff"].iter().all(|p| message.contains(p)),
        "{message}"
    );
}

#[test]
fn what_the_part_lies_on_has_no_points_within_the_margin_where_the_recipe_says_so_and_is_still_scored() {
    let category = Category::small();
    let seen = ["features", "points"].map(|background| {
        let (recipe, model) = (category.path("margin.toml"), category.path("margin.assay"));
        std::fs::write(
            &recipe,
            format!(
                "format = 1\n[engine]\nruntime = \"rten\"\n[sensors]\nheight = \"xyz/{{id}}.tiff\"\n\
                 [prepare]\nbackground = \"{background}\"\nmargin = 0.1\n\
                 [steps]\nnormals = {{ method = \"normals\", from = \"height\" }}\n\
                 relief = {{ method = \"onnx\", from = \"normals\", size = 192 }}\n\
                 found = {{ method = \"padim\", from = \"relief.c2\", channels = 10 }}\n[decide]\nfalse_reject_rate = 0.2\n"
            ),
        )
        .unwrap();
        succeed(assay().arg("fit").arg(&recipe).arg("--data").arg(category.scans()).arg("-o").arg(&model));
        let valid = ["normals", "found"].map(|step| {
            let folder = category.path(&format!("{background}-{step}"));
            let mut command = assay();
            command.arg("score").arg(&model).arg(category.scans().join("test/good")).args(["--dump", step]);
            let scored = command.arg("--dump-to").arg(&folder).output().unwrap();
            assert!(!json_lines(&scored).is_empty(), "{}", stderr(&scored));
            let bytes = std::fs::read(folder.join("000.safetensors")).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let output = if step == "found" { "scores.valid" } else { "normals.valid" };
            tensors.tensor(output).unwrap().data().to_vec()
        });
        let checked = stdout(&succeed(assay().args(["recipe", "check"]).arg(&recipe)));
        (valid, checked)
    });
    let [([normals, scores], _), ([points_normals, points_scores], checked)] = &seen;
    assert!(checked.contains("is seen without its points"), "{checked}");
    assert_eq!(scores, points_scores);
    let count = |valid: &[u8]| valid.iter().filter(|v| **v > 0).count();
    // Nothing but the part has a normal, and that is as it was.
    assert!(normals.iter().zip(points_normals).all(|(all, part)| all >= part));
    let (all, part) = (count(normals), count(points_normals));
    assert!(part > 1000 && 4 * all > 5 * part, "{all} {part}");
}
