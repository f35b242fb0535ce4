//! Folders and scans.

use crate::support::tiny::{Tiny, cut, huge_png, replace, xyz_tiff};
use crate::support::{assay, exit_with, json_lines, stderr, succeed};
use crate::{assert_names, one_error, refused};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

#[test]
fn a_folder_that_is_not_there_or_holds_no_scan_is_named_by_every_command() {
    let (tiny, model) = Tiny::fitted();
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("notes.txt"), "no scan").unwrap();
    let absent = empty.path().join("absent");
    for (folder, cause) in [(empty.path(), "no scans in"), (&absent, "no folder")] {
        let name = folder.to_str().unwrap();
        let commands = [
            refused(&mut tiny.fit_on(folder, &tiny.path("new.assay"))),
            refused(assay().arg("score").arg(model).arg(folder)),
            refused(assay().arg("eval").arg(model).arg("--data").arg(folder)),
            refused(assay().arg("calibrate").arg(model).arg("--data").arg(folder)),
        ];
        commands.iter().for_each(|message| assert_names(message, &[name, cause]));
        assert_names(&refused(assay().arg("init").arg(folder)), &[name]);
    }
    assert_names(&refused(assay().arg("watch").arg(model).arg(&absent)), &["absent", "is no folder"]);
    assert_names(
        &refused(assay().arg("eval").arg(model).arg("--data").arg(tiny.scans().join("train/good"))),
        &["no test scans"],
    );
}

#[test]
fn a_data_set_without_good_scans_is_refused() {
    let tiny = Tiny::new();
    for folder in ["train/good/rgb", "train/good/xyz"] {
        fs::remove_dir_all(tiny.scans().join(folder)).unwrap();
    }
    let message = refused(&mut tiny.fit(&tiny.path("new.assay")));
    assert_names(&message, &["no scans in", "train/good", "`rgb/{id}.*`, `xyz/{id}.tiff`"]);
}

#[test]
fn one_or_two_good_scans_are_too_few() {
    let tiny = Tiny::new();
    for (n, said) in [(1, "1 good scan is too few"), (2, "2 good scans are too few")] {
        let folder = tiny.links(n);
        let message = refused(&mut tiny.fit_on(folder.path(), &tiny.path("new.assay")));
        assert_names(&message, &[said, "at least 2 to learn from and 1"]);
    }
}

