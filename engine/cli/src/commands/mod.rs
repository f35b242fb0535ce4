//! The commands, one a file.

pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod eval;
pub(crate) mod fit;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod metrics;
pub(crate) mod plugin;
pub(crate) mod recipe;
pub(crate) mod schema;
pub(crate) mod score;
pub(crate) mod show;
pub(crate) mod watch;

use crate::args::Command;
use crate::console::Console;
use anyhow::Result;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// All ok.
    Ok,
    /// Some part is ng.
    Ng,
    /// Some scan could not be inspected.
    Invalid,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

pub(crate) fn run(command: Command, console: &Console) -> Result<Status> {
    match command {
        Command::Init(args) => init::run(&args, console),
        Command::Fit(args) => fit::run(&args, console),
        Command::Calibrate(args) => calibrate::run(&args, console),
        Command::Score(args) => score::run(&args, console),
        Command::Watch(args) => watch::run(&args, console),
        Command::Show(args) => show::run(&args, console),
        Command::Eval(args) => eval::run(&args, console),
        Command::Metrics(args) => metrics::run(&args, console),
        Command::Bench(args) => bench::run(&args, console),
        Command::Demo(args) => demo::run(&args, console),
        Command::Doctor(args) => doctor::run(&args),
        Command::Plugin(args) => plugin::run(&args, console),
        Command::Recipe(args) => recipe::run(&args, console),
        Command::Schema(args) => schema::run(&args, console),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
