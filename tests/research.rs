//! What researchers use: the papers' protocol, dumps of steps, benches that resume.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

#[test]
fn the_papers_protocol_is_named_and_comes_near_the_official_figures() {
    let (category, model) = Category::fitted();
    let maps = category.path("maps");
    succeed(assay().arg("eval").arg(model).arg("--data").arg(category.scans()).arg("--maps").arg(&maps));
    let metrics = |protocol: &str, extra: &[&str]| {
        let mut command = assay();
        command.args(["metrics", "--protocol", protocol, "--data"]).arg(category.scans());
        succeed(command.arg("--maps").arg(&maps).args(extra))
    };
    let [official, paper] = ["official", "paper"].map(|p| json_lines(&metrics(p, &["--json"]))[0].clone());
    assert_eq!((&official["protocol"], &paper["protocol"]), (&"official".into(), &"paper".into()));
    for key in ["image_auroc", "pixel_auroc", "au_pro_30"] {
        let [a, b] = [&official, &paper].map(|r| r["mean"][key].as_f64().unwrap());
        assert!((a - b).abs() < 0.1, "{key}: {a} {b}");
    }
    // 100 thresholds cannot give the exact area.
    assert_ne!(official["mean"]["au_pro_01"], paper["mean"]["au_pro_01"]);
    assert!(stdout(&metrics("paper", &[])).contains("protocol  paper: maps and masks at 224 x 224"));
    assert!(stdout(&metrics("official", &[])).contains("protocol  official"));
}

#[test]
fn a_dump_holds_what_a_step_made_of_each_scan_and_where_it_lies() {
    let (category, model) = Category::fitted();
    let dumped = |step: &str| {
        let folder = category.path(&format!("dump-{step}"));
        let mut command = assay();
        command.arg("score").arg(model).arg(category.scans().join("test/hole")).args(["--dump", step]);
        let output = exit_with(command.arg("--dump-to").arg(&folder), 1);
        (json_lines(&output), std::fs::read(folder.join("000.safetensors")).unwrap())
    };
    let (lines, bytes) = dumped("geometry");
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about: serde_json::Value =
        serde_json::from_str(&header.metadata().as_ref().unwrap()["assay"]).unwrap();
    assert_eq!((&about["step"], &about["method"]), (&"geometry".into(), &"patchcore".into()));
    assert_eq!(about["model_sha256"], lines[0]["model_sha256"]);
    assert_eq!(about["native"], serde_json::json!([192, 192]));
    let output = &about["outputs"]["scores"];
    // Scores are as the method made them, with the scales that calibrate them beside.
    assert_eq!(output["image_score"], lines[0]["steps"]["geometry"]);
    assert!(output["scales"]["patch"]["spread"].as_f64().unwrap() > 0.0);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (scores, valid) = (tensors.tensor("scores").unwrap(), tensors.tensor("scores.valid").unwrap());
    let &[1, rows, columns] = scores.shape() else { panic!("{:?}", scores.shape()) };
    assert_eq!(valid.shape(), [rows, columns]);
    assert_eq!(output["frame"]["stride_x"].as_f64().unwrap() * columns as f64, 192.0);
    assert!(valid.data().contains(&1));

    let (_, bytes) = dumped("look.c3");
    assert!(bytes == dumped("look.c3").1, "equal dumps are equal byte for byte");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    assert_eq!(names, ["c3", "c3.valid"]);
    assert_eq!(tensors.tensor("c3").unwrap().shape().len(), 3);
}

