//! The recipe resolved against the plugins: steps in an order in which they can run, inputs bound to ports, parameters checked.

use crate::error::{Error, Result, nearest};
use crate::plugin::{Isolation, Method, MethodInfo, ParamInfo, ParamKind, ParamValue, Registry};
use crate::quantise::Quantisation;
use crate::recipe::toml::{Node, Value as Toml};
use crate::recipe::{From, Recipe, StepDecl};
use crate::steps::{onnx, onnx_map};
use crate::value::Content;
use assay_data::{Sensor, SensorKind};
use assay_inference::{DEFAULT_BACKBONE, Engine};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A sensor, by its place in the recipe.
    Sensor(usize),
    /// An output of a step, by places.
    Output(usize, usize),
}

/// What does the work of a step.
#[derive(Debug, Clone)]
pub enum Worker {
    /// Built in: taps of an ONNX network.
    Onnx(onnx::Network),
    /// Built in: an ONNX network from image to score map.
    OnnxMap(onnx::Network),
    /// A plugin's method.
    Plugin(Method),
}

/// One resolved step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its method's descriptor.
    pub info: Arc<MethodInfo>,
    /// What does its work.
    pub worker: Worker,
    /// A value for each declared parameter.
    pub params: Vec<ParamValue>,
    /// Inputs with their ports, ordered by port.
    pub inputs: Vec<(usize, Source)>,
    /// Outputs: name and content.
    pub outputs: Vec<(String, Content)>,
    /// Scores stay as the method made them.
    pub raw: bool,
    /// The library's SHA-256, where the recipe pins it.
    pub sha256: Option<String>,
    /// Where its plugin runs.
    pub isolation: Isolation,
    /// Line in the recipe, for messages; 0 for the implied sum.
    pub line: usize,
}

impl Step {
    /// Whether it makes scores from something else than scores.
    pub fn is_detector(&self) -> bool {
        self.info.role() == "detector"
    }

    /// Whether it makes scores from scores.
    pub fn is_fuser(&self) -> bool {
        self.info.role() == "fuser"
    }
}

/// The resolved recipe.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Steps; each only needs earlier ones.
    pub steps: Vec<Step>,
    /// The scores that become the map: `(step, output)`.
    pub last: (usize, usize),
    /// The recipe's folder, which files that parameters name are relative to.
    pub folder: PathBuf,
}

/// Ids of the methods that the engine has itself.
pub const BUILTIN: [&str; 2] = [onnx::ID, onnx_map::ID];

/// Descriptors of the methods that the engine has itself.
pub fn builtin_methods() -> Vec<MethodInfo> {
    vec![onnx::info(), onnx_map::info()]
}

/// The network of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFile {
    /// The ONNX file.
    pub bytes: Arc<[u8]>,
    /// What a fit found out about int8; `None` of a file as the recipe names it.
    pub quantisation: Option<Quantisation>,
}

impl std::convert::From<Vec<u8>> for NetworkFile {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), quantisation: None }
    }
}

/// The network of a step (its name, and the file that the recipe names; empty = the built-in one): from disk, or out of a model.
pub type OnnxFiles<'a> = &'a dyn Fn(&str, &str) -> Result<NetworkFile>;

/// Reads ONNX files relative to the folder of `recipe`.
pub fn onnx_beside(recipe: &Path) -> impl Fn(&str, &str) -> Result<NetworkFile> + use<> {
    let folder = recipe.parent().map(Path::to_path_buf).unwrap_or_default();
    move |_, name| {
        if name.is_empty() {
            Ok(DEFAULT_BACKBONE.to_vec().into())
        } else {
            read_network(&folder.join(name)).map(Into::into)
        }
    }
}

