//! Who makes and who takes each tensor of a graph.

use crate::message::{AttributeProto, DataType, GraphProto, NodeProto, TensorProto};
use crate::tensor;
use std::collections::{HashMap, HashSet};

/// A graph with its tensors looked up by name.
pub(crate) struct Index<'a> {
    pub(crate) graph: &'a GraphProto,
    initializers: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, usize>,
    takers: HashMap<&'a str, Vec<usize>>,
    /// Names that must stay: inputs and outputs of the graph, and what graphs within nodes refer to.
    kept: HashSet<&'a str>,
}

/// A tensor that is the same for every input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl<'a> Index<'a> {
    pub(crate) fn of(graph: &'a GraphProto) -> Self {
        let names = |values: &'a [crate::message::ValueInfoProto]| values.iter().map(|v| v.name());
        let inputs: HashSet<&str> = names(&graph.input).collect();
        // What is an input too is only a default: it may be another at each run.
        let initializers = graph.initializer.iter().map(|t| (t.name(), t));
        let mut index = Self {
            graph,
            initializers: initializers.filter(|(name, _)| !inputs.contains(name)).collect(),
            makers: HashMap::new(),
            takers: HashMap::new(),
            kept: inputs.iter().copied().chain(names(&graph.output)).collect(),
        };
        for (at, node) in graph.node.iter().enumerate() {
            index.makers.extend(node.output.iter().map(|name| (name.as_str(), at)));
            node.input.iter().for_each(|name| index.takers.entry(name).or_default().push(at));
            node.attribute.iter().flat_map(graphs).for_each(|g| names_within(g, &mut index.kept));
        }
        index
    }

    /// The node that makes a tensor.
    pub(crate) fn maker(&self, name: &str) -> Option<&'a NodeProto> {
        self.makers.get(name).and_then(|&at| self.graph.node.get(at))
    }

    /// The only node that takes a tensor, where nothing else needs it.
    pub(crate) fn only_taker(&self, name: &str) -> Option<usize> {
        match self.takers.get(name).map(Vec::as_slice) {
            Some(&[at]) if !self.kept.contains(name) => Some(at),
            _ => None,
        }
    }

    /// Whether a tensor is an input of the graph.
    pub(crate) fn is_input(&self, name: &str) -> bool {
        self.graph.input.iter().any(|v| v.name() == name)
    }

    /// A float32 tensor that is the same for every input: an initializer, a `Constant`, or either one cast from floats of
    /// another width.
    pub(crate) fn constant(&self, name: &str) -> Option<Constant> {
        let held = self.held(name, 8)?;
        if held.widened || held.tensor.data_type() == DataType::Float as i32 {
            let (dims, values) = (tensor::dims(held.tensor)?, tensor::floats(held.tensor)?);
            return Some(Constant { dims, values });
        }
        None
    }

    fn held(&self, name: &str, depth: usize) -> Option<Held<'a>> {
        if let Some(&tensor) = self.initializers.get(name) {
            return Some(Held { tensor, widened: false });
        }
        let node = self.maker(name)?;
        let input = || node.input.first().filter(|_| depth > 0).and_then(|n| self.held(n, depth - 1));
        match node.operator() {
            "Constant" => node
                .attribute("value")
                .and_then(|a| a.t.as_ref())
                .map(|tensor| Held { tensor, widened: false }),
            "Identity" => input(),
            "Cast" if node.int("to") == Some(DataType::Float as i64) => {
                input().map(|held| Held { widened: true, ..held })
            }
            _ => None,
        }
    }

    /// All names in use, so that new ones are new.
    pub(crate) fn names(&self) -> HashSet<String> {
        let tensors = self.graph.initializer.iter().map(|t| t.name());
        let nodes = self.graph.node.iter();
        let nodes = nodes.flat_map(|n| n.output.iter().chain(&n.input).map(String::as_str).chain([n.name()]));
        tensors.chain(nodes).chain(self.kept.iter().copied()).map(String::from).collect()
    }
}

/// A constant as it stands in the file.
struct Held<'a> {
    tensor: &'a TensorProto,
    /// It is cast to float32.
    widened: bool,
}

/// The graphs that an attribute holds.
pub(crate) fn graphs(attribute: &AttributeProto) -> impl Iterator<Item = &GraphProto> {
    attribute.g.iter().chain(&attribute.graphs)
}

/// The names that a graph within a node takes, at any depth; some of them are its own, which does no harm.
pub(crate) fn names_within<'a>(graph: &'a GraphProto, names: &mut HashSet<&'a str>) {
    names.extend(graph.output.iter().map(|v| v.name()));
    for node in &graph.node {
        names.extend(node.input.iter().map(String::as_str));
        node.attribute.iter().flat_map(graphs).for_each(|g| names_within(g, names));
    }
}
