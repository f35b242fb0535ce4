//! `assay completions`.

use super::Status;
use crate::args;
use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay completions bash > ~/.local/share/bash-completion/completions/assay
  assay completions zsh > ~/.zfunc/_assay         with ~/.zfunc in fpath
  assay completions fish > ~/.config/fish/completions/assay.fish")]
pub(crate) struct Args {
    /// The shell.
    pub(crate) shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<Status> {
    // Generated in memory: the generator itself panics where the reader is gone.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "assay", &mut text);
    let mut out = std::io::stdout().lock();
    out.write_all(&text)?;
    out.flush()?;
    Ok(Status::Ok)
}
