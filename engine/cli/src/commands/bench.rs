//! `assay bench`.

use super::Status;
use crate::console::Console;
use anyhow::Result;

/// Fit and score every category under a folder, and print the figures beside the published ones.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _console: &Console) -> Result<Status> {
    anyhow::bail!("not there yet")
}
