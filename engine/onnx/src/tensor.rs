//! Tensors: making them and reading what they hold.

use crate::message::{DataType, TensorProto};
use half::f16;

/// A tensor of little-endian bytes; the caller's element type and count.
fn raw(name: &str, kind: DataType, dims: &[usize], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: Some(kind as i32),
        name: Some(name.into()),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// A tensor of float32.
pub fn of_f32(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    raw(name, DataType::Float, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A tensor of int8.
pub fn of_i8(name: &str, dims: &[usize], values: &[i8]) -> TensorProto {
    raw(name, DataType::Int8, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A tensor of uint8.
pub fn of_u8(name: &str, dims: &[usize], values: &[u8]) -> TensorProto {
    raw(name, DataType::Uint8, dims, values.to_vec())
}

/// A tensor of int32.
pub fn of_i32(name: &str, dims: &[usize], values: &[i32]) -> TensorProto {
    raw(name, DataType::Int32, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A tensor of int64.
pub fn of_i64(name: &str, dims: &[usize], values: &[i64]) -> TensorProto {
    raw(name, DataType::Int64, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// The axes of a tensor; `None` where one is negative or the elements are more than can be counted.
pub fn dims(tensor: &TensorProto) -> Option<Vec<usize>> {
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    dims.filter(|dims| dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).is_some())
}

/// The values of a tensor of floats, of whatever width, as float32; `None` where it holds something else, less or more than its
/// axes say, or lies in another file.
pub fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    let count: usize = dims(tensor)?.iter().product();
    if tensor.data_location.unwrap_or(0) != 0 || tensor.segment.is_some() {
        return None;
    }
    let kind = DataType::try_from(tensor.data_type?).ok()?;
    let values: Vec<f32> = match (kind, tensor.raw_data.as_deref()) {
        (DataType::Float, Some(raw)) => words(raw)?.map(f32::from_le_bytes).collect(),
        (DataType::Float, None) => tensor.float_data.clone(),
        (DataType::Float16, Some(raw)) => words(raw)?.map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        (DataType::Float16, None) => {
            tensor.int32_data.iter().map(|&bits| f16::from_bits(bits as u16).to_f32()).collect()
        }
        (DataType::Double, Some(raw)) => words(raw)?.map(|b| f64::from_le_bytes(b) as f32).collect(),
        (DataType::Double, None) => tensor.double_data.iter().map(|&v| v as f32).collect(),
        _ => return None,
    };
    (values.len() == count).then_some(values)
}

/// Words of `N` bytes each.
fn words<const N: usize>(raw: &[u8]) -> Option<impl Iterator<Item = [u8; N]> + '_> {
    let (words, rest) = raw.as_chunks::<N>();
    rest.is_empty().then(|| words.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_every_width_are_read_and_others_are_not() {
        let made = of_f32("a", &[2, 2], &[1.0, -2.5, 0.0, 1e-3]);
        assert_eq!(floats(&made).unwrap(), [1.0, -2.5, 0.0, 1e-3]);
        let bits: Vec<u8> =
            [1.0_f32, -2.5].iter().flat_map(|&v| f16::from_f32(v).to_bits().to_le_bytes()).collect();
        let half = raw("b", DataType::Float16, &[2], bits.clone());
        assert_eq!(floats(&half).unwrap(), [1.0, -2.5]);
        let doubles: Vec<u8> = [0.5_f64, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(floats(&raw("c", DataType::Double, &[2], doubles)).unwrap(), [0.5, 3.0]);
        assert_eq!(floats(&of_i8("d", &[1], &[3])), None);
    }

    #[test]
    fn a_tensor_that_holds_less_or_more_than_it_says_has_no_values() {
        let mut tensor = of_f32("a", &[3], &[1.0, 2.0]);
        assert_eq!(floats(&tensor), None);
        tensor.dims = vec![-1];
        assert_eq!(floats(&tensor), None);
        tensor.dims = vec![i64::MAX, i64::MAX];
        assert_eq!(floats(&tensor), None);
        tensor.dims = vec![2];
        assert!(floats(&tensor).is_some());
        tensor.raw_data.as_mut().unwrap().pop();
        assert_eq!(floats(&tensor), None);
        let elsewhere = TensorProto { data_location: Some(1), ..of_f32("a", &[1], &[1.0]) };
        assert_eq!(floats(&elsewhere), None);
    }
}
