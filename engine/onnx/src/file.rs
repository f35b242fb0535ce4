//! Files: bytes to messages and back.

use crate::error::{Error, Result};
use crate::message::{GraphProto, ModelProto};
use prost::Message as _;

/// Longest file that is read or written: protobuf's own limit, which runtimes have too.
pub const MOST_BYTES: usize = i32::MAX as usize;

/// Reads a file.
///
/// # Errors
/// [`Error::Malformed`] for bytes that are no ONNX model or hold no graph.
pub fn read(bytes: &[u8]) -> Result<ModelProto> {
    if bytes.len() > MOST_BYTES {
        return Err(Error::Malformed(format!("{} bytes are more than {MOST_BYTES}", bytes.len())));
    }
    let model = ModelProto::decode(bytes).map_err(|e| Error::Malformed(e.to_string()))?;
    graph(&model)?;
    Ok(model)
}

/// Writes a file.
///
/// # Errors
/// [`Error::Malformed`] for a model that is too large for one.
pub fn write(model: &ModelProto) -> Result<Vec<u8>> {
    match model.encoded_len() {
        length if length > MOST_BYTES => {
            Err(Error::Malformed(format!("{length} bytes are more than {MOST_BYTES}")))
        }
        _ => Ok(model.encode_to_vec()),
    }
}

/// The graph of a model.
///
/// # Errors
/// [`Error::Malformed`] where it holds none.
pub fn graph(model: &ModelProto) -> Result<&GraphProto> {
    model.graph.as_ref().ok_or_else(|| Error::Malformed("it holds no graph".into()))
}

/// The version of the operators without a domain.
pub fn opset(model: &ModelProto) -> Option<i64> {
    let main = model.opset_import.iter().find(|o| matches!(o.domain.as_deref(), None | Some("" | "ai.onnx")));
    main.and_then(|o| o.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The built-in backbone, which another program wrote.
    const BACKBONE: &[u8] = include_bytes!("../../inference/backbone/efficientnet-lite0.onnx");

    #[test]
    fn a_file_of_another_program_comes_back_byte_for_byte() {
        let model = read(BACKBONE).unwrap();
        assert_eq!(opset(&model), Some(13));
        let written = write(&model).unwrap();
        assert_eq!(read(&written).unwrap(), model);
        // The same fields in the same order of tags, nothing lost and nothing added.
        assert_eq!(written.len(), BACKBONE.len());
    }

    #[test]
    fn what_is_no_model_is_an_error() {
        for bytes in [&b""[..], b"plain text", &BACKBONE[..BACKBONE.len() / 2], &[0xff; 40]] {
            assert!(matches!(read(bytes), Err(Error::Malformed(_))));
        }
    }

    #[test]
    fn nesting_ends_somewhere() {
        let mut graph = Vec::new();
        for _ in 0..200 {
            for key in [0x32, 0x2a, 0x0a] {
                let mut outer = vec![key];
                prost::encoding::encode_varint(graph.len() as u64, &mut outer);
                outer.append(&mut graph);
                graph = outer;
            }
        }
        let mut model = vec![0x3a];
        prost::encoding::encode_varint(graph.len() as u64, &mut model);
        model.append(&mut graph);
        assert!(read(&model).unwrap_err().to_string().contains("recursion"));
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(model) = read(&bytes) {
                prop_assert_eq!(read(&write(&model).unwrap()).unwrap(), model);
            }
        }
    }
}
