//! What helps people on their way: first recipes, help, completions, manual pages, `doctor`, an orderly Ctrl-C.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

/// The recipe that `init` prints for a folder; `recipe check` must find it fine.
fn checked_recipe(folder: &Path) -> String {
    let recipe = stdout(&succeed(assay().arg("init").arg(folder)));
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), &recipe).unwrap();
    let check = succeed(assay().args(["recipe", "check"]).arg(file.path()));
    assert!(stdout(&check).contains("the recipe is fine"), "{recipe}");
    recipe
}

/// Copies the first `n` training scans of a category under names of its own: `name(sensor, k)`.
fn copies(n: usize, name: impl Fn(&str, usize) -> String) -> (tempfile::TempDir, PathBuf) {
    let (category, _) = Category::fitted();
    let folder = tempfile::tempdir().unwrap();
    let scans = folder.path().join("scans");
    for k in 0..n {
        for (sensor, extension) in [("rgb", "png"), ("xyz", "tiff")] {
            let name = name(sensor, k);
            if name.is_empty() {
                continue;
            }
            let to = scans.join(format!("{name}.{extension}"));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(category.scans().join(format!("train/good/{sensor}/{k:03}.{extension}")), to).unwrap();
        }
    }
    (folder, scans)
}

/// Whether the recipe has this line, however it is spaced.
fn has_line(recipe: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    recipe.lines().any(|l| words(l).starts_with(&words(line)))
}

#[test]
fn init_writes_a_recipe_for_a_data_set_and_says_what_it_found() {
    let category = Category::small();
    let recipe = checked_recipe(&category.scans());
    for line in [
        "colour = \"rgb/{id}.png\"",
        "height = { files = \"xyz/{id}.tiff\", kind = \"xyz\", unit = \"m\" }",
        "geometry = { method = \"patchcore\", from = \"relief\" }",
        // Six validation scans carry no smaller one.
        "false_reject_rate = 0.2",
    ] {
        assert!(has_line(&recipe, line), "{line}\n{recipe}");
    }
    let file = category.path("first.toml");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_assay"));
    let said = stderr(&succeed(command.arg("init").arg(category.scans()).arg("-o").arg(&file)));
    for word in
        ["MVTec 3D-AD", "24 training scans, 6 validation scans, 11 test scans", "192 x 192", "assay fit"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), recipe.trim_end());
}

#[test]
fn init_overwrites_a_recipe_only_when_told_to() {
    let (folder, scans) = copies(3, |sensor, k| if sensor == "rgb" { format!("{k}") } else { String::new() });
    let file = folder.path().join("r.toml");
    fs::write(&file, "mine").unwrap();
    let output = exit_with(assay().arg("init").arg(&scans).arg("-o").arg(&file), 2);
    assert!(stderr(&output).contains("--force") && fs::read_to_string(&file).unwrap() == "mine");
    succeed(assay().arg("init").arg(&scans).arg("--force").arg("-o").arg(&file));
    assert!(fs::read_to_string(&file).unwrap().contains("colour"));
}

#[test]
fn init_understands_folders_as_people_have_them() {
    type Name = fn(&str, usize) -> String;
    let shapes: [(&str, Name); 6] = [
        ("{id}_rgb.png", |s, k| format!("{k:03}_{s}")),
        ("{id}/rgb.png", |s, k| format!("part {k}/{s}")),
        ("camera/img_{id}.png", |s, k| {
            if s == "rgb" { format!("camera/img_{k:04}") } else { format!("laser/points_{k:04}") }
        }),
        ("sensors/top/rgb/{id}.png", |s, k| format!("sensors/top/{s}/{k}")),
        ("a \\\"b\\\" {id}.png", |s, k| if s == "rgb" { format!("x/a \"b\" {k}") } else { format!("y/{k}") }),
        ("{id}.png", |s, k| if s == "rgb" { format!("train/ok/{k}") } else { String::new() }),
    ];
    for (pattern, name) in shapes {
        let (_folder, scans) = copies(5, name);
        let recipe = checked_recipe(&scans);
        assert!(recipe.contains(pattern), "{pattern}\n{recipe}");
    }
}

#[test]
fn the_recipe_of_init_is_fitted_on_files_side_by_side() {
    let (folder, scans) = copies(10, |sensor, k| format!("lot7_{k:02}_{sensor}"));
    let (recipe, model) = (folder.path().join("r.toml"), folder.path().join("m.assay"));
    succeed(assay().arg("init").arg(&scans).arg("-o").arg(&recipe));
    let mut fit = assay();
    fit.arg("fit").arg(&recipe).arg("--data").arg(&scans).arg("-o").arg(&model);
    succeed(fit.args(["--runtime", "rten"]));
    let score = assay().arg("score").arg(&model).arg(&scans).args(["--runtime", "rten"]).output().unwrap();
    assert_eq!(json_lines(&score).len(), 10, "{}", stderr(&score));
}

#[test]
fn the_recipes_for_the_shared_data_sets_are_fine() {
    for set in ["data/mvtec3d/cable_gland", "data/mvtec/kolektor_commutator", "data/mvtec/deeppcb"] {
        if let Some(folder) = support::shared(set) {
            checked_recipe(&folder);
        }
    }
}

