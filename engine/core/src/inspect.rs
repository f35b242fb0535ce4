//! Inspecting scans with a model: scores, map, verdict, regions.

use crate::cloud::ScoredCloud;
use crate::decide::{Judged, judge};
use crate::defect::{self, Defect, Levels};
use crate::error::{Error, Result};
use crate::graph::{Graph, NetworkFile};
use crate::model::{Manifest, Model};
use crate::pipeline::{Known, Outcome, Pipeline, Runner};
use crate::plugin::{Registry, Services};
use crate::prepare::{self, Prepared};
use crate::recipe::Recipe;
use crate::threshold::Calibration;
use crate::value::{Cloud, Content, Data, Value};
use assay_data::{Frame, Grid, Image, ScanFiles};
use assay_inference::Engine;
use ndarray::{Array2, Array3};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is said of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its score is at most the threshold.
    Ok,
    /// Its score lies between the thresholds of a recipe with a `review` band: a person should look.
    Review,
    /// Its score is greater.
    Ng,
    /// It could not be inspected; never `ok`.
    Invalid,
}

/// A model at work.
pub struct Inspector {
    /// The model.
    pub model: Model,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// Its recipe.
    pub recipe: Recipe,
    /// Its steps.
    pub pipeline: Pipeline,
    /// Runtime and version that networks run on here.
    pub runtime: String,
    /// Device that networks run on here.
    pub device: String,
    /// What differs from the machine it was fitted on.
    pub differences: Vec<String>,
}

/// The result of one scan.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The scan's id.
    pub id: String,
    /// `ok` or `ng`.
    pub verdict: Verdict,
    /// Sensors that measured nothing: the steps that need them were left out.
    pub missing: Vec<String>,
    /// The number the verdict follows from ([`crate::recipe::Statistic`]).
    pub score: f64,
    /// The map's maximum.
    pub map_max: f64,
    /// Image score of each scores output, raw, by name.
    pub steps: Vec<(String, f64)>,
    /// The anomaly map, native size; empty of a cloud.
    pub map: Array2<f32>,
    /// The scores of a cloud; `None` of scans with pixels.
    pub cloud: Option<ScoredCloud>,
    /// Where the map is above the pixel threshold, by falling peak.
    pub defects: Vec<Defect>,
    /// For each pixel, or point of a cloud, the place of its defect among them, from 1; 0 = none.
    pub labels: Vec<u32>,
    /// Time of each stage, in order: load, each step, map.
    pub times: Vec<(String, Duration)>,
    /// From files to verdict: the time of loading and that of the rest.
    pub total: Duration,
    /// The scan, for pictures.
    pub scan: Prepared,
}

/// A scan whose files were read.
struct Loaded {
    scan: Prepared,
    /// What reading and preparing took.
    time: Duration,
}

impl Inspector {
    /// Opens a model with the plugins and runtime at hand. `folder` is where networks are looked for that a model was written
    /// without: the model's own.
    ///
    /// # Errors
    /// A missing plugin, a state that a plugin refuses, an ONNX file that the runtime cannot load.
    pub fn open(
        model: Model,
        model_sha256: String,
        folder: &Path,
        registry: &Registry,
        engine: &Engine,
        services: &Services,
    ) -> Result<Self> {
        let recipe = model.parse_recipe()?;
        let held = |step: &str, _: &str| {
            let record = model.manifest.networks.get(step);
            let quantisation = record.and_then(|r| r.quantisation.clone());
            Ok(NetworkFile { bytes: model.network(step, folder)?, quantisation })
        };
        let mut graph = Graph::resolve(&recipe, registry, engine, &held)?;
        graph.share_threads(engine, services.threads())?;
        let example = blank(&recipe, &model.manifest);
        let networks = model.manifest.networks.iter().filter(|(_, n)| !n.outputs.is_empty());
        let shapes = networks.map(|(step, n)| (step.clone(), n.outputs.clone())).collect();
        let mut pipeline = Pipeline::plan(&recipe, graph, &example, &shapes, services)?;
        for at in 0..pipeline.graph.steps.len() {
            let step = &pipeline.graph.steps[at];
            for output in 0..step.outputs.len() {
                if let Some(scales) = model.manifest.scales.get(&graph_name(&pipeline, at, output)) {
                    pipeline.scales[at][output] = *scales;
                }
            }
            if !step.info.fitted {
                continue;
            }
            let refuse = |message: String| Error::Step {
                step: step.name.clone(),
                method: step.info.id.clone(),
                scan: String::new(),
                message: format!("its state in the model cannot be used: {message}"),
            };
            let state = model.states.get(&step.name).ok_or_else(|| refuse("it is missing".into()))?;
            if let Runner::Plugin(instance) = &mut pipeline.runners[at] {
                instance.load(&mut state.reader()).map_err(|f| refuse(f.message))?;
            }
        }
        let differences = differences(&model, registry, engine);
        let info = engine.describe();
        let (runtime, device) = (format!("{} {}", info.name, info.version), info.device.to_string());
        Ok(Self { model, model_sha256, recipe, pipeline, runtime, device, differences })
    }

