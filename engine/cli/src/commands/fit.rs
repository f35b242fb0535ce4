//! `assay fit`.

use super::Status;
use crate::args::{BudgetArgs, Machine};
use crate::console::Console;
use crate::context::Context;
use anyhow::{Context as _, Result};
use assay_core::fit::{Split, fit};
use assay_core::graph::{Graph, onnx_beside};
use assay_core::model::Model;
use assay_core::recipe::Recipe;
use assay_core::unfinished;
use assay_data::{Dataset, Layout, atomic};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Fit a recipe on good scans and write a model.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay fit station.toml --data scans -o part.assay
                                                  a folder of good scans, or a data set in MVTec layout
  assay fit station.toml --data scans -o part.assay --threads 2
                                                  leave cores to others; the model is the same
  assay fit station.toml --data scans -o b.assay --seed 2
                                                  how much depends on chance

What has taken long when a fit is interrupted is kept in MODEL.unfinished, and the same command goes on with it.")]
pub(crate) struct Args {
    /// The station's recipe.
    pub(crate) recipe: PathBuf,
    /// A data set: MVTec 3D-AD or MVTec AD layout, or a folder of good scans.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The model file to write.
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) output: PathBuf,
    /// Seed of everything random; overrides the recipe's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    // as in a recipe
    pub(crate) seed: Option<u64>,
    /// Layout of the data set, where looking is not enough: mvtec3d, mvtecad or plain.
    #[arg(long, value_name = "L")]
    pub(crate) layout: Option<Layout>,
    /// Leave the ONNX files out of the model: they are then looked for in the model's folder, by the recipe's names. int8
    /// networks, which the fit made, stay in.
    #[arg(long)]
    pub(crate) external: bool,
    /// Begin anew, whatever an interrupted fit has kept.
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let start = Instant::now();
    let mut recipe = Recipe::read(&args.recipe)?;
    if let Some(seed) = args.seed {
        recipe.set_seed(seed);
    }
    args.budget.over(recipe.decide.into())?.apply(&mut recipe.decide);
    let mut context = Context::open(&args.machine, Some(&recipe), console)?;
    check_writable(&args.output)?;
    let graph = Graph::resolve(&recipe, &context.registry, &context.engine, &onnx_beside(&args.recipe))?;
    let dataset = Dataset::find(&args.data, args.layout, &recipe.sensors)?;
    let kept = unfinished_beside(&args.output);
    if args.fresh {
        unfinished::remove(&kept)?;
    }
    context.services.unfinished = Some(kept.clone());
    console.keeps_in(&kept);
    console.stop_on_interrupt();
    console.stop_on_memory_shortage();
    let mut model = fit_dataset(&recipe, graph, &dataset, &context, console)?;
    if args.external {
        model.leave_out_networks();
    }
    model.write(&args.output)?;
    unfinished::remove(&kept)?;
    let size = std::fs::metadata(&args.output).map(|m| m.len()).unwrap_or(0);
    let (mb, seconds) = (size as f64 / 1e6, start.elapsed().as_secs_f64());
    console.info(&format!("wrote {} ({mb:.1} MB) in {seconds:.1} s", args.output.display()));
    Ok(Status::Ok)
}

/// Fits on a data set and says what the thresholds rest on.
pub(crate) fn fit_dataset(
    recipe: &Recipe,
    graph: Graph,
    dataset: &Dataset,
    context: &Context,
    console: &Console,
) -> Result<Model> {
    let split = Split::of(dataset, recipe.seed, &recipe.decide.into())?;
    let (n, m) = (split.training.len(), split.calibration.len());
    let info = context.engine.describe();
    console.info(&format!(
        "fitting on {n} scans, {m} more set the thresholds; {} {} on {}, {} threads",
        info.name,
        info.version,
        info.device,
        context.services.threads()
    ));
    let model = fit(recipe, graph, &split, &context.engine, &context.services)?;
    let calibration = &model.manifest.calibration;
    calibration.promise().iter().for_each(|line| console.info(line));
    if let Some(shortfall) = calibration.shortfall() {
        console.warn(&shortfall);
    }
    for partial in &model.manifest.partial {
        let without = partial.missing.join(" and ");
        partial
            .calibration
            .promise()
            .iter()
            .for_each(|line| console.info(&format!("without {without}: {line}")));
    }
    Ok(model)
}

/// Where an interrupted fit keeps what it has come to.
fn unfinished_beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

/// Finds out before a long fit that the model cannot be written.
pub(crate) fn check_writable(output: &Path) -> Result<()> {
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let metadata =
        std::fs::metadata(folder).with_context(|| format!("the model's folder {}", folder.display()))?;
    anyhow::ensure!(metadata.is_dir(), "{} is not a folder", folder.display());
    anyhow::ensure!(!output.is_dir(), "{} is a folder; -o names the model file", output.display());
    atomic::check_target(output)?;
    tempfile::tempfile_in(folder)
        .with_context(|| format!("the model's folder {} cannot be written", folder.display()))?;
    Ok(())
}
