//! `assay plugin validate`: on the plugins that come with Assay, and on one that is broken in one way at a time.
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
use std::path::Path;
use std::process::Output;
use support::{assay, broken, json_lines, library, stderr, stdout, succeed};

fn validate(library: &Path, arguments: &[&str]) -> Output {
    assay().args(["plugin", "validate"]).arg(library).args(arguments).output().unwrap()
}

/// The findings, as JSON.
fn findings(library: &Path, arguments: &[&str]) -> (Vec<Value>, i32) {
    let output = validate(library, &[arguments, &["--json"]].concat());
    let code = output.status.code().unwrap();
    assert!(code < 2, "{}", stderr(&output));
    (json_lines(&output), code)
}

#[test]
fn every_bundled_plugin_passes_every_check_that_concerns_it() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("points.onnx");
    std::fs::write(&network, support::transformer(60, 16, 8)).unwrap();
    let network = format!("point-mae.file={}", network.display());
    // Less to do where a default trains for minutes; values where a default is empty.
    let cases: [(&str, &[&str]); 8] = [
        ("assay_padim", &[]),
        ("assay_patchcore", &[]),
        ("assay_fapm", &[]),
        ("assay_pointcloud", &[]),
        ("assay_fusion", &["--param", "weights=[1.0, 2.0]"]),
        (
            "assay_easynet",
            &["--param", "steps=2", "--param", "size=32", "--param", "width=2", "--param", "device=cpu"],
        ),
        (
            "assay_m3dm",
            &[
                ["--param", "epochs=1"],
                ["--param", "m3dm.device=cpu"],
                ["--param", &network],
                ["--param", "size=64"],
                ["--param", "centres=60"],
                ["--param", "group=16"],
                ["--param", "point-mae.channels=8"],
                ["--param", "cells=16"],
            ]
            .concat(),
        ),
        ("gradient", &[]),
    ];
    for (name, parameters) in cases {
        let (found, _) = findings(&library(name), &[parameters, &["--limit", "120"]].concat());
        assert!(found.len() > 40, "{name}: {} findings", found.len());
        for finding in &found {
            let about = format!("{name}: {finding}");
            match finding["status"].as_str().unwrap() {
                "pass" => {}
                // How long something takes is not for a test to say.
                "warn" if finding["check"] == "loading/time" => {}
                // It is not loaded by its name, but by tests.
                "warn" if finding["check"] == "loading/entry" && name == "gradient" => {}
                // A network that sees the whole picture; a pooling that does without masks, as its paper does; a method of the tests.
                "warn"
                    if finding["check"] == "tensors/mask"
                        && ["easynet", "btf-pool", "gradient"].iter().any(|id| finding["method"] == *id) => {}
                "skip" => {
                    let why = finding["message"].as_str().unwrap();
                    assert!(
                        ["no parameters", "not fitted", "no state"].iter().any(|w| why.contains(w)),
                        "{about}"
                    );
                }
                _ => panic!("{about}"),
            }
        }
    }
}