/// Reads an ONNX file of bounded size.
pub(crate) fn read_network(path: &Path) -> Result<Vec<u8>> {
    const LIMIT: u64 = 4 << 30;
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if size > LIMIT {
        return Err(Error::Request(format!("{} has {size} bytes, more than {LIMIT}", path.display())));
    }
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

impl Graph {
    /// Whether any step takes what step `at` gives.
    pub(crate) fn is_taken(&self, at: usize) -> bool {
        let mut sources = self.steps.iter().flat_map(|step| &step.inputs);
        sources.any(|(_, source)| matches!(source, Source::Output(step, _) if *step == at))
    }

    /// Resolves a recipe: every method, port and parameter is checked against the plugins.
    ///
    /// # Errors
    /// [`Error::Recipe`] with the line; an ONNX file that cannot be read or loaded.
    pub fn resolve(
        recipe: &Recipe,
        registry: &Registry,
        engine: &Engine,
        files: OnnxFiles<'_>,
    ) -> Result<Self> {
        let folder = Path::new(&recipe.file).parent().unwrap_or(Path::new("")).to_path_buf();
        let mut graph = Self { steps: Vec::new(), last: (0, 0), folder };
        let mut done: HashMap<&str, usize> = HashMap::new();
        for decl in in_order(recipe)? {
            let step = resolve_step(recipe, decl, registry, engine, files, &graph, &done)?;
            done.insert(&decl.name, graph.steps.len());
            graph.steps.push(step);
        }
        graph.finish(recipe, registry)?;
        Ok(graph)
    }

    /// Adds the implied sum of the scores that no step consumes.
    fn finish(&mut self, recipe: &Recipe, registry: &Registry) -> Result<()> {
        let consumed: Vec<Source> =
            self.steps.iter().flat_map(|s| s.inputs.iter().map(|(_, s)| *s)).collect();
        let open: Vec<(usize, usize)> = self
            .outputs()
            .filter(|&(at, _, content)| {
                content == Content::Scores && !consumed.contains(&Source::Output(at.0, at.1))
            })
            .map(|(at, ..)| at)
            .collect();
        let source = recipe.source();
        match open.as_slice() {
            [] => Err(source.error(
                1,
                "steps",
                "no step makes scores: add a detector, for example method = \"patchcore\"",
            )),
            [one] => {
                self.last = *one;
                Ok(())
            }
            several => {
                let method = registry.get("sum").ok_or_else(|| {
                    let why = registry.why_missing("sum", &BUILTIN);
                    source.error(
                        1,
                        "steps",
                        format!("several scores are left over and fused by `sum`, but {why}"),
                    )
                })?;
                let mut name = "fused".to_owned();
                while self.steps.iter().any(|s| s.name == name)
                    || recipe.sensors.iter().any(|s| s.name == name)
                {
                    name.push('_');
                }
                self.steps.push(Step {
                    name,
                    info: method.info.clone(),
                    worker: Worker::Plugin(method.clone()),
                    params: method.info.params.iter().map(|p| p.default.clone()).collect(),
                    inputs: several.iter().map(|&(s, o)| (0, Source::Output(s, o))).collect(),
                    outputs: method.info.outputs.iter().map(|o| (o.name.clone(), o.content[0])).collect(),
                    raw: true,
                    sha256: None,
                    isolation: Isolation::None,
                    line: 0,
                });
                self.last = (self.steps.len() - 1, 0);
                Ok(())
            }
        }
    }

    /// Lets each network run on its share of `threads`, for scans that come one at a time. (While fitting, scans run side by
    /// side on one thread each.)
    ///
    /// # Errors
    /// What the runtime says.
    pub fn share_threads(&mut self, engine: &Engine, threads: usize) -> Result<()> {
        let mut networks: Vec<&mut onnx::Network> = self
            .steps
            .iter_mut()
            .filter_map(|s| match &mut s.worker {
                Worker::Onnx(network) | Worker::OnnxMap(network) => Some(network),
                Worker::Plugin(_) => None,
            })
            .collect();
        let share = (threads / networks.len().max(1)).max(1);
        networks.iter_mut().try_for_each(|n| n.use_threads(engine, share))
    }

    /// All outputs: place, name and content.
    pub fn outputs(&self) -> impl Iterator<Item = ((usize, usize), String, Content)> {
        self.steps.iter().enumerate().flat_map(|(s, step)| {
            step.outputs
                .iter()
                .enumerate()
                .map(move |(o, (name, content))| ((s, o), format!("{}.{name}", step.name), *content))
        })
    }

    /// `step` or `step.output` of an output, as people refer to it.
    pub fn output_name(&self, (step, output): (usize, usize)) -> String {
        let s = &self.steps[step];
        if s.outputs.len() == 1 { s.name.clone() } else { format!("{}.{}", s.name, s.outputs[output].0) }
    }
}

/// The name of the sensor or step that a reference begins with.
fn step_of(reference: &str) -> &str {
    reference.split('.').next().unwrap_or_default()
}

/// The declared steps in an order in which each needs only earlier ones; among those that are ready, the file's order.
fn in_order(recipe: &Recipe) -> Result<Vec<&StepDecl>> {
    let source = recipe.source();
    let sensors: HashSet<&str> = recipe.sensors.iter().map(|s| s.name.as_str()).collect();
    let steps: HashSet<&str> = recipe.steps.iter().map(|s| s.name.as_str()).collect();
    for decl in &recipe.steps {
        for reference in decl.from.references() {
            let name = step_of(reference);
            if !sensors.contains(name) && !steps.contains(name) {
                let known = recipe
                    .sensors
                    .iter()
                    .map(|s| s.name.as_str())
                    .chain(recipe.steps.iter().map(|s| s.name.as_str()));
                let hint = nearest(name, known);
                let key = format!("steps.{}.from", decl.name);
                return Err(source.error(
                    decl.from_line,
                    key,
                    format!("there is no sensor or step `{name}`{hint}"),
                ));
            }
        }
    }
    let needs: Vec<HashSet<&str>> = recipe
        .steps
        .iter()
        .map(|d| d.from.references().map(step_of).filter(|name| !sensors.contains(name)).collect())
        .collect();
    let mut order: Vec<&StepDecl> = Vec::new();
    let mut done: HashSet<&str> = HashSet::new();
    let mut left: Vec<(&StepDecl, &HashSet<&str>)> = recipe.steps.iter().zip(&needs).collect();
    while !left.is_empty() {
        let Some(at) = left.iter().position(|(_, needs)| needs.is_subset(&done)) else {
            // What only hangs on the cycle is not part of it.
            while let Some(leaf) =
                left.iter().position(|(s, _)| !left.iter().any(|(_, needs)| needs.contains(s.name.as_str())))
            {
                left.remove(leaf);
            }
            let names: Vec<&str> = left.iter().map(|(d, _)| d.name.as_str()).collect();
            let first = left[0].0;
            let key = format!("steps.{}.from", first.name);
            return Err(source.error(first.from_line, key, format!("{} form a cycle", names.join(", "))));
        };
        let (next, _) = left.remove(at);
        done.insert(&next.name);
        order.push(next);
    }
    Ok(order)
}

fn resolve_step(
    recipe: &Recipe,
    decl: &StepDecl,
    registry: &Registry,
    engine: &Engine,
    files: OnnxFiles<'_>,
    graph: &Graph,
    done: &HashMap<&str, usize>,
) -> Result<Step> {
    let source = recipe.source();
    let plugin = registry.get(&decl.method);
    let info = match (decl.method.as_str(), plugin) {
        (onnx::ID, _) => Arc::new(onnx::info()),
        (onnx_map::ID, _) => Arc::new(onnx_map::info()),
        (_, Some(method)) => method.info.clone(),
        (id, None) => {
            let key = format!("steps.{}.method", decl.name);
            return Err(source.error(decl.method_line, key, registry.why_missing(id, &BUILTIN)));
        }
    };
    pinned(recipe, decl, plugin)?;
    let params = params(recipe, decl, &info)?;
    let worker = match (decl.method.as_str(), plugin) {
        (onnx::ID, _) => Worker::Onnx(onnx::Network::open(recipe, decl, &info, &params, engine, files)?),
        (onnx_map::ID, _) => {
            Worker::OnnxMap(onnx::Network::open(recipe, decl, &info, &params, engine, files)?)
        }
        (_, Some(method)) => Worker::Plugin(method.clone()),
        (_, None) => return Err(source.error(decl.line, &decl.name, "has no method")),
    };
    let outputs = match &worker {
        Worker::Onnx(network) => network.taps.iter().map(|t| (t.clone(), Content::Features)).collect(),
        _ => info.outputs.iter().map(|o| (o.name.clone(), o.content[0])).collect(),
    };
    let inputs = bind(recipe, decl, &info, graph, done)?;
    Ok(Step {
        name: decl.name.clone(),
        info,
        worker,
        params,
        inputs,
        outputs,
        raw: decl.raw,
        sha256: decl.sha256.as_ref().map(|(sum, _)| sum.clone()),
        isolation: isolation(recipe, decl, plugin)?,
        line: decl.line,
    })
}

/// Where a step's plugin runs.
fn isolation(recipe: &Recipe, decl: &StepDecl, plugin: Option<&Method>) -> Result<Isolation> {
    const PATIENCE: f64 = 60.0;
    let fail = |line: usize, key: &str, message: &str| {
        Err(recipe.source().error(line, format!("steps.{}.{key}", decl.name), message))
    };
    match (decl.isolated.unwrap_or(false), plugin, decl.time_limit) {
        (true, None, _) => fail(
            decl.isolation_line,
            "isolation",
            "a built-in method is a part of the program; leave this out",
        ),
        (true, Some(_), limit) => {
            let seconds = limit.map_or(PATIENCE, |(seconds, _)| seconds);
            Ok(Isolation::Process { patience: Duration::from_secs_f64(seconds) })
        }
        (false, _, Some((_, line))) => {
            fail(line, "time_limit", "is for a plugin in a process of its own: add isolation = \"process\"")
        }
        (false, _, None) => Ok(Isolation::None),
    }
}

/// Refuses a method from another library than the one that the recipe pins.
fn pinned(recipe: &Recipe, decl: &StepDecl, plugin: Option<&Method>) -> Result<()> {
    let Some((expected, line)) = &decl.sha256 else { return Ok(()) };
    let fail = |message: String| {
        Err(recipe.source().error(*line, format!("steps.{}.plugin_sha256", decl.name), message))
    };
    if expected.len() != 64 || !expected.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return fail(
            "is not a SHA-256: 64 digits 0 to 9 and a to f, as `assay plugin info` shows them".into(),
        );
    }
    match plugin {
        Some(method) if method.library.sha256 == *expected => Ok(()),
        Some(method) => fail(format!(
            "`{}` comes from {}, whose SHA-256 is {}: another library than the recipe asks for. Install that one, or look at this one \
             and pin it",
            decl.method,
            method.library.path.display(),
            method.library.sha256
        )),
        None => fail(format!("`{}` is built in and comes from no library: leave the key out", decl.method)),
    }
}

