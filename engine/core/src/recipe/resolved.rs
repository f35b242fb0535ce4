//! The recipe with everything that it leaves to defaults written out.

use super::area::{Area, Written};
use super::domain::Domain;
use super::key::{AnyKey as _, Key};
use super::{From, Recipe, keys};
use crate::graph::{Graph, Source, Step};
use crate::plugin::{Isolation, ParamValue};
use assay_data::{Camera, Lens};
use toml::{Table, Value};

/// A TOML text that says all that `recipe` and the plugins' defaults say, so that a later version with other defaults still
/// does the same: every key, each parameter with its value, references as `step.output`, the implied last step.
///
/// It holds no comments, has a fixed order, and its numbers read back to the same bits. Read and resolved again it gives
/// the same text. `graph` is the recipe resolved against the plugins. `decide.confidence`, `decide.review`,
/// `recipe.number` and what is not known of a sensor stand there only where they are set. What a camera's or a mask's file said stands
/// there in its place. A network's `model` and
/// `engine.plugin_path` stay as they were written.
pub fn resolved(recipe: &Recipe, graph: &Graph) -> String {
    let mut top = Table::new();
    put(&mut top, &keys::FORMAT, &1);
    put(&mut top, &keys::STATION, &recipe.station);
    put(&mut top, &keys::SEED, &(recipe.seed as i64));
    let mut section = |name: &str, table: Table| top.insert(name.into(), Value::Table(table));
    section(keys::RECIPE.path, about(recipe));
    section(keys::ENGINE.path, engine(recipe));
    section(keys::LIMITS.path, limits(recipe));
    section(keys::SENSORS.path, sensors(recipe));
    section(keys::PREPARE.path, prepare(recipe));
    let steps = graph.steps.iter().map(|s| (s.name.clone(), Value::Table(step(recipe, graph, s))));
    section(keys::STEPS.path, steps.collect());
    let mut map = Table::new();
    put(&mut map, &keys::MAP_SIGMA, &recipe.map.sigma);
    put(&mut map, &keys::MAP_SMALLEST_AREA, &recipe.map.smallest.area);
    put(&mut map, &keys::MAP_SMALLEST_PIXELS, &(recipe.map.smallest.pixels as i64));
    section(keys::MAP.path, map);
    section(keys::DECIDE.path, decide(recipe));
    top.to_string()
}

fn put<D: Domain>(table: &mut Table, key: &Key<D>, value: &D::Value) {
    if let Some(value) = key.takes.write(value) {
        table.insert(key.name().into(), value);
    }
}

fn about(recipe: &Recipe) -> Table {
    let mut table = Table::new();
    put(&mut table, &keys::RECIPE_NUMBER, &recipe.number);
    put(&mut table, &keys::RECIPE_NAME, &recipe.name);
    table
}

fn engine(recipe: &Recipe) -> Table {
    let mut table = Table::new();
    put(&mut table, &keys::ENGINE_RUNTIME, &recipe.runtime);
    put(&mut table, &keys::ENGINE_DEVICE, &recipe.device);
    put(&mut table, &keys::ENGINE_PLUGIN_PATH, &recipe.plugin_path);
    table
}

fn sensors(recipe: &Recipe) -> Table {
    let sensor = |s: &assay_data::Sensor| {
        let mut table = Table::new();
        put(&mut table, &keys::SENSOR_FILES, &s.pattern);
        put(&mut table, &keys::SENSOR_KIND, &Some(s.kind));
        put(&mut table, &keys::SENSOR_UNIT, &s.unit);
        put(&mut table, &keys::SENSOR_SCALE, &s.scale);
        put(&mut table, &keys::SENSOR_OFFSET, &s.offset);
        put(&mut table, &keys::SENSOR_INVALID, &s.invalid);
        put(&mut table, &keys::SENSOR_SATURATED, &s.drop_saturated);
        put(&mut table, &keys::SENSOR_MISSING, &s.missing);
        put(&mut table, &keys::SENSOR_POSE, &s.pose.map(|p| p.rows().to_vec()));
        if let Some(camera) = &s.camera {
            table.insert(keys::CAMERA.name().into(), Value::Table(self::camera(camera)));
        }
        (s.name.clone(), Value::Table(table))
    };
    recipe.sensors.iter().map(sensor).collect()
}

