//! From a recipe's text to a [`Recipe`].

use super::area::{Area, Areas, Written};
use super::key::AnyKey as _;
use super::reader::Reader;
use super::toml::{Node, Source};
use super::{Decide, MapOptions, Prepare, Recipe, Smallest, StepDecl, keys};
use crate::error::Result;
use crate::value::Content;
use assay_data::prepare::Background as Plane;
use assay_data::{Camera, DataError, Lens, Limits, Mask, Pose, Sensor, SensorKind};
use std::collections::HashSet;

/// Sensors of a recipe, and its steps, at most: far more than a station has, and few enough that their graph stays quick.
const MOST: usize = 256;

/// Reads a file that a recipe names.
type Read<'a, T> = &'a dyn Fn(&str, &Limits) -> std::result::Result<T, DataError>;

/// The files that a recipe may name.
pub(super) struct Files<'a> {
    /// The camera of a calibration file.
    pub(super) camera: Read<'a, Camera>,
    /// A mask.
    pub(super) mask: Read<'a, Mask>,
}

pub(super) fn recipe(file: &str, text: &str, files: &Files<'_>) -> Result<Recipe> {
    let source = Source { file, text };
    let mut top = Reader::new(source, "", "", source.parse()?)?;
    top.get(&keys::FORMAT)?;
    let mut about = top.section(&keys::RECIPE)?;
    let (number, name) = (about.get(&keys::RECIPE_NUMBER)?, about.get(&keys::RECIPE_NAME)?);
    about.finish()?;
    let station = top.get(&keys::STATION)?;
    let seed = top.get(&keys::SEED)? as u64;
    let mut engine = top.section(&keys::ENGINE)?;
    let runtime = engine.get(&keys::ENGINE_RUNTIME)?;
    let device = engine.get(&keys::ENGINE_DEVICE)?;
    let plugin_path = engine.get(&keys::ENGINE_PLUGIN_PATH)?;
    engine.finish()?;
    let mut limits_table = top.section(&keys::LIMITS)?;
    let limits = Limits {
        max_pixels: limits_table.get(&keys::LIMITS_PIXELS)? as u64,
        max_points: limits_table.get(&keys::LIMITS_POINTS)? as u64,
        max_file_bytes: limits_table.get(&keys::LIMITS_FILE_BYTES)? as u64,
    };
    limits_table.finish()?;
    let sensors = sensors(source, &mut top, &|file| (files.camera)(file, &limits))?;
    let prepare = prepare(top.section(&keys::PREPARE)?, seed, &|file| (files.mask)(file, &limits))?;
    let steps = steps(source, &mut top, &sensors)?;
    let mut map_table = top.section(&keys::MAP)?;
    let area_line = map_table.line_of(&keys::MAP_SMALLEST_AREA);
    let map = MapOptions {
        sigma: map_table.get(&keys::MAP_SIGMA)?,
        smallest: Smallest {
            area: map_table.get(&keys::MAP_SMALLEST_AREA)?,
            pixels: map_table.get(&keys::MAP_SMALLEST_PIXELS)? as usize,
        },
    };
    if map.smallest.area > 0.0 && !sensors.iter().any(|s| crate::graph::content_of(s) == Content::Xyz) {
        let message = "takes a sensor of organised points; without one give `smallest_pixels`";
        return Err(map_table.error(area_line, keys::MAP_SMALLEST_AREA.name(), message));
    }
    map_table.finish()?;
    let decide = decide(top.section(&keys::DECIDE)?)?;
    top.finish()?;
    let (file, text) = (file.into(), text.into());
    Ok(Recipe {
        file,
        text,
        number,
        name,
        station,
        seed,
        runtime,
        device,
        plugin_path,
        limits,
        sensors,
        prepare,
        steps,
        map,
        decide,
    })
}

fn sensors(
    source: Source<'_>,
    top: &mut Reader<'_>,
    read_camera: &dyn Fn(&str) -> std::result::Result<Camera, DataError>,
) -> Result<Vec<Sensor>> {
    let mut table = top.section(&keys::SENSORS)?;
    let mut sensors = Vec::new();
    for (name, node) in table.rest() {
        let (line, key) = (node.line, format!("sensors.{name}"));
        if !keys::is_name(&name) {
            return Err(source.error(line, key, "a sensor's name is made of letters, digits, _ and -"));
        }
        let mut r = named(source, &key, &keys::SENSOR, &node)?;
        let pattern = r.get(&keys::SENSOR_FILES)?;
        let kind = r.get(&keys::SENSOR_KIND)?.or_else(|| kind_of(&pattern)).ok_or_else(|| {
            let message = format!(
                "\"{pattern}\" does not say what it holds: give kind = \"rgb\", \"xyz\" or \"points\""
            );
            r.error(line, keys::SENSOR_KIND.name(), message)
        })?;
        let pose_line = r.line_of(&keys::SENSOR_POSE);
        let pose = r.get(&keys::SENSOR_POSE)?.and_then(|rows| <[f64; 12]>::try_from(rows).ok());
        let pose = pose.map(Pose::from_rows).transpose();
        let sensor = Sensor {
            kind,
            unit: r.get(&keys::SENSOR_UNIT)?,
            scale: r.get(&keys::SENSOR_SCALE)?,
            offset: r.get(&keys::SENSOR_OFFSET)?,
            invalid: r.get(&keys::SENSOR_INVALID)?,
            drop_saturated: r.get(&keys::SENSOR_SATURATED)?,
            missing: r.get(&keys::SENSOR_MISSING)?,
            camera: camera(&mut r, &key, read_camera)?,
            pose: pose.map_err(|e| r.error(pose_line, keys::SENSOR_POSE.name(), e.to_string()))?,
            name,
            pattern,
        };
        r.finish()?;
        sensor.check().map_err(|e| source.error(line, key, e.to_string()))?;
        sensors.push(sensor);
    }
    if sensors.is_empty() {
        return Err(source.error(1, "sensors", "names no sensor"));
    }
    at_most(source, "sensors", sensors.len())?;
    Ok(sensors)
}

