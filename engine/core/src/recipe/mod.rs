//! The recipe: what a station's TOML file says, before any plugin is asked.

pub mod toml;

use crate::error::{Error, Result};
use ::std::path::Path;
use assay_data::prepare::Background as PlaneRemoval;
use assay_data::{Sensor, SensorKind, Unit};
use assay_inference::{Device, Runtime};
use std::collections::HashSet;
use toml::{Node, Reader, Source, Value};

/// A station's recipe.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// File name, for messages.
    pub file: String,
    /// The text as written; it travels in the model.
    pub text: String,
    /// Number on the line's selector, if given.
    pub number: Option<i64>,
    /// Name, for people.
    pub name: String,
    /// Station, for results.
    pub station: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Inference runtime.
    pub runtime: Runtime,
    /// Inference device.
    pub device: Device,
    /// Folders with plugins, relative to the recipe's folder.
    pub plugin_path: Vec<String>,
    /// The scan's sensors.
    pub sensors: Vec<Sensor>,
    /// Preparation.
    pub prepare: Prepare,
    /// Steps, in the order of the file.
    pub steps: Vec<StepDecl>,
    /// The map.
    pub map: MapOptions,
    /// The verdict.
    pub decide: Decide,
}

/// What happens to what is not the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// It stays.
    Off,
    /// It is blanked before any step sees the scan.
    Input,
    /// Steps see it, but its features are neither learned nor scored.
    Features,
    /// It is learned and scored, and left out of the map.
    Map,
}

/// `[prepare]`: which pixels belong to the part.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepare {
    /// What happens to the background.
    pub background: Background,
    /// How far beyond the part's outline still counts as part, as a share of the scan's shorter side.
    pub margin: f64,
    /// Each training scan is learned at this many angles; 1 = as it is. For parts that lie at any angle.
    pub rotations: usize,
    /// The plane and the clustering.
    pub plane: PlaneRemoval,
}

/// `[map]`: from the fused grid to the anomaly map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapOptions {
    /// Sigma of the Gaussian, as a share of the scan's shorter side.
    pub sigma: f64,
}

/// The one number that a verdict follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The maximum of the anomaly map: what the picture shows decides.
    Map,
    /// The image score of the last step, as some papers define one of their own.
    Image,
}

/// What a fit does where the calibration scans are too few for the false-reject rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTooFew {
    /// It refuses, and says how many it takes.
    #[default]
    Error,
    /// It takes the best threshold that the scans can give, and records what that promises.
    Warn,
}

/// `[decide]`: thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decide {
    /// Largest share of good parts that may be rejected.
    pub false_reject_rate: f64,
    /// With which confidence the rate is to hold; `None`: on average over calibrations.
    pub confidence: Option<f64>,
    /// What happens where the calibration scans are too few for the rate.
    pub on_too_few: OnTooFew,
    /// A larger rate: parts between its threshold and that of `false_reject_rate` are for review.
    pub review: Option<f64>,
    /// What the verdict follows from.
    pub score: Statistic,
    /// Folds of the out-of-fold scores that set the scales.
    pub folds: usize,
}

/// One step as written.
#[derive(Debug, Clone, PartialEq)]
pub struct StepDecl {
    /// Its name.
    pub name: String,
    /// Line of its table.
    pub line: usize,
    /// Id of its method.
    pub method: String,
    /// Line of `method`.
    pub method_line: usize,
    /// Its inputs.
    pub from: From,
    /// Line of `from`.
    pub from_line: usize,
    /// Scores stay as the method made them.
    pub raw: bool,
    /// Every other key: parameters of the method.
    pub params: Vec<(String, Node)>,
}

/// How inputs are bound to ports.
#[derive(Debug, Clone, PartialEq)]
pub enum From {
    /// References bound to the ports in their order; several go to the first port that takes several.
    Ordered(Vec<String>),
    /// References by port name.
    Named(Vec<(String, Vec<String>)>),
}

impl From {
    /// All references.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        let (ordered, named): (&[String], &[(String, Vec<String>)]) = match self {
            Self::Ordered(v) => (v, &[]),
            Self::Named(v) => (&[], v),
        };
        ordered.iter().chain(named.iter().flat_map(|(_, v)| v)).map(String::as_str)
    }
}