/// The parameters of a step: defaults, overridden by the recipe's keys, each checked.
fn params(recipe: &Recipe, decl: &StepDecl, info: &MethodInfo) -> Result<Vec<ParamValue>> {
    let source = recipe.source();
    let mut values: Vec<ParamValue> = info.params.iter().map(|p| p.default.clone()).collect();
    for (key, node) in &decl.params {
        let fail = |message: String| source.error(node.line, format!("steps.{}.{key}", decl.name), message);
        let Some(at) = info.params.iter().position(|p| p.name == *key) else {
            let known: Vec<&str> = info
                .params
                .iter()
                .map(|p| p.name.as_str())
                .chain(["method", "from", "raw", "plugin_sha256", "isolation", "time_limit"])
                .collect();
            let hint = nearest(key, known.iter().copied());
            return Err(fail(format!(
                "`{}` has no such parameter{hint} Known: {}",
                info.id,
                known.join(", ")
            )));
        };
        values[at] = param_value(&info.params[at], node).map_err(fail)?;
    }
    Ok(values)
}

/// Parameters as an instance gets them: files, whose unit is `path`, relative to the working directory instead of to `folder`.
pub(crate) fn with_paths(info: &MethodInfo, params: &[ParamValue], folder: &Path) -> Vec<ParamValue> {
    let mut params = params.to_vec();
    for (info, value) in info.params.iter().zip(&mut params) {
        if let ParamValue::String(file) = value
            && info.unit == "path"
            && !file.is_empty()
        {
            *file = folder.join(&*file).to_string_lossy().into_owned();
        }
    }
    params
}

