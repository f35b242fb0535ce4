//! `assay demo`: everything once, on scans that the program makes itself.

use super::{Status, eval, fit};
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::output;
use anyhow::{Context as _, Result};
use assay_core::graph::{Graph, onnx_beside};
use assay_core::model::Model;
use assay_core::recipe::Recipe;
use assay_data::{Dataset, atomic};
use assay_synthetic::{Spec, generate};
use std::io::Write as _;
use std::path::PathBuf;

/// Make a small synthetic category, fit the default recipe on it, evaluate it and write a page with pictures.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay demo                                      the page is assay-demo/report/index.html
  assay demo --out trial --seed 7                 other parts, in a folder of that name
  assay score trial/model.assay trial/moulded_part/test/hole
                                                  its model on its scans")]
pub(crate) struct Args {
    /// The folder for scans, model and page.
    #[arg(long, default_value = "assay-demo", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of the synthetic scans.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// The default recipe for parts in a fixture, as shipped in `configs/`.
const RECIPE: &str = include_str!("../../../../configs/fixture3d.toml");

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    console.stop_on_interrupt();
    console.stop_on_memory_shortage();
    let (scans, recipe_file, model_file) =
        (args.out.join("moulded_part"), args.out.join("recipe.toml"), args.out.join("model.assay"));
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    if scans.exists() {
        console.info(&format!("the scans of an earlier demo in {} are used again", scans.display()));
    } else {
        console.info(&format!("making synthetic scans in {}", scans.display()));
        // Into another folder first: an interrupted demo leaves no half data set behind, and the next one goes on.
        let making = args.out.join("moulded_part.making");
        if making.exists() {
            std::fs::remove_dir_all(&making).with_context(|| making.display().to_string())?;
        }
        generate(&making, &Spec::demonstration(args.seed))?;
        std::fs::rename(&making, &scans).with_context(|| scans.display().to_string())?;
    }
    atomic::write(&recipe_file, |file| file.write_all(RECIPE.as_bytes()))?;
    let recipe = Recipe::read(&recipe_file)?;
    let context = Context::open(&args.machine, Some(&recipe), console)?;
    let graph = Graph::resolve(&recipe, &context.registry, &context.engine, &onnx_beside(&recipe_file))?;
    let dataset = Dataset::find(&scans, None, &recipe.sensors)?;
    let model = fit::fit_dataset(&recipe, graph, &dataset, &context, console)?;
    model.write(&model_file)?;
    let (model, sha256) = Model::read(&model_file)?;
    let inspector = context.inspect_with(model, sha256, &model_file)?;
    let (figures, page) = eval::evaluate_with_report(
        &inspector,
        &dataset.test,
        None,
        Some(&args.out.join("report")),
        "Synthetic moulded part",
        console,
    )?;
    eval::print(&figures)?;
    if let Some(page) = page {
        output::line("")?;
        output::line(&format!("page   {}", page.display()))?;
        output::line(&format!("model  {}", model_file.display()))?;
    }
    Ok(if figures.n_invalid > 0 { Status::Invalid } else { Status::Ok })
}
