//! Plugins as libraries: found, loaded, refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use assay_abi as abi;
use assay_core::plugin::{
    FitPass, Instance, Isolation, Launcher, ParamValue, Registry, SearchPath, Services, Watch,
};
use assay_core::value::{Content, Data, Spec, Value};
use assay_data::{Frame, Grid};
use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{
    Category, assay, exit_with, json_lines, library, plugin_folder, root, stderr, stdout, succeed,
};

fn only(folder: &Path) -> Registry {
    Registry::discover(&SearchPath::only(&[folder.to_path_buf()])).unwrap()
}

fn library_name(name: &str) -> String {
    format!("{}assay_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// Compiles a C plugin that does nothing but claim an ABI version.
fn c_plugin(folder: &Path, name: &str, major: u32, minor: u32) -> PathBuf {
    let source = folder.join(format!("{name}.c"));
    let text = format!(
        "#include \"assay/assay.h\"\nstatic const assay_plugin *plugin(void) {{ return 0; }}\n\
         ASSAY_EXPORT const assay_entry_table assay_entry = {{ sizeof(assay_entry_table), {major}, {minor}, 0, plugin }};\n"
    );
    compile_c(folder, name, &source, &text)
}

fn compile_c(folder: &Path, name: &str, source: &Path, text: &str) -> PathBuf {
    std::fs::write(source, text).unwrap();
    compile_c_with(&root().join("engine/abi/include"), folder, name, source)
}

/// Compiles with the header in `include`.
fn compile_c_with(include: &Path, folder: &Path, name: &str, source: &Path) -> PathBuf {
    let out = folder.join(library_name(name));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(compiler)
        .args(["-std=c11", "-shared", "-fPIC", "-fvisibility=hidden", "-I"])
        .arg(include)
        .arg("-o")
        .arg(&out)
        .arg(source)
        .arg("-lm")
        .status()
        .expect("a C compiler is needed to test plugins");
    assert!(status.success());
    out
}

#[test]
fn all_bundled_methods_are_found_in_their_libraries() {
    let folder = plugin_folder();
    let registry = only(folder.path());
    assert!(registry.broken.is_empty(), "{:?}", registry.broken);
    let ids: Vec<&str> = registry.methods().map(|m| m.info.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "btf-pool",
            "concat",
            "easynet",
            "fapm",
            "fpfh",
            "gaps",
            "height",
            "m3dm",
            "max",
            "normals",
            "one-class-svm",
            "padim",
            "patchcore",
            "point-mae",
            "sum",
            "weighted"
        ]
    );
    for method in registry.methods() {
        assert!(!method.info.summary.is_empty() && !method.info.licence.is_empty(), "{}", method.info.id);
        assert!(method.info.params.iter().all(|p| !p.doc.is_empty()), "{}", method.info.id);
    }
}

#[test]
fn the_program_lists_and_describes_methods() {
    let list = stdout(&succeed(assay().args(["plugin", "list"])));
    for id in ["onnx", "onnx-map", "patchcore", "padim", "fapm", "normals", "fpfh", "sum"] {
        assert!(list.lines().any(|l| l.split_whitespace().next() == Some(id)), "{id}:\n{list}");
    }
    let info = stdout(&succeed(assay().args(["plugin", "info", "patchcore"])));
    assert!(info.contains("coreset") && info.contains("Roth") && info.contains("plugin ABI: 1.0"), "{info}");
    let listed = json_lines(&succeed(assay().args(["plugin", "list", "--json"])));
    let described = json_lines(&succeed(assay().args(["plugin", "info", "patchcore", "--json"])));
    assert_eq!(listed.iter().find(|m| m["id"] == "patchcore"), Some(&described[0]));
    let library = &described[0]["library"];
    assert!(
        library["sha256"].as_str().is_some_and(|s| s.len() == 64) && library["abi"] == "1.0",
        "{library}"
    );
    assert!(listed.iter().any(|m| m["id"] == "onnx" && m["library"].is_null()));
    let wrong = exit_with(assay().args(["plugin", "info", "patchcor"]), 2);
    assert!(stderr(&wrong).contains("did you mean `patchcore`"), "{}", stderr(&wrong));
}

#[test]
fn a_library_of_another_abi_version_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    c_plugin(folder.path(), "future", 9, 3);
    let registry = only(folder.path());
    let message = registry.broken[0].to_string();
    let own = format!("{}.{}", abi::ABI_MAJOR, abi::ABI_MINOR);
    assert!(message.contains("9.3") && message.contains(&own) && message.contains("rebuild"), "{message}");
}