fn camera(camera: &Camera) -> Table {
    let mut table = Table::new();
    put(&mut table, &keys::CAMERA_FX, &Some(camera.fx));
    put(&mut table, &keys::CAMERA_FY, &Some(camera.fy));
    put(&mut table, &keys::CAMERA_CX, &Some(camera.cx));
    put(&mut table, &keys::CAMERA_CY, &Some(camera.cy));
    match camera.lens {
        Lens::Pinhole => {}
        Lens::Division(k) => put(&mut table, &keys::CAMERA_DIVISION, &Some(k)),
        Lens::Brown(k) => put(&mut table, &keys::CAMERA_BROWN, &Some(k.to_vec())),
    }
    put(&mut table, &keys::CAMERA_SIZE, &camera.size.map(|(rows, cols)| vec![cols as f64, rows as f64]));
    table
}

fn limits(recipe: &Recipe) -> Table {
    let mut table = Table::new();
    put(&mut table, &keys::LIMITS_PIXELS, &(recipe.limits.max_pixels as i64));
    put(&mut table, &keys::LIMITS_POINTS, &(recipe.limits.max_points as i64));
    put(&mut table, &keys::LIMITS_FILE_BYTES, &(recipe.limits.max_file_bytes as i64));
    table
}

fn prepare(recipe: &Recipe) -> Table {
    let (prepare, plane) = (&recipe.prepare, &recipe.prepare.plane);
    let mut table = Table::new();
    put(&mut table, &keys::PREPARE_BACKGROUND, &prepare.background);
    put(&mut table, &keys::PREPARE_MARGIN, &prepare.margin);
    put(&mut table, &keys::PREPARE_ROTATIONS, &(prepare.rotations as i64));
    put(&mut table, &keys::PREPARE_ALIGN, &prepare.align);
    put(&mut table, &keys::PREPARE_INSPECT, &areas(&prepare.inspect));
    put(&mut table, &keys::PREPARE_IGNORE, &areas(&prepare.ignore));
    put(&mut table, &keys::PREPARE_BORDER, &(plane.border as i64));
    put(&mut table, &keys::PREPARE_PLANE_DISTANCE, &plane.plane_distance);
    put(&mut table, &keys::PREPARE_PLANE_POINTS, &(plane.sample_points as i64));
    put(&mut table, &keys::PREPARE_PLANE_ITERATIONS, &(plane.iterations as i64));
    put(&mut table, &keys::PREPARE_PLANE_SHARE, &plane.least_share);
    put(&mut table, &keys::PREPARE_REMOVAL_DISTANCE, &plane.removal_distance);
    put(&mut table, &keys::PREPARE_LINK_DISTANCE, &plane.link_distance);
    put(&mut table, &keys::PREPARE_PIECE_POINTS, &(plane.piece_points as i64));
    put(&mut table, &keys::PREPARE_PIECE_REACH, &plane.piece_reach);
    table
}

fn areas(areas: &[Area]) -> Vec<Written> {
    areas.iter().map(|area| Written::Polygon(area.path.clone())).collect()
}

fn step(recipe: &Recipe, graph: &Graph, step: &Step) -> Table {
    let mut table = Table::new();
    put(&mut table, &keys::STEP_METHOD, &step.info.id);
    put(&mut table, &keys::STEP_FROM, &from(recipe, graph, step));
    put(&mut table, &keys::STEP_RAW, &step.raw);
    put(&mut table, &keys::STEP_SHA256, &step.sha256);
    let isolation = match step.isolation {
        Isolation::None => (None, None),
        Isolation::Process { patience } => (Some(true), Some(patience.as_secs_f64())),
    };
    put(&mut table, &keys::STEP_ISOLATION, &isolation.0);
    put(&mut table, &keys::STEP_TIME_LIMIT, &isolation.1);
    for (info, value) in step.info.params.iter().zip(&step.params) {
        // A plugin's parameter of the name of a key is out of a recipe's reach.
        if !table.contains_key(&info.name)
            && let Some(value) = parameter(value)
        {
            table.insert(info.name.clone(), value);
        }
    }
    table
}

