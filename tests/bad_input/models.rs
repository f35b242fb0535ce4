//! Models, recipes and plugins that do not fit together. What is wrong inside a recipe or a model file is tested in
//! `messages.rs` and `models.rs`.

use crate::support::tiny::Tiny;
use crate::support::{assay, exit_with, json_lines, library, stderr};
use crate::{assert_names, one_error, refused};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn what_is_no_model_is_named_by_every_command_that_takes_one() {
    let (tiny, _) = Tiny::fitted();
    let scans = tiny.scans();
    let empty = tiny.path("empty.assay");
    fs::write(&empty, "").unwrap();
    let picture = scans.join("train/good/rgb/000.png");
    for (model, cause) in [
        (&picture, "not an Assay model"),
        (&tiny.path("recipe.toml"), "not an Assay model"),
        (&empty, "not an Assay model"),
        (&scans, "directory"),
        (&tiny.path("absent.assay"), "No such file"),
    ] {
        let before = fs::read(model).ok();
        for message in [
            refused(assay().arg("score").arg(model).arg(&scans)),
            refused(assay().arg("show").arg(model)),
            refused(assay().arg("eval").arg(model).arg("--data").arg(&scans)),
            refused(assay().arg("calibrate").arg(model).args(["--false-reject-rate", "0.5"])),
            refused(assay().arg("watch").arg(model).arg(&scans)),
        ] {
            assert_names(&message, &[model.to_str().unwrap(), cause]);
        }
        assert_eq!(fs::read(model).ok(), before);
    }
}

#[test]
fn what_is_no_recipe_is_named() {
    let (tiny, model) = Tiny::fitted();
    let new = tiny.path("new.assay");
    let binary = tiny.path("binary.toml");
    fs::write(&binary, b"format = 1\n\xff\xfe").unwrap();
    for (recipe, cause) in [
        (model, "a recipe has at most"),
        (&*binary, "UTF-8"),
        (&tiny.scans(), "directory"),
        (&tiny.path("absent.toml"), "No such file"),
    ] {
        let mut fit = assay();
        fit.arg("fit").arg(recipe).arg("--data").arg(tiny.scans()).arg("-o").arg(&new);
        for message in [refused(&mut fit), refused(assay().args(["recipe", "check"]).arg(recipe))] {
            assert_names(&message, &[recipe.to_str().unwrap(), cause]);
        }
    }
    assert!(!new.exists());
}

#[test]
fn a_model_of_other_sensors_says_which_files_it_looks_for() {
    let (tiny, model) = Tiny::fitted();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("top")).unwrap();
    let picture = folder.path().join("top/000.png");
    fs::copy(tiny.scans().join("train/good/rgb/000.png"), &picture).unwrap();
    let patterns = "no file matches `rgb/{id}.*`, `xyz/{id}.tiff`";
    for path in [folder.path(), &picture] {
        assert_names(
            &refused(assay().arg("score").arg(model).arg(path)),
            &[path.to_str().unwrap(), patterns],
        );
    }
    let line = serde_json::json!({"id": "7", "files": {"color": picture, "height": picture}});
    let mut command = assay();
    command.arg("score").arg(model).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(json_lines(&output)[0]["id"], "7");
    assert_names(&one_error(&output), &["no sensor `color`", "did you mean `colour`"]);
}

/// The program alone in a folder, so that it finds no plugins but those that are put beside it.
fn lonely() -> (tempfile::TempDir, Command) {
    drop(assay());
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(format!("assay{}", std::env::consts::EXE_SUFFIX));
    fs::copy(env!("CARGO_BIN_EXE_assay"), &program).unwrap();
    let mut command = Command::new(program);
    command.env_remove("ASSAY_PLUGIN_PATH");
    (folder, command)
}

fn put_beside(folder: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
    let library = library(name);
    let mut bytes = fs::read(&library).unwrap();
    change(&mut bytes);
    fs::write(folder.join(library.file_name().unwrap()), bytes).unwrap();
}

#[test]
fn a_model_whose_plugin_is_missing_or_broken_says_which_and_where_it_looked() {
    let (tiny, model) = Tiny::fitted();
    let (folder, mut command) = lonely();
    put_beside(folder.path(), "assay_fusion", |_| {});
    put_beside(folder.path(), "assay_pointcloud", |_| {});
    command.arg("score").arg(model).arg(tiny.scans().join("test/good"));
    let here = folder.path().to_str().unwrap();
    assert_names(&refused(&mut command), &["no method `padim`", here, "--plugin-path"]);
    put_beside(folder.path(), "assay_padim", |bytes| bytes.truncate(bytes.len() / 2));
    let message = refused(&mut command);
    assert_names(&message, &["warning: plugin", "assay_padim", "no method `padim`"]);
}

#[test]
fn a_step_that_asks_for_an_output_that_its_network_lacks_is_refused_before_the_fit() {
    let tiny = Tiny::new();
    let recipe = fs::read_to_string(tiny.path("recipe.toml")).unwrap().replace("look.c2", "look.c9");
    fs::write(tiny.path("recipe.toml"), recipe).unwrap();
    let new = tiny.path("new.assay");
    let output = exit_with(&mut tiny.fit(&new), 2);
    assert_names(&stderr(&output), &["recipe.toml:12", "`look` has no output `c9`", "did you mean `c2`"]);
    assert!(!new.exists());
}
