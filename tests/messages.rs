//! What the program says: help texts and the errors of wrong recipes, as snapshots.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use support::{assay, exit_with, stderr, stdout, succeed};

/// Removes what differs from machine to machine.
fn plain(text: &str) -> String {
    text.replace(&support::root().display().to_string(), "<root>")
}

#[test]
fn help_texts() {
    let pages: [&[&str]; 15] = [
        &[],
        &["init"],
        &["fit"],
        &["calibrate"],
        &["score"],
        &["watch"],
        &["show"],
        &["eval"],
        &["metrics"],
        &["bench"],
        &["demo"],
        &["doctor"],
        &["recipe", "check"],
        &["schema"],
        &["plugin", "validate"],
    ];
    for page in pages {
        let name = format!("help_{}", if page.is_empty() { "assay".into() } else { page.join("_") });
        insta::assert_snapshot!(name, plain(&stdout(&succeed(assay().args(page).arg("--help")))));
    }
}

/// The error of `assay recipe check` on a recipe, its folder left out.
fn error_of(recipe: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    std::fs::write(&path, recipe).unwrap();
    let output = exit_with(assay().args(["recipe", "check"]).arg(&path), 2);
    let text = stderr(&output).replace(&format!("{}/", folder.path().display()), "");
    // The folders that were searched differ from machine to machine.
    match text.split_once(" Looked in ") {
        Some((before, after)) => {
            let rest = after.split_once(" (--plugin-path").map_or("", |(_, rest)| rest);
            format!("{before} Looked in <folders> (--plugin-path{rest}")
        }
        None => text,
    }
}

#[test]
fn wrong_recipes_get_file_line_key_and_the_nearest_spelling() {
    let good = "format = 1\n[sensors]\ncolour = \"rgb/{id}.png\"\nheight = \"xyz/{id}.tiff\"\n[steps]\n\
                look = { method = \"onnx\", from = \"colour\", size = 64 }\n\
                find = { method = \"patchcore\", from = \"look\" }\n";
    let wrong = [
        ("not_toml", "format = 1\n[sensors\n".to_owned()),
        ("newer_format", good.replace("format = 1", "format = 2")),
        ("no_sensors", "format = 1\n[steps]\na = { method = \"sum\", from = \"b\" }\n".to_owned()),
        ("unknown_top_key", format!("stations = \"a\"\n{good}")),
        ("unknown_kind", good.replace("\"rgb/{id}.png\"", "{ files = \"rgb/{id}.png\", kind = \"rbg\" }")),
        ("unknown_method", good.replace("patchcore", "pachcore")),
        ("unknown_parameter", good.replace("from = \"look\"", "from = \"look\", corset = 0.1")),
        ("wrong_type", good.replace("from = \"look\"", "from = \"look\", coreset = \"big\"")),
        ("out_of_range", good.replace("size = 64", "size = 8")),
        ("unknown_step", good.replace("from = \"look\"", "from = \"loook\"")),
        ("unknown_output", good.replace("from = \"look\"", "from = \"look.c9\"")),
        ("wrong_content", good.replace("from = \"look\"", "from = \"height\"")),
        ("missing_from", good.replace(", from = \"look\"", "")),
        (
            "cycle",
            good.replace("from = \"look\" }", "from = [\"look\", \"b\"] }\nb = { method = \"concat\", from = \"c\" }\nc = { method = \"concat\", from = \"b\" }"),
        ),
        ("no_detector", good.lines().take(6).collect::<Vec<_>>().join("\n")),
        ("bad_rate", format!("{good}[decide]\nfalse_reject_rate = 2\n")),
        ("unknown_background", format!("{good}[prepare]\nbackground = \"feature\"\n")),
        ("missing_onnx", good.replace("size = 64", "model = \"nowhere.onnx\"")),
        ("wrong_hash", good.replace("size = 64", "sha256 = \"00\"")),
        ("wrong_tap", good.replace("size = 64", "taps = [\"c5\"]")),
    ];
    let report: Vec<String> =
        wrong.iter().map(|(name, recipe)| format!("{name}:\n  {}", error_of(recipe).trim())).collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn a_good_recipe_is_explained() {
    let text =
        stdout(&succeed(assay().args(["recipe", "check"]).arg(support::root().join("configs/mvtec3d.toml"))));
    insta::assert_snapshot!(text);
}

#[test]
fn doctor_names_runtime_and_plugins() {
    let text = stdout(&succeed(assay().args(["doctor", "--runtime", "rten"])));
    assert!(
        text.contains("runtime    rten") && text.contains("patchcore") && text.contains("cores"),
        "{text}"
    );
}
