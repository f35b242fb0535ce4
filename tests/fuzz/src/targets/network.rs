//! An ONNX file, as far as it is read before a runtime gets it.

use super::KIB;
use crate::Target;
use crate::onnx;
use assay_inference::check_onnx;

pub(super) const TARGET: Target = Target {
    name: "network",
    read,
    seeds,
    words: || vec!["image", "map", "weight", "Add"],
    memory: (16 * KIB, 2),
};

fn read(input: &[u8]) {
    // A message that is whole, twice, is a whole message: the graphs are merged.
    if check_onnx(input).is_ok() {
        assert_eq!(check_onnx(&input.repeat(2)), Ok(()));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![onnx::model()]
}
