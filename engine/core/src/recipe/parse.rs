//! From a recipe's text to a [`Recipe`].

use super::key::AnyKey as _;
use super::reader::Reader;
use super::toml::{Node, Source};
use super::{Decide, MapOptions, Prepare, Recipe, StepDecl, keys};
use crate::error::Result;
use assay_data::prepare::Background as Plane;
use assay_data::{Sensor, SensorKind};
use std::collections::HashSet;

pub(super) fn recipe(file: &str, text: &str) -> Result<Recipe> {
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
    let sensors = sensors(source, &mut top)?;
    let prepare = prepare(top.section(&keys::PREPARE)?, seed)?;
    let steps = steps(source, &mut top, &sensors)?;
    let mut map_table = top.section(&keys::MAP)?;
    let map = MapOptions { sigma: map_table.get(&keys::MAP_SIGMA)? };
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
        sensors,
        prepare,
        steps,
        map,
        decide,
    })
}

fn sensors(source: Source<'_>, top: &mut Reader<'_>) -> Result<Vec<Sensor>> {
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
        let unit = r.get(&keys::SENSOR_UNIT)?;
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
        "tif" | "tiff" => Some(SensorKind::Xyz),
        "ply" | "pcd" => Some(SensorKind::Points),
        _ => None,
    }
}

fn prepare(mut r: Reader<'_>, seed: u64) -> Result<Prepare> {
    let prepare = Prepare {
        background: r.get(&keys::PREPARE_BACKGROUND)?,
        margin: r.get(&keys::PREPARE_MARGIN)?,
        rotations: r.get(&keys::PREPARE_ROTATIONS)? as usize,
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
        steps.push(StepDecl {
            name,
            line,
            method: r.get(&keys::STEP_METHOD)?,
            method_line,
            from: r.get(&keys::STEP_FROM)?,
            from_line,
            raw: r.get(&keys::STEP_RAW)?,
            params: r.rest(),
        });
    }
    if steps.is_empty() {
        return Err(source.error(1, "steps", "names no step"));
    }
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
