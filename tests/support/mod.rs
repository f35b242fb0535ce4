//! What the end-to-end tests share: the built program and plugins, synthetic scans, the shared scans where they are.
#![allow(dead_code, reason = "each test target uses a part of it")]

pub(crate) mod tiny;

use assay_onnx::message::DataType;
use assay_onnx::{build, file, tensor};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The built program.
pub(crate) fn assay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    // What is installed on this machine must not change what the tests see.
    command.env_remove("ASSAY_PLUGIN_PATH").args(["--quiet"]);
    build();
    command
}

/// The built libraries by file name, from the one build of the whole workspace that the tests need: `cargo test` alone does
/// not reliably build cdylibs.
fn build() -> &'static Vec<PathBuf> {
    static LIBRARIES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let mut command = Command::new(cargo);
        // With the tests, so that crates are built with the features that `cargo test` built them with, and not once more.
        let what = ["build", "--workspace", "--lib", "--bins", "--tests", "--message-format=json"];
        command.args(what).current_dir(root());
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let output = command.output().expect("cargo can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut libraries = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            for file in message["filenames"].as_array().into_iter().flatten().filter_map(|f| f.as_str()) {
                if file.ends_with(std::env::consts::DLL_SUFFIX) {
                    libraries.push(PathBuf::from(file));
                }
            }
        }
        libraries
    })
}

/// The built library whose file name contains `name`.
pub(crate) fn library(name: &str) -> PathBuf {
    let found = build().iter().find(|p| p.file_name().is_some_and(|f| f.to_string_lossy().contains(name)));
    found.unwrap_or_else(|| panic!("{name} was not built")).clone()
}

/// A fresh folder with copies of the bundled plugins.
pub(crate) fn plugin_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in
        build().iter().filter(|p| p.file_name().is_some_and(|f| f.to_string_lossy().contains("assay_")))
    {
        std::fs::copy(path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Builds tests/plugins/broken with one fault, into a folder; none where there is no C compiler.
#[cfg(target_os = "linux")]
pub(crate) fn broken(folder: &Path, fault: &str) -> Option<PathBuf> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("skipped: there is no C compiler");
        return None;
    }
    let library = folder.join(format!("libassay_{}.so", fault.to_lowercase()));
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-fvisibility=hidden", "-pthread", "-D"])
        .arg(format!("FAULT_{fault}"))
        .arg("-I")
        .arg(root().join("engine/abi/include"))
        .arg("-o")
        .arg(&library)
        .arg(root().join("tests/plugins/broken/broken.c"))
        .arg("-lm")
        .output()
        .unwrap();
    assert!(output.status.success(), "{fault}: {}", stderr(&output));
    Some(library)
}

/// A network in the place of a point transformer: 60 groups of 16 points, `channels` values a feature.
pub(crate) fn transformer(centres: usize, group: usize, channels: usize) -> Vec<u8> {
    let nodes = vec![
        build::node("ReduceMax", "greatest", &["groups"], &["group"])
            .with_ints("axes", &[2])
            .with_int("keepdims", 0),
        build::node("Concat", "both", &["group", "centres"], &["seen"]).with_int("axis", 2),
        build::node("MatMul", "features", &["seen", "weights"], &["features"]),
    ];
    let weights: Vec<f32> = (0..6 * channels).map(|i| (i as f32 * 1.7).sin()).collect();
    let weights = vec![tensor::of_f32("weights", &[6, channels], &weights)];
    let value = |name: &str, shape: &[i64]| {
        let axes: Vec<Result<i64, &str>> = shape.iter().map(|&n| Ok(n)).collect();
        build::value(name, DataType::Float, Some(&axes))
    };
    let [centres, group, channels] = [centres, group, channels].map(|n| n as i64);
    let inputs = vec![value("groups", &[1, centres, group, 3]), value("centres", &[1, centres, 3])];
    let outputs = vec![value("features", &[1, centres, channels])];
    file::write(&build::model(17, nodes, weights, inputs, outputs)).unwrap()
}

