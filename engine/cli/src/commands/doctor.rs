//! `assay doctor`: what is at hand, and why.

use super::Status;
use crate::args::Machine;
use crate::context::{options, search_path};
use crate::output::{self, line};
use crate::{machine, version};
use anyhow::Result;
use assay_core::plugin::Registry;
use assay_inference::Engine;
use serde::Serialize;
use std::path::PathBuf;

/// Show the runtime, device, plugins and processor features at hand, and why they were chosen.
///
/// Exit status 2 where the runtime, a plugin or the folder of temporary files cannot be used.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay doctor                                    what a fit would run on
  assay doctor --runtime onnxruntime              why ONNX Runtime is not used
  assay doctor --json | jq .runtime               for scripts")]
pub(crate) struct Args {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// All that was found; what is not usable carries its error.
#[derive(Debug, Serialize)]
struct Findings {
    version: &'static str,
    revision: Option<&'static str>,
    processor: Processor,
    memory: Option<machine::Memory>,
    temporary: Temporary,
    runtime: Runtime,
    plugins: Plugins,
}

#[derive(Debug, Serialize)]
struct Processor {
    cores: usize,
    simd: Vec<&'static str>,
}

/// Where a fit keeps features.
#[derive(Debug, Serialize)]
struct Temporary {
    folder: PathBuf,
    error: Option<String>,
    free: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
struct Runtime {
    name: Option<String>,
    version: Option<String>,
    device: Option<String>,
    library: Option<PathBuf>,
    notice: Option<String>,
    searched: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Plugins {
    folders: Vec<Folder>,
    libraries: Vec<Library>,
    hidden: Vec<Hidden>,
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Folder {
    path: PathBuf,
    there: bool,
}

#[derive(Debug, Serialize)]
struct Library {
    name: String,
    version: String,
    path: PathBuf,
    methods: Vec<String>,
}

/// A method that an earlier folder hides.
#[derive(Debug, Serialize)]
struct Hidden {
    method: String,
    path: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<Status> {
    let found = Findings {
        version: env!("CARGO_PKG_VERSION"),
        revision: version::REVISION,
        processor: Processor {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            simd: machine::simd(),
        },
        memory: machine::memory(),
        temporary: temporary(),
        runtime: runtime(&args.machine),
        plugins: plugins(&args.machine),
    };
    if args.json {
        output::json(&found)?;
    } else {
        print(&found)?;
    }
    let fine =
        found.runtime.error.is_none() && found.plugins.errors.is_empty() && found.temporary.error.is_none();
    Ok(if fine { Status::Ok } else { Status::Invalid })
}

fn temporary() -> Temporary {
    let folder = std::env::temp_dir();
    let error = tempfile::tempfile_in(&folder).err().map(|e| e.to_string());
    Temporary { free: machine::free_space(&folder), error, folder }
}

fn runtime(machine: &Machine) -> Runtime {
    match Engine::open(&options(machine, None)) {
        Ok(engine) => {
            let info = engine.describe();
            Runtime {
                name: Some(info.name.to_string()),
                version: Some(info.version.to_string()),
                device: Some(info.device.to_string()),
                library: info.library.clone(),
                notice: info.notice.as_ref().map(ToString::to_string),
                searched: info.searched.iter().map(ToString::to_string).collect(),
                error: None,
            }
        }
        Err(e) => Runtime { error: Some(e.to_string()), ..Runtime::default() },
    }
}

fn plugins(machine: &Machine) -> Plugins {
    let path = search_path(machine, None);
    let folders = path.folders().map(|f| Folder { path: f.to_path_buf(), there: f.is_dir() }).collect();
    let registry = match Registry::discover(&path) {
        Ok(registry) => registry,
        Err(e) => return Plugins { folders, errors: vec![e.to_string()], ..Plugins::default() },
    };
    let methods = |path: &std::path::Path| {
        let own = registry.methods().filter(|m| m.library.path == path);
        own.map(|m| m.info.id.to_string()).collect()
    };
    let libraries = registry.libraries().into_iter().map(|library| Library {
        name: library.name.to_string(),
        version: library.version.to_string(),
        path: library.path.clone(),
        methods: methods(&library.path),
    });
    let hidden = registry.hidden.iter();
    Plugins {
        folders,
        libraries: libraries.collect(),
        hidden: hidden.map(|(m, path)| Hidden { method: m.clone(), path: path.clone() }).collect(),
        errors: registry.broken.iter().map(ToString::to_string).collect(),
    }
}

fn print(found: &Findings) -> Result<()> {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    line(&format!("assay      {}", version::LONG))?;
    line(&format!("processor  {} cores, {}", found.processor.cores, found.processor.simd.join(" ")))?;
    if let Some(memory) = found.memory {
        line(&format!("memory     {}, {} available", gib(memory.total), gib(memory.available)))?;
    }
    let Temporary { folder, error, free } = &found.temporary;
    let free = free.map_or_else(String::new, |bytes| format!(", {} free", gib(bytes)));
    line(&format!("temporary  {}{free} (TMPDIR moves it)", folder.display()))?;
    if let Some(e) = error {
        line(&format!("           cannot be written: {e}"))?;
    }
    runtime_lines(&found.runtime)?;
    let Plugins { folders, libraries, hidden, errors } = &found.plugins;
    for folder in folders {
        let there = if folder.there { "" } else { " (not there)" };
        line(&format!("plugins    {}{there}", folder.path.display()))?;
    }
    for library in libraries {
        line(&format!("           {} {}: {}", library.name, library.version, library.methods.join(", ")))?;
        line(&format!("             {}", library.path.display()))?;
    }
    for Hidden { method, path } in hidden {
        line(&format!("           `{method}` of {} is hidden by an earlier folder", path.display()))?;
    }
    errors.iter().try_for_each(|e| line(&format!("           {e}")))
}

fn runtime_lines(runtime: &Runtime) -> Result<()> {
    match &runtime.error {
        Some(e) => line(&format!("runtime    not usable: {e}"))?,
        None => {
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            let (name, version, device) =
                (text(&runtime.name), text(&runtime.version), text(&runtime.device));
            line(&format!("runtime    {name} {version} on {device}"))?;
        }
    }
    if let Some(library) = &runtime.library {
        line(&format!("           {}", library.display()))?;
    }
    if let Some(notice) = &runtime.notice {
        line(&format!("           {notice}"))?;
    }
    runtime.searched.iter().try_for_each(|place| line(&format!("           looked at: {place}")))
}
