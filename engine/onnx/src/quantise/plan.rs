//! Which layers of a network can be quantised, and what must be known of its tensors.

use super::observation::Axis;
use super::weights::Layout;
use crate::build;
use crate::error::{Error, Result};
use crate::file;
use crate::index::{Constant, Index};
use crate::message::{DataType, ModelProto, NodeProto};
use std::collections::{HashMap, HashSet};

/// The oldest operators that dequantise with one scale a channel.
const OLDEST_OPSET: i64 = 13;

/// A network and what can be quantised of it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) model: ModelProto,
    /// By their nodes' places in the graph.
    pub(super) layers: HashMap<usize, Layer>,
    /// Nodes that saturation stands for.
    pub(super) dropped: HashSet<usize>,
    watched: Vec<Watched>,
    /// Layers with weights, those that stay in float32 included.
    pub(super) weighted: usize,
}

/// A tensor whose range must be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// Where its channels lie.
    pub axis: Axis,
}

/// A layer that can be quantised.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    /// What it gives, after the activation that it takes over.
    pub(super) output: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// `Conv`, `Gemm`, `MatMul`: the layer's weights and bias.
    Weighted(Box<Weighted>),
    /// What has its own range: `Add`, `Concat`, means.
    Ranged,
    /// What gives values that it took: maxima.
    Passing,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighted {
    pub(super) weights: Constant,
    pub(super) layout: Layout,
    pub(super) groups: usize,
    pub(super) bias: Option<Vec<f32>>,
    /// Axis of the output channels in the weights.
    pub(super) axis: usize,
    /// `MatMul` has no input for one.
    pub(super) takes_bias: bool,
    /// `Conv`: its output is uint8.
    pub(super) coded_output: bool,
}

impl Plan {
    /// Looks at a network.
    ///
    /// # Errors
    /// [`Error::Malformed`] for bytes that are no model, [`Error::Unquantisable`] for operators that are too old, a network that is
    /// quantised already, or one without a layer that can be.
    pub fn of(onnx: &[u8]) -> Result<Self> {
        let model = file::read(onnx)?;
        let refuse = |reason: String| Err(Error::Unquantisable(reason));
        match file::opset(&model) {
            Some(version) if version >= OLDEST_OPSET => {}
            version => {
                let version = version.map_or("none".into(), |v| v.to_string());
                return refuse(format!(
                    "its operators are of opset {version}, and one scale a channel takes {OLDEST_OPSET}: export it again with opset {OLDEST_OPSET} or newer"
                ));
            }
        }
        let graph = file::graph(&model)?;
        let coded = |n: &&NodeProto| {
            let operator = n.op_type();
            operator.contains("QuantizeLinear")
                || operator.starts_with("QLinear")
                || operator.ends_with("Integer")
        };
        if let Some(node) = graph.node.iter().find(coded) {
            return refuse(format!("it is quantised already (operator {})", node.op_type()));
        }
        let index = Index::of(graph);
        let mut plan =
            Draft { index: &index, layers: HashMap::new(), dropped: HashSet::new(), coded: HashSet::new() };
        (0..graph.node.len()).for_each(|at| plan.consider(at));
        let Draft { layers, dropped, .. } = plan;
        let weighted = graph.node.iter().filter(|n| is_weighted(n.operator())).count();
        if !layers.values().any(|l| matches!(l.kind, Kind::Weighted(_))) {
            return refuse(format!(
                "none of its {weighted} layers (Conv, Gemm, MatMul) has constant float32 weights in this file"
            ));
        }
        let watched = watched(graph.node.iter().enumerate(), &layers);
        Ok(Self { watched, weighted, layers, dropped, model })
    }

    /// The tensors whose range must be known.
    pub fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// The network with these tensors as its outputs, in float32: what to run on typical inputs. An input of the network is no
    /// output of it; whoever feeds it knows it.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a model that is too large for a file.
    pub fn observed(&self) -> Result<Vec<u8>> {
        let mut model = self.model.clone();
        let inputs: HashSet<String> = {
            let index = Index::of(file::graph(&model)?);
            self.watched.iter().filter(|w| index.is_input(&w.name)).map(|w| w.name.clone()).collect()
        };
        if let Some(graph) = &mut model.graph {
            let seen = self.watched.iter().filter(|w| !inputs.contains(&w.name));
            let outputs: Vec<_> = seen.map(|w| build::value(&w.name, DataType::Float, None)).collect();
            if !outputs.is_empty() {
                graph.output = outputs;
            }
        }
        file::write(&model)
    }
}

fn is_weighted(operator: &str) -> bool {
    matches!(operator, "Conv" | "Gemm" | "MatMul")
}

/// Each tensor once, in the order of the graph; the first layer with weights says where its channels lie.
fn watched<'a>(
    nodes: impl Iterator<Item = (usize, &'a NodeProto)>,
    layers: &HashMap<usize, Layer>,
) -> Vec<Watched> {
    let mut watched: Vec<Watched> = Vec::new();
    let mut by_weights: HashSet<String> = HashSet::new();
    let mut watch = |name: &str, axis: Option<Axis>| {
        let at = watched.iter().position(|w| w.name == name).unwrap_or_else(|| {
            watched.push(Watched { name: name.into(), axis: Axis::Second });
            watched.len() - 1
        });
        if let Some(axis) = axis.filter(|_| by_weights.insert(name.into())) {
            watched[at].axis = axis;
        }
    };
    for (at, node) in nodes {
        let Some(layer) = layers.get(&at) else { continue };
        match &layer.kind {
            Kind::Weighted(weighted) => {
                let axis = if node.operator() == "MatMul" { Axis::Last } else { Axis::Second };
                watch(&node.input[0], Some(axis));
                if weighted.coded_output {
                    watch(&layer.output, None);
                }
            }
            Kind::Ranged => watch(&layer.output, None),
            Kind::Passing => {}
        }
    }
    watched
}

