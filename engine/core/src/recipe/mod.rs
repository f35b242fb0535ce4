//! The recipe: what a station's TOML file says, before any plugin is asked.

mod area;
mod domain;
mod key;
pub mod keys;
mod parse;
mod reader;
mod resolved;
pub mod schema;
#[cfg(test)]
mod tests;
pub mod toml;

pub use area::Area;
pub(crate) use area::union;
pub use resolved::resolved;

use crate::error::{Error, Result};
use crate::value::Content;
use assay_data::DataError;
use assay_data::decode::{self, Encoded};
use assay_data::prepare::Background as PlaneRemoval;
use assay_data::{Camera, Limits, Sensor};
use assay_inference::{Device, Runtime};
use std::path::Path;
use toml::{Node, Source};

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
    /// The largest files that are read.
    pub limits: Limits,
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
    /// As [`Features`](Self::Features), and its points count as not measured, within the margin, too.
    Points,
    /// It is learned and scored, and left out of the map.
    Map,
}

/// Whether clouds are brought into one pose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// They stay as they are.
    Off,
    /// Their middles are.
    Centre,
    /// Their middles and their principal axes are.
    Principal,
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
    /// How clouds are brought into one pose.
    pub align: Align,
    /// The areas that are inspected; empty = all of the view.
    pub inspect: Vec<Area>,
    /// The areas that are not.
    pub ignore: Vec<Area>,
    /// The plane and the clustering.
    pub plane: PlaneRemoval,
}

/// `[map]`: from the fused grid to the anomaly map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapOptions {
    /// Sigma of the Gaussian, as a share of the scan's shorter side.
    pub sigma: f64,
    /// What is smaller is no defect; 0 = everything counts.
    pub smallest: Smallest,
}

/// The smallest region that counts as a defect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smallest {
    /// Of the surface, mm^2.
    pub area: f64,
    /// Pixels of the scan.
    pub pixels: usize,
}

/// The one number that a verdict follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The maximum of the anomaly map: what the picture shows decides.
    Map,
    /// The image score of the last step, as some papers define one of their own.
    Image,
}

/// What happens where the calibration scans are too few for the false-reject rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTooFew {
    /// It is an error.
    #[default]
    Error,
    /// The best rate that they can hold is taken, with a warning.
    Warn,
}

/// `[decide]`: thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decide {
    /// Largest share of good parts that may be rejected, 1e-6 to 0.5.
    pub false_reject_rate: f64,
    /// The probability with which the rate is to hold, 0.5 to 0.999999; `None` = it holds on average.
    pub confidence: Option<f64>,
    /// What happens where the calibration scans are too few.
    pub on_too_few: OnTooFew,
    /// A greater rate, at most 0.9: parts between the two thresholds are for review.
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
    /// The SHA-256 of the library that the method must be from, in small hexadecimal digits, and its line.
    pub sha256: Option<(String, usize)>,
    /// Whether its plugin runs in a process of its own, where the recipe says.
    pub isolated: Option<bool>,
    /// Line of `isolation`.
    pub isolation_line: usize,
    /// The longest that such a process may take for a call, in seconds, and its line.
    pub time_limit: Option<(f64, usize)>,
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
        let folder = path.parent().unwrap_or(Path::new(""));
        let beside = parse::Files {
            camera: &|file, limits| Camera::read(&folder.join(file), limits),
            mask: &|file, limits| decode::mask(&Encoded::read(&folder.join(file), limits)?, limits),
        };
        parse::recipe(&path.display().to_string(), &text, &beside)
    }

    /// Parses a recipe that stands alone, as one in a model does: it names no calibration file and no mask. `file` names it in messages.
    ///
    /// # Errors
    /// [`Error::Recipe`] with file, line and key; [`Error::Request`] for a text of more than 4 MiB.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        // What a model holds is longer than what was written: every default stands in it.
        const LIMIT: usize = 4 << 20;
        if text.len() > LIMIT {
            return Err(Error::Request(format!(
                "{file} has {} bytes; a recipe has at most {LIMIT}",
                text.len()
            )));
        }
        let none = |what, file: &str, instead: &str| {
            let cause = format!("`{file}` is read beside a recipe's file only; here {instead} must stand");
            DataError::BadArgument { what, cause }
        };
        let nothing = parse::Files {
            camera: &|file, _| Err(none("camera", file, "the camera's numbers")),
            mask: &|file, _| Err(none("mask", file, "its polygon")),
        };
        parse::recipe(file, text, &nothing)
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

    /// The sensor with organised points that tells part from background, if there is one.
    pub fn height_sensor(&self) -> Option<&Sensor> {
        self.sensors.iter().find(|s| crate::graph::content_of(s) == Content::Xyz)
    }
}
