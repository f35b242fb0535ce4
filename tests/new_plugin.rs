//! Projects that `assay plugin new` makes: built, tested and run as their README says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
#![cfg(unix)]

mod support;

use std::path::Path;
use std::process::Command;
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}{}", stdout(&output), stderr(&output));
}

/// Every check passes that concerns the method; which licence it has is its author's to say.
fn validated(libraries: &Path, name: &str) {
    let prefix = std::env::consts::DLL_PREFIX;
    let library = format!("{prefix}assay_{}{}", name.replace('-', "_"), std::env::consts::DLL_SUFFIX);
    let mut validate = assay();
    validate.args(["plugin", "validate", "--json"]).arg(libraries.join(library));
    let found = json_lines(&succeed(&mut validate));
    assert!(found.len() > 40, "{name}: {found:?}");
    for finding in &found {
        let fine =
            matches!(finding["status"].as_str(), Some("pass" | "skip")) || finding["check"] == "loading/time";
        assert!(fine || finding["message"] == "it has no licence", "{name}: {finding}");
    }
}

/// Makes, builds, tests and runs a project of each role.
fn projects(lang: &str, build: impl Fn(&Path)) {
    let category = Category::small();
    for role in ["extractor", "detector", "fuser"] {
        let name = format!("my-{role}");
        let folder = category.path(&name);
        let mut new = assay();
        new.args(["plugin", "new", &name, "--lang", lang, "--role", role, "--dir"]).arg(&folder);
        succeed(&mut new);
        build(&folder);
        let recipe = folder.join("recipe.toml");
        let text = std::fs::read_to_string(&recipe).unwrap();
        let libraries = folder.join(if lang == "c" { "." } else { "target/release" });
        let mut info = assay();
        info.args(["plugin", "info", &name, "--plugin-path"]).arg(&libraries);
        assert!(stdout(&succeed(&mut info)).contains(role));
        validated(&libraries, &name);
        // The small scans have as many validation scans as this rate takes, and are small.
        let small = text.replace("false_reject_rate = 0.1", "false_reject_rate = 0.2");
        let small = small.replace("from = \"colour\"", "from = \"colour\", SIZE");
        let size = if small.contains("\"onnx\"") { "size = 64" } else { "cell = 4" };
        std::fs::write(
            &recipe,
            small.replace("SIZE", size).replace("[engine]", "[engine]\nruntime = \"rten\""),
        )
        .unwrap();
        let model = category.path(&format!("{name}.assay"));
        let mut fit = assay();
        fit.arg("fit").arg(&recipe).arg("--data").arg(category.scans()).arg("-o").arg(&model);
        succeed(&mut fit);
        let mut eval = assay();
        eval.arg("eval").arg(&model).arg("--json").arg("--data").arg(category.scans());
        let figures = &json_lines(&succeed(eval.arg("--plugin-path").arg(&libraries)))[0];
        assert!(figures["image_auroc"].as_f64().is_some(), "{figures}");
    }
}

#[test]
fn a_new_project_in_c_builds_passes_its_test_and_inspects_in_every_role() {
    if Command::new("make").arg("--version").output().is_err() {
        eprintln!("skipped: there is no make on this machine");
        return;
    }
    projects("c", |folder| {
        run(folder, "make", &["CFLAGS=-O1 -Wall -Wextra -Werror", "test"]);
        run(folder, "make", &["CFLAGS=-O2 -Wall -Wextra -Werror"]);
    });
}

#[test]
fn a_new_project_in_rust_builds_offline_passes_its_test_and_inspects_in_every_role() {
    // One build folder for all of them: the SDK is compiled once.
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugins");
    std::fs::create_dir_all(&built).unwrap();
    projects("rust", |folder| {
        std::os::unix::fs::symlink(&built, folder.join("target")).unwrap();
        run(folder, env!("CARGO"), &["test", "--offline", "--quiet", "--release", "--lib"]);
        run(folder, env!("CARGO"), &["build", "--offline", "--quiet", "--release"]);
    });
}

#[test]
fn a_folder_with_something_in_it_and_a_name_that_is_taken_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "").unwrap();
    let new = |name: &str, dir: &Path| {
        let mut new = assay();
        new.args(["plugin", "new", name, "--lang", "c", "--role", "fuser", "--dir"]).arg(dir);
        stderr(&exit_with(&mut new, 2))
    };
    assert!(new("my-fuser", folder.path()).contains("is there already"));
    assert!(new("onnx", &folder.path().join("a")).contains("already"));
    assert!(new("My_Fuser", &folder.path().join("b")).contains("small letters"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_code_of_the_tutorial_is_that_of_the_projects_which_are_built_here() {
    let root = support::root();
    let templates = root.join("engine/cli/templates/plugin");
    let tutorial = std::fs::read_to_string(root.join("docs/plugins.md")).unwrap();
    let mut blocks = 0;
    for lang in ["rust", "c"] {
        let sources: Vec<String> = ["extractor", "detector", "fuser"]
            .iter()
            .map(|role| {
                let file =
                    templates.join(lang).join(format!("{role}.{}.in", if lang == "c" { "c" } else { "rs" }));
                std::fs::read_to_string(file).unwrap()
            })
            .collect();
        for block in tutorial.split(&format!("```{lang}\n")).skip(1) {
            let code = block.split("```").next().unwrap();
            assert!(
                sources.iter().any(|s| s.contains(code)),
                "docs/plugins.md shows code that is nowhere:\n{code}"
            );
            blocks += 1;
        }
    }
    assert!(blocks >= 6);
}