/// A plan in the making.
struct Draft<'a> {
    index: &'a Index<'a>,
    layers: HashMap<usize, Layer>,
    dropped: HashSet<usize>,
    /// Tensors that there are as uint8.
    coded: HashSet<String>,
}

impl Draft<'_> {
    fn consider(&mut self, at: usize) {
        let node = &self.index.graph.node[at];
        let [output] = node.output.as_slice() else { return };
        let all_coded = || !node.input.is_empty() && node.input.iter().all(|name| self.coded.contains(name));
        let kind = match node.operator() {
            "Conv" => conv(self.index, node),
            "Gemm" => gemm(self.index, node),
            "MatMul" => matmul(self.index, node),
            "Add" | "Concat" | "AveragePool" | "GlobalAveragePool" if all_coded() => Some(Kind::Ranged),
            "MaxPool" if all_coded() => Some(Kind::Passing),
            _ => None,
        };
        let Some(kind) = kind else { return };
        let codes = !matches!(&kind, Kind::Weighted(weighted) if !weighted.coded_output);
        let activation = self.index.only_taker(output).filter(|&next| codes && self.saturates(next, output));
        let mut layer = Layer { kind, output: output.clone() };
        if let Some(next) = activation.filter(|_| !matches!(layer.kind, Kind::Passing)) {
            self.dropped.insert(next);
            layer.output.clone_from(&self.index.graph.node[next].output[0]);
        }
        if codes {
            self.coded.insert(layer.output.clone());
        }
        self.layers.insert(at, layer);
    }

    /// Whether a node does to `input` what the ends of its output's range do: then nothing is lost without it.
    fn saturates(&self, at: usize, input: &str) -> bool {
        let node = &self.index.graph.node[at];
        if node.output.len() != 1 || node.input.first().is_none_or(|first| first != input) {
            return false;
        }
        let bound = |i: usize, free: f32| match node.input.get(i).map(String::as_str) {
            None | Some("") => Some(free),
            Some(name) => self.index.constant(name).and_then(|c| c.values.first().copied()),
        };
        match node.operator() {
            "Relu" => true,
            // The range that is coded holds 0; a bound beyond it would not be kept.
            "Clip" => {
                bound(1, f32::NEG_INFINITY).is_some_and(|low| low <= 0.0)
                    && bound(2, f32::INFINITY).is_some_and(|high| high >= 0.0)
            }
            _ => false,
        }
    }
}

/// A constant that can be weights or a bias.
fn finite(index: &Index<'_>, name: &str) -> Option<Constant> {
    index.constant(name).filter(|c| !c.values.is_empty() && c.values.iter().all(|v| v.is_finite()))
}

/// The bias of a layer: `Err` where it is computed or of another length.
fn bias(index: &Index<'_>, name: Option<&String>, outs: usize) -> Result<Option<Vec<f32>>, ()> {
    match name.map(String::as_str) {
        None | Some("") => Ok(None),
        Some(name) => match finite(index, name) {
            Some(c) if c.values.len() == outs => Ok(Some(c.values)),
            _ => Err(()),
        },
    }
}

fn conv(index: &Index<'_>, node: &NodeProto) -> Option<Kind> {
    let weights = finite(index, node.input.get(1)?)?;
    let &[outs, ins, rows, cols] = weights.dims.as_slice() else { return None };
    let groups = usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|&g| g > 0)?;
    if !outs.is_multiple_of(groups) {
        return None;
    }
    let bias = bias(index, node.input.get(2), outs).ok()?;
    let taps = rows * cols;
    let layout = Layout { outs, ins, taps, out_step: ins * taps, in_step: taps };
    let weighted = Weighted { weights, layout, groups, bias, axis: 0, takes_bias: true, coded_output: true };
    Some(Kind::Weighted(Box::new(weighted)))
}

fn gemm(index: &Index<'_>, node: &NodeProto) -> Option<Kind> {
    let plain = node.int("transA").unwrap_or(0) == 0
        && node.float("alpha").unwrap_or(1.0) == 1.0
        && node.float("beta").unwrap_or(1.0) == 1.0;
    let kind = matrix(index, node, node.int("transB").unwrap_or(0) != 0)?;
    plain.then_some(kind)
}

fn matmul(index: &Index<'_>, node: &NodeProto) -> Option<Kind> {
    matrix(index, node, false)
}

/// A product with a constant matrix, `[outputs, inputs]` where it is turned.
fn matrix(index: &Index<'_>, node: &NodeProto, turned: bool) -> Option<Kind> {
    let weights = finite(index, node.input.get(1)?)?;
    let &[rows, cols] = weights.dims.as_slice() else { return None };
    let (outs, ins, axis) = if turned { (rows, cols, 0) } else { (cols, rows, 1) };
    let (out_step, in_step) = if turned { (ins, 1) } else { (1, outs) };
    let takes_bias = node.operator() == "Gemm";
    let bias = if takes_bias { bias(index, node.input.get(2), outs).ok()? } else { None };
    let layout = Layout { outs, ins, taps: 1, out_step, in_step };
    let weighted = Weighted { weights, layout, groups: 1, bias, axis, takes_bias, coded_output: false };
    Some(Kind::Weighted(Box::new(weighted)))
}
