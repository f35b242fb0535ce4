//! Small networks, made by the crate itself: what becomes of their nodes, and what is refused.

use super::{Axis, Observation, Plan};
use crate::build::{model, node, value};
use crate::error::Error;
use crate::file;
use crate::message::{DataType, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::tensor::{of_f32, of_i64};
use std::collections::HashMap;

const SHAPE: [Result<i64, &str>; 4] = [Err("n"), Ok(2), Err("h"), Err("w")];

fn network(
    opset: i64,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    outputs: &[&str],
) -> ModelProto {
    let outputs = outputs.iter().map(|name| value(name, DataType::Float, None)).collect();
    model(opset, nodes, initializers, vec![value("image", DataType::Float, Some(&SHAPE))], outputs)
}

fn conv(name: &str, input: &str, output: &str) -> NodeProto {
    node("Conv", name, &[input, "w", "b"], &[output]).with_ints("pads", &[1, 1, 1, 1])
}

fn weights() -> Vec<TensorProto> {
    let w: Vec<f32> = (0..36).map(|i| ((i * 7 % 11) as f32 - 5.0) / 5.0).collect();
    vec![of_f32("w", &[2, 2, 3, 3], &w), of_f32("b", &[2], &[0.5, -1.0])]
}

/// Normalisation, Conv + Relu, pooling, a residual of two: all that a backbone has.
fn backbone() -> ModelProto {
    let nodes = vec![
        node("Sub", "norm", &["image", "mean"], &["x"]),
        conv("c0", "x", "a"),
        node("Relu", "r0", &["a"], &["ar"]),
        node("MaxPool", "p", &["ar"], &["m"]).with_ints("kernel_shape", &[2, 2]),
        conv("c1", "m", "d"),
        node("Clip", "r1", &["d", "low", "high"], &["dr"]),
        node("Add", "sum", &["m", "dr"], &["s"]),
        node("Sigmoid", "gate", &["s"], &["out"]),
    ];
    let mut constants = weights();
    constants.push(of_f32("mean", &[1], &[100.0]));
    constants.push(of_f32("low", &[], &[0.0]));
    constants.push(of_f32("high", &[], &[6.0]));
    network(13, nodes, constants, &["dr", "out"])
}

fn seen(plan: &Plan) -> HashMap<String, Observation> {
    let one = |name: &str, axis| {
        let mut seen = Observation::default();
        let values: Vec<f32> = (0..2 * 16).map(|i| i as f32 / 10.0 - 1.0).collect();
        seen.add(name, axis, &[1, 2, 4, 4], &values).unwrap();
        (name.to_owned(), seen)
    };
    plan.watched().iter().map(|w| one(&w.name, w.axis)).collect()
}

fn bytes(model: &ModelProto) -> Vec<u8> {
    file::write(model).unwrap()
}

fn graph_of(onnx: &[u8]) -> GraphProto {
    file::read(onnx).unwrap().graph.unwrap()
}

fn operators(graph: &GraphProto) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    graph.node.iter().for_each(|n| *counts.entry(n.op_type().to_owned()).or_default() += 1);
    counts
}

