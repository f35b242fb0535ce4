//! The int8 network.

use super::Quantised;
use super::observation::{Coding, Observation};
use super::plan::{Kind, Layer, Plan, Weighted};
use super::weights;
use crate::build;
use crate::error::{Error, Result};
use crate::file;
use crate::index::{Index, graphs, names_within};
use crate::message::{GraphProto, NodeProto, TensorProto};
use crate::tensor;
use std::collections::{HashMap, HashSet};

impl Plan {
    /// Writes the int8 network by what was seen of the [watched](Self::watched) tensors, by name.
    ///
    /// # Errors
    /// [`Error::Observation`] for a tensor that was not seen or has other channels than its layer.
    pub fn write(&self, seen: &HashMap<String, Observation>) -> Result<Quantised> {
        let graph = file::graph(&self.model)?;
        let mut writer = Writer {
            seen,
            names: Index::of(graph).names(),
            nodes: Vec::with_capacity(graph.node.len() * 3),
            initializers: Vec::new(),
            codings: HashMap::new(),
            decoded: HashMap::new(),
        };
        for (at, node) in graph.node.iter().enumerate() {
            match self.layers.get(&at) {
                Some(layer) => writer.layer(node, layer)?,
                None if self.dropped.contains(&at) => {}
                None => writer.nodes.push(node.clone()),
            }
        }
        let Writer { nodes, initializers, .. } = writer;
        let mut model = self.model.clone();
        if let Some(graph) = &mut model.graph {
            graph.node = nodes;
            graph.initializer.extend(initializers);
            tidy(graph);
        }
        let layers = self.layers.values().filter(|l| matches!(l.kind, Kind::Weighted(_))).count();
        Ok(Quantised { onnx: file::write(&model)?, layers, of: self.weighted })
    }
}

/// A coding with the names of its scale and zero point in the graph.
#[derive(Clone)]
struct Named {
    coding: Coding,
    scale: String,
    zero: String,
}

struct Writer<'a> {
    seen: &'a HashMap<String, Observation>,
    /// All names so far.
    names: HashSet<String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// How each tensor is coded, by its name.
    codings: HashMap<String, Named>,
    /// The decoded copy of each coded tensor, by its name.
    decoded: HashMap<String, String>,
}

