//! `assay score --dump`: what a step makes of each scan, for other programs.

use anyhow::Result;
use assay_core::dump::{self, Wanted};
use assay_core::inspect::{Inspection, Inspector};
use std::path::PathBuf;

/// What to dump, and where.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Write what this step makes of each scan as safetensors: STEP for all its outputs, or STEP.OUTPUT.
    #[arg(long, value_name = "STEP")]
    pub(crate) dump: Option<String>,
    /// The folder for what --dump writes: DIR/ID.safetensors.
    #[arg(long, value_name = "DIR", default_value = "assay-dump", requires = "dump")]
    pub(crate) dump_to: PathBuf,
}

/// A dump under way.
pub(crate) struct Dump {
    wanted: Wanted,
    folder: PathBuf,
}

impl Args {
    /// The dump that was asked for, if any.
    pub(crate) fn open(&self, inspector: &Inspector) -> Result<Option<Dump>> {
        let Some(name) = &self.dump else { return Ok(None) };
        let wanted = Wanted::find(inspector, name)?;
        Ok(Some(Dump { wanted, folder: self.dump_to.clone() }))
    }
}

impl Dump {
    /// Writes what the step makes of an inspected scan.
    pub(crate) fn write(&self, inspector: &Inspector, inspection: &Inspection) -> Result<()> {
        dump::write(&self.folder, inspector, inspection, &self.wanted)?;
        Ok(())
    }
}
