//! `assay schema`: for editors, and for programs that read results.

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::context::search_path;
use crate::output;
use anyhow::Result;
use assay_core::graph::{BUILTIN, builtin_methods};
use assay_core::plugin::{MethodInfo, Registry};
use assay_core::recipe::schema;
use assay_core::result::ResultLine;

/// Print the JSON Schema of a recipe or of a result line.
///
/// An editor with a TOML language server (such as Taplo) completes and checks recipes whose first line is
/// `#:schema ./recipe.schema.json`, where that file holds the recipe's schema.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay schema recipe > recipe.schema.json
  assay schema result")]
pub(crate) struct Args {
    /// What to describe: a recipe, with the methods of the plugins at hand, or one line of `assay score`.
    #[arg(value_enum)]
    pub(crate) of: Subject,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Subject {
    Recipe,
    Result,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let schema = match args.of {
        Subject::Recipe => recipe(&args.machine, console)?,
        Subject::Result => serde_json::to_value(schemars::schema_for!(ResultLine))?,
    };
    output::line(&serde_json::to_string_pretty(&schema)?)?;
    Ok(Status::Ok)
}

fn recipe(machine: &Machine, console: &Console) -> Result<serde_json::Value> {
    let registry = Registry::discover(&search_path(machine, None))?;
    for broken in &registry.broken {
        console.warn(&broken.to_string());
    }
    let builtin = builtin_methods();
    let plugins = registry.methods().map(|m| &*m.info).filter(|m| !BUILTIN.contains(&m.id.as_str()));
    Ok(schema::schema(&builtin.iter().chain(plugins).collect::<Vec<&MethodInfo>>()))
}
