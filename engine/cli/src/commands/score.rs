//! `assay score`.

use super::{Status, dump};
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::output;
use anyhow::Result;
use assay_core::inspect::Verdict;
use assay_core::report::{self, write_map, write_picture};
use assay_core::result::ResultLine;
use assay_data::layout::scans_under;
use std::path::PathBuf;

/// Inspect scans with a model; one JSON line each.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model.
    pub(crate) model: PathBuf,
    /// Scans: one of a scan's files, a folder of scans, or a data set.
    #[arg(required = true, value_name = "SCAN_OR_DIR")]
    pub(crate) scans: Vec<PathBuf>,
    /// Write anomaly maps here: f32 TIFF of native size.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Write overlay pictures here: PNG.
    #[arg(long, value_name = "DIR")]
    pub(crate) pictures: Option<PathBuf>,
    /// Refuse other plugins or another runtime than the model was fitted with.
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) dump: dump::Args,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let (_context, inspector) = Context::inspector(&args.model, args.locked, &args.machine, console)?;
    let dump = args.dump.open(&inspector)?;
    let mut scans = Vec::new();
    for path in &args.scans {
        scans.extend(scans_under(path, &inspector.recipe.sensors)?);
    }
    // Ids name maps and pictures: two scans of one id would overwrite each other's.
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = scans.iter().find(|s| !seen.insert(s.id.as_str())) {
        anyhow::bail!(
            "two of the scans have the id {}: score their common folder, or one after the other",
            twice.id
        );
    }
    let mut status = Status::Ok;
    for files in &scans {
        match inspector.inspect(files) {
            Ok(inspection) => {
                if let Some(folder) = &args.maps {
                    write_map(folder, &inspection)?;
                }
                if let Some(folder) = &args.pictures {
                    write_picture(folder, &inspector, &inspection, None)?;
                }
                if let Some(dump) = &dump {
                    dump.write(&inspector, &inspection)?;
                }
                output::json(&ResultLine::of(&inspector, &inspection))?;
                if inspection.verdict != Verdict::Ok {
                    status = status.max(Status::Ng);
                }
            }
            Err(e) => {
                console.error(&report::one_line(&e));
                output::json(&ResultLine::invalid(&inspector, &files.id, report::one_line(&e)))?;
                status = Status::Invalid;
            }
        }
    }
    Ok(status)
}
