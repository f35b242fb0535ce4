//! The steps at work: planned for one native size, run on one scan after the other.

use crate::error::{Error, Result};
use crate::graph::{Graph, Source, Step, Worker, content_of, with_paths};
use crate::partial::Partial;
use crate::plugin::{Failure, Instance, Services};
use crate::prepare::{Prepared, on_cells, restrict, restrict_softly};
use crate::recipe::Recipe;
use crate::sample::{finest, on_grid};
use crate::scale::Scales;
use crate::steps::onnx_map;
use crate::value::{Content, Data, Spec, Value, planes};
use assay_data::{Frame, Sensor, SensorKind};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What does the work of a step, ready for scans of the planned size.
pub enum Runner {
    /// A built-in step needs no state of its own.
    Builtin,
    /// A plugin's instance.
    Plugin(Box<Instance>),
}

/// The steps of a recipe, planned.
pub struct Pipeline {
    /// The resolved recipe.
    pub graph: Graph,
    /// One a step.
    pub runners: Vec<Runner>,
    /// Output specs of each step.
    pub specs: Vec<Vec<Spec>>,
    /// Input specs of each step, with ports.
    pub inputs: Vec<Vec<(usize, Spec)>>,
    /// The scales of each step's outputs; [`Scales::RAW`] of features, and where scores stay as they are.
    pub scales: Vec<Vec<Scales>>,
    /// The native size the steps were planned for.
    pub native: (usize, usize),
    /// What each sensor gives.
    pub sensors: Vec<Spec>,
    /// What is left of the steps where sensors are missing.
    pub partials: Vec<Partial>,
    services: Services,
    seed: u64,
}

/// Sources of a step with their ports, the specs of what they give, and what does its work.
type Wired<'a> = (&'a [(usize, Source)], &'a [(usize, Spec)], &'a Runner);

/// What a run over one scan made: values by step and output, and the time of each step.
pub struct Outcome {
    values: Vec<Option<Vec<Arc<Value>>>>,
    /// Wall time of each step that ran.
    pub times: Vec<Option<Duration>>,
}

impl Outcome {
    /// The value of an output, if its step ran.
    pub fn get(&self, (step, output): (usize, usize)) -> Option<&Arc<Value>> {
        self.values[step].as_ref().and_then(|v| v.get(output))
    }
}

/// Values of a scan that are known beforehand, by step and output.
pub type Known = HashMap<(usize, usize), Arc<Value>>;

/// Shapes `[C, rows, columns]` of a network step's outputs, by step, as an earlier plan found them.
pub type Shapes = BTreeMap<String, Vec<[usize; 3]>>;

impl Pipeline {
    /// Plans every step of `graph` for scans shaped like `example`. A network whose shapes are not in `shapes` is run once to
    /// find them.
    ///
    /// # Errors
    /// [`Error::Recipe`] or [`Error::Step`] where a method refuses its parameters or inputs.
    pub fn plan(
        recipe: &Recipe,
        graph: Graph,
        example: &Prepared,
        shapes: &Shapes,
        services: &Services,
    ) -> Result<Self> {
        let sensors = recipe.sensors.iter().zip(&example.sensors);
        let sensors: Option<Vec<Spec>> =
            sensors.map(|(sensor, value)| Some(sensor_spec(sensor, value.as_ref()?))).collect();
        let sensors = sensors.ok_or_else(|| {
            Error::Request("steps are planned for a scan of which no sensor is missing".into())
        })?;
        let mut pipeline = Self {
            sensors,
            partials: Vec::new(),
            scales: graph.steps.iter().map(|s| vec![Scales::RAW; s.outputs.len()]).collect(),
            native: example.native,
            services: services.clone(),
            seed: recipe.seed,
            runners: Vec::new(),
            specs: Vec::new(),
            inputs: Vec::new(),
            graph,
        };
        for at in 0..pipeline.graph.steps.len() {
            let step = &pipeline.graph.steps[at];
            let inputs = pipeline.input_specs(at, &step.inputs);
            for (port, spec) in &inputs {
                let port = &step.info.inputs[*port];
                if if spec.size.is_some() { !port.grid } else { !port.cloud } {
                    let kind = |grid| if grid { "grids" } else { "clouds" };
                    let message = format!(
                        "`{}` takes {}, `{}` is one of {}",
                        port.name,
                        kind(port.grid),
                        spec.name,
                        kind(spec.size.is_some())
                    );
                    return Err(recipe.source().error(
                        step.line.max(1),
                        format!("steps.{}.from", step.name),
                        message,
                    ));
                }
            }
            let fail = |f: Failure| pipeline.failure(recipe, step, f);
            let (runner, outputs) = match &step.worker {
                Worker::Onnx(network) => {
                    let planned = network.plan(&inputs[0].1, example.native, shapes.get(&step.name));
                    (Runner::Builtin, planned.map_err(fail)?)
                }
                Worker::OnnxMap(network) => {
                    let known = shapes.get(&step.name);
                    let planned = onnx_map::plan(network, &step.info, &step.params, example.native, known);
                    (Runner::Builtin, planned.map_err(fail)?)
                }
                Worker::Plugin(_) => {
                    let instance = pipeline.instance(at, &inputs).map_err(fail)?;
                    let outputs = instance.outputs().to_vec();
                    (Runner::Plugin(Box::new(instance)), outputs)
                }
            };
            pipeline.runners.push(runner);
            pipeline.specs.push(outputs);
            pipeline.inputs.push(inputs);
        }
        pipeline.partials = Partial::all(recipe, &pipeline)?;
        Ok(pipeline)
    }

