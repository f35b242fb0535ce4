//! The command line.

use crate::commands::{
    bench, calibrate, completions, demo, doctor, eval, fit, init, man, metrics, plugin, recipe, schema,
    score, show, watch,
};
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