#[test]
fn a_dump_of_what_is_not_there_names_the_nearest_and_all_there_are() {
    let (category, model) = Category::fitted();
    for (step, hint, all) in [
        ("geometri", "did you mean `geometry`?", "look, normals, relief, appearance, geometry, fused"),
        ("look.c33", "did you mean `c3`?", "c2, c3, c4"),
    ] {
        let mut command = assay();
        command.arg("score").arg(model).arg(category.scans().join("test/good")).args(["--dump", step]);
        let output = exit_with(&mut command, 2);
        assert!(stderr(&output).contains(hint) && stderr(&output).contains(all), "{}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
}

/// Two categories that are fitted in a second or two.
struct Bench {
    category: Category,
}

const QUICK_RECIPE: &str = r#"
format = 1
recipe = { name = "quick" }
[engine]
runtime = "rten"
[sensors]
colour = "rgb/{id}.png"
[steps]
look = { method = "onnx", from = "colour", size = 64 }
find = { method = "padim", from = "look.c3", channels = 10 }
[decide]
false_reject_rate = 0.2
"#;

impl Bench {
    fn new() -> Self {
        let category = Category::sized((96, 96));
        std::fs::write(category.path("recipe.toml"), QUICK_RECIPE).unwrap();
        std::fs::create_dir(category.path("root")).unwrap();
        std::fs::rename(category.scans(), category.path("root/first")).unwrap();
        let bench = Self { category };
        bench.copy("second");
        bench
    }

    /// Another category with the scans of the first.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.category.path("root").join(name);
        copy_folder(&self.category.path("root/first"), &to);
        to
    }

    fn command(&self, seeds: &str) -> Command {
        let mut command = assay();
        command.arg("bench").arg(self.category.path("recipe.toml")).args(["--json", "--seeds", seeds]);
        command.arg("--data").arg(self.category.path("root")).arg("--out").arg(self.category.path("out"));
        // What a killed bench leaves behind goes away with the test's folder.
        command.env("TMPDIR", self.category.path(""));
        command
    }

    /// The files of finished trials, with the time they were written.
    fn results(&self) -> BTreeMap<PathBuf, SystemTime> {
        let Ok(entries) = std::fs::read_dir(self.category.path("out")) else { return BTreeMap::new() };
        let paths = entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "json"));
        paths.map(|p| (p.clone(), p.metadata().unwrap().modified().unwrap())).collect()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn a_killed_bench_goes_on_without_fitting_again_what_was_done() {
    let bench = Bench::new();
    let mut running = bench.command("2").spawn().unwrap();
    while bench.results().is_empty() {
        assert!(running.try_wait().unwrap().is_none(), "it ended without a result");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let before = bench.results();

    let report = json_lines(&succeed(&mut bench.command("2")))[0].clone();
    let after = bench.results();
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|(file, written)| after[file] == *written), "{before:?} {after:?}");
    let recipe = &report["recipes"][0];
    for category in ["first", "second"] {
        let summary = &recipe["categories"][category];
        let seeds: Vec<u64> =
            summary["runs"].as_array().unwrap().iter().map(|r| r["key"]["seed"].as_u64().unwrap()).collect();
        assert_eq!(seeds, [0, 1]);
        for figure in ["image_auroc", "au_pro_30", "pixel_auroc", "ms_per_scan", "fit_seconds"] {
            let spread = &summary["figures"][figure];
            assert!(spread["mean"].as_f64().is_some() && spread["sd"].as_f64().is_some(), "{figure}");
            assert_eq!(spread["n"], 2);
        }
    }
    assert_eq!(recipe["mean"]["image_auroc"]["n"], 2);
    // With the revision, where the build knew it.
    assert!(report["version"].as_str().unwrap().starts_with(env!("CARGO_PKG_VERSION")), "{report}");
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);

    // Another recipe is another bench; what was done of the first one stays.
    std::fs::write(bench.category.path("recipe.toml"), QUICK_RECIPE.replace("10 }", "12 }")).unwrap();
    succeed(&mut bench.command("1"));
    assert_eq!(bench.results().len(), 6);
}

#[test]
fn a_category_that_fails_is_reported_and_the_rest_goes_on() {
    let bench = Bench::new();
    std::fs::write(bench.copy("cut").join("train/good/rgb/003.png"), b"cut").unwrap();
    std::fs::remove_dir_all(bench.copy("untested").join("test")).unwrap();
    let output = exit_with(&mut bench.command("1"), 2);
    let recipe = json_lines(&output)[0]["recipes"][0].clone();
    let done: Vec<&String> = recipe["categories"].as_object().unwrap().keys().collect();
    assert_eq!(done, ["first", "second"]);
    let failed = recipe["failed"].as_array().unwrap();
    assert_eq!((&failed[0]["category"], &failed[1]["category"]), (&"cut".into(), &"untested".into()));
    assert!(failed[0]["error"].as_str().unwrap().contains("003.png"), "{failed:?}");
    assert!(failed[1]["error"].as_str().unwrap().contains("no test scans"), "{failed:?}");
    assert!(stderr(&output).contains("003.png") && stderr(&output).contains("no test scans"));
    // The table says it too, and nothing that was done is done again.
    let before = bench.results();
    let mut table = assay();
    table.arg("bench").arg(bench.category.path("recipe.toml")).arg("--data");
    table.arg(bench.category.path("root")).arg("--out").arg(bench.category.path("out"));
    let text = stdout(&exit_with(&mut table, 2));
    assert!(
        text.contains("first") && text.contains("mean of 2") && text.contains("cut, seed 0 failed"),
        "{text}"
    );
    assert_eq!(bench.results(), before);
}

#[test]
fn a_folder_without_categories_and_an_unknown_published_method_are_clear_errors() {
    let bench = Bench::new();
    let empty = bench.category.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let recipe = bench.category.path("recipe.toml");
    let output = exit_with(assay().arg("bench").arg(&recipe).arg("--data").arg(&empty), 2);
    assert!(stderr(&output).contains("train/good"), "{}", stderr(&output));
    let mut unknown = assay();
    unknown.arg("bench").arg(&recipe).arg("--data").arg(&empty).args(["--published", "bft"]);
    assert!(stderr(&exit_with(&mut unknown, 2)).contains("btf"));
}
