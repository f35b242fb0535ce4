//! `assay watch`.

use super::Status;
use crate::console::Console;
use anyhow::Result;

/// Score scans as they appear in a folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _console: &Console) -> Result<Status> {
    anyhow::bail!("not there yet")
}
