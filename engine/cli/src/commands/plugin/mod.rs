//! `assay plugin`.

mod new;
mod page;
mod serve;
mod validate;

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::context::search_path;
use crate::output::{self, line};
use anyhow::Result;
use assay_core::graph::{BUILTIN, builtin_methods};
use assay_core::plugin::{Method, MethodInfo, ParamInfo, PortInfo, Registry};
use std::path::Path;

/// Show the methods that plugins offer, and begin new ones.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay plugin list                               every method at hand, and where it comes from
  assay plugin list --json                        the same with ports and parameters, for scripts
  assay plugin info patchcore                     its ports, parameters, paper and deviations
  assay plugin info patchcore --json              the same for scripts
  assay plugin info patchcore --markdown          the same as a page of documentation
  assay plugin new edge-length --lang rust --role extractor
                                                  a project of your own, which builds and runs in a recipe
  assay plugin validate target/release/libassay_edge_length.so
                                                  what is wrong with it, check by check")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List all methods.
    List {
        /// Print one JSON object a method instead of text.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        machine: Machine,
    },
    /// Begin a plugin: a project with a method that works, its test and a recipe that uses it.
    New(new::Args),
    /// Try a plugin's library: each check in a process of its own.
    Validate(validate::Args),
    /// Drive one instance for another process, over the standard streams.
    #[command(hide = true)]
    Serve,
    /// Describe one method: ports, parameters, paper and deviations.
    Info {
        /// The method's id.
        method: String,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
        /// Print a page in Markdown instead of text: the method, and not where it was found.
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
        #[command(flatten)]
        machine: Machine,
    },
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    match &args.command {
        Command::List { json, machine } => list(*json, machine, console),
        Command::New(args) => new::run(args, console),
        Command::Serve => serve::run(),
        Command::Validate(args) => validate::run(args, console),
        Command::Info { method, json, markdown, machine } => {
            let form = match (json, markdown) {
                (true, _) => Form::Json,
                (_, true) => Form::Markdown,
                _ => Form::Text,
            };
            info(method, form, machine, console)
        }
    }
}

/// Where a method is from.
#[derive(serde::Serialize)]
struct From<'a> {
    path: &'a Path,
    sha256: &'a str,
    abi: String,
}

impl<'a> From<'a> {
    fn of(method: &'a Method) -> Self {
        let library = &method.library;
        let (major, minor) = library.abi;
        Self { path: &library.path, sha256: &library.sha256, abi: format!("{major}.{minor}") }
    }
}

/// A method in JSON.
#[derive(serde::Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    info: &'a MethodInfo,
    role: &'static str,
    /// None of a built-in method.
    library: Option<From<'a>>,
}

impl<'a> Described<'a> {
    fn of(info: &'a MethodInfo, method: Option<&'a Method>) -> Self {
        Self { info, role: info.role(), library: method.map(From::of) }
    }
}

fn list(json: bool, machine: &Machine, console: &Console) -> Result<Status> {
    let registry = Registry::discover(&search_path(machine, None))?;
    for broken in &registry.broken {
        console.warn(&broken.to_string());
    }
    if json {
        builtin_methods().iter().try_for_each(|info| output::json(&Described::of(info, None)))?;
        registry.methods().try_for_each(|m| output::json(&Described::of(&m.info, Some(m))))?;
        return Ok(Status::Ok);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |info: &MethodInfo, from: &str| {
        rows.push(
            [&info.id, info.role(), &info.version, from, &info.summary].map(|s: &str| s.to_owned()).to_vec(),
        );
    };
    builtin_methods().iter().for_each(|info| add(info, "built in"));
    for method in registry.methods() {
        let file = method.library.path.file_name().map(|n| n.to_string_lossy().into_owned());
        add(&method.info, &file.unwrap_or_default());
    }
    rows.sort();
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        line(&format!("{}  {}", cells.join("  "), row[4]))?;
    }
    Ok(Status::Ok)
}

/// How a method is described.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
    Markdown,
}

fn info(id: &str, form: Form, machine: &Machine, console: &Console) -> Result<Status> {
    let registry = Registry::discover(&search_path(machine, None))?;
    for broken in &registry.broken {
        console.warn(&broken.to_string());
    }
    let builtin = builtin_methods().into_iter().find(|m| m.id == id);
    let found = registry.get(id);
    let Some(info) = builtin.as_ref().or(found.map(|m| &*m.info)) else {
        anyhow::bail!("{}", registry.why_missing(id, &BUILTIN));
    };
    match form {
        Form::Json => output::json(&Described::of(info, found.filter(|_| builtin.is_none())))?,
        Form::Markdown => line(page::page(info).trim_end())?,
        Form::Text => text(info, found.filter(|_| builtin.is_none()))?,
    }
    Ok(Status::Ok)
}

/// A method as text, and the library that it is from.
fn text(info: &MethodInfo, found: Option<&Method>) -> Result<()> {
    line(&format!("{} - {} ({})", info.id, info.name, info.role()))?;
    line(&format!("  {}", info.summary))?;
    let fact =
        |name: &str, text: &str| if text.is_empty() { Ok(()) } else { line(&format!("  {name}: {text}")) };
    fact("paper", &info.paper)?;
    fact("deviations", &info.deviations)?;
    fact("version", &made_by(info))?;
    if let Some(method) = found {
        let from = From::of(method);
        fact("library", &from.path.display().to_string())?;
        fact("sha256", from.sha256)?;
        fact("plugin ABI", &from.abi)?;
    }
    for (title, ports) in [("inputs", &info.inputs), ("outputs", &info.outputs)] {
        line(&format!("{title}:"))?;
        ports.iter().try_for_each(|p| line(&format!("  {} ({}): {}", p.name, accepts(p), p.doc)))?;
    }
    if !info.params.is_empty() {
        line("parameters:")?;
    }
    for p in &info.params {
        let unit = if p.unit.is_empty() { String::new() } else { format!(" {}", p.unit) };
        line(&format!("  {} = {}{unit}  ({}{})", p.name, p.default, p.kind.name(), bounds(p)))?;
        p.doc.lines().try_for_each(|l| line(&format!("      {}", l.trim())))?;
    }
    Ok(())
}

/// Version, vendor and licence, as far as they are told.
fn made_by(info: &MethodInfo) -> String {
    let by = if info.vendor.is_empty() { String::new() } else { format!(" by {}", info.vendor) };
    let licence = if info.licence.is_empty() { String::new() } else { format!(", {}", info.licence) };
    format!("{}{by}{licence}", info.version)
}

/// Which values a parameter may have, after its kind.
fn bounds(p: &ParamInfo) -> String {
    let range = match (p.min, p.max) {
        (Some(a), Some(b)) => format!(", {a} ..= {b}"),
        (Some(a), None) => format!(", at least {a}"),
        (None, Some(b)) => format!(", at most {b}"),
        (None, None) => String::new(),
    };
    match p.choices.is_empty() {
        true => range,
        false => format!("{range}, one of {}", p.choices.join(", ")),
    }
}

/// A port's contents and count.
fn accepts(p: &PortInfo) -> String {
    let content: Vec<&str> = p.content.iter().map(|c| c.name()).collect();
    let count = match (p.min_count, p.max_count) {
        (1, Some(1)) => String::new(),
        (min, None) => format!(", {min} or more"),
        (min, Some(max)) => format!(", {min} to {max}"),
    };
    let layout = match (p.grid, p.cloud) {
        (true, true) => "grid or cloud",
        (false, true) => "cloud",
        _ => "grid",
    };
    format!("{} {layout}{count}", content.join(" or "))
}
