//! What a sensor's files hold, by a look into some of them, and what it may be called.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::naming::Files;
use crate::decode::{self, Encoded, Look, Stored};
use crate::register::same_view;
use crate::{Grid, Limits, Sensor, SensorKind, Unit};

/// Words in a name that mean ground truth.
const TRUTH: [&str; 8] = ["mask", "masks", "gt", "truth", "label", "labels", "annotation", "annotations"];

/// The least median of a 16-bit picture that is worth a look at its upper 8 bits.
const LEAST_GREY: f64 = 8192.0;

/// A sensor that was made out.
#[derive(Debug, Clone)]
pub struct Finding {
    /// As a recipe would have it. The unit is a guess.
    pub sensor: Sensor,
    /// `(rows, columns)` of the files that were looked at, each once; empty for a cloud.
    pub sizes: Vec<(usize, usize)>,
    /// How far the measurements reach in the files' own numbers: the larger side of organised points, the median of a depth.
    pub reach: Option<f64>,
    /// How many files it has.
    pub files: usize,
    /// The files that were looked at.
    pub samples: Vec<PathBuf>,
    /// Whether the files are 16-bit grey pictures.
    pub deep: bool,
}

/// A sensor that cannot be taken, and why.
pub(super) type LeftOut = (Finding, String);

/// All sensors, with those apart that cannot be taken.
pub(super) struct Looked {
    pub(super) sensors: Vec<Finding>,
    pub(super) left_out: Vec<LeftOut>,
}

/// Looks into some files of each sensor below `folder`.
pub(super) fn look(folder: &Path, found: Vec<Files>, samples: usize, limits: &Limits) -> Looked {
    let (mut sensors, mut left_out) = (Vec::new(), Vec::new());
    for files in found {
        let truth = words(&files.pattern).iter().any(|w| TRUTH.contains(&w.as_str()));
        match finding(folder, files, samples, limits) {
            (finding, None) if truth => left_out.push((finding, "it looks like ground truth".to_owned())),
            (finding, None) => sensors.push(finding),
            (finding, Some(why)) => left_out.push((finding, why)),
        }
    }
    let (takes, none): (Vec<_>, Vec<_>) = sensors
        .into_iter()
        .partition(|f| matches!(f.sensor.kind, SensorKind::Rgb | SensorKind::Gray | SensorKind::Xyz));
    let mut sensors = takes;
    for mut finding in none {
        // Better a coarse picture than nothing, if 8 bits show any of it.
        if sensors.is_empty() && finding.deep && finding.reach.is_some_and(|r| r >= LEAST_GREY) {
            finding.sensor.kind = SensorKind::Gray;
            sensors.push(finding);
            continue;
        }
        let why = match finding.sensor.kind {
            SensorKind::Points => {
                "no method takes unorganised points; export organised ones, a TIFF of three floats a pixel"
            }
            _ => "no method takes depth images; export organised points, a TIFF of x, y, z a pixel",
        };
        left_out.push((finding, why.to_owned()));
    }
    keep_one_view(&mut sensors, &mut left_out);
    name(sensors.iter_mut().chain(left_out.iter_mut().map(|(f, _)| f)).collect());
    Looked { sensors, left_out }
}

