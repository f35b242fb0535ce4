//! What a step makes of a scan, written for other programs: one safetensors file a scan.

use crate::error::{Error, Result, nearest};
use crate::inspect::{Inspection, Inspector};
use crate::pipeline::Known;
use crate::report::place;
use crate::value::{Content, Data, Value, planes};
use assay_data::{Grid, atomic};
use safetensors::{Dtype, View};
use serde_json::{Map, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The outputs of a step that are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    step: usize,
    outputs: Vec<usize>,
}

impl Wanted {
    /// The outputs that `name` means: `step` for all of a step's, or `step.output`.
    ///
    /// # Errors
    /// [`Error::Request`] with the nearest name and all there are.
    pub fn find(inspector: &Inspector, name: &str) -> Result<Self> {
        let steps = &inspector.pipeline.graph.steps;
        let (step_name, output) = name.split_once('.').map_or((name, None), |(s, o)| (s, Some(o)));
        let Some(step) = steps.iter().position(|s| s.name == step_name) else {
            let names: Vec<&str> = steps.iter().map(|s| s.name.as_str()).collect();
            let (hint, all) = (nearest(step_name, names.iter().copied()), names.join(", "));
            return Err(Error::Request(format!("the model has no step `{step_name}`{hint} It has {all}")));
        };
        let names: Vec<&str> = steps[step].outputs.iter().map(|(n, _)| n.as_str()).collect();
        let outputs = match output {
            None => (0..names.len()).collect(),
            Some(output) => match names.iter().position(|n| *n == output) {
                Some(at) => vec![at],
                None => {
                    let (hint, all) = (nearest(output, names.iter().copied()), names.join(", "));
                    return Err(Error::Request(format!(
                        "step `{step_name}` has no output `{output}`{hint} It has {all}"
                    )));
                }
            },
        };
        Ok(Self { step, outputs })
    }
}

/// Writes the wanted outputs of an inspected scan to `folder/<id>.safetensors`.
///
/// For each output: `<output>` as f32, `[C, h, w]` of a grid or `[N, C]` of a cloud, as the step made it (scores are not
/// calibrated); `<output>.valid` as u8, `[h, w]` or `[N]`; `<output>.positions` of a cloud, `[N, 3]` in metres. The metadata's
/// one entry, `assay`, is a JSON object: `scan`, `native` (`[rows, columns]`), `step`, `method`, `model_sha256` and by name the
/// `outputs`: `content`; of a grid its `frame` (column j lies at native x = offset_x + stride_x * (j + 1/2) - 1/2); of scores the
/// `image_score` and the `scales` that calibrate them. The steps that are needed run once more.
///
/// # Errors
/// [`Error::Step`] where a step fails, [`Error::Data`] where the file cannot be written.
pub fn write(
    folder: &Path,
    inspector: &Inspector,
    inspection: &Inspection,
    wanted: &Wanted,
) -> Result<PathBuf> {
    let pipeline = &inspector.pipeline;
    let places: Vec<(usize, usize)> = wanted.outputs.iter().map(|&o| (wanted.step, o)).collect();
    let outcome = pipeline.run(&inspection.scan, &places, &Known::new(), true)?;
    let step = &pipeline.graph.steps[wanted.step];
    let (mut tensors, mut outputs) = (Vec::new(), Map::new());
    for &(at, output) in &places {
        let missing = || Error::Request(format!("step `{}` made no output {output}", step.name));
        let value = outcome.get((at, output)).ok_or_else(missing)?;
        let name = &step.outputs[output].0;
        let mut about = Map::from_iter([("content".to_owned(), json!(value.content))]);
        if let Data::Grid(Grid { frame, .. }) = &value.data {
            about.insert("frame".into(), json!(frame));
        }
        if value.content == Content::Scores {
            about.insert("image_score".into(), json!(value.image_score));
            about.insert("scales".into(), json!(pipeline.scales[at][output]));
        }
        outputs.insert(name.clone(), about.into());
        tensors.extend(tensors_of(name, value));
    }
    let about = json!({
        "scan": inspection.id,
        "native": inspection.scan.native,
        "step": step.name,
        "method": step.info.id,
        "model_sha256": inspector.model_sha256,
        "outputs": outputs,
    });
    // One entry: the writer takes an unordered map, and equal dumps are equal byte for byte.
    let metadata = HashMap::from([("assay".to_owned(), about.to_string())]);
    let path = place(folder, &inspection.id, "safetensors")?;
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|e| Error::Request(format!("the outputs of step `{}` cannot be written: {e}", step.name)))?;
    atomic::write(&path, |out| out.write_all(&bytes))?;
    Ok(path)
}

