//! `isolation = "process"`: what a plugin breaks, it breaks in its own process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
#![cfg(target_os = "linux")]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use support::{Category, assay, broken, exit_with, json_lines, stderr, stdout, succeed};

/// A small category and a plugin that breaks on the scans that the environment names.
struct Station {
    category: Category,
    plugins: tempfile::TempDir,
}

impl Station {
    fn new() -> Option<Self> {
        let plugins = tempfile::tempdir().unwrap();
        broken(plugins.path(), "ON_A_SCAN")?;
        Some(Self { category: Category::small(), plugins })
    }

    fn recipe(&self, keys: &str) {
        let text = format!(
            "format = 1\nrecipe = {{ number = 3, name = \"levels\" }}\n[engine]\nruntime = \"rten\"\n[sensors]\ncolour = \"rgb/{{id}}.png\"\n\
             [steps]\nfound = {{ method = \"levels\", from = \"colour\"{keys} }}\n[decide]\nfalse_reject_rate = 0.2\n"
        );
        std::fs::write(self.category.path("recipe.toml"), text).unwrap();
    }

    fn fitted(&self, name: &str, keys: &str) -> PathBuf {
        self.recipe(keys);
        self.category.fit(name, &["--plugin-path", self.plugins.path().to_str().unwrap()])
    }

    /// Lines of the good test scans, and the exit code; none of one that was killed.
    fn scored(&self, model: &Path, variable: Option<&str>) -> (Vec<Value>, Option<i32>) {
        let mut score = assay();
        score.arg("score").arg(model).arg(self.category.scans().join("test/good"));
        score.arg("--plugin-path").arg(self.plugins.path());
        if let Some(variable) = variable {
            score.env(variable, "001");
        }
        let output = score.output().unwrap();
        (json_lines(&output), output.status.code())
    }
}

fn scores(lines: &[Value]) -> Vec<Option<f64>> {
    lines.iter().map(|line| line["score"].as_f64()).collect()
}

#[test]
fn a_plugin_in_a_process_of_its_own_scores_alike_and_its_crashes_and_hangs_end_with_their_scan() {
    let Some(station) = Station::new() else { return };
    let here = station.fitted("here.assay", "");
    let apart = station.fitted("apart.assay", ", isolation = \"process\", time_limit = 5.0");
    let (expected, code) = station.scored(&here, None);
    assert!(expected.len() == 3 && code.is_some_and(|c| c < 2), "{expected:?}");
    let (lines, _) = station.scored(&apart, None);
    assert_eq!(scores(&lines), scores(&expected));
    // Without isolation the program goes with the plugin.
    assert_eq!(station.scored(&here, Some("LEVELS_CRASHES_ON")).1, None);
    for (variable, words) in [
        ("LEVELS_CRASHES_ON", "crashed (signal 6: it aborted)"),
        ("LEVELS_HANGS_ON", "did not answer within 5 s"),
    ] {
        let (lines, code) = station.scored(&apart, Some(variable));
        assert_eq!((lines.len(), code), (3, Some(2)), "{lines:?}");
        for (i, (line, expected)) in lines.iter().zip(&expected).enumerate() {
            if i == 1 {
                assert_eq!(line["verdict"], "invalid");
                let told = line.to_string();
                assert!(
                    told.contains(words) && told.contains("found") && told.contains("started again"),
                    "{told}"
                );
            } else {
                assert_eq!(line["score"], expected["score"]);
            }
        }
    }
    // What it prints does not come between the results.
    let (lines, _) = station.scored(&apart, Some("LEVELS_PRINTS_ON"));
    assert_eq!(scores(&lines), scores(&expected));
}

#[test]
fn a_plugin_that_crashes_while_it_learns_fails_the_fit_and_says_so() {
    let Some(station) = Station::new() else { return };
    station.recipe(", isolation = \"process\"");
    let mut fit = assay();
    fit.arg("fit").arg(station.category.path("recipe.toml")).arg("--data").arg(station.category.scans());
    fit.arg("-o").arg(station.category.path("none.assay"));
    fit.arg("--plugin-path").arg(station.plugins.path()).env("LEVELS_FIT_CRASHES_ON", "001");
    let said = stderr(&exit_with(&mut fit, 2));
    assert!(said.contains("step `found` (levels)") && said.contains("crashed (signal 6"), "{said}");
    assert!(!station.category.path("none.assay").exists());
}

#[test]
fn isolation_is_for_plugins_and_a_time_limit_for_isolation() {
    let Some(station) = Station::new() else { return };
    let check = |keys: &str| {
        station.recipe(keys);
        let mut check = assay();
        check.args(["recipe", "check"]).arg(station.category.path("recipe.toml"));
        stderr(&exit_with(check.arg("--plugin-path").arg(station.plugins.path()), 2))
    };
    station.recipe(", isolation = \"process\", time_limit = 7");
    let mut resolved = assay();
    resolved.args(["recipe", "check", "--resolved"]).arg(station.category.path("recipe.toml"));
    let resolved = stdout(&succeed(resolved.arg("--plugin-path").arg(station.plugins.path())));
    assert!(resolved.contains("isolation = \"process\"\ntime_limit = 7.0"), "{resolved}");
    assert!(check(", time_limit = 5").contains("add isolation = \"process\""));
    assert!(check(", isolation = \"proces\"").contains("process"));
    assert!(check(", isolation = \"process\", time_limit = 0").contains("time_limit"));
    let builtin = "} \nlook = { method = \"onnx\", from = \"colour\", isolation = \"process\"";
    assert!(check(builtin).contains("a built-in method is a part of the program"));
}