/// What some of the files hold; with a reason where that cannot be used.
fn finding(folder: &Path, files: Files, samples: usize, limits: &Limits) -> (Finding, Option<String>) {
    let n = files.files.len();
    let take = samples.min(n);
    let samples: Vec<PathBuf> = (0..take).map(|k| folder.join(&files.files[k * n / take].1)).collect();
    let sensor = Sensor::new("", files.pattern, SensorKind::Rgb);
    let mut finding =
        Finding { sensor, sizes: Vec::new(), reach: None, files: n, samples: Vec::new(), deep: false };
    let mut kinds = BTreeSet::new();
    let mut broken = None;
    for path in samples {
        let look = Encoded::read(&path, limits).and_then(|file| decode::look(&file, limits));
        match look.map_err(|e| e.to_string()).and_then(|l| kind_of(&path, l)) {
            Ok((kind, size, deep)) => {
                finding.sensor.kind = kind;
                finding.deep |= deep;
                kinds.insert(kind.to_string());
                finding.sizes.extend(size.filter(|s| !finding.sizes.contains(s)));
                finding.samples.push(path);
            }
            Err(e) => broken = Some(e),
        }
    }
    // Colour and grey pictures side by side are read as colour.
    if kinds.len() > 1 && kinds.iter().all(|k| k == "rgb" || k == "gray") {
        finding.sensor.kind = SensorKind::Rgb;
    } else if kinds.len() > 1 {
        let kinds: Vec<String> = kinds.into_iter().collect();
        return (finding, Some(format!("its files hold different things: {}", kinds.join(", "))));
    }
    if finding.samples.is_empty() {
        let why = broken.unwrap_or_else(|| "it has no file".into());
        return (finding, Some(why));
    }
    measure(&mut finding, limits);
    (finding, None)
}

type Held = (SensorKind, Option<(usize, usize)>, bool);

/// The kind of sensor that writes such a file; a reason where none does that is read.
fn kind_of(path: &Path, look: Look) -> Result<Held, String> {
    match look {
        Look::Picture { size, colour: true, .. } => Ok((SensorKind::Rgb, Some(size), false)),
        Look::Picture { size, bits: 8, .. } => Ok((SensorKind::Gray, Some(size), false)),
        Look::Picture { size, .. } => Ok((SensorKind::Depth, Some(size), true)),
        Look::Raster { size, channels: 3, float: true, .. } => Ok((SensorKind::Xyz, Some(size), false)),
        Look::Raster { size, channels: 1, float, bits } if float || bits > 8 => {
            Ok((SensorKind::Depth, Some(size), false))
        }
        Look::Cloud { size: Some(size), .. } => Ok((SensorKind::Xyz, Some(size), false)),
        Look::Cloud { .. } => Ok((SensorKind::Points, None, false)),
        Look::Raster { channels, float, bits, .. } => {
            let what = if float { "floats" } else { "whole numbers" };
            Err(format!(
                "{} holds {channels} x {bits}-bit {what} a pixel; pictures have 8 or 16 bits, points are a \
                 TIFF of three floats a pixel: convert it",
                path.display()
            ))
        }
    }
}

/// How far the measurements of a sensor reach, and the unit that this suggests.
fn measure(finding: &mut Finding, limits: &Limits) {
    let stored = &Stored::default();
    let mut files = finding.samples.iter().filter_map(|path| Encoded::read(path, limits).ok());
    let reach = match finding.sensor.kind {
        SensorKind::Xyz => files.find_map(|file| side(&decode::xyz(&file, stored, limits).ok()?)),
        SensorKind::Depth => files.find_map(|file| {
            let values = sorted(&decode::depth(&file, stored, limits).ok()?, 0)?;
            Some(f64::from(values[values.len() / 2]))
        }),
        _ => None,
    };
    finding.reach = reach;
    // A part in view of a sensor is a few centimetres to a few metres wide.
    finding.sensor.unit = match reach {
        Some(r) if r >= 5000.0 => Unit::Um,
        Some(r) if r >= 5.0 => Unit::Mm,
        _ => Unit::M,
    };
}

/// The larger of the spans in x and y, without the outermost twentieth at either end.
fn side(grid: &Grid) -> Option<f64> {
    let span = |channel| {
        let values = sorted(grid, channel)?;
        let at = |share: f64| f64::from(values[((values.len() - 1) as f64 * share) as usize]);
        Some(at(0.95) - at(0.05))
    };
    Some(span(0)?.max(span(1)?))
}

