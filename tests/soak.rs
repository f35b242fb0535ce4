//! Long runs of the built program: what must neither grow, leak nor break. Each takes minutes, so they are run by
//! `cargo test -p assay --test soak -- --ignored --nocapture --test-threads 1`. `ASSAY_SOAK_SCANS` (20000) and
//! `ASSAY_SOAK_KILLS` (200) shorten them.
#![cfg(target_os = "linux")]
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
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::tiny::{Tiny, cut, replace};
use support::{assay, json_lines, stderr, succeed};

/// A number from the environment, so that a soak can be shorter or longer.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn scans() -> usize {
    number("ASSAY_SOAK_SCANS", 20_000)
}

/// What a process holds: resident memory in KiB, file handles, threads.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident: u64,
    handles: usize,
    threads: u64,
}

impl Held {
    fn by(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = fs::read_to_string(folder.join("status")).unwrap();
        let value = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_end_matches("kB").trim().parse().unwrap()
        };
        let handles = fs::read_dir(folder.join("fd")).unwrap().count();
        Self { resident: value("VmRSS:"), handles, threads: value("Threads:") }
    }
}

/// What was held at the first scan, when the process had warmed up, and later.
struct Record {
    warm: usize,
    samples: Vec<(usize, Held)>,
}

impl Record {
    fn new(scans: usize) -> Self {
        Self { warm: 1000.min(scans / 4), samples: Vec::new() }
    }

    /// Looks at the process after the scan `done` where it is time to.
    fn sample(&mut self, done: usize, process: u32) {
        if done == 10 || done.is_multiple_of(self.warm.max(10)) {
            self.samples.push((done, Held::by(process)));
        }
    }

    /// Memory is flat within 2 % from the thousandth scan on; handles and threads are what they were.
    fn assert_flat(&self, what: &str) {
        for (done, held) in [&self.samples[0], &self.samples[1], &self.samples[self.samples.len() - 1]] {
            eprintln!("{what}: scan {done}: {held:?}");
        }
        let (_, start) = self.samples[0];
        let warm: Vec<&Held> =
            self.samples.iter().filter(|(done, _)| *done >= self.warm).map(|(_, held)| held).collect();
        let most = warm.iter().map(|held| held.resident).max().unwrap() as f64;
        let first = warm[0].resident as f64;
        assert!(most <= 1.02 * first, "{what}: resident memory grew from {first} to {most} KiB");
        for held in warm {
            assert_eq!((held.handles, held.threads), (start.handles, start.threads), "{what}");
        }
    }
}

/// Scores by the number of the scan that a scan is a link to; every later one must be the first again.
#[derive(Default)]
struct Scores(BTreeMap<usize, Value>);

impl Scores {
    fn add(&mut self, done: usize, line: &Value) {
        assert!(line["score"].is_number(), "{line}");
        let first = self.0.entry(done % 10).or_insert_with(|| line["score"].clone());
        assert_eq!(*first, line["score"], "scan {done}");
    }
}

fn piped(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "minutes: cargo test -p assay --test soak -- --ignored --nocapture --test-threads 1"]
fn a_process_that_answers_lines_for_long_holds_what_it_held_at_first() {
    let (tiny, model) = Tiny::fitted();
    let (folder, n) = (tiny.links(10), scans());
    let mut command = assay();
    command.arg("score").arg(model).arg("-");
    let mut child = piped(command);
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut record, mut scores) = (Record::new(n), Scores::default());
    let start = Instant::now();
    for done in 1..=n {
        writeln!(input, "{}", folder.path().join(format!("rgb/{:05}.png", done % 10)).display()).unwrap();
        scores.add(done, &serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
        record.sample(done, child.id());
    }
    eprintln!("score -: {n} scans, {:.2} ms each", start.elapsed().as_secs_f64() * 1e3 / n as f64);
    drop(input);
    assert!(child.wait().unwrap().code() < Some(2));
    record.assert_flat("score -");
}