#[test]
fn init_says_what_to_do_where_there_is_nothing_to_take() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| {
        let output = exit_with(assay().arg("init").arg(path), 2);
        assert!(stdout(&output).is_empty());
        stderr(&output)
    };
    assert!(refused(folder.path()).contains("is empty"));
    fs::write(folder.path().join("1.las"), "").unwrap();
    assert!(refused(folder.path()).contains("1 .las"));
    assert!(refused(&folder.path().join("absent")).contains("no folder"));
    let sets = Category::small();
    assert!(refused(sets.scans().parent().unwrap()).contains("name one of them: part"));
}

#[test]
fn help_ends_with_examples_and_short_help_does_not() {
    let commands: [&[&str]; 9] = [
        &[],
        &["init"],
        &["fit"],
        &["eval"],
        &["demo"],
        &["doctor"],
        &["plugin"],
        &["recipe", "check"],
        &["completions"],
    ];
    for command in commands {
        let long = stdout(&succeed(assay().args(command).arg("--help")));
        let examples = long.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command:?}: {long}")).1;
        assert!(examples.lines().filter(|l| l.starts_with("  assay ")).count() >= 2, "{command:?}");
        assert!(!stdout(&succeed(assay().args(command).arg("-h"))).contains("Examples"), "{command:?}");
    }
}

#[test]
fn shells_complete_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&succeed(assay().args(["completions", shell])));
        assert!(script.contains("doctor") && script.contains("runtime-path"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    succeed(assay().args(["man", "--dir"]).arg(&pages));
    let main = fs::read_to_string(pages.join("assay.1")).unwrap();
    assert_eq!(main, stdout(&succeed(assay().arg("man"))));
    for page in
        ["assay-init.1", "assay-fit.1", "assay-recipe.1", "assay-recipe-check.1", "assay-plugin-info.1"]
    {
        let text = fs::read_to_string(pages.join(page)).unwrap();
        let command = page.trim_end_matches(".1").replace('-', "\\-");
        assert!(text.starts_with(".ie") && text.contains(&command), "{page}: {text}");
    }
    // The commands that the main page names are all there.
    for name in main.lines().filter_map(|l| l.strip_suffix("(1)")) {
        let page = format!("{}.1", name.replace("\\-", "-"));
        assert!(pages.join(&page).is_file(), "{page}");
    }
}

#[test]
fn the_version_names_the_revision() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stdout(&succeed(assay().arg("-V"))), format!("assay {version}\n"));
    let long = stdout(&succeed(assay().arg("--version")));
    let expected = std::env::var("ASSAY_REVISION").ok().or_else(|| {
        // An archive that was unpacked inside another repository has no revision.
        support::root().join(".git").exists().then_some(())?;
        let mut git = std::process::Command::new("git");
        let head =
            git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(support::root()).output().ok()?;
        head.status.success().then(|| String::from_utf8(head.stdout).unwrap().trim().to_owned())
    });
    match expected {
        Some(revision) => assert_eq!(long, format!("assay {version} ({revision})\n")),
        None => assert_eq!(long, format!("assay {version}\n")),
    }
}

#[test]
fn doctor_answers_scripts() {
    let found = &json_lines(&succeed(assay().args(["doctor", "--json", "--runtime", "rten"])))[0];
    assert_eq!(found["runtime"]["name"], "rten");
    assert!(found["processor"]["cores"].as_u64().unwrap() > 0);
    assert!(found["temporary"]["error"].is_null() && found["temporary"]["folder"].is_string());
    let methods = found["plugins"]["libraries"].as_array().unwrap().iter().map(|l| l["methods"].to_string());
    assert!(methods.collect::<String>().contains("patchcore"), "{found}");
}

#[test]
fn doctor_says_where_temporary_files_cannot_be_written() {
    let mut command = assay();
    command.args(["doctor", "--json", "--runtime", "rten"]).env("TMPDIR", "/nonexistent/assay");
    let found = &json_lines(&exit_with(&mut command, 2))[0];
    assert!(found["temporary"]["error"].is_string(), "{found}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_during_a_fit_leaves_no_file_and_says_how_to_go_on() {
    use std::io::{BufRead as _, Read as _};
    let category = Category::small();
    let (model, scratch) = (category.path("part.assay"), category.path("scratch"));
    fs::create_dir(&scratch).unwrap();
    drop(assay());
    let mut fit = std::process::Command::new(env!("CARGO_BIN_EXE_assay"))
        .arg("fit")
        .arg(category.path("recipe.toml"))
        .arg("--data")
        .arg(category.scans())
        .arg("-o")
        .arg(&model)
        .env("TMPDIR", &scratch)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut messages = std::io::BufReader::new(fit.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("fitting on") {
        line.clear();
        assert!(messages.read_line(&mut line).unwrap() > 0, "the fit ended early");
    }
    let interrupt = std::process::Command::new("kill").arg("-INT").arg(fit.id().to_string()).status();
    assert!(interrupt.unwrap().success());
    let status = fit.wait().unwrap();
    let mut rest = String::new();
    messages.read_to_string(&mut rest).unwrap();
    assert_eq!(status.code(), Some(2), "{rest}");
    assert!(rest.contains("interrupted") && rest.contains("run the same command again"), "{rest}");
    assert!(!model.exists());
    let left =
        |folder: &Path| fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert!(left(&scratch).is_empty(), "{:?}", left(&scratch));
    assert!(!left(model.parent().unwrap()).iter().any(|n| n.to_string_lossy().ends_with(".tmp")));
}
