//! `assay plugin validate`.

use super::super::Status as Exit;
use crate::console::Console;
use crate::output::{self, line};
use anyhow::{Context as _, Result};
use assay_validator::{CHECKS, Finding, Options, Param, Status, Task, validate};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What each check is about.
const PAGE: &str = include_str!("../../../../../docs/plugin-validator.md");

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay plugin validate target/release/libassay_mine.so
  assay plugin validate libassay_mine.so --only state             checks with `state` in their names
  assay plugin validate libassay_mine.so --only 'mine:tensors/*'  the tensor checks of the method `mine`
  assay plugin validate libassay_mine.so --fuzz 1000 --seed 7     calls in any order with anything
  assay plugin validate libassay_slow.so --param slow.steps=2     a method that would train for long

Each check ends as pass, warn, fail, crash, timeout or skip; --explain tells of one. Exit code 0: none failed,
crashed or ran out of time; 1: some did; 2: the library could not be tried.")]
pub(crate) struct Args {
    /// The library, such as target/release/libassay_mine.so
    #[arg(required_unless_present_any = ["list", "explain", "task"])]
    library: Option<PathBuf>,
    /// Print one JSON object a finding instead of text.
    #[arg(long)]
    json: bool,
    /// Only checks that match: a part of GROUP/NAME or METHOD:GROUP/NAME; `*` stands for anything.
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Make the checks in this process, for a debugger: a crash ends it, a hang does not end.
    #[arg(long)]
    in_process: bool,
    /// A parameter's value instead of its default; may be given again.
    #[arg(long, value_name = "[METHOD.]KEY=VALUE")]
    param: Vec<Param>,
    /// Seed of the scans, and of the first round of --fuzz.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Instead of the checks, N rounds of calls in any order with anything.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fuzz: u64,
    /// The longest that a check may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    limit: f64,
    /// List the checks and what each makes sure of.
    #[arg(long)]
    list: bool,
    /// Say what a check is about, and what to do when it finds something.
    #[arg(long, value_name = "GROUP/NAME")]
    explain: Option<String>,
    /// What a child process is asked to do.
    #[arg(long, hide = true)]
    task: Option<String>,
}

pub(super) fn run(args: &Args, console: &Console) -> Result<Exit> {
    if let Some(task) = &args.task {
        let task: Task = serde_json::from_str(task).context("--task is for the program itself")?;
        task.answer().context("the answer of a check cannot be written")?;
        return Ok(Exit::Ok);
    }
    if args.list {
        let width = CHECKS.iter().map(|c| c.id.len()).max().unwrap_or(0);
        CHECKS.iter().try_for_each(|c| line(&format!("{:<width$}  {}", c.id, c.promise)))?;
        return Ok(Exit::Ok);
    }
    if let Some(check) = &args.explain {
        let section = PAGE.split("\n### ").skip(1).find(|s| s.lines().next() == Some(check));
        let section = section.with_context(|| format!("there is no check `{check}`; `--list` shows them"))?;
        let words = section.split("\n## ").next().unwrap_or(section);
        words.trim().lines().try_for_each(line)?;
        return Ok(Exit::Ok);
    }
    let limit = Duration::try_from_secs_f64(args.limit).ok().filter(|l| !l.is_zero());
    let options = Options {
        library: args.library.clone().context("name the plugin's library")?,
        only: args.only.clone(),
        params: args.param.clone(),
        seed: args.seed,
        fuzz: args.fuzz,
        limit: limit.context("--limit takes a number of seconds above 0")?,
        in_process: args.in_process,
    };
    let program = std::env::current_exe().context("the program does not know where it is")?;
    let child = |task: &str| {
        let mut command = Command::new(&program);
        command.args(["plugin", "validate", "--task", task]);
        command
    };
    let mut page = Page { json: args.json, ..Page::default() };
    let mut told = Ok(());
    validate(&options, child, |finding| {
        let now = page.tell(finding);
        if told.is_ok() {
            told = now;
        }
    })?;
    told.and_then(|()| page.end())?;
    let counts = page.all;
    let bad = counts.keys().any(|status| status.is_bad());
    if bad {
        console.info("`assay plugin validate --explain CHECK` says what a check is about, and what to do");
    }
    Ok(if bad { Exit::Ng } else { Exit::Ok })
}

type Counts = BTreeMap<Status, usize>;

/// Findings as text: under the name of what they are about a line for each group of checks, and one for each finding that needs a
/// look. Or as JSON.
#[derive(Default)]
struct Page {
    json: bool,
    all: Counts,
    /// What the group at hand is about, its name, and what there is of it.
    about: Option<(String, String)>,
    group: Counts,
    lines: Vec<String>,
}

impl Page {
    fn tell(&mut self, finding: &Finding) -> Result<()> {
        *self.all.entry(finding.status).or_default() += 1;
        if self.json {
            return output::json(finding);
        }
        let of = finding.method.clone().unwrap_or_else(|| "library".into());
        let group = finding.check.split('/').next().unwrap_or_default().to_owned();
        let now = Some((of, group));
        if self.about != now {
            self.flush()?;
            let last = self.about.take().map(|(of, _)| of);
            if let Some((of, _)) = now.as_ref().filter(|(of, _)| Some(of) != last.as_ref()) {
                line(of)?;
            }
            self.about = now;
        }
        *self.group.entry(finding.status).or_default() += 1;
        let needs_a_look = finding.status == Status::Warn || finding.status.is_bad();
        // Why the first of a group was skipped says it of the others.
        let first_skip = finding.status == Status::Skip && self.group[&Status::Skip] == 1;
        if needs_a_look || (first_skip && !finding.message.is_empty()) {
            self.lines.push(format!("    {}  {}: {}", finding.status.name(), finding.check, finding.message));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Some((_, group)) = &self.about {
            line(&format!("  {group:<10}  {}", in_words(&self.group)))?;
        }
        self.group.clear();
        self.lines.drain(..).try_for_each(|l| line(&l))
    }

    fn end(&mut self) -> Result<()> {
        if self.json {
            return Ok(());
        }
        self.flush()?;
        line(&format!("{} checks: {}", self.all.values().sum::<usize>(), in_words(&self.all)))
    }
}

fn in_words(counts: &Counts) -> String {
    let each: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {}", status.name())).collect();
    each.join(", ")
}