#[test]
#[ignore = "minutes: cargo test -p assay --test soak -- --ignored --nocapture --test-threads 1"]
fn a_batch_and_a_watch_of_many_scans_hold_what_they_held_at_first() {
    let (tiny, model) = Tiny::fitted();
    let n = scans() / 2;
    let folder = tiny.links(n);
    let (mut batch, mut watch) = (assay(), assay());
    batch.arg("score").arg(model).arg(folder.path());
    watch.arg("watch").arg(model).arg(folder.path()).args(["--once", "--settle", "0"]);
    for (what, command) in [("batch", batch), ("watch", watch)] {
        let start = Instant::now();
        let mut child = piped(command);
        let (mut record, mut scores) = (Record::new(n), Scores::default());
        for (done, line) in BufReader::new(child.stdout.take().unwrap()).lines().enumerate() {
            scores.add(done, &serde_json::from_str(&line.unwrap()).unwrap());
            // The pipe holds some lines: the process may be that far ahead, and at its end.
            if done + 500 < n {
                record.sample(done + 1, child.id());
            }
        }
        assert!(child.wait().unwrap().code() < Some(2));
        eprintln!("{what}: {n} scans, {:.2} ms each", start.elapsed().as_secs_f64() * 1e3 / n as f64);
        record.assert_flat(what);
    }
    let journal = fs::read_to_string(folder.path().join("assay-results/results.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), n);
}

#[test]
#[ignore = "a minute: cargo test -p assay --test soak -- --ignored --nocapture --test-threads 1"]
fn of_ten_thousand_scans_the_broken_hundredth_is_invalid_and_the_rest_is_scored() {
    let (tiny, model) = Tiny::fitted();
    let n = scans() / 2;
    let folder = tiny.links(n);
    for k in (0..n).step_by(100) {
        let (rgb, xyz) =
            (folder.path().join(format!("rgb/{k:05}.png")), folder.path().join(format!("xyz/{k:05}.tiff")));
        match k / 100 % 5 {
            0 => cut(&rgb, 50),
            1 => cut(&xyz, 50),
            2 => replace(&rgb, b""),
            3 => fs::remove_file(&xyz).unwrap(),
            _ => replace(&xyz, b"noise"),
        }
    }
    let start = Instant::now();
    let output = assay().arg("score").arg(model).arg(folder.path()).output().unwrap();
    eprintln!("{n} scans, 1 % broken: {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(output.status.code(), Some(2));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), n);
    for (k, line) in lines.iter().enumerate() {
        assert_eq!(line["id"], format!("{k:05}"));
        assert_eq!(line["verdict"] == "invalid", k % 100 == 0, "{line}");
    }
    // A fit says which they are, and how many, before it learns anything.
    let start = Instant::now();
    let output = tiny.fit_on(folder.path(), &tiny.path("new.assay")).output().unwrap();
    eprintln!("refused by a fit after {:.1} s", start.elapsed().as_secs_f64());
    assert!(
        stderr(&output).contains(&format!("{} of the {n} scans", n.div_ceil(100))),
        "{}",
        stderr(&output)
    );
}

/// Moments between nothing and `most`, the same in each run.
fn moments(most: Duration) -> impl Iterator<Item = Duration> {
    let golden = 0.618_033_988_749_895_f64;
    (1..).map(move |k| most.mul_f64((f64::from(k) * golden).fract()))
}

/// Runs a command and kills it after a while; whether it was still at work.
fn killed_after(command: &mut Command, moment: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(moment);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// Temporary files and folders that lie about.
fn leftovers(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".tmp") || name.starts_with("assay-")).collect()
}

/// How long an undisturbed run takes.
fn time_of(command: &mut Command) -> Duration {
    let start = Instant::now();
    succeed(command);
    start.elapsed()
}

#[test]
#[ignore = "minutes: cargo test -p assay --test soak -- --ignored --nocapture --test-threads 1"]
fn fits_calibrations_and_recipes_that_are_killed_leave_the_old_file_or_the_new_one() {
    let tiny = Tiny::new();
    let (out, part) = (tiny.path("out"), tiny.path("out/part.assay"));
    fs::create_dir(&out).unwrap();
    let time = time_of(&mut tiny.fit(&part));
    let old = fs::read(&part).unwrap();
    let with = |mut command: Command, rate: &str| {
        command.args(["--false-reject-rate", rate]);
        command
    };
    let calibrate = |rate: &str| {
        let mut command = assay();
        command.arg("calibrate").arg(&part);
        with(command, rate)
    };
    // Of a fit at another rate, and of a calibration for it.
    let new = [with(tiny.fit(&part), "0.5"), calibrate("0.5")].map(|mut command| {
        fs::write(&part, &old).unwrap();
        succeed(&mut command);
        fs::read(&part).unwrap()
    });
    assert!(new.iter().all(|new| *new != old));
    let kills = number("ASSAY_SOAK_KILLS", 200);
    let (mut killed, mut olds, mut most_left) = (0, 0, 0);
    // Other threads' builds slow a run down: twice the time covers its end.
    for (k, moment) in (0..kills).zip(moments(2 * time)) {
        fs::write(&part, &old).unwrap();
        let mut command = if k % 3 == 2 { calibrate("0.5") } else { with(tiny.fit(&part), "0.5") };
        killed += usize::from(killed_after(&mut command, moment));
        let found = fs::read(&part).unwrap();
        assert!(found == old || new.contains(&found), "kill {k}: neither the old nor the new file");
        olds += usize::from(found == old);
        most_left = most_left.max(leftovers(&out).len()).max(leftovers(&tiny.scratch()).len());
    }
    eprintln!(
        "fit, calibrate: {killed} of {kills} killed at work, {olds} old files; at most {most_left} leftover at a time"
    );
    assert!(most_left <= 1, "they pile up");
    succeed(&mut tiny.fit(&part));
    assert!(fs::read(&part).unwrap() == old);
    assert_eq!((leftovers(&out), leftovers(&tiny.scratch())), (Vec::new(), Vec::new()));

    let recipe = tiny.path("out/init.toml");
    let init = || {
        let mut command = assay();
        command.arg("init").arg(tiny.scans()).arg("--force").arg("-o").arg(&recipe);
        command
    };
    let time = time_of(&mut init());
    let whole = fs::read(&recipe).unwrap();
    for (k, moment) in (0..kills / 4).zip(moments(2 * time)) {
        fs::write(&recipe, "old").unwrap();
        killed_after(&mut init(), moment);
        let found = fs::read(&recipe).unwrap();
        assert!(found == b"old" || found == whole, "kill {k}");
    }
    succeed(&mut init());
    assert_eq!(leftovers(&out), Vec::<String>::new());
}

#[test]
#[ignore = "minutes: cargo test -p assay --test soak -- --ignored --nocapture --test-threads 1"]
fn watches_that_are_killed_score_each_scan_once_in_the_end() {
    let (tiny, model) = Tiny::fitted();
    let (kills, n) = (number("ASSAY_SOAK_KILLS", 200), 2000);
    let folder = tiny.links(n);
    let results = folder.path().join("assay-results");
    let watch = || {
        let mut command = assay();
        command.arg("watch").arg(model).arg(folder.path()).args(["--once", "--settle", "0", "--maps"]);
        command
    };
    let killed = (0..kills)
        .zip(moments(Duration::from_millis(400)))
        .filter(|(_, moment)| killed_after(&mut watch(), *moment))
        .count();
    let journal = || fs::read_to_string(results.join("results.jsonl")).unwrap_or_default();
    let done = journal().lines().count();
    assert!(watch().output().unwrap().status.code() < Some(2));
    let mut ids: Vec<String> = journal()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    eprintln!("watch: {killed} of {kills} killed at work, {done} of {n} scans done by then");
    assert!(ids.iter().enumerate().all(|(k, id)| *id == format!("{k:05}")) && ids.len() == n);
    assert_eq!(fs::read_dir(results.join("maps")).unwrap().count(), n, "a map each, and nothing half");
    for (k, map) in fs::read_dir(results.join("maps")).unwrap().enumerate() {
        let length = map.unwrap().metadata().unwrap().len();
        assert!(length > 64 * 64 * 4, "map {k} has {length} bytes");
    }
}
