//! Networks that a fit makes int8: what the model says of them, and that a bad one is not kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use assay_onnx::message::DataType;
use assay_onnx::{build, file, tensor};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use support::tiny::Tiny;
use support::{assay, exit_with, json_lines, stderr, stdout, succeed};

/// A tiny category of which the recipe's network step has these keys.
fn tiny(keys: &str) -> Tiny {
    let tiny = Tiny::new();
    let path = tiny.path("recipe.toml");
    let recipe = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, recipe.replace("size = 64", &format!("size = 64, {keys}"))).unwrap();
    tiny
}

/// One of precision int8 with its model.
fn fitted() -> (&'static Tiny, &'static Path) {
    static SHARED: OnceLock<(Tiny, PathBuf)> = OnceLock::new();
    let (tiny, model) = SHARED.get_or_init(|| {
        let tiny = tiny("precision = \"int8\", taps = [\"c2\", \"c3\"]");
        let model = tiny.path("part.assay");
        succeed(tiny.fit(&model).args(["--threads", "1"]));
        (tiny, model)
    });
    (tiny, model)
}

fn manifest(model: &Path) -> Value {
    json_lines(&succeed(assay().arg("show").arg(model).arg("--json"))).remove(0)
}

fn score(model: &Path, scans: &Path, more: &[&str]) -> Vec<Value> {
    let output = assay().arg("score").arg(model).arg(scans).args(more).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
    json_lines(&output)
}

/// A network of one output that float32 computes well and 8 bits cannot: between its two layers one channel is a thousand times
/// larger than the one that counts.
fn uneven() -> Vec<u8> {
    let large = [1000.0, 1000.0, 1000.0];
    let small = [1.0, -1.0, 0.5];
    let conv = |name: &str, [input, weights, output]: [&str; 3], stride: i64| {
        let node = build::node("Conv", name, &[input, weights], &[output]);
        let node = node.with_ints("kernel_shape", &[1, 1]).with_ints("pads", &[0; 4]);
        node.with_ints("strides", &[stride; 2]).with_ints("dilations", &[1, 1])
    };
    let nodes = vec![conv("first", ["image", "w1", "both"], 1), conv("second", ["both", "w2", "fine"], 4)];
    let weights = vec![
        tensor::of_f32("w1", &[2, 3, 1, 1], &[large, small].concat()),
        tensor::of_f32("w2", &[3, 2, 1, 1], &[0.0, 1.0, 0.0, -1.0, 0.0, 2.0]),
    ];
    let axes = |channels| [Ok(1), Ok(channels), Err("h"), Err("w")];
    let image = build::value("image", DataType::Float, Some(&axes(3)));
    let fine = build::value("fine", DataType::Float, Some(&axes(3)));
    file::write(&build::model(13, nodes, weights, vec![image], vec![fine])).unwrap()
}

