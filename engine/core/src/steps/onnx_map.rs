//! `onnx-map`: any ONNX network that goes from an image to a score map, so that models exported by other tools become steps.

use super::onnx::{Network, image_port, network_params};
use crate::plugin::{Failure, MethodInfo, ParamInfo, ParamKind, ParamValue, PortInfo};
use crate::value::{Content, Data, Spec, Value};
use assay_data::{Frame, Grid};
use ndarray::{Array3, ArrayD};

/// Id of the method.
pub const ID: &str = "onnx-map";

/// The method's descriptor.
pub fn info() -> MethodInfo {
    let text = |name: &str, doc: &str| ParamInfo {
        name: name.into(),
        doc: doc.into(),
        unit: String::new(),
        kind: ParamKind::String,
        default: ParamValue::String(String::new()),
        min: None,
        max: None,
        choices: Vec::new(),
    };
    let mut params = network_params();
    params.push(text(
        "map",
        "The output with the score map [1,1,h,w] or [1,h,w]; empty = the first one of such a shape.",
    ));
    params.push(text("score", "The output with the image score; empty = the maximum of the map."));
    MethodInfo {
        id: ID.into(),
        name: "ONNX detector".into(),
        summary: "Scores from an ONNX network that goes from image to anomaly map.".into(),
        outputs: vec![PortInfo {
            name: "scores".into(),
            doc: "The network's map.".into(),
            content: vec![Content::Scores],
            grid: true,
            cloud: false,
            min_count: 1,
            max_count: Some(1),
        }],
        inputs: vec![image_port()],
        params,
        ..super::onnx::info()
    }
}

/// The map and image score among a network's outputs.
fn read(
    outputs: Vec<(String, ArrayD<f32>)>,
    info: &MethodInfo,
    params: &[ParamValue],
) -> Result<(Array3<f32>, f64), Failure> {
    let name = |key: &str| match info.params.iter().position(|p| p.name == key).map(|i| &params[i]) {
        Some(ParamValue::String(s)) => s.clone(),
        _ => String::new(),
    };
    let (map_name, score_name) = (name("map"), name("score"));
    let as_map = |a: &ArrayD<f32>| -> Option<Array3<f32>> {
        let shape = a.shape();
        let (h, w) = match shape {
            [1, 1, h, w] | [1, h, w] | [h, w] => (*h, *w),
            _ => return None,
        };
        (h * w > 1).then(|| a.to_shape((1, h, w)).ok().map(|v| v.into_owned())).flatten()
    };
    let shapes =
        || outputs.iter().map(|(n, a)| format!("{n} {:?}", a.shape())).collect::<Vec<_>>().join(", ");
    let map = outputs
        .iter()
        .filter(|(n, _)| map_name.is_empty() || *n == map_name)
        .find_map(|(_, a)| as_map(a))
        .ok_or_else(|| {
            Failure::about_input(&format!("no output is a map of one image; the network has {}", shapes()))
        })?;
    let score = if score_name.is_empty() {
        map.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    } else {
        let output = outputs.iter().find(|(n, a)| *n == score_name && a.len() == 1);
        *output.and_then(|(_, a)| a.first()).ok_or_else(|| {
            Failure::about_input(&format!(
                "output `{score_name}` is not one number; the network has {}",
                shapes()
            ))
        })?
    };
    if !score.is_finite() || map.iter().any(|v| !v.is_finite()) {
        return Err(Failure::about_input("the network's map or score is not finite"));
    }
    Ok((map, f64::from(score)))
}

/// The spec of the map, found by running the network once on a blank image.
pub fn plan(
    network: &Network,
    info: &MethodInfo,
    params: &[ParamValue],
    native: (usize, usize),
    known: Option<&Vec<[usize; 3]>>,
) -> Result<Vec<Spec>, Failure> {
    let size = match known.map(Vec::as_slice) {
        Some(&[[_, rows, cols]]) => (rows, cols),
        _ => {
            let (rows, cols) = network.input_size(native);
            let (map, _) = read(network.outputs(&Array3::zeros((3, rows, cols)))?, info, params)?;
            (map.dim().1, map.dim().2)
        }
    };
    let frame = Frame::NATIVE.resized(native, size);
    Ok(vec![Spec {
        content: Content::Scores,
        channels: 1,
        size: Some(size),
        frame,
        range: None,
        name: "scores".into(),
    }])
}

/// The map of one scan.
pub fn score(
    network: &Network,
    info: &MethodInfo,
    params: &[ParamValue],
    value: &Value,
    range: Option<(f64, f64)>,
    planned: (usize, usize),
    native: (usize, usize),
) -> Result<Vec<Value>, Failure> {
    let image = network.image(value, range, network.input_size(planned))?;
    let (values, image_score) = read(network.outputs(&image)?, info, params)?;
    let size = (values.dim().1, values.dim().2);
    let frame = Frame::NATIVE.resized(native, size);
    let valid = super::picture::measured(value, size)?;
    Ok(vec![Value { content: Content::Scores, data: Data::Grid(Grid { values, valid, frame }), image_score }])
}
