//! A few protobuf messages by hand: the ONNX model y = sum over channels of (x - mean)^2.

fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v > 127 {
        out.push(v as u8 | 128);
        v >>= 7;
    }
    out.push(v as u8);
}

fn number(field: u64, v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, field << 3);
    varint(&mut out, v);
    out
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, field << 3 | 2);
    varint(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn text(field: u64, content: &str) -> Vec<u8> {
    bytes(field, content.as_bytes())
}

/// NodeProto: inputs 1, outputs 2, op_type 4.
fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut body: Vec<u8> = inputs.iter().flat_map(|i| text(1, i)).collect();
    body.extend(text(2, output));
    body.extend(text(4, op));
    bytes(1, &body)
}

/// TensorProto: dims 1, data_type 2, name 8, raw_data 9.
fn tensor(name: &str, dims: &[u64], data_type: u64, raw: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = dims.iter().flat_map(|&d| number(1, d)).collect();
    body.extend([number(2, data_type), text(8, name), bytes(9, raw)].concat());
    bytes(5, &body)
}

/// ValueInfoProto with a float tensor of named or fixed dimensions.
fn value(field: u64, name: &str, dims: &[&str]) -> Vec<u8> {
    let dim = |d: &&str| bytes(1, &d.parse().map_or_else(|_| text(2, d), |n| number(1, n)));
    let shape: Vec<u8> = dims.iter().flat_map(dim).collect();
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    bytes(field, &[text(1, name), bytes(2, &bytes(1, &tensor))].concat())
}

/// The model for a mean of `mean.len()` channels, opset 13.
pub(crate) fn squared_distance(mean: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = mean.iter().flat_map(|v| v.to_le_bytes()).collect();
    let channels = mean.len().to_string();
    let graph = [
        node("Sub", &["x", "mean"], "d"),
        node("Mul", &["d", "d"], "s"),
        node("ReduceSum", &["s", "axes"], "y"),
        text(2, "distance"),
        tensor("mean", &[1, mean.len() as u64, 1, 1], 1, &raw),
        tensor("axes", &[1], 7, &1i64.to_le_bytes()),
        value(11, "x", &["n", &channels, "h", "w"]),
        value(12, "y", &["n", "1", "h", "w"]),
    ]
    .concat();
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}