    /// Version of each plugin method in use, by method.
    pub fn plugin_versions(&self) -> BTreeMap<String, String> {
        let plugins =
            self.pipeline.graph.steps.iter().filter(|s| !crate::graph::BUILTIN.contains(&s.info.id.as_str()));
        plugins.map(|s| (s.info.id.clone(), s.info.version.clone())).collect()
    }

    /// Inspects one scan.
    ///
    /// # Errors
    /// Why it could not be inspected: the caller reports it as `invalid`.
    pub fn inspect(&self, files: &ScanFiles) -> Result<Inspection> {
        self.pipeline.install(|| self.inspect_loaded(self.load(files)?))
    }

    /// Inspects scans in order and hands each to `done` with its result. While a scan is inspected the files of the next one are read
    /// and decoded, which takes the work of the pool that the scan at hand leaves over.
    ///
    /// # Errors
    /// The first error of `done`.
    pub fn inspect_all<E: Send>(
        &self,
        scans: &[ScanFiles],
        mut done: impl FnMut(&ScanFiles, Result<Inspection>) -> std::result::Result<(), E> + Send,
    ) -> std::result::Result<(), E> {
        let mut loaded = scans.first().map(|files| self.pipeline.install(|| self.load(files)));
        for (at, files) in scans.iter().enumerate() {
            let Some(ready) = loaded.take() else { break };
            let next = scans.get(at + 1);
            let (result, read) = self.pipeline.join(
                || done(files, ready.and_then(|ready| self.inspect_loaded(ready))),
                || next.map(|files| self.load(files)),
            );
            result?;
            loaded = read;
        }
        Ok(())
    }

    fn load(&self, files: &ScanFiles) -> Result<Loaded> {
        let start = Instant::now();
        let scan = prepare::load_without(&self.recipe, files, &[])?;
        Ok(Loaded { scan, time: start.elapsed() })
    }

    /// The thresholds for scans of which these sensors measured nothing.
    ///
    /// # Errors
    /// [`Error::Request`] where the model has none for them.
    pub fn calibration(&self, missing: &[String]) -> Result<&Calibration> {
        let manifest = &self.model.manifest;
        if missing.is_empty() {
            return Ok(&manifest.calibration);
        }
        let partial = manifest.partial.iter().find(|p| p.missing == missing).map(|p| &p.calibration);
        partial.ok_or_else(|| {
            let names = missing.join(", ");
            Error::Request(format!(
                "the model has no thresholds for scans without {names}; fit or calibrate it anew"
            ))
        })
    }

    /// What follows from a score.
    fn verdict(&self, score: f64, calibration: &Calibration) -> Verdict {
        let Calibration { image, review, .. } = calibration;
        match review {
            _ if score > image.value => Verdict::Ng,
            Some(review) if score > review.value => Verdict::Review,
            _ => Verdict::Ok,
        }
    }