#[test]
fn a_library_that_says_it_cannot_work_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    c_plugin(folder.path(), "unwilling", abi::ABI_MAJOR, abi::ABI_MINOR);
    assert!(only(folder.path()).broken[0].to_string().contains("cannot work here"));
}

#[test]
fn a_library_without_the_entry_symbol_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    compile_c(folder.path(), "empty", &folder.path().join("empty.c"), "int nothing(void) { return 0; }\n");
    let message = only(folder.path()).broken[0].to_string();
    assert!(message.contains("assay_entry"), "{message}");
}

#[test]
fn a_truncated_library_is_refused_before_the_system_loads_it() {
    let whole = std::fs::read(library("assay_fusion")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for share in [1, 10, 50, 90, 99] {
        let path = folder.path().join(library_name("cut"));
        std::fs::write(&path, &whole[..whole.len() * share / 100]).unwrap();
        let registry = only(folder.path());
        let message = registry.broken[0].to_string();
        assert!(message.contains("truncated") || message.contains("not a complete"), "{share} %: {message}");
    }
}

#[test]
fn a_method_twice_in_one_folder_is_an_error_and_an_earlier_folder_wins() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fusion = library("assay_fusion");
    std::fs::copy(&fusion, first.path().join(library_name("a"))).unwrap();
    std::fs::copy(&fusion, second.path().join(library_name("b"))).unwrap();
    let path = SearchPath::only(&[first.path().to_path_buf(), second.path().to_path_buf()]);
    let registry = Registry::discover(&path).unwrap();
    assert!(registry.get("sum").unwrap().library.path.starts_with(first.path()));
    assert_eq!(registry.hidden.len(), 5);
    std::fs::copy(&fusion, first.path().join(library_name("again"))).unwrap();
    let error = Registry::discover(&path).unwrap_err().to_string();
    assert!(
        error.contains("two libraries") && error.contains("a.so") && error.contains("again.so"),
        "{error}"
    );
}

#[test]
fn a_stale_copy_in_a_build_tree_never_wins() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("deps")).unwrap();
    std::fs::create_dir(tree.path().join(".fingerprint")).unwrap();
    let (stale, fresh) =
        (tree.path().join(library_name("x")), tree.path().join("deps").join(library_name("x")));
    std::fs::copy(library("assay_fusion"), &fresh).unwrap();
    std::fs::write(&stale, "an old build").unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&stale).unwrap().set_modified(old).unwrap();
    let registry = only(tree.path());
    assert!(registry.broken.is_empty() && registry.get("sum").is_some());
}

#[test]
fn a_recipe_without_its_plugin_says_what_was_searched() {
    let category = Category::small();
    let recipe =
        std::fs::read_to_string(category.path("recipe.toml")).unwrap().replace("patchcore", "ransom");
    std::fs::write(category.path("recipe.toml"), recipe).unwrap();
    let output = exit_with(assay().args(["recipe", "check"]).arg(category.path("recipe.toml")), 2);
    let message = stderr(&output);
    assert!(message.contains("recipe.toml:") && message.contains("no method `ransom`"), "{message}");
}

/// Stops the work after a number of progress reports.
struct StopAfter {
    reports: AtomicUsize,
    limit: usize,
}

impl Watch for StopAfter {
    fn log(&self, _: &str, _: u32, _: &str) {}
    fn progress(&self, _: &str, fraction: f64, message: &str) {
        assert!((0.0..=1.0).contains(&fraction) && message.starts_with("pass "));
        self.reports.fetch_add(1, Ordering::Relaxed);
    }
    fn cancelled(&self) -> bool {
        self.reports.load(Ordering::Relaxed) >= self.limit
    }
}

