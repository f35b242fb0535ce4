//! `assay`: learns a part from good scans, then says where a new scan is wrong.
//!
//! The program is thin: it reads arguments, opens plugins and runtime, and prints what the engine returns.
//! Results go to standard output, everything else to standard error.
//! Exit status: 0 all ok, 1 some part is ng, 2 something could not be done.

mod args;
mod commands;
mod console;
mod context;
mod interrupt;
mod machine;
mod output;
mod version;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let console = console::Console::new(args.quiet);
    interrupt::survive_file_size_limit();
    match commands::run(args.command, &console) {
        Ok(status) => status.into(),
        Err(e) => {
            console.clear();
            if let Some(assay_core::error::Error::Cancelled) = e.downcast_ref() {
                console.stopped();
                return ExitCode::from(2);
            }
            // A reader that went away (`assay score ... | head`) is not worth a message.
            if !output::is_closed_pipe(&e) {
                console.error(&output::with_causes(&e));
            }
            ExitCode::from(2)
        }
    }
}