    /// The defects of a scan, and for each pixel or point which of them it belongs to.
    fn defects(
        &self,
        judged: &Judged,
        calibration: &Calibration,
        scan: &Prepared,
        outcome: &Outcome,
    ) -> Result<(Vec<Defect>, Vec<u32>)> {
        let floor = f64::from(self.model.manifest.floor);
        let levels = Levels { threshold: calibration.pixel.value, floor };
        if let Some(cloud) = &judged.cloud {
            let graph = &self.pipeline.graph;
            let detectors = graph.outputs().filter(|(at, ..)| graph.steps[at.0].is_detector());
            let steps: Vec<String> = detectors.map(|(at, ..)| graph.output_name(at)).collect();
            return defect::defects_of_cloud(cloud, levels, &steps);
        }
        let found = defect::regions(&judged.map, levels.threshold);
        let seen = if found.components.is_empty() {
            Vec::new()
        } else {
            defect::seen(&self.recipe, &self.pipeline, scan, outcome, |name| calibration.of_step(name))?
        };
        Ok(defect::defects(&judged.map, found, levels, scan, &seen))
    }

    fn inspect_loaded(&self, Loaded { scan, time }: Loaded) -> Result<Inspection> {
        let start = Instant::now();
        let mut times = vec![("load".to_owned(), time)];
        let graph = &self.pipeline.graph;
        let missing = scan.missing(&self.recipe);
        let calibration = self.calibration(&missing)?;
        let outcome = self.pipeline.run(&scan, &[self.pipeline.last(&scan)?], &Known::new(), true)?;
        for (step, time) in graph.steps.iter().zip(&outcome.times) {
            if let Some(time) = time {
                times.push((step.name.clone(), *time));
            }
        }
        let drawing = Instant::now();
        let floor = self.model.manifest.floor;
        let judged = judge(&self.recipe, &self.pipeline, floor, &scan, &outcome)?;
        let (defects, labels) = self.defects(&judged, calibration, &scan, &outcome)?;
        let Judged { score, map_max, map, cloud } = judged;
        times.push(("map".to_owned(), drawing.elapsed()));
        let steps = graph
            .outputs()
            .filter(|(.., content)| *content == Content::Scores)
            .filter_map(|(at, ..)| Some((graph.output_name(at), outcome.get(at)?.image_score)))
            .collect();
        Ok(Inspection {
            id: scan.id.clone(),
            verdict: self.verdict(score, calibration),
            missing,
            score,
            map_max,
            steps,
            map,
            cloud,
            defects,
            labels,
            times,
            total: time + start.elapsed(),
            scan,
        })
    }
}

fn graph_name(pipeline: &Pipeline, step: usize, output: usize) -> String {
    pipeline.graph.output_name((step, output))
}

/// A scan of the right shape without content, to plan with.
fn blank(recipe: &Recipe, manifest: &Manifest) -> Prepared {
    let native = manifest.native;
    let sensors = recipe.sensors.iter().map(|s| {
        let size = manifest.sensor_sizes.get(&s.name).copied().unwrap_or(native);
        let frame = Frame::NATIVE.resized(native, size);
        let grid = |channels| {
            let values = Array3::zeros((channels, size.0, size.1));
            Data::Grid(Grid { values, valid: None, frame })
        };
        let image = |channels| {
            let pixels = Array3::zeros((size.0, size.1, channels));
            Data::Image(Image { pixels, valid: None, frame })
        };
        let content = crate::graph::content_of(s);
        let data = match content {
            Content::Rgb => image(3),
            Content::Gray => image(1),
            Content::Depth => grid(1),
            Content::Points => Data::Cloud(Cloud {
                positions: Array2::zeros((0, 3)),
                values: Array2::zeros((0, 0)),
                valid: None,
            }),
            _ => grid(3),
        };
        Some(Arc::new(Value { content, data, image_score: f64::NAN }))
    });
    Prepared::whole(String::new(), native, sensors.collect())
}

/// What differs between the model's record and this machine.
fn differences(model: &Model, registry: &Registry, engine: &Engine) -> Vec<String> {
    let mut found = Vec::new();
    let info = engine.describe();
    let here = format!("{} {}", info.name, info.version);
    if here != model.manifest.runtime {
        found.push(format!("the model was fitted with {}, this is {here}", model.manifest.runtime));
    }
    if info.device.to_string() != model.manifest.device {
        found.push(format!("the model was fitted on {}, this is {}", model.manifest.device, info.device));
    }
    for plugin in &model.manifest.plugins {
        if let Some(method) = registry.get(&plugin.method)
            && method.library.sha256 != plugin.sha256
        {
            found.push(format!(
                "method `{}` was fitted with another build of {} ({}; here {})",
                plugin.method, plugin.library, plugin.version, method.info.version
            ));
        }
    }
    found
}
