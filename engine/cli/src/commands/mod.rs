//! The commands, one a file.

mod demo;
mod doctor;
mod eval;
mod fit;
mod metrics;
mod plugin;
mod recipe;
mod score;

use crate::args::{Command, PluginCommand, RecipeCommand};
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
        Command::Fit(args) => fit::run(&args, console),
        Command::Score(args) => score::run(&args, console),
        Command::Eval(args) => eval::run(&args, console),
        Command::Metrics(args) => metrics::run(&args),
        Command::Demo(args) => demo::run(&args, console),
        Command::Doctor(args) => doctor::run(&args),
        Command::Plugin(args) => match args.command {
            PluginCommand::List { machine } => plugin::list(&machine, console),
            PluginCommand::Info { method, json, machine } => plugin::info(&method, json, &machine, console),
        },
        Command::Recipe(args) => match args.command {
            RecipeCommand::Check { recipe, machine } => recipe::check(&recipe, &machine, console),
        },
    }
}
