//! `assay calibrate`.

use super::Status;
use crate::console::Console;
use anyhow::Result;

/// Set the thresholds of a model anew, without fitting it again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _console: &Console) -> Result<Status> {
    anyhow::bail!("not there yet")
}
