//! Outputs that cannot be written, limits of the system, and interruption.
#![cfg(unix)]

use crate::support::tiny::Tiny;
use crate::support::{assay, exit_with, stderr, succeed};
use crate::{assert_names, one_error, refused};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command under a limit of the shell's `ulimit`, such as `-f 100` (blocks of 512 bytes or more).
fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\"")).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A copy of a model that a command may harm.
fn copy_of(tiny: &Tiny, model: &Path, name: &str) -> std::path::PathBuf {
    let copy = tiny.path(name);
    fs::copy(model, &copy).unwrap();
    copy
}

#[test]
fn an_output_that_cannot_be_a_file_is_refused_before_the_fit_and_stays_what_it_is() {
    let (tiny, model) = Tiny::fitted();
    let below_a_file = tiny.path("recipe.toml").join("new.assay");
    for (output, cause) in [
        (tiny.scans(), "is a folder"),
        (tiny.path("absent/new.assay"), "absent"),
        (below_a_file, "not a folder"),
        ("/dev/null".into(), "a device or a pipe"),
        ("/proc/new.assay".into(), "/proc cannot be written"),
    ] {
        let mut calibrate = assay();
        calibrate.arg("calibrate").arg(model).args(["--false-reject-rate", "0.5", "-o"]).arg(&output);
        for command in [&mut tiny.fit(&output), &mut calibrate] {
            let message = refused(command);
            assert_names(&message, &[cause]);
            assert!(!message.contains("fitting on"), "{message}");
        }
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error_that_says_so() {
    let (tiny, model) = Tiny::fitted();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut score = assay();
    score.arg("score").arg(model).arg(tiny.scans());
    let mut show = assay();
    show.arg("show").arg(model);
    for command in [&mut score, &mut show] {
        let output =
            command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_names(&one_error(&output), &["standard output cannot be written", "No space left"]);
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_batch_without_a_word() {
    let (tiny, model) = Tiny::fitted();
    let folder = tiny.links(500);
    let mut command = assay();
    command.arg("score").arg(model).arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), ""));
}

#[test]
fn a_file_size_limit_is_a_failed_write_that_leaves_the_old_file() {
    let (tiny, model) = Tiny::fitted();
    let old = copy_of(tiny, model, "limited.assay");
    let before = fs::read(&old).unwrap();
    let mut calibrate = assay();
    calibrate.arg("calibrate").arg(&old).args(["--false-reject-rate", "0.5"]);
    // A fit fails at its features already, a calibration at the model.
    for (command, file) in [(tiny.fit(&old), "scratch"), (calibrate, "limited.assay")] {
        assert_names(&refused(&mut limited("-f 100", &command)), &[file, "File too large"]);
        assert!(fs::read(&old).unwrap() == before);
    }
    assert_eq!(names(&tiny.scratch()), Vec::<String>::new());
    assert!(!names(&tiny.path("")).iter().any(|name| name.ends_with(".tmp")));
    let recipe = tiny.path("init.toml");
    let mut init = assay();
    init.arg("init").arg(tiny.scans()).arg("-o").arg(&recipe);
    assert_names(&refused(&mut limited("-f 0", &init)), &["init.toml", "File too large"]);
    assert!(!recipe.exists());
}

#[test]
fn a_watch_that_cannot_write_its_journal_ends_with_whole_lines_and_goes_on_later() {
    let (tiny, model) = Tiny::fitted();
    let folder = tiny.links(6);
    let watch = || {
        let mut command = assay();
        command.arg("watch").arg(model).arg(folder.path()).args(["--once", "--settle", "0"]);
        command
    };
    let output = exit_with(&mut limited("-f 2", &watch()), 2);
    assert_names(&one_error(&output), &["results.jsonl", "File too large"]);
    let journal = || fs::read_to_string(folder.path().join("assay-results/results.jsonl")).unwrap();
    assert!(journal().ends_with('\n') && (1..6).contains(&journal().lines().count()), "{}", journal());
    assert!(watch().output().unwrap().status.code() < Some(2));
    let lines: Vec<serde_json::Value> = journal().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["00000", "00001", "00002", "00003", "00004", "00005"]);
}