    /// What a step gets from these sources; a fuser's scores lie on the finest grid among them.
    pub(crate) fn input_specs(&self, at: usize, from: &[(usize, Source)]) -> Vec<(usize, Spec)> {
        let mut inputs: Vec<(usize, Spec)> = from
            .iter()
            .map(|&(port, source)| match source {
                Source::Sensor(i) => (port, self.sensors[i].clone()),
                Source::Output(s, o) => {
                    (port, Spec { name: self.graph.output_name((s, o)), ..self.specs[s][o].clone() })
                }
            })
            .collect();
        if self.graph.steps[at].is_fuser() {
            let finest = finest(inputs.iter().map(|(_, s)| s).filter(|s| s.content == Content::Scores));
            for (_, spec) in inputs.iter_mut().filter(|(_, s)| s.content == Content::Scores) {
                (spec.size, spec.frame) = finest;
            }
        }
        inputs
    }

    /// What is left of the steps for a scan; `None` where no sensor is missing.
    ///
    /// # Errors
    /// [`Error::Scan`] where nothing that scores is left.
    pub fn partial(&self, scan: &Prepared) -> Result<Option<&Partial>> {
        let missing: Vec<usize> = (0..scan.sensors.len()).filter(|&i| scan.sensors[i].is_none()).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        if let Some(partial) = self.partials.iter().find(|p| p.missing == missing) {
            return Ok(Some(partial));
        }
        let names: Vec<String> = missing.iter().map(|&i| format!("`{}`", self.sensors[i].name)).collect();
        let message = format!(
            "{} measured nothing, and without that nothing is left to decide on",
            names.join(" and ")
        );
        Err(Error::Scan { scan: scan.id.clone(), message })
    }

    /// The scores that become the map of a scan: `(step, output)`.
    ///
    /// # Errors
    /// As [`Pipeline::partial`].
    pub fn last(&self, scan: &Prepared) -> Result<(usize, usize)> {
        Ok(self.partial(scan)?.map_or(self.graph.last, |p| p.last))
    }

    /// What a step takes in the work on a scan: sources, their specs, and what does its work.
    fn wired<'a>(&'a self, at: usize, partial: Option<&'a Partial>) -> Wired<'a> {
        match partial.and_then(|p| p.changed.get(&at)) {
            Some(changed) => (&changed.from, &changed.inputs, &changed.runner),
            None => (&self.graph.steps[at].inputs, &self.inputs[at], &self.runners[at]),
        }
    }

    /// A new instance of step `at` for these inputs.
    pub(crate) fn instance(&self, at: usize, inputs: &[(usize, Spec)]) -> Result<Instance, Failure> {
        let step = &self.graph.steps[at];
        let Worker::Plugin(method) = &step.worker else {
            return Err(Failure::about_input("a built-in step has no instance"));
        };
        Instance::new(
            method,
            step.isolation,
            &step.name,
            step_seed(self.seed, &step.name),
            &self.services,
            &with_paths(&step.info, &step.params, &self.graph.folder),
            inputs,
            self.native,
        )
    }

