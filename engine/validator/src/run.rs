//! Goes through the checks, each in a process of its own.

use crate::checks::{CHECKS, FIRST, FUZZ, Run};
use crate::finding::{Finding, Status};
use crate::notes;
use crate::task::{Answer, METHODS, Param, Task};
use std::cell::Cell;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Rounds of the fuzzer in one process.
const ROUNDS: u64 = 50;

/// The checks in which a plugin prints nothing.
const QUIET: [&str; 2] = ["loading/quiet", "behaviour/quiet"];

/// What to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// The library.
    pub library: PathBuf,
    /// Only the checks that match: a part of `group/name` or of `method:group/name`, `*` for anything.
    pub only: Option<String>,
    /// Values of parameters instead of their defaults.
    pub params: Vec<Param>,
    /// The seed of scans, and of the first round of the fuzzer.
    pub seed: u64,
    /// Rounds of the fuzzer a method; with any, there is nothing but these.
    pub fuzz: u64,
    /// The longest that a check may take.
    pub limit: Duration,
    /// Makes the checks in this process: for a debugger.
    pub in_process: bool,
}

/// Why a library could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library is not there.
    #[error(
        "{path} cannot be read: {source}; name the plugin's library, such as target/release/libassay_mine.so"
    )]
    Library {
        /// The library.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The machine gives no processes or temporary files.
    #[error("a check cannot be started: {0}")]
    System(#[from] std::io::Error),
    /// No check matches.
    #[error("no check matches `{0}`; `assay plugin validate --list` shows them")]
    NoMatch(String),
    /// What was asked for does not fit the plugin.
    #[error("{0}")]
    Request(String),
}

/// Tries a library and tells each finding as it is made. `child` makes the command of a process that calls [`Task::answer`] on the
/// task whose JSON it is given.
///
/// # Errors
/// Where the library cannot be tried at all; what is wrong with it is a finding.
pub fn validate(
    options: &Options,
    child: impl Fn(&str) -> Command,
    mut tell: impl FnMut(&Finding),
) -> Result<(), Error> {
    let library = std::path::absolute(&options.library).map_err(Error::System)?;
    File::open(&library).map_err(|source| Error::Library { path: options.library.clone(), source })?;
    let folder = tempfile::tempdir()?;
    let mut bench = Bench { options, library, folder: folder.path(), child: &child, made: 0 };
    let told = Cell::new(0);
    let mut tell = |finding: Finding| {
        told.set(told.get() + 1);
        tell(&finding);
        finding.status
    };
    let mut usable = true;
    for check in CHECKS.iter().filter(|c| matches!(c.run, Run::Library(_))) {
        if usable && options.fuzz == 0 && bench.wanted(check.id, None) {
            let status = tell(bench.make(check.id, None)?);
            // What is no library, or has no entry, is not loaded again and again.
            usable &= !(["loading/library", "loading/entry"].contains(&check.id) && status.is_bad());
        }
    }
    if usable {
        let answer = bench.methods()?;
        let methods = match answer {
            Ok(methods) => methods,
            // A check of the library says so, where it was made.
            Err(_) if told.get() > 0 && options.params.is_empty() => Vec::new(),
            Err(message) => return Err(Error::Request(message)),
        };
        for method in &methods {
            bench.method(method, &mut tell)?;
        }
    }
    match &options.only {
        Some(pattern) if told.get() == 0 => Err(Error::NoMatch(pattern.clone())),
        _ => Ok(()),
    }
}

struct Bench<'a, C> {
    options: &'a Options,
    library: PathBuf,
    folder: &'a Path,
    child: &'a C,
    made: usize,
}

/// How a child process ended.
struct Ended {
    /// None when it took too long.
    exit: Option<ExitStatus>,
    answer: Option<Answer>,
    /// The last word of what came next.
    note: String,
    printed: [String; 2],
}

