//! Plugins, runtime and threads as the arguments and the recipe ask for them.

use crate::args::Machine;
use crate::console::Console;
use anyhow::Result;
use assay_core::inspect::Inspector;
use assay_core::model::Model;
use assay_core::plugin::{Launcher, Registry, SearchPath, Services};
use assay_core::recipe::Recipe;
use assay_inference::{Device, Engine, Options, Runtime};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What commands work with.
pub(crate) struct Context {
    pub(crate) registry: Registry,
    pub(crate) engine: Arc<Engine>,
    pub(crate) services: Services,
}

/// The folders searched for plugins: the recipe's own first.
pub(crate) fn search_path(machine: &Machine, recipe: Option<&Recipe>) -> SearchPath {
    let folder = |r: &Recipe| Path::new(&r.file).parent().map(Path::to_path_buf).unwrap_or_default();
    let own: Vec<PathBuf> =
        recipe.map_or_else(Vec::new, |r| r.plugin_path.iter().map(|p| folder(r).join(p)).collect());
    SearchPath::usual(&machine.plugin_path).with_first(own)
}

/// Runtime options: the arguments, else the recipe, else what is found.
pub(crate) fn options(machine: &Machine, recipe: Option<&Recipe>) -> Options {
    Options {
        runtime: machine.runtime.or(recipe.map(|r| r.runtime)).unwrap_or(Runtime::Auto),
        device: machine.device.or(recipe.map(|r| r.device)).unwrap_or(Device::Cpu),
        runtime_path: machine.runtime_path.clone(),
        threads: machine.threads,
    }
}

/// The program itself, as the process of a plugin.
fn launcher() -> Option<Launcher> {
    let program = std::env::current_exe().ok()?;
    Some(Launcher { program, arguments: ["plugin", "serve"].map(str::to_owned).to_vec() })
}

impl Context {
    /// Opens everything; broken plugins are warned of.
    pub(crate) fn open(machine: &Machine, recipe: Option<&Recipe>, console: &Console) -> Result<Self> {
        let registry = Registry::discover(&search_path(machine, recipe))?;
        for broken in &registry.broken {
            console.warn(&broken.to_string());
        }
        let engine = Arc::new(Engine::open(&options(machine, recipe))?);
        if let Some(notice) = &engine.describe().notice {
            console.info(&format!("note: {notice}"));
        }
        let services = Services {
            inference: Some(engine.clone()),
            watch: console.watch(),
            launcher: launcher(),
            ..Services::new(machine.threads)?
        };
        Ok(Self { registry, engine, services })
    }

    /// Opens a model with its inspector. What differs from the machine it was fitted on is one warning, or, for a model that
    /// is locked to it, an error.
    pub(crate) fn inspector(
        path: &Path,
        locked: bool,
        machine: &Machine,
        console: &Console,
    ) -> Result<(Self, Inspector)> {
        let (model, sha256) = Model::read(path)?;
        let recipe = model.parse_recipe()?;
        // The recipe's own plugin folder is relative to a file that is not here.
        let context = Self::open(machine, Some(&Recipe { plugin_path: Vec::new(), ..recipe }), console)?;
        let inspector = context.inspect_with(model, sha256, path)?;
        let differences = inspector.differences.join("; ");
        if !differences.is_empty() {
            anyhow::ensure!(
                !locked,
                "{}: {differences}. --locked refuses that: use what it was fitted with, or fit it again",
                path.display()
            );
            console.warn(&format!("{differences}. Scores may differ from those it was calibrated on"));
        }
        Ok((context, inspector))
    }

    /// Opens a model that was read from `path`.
    pub(crate) fn inspect_with(&self, model: Model, sha256: String, path: &Path) -> Result<Inspector> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Inspector::open(model, sha256, folder, &self.registry, &self.engine, &self.services)?)
    }
}