/// A fault, the check that is for it, how the check ends, and words of what it says.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    ("EXPORTS", "loading/library", "warn", "helper_of_everyone"),
    ("OTHER_VERSION", "loading/entry", "fail", "built for plugin ABI"),
    ("MOVES", "loading/repeat", "fail", "another table"),
    ("SLOW_TO_LOAD", "loading/time", "warn", "it takes"),
    ("PRINTS_AT_LOADING", "loading/quiet", "fail", "hello from the plugin"),
    ("THREAD_AT_LOADING", "loading/threads", "fail", "starts 1 threads"),
    ("NO_LICENCE", "descriptor/texts", "warn", "no licence"),
    ("PORT_NAME", "descriptor/ports", "fail", "The Image"),
    ("DEFAULT_OUT_OF_RANGE", "descriptor/parameters", "fail", "1000 is out of its range"),
    ("UNKNOWN_FLAG", "descriptor/functions", "warn", "0x4000"),
    ("REFUSES_ITS_DEFAULTS", "parameters/defaults", "fail", "not this one"),
    ("FORGETS_DEFAULTS", "parameters/explicit", "fail", "with 0 of 2 parameters"),
    ("TAKES_ANYTHING", "parameters/range", "fail", "strength = -1.0 is taken"),
    ("WITHOUT_MESSAGE", "parameters/range", "warn", "the error has no message"),
    ("REFUSES_A_CHOICE", "parameters/choices", "warn", "most is not written yet"),
    ("DESTROYED_EARLY", "behaviour/life", "crash", "create, destroy"),
    ("PRINTS", "behaviour/quiet", "fail", "scoring 1 scans"),
    ("NO_IMAGE_SCORE", "behaviour/outputs", "fail", "has no image score"),
    ("WRONG_RANGE", "behaviour/outputs", "fail", "its plan guarantees 0 to 0.001"),
    ("WRONG_FRAME", "behaviour/outputs", "warn", "spans 25 % of the scan's columns"),
    ("PLANS_NOTHING", "parameters/defaults", "fail", "was planned"),
    ("PLANS_ELSEWHERE", "behaviour/outputs", "fail", "with stride (0, 1)"),
    ("HANGS", "parameters/defaults", "timeout", "did not end within 5 s, in: score"),
    ("ABORTS", "parameters/defaults", "crash", "signal 6"),
    ("EXITS", "parameters/defaults", "crash", "exit code 3"),
    ("CLOCK", "behaviour/repeatable", "fail", "flagged DETERMINISTIC"),
    ("SHARED", "behaviour/interleaved", "fail", "another instance"),
    ("COUNTS_THREADS", "behaviour/threads", "fail", "between one thread and three"),
    ("COUNTS_BATCHES", "behaviour/batches", "fail", "of a batch"),
    ("RACES", "behaviour/concurrent", "fail", "while others are scored"),
    ("SCORES_UNFITTED", "behaviour/order", "fail", "score before fit succeeds"),
    ("ADDS_UP", "behaviour/second-fit", "fail", "second fit"),
    ("LEARNS_FROM_NOTHING", "behaviour/few-scans", "fail", "after a fit on 0 scans"),
    ("DEAF", "behaviour/cancel", "fail", "something went wrong"),
    ("GOES_ON", "behaviour/cancel", "fail", "though it was asked to stop"),
    ("NEEDS_LOG", "behaviour/services", "crash", "a life without log"),
    ("WRITES_INPUTS", "tensors/canaries", "fail", "it wrote to the values of input 0"),
    ("WRITES_BEYOND", "tensors/canaries", "fail", "beside an output"),
    ("PAST_OUTPUTS", "tensors/canaries", "fail", "after that call had returned"),
    ("READS_BEYOND", "tensors/pages", "crash", "memory behind each tensor"),
    ("IGNORES_MASKS", "tensors/mask", "warn", "in cells that are not valid"),
    ("THREE_CHANNELS", "tensors/contents", "crash", "a life on gray"),
    ("DIVIDES_BY_NOTHING", "tensors/one-cell", "crash", "arithmetic error"),
    ("NONE_VALID", "tensors/empty", "fail", "without a valid cell"),
    ("NAN_THROUGH", "tensors/extremes", "fail", "NaN"),
    ("FORGETS", "state/roundtrip", "fail", "scores differently"),
    ("READS_AT_ONCE", "state/pieces", "fail", "short reads are ordinary"),
    ("IGNORES_STREAMS", "state/streams", "fail", "its stream failed"),
    ("TAKES_HALF", "state/truncated", "fail", "are loaded as one"),
    ("TAKES_ANY_STATE", "state/random", "fail", "that are no state"),
    ("DISTRUSTS_NOTHING", "state/damaged", "crash", "a state in which byte"),
    ("TAKES_ANY_STATE", "state/version", "fail", "no change"),
    ("LEAKS", "resources/memory", "fail", "bytes allocated"),
    ("THREAD_LEFT", "resources/threads", "fail", "threads are left"),
    ("FILE_LEFT", "resources/handles", "fail", "files open"),
];