    /// A fresh instance of a step, planned like the pipeline's own.
    ///
    /// # Errors
    /// As [`Pipeline::plan`].
    pub fn fresh_instance(&self, recipe: &Recipe, at: usize) -> Result<Instance> {
        self.instance(at, &self.inputs[at]).map_err(|f| self.failure(recipe, &self.graph.steps[at], f))
    }

    /// A failure while planning or fitting, at its place in the recipe.
    pub fn failure(&self, recipe: &Recipe, step: &Step, f: Failure) -> Error {
        if f.cancelled {
            return Error::Cancelled;
        }
        match f.parameter {
            Some(p) if step.line > 0 => {
                recipe.source().error(step.line, format!("steps.{}.{p}", step.name), f.message)
            }
            _ => Error::Step {
                step: step.name.clone(),
                method: step.info.id.clone(),
                scan: String::new(),
                message: f.message,
            },
        }
    }

    /// Runs the steps that `wanted` outputs need on one scan. Values in `known` stand for their steps' work.
    /// Independent steps run at the same time when `parallel`.
    ///
    /// # Errors
    /// [`Error::Step`], of the first step in order that failed.
    pub fn run(
        &self,
        scan: &Prepared,
        wanted: &[(usize, usize)],
        known: &Known,
        parallel: bool,
    ) -> Result<Outcome> {
        let n = self.graph.steps.len();
        let partial = self.partial(scan)?;
        let is_known = |step: usize| (0..self.specs[step].len()).all(|o| known.contains_key(&(step, o)));
        let mut needed = vec![false; n];
        let mut open: Vec<usize> = wanted.iter().map(|w| w.0).collect();
        while let Some(step) = open.pop() {
            if !std::mem::replace(&mut needed[step], true) && !is_known(step) {
                open.extend(self.parents(step, partial));
            }
        }
        let work = Work {
            pipeline: self,
            partial,
            scan,
            slots: (0..n).map(|_| Mutex::new(None)).collect(),
            waiting: (0..n)
                .map(|s| Mutex::new(self.parents(s, partial).iter().filter(|p| needed[**p]).count()))
                .collect(),
            needed: &needed,
        };
        for step in (0..n).filter(|&s| needed[s] && is_known(s)) {
            let values: Vec<Arc<Value>> =
                (0..self.specs[step].len()).map(|o| known[&(step, o)].clone()).collect();
            work.keep(step, Ok((values, Duration::ZERO)));
        }
        if parallel && self.services.threads() > 1 {
            // A step starts as soon as its inputs are there.
            self.services.pool.in_place_scope(|scope| {
                for step in (0..n).filter(|&s| needed[s]) {
                    if is_known(step) {
                        work.release(step, scope);
                    } else if self.parents(step, partial).is_empty() {
                        let work = &work;
                        scope.spawn(move |scope| work.execute(step, scope));
                    }
                }
            });
        } else {
            for step in (0..n).filter(|&s| needed[s] && !is_known(s)) {
                let done = work.compute(step);
                work.keep(step, done);
            }
        }
        let mut outcome = Outcome { values: Vec::new(), times: Vec::new() };
        for slot in work.slots {
            match slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(Ok((values, time))) => {
                    outcome.values.push(Some(values));
                    outcome.times.push(Some(time));
                }
                Some(Err(e)) => return Err(e),
                None => {
                    outcome.values.push(None);
                    outcome.times.push(None);
                }
            }
        }
        Ok(outcome)
    }

    /// Does some work on the pool's threads, and what it splits up, too.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.services.pool.install(work)
    }

    /// Does two things at the same time where the pool has more than one thread.
    pub(crate) fn join<A: Send, B: Send>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        self.services.pool.join(first, second)
    }

    /// Steps whose outputs a step takes, each once.
    fn parents(&self, step: usize, partial: Option<&Partial>) -> Vec<usize> {
        let mut parents: Vec<usize> = self
            .wired(step, partial)
            .0
            .iter()
            .filter_map(|(_, s)| if let Source::Output(s, _) = s { Some(*s) } else { None })
            .collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    /// The inputs of a step as its method gets them: score inputs calibrated and, for a fuser, on the finest grid; features of
    /// a detector without the background.
    ///
    /// # Errors
    /// [`Error::Step`] where an input is missing.
    pub fn bind(
        &self,
        at: usize,
        scan: &Prepared,
        get: &dyn Fn(usize, usize) -> Option<Arc<Value>>,
    ) -> Result<Vec<(usize, Arc<Value>)>> {
        let step = &self.graph.steps[at];
        let (from, specs, _) = self.wired(at, self.partial(scan)?);
        // A plugin's detector neither learns nor scores the background; a built-in network sees all of its image.
        let hides = step.is_detector() && matches!(step.worker, Worker::Plugin(_));
        let missing = || self.step_error(at, scan, "an input is missing");
        let mut bound = Vec::with_capacity(from.len());
        for ((port, source), (_, spec)) in from.iter().zip(specs) {
            let value = match *source {
                Source::Sensor(i) => scan.sensors.get(i).cloned().flatten().ok_or_else(missing)?,
                Source::Output(s, o) => {
                    let value = get(s, o).ok_or_else(missing)?;
                    if value.content == Content::Scores {
                        let mut calibrated = self.scales[s][o].apply((*value).clone());
                        if step.is_fuser() {
                            calibrated = on_grid(calibrated, spec, scan.native, self.native);
                        }
                        Arc::new(calibrated)
                    } else {
                        value
                    }
                }
            };
            let value = match (&scan.scored, &value.data) {
                (Some(mask), Data::Grid(grid)) if hides => {
                    let data = Data::Grid(restrict_softly(grid.clone(), &on_cells(mask, grid.size())?));
                    Arc::new(Value { content: value.content, data, image_score: value.image_score })
                }
                (Some(mask), Data::Image(image)) if hides => {
                    let data = Data::Grid(restrict_softly(planes(image), &on_cells(mask, image.size())?));
                    Arc::new(Value { content: value.content, data, image_score: value.image_score })
                }
                _ => value,
            };
            bound.push((*port, value));
        }
        Ok(bound)
    }

    fn step_error(&self, at: usize, scan: &Prepared, message: impl Into<String>) -> Error {
        let step = &self.graph.steps[at];
        Error::Step {
            step: step.name.clone(),
            method: step.info.id.clone(),
            scan: scan.id.clone(),
            message: message.into(),
        }
    }

    /// Scores one scan with one instance, or with the built-in step.
    ///
    /// # Errors
    /// [`Error::Step`] with the method's message.
    pub fn score_step(
        &self,
        at: usize,
        runner: &Runner,
        scan: &Prepared,
        inputs: &[(usize, Arc<Value>)],
    ) -> Result<Vec<Value>> {
        let step = &self.graph.steps[at];
        let (_, specs, _) = self.wired(at, self.partial(scan)?);
        let range = specs.first().and_then(|(_, s)| s.range);
        let done = match (&step.worker, runner) {
            (Worker::Onnx(network), _) => network.extract(&inputs[0].1, range, self.native, scan.native),
            (Worker::OnnxMap(network), _) => onnx_map::score(
                network,
                &step.info,
                &step.params,
                &inputs[0].1,
                range,
                self.native,
                scan.native,
            ),
            (Worker::Plugin(_), Runner::Plugin(instance)) => {
                let bound: Vec<(usize, &Value)> = inputs.iter().map(|(p, v)| (*p, &**v)).collect();
                check_sizes(specs, &bound).and_then(|()| instance.score(&scan.id, &bound, scan.native))
            }
            (Worker::Plugin(_), Runner::Builtin) => {
                Err(Failure::about_input("the plugin's instance is missing"))
            }
        };
        let mut values = done
            .map_err(|f| if f.cancelled { Error::Cancelled } else { self.step_error(at, scan, f.message) })?;
        if let Some(mask) = &scan.scored {
            for value in values.iter_mut().filter(|v| v.content == Content::Scores && step.is_detector()) {
                if let Data::Grid(grid) = &value.data {
                    value.data = Data::Grid(restrict(grid.clone(), &on_cells(mask, grid.size())?));
                }
            }
        }
        Ok(values)
    }

    /// The fused scores of a scan as the map shows them, on their scale.
    ///
    /// # Errors
    /// [`Error::Request`] where they are missing.
    pub fn last_scores(&self, scan: &Prepared, outcome: &Outcome) -> Result<Value> {
        let missing = || Error::Request("the fused scores are missing".into());
        let last = self.last(scan)?;
        let value = outcome.get(last).ok_or_else(missing)?;
        let mut value = self.scales[last.0][last.1].apply((**value).clone());
        if let (Some(mask), Data::Grid(grid)) = (&scan.shown, &value.data) {
            value.data = Data::Grid(restrict(grid.clone(), &on_cells(mask, grid.size())?));
        }
        Ok(value)
    }
}

