//! A small ONNX model, written as the protobuf messages that it is.

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// An input or output `[N, 3, H, W]` of float32.
fn value(field: u64, name: &str) -> Vec<u8> {
    let axes = [bytes(2, b"N"), number(1, 3), bytes(2, b"H"), bytes(2, b"W")];
    let shape: Vec<u8> = axes.iter().flat_map(|axis| bytes(1, axis)).collect();
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    bytes(field, &[bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat())
}

/// A network from `image` to `map`, both `[N, 3, H, W]`: map = image + weight.
pub(crate) fn model() -> Vec<u8> {
    let texts =
        |field, texts: &[&str]| texts.iter().flat_map(|t| bytes(field, t.as_bytes())).collect::<Vec<u8>>();
    let node = [texts(1, &["image", "weight"]), texts(2, &["map"]), texts(4, &["Add"])].concat();
    let weight = [number(1, 1), number(2, 1), bytes(4, &0.5f32.to_le_bytes()), bytes(8, b"weight")].concat();
    let graph = [bytes(1, &node), bytes(2, b"g"), bytes(5, &weight), value(11, "image"), value(12, "map")];
    [number(1, 8), bytes(7, &graph.concat()), bytes(8, &number(2, 13))].concat()
}
