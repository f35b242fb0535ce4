//! The built program from scans to verdicts, on the synthetic category.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

#[path = "plugins/gradient/src/onnx.rs"]
mod onnx;
mod support;

use assay_data::decode;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

#[test]
fn a_recipe_is_fitted_evaluated_and_its_maps_score_the_same_by_the_official_metrics() {
    let (category, model) = Category::fitted();
    let maps = category.path("maps");
    let report = category.path("report");
    let output = succeed(
        assay()
            .arg("eval")
            .arg(model)
            .arg("--data")
            .arg(category.scans())
            .arg("--json")
            .arg("--maps")
            .arg(&maps)
            .arg("--report")
            .arg(&report),
    );
    let eval = &json_lines(&output)[0];
    for key in [
        "image_auroc",
        "image_auroc_map_max",
        "pixel_auroc",
        "au_pro_30",
        "au_pro_10",
        "au_pro_05",
        "au_pro_01",
        "f1_max",
        "false_reject_rate",
        "escape_rate",
    ] {
        let value = eval[key].as_f64().unwrap_or_else(|| panic!("{key}: {}", eval[key]));
        assert!((0.0..=1.0).contains(&value), "{key} = {value}");
    }
    assert_eq!(
        (eval["n_good"].as_u64(), eval["n_defect"].as_u64(), eval["n_invalid"].as_u64()),
        (Some(3), Some(8), Some(0))
    );
    assert!(eval["ms_per_scan"]["p50"].as_f64().unwrap() > 0.0);
    let kinds: BTreeSet<&str> = eval["by_defect"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(kinds, BTreeSet::from(["bump", "dent", "hole", "stain"]));
    // Far from chance: what changes the surface is found at its place even at this size. (Of stains PaDiM with 20 channels sees
    // little, and with three good scans the image AUROC is in steps of a third of a scan.)
    for kind in ["bump", "dent", "hole"] {
        assert!(eval["by_defect"][kind]["au_pro_30"].as_f64().unwrap() > 0.9, "{kind}: {eval}");
    }
    assert!(eval["image_auroc"].as_f64().unwrap() > 0.8, "{eval}");
    assert!(eval["au_pro_30"].as_f64().unwrap() > 0.7, "{eval}");

    let output =
        succeed(assay().args(["metrics", "--json", "--data"]).arg(category.scans()).arg("--maps").arg(&maps));
    let metrics = &json_lines(&output)[0];
    let part = &metrics["objects"]["part"];
    for (ours, official) in [
        ("image_auroc_map_max", "image_auroc"),
        ("pixel_auroc", "pixel_auroc"),
        ("au_pro_30", "au_pro_30"),
        ("au_pro_10", "au_pro_10"),
        ("au_pro_05", "au_pro_05"),
        ("au_pro_01", "au_pro_01"),
    ] {
        let (a, b) = (eval[ours].as_f64().unwrap(), part[official].as_f64().unwrap());
        assert!((a - b).abs() < 1e-9, "{ours}: {a} {b}");
        assert_eq!(metrics["mean"][official], part[official]);
    }
    let page = std::fs::read_to_string(report.join("index.html")).unwrap();
    for picture in page.split("src=\"").skip(1).map(|s| s.split('"').next().unwrap()) {
        assert!(report.join(picture).is_file(), "{picture}");
    }
}

#[test]
fn score_writes_one_line_a_scan_and_says_ng_by_its_exit_status() {
    let (category, model) = Category::fitted();
    let (maps, pictures) = (category.path("score-maps"), category.path("pictures"));
    let output = exit_with(
        assay()
            .arg("score")
            .arg(model)
            .arg(category.scans().join("test/hole"))
            .arg("--maps")
            .arg(&maps)
            .arg("--pictures")
            .arg(&pictures),
        1,
    );
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line["station"], "test bench");
        assert_eq!(line["recipe"], 7);
        let ng = line["score"].as_f64().unwrap() > line["threshold"].as_f64().unwrap();
        assert_eq!(line["verdict"], if ng { "ng" } else { "ok" });
        assert!(line["steps"].as_object().unwrap().len() >= 2 && line["ms"]["total"].as_f64().unwrap() > 0.0);
        assert_eq!(line["model_sha256"].as_str().unwrap().len(), 64);
    }
    assert_eq!(files_under(&maps).len(), 2);
    assert_eq!(files_under(&pictures).len(), 2);
    // One file of one scan is enough to name it.
    let one = category.scans().join("test/hole/xyz/000.tiff");
    let again = assay().arg("score").arg(model).arg(one).output().unwrap();
    assert_eq!(json_lines(&again)[0]["score"], lines[0]["score"]);
}

