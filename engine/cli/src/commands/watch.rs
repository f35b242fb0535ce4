//! `assay watch`.

use super::{Status, score};
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::interrupt::Interrupt;
use anyhow::Result;
use assay_core::inspect::Inspector;
use assay_core::result::ResultLine;
use assay_core::station::arrivals::Arrivals;
use assay_core::station::journal::Journal;
use assay_core::station::watch::{Program, score_present, watch};
use assay_core::station::{Outputs, answer};
use assay_data::{ScanFiles, atomic};
use clap::value_parser;
use std::path::PathBuf;
use std::time::Duration;

/// Score scans as they appear in a folder, each once.
///
/// A scan is scored when the files of all sensors are there and have come to rest. Its line is printed and then kept in
/// results.jsonl, which says after a restart, or a crash, which scans are done. Ctrl-C and SIGTERM finish the scan at
/// hand.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  assay watch part.assay scans --pictures
  assay watch part.assay scans --once --out results")]
pub(crate) struct Args {
    /// The model.
    pub(crate) model: PathBuf,
    /// The folder of scans, laid out as the recipe's sensors say.
    #[arg(value_name = "DIR")]
    pub(crate) scans: PathBuf,
    /// The folder for results.jsonl, maps and pictures [default: DIR/assay-results].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write anomaly maps too, to maps/ID.tiff in the folder of results.
    #[arg(long)]
    pub(crate) maps: bool,
    /// Write overlay pictures too, to pictures/ID.png in the folder of results.
    #[arg(long)]
    pub(crate) pictures: bool,
    /// Write the points coloured by score too, to clouds/ID.ply in the folder of results.
    #[arg(long)]
    pub(crate) clouds: bool,
    /// A file is at rest when its size and time stay for so many milliseconds; 0 = as soon as it is there.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = value_parser!(u64).range(..=600_000))]
    pub(crate) settle: u64,
    /// Milliseconds between two looks at the folder.
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = value_parser!(u64).range(10..=600_000))]
    pub(crate) poll: u64,
    /// Warn of a scan that lacks a file for so many seconds; 0 = never. It is scored when the file comes.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = value_parser!(u64).range(..=31_536_000))]
    pub(crate) incomplete_after: u64,
    /// Score the scans that are there and complete, then end.
    #[arg(long)]
    pub(crate) once: bool,
    /// Refuse other plugins or another runtime than the model was fitted with.
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let folder = &args.scans;
    anyhow::ensure!(folder.is_dir(), "{} is no folder: scans are to appear in it", folder.display());
    let (_context, inspector) = Context::inspector(&args.model, args.locked, &args.machine, console)?;
    let out = args.out.clone().unwrap_or_else(|| folder.join("assay-results"));
    let mut journal = Journal::open(&out)?;
    for note in &journal.notes {
        console.warn(note);
    }
    let outputs = Outputs {
        maps: args.maps.then(|| out.join("maps")),
        pictures: args.pictures.then(|| out.join("pictures")),
        clouds: args.clouds.then(|| out.join("clouds")),
        dump: None,
    };
    for written in [&outputs.maps, &outputs.pictures, &outputs.clouds].into_iter().flatten() {
        atomic::remove_leftovers(written)?;
    }
    console.info(&format!(
        "watching {}; results go to {} ({} scans are done)",
        folder.display(),
        journal.path().display(),
        journal.len()
    ));
    if journal.last_model.as_ref().is_some_and(|sha256| *sha256 != inspector.model_sha256) {
        console.info("the scans that are done were scored with another model, as their lines say");
    }
    let settle = Duration::from_millis(args.settle);
    let overdue = (args.incomplete_after > 0).then(|| Duration::from_secs(args.incomplete_after));
    let mut arrivals = Arrivals::new(folder, &inspector.recipe.sensors, settle, overdue);
    let mut station = Station {
        inspector,
        outputs,
        console,
        interrupt: Interrupt::on_signals(console),
        status: Status::Ok,
    };
    if args.once {
        score_present(&mut arrivals, &mut journal, settle, &mut station)?;
    } else {
        watch(&mut arrivals, &mut journal, Duration::from_millis(args.poll), &mut station)?;
    }
    Ok(station.status)
}

/// The program as the watch sees it.
struct Station<'a> {
    inspector: Inspector,
    outputs: Outputs,
    console: &'a Console,
    interrupt: Interrupt,
    status: Status,
}

impl Program for Station<'_> {
    type Error = anyhow::Error;

    fn score(&mut self, files: &ScanFiles) -> Result<ResultLine> {
        Ok(answer(&self.inspector, files, &self.outputs)?)
    }

    fn publish(&mut self, line: &ResultLine) -> Result<()> {
        self.status = self.status.max(score::publish(line, self.console)?);
        Ok(())
    }

    fn say(&mut self, message: &str) {
        self.console.warn(message);
    }

    fn wait(&mut self, time: Duration) -> bool {
        self.interrupt.wait(time)
    }
}