fn at_most(source: Source<'_>, key: &str, n: usize) -> Result<()> {
    if n <= MOST {
        return Ok(());
    }
    Err(source.error(1, key, format!("{n} are more than a recipe can have, which is {MOST}")))
}

/// A sensor's camera: from a file, or as its numbers say.
fn camera(
    r: &mut Reader<'_>,
    sensor: &str,
    read: &dyn Fn(&str) -> std::result::Result<Camera, DataError>,
) -> Result<Option<Camera>> {
    let Some(node) = r.get(&keys::CAMERA)? else { return Ok(None) };
    let (line, source) = (node.line, r.source());
    let key = format!("{sensor}.{}", keys::CAMERA.name());
    let mut r = Reader::new(source, &key, keys::CAMERA.path, node)?;
    let file = r.get(&keys::CAMERA_FILE)?;
    let numbers = [
        r.get(&keys::CAMERA_FX)?,
        r.get(&keys::CAMERA_FY)?,
        r.get(&keys::CAMERA_CX)?,
        r.get(&keys::CAMERA_CY)?,
    ];
    let (division, brown) = (r.get(&keys::CAMERA_DIVISION)?, r.get(&keys::CAMERA_BROWN)?);
    let size = r.get(&keys::CAMERA_SIZE)?;
    r.finish()?;
    let wrong = |message: String| source.error(line, &key, message);
    if let Some(file) = file {
        if numbers.iter().any(Option::is_some) || division.is_some() || brown.is_some() || size.is_some() {
            return Err(wrong("has a file and numbers; one of them says it all".into()));
        }
        return read(&file).map(Some).map_err(|e| wrong(e.to_string()));
    }
    let [Some(fx), Some(fy), Some(cx), Some(cy)] = numbers else {
        return Err(wrong("takes a file, or fx, fy, cx and cy".into()));
    };
    let lens = match (division, brown.and_then(|k| <[f64; 5]>::try_from(k).ok())) {
        (Some(_), Some(_)) => return Err(wrong("has two lens models; give `division` or `brown`".into())),
        (Some(k), None) => Lens::Division(k),
        (None, Some(k)) => Lens::Brown(k),
        (None, None) => Lens::Pinhole,
    };
    let side = |v: f64| (v >= 1.0 && v <= f64::from(u32::MAX) && v.fract() == 0.0).then_some(v as usize);
    let size = match size.as_deref() {
        Some(&[width, height]) => match (side(height), side(width)) {
            (Some(rows), Some(cols)) => Some((rows, cols)),
            _ => return Err(wrong("size is [width, height], in whole pixels".into())),
        },
        _ => None,
    };
    let camera = Camera { fx, fy, cx, cy, lens, size };
    camera.check().map_err(|e| wrong(e.to_string()))?;
    Ok(Some(camera))
}

/// The table of one sensor or step, at `path`.
fn named<'a, D: super::domain::Domain<Value = Node>>(
    source: Source<'a>,
    path: &str,
    key: &super::key::Key<D>,
    node: &Node,
) -> Result<Reader<'a>> {
    let table = key.takes.read(node).map_err(|(line, message)| source.error(line, path, message))?;
    Reader::new(source, path, key.path, table)
}

/// What a file name says of its content.
fn kind_of(pattern: &str) -> Option<SensorKind> {
    let extension = pattern.rsplit('.').next()?.to_ascii_lowercase();
    match extension.as_str() {
        "png" | "jpg" | "jpeg" | "bmp" | "*" => Some(SensorKind::Rgb),
        "tif" | "tiff" | "npy" => Some(SensorKind::Xyz),
        "ply" | "pcd" => Some(SensorKind::Points),
        _ => None,
    }
}

/// Reads a mask's file.
type ReadMask<'a> = &'a dyn Fn(&str) -> std::result::Result<Mask, DataError>;

