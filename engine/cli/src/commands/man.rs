//! `assay man`.

use super::Status;
use crate::args;
use anyhow::{Context as _, Result};
use assay_data::atomic;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Print the manual page, or write one page a command.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay man | man -l -                            read it
  assay man --dir ~/.local/share/man/man1         install assay.1, assay-fit.1 and the others")]
pub(crate) struct Args {
    /// Write assay.1 and one page a command here.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Status> {
    // `help` needs no page; building gives each command the name of its page.
    let mut program = args::Args::command().disable_help_subcommand(true);
    program.build();
    match &args.dir {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            write_pages(&program, folder)?;
        }
        None => {
            let mut out = std::io::stdout().lock();
            man(&program).render(&mut out)?;
            out.flush()?;
        }
    }
    Ok(Status::Ok)
}

/// The pages of a command and of those below it: `assay-recipe-check.1`.
fn write_pages(command: &Command, folder: &Path) -> Result<()> {
    let man = man(command);
    atomic::write(&folder.join(man.get_filename()), |file| man.render(file))?;
    command.get_subcommands().try_for_each(|below| write_pages(below, folder))
}

fn man(command: &Command) -> Man {
    // Without the revision: pages change with the program, not with each commit.
    Man::new(command.clone()).source(concat!("assay ", env!("CARGO_PKG_VERSION"))).manual("Assay")
}