impl<C: Fn(&str) -> Command> Bench<'_, C> {
    fn wanted(&self, check: &str, method: Option<&str>) -> bool {
        let Some(pattern) = &self.options.only else { return true };
        let whole = method.map_or_else(|| check.to_owned(), |m| format!("{m}:{check}"));
        matches(pattern, check) || matches(pattern, &whole)
    }

    /// All checks of a method.
    fn method(&mut self, method: &str, tell: &mut dyn FnMut(Finding) -> Status) -> Result<(), Error> {
        if self.options.fuzz > 0 {
            if self.wanted(FUZZ, Some(method)) {
                tell(self.fuzz(method)?);
            }
            return Ok(());
        }
        let mut first: Option<Finding> = None;
        for check in CHECKS.iter().filter(|c| matches!(c.run, Run::Method(_))) {
            if !self.wanted(check.id, Some(method)) {
                continue;
            }
            let needs_first = check.id != FIRST && !check.id.starts_with("descriptor/");
            if needs_first && first.is_none() {
                let made = self.make(FIRST, Some(method))?;
                // It was not asked for, and is why nothing else is made.
                if made.status != Status::Pass {
                    tell(made.clone());
                }
                first = Some(made);
            }
            let finding = match &first {
                Some(first) if needs_first && first.status != Status::Pass => Finding {
                    check: check.id.into(),
                    method: Some(method.into()),
                    status: Status::Skip,
                    message: format!("{FIRST} comes first"),
                    seconds: 0.0,
                },
                Some(first) if check.id == FIRST => first.clone(),
                _ => self.make(check.id, Some(method))?,
            };
            if check.id == FIRST {
                first = Some(finding.clone());
            }
            tell(finding);
        }
        Ok(())
    }

    fn task(&mut self, check: &str, method: Option<&str>, seed: u64, rounds: u64) -> Task {
        self.made += 1;
        let file = |kind: &str| self.folder.join(format!("{}.{kind}", self.made));
        Task {
            library: self.library.clone(),
            check: check.into(),
            method: method.map(str::to_owned),
            params: self.options.params.clone(),
            seed,
            rounds,
            answer: file("answer"),
            notes: file("notes"),
        }
    }

    /// The methods, or why there are none.
    fn methods(&mut self) -> Result<Result<Vec<String>, String>, Error> {
        let task = self.task(METHODS, None, self.options.seed, 0);
        let answer = if self.options.in_process { Some(task.run()) } else { self.process(&task)?.answer };
        Ok(match answer {
            Some(Answer { status: Status::Pass, methods, .. }) => Ok(methods),
            Some(answer) => Err(answer.message),
            None => Err("the library cannot be loaded".into()),
        })
    }

    fn make(&mut self, check: &str, method: Option<&str>) -> Result<Finding, Error> {
        let task = self.task(check, method, self.options.seed, 0);
        self.find(&task)
    }

    fn find(&self, task: &Task) -> Result<Finding, Error> {
        let start = Instant::now();
        let quiet = QUIET.contains(&task.check.as_str());
        let (status, message) = if self.options.in_process {
            match task.run() {
                Answer { status: Status::Pass, .. } if quiet => {
                    (Status::Skip, "what is printed is not seen within this process".to_owned())
                }
                answer => (answer.status, answer.message),
            }
        } else {
            judged(self.process(task)?, quiet, self.options.limit)
        };
        Ok(Finding {
            check: task.check.clone(),
            method: task.method.clone(),
            status,
            message,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Rounds of the fuzzer up to the first one that finds something.
    fn fuzz(&mut self, method: &str) -> Result<Finding, Error> {
        let (mut done, mut seconds) = (0, 0.0);
        loop {
            let rounds = ROUNDS.min(self.options.fuzz - done);
            let seed = self.options.seed.wrapping_add(done);
            let task = self.task(FUZZ, Some(method), seed, rounds);
            let mut finding = self.find(&task)?;
            seconds += finding.seconds;
            done += rounds;
            if finding.status != Status::Pass || done >= self.options.fuzz {
                finding.seconds = seconds;
                if let Some(seed) = seed_of(&finding.message) {
                    finding.message += &format!(
                        "; again with `assay plugin validate {} --only {method}:fuzz --fuzz 1 --seed {seed}`",
                        self.options.library.display()
                    );
                } else if finding.status == Status::Pass {
                    finding.message = format!("{done} rounds from seed {} on", self.options.seed);
                }
                return Ok(finding);
            }
        }
    }

    /// Does a task in a process of its own.
    fn process(&self, task: &Task) -> Result<Ended, Error> {
        let json = serde_json::to_string(task).map_err(std::io::Error::other)?;
        let printed = ["out", "err"].map(|kind| task.answer.with_extension(kind));
        let mut command = (self.child)(&json);
        // The C library keeps some freed memory for each thread and counts it as used; not here, where it is counted.
        command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
        command.stdin(Stdio::null()).stdout(File::create(&printed[0])?).stderr(File::create(&printed[1])?);
        let mut child = command.spawn()?;
        let exit = wait(&mut child, self.options.limit)?;
        let answer = std::fs::read(&task.answer).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let note = notes::last(&end_of_file(&task.notes, 1 << 16));
        let ended =
            Ended { exit, answer, note, printed: [beginning(&printed[0], 200), beginning(&printed[1], 200)] };
        for file in [&task.answer, &task.notes].into_iter().chain(&printed) {
            let _ = std::fs::remove_file(file);
        }
        Ok(ended)
    }
}

/// Waits for a process, and ends it when it takes too long.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(exit) = child.try_wait()? {
            return Ok(Some(exit));
        }
        if start.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The first bytes of a file; nothing of one that is not there.
fn beginning(path: &Path, bytes: u64) -> String {
    let mut text = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(bytes).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// The last bytes of a file; nothing of one that is not there.
fn end_of_file(path: &Path, bytes: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let long = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(long.saturating_sub(bytes)));
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What the end of a process says.
fn judged(ended: Ended, quiet: bool, limit: Duration) -> (Status, String) {
    let doing = |note: &str| if note.is_empty() { String::new() } else { format!(", in: {note}") };
    let Some(exit) = ended.exit else {
        return (
            Status::Timeout,
            format!("it did not end within {} s{}", limit.as_secs_f64(), doing(&ended.note)),
        );
    };
    let Some(answer) = ended.answer else {
        // What a panic or an assertion says goes to the standard error output.
        let last_words = match first_line(&ended.printed[1]) {
            "" => String::new(),
            said => format!("; it said {said:?}"),
        };
        return (Status::Crash, format!("{}{}{last_words}", end_of(exit), doing(&ended.note)));
    };
    if !exit.success() {
        return (Status::Crash, format!("{} after the check, when it had all been destroyed", end_of(exit)));
    }
    let [out, err] = ended.printed;
    if quiet && answer.status == Status::Pass {
        if !out.is_empty() {
            return (
                Status::Fail,
                format!("it prints to the standard output, where results go: {:?}", first_line(&out)),
            );
        }
        if !err.is_empty() {
            let message = format!(
                "it prints to the standard error output instead of the host's log: {:?}",
                first_line(&err)
            );
            return (Status::Warn, message);
        }
    }
    let told = match answer.status {
        Status::Fail if !answer.message.contains("seed") => doing(&ended.note),
        _ => String::new(),
    };
    (answer.status, answer.message + &told)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// How a process ended that did not end well.
fn end_of(exit: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = exit.signal() {
            let name = match signal {
                4 => " (an illegal instruction)",
                6 => " (it aborted)",
                7 | 10 => " (a bus error)",
                8 => " (an arithmetic error)",
                9 => " (it was killed: is the memory used up?)",
                11 => " (it read or wrote where it must not)",
                _ => "",
            };
            return format!("the process ended by signal {signal}{name}");
        }
    }
    match exit.code() {
        Some(code) => format!("it ended the process with exit code {code}"),
        None => "the process ended".into(),
    }
}

/// The seed that a message of the fuzzer names.
fn seed_of(message: &str) -> Option<u64> {
    let rest = message.split("seed ").nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a pattern is a part of a name; `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = name;
    let mut parts = pattern.split('*');
    let whole = pattern.contains('*');
    if let Some(first) = parts.next() {
        match if whole {
            rest.strip_prefix(first)
        } else {
            rest.find(first).map(|at| &rest[at + first.len()..])
        } {
            Some(left) => rest = left,
            None => return false,
        }
    }
    let parts: Vec<&str> = parts.collect();
    for (i, part) in parts.iter().enumerate() {
        if i + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_of_a_name_or_all_of_it_with_stars() {
        for (pattern, name, fits) in [
            ("state", "state/random", true),
            ("padim:state", "padim:state/random", true),
            ("state/*", "state/random", true),
            ("*:state/*", "padim:state/random", true),
            ("ate/*", "state/random", false),
            ("*random", "state/random", true),
            ("*rand", "state/random", false),
            ("*", "anything", true),
            ("memory", "state/random", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} of {name}");
        }
    }

    #[test]
    fn the_seed_of_a_round_is_read_from_what_it_says() {
        assert_eq!(seed_of("it crashed, in: seed 41: call 3, load"), Some(41));
        assert_eq!(seed_of("no number"), None);
    }

    #[test]
    fn every_check_is_explained_and_nothing_else() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugin-validator.md");
        let page = std::fs::read_to_string(page).unwrap();
        let explained: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("### ")).collect();
        let checks: Vec<&str> = CHECKS.iter().map(|c| c.id).chain([FUZZ]).collect();
        assert_eq!(explained, checks);
        for check in CHECKS {
            let (first, rest) = check.promise.split_at(1);
            let paragraph = format!("### {}\n\n{}{rest}.", check.id, first.to_uppercase());
            assert!(page.contains(&paragraph), "{paragraph}");
        }
    }
}