/// Fits the gradient plugin on three small images, from `state` on where there is one. Returns the state after the last
/// whole pass and whether it was cancelled.
fn fit_gradient(instance: &mut Instance, from: u32, resumed: bool) -> (Vec<u8>, u32, bool) {
    let scans: Vec<Value> = (0..3).map(|i| image(f32::from(i as u8) * 30.0)).collect();
    let mut state = Vec::new();
    for pass in from.. {
        let fit = FitPass { pass, fold: 0, folds: 0, samples: scans.len(), resumed: resumed && pass == from };
        instance.fit_begin(fit).unwrap();
        for (i, scan) in scans.iter().enumerate() {
            if let Err(failure) = instance.fit_add("scan", i, &[(0, scan)]) {
                assert!(failure.cancelled, "{failure}");
                return (state, pass, true);
            }
        }
        let more = instance.fit_end().unwrap();
        state.clear();
        instance.save(&mut state).unwrap();
        if !more {
            return (state, pass + 1, false);
        }
    }
    unreachable!()
}

fn image(level: f32) -> Value {
    let values = Array3::from_shape_fn((3, 4, 5), |(c, i, j)| level + (c * 10 + i + j) as f32);
    Value {
        content: Content::Features,
        data: Data::Grid(Grid { values, valid: None, frame: Frame::NATIVE }),
        image_score: f64::NAN,
    }
}

/// What a method makes of one value of 12 x 16 pixels.
fn made(registry: &Registry, method: &str, input: &Value) -> Value {
    let spec = Spec {
        content: input.content,
        channels: 3,
        size: Some((12, 16)),
        frame: Frame::NATIVE,
        range: None,
        name: "x".into(),
    };
    let method = registry.get(method).unwrap();
    let params: Vec<ParamValue> = method.info.params.iter().map(|p| p.default.clone()).collect();
    let services = Services::new(1).unwrap();
    let instance =
        Instance::new(method, Isolation::None, "step", 0, &services, &params, &[(0, spec)], (12, 16))
            .unwrap();
    instance.score("scan", &[(0, input)], (12, 16)).unwrap().remove(0)
}

#[test]
fn features_go_on_where_nothing_was_measured_and_stay_invalid_there() {
    let folder = plugin_folder();
    let registry = only(folder.path());
    let values = Array3::from_shape_fn((3, 12, 16), |(c, i, j)| [j as f32 * 1e-3, i as f32 * 1e-3, 0.4][c]);
    let valid = ndarray::Array2::from_shape_fn((12, 16), |at| at != (5, 7));
    let grid = Grid { values, valid: Some(valid), frame: Frame::NATIVE };
    let scan = Value { content: Content::Xyz, data: Data::Grid(grid), image_score: f64::NAN };
    let Data::Grid(normals) = made(&registry, "normals", &scan).data else { panic!("normals are a grid") };
    assert!(!normals.is_valid(5, 7) && normals.is_valid(5, 6));
    assert!((normals.values[(2, 5, 7)] + 1.0).abs() < 1e-4, "{}", normals.values);
}

