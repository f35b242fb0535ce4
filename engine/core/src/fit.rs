//! Fitting: a recipe and good scans in, a model out.
//!
//! Steps are taken in their order. What a fitted step needs from every training scan is kept in a file
//! ([`Store`]), so that memory does not grow with the number of scans. A detector is fitted on all training scans and once
//! more for each fold without that fold's scans; the out-of-fold scores set its scale and are what later steps learn from,
//! so that no scan is scored by a model that saw it. A detector that fits for long is fitted once, without the first fold, and later
//! steps learn from that fold's scans. Calibration scans are not looked at until all of this is done.

use crate::calibrate::{partial_calibrations, score_scans};
use crate::check;
use crate::error::{Error, Result};
use crate::graph::{Graph, Worker};
use crate::model::{self, Blob, Manifest, Model, NetworkRecord, PluginRecord, recipe_sha256, scan_record};
use crate::pipeline::{Known, Pipeline, Runner, Shapes, step_seed};
use crate::plugin::{Failure, FitPass, Instance, Services};
use crate::prepare::{self, Prepared};
use crate::quantise::{self, Looks, Seen, Turned};
use crate::recipe::{Recipe, resolved};
use crate::scale::{Scale, Scales, valid_scores};
use crate::scratch::Scratch;
use crate::store::Store;
use crate::threshold::{Budget, Calibration, PartialCalibration};
use crate::unfinished::{Place, Unfinished, identity};
use crate::value::{Content, Data, Spec, Value, planes};
use assay_data::{Dataset, ScanFiles};
use assay_inference::Engine;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The scans of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// They are learned.
    pub training: Vec<ScanFiles>,
    /// They set thresholds and nothing else.
    pub calibration: Vec<ScanFiles>,
}

impl Split {
    /// The training and validation scans of a data set. Without validation scans a seeded part of the training scans is set
    /// aside for calibration: a fifth, or as many as the budget takes, at most two fifths.
    ///
    /// # Errors
    /// [`Error::Request`] where fewer than two training scans are left.
    pub fn of(dataset: &Dataset, seed: u64, budget: &Budget) -> Result<Self> {
        let mut split = Self { training: dataset.train.clone(), calibration: dataset.validation.clone() };
        if split.calibration.is_empty() && split.training.len() > 2 {
            let mut order: Vec<usize> = (0..split.training.len()).collect();
            shuffle(&mut order, seed);
            let n = order.len();
            let enough = (n / 5).max(budget.parts_needed()).min(2 * n / 5).max(1);
            let mut aside: Vec<usize> = order[..enough].to_vec();
            aside.sort_unstable();
            split.calibration = aside.iter().map(|&i| split.training[i].clone()).collect();
            let mut at = 0..;
            split.training.retain(|_| !aside.contains(&at.next().unwrap_or_default()));
        }
        if split.training.len() < 2 || split.calibration.is_empty() {
            let n = dataset.train.len() + dataset.validation.len();
            let scans = if n == 1 { "1 good scan is" } else { &format!("{n} good scans are") };
            return Err(Error::Request(format!(
                "{scans} too few to fit: it takes at least 2 to learn from and 1 to set the threshold"
            )));
        }
        Ok(split)
    }
}

/// Fisher-Yates with a seeded generator: the same order on every machine.
fn shuffle(items: &mut [usize], seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, (random.next_u64() % (i as u64 + 1)) as usize);
    }
}

/// A step's state is kept for an interrupted fit from this time on: what took less is soon done again.
const WORTH_KEEPING: Duration = Duration::from_secs(20);

/// In the place of the next pass of a step that has been fitted.
const FITTED: u32 = u32::MAX;

/// A running fit.
struct Fit<'a> {
    recipe: &'a Recipe,
    pipeline: Pipeline,
    training: &'a [ScanFiles],
    services: &'a Services,
    engine: &'a Engine,
    /// Native sizes of the training scans.
    natives: Vec<(usize, usize)>,
    /// Fold of each training scan, 1..=folds.
    folds: Vec<usize>,
    n_folds: usize,
    /// Inputs of the fitted step at hand: (step, input, scan * angles + angle).
    inputs: Store,
    /// Outputs of fitted steps and of score steps: (step, output, scan).
    outputs: Store,
    /// Where `states` are.
    folder: PathBuf,
    /// What each fitted step has learnt, by its name.
    states: BTreeMap<String, Blob>,
    /// What an interrupted fit had come to, and what this one would leave.
    unfinished: Option<Arc<Unfinished>>,
}

