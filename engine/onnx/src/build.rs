//! Making nodes, attributes and whole models.

use crate::message::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};

/// A node of the standard operators.
pub fn node(operator: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&n| n.into()).collect(),
        output: outputs.iter().map(|&n| n.into()).collect(),
        name: Some(name.into()),
        op_type: Some(operator.into()),
        ..NodeProto::default()
    }
}

impl NodeProto {
    /// The node with one more attribute, an integer.
    #[must_use]
    pub fn with_int(mut self, name: &str, value: i64) -> Self {
        let kind = Some(AttributeType::Int as i32);
        let name = Some(name.into());
        self.attribute.push(AttributeProto { name, r#type: kind, i: Some(value), ..Default::default() });
        self
    }

    /// The node with one more attribute, a float.
    #[must_use]
    pub fn with_float(mut self, name: &str, value: f32) -> Self {
        let kind = Some(AttributeType::Float as i32);
        let name = Some(name.into());
        self.attribute.push(AttributeProto { name, r#type: kind, f: Some(value), ..Default::default() });
        self
    }

    /// The node with one more attribute, a text.
    #[must_use]
    pub fn with_text(mut self, name: &str, value: &str) -> Self {
        let kind = Some(AttributeType::String as i32);
        let (name, s) = (Some(name.into()), Some(value.as_bytes().to_vec()));
        self.attribute.push(AttributeProto { name, r#type: kind, s, ..Default::default() });
        self
    }

    /// The node with one more attribute, a list of integers.
    #[must_use]
    pub fn with_ints(mut self, name: &str, values: &[i64]) -> Self {
        let kind = Some(AttributeType::Ints as i32);
        let name = Some(name.into());
        self.attribute.push(AttributeProto { name, r#type: kind, ints: values.into(), ..Default::default() });
        self
    }

    /// The operator, if it is a standard one.
    pub fn operator(&self) -> &str {
        let standard = matches!(self.domain.as_deref(), None | Some("" | "ai.onnx"));
        if standard { self.op_type.as_deref().unwrap_or_default() } else { "" }
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).and_then(|a| a.i)
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).and_then(|a| a.f)
    }

    /// A text attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(|a| a.s.as_deref()).and_then(|s| std::str::from_utf8(s).ok())
    }
}

/// A tensor that goes in or out; an axis is a size or, where it is free, a name. Without a shape nothing is said of its axes.
pub fn value(name: &str, kind: DataType, shape: Option<&[Result<i64, &str>]>) -> ValueInfoProto {
    let dimension = |axis: &Result<i64, &str>| {
        let value = match *axis {
            Ok(size) => DimensionValue::DimValue(size),
            Err(name) => DimensionValue::DimParam(name.into()),
        };
        Dimension { value: Some(value), denotation: None }
    };
    let shape = shape.map(|axes| TensorShapeProto { dim: axes.iter().map(dimension).collect() });
    let tensor = TensorType { elem_type: Some(kind as i32), shape };
    let kind = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// A model of the standard operators.
pub fn model(
    opset: i64,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
) -> ModelProto {
    let graph = GraphProto {
        node: nodes,
        name: Some("graph".into()),
        initializer: initializers,
        input: inputs,
        output: outputs,
        ..GraphProto::default()
    };
    ModelProto {
        // The oldest IR that knows initializers that are no inputs and all types in use.
        ir_version: Some(8),
        producer_name: Some("assay".into()),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}
