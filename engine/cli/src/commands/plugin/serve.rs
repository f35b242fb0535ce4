//! `assay plugin serve`: the process of a plugin with `isolation = "process"`.

use super::super::Status;
use anyhow::{Context as _, Result};

/// Drives an instance as the engine on the standard streams asks.
pub(super) fn run() -> Result<Status> {
    assay_core::plugin::serve(std::io::stdin(), answers()?).context("the engine is gone")?;
    Ok(Status::Ok)
}

/// The stream of answers. What a plugin prints goes to the standard error output: it would come between them.
#[cfg(unix)]
fn answers() -> Result<impl std::io::Write + Send + use<>> {
    let answers = rustix::io::dup(rustix::stdio::stdout()).context("the standard output cannot be kept")?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr()).context("the standard output cannot be moved")?;
    Ok(std::fs::File::from(answers))
}

#[cfg(not(unix))]
fn answers() -> Result<impl std::io::Write + Send + use<>> {
    Ok(std::io::stdout())
}
