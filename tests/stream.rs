//! The built program as a process that stays loaded: scans from standard input, and a watched folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Category, assay, exit_with, json_lines, stderr};

/// A scan's files by sensor.
type Files = [PathBuf; 2];

/// The category's test scans in one folder, `<defect>-<number>`, and the line that scoring the folder gives each.
struct Scans {
    folder: tempfile::TempDir,
    lines: BTreeMap<String, Value>,
    model: PathBuf,
}

impl Scans {
    fn new() -> Self {
        let (category, model) = Category::fitted();
        let folder = tempfile::tempdir().unwrap();
        for defect in ["good", "hole", "stain"] {
            let from = category.scans().join("test").join(defect);
            for number in 0..2 {
                let id = format!("{defect}-{number}");
                for (from, to) in files(&from, &format!("00{number}")).iter().zip(files(folder.path(), &id)) {
                    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                    std::fs::copy(from, to).unwrap();
                }
            }
        }
        let output = assay().arg("score").arg(model).arg(folder.path()).output().unwrap();
        let lines =
            json_lines(&output).into_iter().map(|l| (l["id"].as_str().unwrap().to_owned(), timeless(l)));
        let scans = Self { lines: lines.collect(), folder, model: model.to_path_buf() };
        assert_eq!(scans.lines.len(), 6, "{}", stderr(&output));
        scans
    }

    fn files(&self, id: &str) -> Files {
        files(self.folder.path(), id)
    }

    fn ids(&self) -> Vec<&str> {
        self.lines.keys().map(String::as_str).collect()
    }