/// A TOML value as the parameter wants it: integers pass as numbers, one value as a list of one.
fn param_value(info: &ParamInfo, node: &Node) -> std::result::Result<ParamValue, String> {
    let wrong = || format!("expected {}, found {}", info.kind.name(), node.value.kind());
    let single = [node.clone()];
    let items = || if let Toml::List(items) = &node.value { items.as_slice() } else { &single };
    let int = |n: &Node| if let Toml::Int(i) = n.value { Some(i) } else { None };
    let float = |n: &Node| match n.value {
        Toml::Int(i) => Some(i as f64),
        Toml::Float(f) => Some(f),
        _ => None,
    };
    let string = |n: &Node| if let Toml::String(s) = &n.value { Some(s.clone()) } else { None };
    let value = match info.kind {
        ParamKind::Bool => {
            if let Toml::Bool(b) = node.value {
                Some(ParamValue::Bool(b))
            } else {
                None
            }
        }
        ParamKind::Int => int(node).map(ParamValue::Int),
        ParamKind::Float => float(node).map(ParamValue::Float),
        ParamKind::String => string(node).map(ParamValue::String),
        ParamKind::IntList => items().iter().map(int).collect::<Option<_>>().map(ParamValue::IntList),
        ParamKind::FloatList => items().iter().map(float).collect::<Option<_>>().map(ParamValue::FloatList),
        ParamKind::StringList => {
            items().iter().map(string).collect::<Option<_>>().map(ParamValue::StringList)
        }
    }
    .ok_or_else(wrong)?;
    // A default may stand for what no range or choice holds, such as "no limit".
    if value == info.default {
        return Ok(value);
    }
    let number = |v: f64| match (info.min, info.max) {
        _ if !v.is_finite() => Err(format!("{v} is not a finite number")),
        (Some(min), _) if v < min => Err(format!("{v} is less than {min}")),
        (_, Some(max)) if v > max => Err(format!("{v} is greater than {max}")),
        _ => Ok(()),
    };
    let choice = |s: &String| {
        if info.choices.is_empty() || info.choices.contains(s) {
            return Ok(());
        }
        let hint = nearest(s, info.choices.iter().map(String::as_str));
        Err(format!("\"{s}\" is none of {}{hint}", info.choices.join(", ")))
    };
    match &value {
        ParamValue::Bool(_) => {}
        ParamValue::Int(v) => number(*v as f64)?,
        ParamValue::Float(v) => number(*v)?,
        ParamValue::String(v) => choice(v)?,
        ParamValue::IntList(v) => v.iter().try_for_each(|v| number(*v as f64))?,
        ParamValue::FloatList(v) => v.iter().try_for_each(|v| number(*v))?,
        ParamValue::StringList(v) => v.iter().try_for_each(choice)?,
    }
    Ok(value)
}

