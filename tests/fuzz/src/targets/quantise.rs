//! An ONNX file, as a fit reads it to make an int8 network of it.

use super::KIB;
use crate::Target;
use crate::onnx;
use assay_onnx::build::{model, node, value};
use assay_onnx::message::DataType;
use assay_onnx::quantise::Plan;
use assay_onnx::{file, tensor};

pub(super) const TARGET: Target = Target {
    name: "quantise",
    read,
    seeds,
    words: || vec!["image", "weight", "Conv", "Relu", "MatMul", "group", "strides", "pads"],
    // A message of two bytes becomes a node of hundreds, and a plan holds the network twice.
    memory: (256 * KIB, 4096),
};

fn read(input: &[u8]) {
    if let Ok(model) = file::read(input) {
        // What is understood of a file is written and read back as it was, bit by bit: a NaN is not equal to itself.
        let written = file::write(&model).unwrap();
        let again = file::write(&file::read(&written).unwrap()).unwrap();
        assert_eq!(written, again);
    }
    if let Ok(plan) = Plan::of(input) {
        assert!(!plan.watched().is_empty());
        file::read(&plan.observed().unwrap()).unwrap();
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let image = value("image", DataType::Float, Some(&[Ok(1), Ok(3), Err("h"), Err("w")]));
    let out = value("map", DataType::Float, None);
    let weight = tensor::of_f32("weight", &[2, 3, 1, 1], &[0.5, -1.0, 2.0, 0.25, 1.0, -0.5]);
    let conv = node("Conv", "first", &["image", "weight"], &["sum"]).with_ints("pads", &[0, 0, 0, 0]);
    let relu = node("Relu", "second", &["sum"], &["map"]);
    let convolution = model(13, vec![conv, relu], vec![weight], vec![image], vec![out]);
    vec![onnx::model(), file::write(&convolution).unwrap()]
}