#[test]
fn fits_and_scores_are_equal_byte_for_byte_at_any_number_of_threads() {
    let category = Category::small();
    let models: Vec<PathBuf> =
        ["1", "2", "3"].iter().map(|n| category.fit(&format!("{n}.assay"), &["--threads", n])).collect();
    let bytes: Vec<Vec<u8>> = models.iter().map(|m| std::fs::read(m).unwrap()).collect();
    assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2], "models differ");
    let maps: Vec<Vec<Vec<u8>>> = ["1", "2", "3"]
        .iter()
        .map(|n| {
            let folder = category.path(&format!("maps{n}"));
            let scans = category.scans().join("test/dent");
            let code = assay()
                .arg("score")
                .arg(&models[0])
                .arg(scans)
                .arg("--maps")
                .arg(&folder)
                .args(["--threads", n])
                .status();
            assert!(matches!(code.unwrap().code(), Some(0 | 1)));
            files_under(&folder).iter().map(|f| std::fs::read(f).unwrap()).collect()
        })
        .collect();
    assert!(!maps[0].is_empty() && maps[0] == maps[1] && maps[0] == maps[2], "maps differ");
}

#[test]
fn another_seed_gives_another_model_and_the_same_seed_the_same() {
    let category = Category::small();
    let read = |name: &str, seed: &str| std::fs::read(category.fit(name, &["--seed", seed])).unwrap();
    let (a, b, c) = (read("a", "1"), read("b", "1"), read("c", "2"));
    assert!(a == b && a != c);
}

#[test]
fn a_scan_that_cannot_be_read_is_one_invalid_line_and_the_rest_is_scored() {
    let (category, model) = Category::fitted();
    let good = category.path("line");
    copy_folder(&category.scans().join("test/good"), &good);
    std::fs::write(good.join("rgb/001.png"), b"not a picture").unwrap();
    let output = exit_with(assay().arg("score").arg(model).arg(&good), 2);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines.iter().filter(|l| l["verdict"] == "invalid").count(), 1);
    assert!(
        lines[1]["error"].as_str().unwrap().contains("001.png") && lines[1].get("score").is_none(),
        "{}",
        lines[1]
    );
    assert!(stderr(&output).contains("001.png"));
}