/// Binds references to ports and checks contents and counts.
fn bind(
    recipe: &Recipe,
    decl: &StepDecl,
    info: &MethodInfo,
    graph: &Graph,
    done: &HashMap<&str, usize>,
) -> Result<Vec<(usize, Source)>> {
    let source = recipe.source();
    let fail = |message: String| source.error(decl.from_line, format!("steps.{}.from", decl.name), message);
    let find = |reference: &str| find(recipe, graph, done, reference).map_err(fail);
    let mut bound: Vec<(usize, Source)> = Vec::new();
    match &decl.from {
        From::Named(named) => {
            for (port, references) in named {
                let at = info.inputs.iter().position(|p| p.name == *port).ok_or_else(|| {
                    let known: Vec<&str> = info.inputs.iter().map(|p| p.name.as_str()).collect();
                    fail(format!("`{}` has no input `{port}`{}", info.id, nearest(port, known)))
                })?;
                for reference in references {
                    bound.extend(find(reference)?.into_iter().map(|s| (at, s)));
                }
            }
        }
        From::Ordered(references) => {
            // In descriptor order: each port takes one reference, and the first that can takes what is left over.
            let ports = &info.inputs;
            let spare = references.len().saturating_sub(ports.len());
            let greedy = ports.iter().position(|p| p.max_count != Some(1));
            let mut rest = references.iter();
            for (at, _) in ports.iter().enumerate() {
                let n = if Some(at) == greedy { 1 + spare } else { 1 };
                for reference in rest.by_ref().take(n) {
                    bound.extend(find(reference)?.into_iter().map(|s| (at, s)));
                }
            }
            if rest.next().is_some() {
                return Err(fail(format!(
                    "`{}` takes {} inputs, {} are given",
                    info.id,
                    ports.len(),
                    references.len()
                )));
            }
        }
    }
    bound.sort_by_key(|(port, _)| *port);
    for (at, port) in info.inputs.iter().enumerate() {
        let n = bound.iter().filter(|(p, _)| *p == at).count();
        if n < port.min_count || port.max_count.is_some_and(|max| n > max) {
            let most = port.max_count.map_or_else(|| "any number".into(), |m| m.to_string());
            return Err(fail(format!(
                "input `{}` of `{}` takes {} to {most} values, {n} are bound; name one output, as in `step.output`",
                port.name, info.id, port.min_count
            )));
        }
        for (_, s) in bound.iter().filter(|(p, _)| *p == at) {
            let (name, content) = match s {
                Source::Sensor(i) => (recipe.sensors[*i].name.clone(), content_of(&recipe.sensors[*i])),
                Source::Output(step, output) => {
                    (graph.output_name((*step, *output)), graph.steps[*step].outputs[*output].1)
                }
            };
            if !port.content.contains(&content) {
                let accepted: Vec<&str> = port.content.iter().map(|c| c.name()).collect();
                return Err(fail(format!(
                    "`{name}` is {}, input `{}` of `{}` takes {}",
                    content.name(),
                    port.name,
                    info.id,
                    accepted.join(" or ")
                )));
            }
        }
    }
    Ok(bound)
}