#[test]
fn a_map_that_cannot_be_written_ends_a_batch_without_a_half_map() {
    let (tiny, model) = Tiny::fitted();
    let maps = tiny.path("maps");
    let mut score = assay();
    score.arg("score").arg(model).arg(tiny.scans().join("test/good")).arg("--maps").arg(&maps);
    let output = exit_with(&mut limited("-f 4", &score), 2);
    assert_names(&one_error(&output), &["maps/000.tiff", "File too large"]);
    assert_eq!(names(&maps), Vec::<String>::new());
}

#[test]
fn a_fit_without_a_temporary_folder_names_it() {
    let (tiny, _) = Tiny::fitted();
    let new = tiny.path("new.assay");
    let message = refused(tiny.fit(&new).env("TMPDIR", "/nonexistent/assay"));
    assert_names(&message, &["/nonexistent/assay"]);
    assert!(!new.exists());
}

#[test]
fn a_limit_on_memory_harms_nothing_and_the_next_fit_tidies_up() {
    let (tiny, model) = Tiny::fitted();
    let old = copy_of(tiny, model, "memory.assay");
    let before = fs::read(&old).unwrap();
    let mut refusals = 0;
    // Address space in KiB, from too little to load the model to enough.
    for limit in (60_000..2_000_000).step_by(10_000) {
        let mut fit = limited(&format!("-v {limit}"), &tiny.fit(&old));
        let output = fit.env_remove("RUST_BACKTRACE").output().unwrap();
        if output.status.success() {
            break;
        }
        // An allocation that fails ends the program at once, and says so.
        let said = stderr(&output);
        refusals += usize::from(said.contains("memory allocation of"));
        assert!(!said.is_empty() && fs::read(&old).unwrap() == before, "{limit} KiB: {said}");
    }
    assert!(refusals > 0, "no limit was reached");
    succeed(&mut tiny.fit(&old));
    assert_eq!(names(&tiny.scratch()), Vec::<String>::new());
}

#[test]
fn a_fit_that_is_told_to_end_leaves_no_file() {
    let tiny = Tiny::new();
    let folder = tiny.links(2000);
    let new = tiny.path("new.assay");
    for signal in ["-TERM", "-INT"] {
        let command = tiny.fit_on(folder.path(), &new);
        let mut loud = Command::new(command.get_program());
        loud.args(command.get_args().filter(|a| *a != "--quiet")).env("TMPDIR", tiny.scratch());
        let mut fit = loud.stderr(Stdio::piped()).spawn().unwrap();
        let mut messages = BufReader::new(fit.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("fitting on") {
            line.clear();
            assert!(messages.read_line(&mut line).unwrap() > 0, "the fit ended early");
        }
        assert!(Command::new("kill").arg(signal).arg(fit.id().to_string()).status().unwrap().success());
        let mut rest = String::new();
        messages.read_to_string(&mut rest).unwrap();
        assert_eq!(fit.wait().unwrap().code(), Some(2), "{rest}");
        assert_names(&rest, &["error: interrupted", "run the same command again"]);
        assert!(!new.exists());
        assert_eq!(names(&tiny.scratch()), Vec::<String>::new());
    }
}

#[test]
fn a_demo_goes_on_where_an_earlier_one_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join("moulded_part.making/train/good");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("half"), "").unwrap();
    let out = folder.path();
    let mut demo = assay();
    // It ends after the scans for want of a temporary folder: this test is not about the rest.
    demo.arg("demo").arg("--out").arg(out).args(["--runtime", "rten"]).env("TMPDIR", "/nonexistent/assay");
    assert_names(&stderr(&exit_with(&mut demo, 2)), &["/nonexistent/assay"]);
    assert_eq!(names(out), ["moulded_part", "recipe.toml"]);
}