/// A folder of 20 scans, some of them bad; each with a word that its error must hold.
fn with_bad_scans(tiny: &Tiny) -> (tempfile::TempDir, Vec<(String, &'static str)>) {
    let folder = tiny.links(20);
    let rgb = |k: usize| folder.path().join(format!("rgb/{k:05}.png"));
    let xyz = |k: usize| folder.path().join(format!("xyz/{k:05}.tiff"));
    cut(&rgb(1), 60);
    cut(&xyz(2), 60);
    replace(&rgb(3), b"");
    replace(&rgb(4), b"not a picture");
    replace(&rgb(5), &huge_png());
    replace(&xyz(6), &xyz_tiff(64, 64, 4_000_000_000, |_, _, _| 0.5));
    replace(&xyz(7), &xyz_tiff(64, 64, 64, |_, _, _| f32::NAN));
    replace(&xyz(8), &xyz_tiff(40, 64, 40, |_, _, _| 0.5));
    fs::remove_file(xyz(9)).unwrap();
    // A folder in the file's place, and a file that another one stands beside.
    fs::remove_file(rgb(10)).unwrap();
    fs::create_dir(rgb(10)).unwrap();
    fs::hard_link(rgb(0), folder.path().join("rgb/00011.jpg")).unwrap();
    let bad = [
        (1, "00001.png"),
        (2, "00002.tiff"),
        (3, "00003.png"),
        (4, "00004.png: not a"),
        (5, "00005.png: 3600000000 pixels, the limit is"),
        (6, "00006.tiff"),
        (7, "sensor `height` measured nothing"),
        (8, "00008.tiff is 40 x 64"),
        (9, "`00009` has no `height` file (xyz/00009.tiff is missing)"),
        (10, "`00010` has no `colour` file"),
        (11, "are both the `colour` file of scan `00011`"),
    ];
    (folder, bad.map(|(k, word)| (format!("{k:05}"), word)).into())
}

/// That the lines are those of the good scans and an `invalid` one for each bad scan.
fn assert_only_bad_ones_are_invalid(output: &Output, good: &[Value], bad: &[(String, &str)]) {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    let lines: Vec<Value> = json_lines(output).into_iter().map(timeless).collect();
    assert_eq!(lines.len(), good.len());
    for (line, good) in lines.iter().zip(good) {
        let bad = bad.iter().find(|(id, _)| line["id"] == id.as_str());
        let Some((id, word)) = bad else {
            assert_eq!(line, good);
            continue;
        };
        let error = line["error"].as_str().unwrap_or_default();
        assert_eq!(line["verdict"], "invalid", "{line}");
        assert!(error.contains(word) && line.get("score").is_none(), "{id}: `{word}` is not in {line}");
        assert!(stderr(output).contains(error), "{error}");
    }
    assert_eq!(stderr(output).lines().filter(|line| line.starts_with("error: ")).count(), bad.len());
}

fn timeless(mut line: Value) -> Value {
    line.as_object_mut().unwrap().remove("ms");
    line
}

#[test]
fn each_bad_scan_of_a_batch_is_one_invalid_line_and_the_rest_is_scored() {
    let (tiny, model) = Tiny::fitted();
    let all_good = tiny.links(20);
    let output = assay().arg("score").arg(model).arg(all_good.path()).output().unwrap();
    let good: Vec<Value> = json_lines(&output).into_iter().map(timeless).collect();
    assert!(good.len() == 20 && good.iter().all(|line| line["verdict"] != "invalid"));
    let (folder, bad) = with_bad_scans(tiny);
    let output = assay().arg("score").arg(model).arg(folder.path()).output().unwrap();
    assert_only_bad_ones_are_invalid(&output, &good, &bad);

    let input: String = (0..20)
        .map(|k| {
            // The one without height has its picture to be named by, and the other way round.
            let (kind, ending) = if k == 10 { ("xyz", "tiff") } else { ("rgb", "png") };
            folder.path().join(format!("{kind}/{k:05}.{ending}\n")).display().to_string()
        })
        .collect();
    let mut command = assay();
    command.arg("score").arg(model).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert_only_bad_ones_are_invalid(&child.wait_with_output().unwrap(), &good, &bad);
}

#[test]
fn a_watch_scores_what_is_complete_and_names_what_is_not() {
    let (tiny, model) = Tiny::fitted();
    let (folder, bad) = with_bad_scans(tiny);
    let mut command = assay();
    let output =
        command.arg("watch").arg(model).arg(folder.path()).args(["--once", "--settle", "0"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let lines = json_lines(&output);
    // Scans without a file, with an empty one or with two are waited for: they may become whole.
    let waited_for = ["00003", "00009", "00010", "00011"];
    assert_eq!(lines.len(), 20 - waited_for.len());
    for line in &lines {
        let bad = bad.iter().any(|(id, _)| line["id"] == id.as_str());
        assert_eq!(line["verdict"] == "invalid", bad, "{line}");
    }
    let journal = fs::read_to_string(folder.path().join("assay-results/results.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), lines.len());
}

#[test]
fn an_evaluation_counts_bad_scans_and_measures_the_rest() {
    let tiny = Tiny::new();
    let model = tiny.path("part.assay");
    succeed(&mut tiny.fit(&model));
    let test = tiny.scans().join("test");
    cut(&test.join("good/rgb/000.png"), 50);
    fs::remove_file(test.join("hole/xyz/000.tiff")).unwrap();
    let output = exit_with(assay().arg("eval").arg(&model).arg("--json").arg("--data").arg(tiny.scans()), 2);
    let figures = &json_lines(&output)[0];
    assert_eq!(figures["n_invalid"], 2, "{figures}");
    assert!(figures["image_auroc"].is_number() && figures["n_good"] == 2, "{figures}");
    assert_names(&stderr(&output), &["000.png", "`test/hole/000` has no `height` file"]);
}

#[test]
fn a_mask_that_is_missing_or_of_another_size_is_named() {
    let tiny = Tiny::new();
    let model = tiny.path("part.assay");
    succeed(&mut tiny.fit(&model));
    let mask = tiny.scans().join("test/hole/gt/000.png");
    let mut eval = assay();
    eval.arg("eval").arg(&model).arg("--data").arg(tiny.scans());
    // Any picture of another size.
    let other = crate::support::Category::sized((80, 80));
    fs::copy(other.scans().join("test/hole/gt/000.png"), &mask).unwrap();
    assert_names(&refused(&mut eval), &["hole/gt/000.png is 80x80", "64x64"]);
    replace(&mask, b"not a mask");
    assert_names(&refused(&mut eval), &["hole/gt/000.png"]);
    fs::remove_file(&mask).unwrap();
    assert_names(&refused(&mut eval), &["`test/hole/000` has no `mask` file", "hole/gt/000.png"]);
    // Fitting and scoring need no masks.
    succeed(&mut tiny.fit(&model));
    let output = assay().arg("score").arg(&model).arg(tiny.scans()).output().unwrap();
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
}

#[test]
fn a_fit_and_a_calibration_name_all_bad_scans_at_once_and_write_nothing() {
    let (tiny, model) = Tiny::fitted();
    let (folder, bad) = with_bad_scans(tiny);
    let new = tiny.path("new.assay");
    let mut calibrate = assay();
    calibrate.arg("calibrate").arg(model).arg("-o").arg(&new).arg("--data").arg(folder.path());
    for command in [&mut tiny.fit_on(folder.path(), &new), &mut calibrate] {
        let message = refused(command);
        assert_names(&message, &["11 of the 20 scans cannot be used"]);
        bad.iter().for_each(|(_, word)| assert_names(&message, &[word]));
        assert!(!new.exists());
    }
}

#[test]
fn points_that_are_no_numbers_are_not_measured_and_scores_stay_numbers() {
    let (tiny, model) = Tiny::fitted();
    let folder = tiny.links(1);
    // A block on a table, seen with holes in both.
    let holes = |row: u32, column: u32, c: u32| match (row / 8, column / 8) {
        (2, _) => f32::NAN,
        (3, 3) => f32::INFINITY,
        (4, 2) => f32::NEG_INFINITY,
        (1..=6, 1..=6) if c == 2 => 0.45 + 1e-4 * ((row * column) % 7) as f32,
        _ => [column as f32 * 1e-3, row as f32 * 1e-3, 0.5][c as usize],
    };
    replace(&folder.path().join("xyz/00000.tiff"), &xyz_tiff(64, 64, 64, holes));
    let output = assay().arg("score").arg(model).arg(folder.path()).output().unwrap();
    let line = &json_lines(&output)[0];
    assert!(line["score"].is_number() && line["verdict"] != "invalid", "{line}");
}

#[test]
fn a_scan_of_another_size_than_those_learned_is_invalid() {
    let (_, model) = Tiny::fitted();
    let other = crate::support::Category::sized((80, 96));
    let scan = other.scans().join("test/good/rgb/000.png");
    let output = exit_with(assay().arg("score").arg(model).arg(&scan), 2);
    assert_names(&one_error(&output), &["80x96", "64x64", "scan 000"]);
    assert_eq!(json_lines(&output)[0]["verdict"], "invalid");
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_named_with_the_systems_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let (tiny, model) = Tiny::fitted();
    let folder = tiny.links(2);
    let locked = folder.path().join("rgb/00001.png");
    replace(&locked, &fs::read(folder.path().join("rgb/00000.png")).unwrap());
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&locked).is_ok() {
        eprintln!("skipped: this user may read every file");
        return;
    }
    let output = exit_with(assay().arg("score").arg(model).arg(folder.path()), 2);
    assert_names(&one_error(&output), &["cannot read", "00001.png", "denied"]);
    assert_eq!(json_lines(&output).len(), 2);
}

/// Not a behaviour of one command: hard links must not let a broken copy reach the scans of other tests.
#[test]
fn broken_copies_leave_the_scans_they_were_linked_to_whole() {
    let (tiny, _) = Tiny::fitted();
    let whole = |path: &Path| fs::read(path).unwrap();
    let first = tiny.scans().join("train/good/rgb/001.png");
    let before = whole(&first);
    drop(with_bad_scans(tiny));
    assert_eq!(whole(&first), before);
}
