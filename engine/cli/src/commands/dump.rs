//! `assay score --dump`: what a step makes of each scan, for other programs.

use anyhow::Result;
use assay_core::dump::Wanted;
use assay_core::inspect::Inspector;
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

impl Args {
    /// The folder and the outputs that were asked for, if any.
    pub(crate) fn open(&self, inspector: &Inspector) -> Result<Option<(PathBuf, Wanted)>> {
        let Some(name) = &self.dump else { return Ok(None) };
        Ok(Some((self.dump_to.clone(), Wanted::find(inspector, name)?)))
    }
}
