//! `assay calibrate`.

use super::Status;
use crate::args::{BudgetArgs, Machine};
use crate::console::Console;
use crate::context::Context;
use crate::output;
use anyhow::Result;
use assay_core::threshold::Calibration;
use assay_data::{Dataset, Layout, ScanFiles};
use std::path::PathBuf;

/// Set the thresholds of a model anew, without fitting it again.
///
/// The scans must be good and must not have been learned: the validation scans of a data set, or a folder of good scans.
/// Without --data the scores of the scans that the model was calibrated on are used again, for another rate. What is not
/// given stays as it was.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  assay calibrate gland.assay --false-reject-rate 0.02
  assay calibrate gland.assay --data good-parts-of-this-week --confidence 0.95
  assay calibrate gland.assay --data good-parts -o gland-line2.assay")]
pub(crate) struct Args {
    /// The model; it is replaced unless -o names another file.
    pub(crate) model: PathBuf,
    /// Good scans that the model has not learned.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Layout of the data set, where looking is not enough: mvtec3d, mvtecad or plain.
    #[arg(long, value_name = "L", requires = "data")]
    pub(crate) layout: Option<Layout>,
    /// Write the model here and leave the old one as it is.
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Refuse other plugins or another runtime than the model was fitted with.
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let (context, mut inspector) = Context::inspector(&args.model, args.locked, &args.machine, console)?;
    let output = args.output.as_ref().unwrap_or(&args.model);
    super::fit::check_writable(output)?;
    console.stop_on_interrupt();
    console.stop_on_memory_shortage();
    let scans = args.data.as_ref().map(|data| good_scans(args, data, &inspector)).transpose()?;
    let budget = args.budget.over(inspector.model.manifest.calibration.budget)?;
    let (calibration, partial) = inspector.calibrate(scans.as_deref(), budget, &context.services)?;
    console.clear();
    inspector.model.manifest.calibration = calibration;
    inspector.model.manifest.partial = partial;
    inspector.model.write(output)?;
    let calibration = &inspector.model.manifest.calibration;
    print(calibration, args.json)?;
    if let Some(shortfall) = calibration.shortfall() {
        console.warn(&shortfall);
    }
    for partial in &inspector.model.manifest.partial {
        let without = partial.missing.join(" and ");
        partial
            .calibration
            .promise()
            .iter()
            .for_each(|line| console.info(&format!("without {without}: {line}")));
    }
    console.info(&format!("wrote {}", output.display()));
    Ok(Status::Ok)
}

fn print(calibration: &Calibration, json: bool) -> Result<()> {
    if json {
        return output::json(calibration);
    }
    calibration.promise().iter().try_for_each(|line| output::line(line))
}

/// The validation scans of a data set, or all of a folder of good scans.
fn good_scans(
    args: &Args,
    data: &std::path::Path,
    inspector: &assay_core::inspect::Inspector,
) -> Result<Vec<ScanFiles>> {
    let dataset = Dataset::find(data, args.layout, &inspector.recipe.sensors)?;
    if dataset.layout == Layout::Plain {
        return Ok(dataset.train);
    }
    anyhow::ensure!(
        !dataset.validation.is_empty(),
        "{} has no validation scans: name a folder of good scans that the model has not learned",
        data.display()
    );
    Ok(dataset.validation)
}
