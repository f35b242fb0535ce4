//! `assay man`.

use super::Status;
use crate::console::Console;
use anyhow::Result;

/// Print the manual page.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _console: &Console) -> Result<Status> {
    anyhow::bail!("not there yet")
}