    /// Copies a scan into a watched folder, under another id.
    fn copy(&self, id: &str, to: &Path, new: &str) {
        for (from, to) in self.files(id).iter().zip(files(to, new)) {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }

    /// The line of the scan `id`, had it been called `new`.
    fn line(&self, id: &str, new: &str) -> Value {
        let mut line = self.lines[id].clone();
        line["id"] = new.into();
        line
    }

    fn score_input(&self, input: Vec<u8>, extra: &[&str]) -> Output {
        let mut command = assay();
        command
            .arg("score")
            .arg(&self.model)
            .arg("-")
            .args(extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    }

    fn watch(&self, folder: &Path) -> Command {
        let mut command = assay();
        command.arg("watch").arg(&self.model).arg(folder).args(["--poll", "10", "--settle", "50"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn files(folder: &Path, id: &str) -> Files {
    [folder.join("rgb").join(format!("{id}.png")), folder.join("xyz").join(format!("{id}.tiff"))]
}

/// A line without what differs from run to run.
fn timeless(mut line: Value) -> Value {
    line.as_object_mut().unwrap().remove("ms");
    line
}

/// The lines of a watched folder's journal; every one is whole.
fn journal(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("assay-results/results.jsonl")).unwrap_or_default();
    text.lines().map(|line| timeless(serde_json::from_str(line).unwrap())).collect()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["id"].as_str().unwrap()).collect()
}

fn next_line(lines: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    timeless(serde_json::from_str(&line).unwrap())
}

/// Waits for what must come to pass at some time.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(300), "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
}

#[test]
fn hundreds_of_lines_in_any_order_are_answered_as_the_batch_is_byte_for_byte() {
    let scans = Scans::new();
    let ids = scans.ids();
    let (mut input, mut expected) = (Vec::new(), Vec::new());
    for k in 0..300 {
        let id = ids[k * 5 % ids.len()];
        let [colour, height] = scans.files(id);
        let line = match k % 4 {
            0 => colour.display().to_string(),
            1 => format!("{}\r", height.display()),
            2 => serde_json::json!({"files": {"height": height, "colour": colour}}).to_string(),
            _ => {
                format!("\n{}", serde_json::json!({"id": id, "files": {"colour": colour, "height": height}}))
            }
        };
        input.extend_from_slice(format!("{line}\n").as_bytes());
        expected.push(scans.lines[id].to_string());
    }
    let maps = tempfile::tempdir().unwrap();
    let output = scans.score_input(input, &["--maps", maps.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let answers: Vec<String> = json_lines(&output).into_iter().map(|l| timeless(l).to_string()).collect();
    assert_eq!(answers, expected);
    assert_eq!(std::fs::read_dir(maps.path()).unwrap().count(), ids.len());
}

#[test]
fn a_bad_line_is_one_invalid_answer_and_never_the_end() {
    let scans = Scans::new();
    let [colour, height] = scans.files("good-0");
    let (colour, height) = (colour.to_str().unwrap(), height.to_str().unwrap());
    let object = |text: &str| text.replace("COLOUR", colour).replace("HEIGHT", height).into_bytes();
    let broken = scans.folder.path().join("broken.png");
    std::fs::write(&broken, "not a picture").unwrap();
    let long = [vec![b'x'; 3 << 20], b"/a.png".to_vec()].concat();
    let cases: [(Vec<u8>, &str, &str); 11] = [
        (b"{\"files\": ".to_vec(), "line 1", "no JSON object"),
        (object(r#"{"id": "a", "flies": {}}"#), "a", "did you mean `files`?"),
        (object(r#"{"id": "a", "files": {"colour": "COLOUR"}}"#), "a", "lacks sensor `height`"),
        (object(r#"{"id": "../a", "files": {"colour": "COLOUR", "height": "HEIGHT"}}"#), "line 4", "`../a`"),
        (
            object(r#"{"id": "a", "files": {"colour": "COLOUR", "height": "absent.tiff"}}"#),
            "a",
            "absent.tiff",
        ),
        (
            object(r#"{"id": "a", "files": {"colour": "COLOUR", "height": "HEIGHT"}}"#)
                .into_iter()
                .chain(*b" x")
                .collect(),
            "line 6",
            "no JSON object",
        ),
        (b"\xff\xfe.png".to_vec(), "line 7", "not UTF-8"),
        (long, "line 8", "longer than"),
        (b"absent/rgb/9.png".to_vec(), "9", "absent/rgb/9.png"),
        (scans.folder.path().display().to_string().into_bytes(), "line 10", "is a folder"),
        (broken.display().to_string().into_bytes(), "line 11", "broken.png"),
    ];
    let mut input: Vec<u8> = cases.iter().flat_map(|(line, ..)| [&line[..], b"\n"].concat()).collect();
    // The last line needs no line end.
    input.extend_from_slice(colour.as_bytes());
    let output = scans.score_input(input, &[]);
    assert_eq!(output.status.code(), Some(2));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), cases.len() + 1);
    for ((_, id, error), line) in cases.iter().zip(&lines) {
        assert_eq!((line["id"].as_str(), line["verdict"].as_str()), (Some(*id), Some("invalid")), "{line}");
        assert!(line["error"].as_str().unwrap().contains(error), "{line}");
    }
    assert_eq!(timeless(lines[cases.len()].clone()), scans.lines["good-0"]);
}

#[test]
fn a_map_that_cannot_be_written_makes_its_scan_invalid_and_the_next_is_scored() {
    let scans = Scans::new();
    let maps = tempfile::tempdir().unwrap();
    // A folder has the place of the first scan's map.
    std::fs::create_dir(maps.path().join("good-0.tiff")).unwrap();
    let line = |id: &str| format!("{}\n", scans.files(id)[0].display());
    let input = line("good-0") + &line("good-1");
    let output = scans.score_input(input.into_bytes(), &["--maps", maps.path().to_str().unwrap()]);
    let lines = json_lines(&output);
    assert_eq!(lines[0]["verdict"], "invalid");
    assert!(lines[0]["error"].as_str().unwrap().contains("good-0.tiff"), "{}", lines[0]);
    assert_eq!(timeless(lines[1].clone()), scans.lines["good-1"]);
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn each_line_is_answered_before_the_next_one_comes_and_sigterm_ends_the_wait_in_order() {
    let scans = Scans::new();
    let mut command = assay();
    command.arg("score").arg(&scans.model).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    for id in ["hole-0", "good-1", "hole-0"] {
        writeln!(stdin, "{}", scans.files(id)[0].display()).unwrap();
        assert_eq!(next_line(&mut lines), scans.lines[id]);
    }
    terminate(&child);
    // Holes are ng; a killed process would have no exit status.
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// Pages of memory that the system has given a process so far.
#[cfg(target_os = "linux")]
fn pages_taken(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // After the name in brackets: state, parent, group, session, terminal, its group, flags, minor faults.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(7).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_scan_works_in_the_memory_of_those_before_it() {
    let scans = Scans::new();
    let mut command = assay();
    command.arg("score").arg(&scans.model).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut inspect = |count: usize| {
        for id in scans.ids().into_iter().cycle().take(count) {
            writeln!(stdin, "{}", scans.files(id)[0].display()).unwrap();
            assert_eq!(next_line(&mut lines), scans.lines[id]);
        }
        pages_taken(child.id())
    };
    let first = inspect(1);
    let warm = inspect(23);
    let each = (inspect(24) - warm) / 24;
    eprintln!("{first} pages with the first scan, {each} with each of the later ones");
    assert!(each < 256, "each scan takes {each} new pages");
    drop(stdin);
    child.wait().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_the_process_without_a_word() {
    let scans = Scans::new();
    let mut command = assay();
    command.arg("score").arg(&scans.model).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", scans.files("good-0")[0].display()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), ""));
}

#[cfg(unix)]
#[test]
fn scans_that_are_copied_in_piece_by_piece_are_scored_once_and_only_when_complete() {
    let scans = Scans::new();
    let folder = tempfile::tempdir().unwrap();
    let mut command = scans.watch(folder.path());
    let mut child = command.args(["--pictures", "--maps"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let [colour, height] = files(folder.path(), "1");
    let whole = std::fs::read(&scans.files("hole-1")[1]).unwrap();
    std::fs::create_dir_all(colour.parent().unwrap()).unwrap();
    std::fs::create_dir_all(height.parent().unwrap()).unwrap();
    std::fs::copy(&scans.files("hole-1")[0], &colour).unwrap();
    // Another scan is complete meanwhile: its answer shows that the watcher looked, and left the first one alone.
    scans.copy("good-0", folder.path(), "2");
    assert_eq!(next_line(&mut lines), scans.line("good-0", "2"));
    let mut file = std::fs::File::create(&height).unwrap();
    for half in whole.chunks(whole.len() / 2 + 1) {
        file.write_all(half).unwrap();
    }
    drop(file);
    assert_eq!(next_line(&mut lines), scans.line("hole-1", "1"));
    scans.copy("good-1", folder.path(), "3");
    assert_eq!(next_line(&mut lines), scans.line("good-1", "3"));
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(ids(&journal(folder.path())), ["2", "1", "3"]);
    for file in ["maps/1.tiff", "pictures/3.png"] {
        assert!(folder.path().join("assay-results").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_watcher_that_is_killed_at_any_moment_scores_each_scan_once_in_the_end() {
    let scans = Scans::new();
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (k, id) in scans.ids().into_iter().enumerate() {
        scans.copy(id, folder.path(), &format!("part{}", 2 * k));
        expected.push(scans.line(id, &format!("part{}", 2 * k)));
    }
    for (round, id) in scans.ids().into_iter().enumerate() {
        let before = journal(folder.path()).len();
        let mut child = scans.watch(folder.path()).arg("--maps").spawn().unwrap();
        // From the start to some moment after the first line.
        if round > 0 {
            wait_until("a line", || {
                assert!(child.try_wait().unwrap().is_none(), "the watcher ended by itself");
                let path = folder.path().join("assay-results/results.jsonl");
                let text = std::fs::read_to_string(path).unwrap_or_default();
                text.matches('\n').count() > before
            });
            std::thread::sleep(Duration::from_millis(7 * round as u64));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let new = format!("part{}", 2 * round + 1);
        scans.copy(id, folder.path(), &new);
        expected.push(scans.line(id, &new));
    }
    let output = scans.watch(folder.path()).args(["--maps", "--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let by_id = |lines: Vec<Value>| {
        let mut lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(by_id(journal(folder.path())), by_id(expected));
    let maps = std::fs::read_dir(folder.path().join("assay-results/maps")).unwrap();
    assert_eq!(maps.count(), 12, "each scan has its map, and nothing half is left");
}

#[test]
fn a_torn_last_line_is_cut_off_and_its_scan_scored_again() {
    let scans = Scans::new();
    let folder = tempfile::tempdir().unwrap();
    for (id, new) in [("good-0", "10"), ("good-1", "9"), ("good-0", "a")] {
        scans.copy(id, folder.path(), new);
    }
    let first = scans.watch(folder.path()).arg("--once").output().unwrap();
    assert_eq!(ids(&json_lines(&first)), ["9", "10", "a"], "in natural order: {}", stderr(&first));
    let path = folder.path().join("assay-results/results.jsonl");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 9]).unwrap();
    let mut loud = scans.watch(folder.path());
    let again = loud.arg("--once").output().unwrap();
    assert_eq!(ids(&json_lines(&again)), ["a"]);
    assert_eq!(ids(&journal(folder.path())), ["9", "10", "a"]);
    let third = scans.watch(folder.path()).arg("--once").output().unwrap();
    assert!(third.stdout.is_empty() && third.status.code() == Some(0), "{}", stderr(&third));
}

#[test]
fn a_second_watcher_of_the_same_results_is_refused() {
    let scans = Scans::new();
    let folder = tempfile::tempdir().unwrap();
    let mut first = scans.watch(folder.path()).spawn().unwrap();
    let out = folder.path().join("assay-results");
    wait_until("the journal", || out.join("results.jsonl").exists());
    let output = exit_with(scans.watch(folder.path()).arg("--once"), 2);
    assert!(stderr(&output).contains("another watcher") && stderr(&output).contains("--out"));
    // With results of its own it may.
    let other = tempfile::tempdir().unwrap();
    exit_with(scans.watch(folder.path()).arg("--once").arg("--out").arg(other.path()), 0);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_scan_that_cannot_be_read_is_done_with_an_invalid_line() {
    let scans = Scans::new();
    let folder = tempfile::tempdir().unwrap();
    scans.copy("good-0", folder.path(), "1");
    std::fs::write(&files(folder.path(), "1")[0], "not a picture").unwrap();
    scans.copy("good-0", folder.path(), "2");
    let output = exit_with(scans.watch(folder.path()).arg("--once"), 2);
    assert_eq!(ids(&json_lines(&output)), ["1", "2"]);
    let lines = journal(folder.path());
    assert!(lines[0]["error"].as_str().unwrap().contains("1.png"), "{}", lines[0]);
    assert!(exit_with(scans.watch(folder.path()).arg("--once"), 0).stdout.is_empty());
}