/// The valid values of a channel in order; `None` without any.
fn sorted(grid: &Grid, channel: usize) -> Option<Vec<f32>> {
    let plane = grid.values.index_axis(ndarray::Axis(0), channel);
    let valid = plane.indexed_iter().filter(|((i, j), _)| grid.is_valid(*i, *j));
    let mut values: Vec<f32> = valid.map(|(_, &v)| v).collect();
    values.sort_by(f32::total_cmp);
    (!values.is_empty()).then_some(values)
}

/// All sensors of a scan share a view: the one that most have stays, among equals that with points.
fn keep_one_view(sensors: &mut Vec<Finding>, left_out: &mut Vec<LeftOut>) {
    let one_view = |a: &[(usize, usize)], b: &[(usize, usize)]| {
        a == b || a.iter().all(|&a| b.iter().all(|&b| same_view(a, b)))
    };
    let rank = |sizes: &[(usize, usize)]| {
        let alike = sensors.iter().filter(|f| one_view(&f.sizes, sizes));
        (alike.clone().count(), alike.clone().any(|f| f.sensor.kind == SensorKind::Xyz))
    };
    let Some(best) = sensors.iter().rev().max_by_key(|f| rank(&f.sizes)).map(|f| f.sizes.clone()) else {
        return;
    };
    for k in (0..sensors.len()).rev() {
        if !one_view(&sensors[k].sizes, &best) {
            let text = |sizes: &[(usize, usize)]| {
                sizes.iter().map(|(r, c)| format!("{r} x {c}")).collect::<Vec<_>>().join(", ")
            };
            let (own, others) = (text(&sensors[k].sizes), text(&best));
            let why = format!(
                "its files are {own}, those of the other sensors {others} (rows x columns), which is another view; \
                 with the cameras of both (`camera`, `pose`) it can be related"
            );
            left_out.push((sensors.remove(k), why));
        }
    }
}

/// Names sensors: after their kind where they are alone of it, else after what tells their files apart.
fn name(mut findings: Vec<&mut Finding>) {
    let kinds: Vec<SensorKind> = findings.iter().map(|f| f.sensor.kind).collect();
    let texts: Vec<Vec<String>> = findings.iter().map(|f| words(&f.sensor.pattern)).collect();
    let mut taken = BTreeSet::new();
    for (k, finding) in findings.iter_mut().enumerate() {
        let alike: Vec<usize> = (0..kinds.len()).filter(|&i| kinds[i] == kinds[k]).collect();
        let kind = match kinds[k] {
            SensorKind::Rgb => "colour",
            SensorKind::Gray => "grey",
            SensorKind::Xyz => "height",
            SensorKind::Depth => "depth",
            SensorKind::Points => "cloud",
        };
        let own = |w: &&String| alike.len() > 1 && !alike.iter().all(|&i| texts[i].contains(w));
        let own: Vec<&str> = texts[k].iter().filter(own).map(String::as_str).collect();
        let mut name = own.join("_");
        name.retain(|c| c.is_ascii_alphanumeric() || c == '_');
        name.truncate(40);
        match name.bytes().next() {
            None => name = kind.to_owned(),
            Some(first) if first.is_ascii_digit() => name = format!("{kind}_{name}"),
            // Words that the recipe's steps go by.
            _ if STEPS.contains(&name.as_str()) => name += "_image",
            _ => {}
        }
        let wanted = name.clone();
        let mut number = 2..;
        while !taken.insert(name.clone()) {
            name = format!("{wanted}_{}", number.next().unwrap_or(0));
        }
        finding.sensor.name = name;
    }
}

/// Names of steps in the recipes that are written for a survey.
const STEPS: [&str; 5] = ["look", "normals", "relief", "appearance", "geometry"];

/// The words of a pattern, in lower case, without its extension and its id.
fn words(pattern: &str) -> Vec<String> {
    let stem = pattern.rsplit_once('.').map_or(pattern, |(stem, _)| stem);
    let parts = stem.split("{id}").flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}
