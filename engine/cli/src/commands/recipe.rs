//! `assay recipe check`.

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::output::line;
use anyhow::Result;
use assay_core::graph::{Graph, Source, onnx_beside};
use assay_core::recipe::Recipe;
use assay_data::SensorKind;
use std::path::{Path, PathBuf};

/// Check recipes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a recipe against the plugins at hand and show its steps in the order they run.
    #[command(after_long_help = "\
Examples:
  assay recipe check station.toml                 what it does, or what is wrong and in which line
  assay recipe check station.toml --plugin-path plugins
                                                  with methods of your own")]
    Check {
        /// The recipe.
        recipe: PathBuf,
        #[command(flatten)]
        machine: Machine,
    },
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    match &args.command {
        Command::Check { recipe, machine } => check(recipe, machine, console),
    }
}

fn check(path: &Path, machine: &Machine, console: &Console) -> Result<Status> {
    let recipe = Recipe::read(path)?;
    let context = Context::open(machine, Some(&recipe), console)?;
    let graph = Graph::resolve(&recipe, &context.registry, &context.engine, &onnx_beside(path))?;
    for sensor in &recipe.sensors {
        let unit = match sensor.kind {
            SensorKind::Rgb | SensorKind::Gray => String::new(),
            _ => format!(" in {}", sensor.unit),
        };
        line(&format!("sensor  {}: {} ({}{unit})", sensor.name, sensor.pattern, sensor.kind))?;
    }
    for step in &graph.steps {
        let inputs: Vec<String> = step
            .inputs
            .iter()
            .map(|(_, s)| match s {
                Source::Sensor(i) => recipe.sensors[*i].name.clone(),
                Source::Output(s, o) => graph.output_name((*s, *o)),
            })
            .collect();
        let outputs: Vec<&str> = step.outputs.iter().map(|(n, _)| n.as_str()).collect();
        line(&format!(
            "step    {}: {} ({}) {} -> {}",
            step.name,
            step.info.id,
            step.info.role(),
            inputs.join(", "),
            outputs.join(", ")
        ))?;
    }
    line(&format!("map     {}", graph.output_name(graph.last)))?;
    line("the recipe is fine")?;
    Ok(Status::Ok)
}