/// An image network of one layer in place of a vision transformer: squares of `patch` pixels to `channels` features.
pub(crate) fn patches(size: i64, patch: usize, channels: usize) -> Vec<u8> {
    let side = patch as i64;
    let conv = build::node("Conv", "features", &["image", "weights"], &["features"])
        .with_ints("kernel_shape", &[side, side])
        .with_ints("strides", &[side, side]);
    let weights: Vec<f32> =
        (0..3 * patch * patch * channels).map(|i| (i as f32 * 1.7).sin() / patch as f32).collect();
    let weights = vec![tensor::of_f32("weights", &[channels, 3, patch, patch], &weights)];
    let value =
        |name: &str, shape: [i64; 4]| build::value(name, DataType::Float, Some(&shape.map(Ok::<i64, &str>)));
    let inputs = vec![value("image", [1, 3, size, size])];
    let outputs = vec![value("features", [1, channels as i64, size / side, size / side])];
    file::write(&build::model(17, vec![conv], weights, inputs, outputs)).unwrap()
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The shared scans, or `None` with a word about it.
pub(crate) fn shared(what: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("ASSAY_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from).join(what);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("skipped: the shared scans are not here ({what})");
    None
}

/// A small synthetic category and a recipe that is quick to fit.
pub(crate) struct Category {
    folder: tempfile::TempDir,
}

impl Category {
    /// 24 + 6 + 3 good scans and 2 of each defect, 192 x 192.
    pub(crate) fn small() -> Self {
        Self::sized((192, 192))
    }

    /// The same of another size.
    pub(crate) fn sized(size: (usize, usize)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = assay_synthetic::Spec {
            size,
            train: 24,
            validation: 6,
            test_good: 3,
            defects_per_kind: 2,
            seed: 5,
        };
        assay_synthetic::generate(&folder.path().join("part"), &spec).unwrap();
        std::fs::write(folder.path().join("recipe.toml"), SMALL_RECIPE).unwrap();
        Self { folder }
    }

    /// A small category with its fitted model, shared by the tests of one target that only read it.
    pub(crate) fn fitted() -> (&'static Self, &'static Path) {
        static SHARED: OnceLock<(Category, PathBuf)> = OnceLock::new();
        let (category, model) = SHARED.get_or_init(|| {
            let category = Self::small();
            let model = category.fit("part.assay", &[]);
            (category, model)
        });
        (category, model)
    }

    /// A path beside the scans.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The scans.
    pub(crate) fn scans(&self) -> PathBuf {
        self.path("part")
    }

    /// Fits the recipe and returns the model.
    pub(crate) fn fit(&self, name: &str, extra: &[&str]) -> PathBuf {
        let model = self.path(name);
        let mut command = assay();
        command
            .arg("fit")
            .arg(self.path("recipe.toml"))
            .arg("--data")
            .arg(self.scans())
            .arg("-o")
            .arg(&model)
            .args(extra);
        succeed(&mut command);
        model
    }
}

// A window of 2 pixels sees as far on scans of this size as the default of 4 does on those of 400.
const SMALL_RECIPE: &str = r#"
format = 1
recipe = { number = 7, name = "small" }
station = "test bench"
[engine]
runtime = "rten"
[sensors]
colour = "rgb/{id}.png"
height = "xyz/{id}.tiff"
[steps]
look       = { method = "onnx", from = "colour", size = 192 }
normals    = { method = "normals", from = "height", window = 2 }
relief     = { method = "onnx", from = "normals", size = 192 }
appearance = { method = "padim", from = ["look.c2", "look.c3"], channels = 20 }
geometry   = { method = "patchcore", from = ["relief.c2", "relief.c3"], max_bank = 2000 }
[decide]
false_reject_rate = 0.2
"#;

/// Runs a command that must exit with 0.
pub(crate) fn succeed(command: &mut Command) -> Output {
    exit_with(command, 0)
}

/// Runs a command that must exit with `code`.
pub(crate) fn exit_with(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Standard output as one JSON value a line.
pub(crate) fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