/// Fits a recipe.
///
/// # Errors
/// Any [`Error`]; nothing is written.
pub fn fit(
    recipe: &Recipe,
    graph: Graph,
    split: &Split,
    engine: &Engine,
    services: &Services,
) -> Result<Model> {
    // Before hours of work: what the thresholds will rest on may not do.
    let budget = Budget::from(recipe.decide);
    budget.validate()?;
    budget.check(split.calibration.len())?;
    check::usable(recipe, split.training.iter().chain(&split.calibration), services)?;
    let scratch = Scratch::new("assay-fit-")?;
    let folder = |name: &str| {
        let path = scratch.path().join(name);
        std::fs::create_dir(&path).map_err(|e| Error::io(&path, e)).map(|()| path)
    };
    let services = Services { scratch: Some(folder("plugins")?), ..services.clone() };
    let example = services.pool.install(|| prepare::load(recipe, &split.training[0]))?;
    let n = split.training.len();
    let n_folds = recipe.decide.folds.min(n);
    let mut order: Vec<usize> = (0..n).collect();
    shuffle(&mut order, recipe.seed);
    let mut folds = vec![0; n];
    for (i, &scan) in order.iter().enumerate() {
        folds[scan] = 1 + i % n_folds;
    }
    let mut fit = Fit {
        recipe,
        pipeline: Pipeline::plan(recipe, graph, &example, &Shapes::new(), &services)?,
        training: &split.training,
        services: &services,
        engine,
        natives: vec![example.native; n],
        folds,
        n_folds,
        inputs: Store::new(&folder("inputs")?)?,
        outputs: Store::new(&folder("outputs")?)?,
        folder: folder("states")?,
        states: BTreeMap::new(),
        unfinished: None,
    };
    fit.unfinished = fit.open_unfinished()?;
    for step in 0..fit.pipeline.graph.steps.len() {
        fit.step(step)?;
    }
    let floor = fit.floor()?;
    let Fit { pipeline, states, .. } = fit;
    let scored = score_scans(recipe, &pipeline, floor, &split.calibration, &[], &services)?;
    let calibration = Calibration::new(budget, scored)?;
    let partial = partial_calibrations(recipe, &pipeline, floor, &split.calibration, budget, &services)?;
    let thresholds = Thresholds { floor, calibration, partial };
    fitted_model(recipe, &pipeline, split, engine, &services, states, thresholds)
}