#[test]
fn a_method_that_trains_by_passes_reports_progress_is_cancelled_resumed_and_scores_through_its_own_onnx() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(library("gradient_test_plugin"), folder.path().join(library_name("gradient"))).unwrap();
    let registry = only(folder.path());
    let method = registry.get("gradient").unwrap();
    let spec = Spec {
        content: Content::Features,
        channels: 3,
        size: Some((4, 5)),
        frame: Frame::NATIVE,
        range: None,
        name: "x".into(),
    };
    let options = assay_inference::Options { runtime: assay_inference::Runtime::Rten, ..Default::default() };
    let engine = Arc::new(assay_inference::Engine::open(&options).unwrap());
    let services = |limit| Services {
        inference: Some(engine.clone()),
        watch: Arc::new(StopAfter { reports: AtomicUsize::new(0), limit }),
        ..Services::new(2).unwrap()
    };
    let params = [ParamValue::Int(6), ParamValue::Float(0.5)];
    let made = |isolation, services: &Services| {
        let inputs = [(0, spec.clone())];
        Instance::new(method, isolation, "gradient", 0, services, &params, &inputs, (4, 5)).unwrap()
    };
    let make = |limit| made(Isolation::None, &services(limit));

    let mut whole = make(usize::MAX);
    assert!(whole.score("early", &[(0, &image(0.0))], (4, 5)).unwrap_err().message.contains("before"));
    let (expected, passes, cancelled) = fit_gradient(&mut whole, 0, false);
    assert_eq!((passes, cancelled), (6, false));

    // Three reports a pass: the eleventh comes in pass 3 and stops it.
    let mut first = make(11);
    let (checkpoint, pass, cancelled) = fit_gradient(&mut first, 0, false);
    assert_eq!((pass, cancelled), (3, true));
    drop(first);
    let mut second = make(usize::MAX);
    second.load(&mut checkpoint.as_slice()).unwrap();
    assert!(second.score("partial", &[(0, &image(0.0))], (4, 5)).is_err());
    let (state, passes, cancelled) = fit_gradient(&mut second, pass, true);
    assert_eq!((passes, cancelled), (6, false));
    assert!(state == expected, "a resumed fit ends where an uninterrupted one does");

    // Mean of the three levels is 30 plus the pattern's mean; six halvings bring it to within 1/64 of it.
    let score = |level: f32| whole.score("x", &[(0, &image(level))], (4, 5)).unwrap()[0].image_score;
    assert!(score(300.0) > 50.0 * score(30.0), "{} {}", score(300.0), score(30.0));
    let naive: f32 = {
        let mean: Vec<f64> = expected[expected.len() - 24..]
            .chunks(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let x = image(30.0);
        let grid = x.grid().unwrap();
        (0..3).map(|c| (grid.values[(c, 3, 4)] - mean[c] as f32).powi(2)).sum()
    };
    let map = whole.score("x", &[(0, &image(30.0))], (4, 5)).unwrap();
    assert!((map[0].grid().unwrap().values[(0, 3, 4)] - naive).abs() < 1e-2 * naive.abs().max(1.0));

    // In a process of its own it comes to the same bits, through an engine of that process.
    let program = env!("CARGO_BIN_EXE_assay").into();
    let launcher = Launcher { program, arguments: ["plugin", "serve"].map(str::to_owned).to_vec() };
    let apart = Services { launcher: Some(launcher), ..services(usize::MAX) };
    let mut apart = made(Isolation::Process { patience: Duration::from_secs(60) }, &apart);
    assert!(apart.score("early", &[(0, &image(0.0))], (4, 5)).unwrap_err().message.contains("before"));
    assert!(fit_gradient(&mut apart, 0, false) == (expected.clone(), 6, false));
    assert_eq!(apart.score("x", &[(0, &image(30.0))], (4, 5)).unwrap(), map);
    assert!(apart.load(&mut &expected[1..]).is_err());
    apart.load(&mut expected.as_slice()).unwrap();
    assert_eq!(apart.score("x", &[(0, &image(30.0))], (4, 5)).unwrap(), map);

    for cut in 0..expected.len() {
        assert!(make(usize::MAX).load(&mut &expected[..cut]).is_err(), "a state cut at {cut} was accepted");
    }
}

/// A recipe of steps that plugins from outside make, on colour alone.
fn outside_recipe(steps: &str) -> String {
    format!(
        "format = 1\nrecipe = {{ number = 12, name = \"outside\" }}\n[engine]\nruntime = \"rten\"\n[sensors]\ncolour = \"rgb/{{id}}.png\"\n\
         [steps]\n{steps}\n[decide]\nfalse_reject_rate = 0.2\n"
    )
}

/// Fits a recipe with the plugins of one folder beside the bundled ones; the scores of the good test scans, and of one of them with
/// a black square on the part.
fn scored_with(plugins: &Path, steps: &str) -> (Vec<f64>, f64) {
    let category = Category::small();
    std::fs::write(category.path("recipe.toml"), outside_recipe(steps)).unwrap();
    let folder = plugins.to_str().unwrap();
    let model = category.fit("outside.assay", &["--plugin-path", folder]);
    let score = |scans: &Path| -> Vec<f64> {
        let mut command = assay();
        command.arg("score").arg(&model).arg(scans).args(["--plugin-path", folder]);
        let output = command.output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        json_lines(&output).iter().map(|line| line["score"].as_f64().unwrap()).collect()
    };
    let good = category.scans().join("test/good");
    let bad = category.path("bad");
    std::fs::create_dir_all(bad.join("rgb")).unwrap();
    let mut picture = image::open(good.join("rgb/000.png")).unwrap().to_rgb8();
    let (cols, rows) = picture.dimensions();
    for (col, row) in (0..24).flat_map(|col| (0..24).map(move |row| (col, row))) {
        picture.put_pixel(cols / 2 - 12 + col, rows / 2 - 12 + row, image::Rgb([0, 0, 0]));
    }
    picture.save(bad.join("rgb/000.png")).unwrap();
    (score(&good), score(&bad)[0])
}