#[test]
fn each_check_catches_the_plugin_that_is_broken_in_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let Some(whole) = broken(folder.path(), "NOTHING") else { return };
    let (found, code) = findings(&whole, &[]);
    let fine = |f: &Value| f["status"] == "pass" || f["check"] == "loading/time";
    assert!(found.iter().all(fine) && code == 0, "{found:#?}");
    // Every check has a plugin that it catches.
    let checks: Vec<&str> = found.iter().map(|f| f["check"].as_str().unwrap()).collect();
    for check in &checks {
        assert!(FAULTS.iter().any(|(_, c, ..)| c == check), "no broken plugin is for {check}");
    }
    let mut missed = Vec::new();
    for (fault, check, status, words) in FAULTS {
        let library = broken(folder.path(), fault).unwrap();
        let limit = if *status == "timeout" { "5" } else { "60" };
        let (found, code) = findings(&library, &["--only", check, "--limit", limit]);
        let [finding] = found.as_slice() else { panic!("{fault}: {found:?}") };
        let message = finding["message"].as_str().unwrap_or_default();
        if finding["status"] != *status || !message.contains(words) || (code == 1) != (*status != "warn") {
            missed.push(format!("{fault}: {finding}, exit code {code}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn the_fuzzer_finds_a_crash_and_says_how_to_see_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(whole) = broken(folder.path(), "NOTHING") else { return };
    let (found, code) = findings(&whole, &["--fuzz", "60"]);
    assert!(code == 0 && found[0]["message"] == "60 rounds from seed 1 on", "{found:?}");
    let library = broken(folder.path(), "DIVIDES_BY_NOTHING").unwrap();
    let (found, code) = findings(&library, &["--fuzz", "200"]);
    let message = found[0]["message"].as_str().unwrap();
    assert!(code == 1 && found[0]["status"] == "crash", "{message}");
    let again: Vec<&str> = message.split('`').nth(1).unwrap().split(' ').skip(4).collect();
    let (found, _) = findings(&library, &again);
    assert_eq!(found[0]["status"], "crash", "{again:?}: {found:?}");
}

#[test]
fn a_plugin_that_cannot_score_is_said_to_be_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = broken(folder.path(), "ABORTS") else { return };
    let (found, code) = findings(&library, &[]);
    let with = |status: &str| found.iter().filter(|f| f["status"] == status).count();
    assert_eq!((with("crash"), with("fail"), with("timeout"), code), (1, 0, 0, 1), "{found:#?}");
    // Asked for something else, it says why it cannot be had.
    let (found, code) = findings(&library, &["--only", "state/random"]);
    let ends: Vec<&str> = found.iter().map(|f| f["status"].as_str().unwrap()).collect();
    assert_eq!((ends, code), (vec!["crash", "skip"], 1));
}

#[test]
fn a_check_is_explained_where_it_was_made() {
    let said = stdout(&succeed(assay().args(["plugin", "validate", "--explain", "state/pieces"])));
    assert!(
        said.starts_with("state/pieces\n\nStates are read in pieces of any size.") && !said.contains('#'),
        "{said}"
    );
    let unknown = assay().args(["plugin", "validate", "--explain", "state/peaces"]).output().unwrap();
    assert!(
        unknown.status.code() == Some(2) && stderr(&unknown).contains("there is no check `state/peaces`")
    );
}

#[test]
fn a_report_counts_each_group_and_shows_what_needs_a_look() {
    let output = validate(&library("assay_padim"), &["--only", "padim:*"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn what_cannot_be_tried_is_an_error_that_says_what_to_do() {
    let padim = library("assay_padim");
    for (library, arguments, words) in [
        (Path::new("/nonexistent/libassay_none.so"), &[][..], "cannot be read"),
        (&padim, &["--only", "no-such-check"], "no check matches `no-such-check`"),
        (&padim, &["--param", "stepz=2"], "no method has the parameter `stepz`"),
        (&padim, &["--param", "channels=many"], "is not an integer"),
        (&padim, &["--param", "channels"], "[METHOD.]KEY=VALUE"),
        (&padim, &["--limit", "0"], "seconds above 0"),
    ] {
        let output = validate(library, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    // What is no library is a finding.
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libassay_text.so");
    std::fs::write(&text, "not a library").unwrap();
    let (found, code) = findings(&text, &[]);
    assert!(code == 1 && found.iter().all(|f| f["method"].is_null()), "{found:?}");
    assert!(found[0]["message"].as_str().unwrap().contains("not a complete dynamic library"));
}
