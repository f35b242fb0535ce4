//! `assay init`.

use super::Status;
use crate::console::Console;
use anyhow::Result;

/// Look at a folder of scans and write a recipe for it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _console: &Console) -> Result<Status> {
    anyhow::bail!("not there yet")
}