/// A parameter as TOML; `None` for a default that is not a number, which no recipe can say.
fn parameter(value: &ParamValue) -> Option<Value> {
    let list = |values: Vec<Value>| Value::Array(values);
    Some(match value {
        ParamValue::Bool(v) => Value::Boolean(*v),
        ParamValue::Int(v) => Value::Integer(*v),
        ParamValue::Float(v) => Value::Float(*v),
        ParamValue::String(v) => Value::String(v.clone()),
        ParamValue::IntList(v) => list(v.iter().copied().map(Value::Integer).collect()),
        ParamValue::FloatList(v) => list(v.iter().copied().map(Value::Float).collect()),
        ParamValue::StringList(v) => list(v.iter().cloned().map(Value::String).collect()),
    })
    .filter(|_| match value {
        ParamValue::Float(v) => !v.is_nan(),
        ParamValue::FloatList(v) => !v.iter().any(|v| v.is_nan()),
        _ => true,
    })
}

/// The inputs of a step as full references: a list where the method has one port, else by port.
fn from(recipe: &Recipe, graph: &Graph, step: &Step) -> From {
    let reference = |source: Source| match source {
        Source::Sensor(i) => recipe.sensors[i].name.clone(),
        Source::Output(s, o) => format!("{}.{}", graph.steps[s].name, graph.steps[s].outputs[o].0),
    };
    let bound = |port: usize| -> Vec<String> {
        step.inputs.iter().filter(|(p, _)| *p == port).map(|(_, source)| reference(*source)).collect()
    };
    if step.info.inputs.len() == 1 {
        return From::Ordered(bound(0));
    }
    let ports = step.info.inputs.iter().enumerate().map(|(i, port)| (port.name.clone(), bound(i)));
    From::Named(ports.filter(|(_, names)| !names.is_empty()).collect())
}

fn decide(recipe: &Recipe) -> Table {
    let decide = &recipe.decide;
    let mut table = Table::new();
    put(&mut table, &keys::DECIDE_FALSE_REJECT_RATE, &decide.false_reject_rate);
    put(&mut table, &keys::DECIDE_CONFIDENCE, &decide.confidence);
    put(&mut table, &keys::DECIDE_ON_TOO_FEW, &decide.on_too_few);
    put(&mut table, &keys::DECIDE_REVIEW, &decide.review);
    put(&mut table, &keys::DECIDE_SCORE, &decide.score);
    put(&mut table, &keys::DECIDE_FOLDS, &(decide.folds as i64));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::toml::{Source as Text, Value as Read};
    use proptest::prelude::*;

    proptest! {
        /// Whatever a key holds, it reads back as it was.
        #[test]
        fn strings_and_numbers_read_back_as_they_were(text in any::<String>(), number in any::<f64>(), int in any::<i64>()) {
            prop_assume!(!number.is_nan());
            let mut table = Table::new();
            table.insert("text".into(), Value::String(text.clone()));
            table.insert("number".into(), parameter(&ParamValue::Float(number)).unwrap());
            table.insert("int".into(), Value::Integer(int));
            let written = table.to_string();
            let read = Text { file: "x", text: &written }.parse().unwrap();
            let Read::Table(entries) = read.value else { panic!("no table") };
            prop_assert_eq!(&entries[0].1.value, &Read::String(text));
            prop_assert!(matches!(entries[1].1.value, Read::Float(v) if v.to_bits() == number.to_bits()));
            prop_assert_eq!(&entries[2].1.value, &Read::Int(int));
        }
    }
}