impl Recipe {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// [`Error::Recipe`] with file, line and key; [`Error::Io`] where it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        const LIMIT: u64 = 1 << 20;
        let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        if size > LIMIT {
            return Err(Error::Request(format!(
                "{} has {size} bytes; a recipe has at most {LIMIT}",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses a recipe; `file` names it in messages.
    ///
    /// # Errors
    /// [`Error::Recipe`] with file, line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let source = Source { file, text };
        let mut top = Reader::new(source, "", source.parse()?)?;
        if let Some(node) = top.take("format")
            && node.value != Value::Int(1)
        {
            let message = "this program reads recipes of format 1; a newer one may be needed";
            return Err(source.error(node.line, "format", message));
        }
        let mut about = table(source, &mut top, "recipe")?;
        let (number, name) = (about.int("number", 0, i64::MAX)?, about.string("name")?.unwrap_or_default());
        about.finish()?;
        let station = top.string("station")?.unwrap_or_default();
        let seed = top.int("seed", 0, i64::MAX)?.unwrap_or(0) as u64;
        let mut engine = table(source, &mut top, "engine")?;
        let runtime = parsed(&mut engine, "runtime")?.unwrap_or(Runtime::Auto);
        let device = parsed(&mut engine, "device")?.unwrap_or(Device::Cpu);
        let plugin_path = engine.strings("plugin_path")?.unwrap_or_default();
        engine.finish()?;
        let sensors = sensors(source, &mut top)?;
        let prepare = prepare(source, &mut top, seed)?;
        let steps = steps(source, &mut top, &sensors)?;
        let mut map = table(source, &mut top, "map")?;
        // The papers blur with sigma 4 at 224 pixels.
        let map_options = MapOptions { sigma: map.number("sigma", 0.0, 0.25)?.unwrap_or(4.0 / 224.0) };
        map.finish()?;
        let mut decide = table(source, &mut top, "decide")?;
        let decide_options = Decide {
            false_reject_rate: decide.number("false_reject_rate", 1e-6, 0.5)?.unwrap_or(0.05),
            confidence: decide.number("confidence", 0.5, 0.999_999)?,
            on_too_few: match decide.choice("on_too_few", &["error", "warn"])? {
                Some(1) => OnTooFew::Warn,
                _ => OnTooFew::Error,
            },
            review: decide.number("review", 0.0, 0.9)?,
            score: match decide.choice("score", &["map", "image"])? {
                Some(1) => Statistic::Image,
                _ => Statistic::Map,
            },
            folds: decide.int("folds", 2, 20)?.unwrap_or(3) as usize,
        };
        decide.finish()?;
        top.finish()?;
        Ok(Self {
            file: file.into(),
            text: text.into(),
            number,
            name,
            station,
            seed,
            runtime,
            device,
            plugin_path,
            sensors,
            prepare,
            steps,
            map: map_options,
            decide: decide_options,
        })
    }

    /// Sets the seed of everything random, as if the recipe said so.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
        self.prepare.plane.seed = seed;
    }

    /// The recipe as a source, for errors found later.
    pub fn source(&self) -> Source<'_> {
        Source { file: &self.file, text: &self.text }
    }

    /// The xyz sensor that tells part from background, if there is one.
    pub fn height_sensor(&self) -> Option<&str> {
        self.sensors.iter().find(|s| s.kind == SensorKind::Xyz).map(|s| s.name.as_str())
    }
}

/// The table at `key`, or an empty one.
fn table<'a>(source: Source<'a>, top: &mut Reader<'a>, key: &'static str) -> Result<Reader<'a>> {
    let node = top.take(key).unwrap_or(Node { line: 1, value: Value::Table(Vec::new()) });
    Reader::new(source, key, node)
}

/// A string that parses as `T`.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    reader: &mut Reader<'_>,
    key: &'static str,
) -> Result<Option<T>> {
    let Some(node) = reader.take(key) else { return Ok(None) };
    let Value::String(text) = &node.value else {
        return Err(reader.error(node.line, key, format!("expected a string, found {}", node.value.kind())));
    };
    text.parse().map(Some).map_err(|e: T::Err| reader.error(node.line, key, e.to_string()))
}

