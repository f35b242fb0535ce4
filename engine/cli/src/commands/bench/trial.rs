//! One fit and its evaluation, and the file that keeps what came out.

use super::child;
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use anyhow::{Context as _, Result, bail, ensure};
use assay_core::graph::{Graph, Worker, onnx_beside};
use assay_core::model::hex;
use assay_core::model::recipe_sha256;
use assay_core::recipe::Recipe;
use assay_core::scratch::Scratch;
use assay_data::{Dataset, atomic};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A recipe with what decides its figures.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) recipe: Recipe,
    /// Inference runtime, version and device.
    pub(super) runtime: String,
    /// Its text's SHA-256.
    pub(super) sha256: String,
    /// SHA-256 of each plugin library by method, and of each network by step.
    parts: BTreeMap<String, String>,
}

impl Candidate {
    /// Reads a recipe and resolves it, so that what is wrong with it shows before any fit.
    pub(super) fn open(path: &Path, machine: &Machine, console: &Console) -> Result<Self> {
        let recipe = Recipe::read(path)?;
        let context = Context::open(machine, Some(&recipe), console)?;
        let graph = Graph::resolve(&recipe, &context.registry, &context.engine, &onnx_beside(path))?;
        let parts = graph.steps.iter().map(|step| match &step.worker {
            Worker::Onnx(network) | Worker::OnnxMap(network) => (step.name.clone(), network.sha256.clone()),
            Worker::Plugin(method) => (step.info.id.clone(), method.library.sha256.clone()),
        });
        let parts = parts.collect();
        let info = context.engine.describe();
        let runtime = format!("{} {} on {}", info.name, info.version, info.device);
        let sha256 = recipe_sha256(&recipe.text);
        Ok(Self { path: path.to_path_buf(), recipe, runtime, sha256, parts })
    }

    /// The recipe's file name.
    pub(super) fn file(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The recipe's own plugin folders, which a model does not know.
    fn plugin_folders(&self) -> Vec<PathBuf> {
        let folder = self.path.parent().map(Path::to_path_buf).unwrap_or_default();
        self.recipe.plugin_path.iter().map(|p| folder.join(p)).collect()
    }
}

/// What decides a trial's figures: equal keys, equal figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    program: String,
    recipe_sha256: String,
    /// Plugins and networks.
    parts: BTreeMap<String, String>,
    runtime: String,
    category: String,
    /// Of names, sizes and times of change of the category's files.
    data_sha256: String,
    pub(super) seed: u64,
}

/// One fit and its evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) key: Key,
    /// Wall time of the fit, program start included.
    pub(super) fit_seconds: f64,
    /// Most resident memory of the fit, MB; `None` where the system does not tell.
    pub(super) fit_peak_mb: Option<f64>,
    /// Most resident memory of the evaluation, MB.
    pub(super) eval_peak_mb: Option<f64>,
    /// What `assay eval --json` printed.
    pub(super) figures: serde_json::Value,
}

/// The SHA-256 of the names, sizes and times of change of all files of a category: reading them all would take as long as
/// some fits do.
pub(super) fn fingerprint(category: &Path, recipe: &Recipe) -> Result<String> {
    let dataset = Dataset::find(category, None, &recipe.sensors)?;
    ensure!(!dataset.test.is_empty(), "{} has no test scans to evaluate on", category.display());
    let mut hasher = Sha256::new();
    for scan in dataset.train.iter().chain(&dataset.validation).chain(&dataset.test) {
        for path in scan.files.iter().map(|(_, path)| path).chain(&scan.mask) {
            let file = std::fs::metadata(path).with_context(|| path.display().to_string())?;
            let changed = file.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let name = path.strip_prefix(category).unwrap_or(path).display();
            hasher.update(format!("{} {name} {} {}\n", scan.id, file.len(), changed.as_nanos()));
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// A trial that is to be run, or was.
pub(super) struct Trial<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) data: &'a Path,
    key: Key,
    /// The name of its files, without extension.
    stem: String,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        candidate: &'a Candidate,
        data: &'a Path,
        category: &str,
        data_sha256: &str,
        seed: u64,
    ) -> Result<Self> {
        let key = Key {
            program: crate::version::LONG.into(),
            recipe_sha256: candidate.sha256.clone(),
            parts: candidate.parts.clone(),
            runtime: candidate.runtime.clone(),
            category: category.into(),
            data_sha256: data_sha256.into(),
            seed,
        };
        let digest = hex(&Sha256::digest(serde_json::to_vec(&key)?));
        let recipe = candidate.path.file_stem().unwrap_or_default().to_string_lossy();
        let stem = format!("{recipe}-{category}-{seed}-{}", &digest[..12]);
        Ok(Self { candidate, data, key, stem })
    }

    fn file(&self, out: &Path) -> PathBuf {
        out.join(format!("{}.json", self.stem))
    }

    /// What an earlier bench kept of this trial; a file that is damaged or of another key counts as none.
    pub(super) fn kept(&self, out: &Path) -> Option<Record> {
        let text = std::fs::read_to_string(self.file(out)).ok()?;
        serde_json::from_str::<Record>(&text).ok().filter(|r| r.key == self.key)
    }

    /// Fits and evaluates, each in a process of its own, and keeps the result.
    ///
    /// # Errors
    /// Why a child failed, or the user's interruption; nothing is kept then.
    pub(super) fn run(
        &self,
        machine: &Machine,
        out: &Path,
        keep_model: bool,
        console: &Console,
    ) -> Result<Record> {
        let scratch = Scratch::new("assay-bench-")?;
        let model = if keep_model { out } else { scratch.path() }.join(format!("{}.assay", self.stem));
        let mut fit: Vec<OsString> = vec!["fit".into(), self.candidate.path.clone().into()];
        fit.extend(["--data".into(), self.data.into(), "-o".into(), model.clone().into()]);
        fit.extend(["--seed".into(), self.key.seed.to_string().into()]);
        // Figures do not depend on the thresholds.
        fit.extend(["--on-too-few".into(), "warn".into()]);
        fit.extend(child::machine(machine, &[]));
        let fit = child::run(&fit, scratch.path(), console)?;
        if fit.code() != Some(0) {
            bail!("fit: {}", fit.why());
        }
        let mut eval: Vec<OsString> = vec!["eval".into(), model.into(), "--json".into()];
        eval.extend(["--data".into(), self.data.into()]);
        eval.extend(child::machine(machine, &self.candidate.plugin_folders()));
        let eval = child::run(&eval, scratch.path(), console)?;
        // Scans that could not be inspected are counted in its figures.
        let figures = match (eval.code(), serde_json::from_str(&eval.result)) {
            (Some(_), Ok(figures)) => figures,
            _ => bail!("eval: {}", eval.why()),
        };
        let record = Record {
            key: self.key.clone(),
            fit_seconds: fit.seconds,
            fit_peak_mb: fit.peak_mb,
            eval_peak_mb: eval.peak_mb,
            figures,
        };
        let bytes = serde_json::to_vec_pretty(&record)?;
        atomic::write(&self.file(out), |file| file.write_all(&bytes))?;
        Ok(record)
    }
}