/// Grids that a plugin gets have the size it planned for.
fn check_sizes(specs: &[(usize, Spec)], bound: &[(usize, &Value)]) -> Result<(), Failure> {
    for ((_, value), (_, spec)) in bound.iter().zip(specs) {
        let (size, channels) = match &value.data {
            Data::Image(image) => (Some(image.size()), image.pixels.dim().2),
            Data::Grid(grid) => (Some(grid.size()), grid.channels()),
            Data::Cloud(_) => (None, spec.channels),
        };
        if channels != spec.channels {
            return Err(Failure::about_input(&format!(
                "`{}` has {channels} channels, the recipe was fitted on {}",
                spec.name, spec.channels
            )));
        }
        if size != spec.size {
            let text = |s: Option<(usize, usize)>| s.map_or("a cloud".into(), |(r, c)| format!("{r}x{c}"));
            return Err(Failure::about_input(&format!(
                "`{}` is {}, the recipe was fitted on {}; scans of one station have one size",
                spec.name,
                text(size),
                text(spec.size)
            )));
        }
    }
    Ok(())
}

/// What a step made, and how long it took.
type Made = Result<(Vec<Arc<Value>>, Duration)>;

/// One run over a scan: slots for the results of steps, and how many inputs each still waits for.
struct Work<'a> {
    pipeline: &'a Pipeline,
    partial: Option<&'a Partial>,
    scan: &'a Prepared,
    slots: Vec<Mutex<Option<Made>>>,
    waiting: Vec<Mutex<usize>>,
    needed: &'a [bool],
}