#[test]
fn an_int8_network_is_kept_with_the_comparison_that_spoke_for_it() {
    let (_, model) = fitted();
    let network = &manifest(model)["networks"]["look"];
    let record = &network["quantisation"];
    assert_eq!(record["kept"], true, "{record:#}");
    assert_eq!((&record["layers"], &record["of"]), (&33.into(), &33.into()));
    assert_ne!(network["sha256"], record["source_sha256"]);
    // Training scans alone, each once.
    let ids = |key: &str| {
        let ids = record[key].as_array().unwrap().iter();
        ids.map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (shown, held_out) = (ids("shown"), ids("held_out"));
    assert_eq!((shown.len(), held_out.len()), (7, 3));
    assert!(shown.iter().chain(&held_out).all(|id| id.starts_with("train/")), "{shown:?} {held_out:?}");
    assert!(shown.iter().all(|id| !held_out.contains(id)));
    let taps: Vec<&str> =
        record["taps"].as_array().unwrap().iter().map(|t| t["tap"].as_str().unwrap()).collect();
    assert_eq!(taps, ["c2", "c3"]);
    let text = stdout(&succeed(assay().arg("show").arg(model)));
    assert!(text.contains("look: int8: 33 of 33 layers, ranges of 7 scans, compared on 3 others"), "{text}");
    assert!(text.contains("look: c2: good scans score"), "{text}");
    // The network takes less than the 2.8 MB of float32.
    assert!(text.contains("look: built-in backbone, 8") && text.contains(" kB, sha256"), "{text}");
}

#[test]
fn the_same_bytes_come_at_any_number_of_threads_and_a_model_scores_like_any_other() {
    let (tiny, model) = fitted();
    let two = tiny.path("two.assay");
    succeed(tiny.fit(&two).args(["--threads", "2"]));
    assert!(std::fs::read(model).unwrap() == std::fs::read(&two).unwrap(), "models differ");
    let scans = tiny.scans().join("test/good");
    let lines = score(model, &scans, &["--threads", "1", "--locked"]);
    let scores = |lines: &[Value]| lines.iter().map(|l| l["score"].clone()).collect::<Vec<_>>();
    assert_eq!(scores(&score(&two, &scans, &["--threads", "2", "--locked"])), scores(&lines));
    // New thresholds do not touch the network.
    let other = tiny.path("other.assay");
    let mut command = assay();
    succeed(command.arg("calibrate").arg(model).args(["--false-reject-rate", "0.5", "-o"]).arg(&other));
    assert_eq!(manifest(&other)["networks"], manifest(model)["networks"]);
    assert_eq!(scores(&score(&other, &scans, &[])), scores(&lines));
}

#[test]
fn an_int8_network_stays_in_a_model_without_networks_and_its_file_is_still_checked() {
    let backbone = std::fs::read(support::root().join("engine/inference/backbone/efficientnet-lite0.onnx"));
    let keys = |sha256: &str| {
        format!("precision = \"int8\", taps = [\"c2\"], model = \"b.onnx\", sha256 = \"{sha256}\"")
    };
    let (_, whole) = fitted();
    let sha256 = manifest(whole)["networks"]["look"]["quantisation"]["source_sha256"].clone();
    let tiny = tiny(&keys(sha256.as_str().unwrap()));
    std::fs::write(tiny.path("b.onnx"), backbone.unwrap()).unwrap();
    let model = tiny.path("external.assay");
    succeed(tiny.fit(&model).arg("--external"));
    std::fs::remove_file(tiny.path("b.onnx")).unwrap();
    assert_eq!(manifest(&model)["networks"]["look"]["quantisation"]["kept"], true);
    assert_eq!(score(&model, &tiny.scans().join("test/good"), &[]).len(), 3);
}

#[test]
fn a_network_that_int8_spoils_stays_at_float32_with_a_warning() {
    let tiny = tiny("precision = \"int8\", model = \"uneven.onnx\"");
    std::fs::write(tiny.path("uneven.onnx"), uneven()).unwrap();
    let recipe = tiny.path("recipe.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(recipe, text.replace("look.c2\", channels = 8", "look\", channels = 3")).unwrap();
    let model = tiny.path("part.assay");
    let _ = assay(); // Builds the plugins.
    let mut loud = Command::new(env!("CARGO_BIN_EXE_assay"));
    loud.env_remove("ASSAY_PLUGIN_PATH").env("TMPDIR", tiny.scratch());
    loud.arg("fit").arg(tiny.path("recipe.toml")).arg("--data").arg(tiny.scans()).arg("-o").arg(&model);
    let said = stderr(&succeed(&mut loud));
    assert!(said.contains("warning: look: int8 changes too much at `fine`"), "{said}");
    assert!(said.contains("it stays at f32"), "{said}");
    let network = &manifest(&model)["networks"]["look"];
    let record = &network["quantisation"];
    assert_eq!(record["kept"], false);
    assert_eq!(network["sha256"], record["source_sha256"]);
    let tap = &record["taps"][0];
    assert!(tap["good"]["f32"].as_f64().unwrap() > 0.0);
    assert!(tap["separation"]["int8"].as_f64() < tap["separation"]["f32"].as_f64(), "{record:#}");
    let shown = stdout(&succeed(assay().arg("show").arg(&model)));
    assert!(shown.contains("f32, int8 was tried and not kept: 2 of 2 layers"), "{shown}");
    assert_eq!(score(&model, &tiny.scans().join("test/good"), &[]).len(), 3);
}

#[test]
fn what_cannot_be_quantised_is_refused_at_its_line_before_anything_is_learned() {
    let old = {
        let mut model = file::read(&uneven()).unwrap();
        model.opset_import[0].version = Some(11);
        file::write(&model).unwrap()
    };
    let tiny = tiny("precision = \"int8\", model = \"old.onnx\", taps = [\"fine\"]");
    std::fs::write(tiny.path("old.onnx"), old).unwrap();
    let output = exit_with(assay().args(["recipe", "check"]).arg(tiny.path("recipe.toml")), 2);
    let said = stderr(&output);
    assert!(said.contains("steps.look.precision") && said.contains("opset 11"), "{said}");
}