#[test]
fn a_backbone_computes_in_int8_between_float_ends() {
    let plan = Plan::of(&bytes(&backbone())).unwrap();
    let names: Vec<&str> = plan.watched().iter().map(|w| w.name.as_str()).collect();
    // Where the activation saturates, only what is after it counts; a maximum has the range of its input.
    assert_eq!(names, ["x", "ar", "m", "dr", "s"]);
    assert!(plan.watched().iter().all(|w| w.axis == Axis::Second));
    let outputs: Vec<String> =
        graph_of(&plan.observed().unwrap()).output.iter().map(|v| v.name().to_owned()).collect();
    assert_eq!(outputs, names);

    let quantised = plan.write(&seen(&plan)).unwrap();
    assert_eq!((quantised.layers, quantised.of), (2, 2));
    let graph = graph_of(&quantised.onnx);
    let counts = operators(&graph);
    assert_eq!((counts["Conv"], counts["Add"], counts["MaxPool"], counts["Sub"]), (2, 1, 1, 1));
    assert!(!counts.contains_key("Relu") && !counts.contains_key("Clip"));
    // x, ar, m, dr, s; and the two weights and two biases.
    assert_eq!((counts["QuantizeLinear"], counts["DequantizeLinear"]), (5, 9));
    let ends = |graph: &GraphProto| graph.output.iter().map(|v| v.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(ends(&graph), ["dr", "out"]);
    // Every tensor is made once, before it is taken; float32 weights are gone.
    let mut made: Vec<&str> = graph.initializer.iter().map(|t| t.name()).chain(["image"]).collect();
    for node in &graph.node {
        assert!(node.input.iter().all(|name| made.contains(&name.as_str())), "{node:?}");
        assert!(node.output.iter().all(|name| !made.contains(&name.as_str())), "{node:?}");
        made.extend(node.output.iter().map(String::as_str));
    }
    assert!(!made.contains(&"w") && !made.contains(&"b"));
    assert!(made.contains(&"mean"));
}

#[test]
fn a_bias_takes_back_what_rounding_the_weights_adds() {
    let mut constants = vec![of_f32("w", &[1, 2, 1, 1], &[1.0, 0.503]), of_f32("b", &[1], &[0.0])];
    let build = |constants: Vec<TensorProto>| {
        network(13, vec![node("Conv", "c", &["image", "w", "b"], &["y"])], constants, &["y"])
    };
    let plan = Plan::of(&bytes(&build(std::mem::take(&mut constants)))).unwrap();
    let mut seen = HashMap::new();
    for name in ["image", "y"] {
        let mut one = Observation::default();
        let channels = if name == "image" { 2 } else { 1 };
        let values: Vec<f32> = (0..channels * 4).map(|i| if i < 4 { 10.0 } else { 20.0 }).collect();
        one.add(name, Axis::Second, &[1, channels, 2, 2], &values).unwrap();
        seen.insert(name.to_owned(), one);
    }
    let graph = graph_of(&plan.write(&seen).unwrap().onnx);
    let tensor = |name: &str| graph.initializer.iter().find(|t| t.name() == name).unwrap();
    let scale = crate::tensor::floats(tensor("y_weights_scale")).unwrap()[0];
    let codes = tensor("y_weights").raw_data.clone().unwrap();
    assert_eq!(codes, [63, 32]);
    let bias = i32::from_le_bytes(tensor("y_bias").raw_data.clone().unwrap().try_into().unwrap());
    let bias_scale = crate::tensor::floats(tensor("y_bias_scale")).unwrap()[0];
    let got = scale * (63.0 * 10.0 + 32.0 * 20.0) + bias as f32 * bias_scale;
    assert!((got - (10.0 + 0.503 * 20.0)).abs() < bias_scale, "{got}");
}

#[test]
fn what_another_thing_needs_is_left_as_it_is() {
    // The sum before the Relu is an output, and the Conv's weights are an output's too.
    let nodes = vec![conv("c0", "image", "a"), node("Relu", "r0", &["a"], &["ar"])];
    let plan = Plan::of(&bytes(&network(13, nodes, weights(), &["a", "ar", "w"]))).unwrap();
    let graph = graph_of(&plan.write(&seen(&plan)).unwrap().onnx);
    assert_eq!(operators(&graph)["Relu"], 1);
    assert!(graph.initializer.iter().any(|t| t.name() == "w"));
    // A Clip beyond 0 does what saturation does not.
    let nodes = vec![conv("c0", "image", "a"), node("Clip", "r0", &["a", "low"], &["ar"])];
    let mut constants = weights();
    constants.push(of_f32("low", &[], &[1.0]));
    let plan = Plan::of(&bytes(&network(13, nodes, constants, &["ar"]))).unwrap();
    assert_eq!(operators(&graph_of(&plan.write(&seen(&plan)).unwrap().onnx))["Clip"], 1);
}

#[test]
fn an_add_of_float_tensors_and_an_int_constant_stay_as_they_are() {
    let nodes = vec![
        conv("c0", "image", "a"),
        node("Add", "s", &["a", "image"], &["sum"]),
        node("Reshape", "v", &["sum", "shape"], &["out"]),
    ];
    let mut constants = weights();
    constants.push(of_i64("shape", &[1], &[-1]));
    let plan = Plan::of(&bytes(&network(17, nodes, constants, &["out"]))).unwrap();
    assert_eq!(plan.watched().len(), 2);
    let quantised = plan.write(&seen(&plan)).unwrap();
    assert_eq!(operators(&graph_of(&quantised.onnx))["QuantizeLinear"], 2);
}

#[test]
fn matrix_products_take_uint8_and_give_floats() {
    let nodes = vec![
        node("MatMul", "m", &["image", "w"], &["a"]),
        node("Gemm", "g", &["a", "v", "b"], &["out"]).with_int("transB", 1),
        node("Gemm", "turned", &["image", "v", "b"], &["other"]).with_int("transA", 1),
    ];
    let constants = vec![
        of_f32("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        of_f32("v", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        of_f32("b", &[2], &[1.0, -1.0]),
    ];
    let plan = Plan::of(&bytes(&network(13, nodes, constants, &["out", "other"]))).unwrap();
    let axes: Vec<(&str, Axis)> = plan.watched().iter().map(|w| (w.name.as_str(), w.axis)).collect();
    assert_eq!(axes, [("image", Axis::Last), ("a", Axis::Second)]);
    let mut seen = HashMap::new();
    for (name, channels) in [("image", 2), ("a", 3)] {
        let mut one = Observation::default();
        one.add(name, Axis::Last, &[4, channels], &vec![1.5; 4 * channels]).unwrap();
        seen.insert(name.to_owned(), one);
    }
    let quantised = plan.write(&seen).unwrap();
    assert_eq!((quantised.layers, quantised.of), (2, 3));
    let counts = operators(&graph_of(&quantised.onnx));
    assert_eq!((counts["QuantizeLinear"], counts["DequantizeLinear"]), (2, 5));
    // The observation of another network.
    seen.insert("a".into(), seen["image"].clone());
    assert!(plan.write(&seen).unwrap_err().to_string().contains("2 channels, its layer takes 3"));
    seen.remove("a");
    assert!(plan.write(&seen).unwrap_err().to_string().contains("nothing was seen"));
}

#[test]
fn networks_that_cannot_be_quantised_say_why() {
    let conv_of = |constants| network(13, vec![conv("c", "image", "y")], constants, &["y"]);
    let why = |model: &ModelProto| match Plan::of(&bytes(model)) {
        Err(Error::Unquantisable(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let old = network(11, vec![conv("c", "image", "y")], weights(), &["y"]);
    assert!(why(&old).contains("opset 11") && why(&old).contains("export it again"));
    assert!(why(&ModelProto { opset_import: Vec::new(), ..old }).contains("opset none"));
    assert!(why(&conv_of(Vec::new())).contains("none of its 1 layers"));
    // Weights in another file, of a length that their axes do not say, not finite, of zero groups.
    let broken: [fn(&mut TensorProto); 4] = [
        |w| w.data_location = Some(1),
        |w| w.dims[0] = i64::MAX,
        |w| w.raw_data = Some([f32::NAN.to_le_bytes(); 36].concat()),
        |w| w.dims = vec![36],
    ];
    for change in broken {
        let mut constants = weights();
        change(&mut constants[0]);
        assert!(why(&conv_of(constants)).contains("none of its 1 layers"));
    }
    let no_groups = network(13, vec![conv("c", "image", "y").with_int("group", 0)], weights(), &["y"]);
    assert!(why(&no_groups).contains("none of its"));
    let plan = Plan::of(&bytes(&backbone())).unwrap();
    let again = plan.write(&seen(&plan)).unwrap();
    assert!(matches!(Plan::of(&again.onnx), Err(Error::Unquantisable(r)) if r.contains("quantised already")));
    assert!(matches!(Plan::of(b"nothing"), Err(Error::Malformed(_))));
}

#[test]
fn nodes_without_inputs_and_cycles_of_casts_end() {
    let nodes = vec![
        node("Conv", "empty", &[], &["y"]),
        node("Conv", "two", &["image", "w"], &["p", "q"]),
        node("Cast", "a", &["u"], &["v"]).with_int("to", 1),
        node("Cast", "b", &["v"], &["u"]).with_int("to", 1),
        node("Conv", "cyclic", &["image", "u"], &["z"]),
        node("Clip", "none", &[], &["k"]),
        node("Relu", "more", &["image"], &[]),
    ];
    assert!(Plan::of(&bytes(&network(13, nodes, weights(), &["y"]))).is_err());
}