impl Fit<'_> {
    fn step(&mut self, at: usize) -> Result<()> {
        self.quantise(at)?;
        let step = &self.pipeline.graph.steps[at];
        let makes_scores = step.outputs.iter().any(|(_, c)| *c == Content::Scores);
        let raw = step.raw;
        if step.info.fitted {
            self.keep_inputs(at)?;
            self.fit_step(at)?;
            self.inputs.clear()?;
        } else if makes_scores {
            self.keep_outputs(at)?;
        }
        for output in 0..self.pipeline.graph.steps[at].outputs.len() {
            if self.pipeline.graph.steps[at].outputs[output].1 == Content::Scores && !raw {
                self.pipeline.scales[at][output] = self.scales(at, output)?;
            }
        }
        Ok(())
    }

    /// Calls `body` for each of `scans`, several at a time, with progress under `what`.
    fn for_each_scan(
        &self,
        what: &str,
        scans: &[usize],
        body: impl Fn(usize) -> Result<()> + Sync,
    ) -> Result<()> {
        let done = AtomicUsize::new(0);
        let n = scans.len();
        let watch = &self.services.watch;
        watch.progress(what, 0.0, "");
        self.services.pool.install(|| {
            scans.par_iter().try_for_each(|&i| {
                if watch.cancelled() {
                    return Err(Error::Cancelled);
                }
                body(i)?;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                watch.progress(what, done as f64 / n as f64, &format!("{done}/{n} scans"));
                Ok(())
            })
        })
    }

    /// What is known of training scan `i`: outputs of fitted steps and scores so far.
    fn known(&self, i: usize) -> Result<Known> {
        let mut known = Known::new();
        for (step, specs) in self.pipeline.specs.iter().enumerate() {
            for output in 0..specs.len() {
                if self.outputs.has(step, output, i) {
                    known.insert((step, output), Arc::new(self.outputs.get(step, output, i)?));
                }
            }
        }
        Ok(known)
    }

    /// Training scan `i`; one without sensors where only scores are needed, which are known.
    fn load(&self, i: usize, only_scores: bool) -> Result<Prepared> {
        if only_scores {
            let id = self.training[i].id.clone();
            return Ok(Prepared::whole(id, self.natives[i], Vec::new()));
        }
        prepare::load(self.recipe, &self.training[i])
    }

    /// Whether a step takes nothing but scores, which are all known.
    fn takes_scores_only(&self, at: usize) -> bool {
        self.pipeline.inputs[at].iter().all(|(_, s)| s.content == Content::Scores)
    }

    /// At how many angles a step learns each scan. A fuser learns from scores, which there are of scans as they are.
    fn turns(&self, at: usize) -> usize {
        if self.takes_scores_only(at) { 1 } else { self.recipe.prepare.rotations }
    }

    /// Training scan `i` at one of its angles, with what is known of it.
    fn turned<'s>(
        &self,
        scan: &'s Prepared,
        i: usize,
        turn: usize,
        turns: usize,
    ) -> Result<(Cow<'s, Prepared>, Known)> {
        // What is known is known of the scan as it is.
        if turn == 0 {
            return Ok((Cow::Borrowed(scan), self.known(i)?));
        }
        let angle = std::f64::consts::TAU * turn as f64 / turns as f64;
        Ok((Cow::Owned(scan.turned(angle)), Known::new()))
    }

    /// Gives a network step of precision int8 its int8 network, before anything learns from its features.
    fn quantise(&mut self, at: usize) -> Result<()> {
        let step = &self.pipeline.graph.steps[at];
        let Worker::Onnx(network) = &step.worker else { return Ok(()) };
        if !network.int8 {
            return Ok(());
        }
        let (wanted, turns) = (self.wanted(at), self.turns(at));
        let see = |i: usize, turned: Turned| {
            let loaded = self.load(i, false)?;
            let turn = if let Turned::By(n) = turned { n % turns } else { 0 };
            let (scan, known) = self.turned(&loaded, i, turn, turns)?;
            let outcome = self.pipeline.run(&scan, &wanted, &known, false)?;
            let bound = self.pipeline.bind(at, &scan, &|s, o| outcome.get((s, o)).cloned())?;
            let missing = || Error::Request(format!("step `{}` has no input", step.name));
            let (_, value) = bound.into_iter().next().ok_or_else(missing)?;
            let Prepared { id, native, scored, .. } = scan.into_owned();
            Ok(Seen { id, value, native, scored })
        };
        let looks = Looks {
            step: &step.name,
            range: self.pipeline.inputs[at][0].1.range,
            planned: self.pipeline.native,
            engine: self.engine,
            services: self.services,
            seed: step_seed(self.recipe.seed, &format!("{} in int8", step.name)),
            see: &see,
        };
        let network = quantise::quantised(network, self.training.len(), &looks)?;
        self.pipeline.graph.steps[at].worker = Worker::Onnx(network);
        Ok(())
    }

    /// Keeps the bound inputs of a fitted step for every training scan at every angle.
    fn keep_inputs(&mut self, at: usize) -> Result<()> {
        let step = &self.pipeline.graph.steps[at];
        let (wanted, turns) = (self.wanted(at), self.turns(at));
        let what = format!("features for {}", step.name);
        let natives: Vec<std::sync::Mutex<(usize, usize)>> =
            self.natives.iter().map(|&n| std::sync::Mutex::new(n)).collect();
        self.for_each_scan(&what, &self.learnable(at), |i| {
            let scan = self.load(i, self.takes_scores_only(at))?;
            for turn in 0..turns {
                let (scan, known) = self.turned(&scan, i, turn, turns)?;
                let outcome = self.pipeline.run(&scan, &wanted, &known, false)?;
                let bound = self.pipeline.bind(at, &scan, &|s, o| outcome.get((s, o)).cloned())?;
                for (input, (_, value)) in bound.iter().enumerate() {
                    self.inputs.put(at, input, i * turns + turn, &storable(value))?;
                }
            }
            *natives[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = scan.native;
            Ok(())
        })?;
        self.natives = natives
            .into_iter()
            .map(|m| m.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
            .collect();
        Ok(())
    }

    /// Runs an unfitted score step on every training scan.
    fn keep_outputs(&self, at: usize) -> Result<()> {
        let step = &self.pipeline.graph.steps[at];
        let wanted = self.wanted(at);
        self.for_each_scan(&format!("scores of {}", step.name), &self.learnable(at), |i| {
            let scan = self.load(i, self.takes_scores_only(at))?;
            let outcome = self.pipeline.run(&scan, &wanted, &self.known(i)?, false)?;
            let bound = self.pipeline.bind(at, &scan, &|s, o| outcome.get((s, o)).cloned())?;
            let values = self.pipeline.score_step(at, &self.pipeline.runners[at], &scan, &bound)?;
            values.iter().enumerate().try_for_each(|(o, v)| self.outputs.put(at, o, i, v))
        })
    }

    /// The training scans that a step learns from: those of which the scores that it takes are kept.
    fn learnable(&self, at: usize) -> Vec<usize> {
        let mut scores = self.wanted(at);
        scores.retain(|&(step, output)| self.pipeline.graph.steps[step].outputs[output].1 == Content::Scores);
        let kept = |i: &usize| scores.iter().all(|&(step, output)| self.outputs.has(step, output, *i));
        (0..self.training.len()).filter(kept).collect()
    }

    fn wanted(&self, at: usize) -> Vec<(usize, usize)> {
        let inputs = self.pipeline.graph.steps[at].inputs.iter();
        inputs
            .filter_map(
                |(_, s)| if let crate::graph::Source::Output(s, o) = s { Some((*s, *o)) } else { None },
            )
            .collect()
    }

    /// The fold of each of `scans`, 1..=folds.
    fn folds_of(&self, scans: &[usize]) -> Vec<usize> {
        if scans.len() == self.training.len() {
            return self.folds.clone();
        }
        // Those of one fold, divided anew.
        (0..scans.len()).map(|k| 1 + k % self.n_folds.min(scans.len())).collect()
    }

    /// Fits a step on all training scans, then fold by fold for its out-of-fold scores. What it learnt is on the disk while
    /// the folds are fitted: a method holds one state at a time.
    fn fit_step(&mut self, at: usize) -> Result<()> {
        let all = self.learnable(at);
        if all.len() < 2 {
            let name = &self.pipeline.graph.steps[at].name;
            return Err(Error::Request(format!(
                "step `{name}` learns from scores of scans that no step before it has learned: {} of them are too few; add training scans or lower decide.folds",
                all.len()
            )));
        }
        let folds = self.folds_of(&all);
        let Runner::Plugin(mut instance) = std::mem::replace(&mut self.pipeline.runners[at], Runner::Builtin)
        else {
            return Err(Error::Request("a built-in step cannot be fitted".into()));
        };
        let divided = |fold: usize| -> (Vec<usize>, Vec<usize>) {
            let own = all.iter().zip(&folds).map(|(&i, &f)| (i, f == fold));
            let (inside, outside): (Vec<_>, Vec<_>) = own.partition(|(_, own)| *own);
            let scans = |part: Vec<(usize, bool)>| part.into_iter().map(|(i, _)| i).collect();
            (scans(inside), scans(outside))
        };
        let step = &self.pipeline.graph.steps[at];
        let makes_scores = step.outputs.iter().any(|(_, c)| *c == Content::Scores);
        let once = makes_scores && step.info.one_fit;
        // Where scores have no scale and no step takes them, they only set the floor, which is that of learned scans as well.
        let apart = once && (!step.raw || self.pipeline.graph.is_taken(at));
        let (left_out, others) = divided(1);
        if apart {
            self.drive(at, &mut instance, 1, &others)?;
        } else {
            self.drive(at, &mut instance, 0, &all)?;
        }
        let step = &self.pipeline.graph.steps[at];
        let fail = |f: Failure| self.pipeline.failure(self.recipe, step, f);
        let state = Blob::spilled(&self.folder, |out| instance.save(out).map_err(fail))
            .map_err(|e| Error::io(&self.folder, e))??;
        if once || !makes_scores {
            // From a fitted extractor later steps learn what it will give them on the line.
            let runner = Runner::Plugin(instance);
            self.score_kept(at, &runner, if once { &left_out } else { &all })?;
            self.states.insert(step.name.clone(), state);
            self.pipeline.runners[at] = runner;
            return Ok(());
        }
        drop(instance);
        for fold in 1..=folds.iter().copied().max().unwrap_or(0) {
            let (inside, outside) = divided(fold);
            let mut instance = self.pipeline.fresh_instance(self.recipe, at)?;
            self.drive(at, &mut instance, fold, &outside)?;
            self.score_kept(at, &Runner::Plugin(Box::new(instance)), &inside)?;
        }
        let mut instance = self.pipeline.fresh_instance(self.recipe, at)?;
        instance.load(&mut state.reader()).map_err(fail)?;
        self.states.insert(step.name.clone(), state);
        self.pipeline.runners[at] = Runner::Plugin(Box::new(instance));
        Ok(())
    }

    /// Where this fit goes on if it is interrupted.
    fn open_unfinished(&self) -> Result<Option<Arc<Unfinished>>> {
        let Some(folder) = &self.services.unfinished else { return Ok(None) };
        let identity = identity(self.recipe, &self.pipeline.graph, self.training, &self.folds)?;
        Unfinished::open(folder, identity, Arc::clone(&self.services.watch)).map(|u| Some(Arc::new(u)))
    }

    /// Brings an instance to where a fit was interrupted, from the number of its next pass and its state; returns that number, or none
    /// where it had been fitted.
    fn go_on(&self, at: usize, instance: &mut Instance, kept: &[u8]) -> Result<Option<u32>> {
        let step = &self.pipeline.graph.steps[at];
        let Some((next, mut state)) = kept.split_first_chunk::<4>() else { return Ok(Some(0)) };
        instance.load(&mut state).map_err(|f| self.pipeline.failure(self.recipe, step, f))?;
        let next = u32::from_le_bytes(*next);
        Ok((next != FITTED).then_some(next))
    }

    /// The passes of one fit.
    fn drive(&self, at: usize, instance: &mut Instance, fold: usize, scans: &[usize]) -> Result<()> {
        let step = &self.pipeline.graph.steps[at];
        let fail = |f: Failure| self.pipeline.failure(self.recipe, step, f);
        let what = if fold == 0 { String::new() } else { format!("without fold {fold}/{}", self.n_folds) };
        let turns = self.turns(at);
        let n = scans.len() * turns;
        let place = |name: String| self.unfinished.clone().map(|of| Place { of, name });
        let state = place(format!("step-{at}-fold-{fold}"));
        let first = match state.as_ref().map(Place::kept).transpose()?.flatten() {
            Some(kept) => match self.go_on(at, instance, &kept)? {
                Some(pass) => pass,
                None => return Ok(()),
            },
            None => 0,
        };
        let begun = Instant::now();
        for pass in first.. {
            let (fold, folds, resumed) = (fold as u32, self.n_folds as u32, pass == first && first > 0);
            let begin = FitPass { pass, fold, folds, samples: n, resumed };
            instance.keep_in(place(format!("step-{at}-fold-{fold}-pass-{pass}")));
            instance.fit_begin(begin).map_err(fail)?;
            for k in 0..n {
                if self.services.watch.cancelled() {
                    return Err(Error::Cancelled);
                }
                let i = scans[k / turns];
                let inputs = self.kept_inputs(at, i * turns + k % turns)?;
                let bound: Vec<(usize, &Value)> = inputs.iter().map(|(p, v)| (*p, &**v)).collect();
                instance.fit_add(&self.training[i].id, k, &bound).map_err(|f| {
                    let mut e = self.pipeline.failure(self.recipe, step, f);
                    if let Error::Step { scan, .. } = &mut e {
                        scan.clone_from(&self.training[i].id);
                    }
                    e
                })?;
                self.services.watch.progress(&step.name, (k + 1) as f64 / (n + 1) as f64, &what);
            }
            let another = instance.fit_end().map_err(fail)?;
            if let Some(state) = state.as_ref().filter(|_| begun.elapsed() >= WORTH_KEEPING) {
                let mut kept = if another { pass + 1 } else { FITTED }.to_le_bytes().to_vec();
                instance.save(&mut kept).map_err(fail)?;
                if let Err(e) = state.put(&kept) {
                    // The fit itself is well.
                    self.services.watch.log(
                        &step.name,
                        2,
                        &format!("an interruption now costs this step: {e}"),
                    );
                }
            }
            if !another {
                break;
            }
        }
        instance.keep_in(None);
        self.services.watch.progress(&step.name, 1.0, &what);
        Ok(())
    }

    fn kept_inputs(&self, at: usize, key: usize) -> Result<Vec<(usize, Arc<Value>)>> {
        let inputs = &self.pipeline.graph.steps[at].inputs;
        inputs
            .iter()
            .enumerate()
            .map(|(n, (port, _))| Ok((*port, Arc::new(self.inputs.get(at, n, key)?))))
            .collect()
    }

    /// Scores kept inputs and keeps the outputs.
    fn score_kept(&self, at: usize, runner: &Runner, scans: &[usize]) -> Result<()> {
        let turns = self.turns(at);
        self.services.pool.install(|| {
            scans.par_iter().try_for_each(|&i| {
                let inputs = self.kept_inputs(at, i * turns)?;
                let scan = self.load(i, true)?;
                let values = self.pipeline.score_step(at, runner, &scan, &inputs)?;
                values.iter().enumerate().try_for_each(|(o, v)| self.outputs.put(at, o, i, v))
            })
        })
    }

    /// The training scans of which an output is kept.
    fn kept(&self, at: usize, output: usize) -> Vec<usize> {
        (0..self.training.len()).filter(|&i| self.outputs.has(at, output, i)).collect()
    }

    /// The scales of a scores output, from its kept values.
    fn scales(&self, at: usize, output: usize) -> Result<Scales> {
        // At most this many patches are sorted, evenly taken.
        const MOST: usize = 8 << 20;
        let (mut patches, mut images) = (Vec::new(), Vec::new());
        let kept = self.kept(at, output);
        for &i in &kept {
            let value = self.outputs.get(at, output, i)?;
            let scores = valid_scores(&value);
            let stride = (scores.len() * kept.len()).div_ceil(MOST).max(1);
            patches.extend(scores.into_iter().step_by(stride));
            images.push(value.image_score as f32);
        }
        let name = &self.pipeline.graph.output_name((at, output));
        Ok(Scales { patch: Scale::of(&mut patches, name)?, image: Scale::of(&mut images, name)? })
    }

    /// The lowest fused score of a training scan.
    fn floor(&self) -> Result<f32> {
        let (step, output) = self.pipeline.graph.last;
        let mut floor = f32::INFINITY;
        for i in self.kept(step, output) {
            let value = self.pipeline.scales[step][output].apply(self.outputs.get(step, output, i)?);
            floor = valid_scores(&value).into_iter().fold(floor, f32::min);
        }
        if floor.is_finite() {
            Ok(floor)
        } else {
            Err(Error::Request("no training scan has a valid score".into()))
        }
    }
}

/// Values as the store keeps them: images as planes.
fn storable(value: &Value) -> Value {
    match &value.data {
        Data::Image(image) => Value { data: Data::Grid(planes(image)), ..value.clone() },
        _ => value.clone(),
    }
}

/// What calibration gives a model.
struct Thresholds {
    floor: f32,
    calibration: Calibration,
    partial: Vec<PartialCalibration>,
}

/// The model of a fitted pipeline.
fn fitted_model(
    recipe: &Recipe,
    pipeline: &Pipeline,
    split: &Split,
    engine: &Engine,
    services: &Services,
    states: BTreeMap<String, Blob>,
    thresholds: Thresholds,
) -> Result<Model> {
    let steps = &pipeline.graph.steps;
    let (mut plugins, mut networks, mut onnx) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (step, specs) in steps.iter().zip(&pipeline.specs) {
        match &step.worker {
            Worker::Onnx(network) | Worker::OnnxMap(network) => {
                let (file, sha256) = (network.file.clone(), network.sha256.clone());
                let shape = |s: &Spec| s.size.map(|(rows, cols)| [s.channels, rows, cols]);
                let outputs = specs.iter().filter_map(shape).collect();
                let quantisation = network.quantisation.clone();
                networks.insert(step.name.clone(), NetworkRecord { file, sha256, outputs, quantisation });
                onnx.insert(network.sha256.clone(), network.bytes.clone());
            }
            Worker::Plugin(method) => {
                let library = method.library.path.file_name().map(|n| n.to_string_lossy().into_owned());
                let record = PluginRecord {
                    method: method.info.id.clone(),
                    library: library.unwrap_or_default(),
                    version: method.info.version.clone(),
                    sha256: method.library.sha256.clone(),
                };
                plugins.insert(record.method.clone(), record);
            }
        }
    }
    let training =
        services.pool.install(|| split.training.par_iter().map(scan_record).collect::<Result<_>>())?;
    let runtime = engine.describe();
    let file = Path::new(&recipe.file).file_name().map(|n| n.to_string_lossy().into_owned());
    Ok(Model {
        format: model::VERSION,
        manifest: Manifest {
            program: env!("CARGO_PKG_VERSION").into(),
            recipe_file: file.unwrap_or_default(),
            recipe_sha256: recipe_sha256(&recipe.text),
            seed: recipe.seed,
            runtime: format!("{} {}", runtime.name, runtime.version),
            device: runtime.device.to_string(),
            native: pipeline.native,
            plugins: plugins.into_values().collect(),
            networks,
            training,
            scales: pipeline
                .graph
                .outputs()
                .filter(|(.., content)| *content == Content::Scores)
                .map(|(at, ..)| (pipeline.graph.output_name(at), pipeline.scales[at.0][at.1]))
                .collect(),
            sensor_sizes: pipeline.sensors.iter().filter_map(|s| Some((s.name.clone(), s.size?))).collect(),
            floor: thresholds.floor,
            calibration: thresholds.calibration,
            partial: thresholds.partial,
            sections: Vec::new(),
        },
        states,
        onnx,
        recipe: recipe.text.clone(),
        resolved: Some(resolved(recipe, &pipeline.graph)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::OnTooFew;
    use assay_data::Layout;

    fn dataset(train: usize, validation: usize) -> Dataset {
        let scans = |n: usize| {
            (0..n)
                .map(|i| ScanFiles { id: format!("{i}"), files: Vec::new(), defect: None, mask: None })
                .collect()
        };
        Dataset {
            layout: Layout::Plain,
            train: scans(train),
            validation: scans(validation),
            test: Vec::new(),
        }
    }

    fn budget(rate: f64) -> Budget {
        Budget { false_reject_rate: rate, confidence: None, on_too_few: OnTooFew::Error, review: None }
    }

    #[test]
    fn validation_scans_calibrate_and_training_scans_are_left_alone() {
        let split = Split::of(&dataset(10, 3), 0, &budget(0.2)).unwrap();
        assert_eq!((split.training.len(), split.calibration.len()), (10, 3));
    }

    #[test]
    fn without_validation_scans_a_seeded_fifth_is_set_aside() {
        let split = Split::of(&dataset(20, 0), 7, &budget(0.2)).unwrap();
        assert_eq!((split.training.len(), split.calibration.len()), (16, 4));
        assert!(split.calibration.iter().all(|c| !split.training.contains(c)));
        assert_eq!(split, Split::of(&dataset(20, 0), 7, &budget(0.2)).unwrap());
        assert_ne!(split, Split::of(&dataset(20, 0), 8, &budget(0.2)).unwrap());
    }

    #[test]
    fn as_many_are_set_aside_as_the_rate_takes_but_at_most_two_fifths() {
        let aside = |n, rate| Split::of(&dataset(n, 0), 7, &budget(rate)).unwrap().calibration.len();
        assert_eq!((aside(60, 0.05), aside(200, 0.05), aside(30, 0.05)), (19, 40, 12));
    }

    #[test]
    fn too_few_scans_are_refused_with_the_number_it_takes() {
        for (train, validation) in [(0, 0), (1, 0), (2, 0), (1, 5)] {
            let message = Split::of(&dataset(train, validation), 0, &budget(0.2)).unwrap_err().to_string();
            assert!(message.contains("at least 2"), "{message}");
        }
        assert!(Split::of(&dataset(3, 0), 0, &budget(0.2)).is_ok());
    }
}