#[test]
fn a_damaged_model_is_a_clear_error() {
    let (category, model) = Category::fitted();
    let bytes = std::fs::read(model).unwrap();
    let scan = category.scans().join("test/good");
    for (damaged, expected) in [
        (bytes[..bytes.len() / 2].to_vec(), "truncated"),
        ([&bytes[..bytes.len() - 1], &[bytes[bytes.len() - 1] ^ 1]].concat(), "altered or damaged"),
        (b"hello".to_vec(), "not an Assay model"),
    ] {
        let path = category.path("damaged.assay");
        std::fs::write(&path, damaged).unwrap();
        let output = exit_with(assay().arg("score").arg(&path).arg(&scan), 2);
        assert!(stderr(&output).contains(expected) && stdout(&output).is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn a_failed_fit_leaves_no_model_behind() {
    let category = Category::small();
    std::fs::write(category.scans().join("train/good/xyz/003.tiff"), b"cut").unwrap();
    let model = category.path("part.assay");
    let mut command = assay();
    command
        .arg("fit")
        .arg(category.path("recipe.toml"))
        .arg("--data")
        .arg(category.scans())
        .arg("-o")
        .arg(&model);
    let output = exit_with(&mut command, 2);
    assert!(stderr(&output).contains("003.tiff"), "{}", stderr(&output));
    let left = files_under(model.parent().unwrap());
    assert!(!model.exists() && left.iter().all(|f| f.extension().is_none_or(|e| e != "tmp")));
}

#[test]
fn a_detector_exported_as_onnx_becomes_a_step_and_needs_no_plugin() {
    let category = Category::small();
    // Scores each pixel by its squared distance from the part's grey.
    std::fs::write(category.path("detector.onnx"), onnx::squared_distance(&[140.0, 140.0, 140.0])).unwrap();
    let recipe = "format = 1\n[engine]\nruntime = \"rten\"\n[sensors]\ncolour = \"rgb/{id}.png\"\nheight = \"xyz/{id}.tiff\"\n\
                  [steps]\nfound = { method = \"onnx-map\", from = \"colour\", model = \"detector.onnx\", size = 64 }\n\
                  [decide]\nfalse_reject_rate = 0.2\n";
    std::fs::write(category.path("recipe.toml"), recipe).unwrap();
    let model = category.fit("part.assay", &[]);
    // The model holds the network: the file is not needed any more.
    std::fs::remove_file(category.path("detector.onnx")).unwrap();
    let output = succeed(assay().arg("eval").arg(&model).arg("--json").arg("--data").arg(category.scans()));
    let eval = &json_lines(&output)[0];
    assert_eq!(eval["by_defect"]["hole"]["n"], 2);
    assert!(eval["pixel_auroc"].as_f64().is_some());
}

#[test]
fn scans_that_are_not_square_keep_their_pixels_in_place() {
    let category = Category::sized((96, 144));
    let model = category.fit("part.assay", &[]);
    let maps = category.path("maps");
    let output = succeed(
        assay()
            .arg("eval")
            .arg(&model)
            .arg("--json")
            .arg("--data")
            .arg(category.scans())
            .arg("--maps")
            .arg(&maps),
    );
    let eval = &json_lines(&output)[0];
    let (file, limits) = (maps.join("part/test/hole/000.tiff"), assay_data::Limits::default());
    let map = decode::map(&decode::Encoded::read(&file, &limits).unwrap(), &limits).unwrap();
    assert_eq!(map.dim(), (96, 144));
    // A map whose pixels were shifted or transposed would not find the holes.
    assert!(eval["by_defect"]["hole"]["au_pro_30"].as_f64().unwrap() > 0.8, "{eval}");
}

#[test]
fn a_folder_of_pictures_in_mvtec_ad_layout_needs_no_3d() {
    let category = Category::small();
    let ad = category.path("ad");
    for (from, to) in [("train/good", "train/good"), ("test/good", "test/good"), ("test/stain", "test/stain")]
    {
        let to = ad.join(to);
        std::fs::create_dir_all(&to).unwrap();
        for file in files_under(&category.scans().join(from).join("rgb")) {
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    let masks = ad.join("ground_truth/stain");
    std::fs::create_dir_all(&masks).unwrap();
    for file in files_under(&category.scans().join("test/stain/gt")) {
        let name = format!("{}_mask.png", file.file_stem().unwrap().to_string_lossy());
        std::fs::copy(&file, masks.join(name)).unwrap();
    }
    let recipe = std::fs::read_to_string(support::root().join("configs/colour.toml")).unwrap();
    std::fs::write(category.path("recipe.toml"), recipe.replace("size = 320", "size = 128")).unwrap();
    let model = category.path("part.assay");
    let mut fit = assay();
    fit.arg("fit").arg(category.path("recipe.toml")).arg("--data").arg(&ad).arg("-o").arg(&model);
    // The layout has no validation scans, and what is set aside of 24 is too few for 5 %.
    succeed(fit.args(["--runtime", "rten", "--on-too-few", "warn"]));
    let output =
        succeed(assay().arg("eval").arg(&model).args(["--json", "--runtime", "rten", "--data"]).arg(&ad));
    let eval = &json_lines(&output)[0];
    assert_eq!((eval["n_good"].as_u64(), eval["n_defect"].as_u64()), (Some(3), Some(2)));
    assert!(eval["pixel_auroc"].as_f64().unwrap() > 0.8, "{eval}");
}

#[test]
fn asking_for_a_runtime_or_device_that_is_not_there_says_what_was_looked_for() {
    let category = Category::small();
    let recipe = category.path("recipe.toml");
    let missing = category.path("nowhere");
    let output = exit_with(
        assay()
            .args(["recipe", "check", "--runtime", "onnxruntime", "--runtime-path"])
            .arg(&missing)
            .arg(&recipe),
        2,
    );
    assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
    let output = exit_with(assay().args(["recipe", "check", "--device", "cuda:0"]).arg(&recipe), 2);
    assert!(stderr(&output).contains("cuda:0"), "{}", stderr(&output));
}

fn copy_folder(from: &Path, to: &Path) {
    for file in files_under(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}