impl Writer<'_> {
    /// A name that there is not yet.
    fn name(&mut self, base: &str, what: &str) -> String {
        let mut name = format!("{base}_{what}");
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    fn seen(&self, tensor: &str) -> Result<&Observation> {
        let fail = |reason: &str| Error::Observation { tensor: tensor.into(), reason: reason.into() };
        let seen = self.seen.get(tensor).ok_or_else(|| fail("nothing was seen of it"))?;
        if !(seen.min.is_finite() && seen.max.is_finite() && seen.min <= seen.max) {
            return Err(fail("its range is not finite"));
        }
        Ok(seen)
    }

    fn coding(&mut self, tensor: &str) -> Result<Named> {
        if let Some(named) = self.codings.get(tensor) {
            return Ok(named.clone());
        }
        let coding = Coding::of(self.seen(tensor)?);
        let (scale, zero) = (self.name(tensor, "scale"), self.name(tensor, "zero"));
        self.initializers.push(tensor::of_f32(&scale, &[], &[coding.scale]));
        self.initializers.push(tensor::of_u8(&zero, &[], &[coding.zero]));
        let named = Named { coding, scale, zero };
        self.codings.insert(tensor.into(), named.clone());
        Ok(named)
    }

    /// Codes `from` and decodes it as `to`.
    fn pair(&mut self, from: &str, to: &str, named: &Named) {
        let coded = self.name(to, "coded");
        for (operator, input, output) in
            [("QuantizeLinear", from, coded.as_str()), ("DequantizeLinear", coded.as_str(), to)]
        {
            let node =
                self.name(output, if operator == "QuantizeLinear" { "quantise" } else { "dequantise" });
            self.nodes.push(build::node(operator, &node, &[input, &named.scale, &named.zero], &[output]));
        }
    }

    /// The decoded copy of a tensor.
    fn decoded(&mut self, tensor: &str) -> Result<String> {
        if let Some(name) = self.decoded.get(tensor) {
            return Ok(name.clone());
        }
        let named = self.coding(tensor)?;
        let decoded = self.name(tensor, "decoded");
        self.pair(tensor, &decoded, &named);
        self.decoded.insert(tensor.into(), decoded.clone());
        Ok(decoded)
    }

    fn layer(&mut self, node: &NodeProto, layer: &Layer) -> Result<()> {
        let mut quantised = node.clone();
        let output = &layer.output;
        let coded_output = match &layer.kind {
            Kind::Weighted(weighted) => {
                quantised.input[0] = self.decoded(&node.input[0])?;
                self.weights(node, weighted, &mut quantised)?;
                weighted.coded_output
            }
            Kind::Ranged | Kind::Passing => {
                for input in &mut quantised.input {
                    *input = self.decoded(input)?;
                }
                true
            }
        };
        if !coded_output {
            self.nodes.push(quantised);
            return Ok(());
        }
        let named = if layer.kind == Kind::Passing {
            // Runtimes leave the values as they are where both ends are coded alike.
            let named = self.coding(&node.input[0])?;
            self.codings.insert(output.clone(), named.clone());
            named
        } else {
            self.coding(output)?
        };
        // What was called by the output's name is now the decoded copy, so that nothing else changes.
        let exact = self.name(output, "exact");
        quantised.output[0].clone_from(&exact);
        self.nodes.push(quantised);
        self.pair(&exact, output, &named);
        self.decoded.insert(output.clone(), output.clone());
        Ok(())
    }

    /// Weights and bias of a layer.
    fn weights(&mut self, node: &NodeProto, layer: &Weighted, quantised: &mut NodeProto) -> Result<()> {
        let (outs, ins) = (layer.layout.outs, layer.layout.ins);
        let input = &node.input[0];
        let input_scale = self.coding(input)?.coding.scale;
        let zeros = vec![0.0; outs];
        let bias = layer.bias.as_ref().unwrap_or(&zeros);
        // A bias is counted in steps of input times weight: steps so small that it would overflow are widened.
        let least: Vec<f32> =
            bias.iter().map(|b| (b.abs() / input_scale / (1_u32 << 30) as f32).max(1e-12)).collect();
        let coded = weights::quantise(&layer.weights.values, layer.layout, &least);
        // What rounding adds to each output channel on the mean input.
        let means = self.seen(input)?.means();
        if layer.takes_bias && means.len() != ins * layer.groups {
            let reason = format!("it has {} channels, its layer takes {}", means.len(), ins * layer.groups);
            return Err(Error::Observation { tensor: input.clone(), reason });
        }
        let shift = |o: usize| -> f64 {
            let first = o / (outs / layer.groups).max(1) * ins;
            (0..ins).map(|i| coded.excess[o * ins + i] * means[first + i]).sum()
        };
        let name = &node.output[0];
        let base = self.name(name, "weights");
        let (scale, zero) = (self.name(&base, "scale"), self.name(&base, "zero"));
        self.initializers.push(tensor::of_i8(&base, &layer.weights.dims, &coded.values));
        self.initializers.push(tensor::of_f32(&scale, &[outs], &coded.scales));
        self.initializers.push(tensor::of_i8(&zero, &[outs], &vec![0; outs]));
        quantised.input[1] = self.constant(&base, &scale, &zero, layer.axis);
        if !layer.takes_bias {
            return Ok(());
        }
        let scales: Vec<f32> = coded.scales.iter().map(|s| s * input_scale).collect();
        let steps = |o: usize| {
            let exact = (f64::from(bias[o]) - shift(o)) / f64::from(scales[o]);
            exact.round_ties_even().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
        };
        let values: Vec<i32> = (0..outs).map(steps).collect();
        let base = self.name(name, "bias");
        let (scale, zero) = (self.name(&base, "scale"), self.name(&base, "zero"));
        self.initializers.push(tensor::of_i32(&base, &[outs], &values));
        self.initializers.push(tensor::of_f32(&scale, &[outs], &scales));
        self.initializers.push(tensor::of_i32(&zero, &[outs], &vec![0; outs]));
        let bias = self.constant(&base, &scale, &zero, 0);
        quantised.input.truncate(2);
        quantised.input.push(bias);
        Ok(())
    }

    /// Decodes a coded constant with one scale a channel.
    fn constant(&mut self, coded: &str, scale: &str, zero: &str, axis: usize) -> String {
        let (decoded, node) = (self.name(coded, "decoded"), self.name(coded, "dequantise"));
        let made = build::node("DequantizeLinear", &node, &[coded, scale, zero], &[&decoded]);
        self.nodes.push(made.with_int("axis", axis as i64));
        decoded
    }
}

/// Removes what nothing needs any more: float32 weights, the nodes that made them, notes on tensors that are gone.
fn tidy(graph: &mut GraphProto) {
    loop {
        let mut needed: HashSet<&str> = graph.output.iter().map(|v| v.name()).collect();
        for node in &graph.node {
            needed.extend(node.input.iter().map(String::as_str));
            node.attribute.iter().flat_map(graphs).for_each(|g| names_within(g, &mut needed));
        }
        let spare = |n: &NodeProto| {
            matches!(n.operator(), "Constant" | "Cast" | "Identity")
                && !n.output.iter().any(|o| needed.contains(o.as_str()))
        };
        let keep: Vec<bool> = graph.node.iter().map(|n| !spare(n)).collect();
        if keep.iter().all(|&k| k) {
            let inputs = graph.input.iter().map(|v| v.name());
            let held: HashSet<String> = needed.iter().copied().chain(inputs).map(String::from).collect();
            graph.initializer.retain(|t| held.contains(t.name()));
            let made: HashSet<&str> = graph.node.iter().flat_map(|n| &n.output).map(String::as_str).collect();
            graph.value_info.retain(|v| made.contains(v.name()));
            return;
        }
        let mut keep = keep.into_iter();
        graph.node.retain(|_| keep.next().unwrap_or(true));
    }
}