/// Every check of the validator passes that concerns the plugin.
fn validated(library: &Path) {
    let found = json_lines(&succeed(assay().args(["plugin", "validate", "--json"]).arg(library)));
    for finding in &found {
        let fine = matches!(finding["status"].as_str(), Some("pass" | "skip"));
        assert!(fine || finding["check"] == "loading/time", "{finding}");
    }
    assert!(found.len() > 40);
}

fn stands_out((good, bad): (Vec<f64>, f64)) {
    assert_eq!(good.len(), 3);
    assert!(good.iter().all(|score| bad > 1.2 * score), "{bad} among {good:?}");
}

#[test]
fn a_plugin_in_c_is_compiled_against_the_header_alone_and_inspects() {
    let folder = tempfile::tempdir().unwrap();
    let source = root().join("tests/plugins/cells/cells.c");
    let copy = folder.path().join("cells.c");
    let library = compile_c(folder.path(), "cells", &copy, &std::fs::read_to_string(source).unwrap());
    validated(&library);
    stands_out(scored_with(folder.path(), "found = { method = \"cells\", from = \"colour\", cell = 4 }"));
}

#[test]
fn a_plugin_that_was_written_for_version_1_0_of_the_abi_is_loaded_validated_and_inspects() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = root().join("tests/fixtures/abi-1.0");
    let library = compile_c_with(&frozen, folder.path(), "cells_1_0", &frozen.join("cells.c"));
    assert_eq!(only(folder.path()).get("cells-1-0").unwrap().library.abi, (1, 0));
    validated(&library);
    stands_out(scored_with(folder.path(), "found = { method = \"cells-1-0\", from = \"colour\", cell = 4 }"));
}

#[test]
fn a_table_that_is_shorter_than_version_1_0_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = std::fs::read_to_string(root().join("tests/plugins/cells/cells.c")).unwrap();
    let source = source.replace("sizeof(assay_method)", "sizeof(assay_method) - 8");
    compile_c(folder.path(), "short", &folder.path().join("short.c"), &source);
    let message = only(folder.path()).broken[0].to_string();
    assert!(message.contains("fewer than version 1.0 says"), "{message}");
    // A longer one is of a later version in which all of this is as it was.
    let source = source.replace("sizeof(assay_method) - 8", "sizeof(assay_method) + 16");
    std::fs::remove_file(folder.path().join(library_name("short"))).unwrap();
    compile_c(folder.path(), "long", &folder.path().join("long.c"), &source);
    assert!(only(folder.path()).get("cells").is_some());
}

#[test]
fn a_plugin_in_rust_is_built_in_a_workspace_of_its_own_from_the_sdk_alone_and_inspects() {
    let folder = tempfile::tempdir().unwrap();
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("texture");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--offline", "--quiet", "--locked", "--manifest-path"]);
    cargo.arg(root().join("tests/plugins/texture/Cargo.toml")).arg("--target-dir").arg(&built);
    assert!(cargo.status().unwrap().success());
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet", "--locked", "--manifest-path"]);
    cargo.arg(root().join("tests/plugins/texture/Cargo.toml")).arg("--target-dir").arg(&built);
    assert!(cargo.status().unwrap().success());
    let name = library_name("texture");
    std::fs::copy(built.join("debug").join(&name), folder.path().join(&name)).unwrap();
    validated(&folder.path().join(&name));
    let steps = "look = { method = \"texture\", from = \"colour\", cell = 4 }\n\
                 found = { method = \"patchcore\", from = \"look\", max_bank = 500 }";
    stands_out(scored_with(folder.path(), steps));
}

