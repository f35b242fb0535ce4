//! The steps at work: planned for one native size, run on one scan after the other.

use crate::error::{Error, Result};
use crate::graph::{Graph, Source, Step, Worker, content_of};
use crate::plugin::{Failure, Instance, Services};
use crate::prepare::{Prepared, on_cells, restrict, restrict_softly};
use crate::recipe::Recipe;
use crate::scale::Scales;
use crate::steps::onnx_map;
use crate::value::{Content, Data, Spec, Value, planes};
use assay_data::{Frame, Grid, Mask, SensorKind};
use ndarray::Array2;
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
    services: Services,
    seed: u64,
}

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
        let sensors: Vec<Spec> = recipe
            .sensors
            .iter()
            .zip(&example.sensors)
            .map(|(s, v)| sensor_spec(&s.name, s.kind, v))
            .collect();
        let mut pipeline = Self {
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
            let mut inputs: Vec<(usize, Spec)> = Vec::new();
            for &(port, source) in &step.inputs {
                let spec = match source {
                    Source::Sensor(i) => sensors[i].clone(),
                    Source::Output(s, o) => {
                        let name = pipeline.graph.output_name((s, o));
                        Spec { name, ..pipeline.specs[s][o].clone() }
                    }
                };
                inputs.push((port, spec));
            }
            if step.is_fuser() {
                let finest = finest(inputs.iter().map(|(_, s)| s).filter(|s| s.content == Content::Scores));
                for (_, spec) in inputs.iter_mut().filter(|(_, s)| s.content == Content::Scores) {
                    (spec.size, spec.frame) = finest;
                }
            }
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
        Ok(pipeline)
    }

    /// A new instance of step `at` for these inputs.
    fn instance(&self, at: usize, inputs: &[(usize, Spec)]) -> Result<Instance, Failure> {
        let step = &self.graph.steps[at];
        let Worker::Plugin(method) = &step.worker else {
            return Err(Failure::about_input("a built-in step has no instance"));
        };
        Instance::new(
            method,
            &step.name,
            step_seed(self.seed, &step.name),
            &self.services,
            &step.params,
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
        let is_known = |step: usize| (0..self.specs[step].len()).all(|o| known.contains_key(&(step, o)));
        let mut needed = vec![false; n];
        let mut open: Vec<usize> = wanted.iter().map(|w| w.0).collect();
        while let Some(step) = open.pop() {
            if !std::mem::replace(&mut needed[step], true) && !is_known(step) {
                open.extend(self.graph.steps[step].inputs.iter().filter_map(|(_, s)| match s {
                    Source::Output(s, _) => Some(*s),
                    Source::Sensor(_) => None,
                }));
            }
        }
        let work = Work {
            pipeline: self,
            scan,
            slots: (0..n).map(|_| Mutex::new(None)).collect(),
            waiting: (0..n)
                .map(|s| Mutex::new(self.parents(s).iter().filter(|p| needed[**p]).count()))
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
                    } else if self.parents(step).is_empty() {
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

    /// Steps whose outputs a step takes, each once.
    fn parents(&self, step: usize) -> Vec<usize> {
        let mut parents: Vec<usize> = self.graph.steps[step]
            .inputs
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
        // A plugin's detector neither learns nor scores the background; a built-in network sees all of its image.
        let hides = step.is_detector() && matches!(step.worker, Worker::Plugin(_));
        let mut bound = Vec::with_capacity(step.inputs.len());
        for ((port, source), (_, spec)) in step.inputs.iter().zip(&self.inputs[at]) {
            let value = match *source {
                Source::Sensor(i) => scan.sensors[i].clone(),
                Source::Output(s, o) => {
                    let value = get(s, o).ok_or_else(|| self.step_error(at, scan, "an input is missing"))?;
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
                    let data = Data::Grid(restrict_softly(grid, &on_cells(mask, grid.size())?));
                    Arc::new(Value { content: value.content, data, image_score: value.image_score })
                }
                (Some(mask), Data::Image(image)) if hides => {
                    let data = Data::Grid(restrict_softly(&planes(image), mask));
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
        let range = self.inputs[at].first().and_then(|(_, s)| s.range);
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
                self.check_sizes(at, &bound).and_then(|()| instance.score(&scan.id, &bound, scan.native))
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

    /// Grids that a plugin gets have the size it planned for.
    fn check_sizes(&self, at: usize, bound: &[(usize, &Value)]) -> Result<(), Failure> {
        for ((_, value), (_, spec)) in bound.iter().zip(&self.inputs[at]) {
            let (size, channels) = match &value.data {
                Data::Image(image) => (Some((image.dim().0, image.dim().1)), image.dim().2),
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
                let text =
                    |s: Option<(usize, usize)>| s.map_or("a cloud".into(), |(r, c)| format!("{r}x{c}"));
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

    /// The fused scores of a scan as the map shows them, on their scale.
    ///
    /// # Errors
    /// [`Error::Request`] where they are missing.
    pub fn last_scores(&self, scan: &Prepared, outcome: &Outcome) -> Result<Value> {
        let missing = || Error::Request("the fused scores are missing".into());
        let value = outcome.get(self.graph.last).ok_or_else(missing)?;
        let mut value = self.scales[self.graph.last.0][self.graph.last.1].apply((**value).clone());
        if let (Some(mask), Data::Grid(grid)) = (&scan.shown, &value.data) {
            value.data = Data::Grid(restrict(grid.clone(), &on_cells(mask, grid.size())?));
        }
        Ok(value)
    }
}

/// What a step made, and how long it took.
type Made = Result<(Vec<Arc<Value>>, Duration)>;

/// One run over a scan: slots for the results of steps, and how many inputs each still waits for.
struct Work<'a> {
    pipeline: &'a Pipeline,
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
        let values = self.pipeline.score_step(step, &self.pipeline.runners[step], self.scan, &inputs)?;
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
        for child in
            (0..self.needed.len()).filter(|&c| self.needed[c] && self.pipeline.parents(c).contains(&step))
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
fn step_seed(seed: u64, name: &str) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

fn sensor_spec(name: &str, kind: SensorKind, value: &Value) -> Spec {
    let (channels, size) = match &value.data {
        Data::Image(image) => (image.dim().2, Some((image.dim().0, image.dim().1))),
        Data::Grid(grid) => (grid.channels(), Some(grid.size())),
        Data::Cloud(_) => (0, None),
    };
    let range = matches!(kind, SensorKind::Rgb | SensorKind::Gray).then_some((0.0, 255.0));
    Spec { content: content_of(kind), channels, size, frame: Frame::NATIVE, range, name: name.into() }
}

/// Size and place of the finest of some grids: the most cells, the first among equals.
fn finest<'a>(specs: impl Iterator<Item = &'a Spec>) -> (Option<(usize, usize)>, Frame) {
    let mut best: (Option<(usize, usize)>, Frame) = (None, Frame::NATIVE);
    for spec in specs {
        let cells = |s: Option<(usize, usize)>| s.map_or(0, |(r, c)| r * c);
        if cells(spec.size) > cells(best.0) {
            best = (spec.size, spec.frame);
        }
    }
    best
}

/// Scores resampled to the grid of `spec` (planned for scans of `planned` size): bilinear among valid cells.
fn on_grid(value: Value, spec: &Spec, native: (usize, usize), planned: (usize, usize)) -> Value {
    let (Some(size), Data::Grid(grid)) = (spec.size, &value.data) else { return value };
    let (sy, sx) = (native.0 as f64 / planned.0 as f64, native.1 as f64 / planned.1 as f64);
    let f = spec.frame;
    let frame = Frame {
        offset_x: f.offset_x * sx,
        offset_y: f.offset_y * sy,
        stride_x: f.stride_x * sx,
        stride_y: f.stride_y * sy,
    };
    if grid.size() == size && grid.frame == frame {
        return value;
    }
    let (scores, valid) = sample(grid, size, frame);
    let values = scores.insert_axis(ndarray::Axis(0));
    Value {
        data: Data::Grid(Grid {
            values: values.as_standard_layout().into_owned(),
            valid: Some(valid),
            frame,
        }),
        ..value
    }
}

/// Samples a one-channel grid at the cells of another frame, bilinearly among valid cells (their weights renormalised);
/// a cell is valid where its nearest cell is.
pub fn sample(grid: &Grid, size: (usize, usize), frame: Frame) -> (Array2<f32>, Mask) {
    let (rows, cols) = grid.size();
    let plane = grid.values.index_axis(ndarray::Axis(0), 0);
    // For each target row or column: the two source cells and the weight of the second.
    let axis = |n: usize, limit: usize, at: &dyn Fn(f64) -> f64| -> Vec<(usize, usize, f32)> {
        (0..n)
            .map(|i| {
                let x = at(i as f64).clamp(0.0, (limit - 1) as f64);
                let low = x.floor() as usize;
                (low, (low + 1).min(limit - 1), x.fract() as f32)
            })
            .collect()
    };
    let ys = axis(size.0, rows, &|i| grid.frame.row_at(frame.native_y(i)));
    let xs = axis(size.1, cols, &|j| grid.frame.column_at(frame.native_x(j)));
    let mut scores = Array2::<f32>::zeros(size);
    let mut valid = Mask::from_elem(size, true);
    for (i, &(y0, y1, fy)) in ys.iter().enumerate() {
        for (j, &(x0, x1, fx)) in xs.iter().enumerate() {
            let corners = [
                (y0, x0, (1.0 - fy) * (1.0 - fx)),
                (y0, x1, (1.0 - fy) * fx),
                (y1, x0, fy * (1.0 - fx)),
                (y1, x1, fy * fx),
            ];
            match &grid.valid {
                None => scores[(i, j)] = corners.iter().map(|&(y, x, w)| w * plane[(y, x)]).sum(),
                Some(mask) => {
                    let near = (if fy < 0.5 { y0 } else { y1 }, if fx < 0.5 { x0 } else { x1 });
                    if !mask[near] {
                        valid[(i, j)] = false;
                        continue;
                    }
                    let (mut sum, mut weight) = (0.0, 0.0);
                    for &(y, x, w) in corners.iter().filter(|c| mask[(c.0, c.1)]) {
                        sum += w * plane[(y, x)];
                        weight += w;
                    }
                    scores[(i, j)] = sum / weight;
                }
            }
        }
    }
    (scores, valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn sampling_a_grid_at_its_own_frame_changes_nothing() {
        let values = Array3::from_shape_fn((1, 3, 4), |(_, i, j)| (i * 4 + j) as f32);
        let grid = Grid { values: values.clone(), valid: None, frame: Frame::NATIVE };
        let (scores, valid) = sample(&grid, (3, 4), Frame::NATIVE);
        assert_eq!(scores, values.index_axis(ndarray::Axis(0), 0));
        assert!(valid.iter().all(|&v| v));
    }

    #[test]
    fn upsampling_is_linear_between_cell_centres_and_constant_beyond_them() {
        let grid = Grid {
            values: Array3::from_shape_vec((1, 1, 2), vec![0.0, 4.0]).unwrap(),
            valid: None,
            frame: Frame::NATIVE.resized((1, 8), (1, 2)),
        };
        let (scores, _) = sample(&grid, (1, 8), Frame::NATIVE);
        assert_eq!(scores.as_slice().unwrap(), [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]);
    }

    #[test]
    fn invalid_cells_neither_spread_nor_are_scored() {
        let grid = Grid {
            values: Array3::from_shape_vec((1, 1, 2), vec![3.0, 0.0]).unwrap(),
            valid: Some(Mask::from_shape_vec((1, 2), vec![true, false]).unwrap()),
            frame: Frame::NATIVE.resized((1, 4), (1, 2)),
        };
        let (scores, valid) = sample(&grid, (1, 4), Frame::NATIVE);
        assert_eq!(scores.as_slice().unwrap(), [3.0, 3.0, 0.0, 0.0]);
        assert_eq!(valid.as_slice().unwrap(), [true, true, false, false]);
    }
}