fn prepare(mut r: Reader<'_>, seed: u64, read: ReadMask<'_>) -> Result<Prepare> {
    let inspect = areas(&mut r, &keys::PREPARE_INSPECT, read)?;
    let ignore = areas(&mut r, &keys::PREPARE_IGNORE, read)?;
    let prepare = Prepare {
        background: r.get(&keys::PREPARE_BACKGROUND)?,
        margin: r.get(&keys::PREPARE_MARGIN)?,
        rotations: r.get(&keys::PREPARE_ROTATIONS)? as usize,
        align: r.get(&keys::PREPARE_ALIGN)?,
        inspect,
        ignore,
        plane: Plane {
            border: r.get(&keys::PREPARE_BORDER)? as usize,
            plane_distance: r.get(&keys::PREPARE_PLANE_DISTANCE)?,
            sample_points: r.get(&keys::PREPARE_PLANE_POINTS)? as usize,
            iterations: r.get(&keys::PREPARE_PLANE_ITERATIONS)? as usize,
            least_share: r.get(&keys::PREPARE_PLANE_SHARE)?,
            removal_distance: r.get(&keys::PREPARE_REMOVAL_DISTANCE)?,
            link_distance: r.get(&keys::PREPARE_LINK_DISTANCE)?,
            piece_points: r.get(&keys::PREPARE_PIECE_POINTS)? as usize,
            piece_reach: r.get(&keys::PREPARE_PIECE_REACH)?,
            seed,
        },
    };
    r.finish()?;
    Ok(prepare)
}

fn areas(r: &mut Reader<'_>, key: &super::key::Key<Areas>, read: ReadMask<'_>) -> Result<Vec<Area>> {
    let line = r.line_of(key);
    let areas = r.get(key)?.into_iter().map(|area| match area {
        Written::Polygon(path) => Ok(Area { path, size: None }),
        Written::File(file) => match read(&file) {
            Ok(mask) => Ok(Area::of(&mask)),
            Err(e) => Err(r.error(line, key.name(), e.to_string())),
        },
    });
    areas.collect()
}

fn steps(source: Source<'_>, top: &mut Reader<'_>, sensors: &[Sensor]) -> Result<Vec<StepDecl>> {
    let mut table = top.section(&keys::STEPS)?;
    let mut steps: Vec<StepDecl> = Vec::new();
    let mut names: HashSet<String> = sensors.iter().map(|s| s.name.clone()).collect();
    for (name, node) in table.rest() {
        let (line, key) = (node.line, format!("steps.{name}"));
        if !keys::is_name(&name) {
            return Err(source.error(line, key, "a step's name is made of letters, digits, _ and -"));
        }
        if !names.insert(name.clone()) {
            return Err(source.error(line, key, "a sensor has this name already"));
        }
        let mut r = named(source, &key, &keys::STEP, &node)?;
        let (method_line, from_line) = (r.line_of(&keys::STEP_METHOD), r.line_of(&keys::STEP_FROM));
        let sha256_line = r.line_of(&keys::STEP_SHA256);
        let (isolation_line, limit_line) =
            (r.line_of(&keys::STEP_ISOLATION), r.line_of(&keys::STEP_TIME_LIMIT));
        steps.push(StepDecl {
            name,
            line,
            method: r.get(&keys::STEP_METHOD)?,
            method_line,
            from: r.get(&keys::STEP_FROM)?,
            from_line,
            raw: r.get(&keys::STEP_RAW)?,
            sha256: r.get(&keys::STEP_SHA256)?.map(|sum| (sum, sha256_line)),
            isolated: r.get(&keys::STEP_ISOLATION)?,
            isolation_line,
            time_limit: r.get(&keys::STEP_TIME_LIMIT)?.map(|limit| (limit, limit_line)),
            params: r.rest(),
        });
    }
    if steps.is_empty() {
        return Err(source.error(1, "steps", "names no step"));
    }
    at_most(source, "steps", steps.len())?;
    Ok(steps)
}

fn decide(mut r: Reader<'_>) -> Result<Decide> {
    let review_line = r.line_of(&keys::DECIDE_REVIEW);
    let decide = Decide {
        false_reject_rate: r.get(&keys::DECIDE_FALSE_REJECT_RATE)?,
        confidence: r.get(&keys::DECIDE_CONFIDENCE)?,
        on_too_few: r.get(&keys::DECIDE_ON_TOO_FEW)?,
        review: r.get(&keys::DECIDE_REVIEW)?,
        score: r.get(&keys::DECIDE_SCORE)?,
        folds: r.get(&keys::DECIDE_FOLDS)? as usize,
    };
    if let Some(review) = decide.review
        && review <= decide.false_reject_rate
    {
        let rate = decide.false_reject_rate;
        let message = format!(
            "{review} is not greater than false_reject_rate, which is {rate}: no part would be for review"
        );
        return Err(r.error(review_line, keys::DECIDE_REVIEW.name(), message));
    }
    r.finish()?;
    Ok(decide)
}