/// What a reference stands for: a sensor, one output, or all outputs of a step.
fn find(
    recipe: &Recipe,
    graph: &Graph,
    done: &HashMap<&str, usize>,
    reference: &str,
) -> std::result::Result<Vec<Source>, String> {
    let (name, output) = reference.split_once('.').map_or((reference, None), |(n, o)| (n, Some(o)));
    if let Some(i) = recipe.sensors.iter().position(|s| s.name == name) {
        return match output {
            None => Ok(vec![Source::Sensor(i)]),
            Some(o) => Err(format!("`{name}` is a sensor and has no output `{o}`")),
        };
    }
    let step = *done.get(name).ok_or_else(|| format!("there is no sensor or step `{name}`"))?;
    let outputs = &graph.steps[step].outputs;
    match output {
        None => Ok((0..outputs.len()).map(|o| Source::Output(step, o)).collect()),
        Some(o) => match outputs.iter().position(|(n, _)| n == o) {
            Some(at) => Ok(vec![Source::Output(step, at)]),
            None => {
                let known: Vec<&str> = outputs.iter().map(|(n, _)| n.as_str()).collect();
                Err(format!(
                    "`{name}` has no output `{o}`{} Known: {}",
                    nearest(o, known.iter().copied()),
                    known.join(", ")
                ))
            }
        },
    }
}

/// What steps get from a sensor: a depth image whose camera is known becomes points.
pub fn content_of(sensor: &Sensor) -> Content {
    match sensor.kind {
        SensorKind::Rgb => Content::Rgb,
        SensorKind::Gray => Content::Gray,
        SensorKind::Xyz => Content::Xyz,
        SensorKind::Depth if sensor.camera.is_some() => Content::Xyz,
        SensorKind::Depth => Content::Depth,
        SensorKind::Points => Content::Points,
    }
}