impl Work<'_> {
    fn keep(&self, step: usize, done: Made) {
        *self.slots[step].lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    fn get(&self, step: usize, output: usize) -> Option<Arc<Value>> {
        let slot = self.slots[step].lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().and_then(|r| r.as_ref().ok()).and_then(|(values, _)| values.get(output).cloned())
    }

    fn compute(&self, step: usize) -> Made {
        let start = Instant::now();
        let inputs = self.pipeline.bind(step, self.scan, &|s, o| self.get(s, o))?;
        let (_, _, runner) = self.pipeline.wired(step, self.partial);
        let values = self.pipeline.score_step(step, runner, self.scan, &inputs)?;
        Ok((values.into_iter().map(Arc::new).collect(), start.elapsed()))
    }

    fn execute<'s>(&'s self, step: usize, scope: &rayon::Scope<'s>) {
        let done = self.compute(step);
        let ok = done.is_ok();
        self.keep(step, done);
        if ok {
            self.release(step, scope);
        }
    }

    /// Starts the steps that waited for `step` alone.
    fn release<'s>(&'s self, step: usize, scope: &rayon::Scope<'s>) {
        for child in (0..self.needed.len())
            .filter(|&c| self.needed[c] && self.pipeline.parents(c, self.partial).contains(&step))
        {
            let mut waiting = self.waiting[child].lock().unwrap_or_else(PoisonError::into_inner);
            *waiting -= 1;
            if *waiting == 0 && self.slots[child].lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                drop(waiting);
                scope.spawn(move |scope| self.execute(child, scope));
            }
        }
    }
}

/// The seed of a step: the recipe's seed and the step's name, so that steps differ and do not depend on their order.
pub(crate) fn step_seed(seed: u64, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

fn sensor_spec(sensor: &Sensor, value: &Value) -> Spec {
    let (channels, size, frame) = match &value.data {
        Data::Image(image) => (image.pixels.dim().2, Some(image.size()), image.frame),
        Data::Grid(grid) => (grid.channels(), Some(grid.size()), grid.frame),
        Data::Cloud(_) => (0, None, Frame::NATIVE),
    };
    let range = matches!(sensor.kind, SensorKind::Rgb | SensorKind::Gray).then_some((0.0, 255.0));
    Spec { content: content_of(sensor), channels, size, frame, range, name: sensor.name.clone() }
}