/// An array as safetensors writes it.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn floats<'a>(shape: &[usize], values: impl IntoIterator<Item = &'a f32>) -> Self {
        let bytes = values.into_iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Flags; `None` = all valid.
    fn flags<'a>(shape: &[usize], valid: Option<impl IntoIterator<Item = &'a bool>>) -> Self {
        let bytes = match valid {
            Some(valid) => valid.into_iter().map(|&v| u8::from(v)).collect(),
            None => vec![1; shape.iter().product()],
        };
        Self { dtype: Dtype::U8, shape: shape.to_vec(), bytes }
    }
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn tensors_of(name: &str, value: &Value) -> Vec<(String, Tensor)> {
    let valid = format!("{name}.valid");
    let of_grid = |grid: &Grid| {
        let (c, h, w) = grid.values.dim();
        vec![
            (name.to_owned(), Tensor::floats(&[c, h, w], &grid.values)),
            (valid.clone(), Tensor::flags(&[h, w], grid.valid.as_ref())),
        ]
    };
    match &value.data {
        Data::Image(image) => of_grid(&planes(image)),
        Data::Grid(grid) => of_grid(grid),
        Data::Cloud(cloud) => {
            let (n, c) = cloud.values.dim();
            vec![
                (name.to_owned(), Tensor::floats(&[n, c], &cloud.values)),
                (valid, Tensor::flags(&[n], cloud.valid.as_ref())),
                (format!("{name}.positions"), Tensor::floats(&[n, 3], &cloud.positions)),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Cloud;
    use ndarray::{Array2, Array3};
    use safetensors::SafeTensors;

    fn value(data: Data) -> Value {
        Value { content: Content::Features, data, image_score: f64::NAN }
    }

    fn read_back(value: &Value, check: impl Fn(&SafeTensors<'_>)) {
        let bytes = safetensors::serialize(tensors_of("out", value), None).unwrap();
        check(&SafeTensors::deserialize(&bytes).unwrap());
    }

    fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
        let tensor = tensors.tensor(name).unwrap();
        tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    #[test]
    fn a_grid_comes_back_row_by_row_whatever_its_memory_order() {
        let values = Array3::from_shape_fn((2, 3, 4), |(c, i, j)| (100 * c + 10 * i + j) as f32);
        let turned = values.view().permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
        let values = turned.permuted_axes([0, 2, 1]);
        let mut valid = assay_data::Mask::from_elem((3, 4), true);
        valid[(1, 2)] = false;
        let grid = Grid { values: values.clone(), valid: Some(valid), frame: assay_data::Frame::NATIVE };
        read_back(&value(Data::Grid(grid)), |tensors| {
            assert_eq!(tensors.tensor("out").unwrap().shape(), [2, 3, 4]);
            assert_eq!(floats(tensors, "out")[12 + 4 + 2], 112.0);
            let flags = tensors.tensor("out.valid").unwrap();
            assert_eq!((flags.shape(), flags.data()[6], flags.data()[7]), (&[3, 4][..], 0, 1));
        });
    }

    #[test]
    fn a_cloud_comes_back_with_its_positions() {
        let cloud = Cloud {
            positions: Array2::from_shape_fn((5, 3), |(i, k)| (10 * i + k) as f32),
            values: Array2::from_shape_fn((5, 2), |(i, c)| (i + c) as f32),
            valid: None,
        };
        read_back(&value(Data::Cloud(cloud)), |tensors| {
            assert_eq!(tensors.tensor("out").unwrap().shape(), [5, 2]);
            assert_eq!(floats(tensors, "out.positions")[3 * 4 + 1], 41.0);
            assert_eq!(tensors.tensor("out.valid").unwrap().data(), [1; 5]);
        });
    }
}
