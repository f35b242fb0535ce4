//! `assay show`.

use super::Status;
use crate::console::Console;
use anyhow::Result;

/// Print what a model holds.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _console: &Console) -> Result<Status> {
    anyhow::bail!("not there yet")
}
