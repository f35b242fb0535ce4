//! `assay bench`: recipes on every category of a data set, for several seeds, beside the published figures.

mod child;
mod published;
mod summary;
mod table;
mod trial;

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::output;
use anyhow::{Context as _, Result};
use assay_core::plugin::Watch as _;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use summary::{Category, Failure, Summary};
use trial::{Candidate, Trial, fingerprint};

/// Fit and score every category under a folder, and print the figures beside the published ones.
///
/// Each fit and each evaluation is a process of its own. What is done is kept in --out and not done again, until the
/// recipe, the scans, a plugin, the runtime or the version of the program changes: an interrupted bench goes on where it
/// stopped. A category that fails is reported and the rest goes on; the exit status is then 2.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay bench configs/mvtec3d.toml --data mvtec3d
  assay bench a.toml b.toml --data mvtec3d/bagel --seeds 3 --json")]
pub(crate) struct Args {
    /// Recipes to compare.
    #[arg(required = true, value_name = "RECIPE")]
    pub(crate) recipes: Vec<PathBuf>,
    /// A folder of categories in MVTec 3D-AD or MVTec AD layout, or one category.
    #[arg(long, value_name = "ROOT")]
    pub(crate) data: PathBuf,
    /// Fit with the seeds 0 to N - 1.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// Where results are kept, one JSON file a fit.
    #[arg(long, default_value = "assay-bench", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print the published figures of this method beside ours; otherwise those of all methods follow.
    #[arg(long, value_name = "METHOD", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(published::METHODS.iter().map(|m| m.name)))]
    pub(crate) published: Option<String>,
    /// Keep the models in --out too.
    #[arg(long)]
    pub(crate) keep_models: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Everything, for `--json`.
#[derive(Serialize)]
struct Report {
    program: &'static str,
    version: &'static str,
    machine: Computer,
    data: PathBuf,
    seeds: u64,
    recipes: Vec<Summary>,
    published: Vec<Published>,
}

/// The computer that the times were measured on.
#[derive(Serialize)]
struct Computer {
    os: &'static str,
    architecture: &'static str,
    processor: Option<String>,
    cores: usize,
    threads: usize,
}

/// A method's published figures on the categories at hand.
#[derive(Serialize)]
struct Published {
    method: &'static str,
    source: &'static str,
    categories: BTreeMap<String, published::Figures>,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let categories = categories(&args.data, console)?;
    let candidates: Vec<Candidate> = args
        .recipes
        .iter()
        .map(|path| Candidate::open(path, &args.machine, console))
        .collect::<Result<_>>()?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    console.stop_on_interrupt();
    let mut progress = Progress { done: 0, of: candidates.len() * categories.len() * args.seeds as usize };
    let summaries: Vec<Summary> = candidates
        .iter()
        .map(|candidate| bench(args, candidate, &categories, &mut progress, console))
        .collect::<Result<_>>()?;
    console.clear();
    let failed =
        summaries.iter().any(|s| !s.failed.is_empty() || s.categories.values().any(|c| c.n_invalid > 0));
    if args.json {
        output::json(&report(args, &categories, summaries))?;
    } else {
        for summary in &summaries {
            table::print(summary, args.published.as_deref())?;
        }
        if args.published.is_none() {
            let names: Vec<&str> = categories.iter().map(|(name, _)| name.as_str()).collect();
            table::print_published(&names)?;
        }
    }
    Ok(if failed { Status::Invalid } else { Status::Ok })
}

/// Name and folder of each category under `root`, which may be one itself.
fn categories(root: &Path, console: &Console) -> Result<Vec<(String, PathBuf)>> {
    let is_category = |path: &Path| path.join("train").join("good").is_dir();
    let root = root.canonicalize().with_context(|| root.display().to_string())?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if is_category(&root) {
        return Ok(vec![(name(&root), root)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&root).with_context(|| root.display().to_string())? {
        let path = entry?.path();
        if is_category(&path) {
            found.push((name(&path), path));
        } else if path.is_dir() {
            console.info(&format!("left out: {} has no folder train/good", path.display()));
        }
    }
    anyhow::ensure!(
        !found.is_empty(),
        "{} holds no category: no folder with train/good is in it",
        root.display()
    );
    found.sort();
    Ok(found)
}

/// How many trials are done, of how many.
struct Progress {
    done: usize,
    of: usize,
}

/// All trials of one recipe.
fn bench(
    args: &Args,
    candidate: &Candidate,
    categories: &[(String, PathBuf)],
    progress: &mut Progress,
    console: &Console,
) -> Result<Summary> {
    let mut summary = Summary {
        recipe: candidate.file(),
        name: candidate.recipe.name.clone(),
        recipe_sha256: candidate.sha256.clone(),
        runtime: candidate.runtime.clone(),
        categories: BTreeMap::new(),
        mean: BTreeMap::new(),
        failed: Vec::new(),
    };
    for (category, folder) in categories {
        let done_after = progress.done + args.seeds as usize;
        let mut runs = Vec::new();
        let mut fail = |seed: Option<u64>, e: &anyhow::Error| {
            let error = output::with_causes(e);
            console.error(&format!("{}, {category}: {error}", candidate.file()));
            summary.failed.push(Failure { category: category.clone(), seed, error });
        };
        match fingerprint(folder, &candidate.recipe) {
            Err(e) => fail(None, &e),
            Ok(data_sha256) => {
                for seed in 0..args.seeds {
                    let trial = Trial::new(candidate, folder, category, &data_sha256, seed)?;
                    let what = format!("{}, {category}, seed {seed}", candidate.file());
                    if let Some(record) = trial.kept(&args.out) {
                        console.info(&format!("{what}: already done"));
                        runs.push(record);
                    } else {
                        let fraction = progress.done as f64 / progress.of as f64;
                        console.progress(
                            &what,
                            fraction,
                            &format!("{} of {}", progress.done + 1, progress.of),
                        );
                        match trial.run(&args.machine, &args.out, args.keep_models, console) {
                            Ok(record) => runs.push(record),
                            Err(e) if console.cancelled() => return Err(e),
                            Err(e) => {
                                // Its other seeds would most likely fail the same way.
                                fail(Some(seed), &e);
                                break;
                            }
                        }
                    }
                    progress.done += 1;
                }
            }
        }
        progress.done = done_after;
        if !runs.is_empty() {
            summary.categories.insert(category.clone(), Category::of(runs));
        }
    }
    Ok(summary.with_mean())
}

fn report(args: &Args, categories: &[(String, PathBuf)], recipes: Vec<Summary>) -> Report {
    let names: Vec<&str> = categories.iter().map(|(name, _)| name.as_str()).collect();
    let published = published::METHODS.iter().filter(|m| args.published.as_ref().is_none_or(|p| p == m.name));
    let published = published.map(|m| Published {
        method: m.name,
        source: m.source,
        categories: m.of_all(&names).into_iter().map(|(c, f)| (c.to_owned(), f)).collect(),
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Report {
        program: "assay",
        version: crate::version::LONG,
        machine: Computer {
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            processor: processor(),
            cores,
            threads: if args.machine.threads == 0 { cores } else { args.machine.threads },
        },
        data: args.data.clone(),
        seeds: args.seeds,
        recipes,
        published: published.filter(|p| !p.categories.is_empty()).collect(),
    }
}

/// The processor's name, where the system tells.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = text.lines().find(|l| l.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}
