//! The command line.

use assay_data::Layout;
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
#[command(name = "assay", version, max_term_width = 110)]
pub(crate) struct Args {
    /// Print errors only.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fit a recipe on good scans and write a model.
    Fit(Fit),
    /// Inspect scans with a model; one JSON line each.
    Score(Score),
    /// Score a data set's test scans and print the official figures.
    Eval(Eval),
    /// Evaluate anomaly maps of any program by the official MVTec 3D-AD definitions.
    Metrics(Metrics),
    /// Make a small synthetic category, fit the default recipe on it, evaluate it and write a page with pictures.
    Demo(Demo),
    /// Show the runtime, device, plugins and processor features at hand, and why they were chosen.
    Doctor(Doctor),
    /// Show the methods that plugins offer.
    Plugin(Plugin),
    /// Check recipes.
    Recipe(Recipe),
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

#[derive(Debug, ClapArgs)]
pub(crate) struct Fit {
    /// The station's recipe.
    pub(crate) recipe: PathBuf,
    /// A data set: MVTec 3D-AD or MVTec AD layout, or a folder of good scans.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The model file to write.
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) output: PathBuf,
    /// Seed of everything random; overrides the recipe's.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Layout of the data set, where looking is not enough: mvtec3d, mvtec or plain.
    #[arg(long, value_name = "L")]
    pub(crate) layout: Option<Layout>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Score {
    /// The model.
    pub(crate) model: PathBuf,
    /// Scans: one of a scan's files, a folder of scans, or a data set.
    #[arg(required = true, value_name = "SCAN_OR_DIR")]
    pub(crate) scans: Vec<PathBuf>,
    /// Write anomaly maps here: f32 TIFF of native size.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Write overlay pictures here: PNG.
    #[arg(long, value_name = "DIR")]
    pub(crate) pictures: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Eval {
    /// The model.
    pub(crate) model: PathBuf,
    /// A data set with test scans and masks.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Write anomaly maps here, in the official layout: DIR/OBJECT/test/DEFECT/ID.tiff.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Write pictures and an HTML page here.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Layout of the data set, where looking is not enough: mvtec3d, mvtec or plain.
    #[arg(long, value_name = "L")]
    pub(crate) layout: Option<Layout>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Metrics {
    /// The data set (of one object or of several) with its masks.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The maps: DIR/OBJECT/test/DEFECT/ID.tiff, f32 of the scan's native size.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: PathBuf,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// The folder for scans, model and page.
    #[arg(long, default_value = "assay-demo", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of the synthetic scans.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List all methods.
    List {
        #[command(flatten)]
        machine: Machine,
    },
    /// Describe one method: ports, parameters, paper and deviations.
    Info {
        /// The method's id.
        method: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        machine: Machine,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Recipe {
    #[command(subcommand)]
    pub(crate) command: RecipeCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecipeCommand {
    /// Check a recipe against the plugins at hand and show its steps in the order they run.
    Check {
        /// The recipe.
        recipe: PathBuf,
        #[command(flatten)]
        machine: Machine,
    },
}
