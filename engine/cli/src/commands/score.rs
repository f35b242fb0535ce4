//! `assay score`.

use super::{Status, dump};
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::output;
use anyhow::{Context as _, Result};
use assay_core::inspect::{Inspector, Verdict};
use assay_core::report::one_line;
use assay_core::result::ResultLine;
use assay_core::station::request::{LONGEST, Line, Refused, read_line, scan_of_line};
use assay_core::station::{Outputs, answer, answer_all};
use assay_data::ScanFiles;
use assay_data::layout::scans_under;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Inspect scans with a model; one JSON line each.
///
/// With `-` the model stays loaded: scans are read from standard input, one a line, and each is answered by one line.
/// A line is the path of one of a scan's files, or {"id": "7", "files": {"colour": "a.png", "height": "b.tiff"}}, whose id may be left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  assay score part.assay scans --pictures pictures
  assay score part.assay scans/rgb/007.png
  ls scans/rgb/*.png | assay score part.assay -")]
pub(crate) struct Args {
    /// The model.
    pub(crate) model: PathBuf,
    /// Scans: one of a scan's files, a folder of scans, or a data set; `-` reads them from standard input.
    #[arg(required = true, value_name = "SCAN_OR_DIR")]
    pub(crate) scans: Vec<PathBuf>,
    /// Write anomaly maps here: f32 TIFF of native size.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Write overlay pictures here: PNG.
    #[arg(long, value_name = "DIR")]
    pub(crate) pictures: Option<PathBuf>,
    /// Write the points coloured by score here: PLY.
    #[arg(long, value_name = "DIR")]
    pub(crate) clouds: Option<PathBuf>,
    /// Refuse other plugins or another runtime than the model was fitted with.
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) dump: dump::Args,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let from_input = args.scans.iter().any(|path| path == Path::new("-"));
    anyhow::ensure!(
        !from_input || args.scans.len() == 1,
        "`-` reads all scans from standard input and stands alone (a file of that name is `./-`)"
    );
    let (_context, inspector) = Context::inspector(&args.model, args.locked, &args.machine, console)?;
    let (maps, pictures, clouds) = (args.maps.clone(), args.pictures.clone(), args.clouds.clone());
    let outputs = Outputs { maps, pictures, clouds, dump: args.dump.open(&inspector)? };
    let interrupt = Interrupt::on_signals(console);
    if from_input {
        return score_input(&inspector, &outputs, &interrupt, console);
    }
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
    let (mut status, mut done) = (Status::Ok, 0);
    answer_all(&inspector, &scans, &outputs, |line| {
        status = status.max(publish(&line, console)?);
        done += 1;
        let stop = interrupt.asked() && done < scans.len();
        anyhow::ensure!(!stop, "interrupted: {done} of {} scans are scored", scans.len());
        anyhow::Ok(())
    })?;
    Ok(status)
}

/// Prints a line, with an error on the console where there is one, and returns what it means for the exit status.
pub(crate) fn publish(line: &ResultLine, console: &Console) -> Result<Status> {
    if let Some(error) = &line.error {
        console.error(error);
    }
    output::json(line)?;
    Ok(match line.verdict {
        Verdict::Ok => Status::Ok,
        Verdict::Review | Verdict::Ng => Status::Ng,
        Verdict::Invalid => Status::Invalid,
    })
}

/// How often the wait for a line looks whether somebody asked to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Answers each line of standard input by one line, until its end or until somebody asks to stop.
fn score_input(
    inspector: &Inspector,
    outputs: &Outputs,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Status> {
    let lines = input_lines();
    let mut status = Status::Ok;
    let mut number = 0;
    while !interrupt.asked() {
        let line = match lines.recv_timeout(LOOK) {
            Ok(line) => line.context("standard input")?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        number += 1;
        let scan = match line.text {
            Some(text) if text.trim_ascii().is_empty() => continue,
            Some(text) => scan_of_line(&text, &inspector.recipe.sensors),
            None => {
                let message = format!("the line is longer than {LONGEST} bytes: give paths, not contents");
                Err(Refused { id: None, message })
            }
        };
        status = status.max(publish(&answer_line(inspector, scan, outputs, number), console)?);
    }
    Ok(status)
}

/// The answer to a line: also where it names no scan, or where a map or picture cannot be written.
fn answer_line(
    inspector: &Inspector,
    scan: Result<ScanFiles, Refused>,
    outputs: &Outputs,
    number: u64,
) -> ResultLine {
    match scan {
        Err(Refused { id, message }) => {
            let id = id.unwrap_or_else(|| format!("line {number}"));
            ResultLine::invalid(inspector, &id, format!("line {number}: {message}"))
        }
        Ok(files) => answer(inspector, &files, outputs)
            .unwrap_or_else(|e| ResultLine::invalid(inspector, &files.id, one_line(&e))),
    }
}

/// The lines of standard input, read by a thread of their own so that waiting for one can be interrupted.
fn input_lines() -> Receiver<std::io::Result<Line>> {
    // One line is held while another is scored, so that memory is bounded.
    let (sender, lines) = sync_channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = read_line(&mut input, LONGEST).transpose() {
            let failed = line.is_err();
            if sender.send(line).is_err() || failed {
                return;
            }
        }
    });
    lines
}
