//! Checks that a file is one whole ONNX message before a runtime parses it.
//!
//! An ONNX file is a protobuf message. The parser of rten 0.27 trusts it in two ways that a damaged file
//! can abuse: it never returns from a varint of ten continuation bytes, and it allocates the length that a
//! field states before it looks whether the file has that many bytes. The walk here follows the messages
//! that a runtime reads and refuses both, so that it also tells a truncated file from one that is no model.

/// Deeper nesting than this is refused: each level is a call in the parsers. It is protobuf's own limit.
const MAX_DEPTH: u32 = 100;

/// The messages of the ONNX schema (onnx.proto) that have messages or packed numbers within.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    SequenceType,
    Shape,
    /// Any message of numbers and strings only.
    Flat,
}

/// What a field with a length holds.
enum Payload {
    Message(Message),
    Varints,
    Bytes,
}

impl Message {
    /// By the field numbers of onnx.proto; what is not named here is not looked into.
    fn payload(self, field: u64) -> Payload {
        use Message::*;
        let message = match (self, field) {
            (Model, 7) | (Attribute, 6) => Graph,
            (Model, 8 | 14) | (Tensor, 13) | (Shape, 1) => Flat,
            (Graph, 1) => Node,
            (Graph, 5) | (Attribute, 5) => Tensor,
            (Graph, 11..=13) => ValueInfo,
            (Node, 5) => Attribute,
            (ValueInfo, 2) | (SequenceType, 1) => Type,
            (Type, 1) => TensorType,
            (Type, 4) => SequenceType,
            (TensorType, 2) => Shape,
            (Tensor, 5 | 7) => return Payload::Varints,
            _ => return Payload::Bytes,
        };
        Payload::Message(message)
    }
}

/// Refuses an ONNX file that is truncated, malformed or without a graph before a runtime parses it.
///
/// # Errors
/// The reason.
pub fn check(file: &[u8]) -> Result<(), String> {
    let mut has_graph = false;
    let mut rest = file;
    while !rest.is_empty() {
        has_graph |= field(&mut rest, Message::Model, 0)? == 7;
    }
    if has_graph { Ok(()) } else { Err("it holds no graph; it is not an ONNX model".to_owned()) }
}

/// Walks one field off `rest` and returns its number.
fn field(rest: &mut &[u8], of: Message, depth: u32) -> Result<u64, String> {
    let key = varint(rest)?;
    let number = key >> 3;
    match key & 7 {
        0 => {
            varint(rest)?;
        }
        1 => {
            take(rest, 8)?;
        }
        5 => {
            take(rest, 4)?;
        }
        2 => {
            let length = varint(rest)?;
            let mut content = take(rest, length)?;
            let payload = of.payload(number);
            if depth == MAX_DEPTH && matches!(payload, Payload::Message(_)) {
                return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
            }
            while !content.is_empty() {
                match payload {
                    Payload::Message(inner) => {
                        field(&mut content, inner, depth + 1)?;
                    }
                    Payload::Varints => {
                        varint(&mut content)?;
                    }
                    Payload::Bytes => break,
                }
            }
        }
        wire_type => return Err(format!("it is not an ONNX model (protobuf wire type {wire_type})")),
    }
    Ok(number)
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("it is not an ONNX model (a number of more than 64 bits)".to_owned())
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, left) =
        split.ok_or("it ends in the middle; the file is truncated, or it is not an ONNX model")?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::DEFAULT_BACKBONE;

    #[test]
    fn a_whole_model_passes_and_a_truncated_one_says_so() {
        assert_eq!(check(DEFAULT_BACKBONE), Ok(()));
        let half = &DEFAULT_BACKBONE[..DEFAULT_BACKBONE.len() / 2];
        assert!(check(half).unwrap_err().contains("truncated"));
    }

    #[test]
    fn numbers_without_an_end_and_lengths_beyond_the_file_are_refused() {
        assert!(check(&[0xff; 64]).unwrap_err().contains("64 bits"));
        // A graph (field 7) with a node (field 1) that states a length of 2^63.
        let node = [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        let graph = [&[0x3a, node.len() as u8][..], &node].concat();
        assert!(check(&graph).unwrap_err().contains("truncated"));
        assert!(check(b"").unwrap_err().contains("no graph"));
        assert!(check(b"plain text").is_err());
    }

    #[test]
    fn graphs_within_graphs_end_somewhere() {
        let mut graph: Vec<u8> = Vec::new();
        let wrap = |key: u8, content: &[u8]| {
            let length = content.len() as u64;
            let mut out = vec![key];
            for shift in (0..28).step_by(7) {
                out.push((length >> shift) as u8 & 0x7f | if shift < 21 { 0x80 } else { 0 });
            }
            out.extend_from_slice(content);
            out
        };
        for _ in 0..1000 {
            graph = wrap(0x0a, &wrap(0x2a, &wrap(0x32, &graph))); // a node's attribute that is a graph
        }
        assert!(check(&wrap(0x3a, &graph)).unwrap_err().contains("nested"));
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes);
        }
    }
}
