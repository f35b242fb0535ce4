//! Writes small ONNX models: protobuf messages of the few fields that they need.

pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(field << 3, &mut out);
    varint(value, &mut out);
    out
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(field << 3 | 2, &mut out);
    varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// A node; `cast_to` is the attribute of the operator `Cast`.
pub fn node(op: &str, input: &str, output: &str, cast_to: Option<u64>) -> Vec<u8> {
    let mut node =
        [bytes(1, input.as_bytes()), bytes(2, output.as_bytes()), bytes(4, op.as_bytes())].concat();
    if let Some(to) = cast_to {
        node.extend(bytes(5, &[bytes(1, b"to"), number(3, to), number(20, 2)].concat()));
    }
    node
}

/// An input or output of one free axis.
pub fn tensor(name: &str, element_type: u64) -> Vec<u8> {
    let shape = bytes(1, &bytes(2, b"N"));
    let tensor_type = [number(1, element_type), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor_type))].concat()
}

pub fn model(nodes: &[Vec<u8>], inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|n| bytes(1, n)).collect();
    graph.extend(bytes(2, b"graph"));
    graph.extend(inputs.iter().flat_map(|i| bytes(11, i)));
    graph.extend(outputs.iter().flat_map(|o| bytes(12, o)));
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}