fn name_is_fine(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn sensors(source: Source<'_>, top: &mut Reader<'_>) -> Result<Vec<Sensor>> {
    let Some(node) = top.take("sensors") else {
        return Err(source.error(
            1,
            "sensors",
            "a recipe names its sensors, for example `colour = \"rgb/{id}.png\"`",
        ));
    };
    let mut sensors = Vec::new();
    for (name, node) in Reader::new(source, "sensors", node)?.rest() {
        let (line, key) = (node.line, format!("sensors.{name}"));
        if !name_is_fine(&name) {
            return Err(source.error(line, key, "a sensor's name is made of letters, digits, _ and -"));
        }
        let table = match node.value {
            Value::String(_) => Value::Table(vec![("files".into(), node)]),
            other => other,
        };
        let mut r = Reader::new(source, &key, Node { line, value: table })?;
        let pattern = r
            .string("files")?
            .ok_or_else(|| r.error(line, "files", "is missing, for example \"rgb/{id}.png\""))?;
        let kind = parsed::<SensorKind>(&mut r, "kind")?.or_else(|| kind_of(&pattern)).ok_or_else(|| {
            r.error(
                line,
                "kind",
                format!(
                    "\"{pattern}\" does not say what it holds: give kind = \"rgb\", \"xyz\" or \"points\""
                ),
            )
        })?;
        let unit = parsed::<Unit>(&mut r, "unit")?.unwrap_or_default();
        r.finish()?;
        let sensor = Sensor { name, pattern, kind, unit };
        sensor.check().map_err(|e| source.error(line, key, e.to_string()))?;
        sensors.push(sensor);
    }
    if sensors.is_empty() {
        return Err(source.error(1, "sensors", "names no sensor"));
    }
    Ok(sensors)
}

/// What a file name says of its content.
fn kind_of(pattern: &str) -> Option<SensorKind> {
    let extension = pattern.rsplit('.').next()?.to_ascii_lowercase();
    match extension.as_str() {
        "png" | "jpg" | "jpeg" | "bmp" | "*" => Some(SensorKind::Rgb),
        "tif" | "tiff" => Some(SensorKind::Xyz),
        "ply" | "pcd" => Some(SensorKind::Points),
        _ => None,
    }
}

fn prepare<'a>(source: Source<'a>, top: &mut Reader<'a>, seed: u64) -> Result<Prepare> {
    let mut r = table(source, top, "prepare")?;
    let modes = [Background::Off, Background::Input, Background::Features, Background::Map];
    let mode = r.choice("background", &["off", "input", "features", "map"])?;
    let d = PlaneRemoval::default();
    let prepare = Prepare {
        background: mode.map_or(Background::Features, |i| modes[i]),
        margin: r.number("margin", 0.0, 1.0)?.unwrap_or(0.05),
        rotations: r.int("rotations", 1, 360)?.unwrap_or(1) as usize,
        plane: PlaneRemoval {
            border: r.int("border", 1, 1000)?.map_or(d.border, |v| v as usize),
            plane_distance: r.number("plane_distance", 1e-9, 1e6)?.unwrap_or(d.plane_distance),
            sample_points: r.int("plane_points", 3, 10_000)?.map_or(d.sample_points, |v| v as usize),
            iterations: r.int("plane_iterations", 1, 100_000)?.map_or(d.iterations, |v| v as usize),
            removal_distance: r.number("removal_distance", 0.0, 1e6)?.unwrap_or(d.removal_distance),
            link_distance: r.number("link_distance", 1e-9, 1e6)?.unwrap_or(d.link_distance),
            seed,
            ..d
        },
    };
    r.finish()?;
    Ok(prepare)
}

fn steps(source: Source<'_>, top: &mut Reader<'_>, sensors: &[Sensor]) -> Result<Vec<StepDecl>> {
    let Some(node) = top.take("steps") else {
        return Err(source.error(
            1,
            "steps",
            "a recipe has steps, for example `look = { method = \"onnx\", from = \"colour\" }`",
        ));
    };
    let mut steps: Vec<StepDecl> = Vec::new();
    let mut names: HashSet<String> = sensors.iter().map(|s| s.name.clone()).collect();
    for (name, node) in Reader::new(source, "steps", node)?.rest() {
        let (line, key) = (node.line, format!("steps.{name}"));
        if !name_is_fine(&name) {
            return Err(source.error(line, key, "a step's name is made of letters, digits, _ and -"));
        }
        if !names.insert(name.clone()) {
            return Err(source.error(line, key, "a sensor has this name already"));
        }
        let mut r = Reader::new(source, &key, node)?;
        let method_line = r.line_of("method").unwrap_or(line);
        let method = r
            .string("method")?
            .ok_or_else(|| r.error(line, "method", "is missing; `assay plugin list` shows them"))?;
        let Some(from) = r.take("from") else {
            return Err(r.error(line, "from", "is missing: name a sensor or an earlier step"));
        };
        let from_line = from.line;
        let raw = r.bool("raw")?.unwrap_or(false);
        let from = parse_from(source, &r.path_of("from"), from)?;
        steps.push(StepDecl { name, line, method, method_line, from, from_line, raw, params: r.rest() });
    }
    if steps.is_empty() {
        return Err(source.error(1, "steps", "names no step"));
    }
    Ok(steps)
}

fn parse_from(source: Source<'_>, key: &str, node: Node) -> Result<From> {
    let list = |node: &Node| -> Option<Vec<String>> {
        let one = |n: &Node| if let Value::String(s) = &n.value { Some(s.clone()) } else { None };
        match &node.value {
            Value::String(s) => Some(vec![s.clone()]),
            Value::List(items) => items.iter().map(one).collect(),
            _ => None,
        }
    };
    let bad = |line| {
        source.error(line, key, "expected a name, a list of names, or a table { port = \"step.output\" }")
    };
    if let Value::Table(entries) = &node.value {
        let named = entries.iter().map(|(port, n)| Ok((port.clone(), list(n).ok_or_else(|| bad(n.line))?)));
        return Ok(From::Named(named.collect::<Result<_>>()?));
    }
    list(&node).map(From::Ordered).ok_or_else(|| bad(node.line))
}
