//! The command line.

use crate::commands::{
    bench, calibrate, completions, demo, doctor, eval, fit, init, man, metrics, plugin, recipe, schema,
    score, show, watch,
};
use assay_core::recipe::OnTooFew;
use assay_core::threshold::Budget;
use assay_inference::{Device, Runtime};
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

/// Learns a part from good scans, then says where a new scan is wrong.
///
/// A station's recipe (TOML) names sensors and steps; `fit` learns good scans, `score` inspects new ones,
/// `eval` measures a model on labelled scans. Results go to standard output, messages to standard error.
///
/// Exit status: 0 all ok, 1 some part is ng, 2 something could not be done.
#[derive(Debug, Parser)]
#[command(name = "assay", version, long_version = crate::version::LONG, max_term_width = 110)]
#[command(after_long_help = "\
Examples:
  assay demo                                      everything once, on scans that it makes itself
  assay init scans -o station.toml                a first recipe for a folder of scans
  assay fit station.toml --data scans -o part.assay
                                                  learn the good scans
  assay score part.assay new_scans --pictures out
                                                  inspect new ones: a JSON line and a picture each")]
pub(crate) struct Args {
    /// Print errors only.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Fit(fit::Args),
    Calibrate(calibrate::Args),
    Score(score::Args),
    Watch(watch::Args),
    Show(show::Args),
    Eval(eval::Args),
    Metrics(metrics::Args),
    Bench(bench::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Plugin(plugin::Args),
    Recipe(recipe::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Where work is done.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Machine {
    /// Threads; 0 = one a core.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) threads: usize,
    /// Inference device: cpu or cuda:0.
    #[arg(long, value_name = "D")]
    pub(crate) device: Option<Device>,
    /// Inference runtime: auto, onnxruntime or rten.
    #[arg(long, value_name = "R")]
    pub(crate) runtime: Option<Runtime>,
    /// The ONNX Runtime library, or a folder that holds it.
    #[arg(long, value_name = "PATH")]
    pub(crate) runtime_path: Option<PathBuf>,
    /// A folder with plugins, searched before the usual ones; may be repeated.
    #[arg(long, value_name = "DIR")]
    pub(crate) plugin_path: Vec<PathBuf>,
}

/// What is asked of the thresholds, over what the recipe or model says.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Thresholds")]
pub(crate) struct BudgetArgs {
    /// Largest share of good parts that may be rejected.
    #[arg(long, value_name = "A")]
    pub(crate) false_reject_rate: Option<f64>,
    /// With which confidence this station's own rate keeps to it; none: on average over calibrations.
    #[arg(long, value_name = "C")]
    pub(crate) confidence: Option<OrNone>,
    /// A larger rate: parts between the two thresholds are for review; none: no such band.
    #[arg(long, value_name = "R")]
    pub(crate) review: Option<OrNone>,
    /// Where the calibration scans are too few for the rate: refuse, or take the best that they can promise.
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_too_few: Option<TooFew>,
}

/// A number, or the word `none`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrNone(Option<f64>);

impl std::str::FromStr for OrNone {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "none" {
            return Ok(Self(None));
        }
        word.parse().map(|v| Self(Some(v))).map_err(|_| "expected a number or none".into())
    }
}

/// What happens where the calibration scans are too few.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum TooFew {
    Error,
    Warn,
}

impl BudgetArgs {
    /// The budget with what was given in the place of what stood there.
    pub(crate) fn over(&self, mut budget: Budget) -> anyhow::Result<Budget> {
        budget.false_reject_rate = self.false_reject_rate.unwrap_or(budget.false_reject_rate);
        budget.confidence = self.confidence.map_or(budget.confidence, |c| c.0);
        budget.review = self.review.map_or(budget.review, |r| r.0);
        budget.on_too_few = match self.on_too_few {
            Some(TooFew::Error) => OnTooFew::Error,
            Some(TooFew::Warn) => OnTooFew::Warn,
            None => budget.on_too_few,
        };
        budget.validate()?;
        Ok(budget)
    }
}
