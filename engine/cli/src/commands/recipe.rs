//! `assay recipe check`.

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::output;
use anyhow::Result;
use assay_core::graph::{Graph, Source, Step, onnx_beside};
use assay_core::recipe::{Background, Decide, OnTooFew, Recipe, Statistic, resolved};
use assay_core::threshold::Budget;
use assay_data::{Sensor, SensorKind};
use std::path::{Path, PathBuf};

/// Check recipes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a recipe against the plugins at hand and explain what it does.
    ///
    /// Shown are the sensors, the steps in the order they run with what they take and give, the parameters that differ from
    /// their defaults, what is learned, and how many calibration scans the verdict takes.
    #[command(after_long_help = "\
Examples:
  assay recipe check station.toml                 what it does, or what is wrong and in which line
  assay recipe check station.toml --plugin-path plugins
                                                  with methods of your own
  assay recipe check --resolved station.toml      every key and parameter written out")]
    Check {
        /// The recipe.
        recipe: PathBuf,
        /// Print the recipe with everything written out instead: all keys and parameters, full references, the implied step.
        #[arg(long)]
        resolved: bool,
        #[command(flatten)]
        machine: Machine,
    },
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    match &args.command {
        Command::Check { recipe, resolved, machine } => check(recipe, *resolved, machine, console),
    }
}

fn check(path: &Path, written_out: bool, machine: &Machine, console: &Console) -> Result<Status> {
    let recipe = Recipe::read(path)?;
    let context = Context::open(machine, Some(&recipe), console)?;
    let graph = Graph::resolve(&recipe, &context.registry, &context.engine, &onnx_beside(path))?;
    if written_out {
        output::line(resolved(&recipe, &graph).trim_end())?;
        return Ok(Status::Ok);
    }
    for line in explained(&recipe, &graph) {
        output::line(&line)?;
    }
    output::line("the recipe is fine")?;
    Ok(Status::Ok)
}

/// What a recipe does, a line each.
fn explained(recipe: &Recipe, graph: &Graph) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| lines.push(format!("{what:<8}{text}"));
    if let Some(about) = about(recipe) {
        say("recipe", about);
    }
    recipe.sensors.iter().for_each(|s| say("sensor", sensor(s)));
    if let Some(sensor) = recipe.height_sensor() {
        say("part", part(recipe, &sensor.name));
    }
    graph.steps.iter().for_each(|s| say("step", step(recipe, graph, s)));
    say("learned", learned(recipe, graph));
    let sigma = recipe.map.sigma;
    let smoothed =
        if sigma > 0.0 { format!("sigma {sigma:.4} of the shorter side") } else { "not smoothed".into() };
    say("map", format!("{}, {smoothed}", graph.output_name(graph.last)));
    say("verdict", verdict(&recipe.decide));
    say("takes", takes(&recipe.decide));
    lines
}

fn about(recipe: &Recipe) -> Option<String> {
    let parts = [
        recipe.number.map(|n| format!("number {n}")),
        Some(recipe.name.clone()).filter(|n| !n.is_empty()),
        Some(recipe.station.clone()).filter(|s| !s.is_empty()).map(|s| format!("at {s}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn sensor(sensor: &Sensor) -> String {
    let unit = match sensor.kind {
        SensorKind::Rgb | SensorKind::Gray => String::new(),
        _ => format!(" in {}", sensor.unit),
    };
    format!("{}: {} ({}{unit})", sensor.name, sensor.pattern, sensor.kind)
}

fn part(recipe: &Recipe, height: &str) -> String {
    let rest = match recipe.prepare.background {
        Background::Off => return "is not looked for: the background is inspected too".into(),
        Background::Input => "is blanked before any step",
        Background::Features => "is seen, but neither learned nor scored",
        Background::Points => "is seen without its points, and neither learned nor scored",
        Background::Map => "is left out of the map",
    };
    format!("found in {height}; what is not part {rest}")
}

fn step(recipe: &Recipe, graph: &Graph, step: &Step) -> String {
    let source = |s: &Source| match s {
        Source::Sensor(i) => recipe.sensors[*i].name.clone(),
        Source::Output(s, o) => graph.output_name((*s, *o)),
    };
    let inputs: Vec<String> = step.inputs.iter().map(|(_, s)| source(s)).collect();
    let outputs: Vec<&str> = step.outputs.iter().map(|(n, _)| n.as_str()).collect();
    let implied = if recipe.steps.iter().any(|s| s.name == step.name) { "" } else { ", implied" };
    let mut text = format!(
        "{}: {} ({}{implied}) {} -> {}",
        step.name,
        step.info.id,
        step.info.role(),
        inputs.join(", "),
        outputs.join(", ")
    );
    let given = step.info.params.iter().zip(&step.params).filter(|(info, value)| info.default != **value);
    let mut given: Vec<String> = given.map(|(info, value)| format!("{} = {value}", info.name)).collect();
    if step.raw && implied.is_empty() {
        given.push("raw = true".into());
    }
    if !given.is_empty() {
        text = format!("{text}; {}", given.join(", "));
    }
    text
}

fn learned(recipe: &Recipe, graph: &Graph) -> String {
    let names: Vec<&str> = graph.steps.iter().filter(|s| s.info.fitted).map(|s| s.name.as_str()).collect();
    if names.is_empty() {
        return "nothing; the scales of scores and the thresholds come from good scans".into();
    }
    let angles = match recipe.prepare.rotations {
        1 => String::new(),
        n => format!(", each scan at {n} angles"),
    };
    format!("{} from good scans{angles}; {} folds set the scales", names.join(", "), recipe.decide.folds)
}

fn verdict(decide: &Decide) -> String {
    let score = match decide.score {
        Statistic::Map => "the maximum of the map",
        Statistic::Image => "the last step's image score",
    };
    let held = match decide.confidence {
        None => "on average".to_owned(),
        Some(c) => format!("with confidence {c}"),
    };
    let review =
        decide.review.map_or_else(String::new, |rate| format!("; at most {rate} are ng or for review"));
    format!("from {score}: at most {} of the good parts are ng, {held}{review}", decide.false_reject_rate)
}

fn takes(decide: &Decide) -> String {
    let n = Budget::from(*decide).parts_needed();
    let scans = if n == 1 { "scan" } else { "scans" };
    let else_ = match decide.on_too_few {
        OnTooFew::Error => "with fewer there is no model",
        OnTooFew::Warn => "with fewer the best rate that they can hold is taken",
    };
    format!("{n} calibration {scans} at least, beside the training scans; {else_}")
}