#[test]
fn the_reference_of_methods_is_what_they_say_of_themselves() {
    let folder = plugin_folder();
    let pages = root().join("docs/methods");
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let list = stdout(&succeed(assay().args(["plugin", "list", "--plugin-path"]).arg(folder.path())));
    let mut methods: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    methods.sort_unstable();
    assert!(methods.len() > 15, "{list}");
    let mut index = String::from(
        "# Methods\n\nWhat `assay plugin info METHOD --markdown` says of each bundled method; a test keeps these pages current.\n\n",
    );
    let mut fresh = Vec::new();
    for method in &methods {
        let mut info = assay();
        info.args(["plugin", "info", method, "--markdown", "--plugin-path"]).arg(folder.path());
        let page = stdout(&succeed(&mut info));
        let title = page.lines().next().unwrap().trim_start_matches("# ").to_owned();
        index += &format!("- [{title}]({method}.md)\n");
        fresh.push((format!("{method}.md"), page));
    }
    fresh.push(("README.md".into(), index));
    if update {
        std::fs::create_dir_all(&pages).unwrap();
    }
    for (name, page) in &fresh {
        if update {
            std::fs::write(pages.join(name), page).unwrap();
        }
        let kept = std::fs::read_to_string(pages.join(name)).unwrap_or_default();
        assert!(
            kept == *page,
            "docs/methods/{name} is stale: UPDATE_DOCS=1 cargo test -p assay --test plugins"
        );
    }
    let names = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let kept: Vec<String> = std::fs::read_dir(&pages).unwrap().map(names).collect();
    assert_eq!(kept.len(), fresh.len(), "docs/methods has pages of methods that are gone: {kept:?}");
}

/// A recipe of one step of the C plugin of the tests, pinned.
fn pinned(folder: &Path, sha256: &str) -> PathBuf {
    let recipe = folder.join("pinned.toml");
    let step = format!("found = {{ method = \"cells\", from = \"colour\", plugin_sha256 = \"{sha256}\" }}");
    std::fs::write(&recipe, outside_recipe(&step)).unwrap();
    recipe
}

#[test]
fn a_recipe_that_pins_a_library_takes_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let source = std::fs::read_to_string(root().join("tests/plugins/cells/cells.c")).unwrap();
    compile_c(folder.path(), "cells", &folder.path().join("cells.c"), &source);
    let sha256 = only(folder.path()).get("cells").unwrap().library.sha256.clone();
    let check = |recipe: &Path| {
        let mut check = assay();
        check.args(["recipe", "check"]).arg(recipe).arg("--plugin-path").arg(folder.path());
        check
    };
    let resolved = stdout(&succeed(check(&pinned(folder.path(), &sha256)).arg("--resolved")));
    assert!(resolved.contains(&format!("plugin_sha256 = \"{sha256}\"")), "{resolved}");
    let other = sha256.replace(|c: char| c.is_ascii_digit(), "0");
    let refused = stderr(&exit_with(&mut check(&pinned(folder.path(), &other)), 2));
    assert!(refused.contains("steps.found.plugin_sha256") && refused.contains(&sha256), "{refused}");
    let refused = stderr(&exit_with(&mut check(&pinned(folder.path(), "9f86")), 2));
    assert!(refused.contains("is not a SHA-256"), "{refused}");
}

#[cfg(unix)]
#[test]
fn nothing_is_loaded_from_where_anyone_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let source = std::fs::read_to_string(root().join("tests/plugins/cells/cells.c")).unwrap();
    let library = compile_c(folder.path(), "cells", &folder.path().join("cells.c"), &source);
    mode(folder.path(), 0o777);
    let refused =
        Registry::discover(&SearchPath::only(&[folder.path().to_path_buf()])).unwrap_err().to_string();
    assert!(refused.contains("plugins are code") && refused.contains("chmod o-w"), "{refused}");
    mode(folder.path(), 0o755);
    mode(&library, 0o777);
    let registry = only(folder.path());
    assert!(registry.get("cells").is_none() && registry.broken[0].to_string().contains("chmod o-w"));
    mode(&library, 0o755);
    assert!(only(folder.path()).get("cells").is_some());
}
