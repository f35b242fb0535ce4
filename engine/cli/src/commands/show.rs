//! `assay show`.

use super::Status;
use crate::console::Console;
use crate::output::{self, line};
use anyhow::Result;
use assay_core::model::{Manifest, Model, ScanRecord};
use assay_core::quantise::Quantisation;
use std::path::PathBuf;

/// Print what a model holds.
///
/// Nothing but the file is needed: no plugin, no runtime.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  assay show gland.assay
  assay show gland.assay --recipe > gland.toml
  assay show gland.assay --json | python3 -m json.tool")]
pub(crate) struct Args {
    /// The model.
    pub(crate) model: PathBuf,
    /// Print the recipe as it was written.
    #[arg(long, conflicts_with_all = ["resolved", "scans", "json"])]
    pub(crate) recipe: bool,
    /// Print the recipe that the model works by, every key explicit.
    #[arg(long, conflicts_with_all = ["scans", "json"])]
    pub(crate) resolved: bool,
    /// Print the scans that it was fitted and calibrated on, with the SHA-256 of their files.
    #[arg(long, conflicts_with = "json")]
    pub(crate) scans: bool,
    /// Print the manifest as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args, _console: &Console) -> Result<Status> {
    let (model, sha256) = Model::read(&args.model)?;
    if args.recipe {
        line(model.recipe.trim_end())?;
    } else if args.resolved {
        line(model.resolved.as_ref().unwrap_or(&model.recipe).trim_end())?;
    } else if args.scans {
        scans(&model.manifest)?;
    } else if args.json {
        output::json(&model.manifest)?;
    } else {
        summary(&model, &sha256)?;
    }
    Ok(Status::Ok)
}

/// One line a scan: what it did, its id, its hash.
fn scans(manifest: &Manifest) -> Result<()> {
    let learned = manifest.training.iter().map(|ScanRecord { id, sha256 }| ("learned", id, sha256));
    let calibrated = manifest.calibration.scans.iter().map(|s| ("calibrated", &s.id, &s.sha256));
    let rows: Vec<Vec<String>> = learned
        .chain(calibrated)
        .map(|(role, id, sha256)| vec![role.into(), id.clone(), sha256.clone()])
        .collect();
    output::table(&rows)
}

/// Facts by name; a name is printed once.
struct Facts(&'static str);

impl Facts {
    fn add(&mut self, name: &'static str, fact: &str) -> Result<()> {
        let shown = if std::mem::replace(&mut self.0, name) == name { "" } else { name };
        line(format!("{shown:<12}{fact}").trim_end())
    }
}

fn summary(model: &Model, sha256: &str) -> Result<()> {
    let manifest = &model.manifest;
    let recipe = model.parse_recipe()?;
    let mut facts = Facts("");
    facts.add("model", &format!("format {}, sha256 {sha256}", model.format))?;
    facts.add(
        "fitted",
        &format!(
            "by assay {} on {} ({}), seed {}",
            manifest.program, manifest.runtime, manifest.device, manifest.seed
        ),
    )?;
    let number = recipe.number.map_or_else(String::new, |n| format!("{n}, "));
    facts.add("recipe", &format!("{number}{} ({})", recipe.name, manifest.recipe_file))?;
    facts.add("recipe", &format!("sha256 {}", manifest.recipe_sha256))?;
    if !recipe.station.is_empty() {
        facts.add("station", &recipe.station)?;
    }
    for sensor in &recipe.sensors {
        facts.add("sensors", &format!("{}: {} ({})", sensor.name, sensor.pattern, sensor.kind))?;
    }
    facts.add("scans", &format!("{} x {} pixels", manifest.native.1, manifest.native.0))?;
    facts.add("scans", &format!("{} learned, {}", manifest.training.len(), span(&manifest.training)))?;
    facts.add("scans", &format!("{} set the thresholds", manifest.calibration.scans.len()))?;
    for step in &recipe.steps {
        let state =
            model.states.get(&step.name).map_or_else(String::new, |s| format!(", {}", size(s.length())));
        facts.add("steps", &format!("{}: {}{state}", step.name, step.method))?;
    }
    for plugin in &manifest.plugins {
        facts.add(
            "plugins",
            &format!("{} {} ({}, sha256 {})", plugin.method, plugin.version, plugin.library, plugin.sha256),
        )?;
    }
    for (step, network) in &manifest.networks {
        let name = if network.file.is_empty() { "built-in backbone" } else { &network.file };
        let held = model
            .onnx
            .get(&network.sha256)
            .map_or_else(|| "not in the file".into(), |b| size(b.len() as u64));
        facts.add("networks", &format!("{step}: {name}, {held}, sha256 {}", network.sha256))?;
        for said in network.quantisation.iter().flat_map(Quantisation::summary) {
            facts.add("networks", &format!("{step}: {said}"))?;
        }
    }
    for (name, scales) in &manifest.scales {
        let (patch, image) = (scales.patch, scales.image);
        facts.add(
            "scales",
            &format!(
                "{name}: patches {:.4} + {:.4}, image {:.4} + {:.4} (median + spread)",
                patch.median, patch.spread, image.median, image.spread
            ),
        )?;
    }
    for promise in manifest.calibration.promise() {
        facts.add("verdict", &promise)?;
    }
    for partial in &manifest.partial {
        let without = partial.missing.join(" and ");
        for promise in partial.calibration.promise() {
            facts.add("partial", &format!("without {without}: {promise}"))?;
        }
    }
    if let Some(shortfall) = manifest.calibration.shortfall() {
        facts.add("verdict", &shortfall)?;
    }
    facts.add("regions", &format!("where the map is above {:.4}", manifest.calibration.pixel.value))
}

/// The first and last id of some scans.
fn span(scans: &[ScanRecord]) -> String {
    match scans {
        [] => "none".into(),
        [one] => one.id.clone(),
        [first, .., last] => format!("{} to {}", first.id, last.id),
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
