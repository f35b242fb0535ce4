//! The rten backend: pure Rust, part of the program, so that it works on a bare machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rten::{DataType, Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, ValueType, ValueView};
use rten_tensor::{AsView, Layout};

use crate::lender::Lender;
use crate::session::{ElementType, Input, NamedArray, TensorInfo};

/// The runtime's name, for messages and records.
pub(crate) const NAME: &str = "rten";
/// The version that the program is built with; rten does not state its own.
pub(crate) const VERSION: &str = "0.27.0";

/// A model in rten. The model itself may be run from several threads; each caller at a time gets a thread
/// pool of its own, since callers that shared one would run one after the other.
pub(crate) struct RtenModel {
    model: Model,
    threads: usize,
    pools: Lender<Arc<ThreadPool>>,
    pub(crate) inputs: Vec<TensorInfo>,
    pub(crate) outputs: Vec<TensorInfo>,
    output_ids: Vec<NodeId>,
}

impl RtenModel {
    /// Loads a model that runs on `threads` threads; the error is rten's own and names the operator or node.
    pub(crate) fn load(onnx: &[u8], threads: usize) -> Result<Self, String> {
        let load = || ModelOptions::with_all_ops().prepack_weights(true).load(onnx.to_vec());
        let model = without_panic(load)?.map_err(|e| e.to_string())?;
        let inputs = model.input_ids().iter().map(|&id| tensor_info(&model, id)).collect::<Result<_, _>>()?;
        let outputs: Vec<TensorInfo> =
            model.output_ids().iter().map(|&id| tensor_info(&model, id)).collect::<Result<_, _>>()?;
        let tensors = outputs.iter().zip(model.output_ids());
        let output_ids =
            tensors.filter(|(info, _)| info.dtype == ElementType::F32).map(|(_, &id)| id).collect();
        Ok(Self { model, threads, pools: Lender::new(thread_pool(threads)), inputs, outputs, output_ids })
    }

    /// Runs the model and returns its float32 outputs in the order of the graph.
    pub(crate) fn run(&self, inputs: &[Input<'_>]) -> Result<Vec<NamedArray>, String> {
        let make = || Ok(thread_pool(self.threads));
        self.pools.lend(make, |pool| self.run_on(pool, inputs))
    }

    fn run_on(&self, pool: &Arc<ThreadPool>, inputs: &[Input<'_>]) -> Result<Vec<NamedArray>, String> {
        let mut values = Vec::with_capacity(inputs.len());
        for input in inputs {
            let id = self.model.node_id(input.name).map_err(|e| e.to_string())?;
            let value = ValueView::from_shape(input.shape, &input.data).map_err(|e| e.to_string())?;
            values.push((id, value.into()));
        }
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        let results = without_panic(|| self.model.run(values, &self.output_ids, Some(options)))?;
        let names = self.outputs.iter().filter(|output| output.dtype == ElementType::F32);
        let mut outputs = Vec::with_capacity(self.output_ids.len());
        for (output, value) in names.zip(results.map_err(|e| e.to_string())?) {
            let tensor = value
                .into_tensor::<f32>()
                .ok_or_else(|| format!("output `{}` is not float32", output.name))?;
            let shape = IxDyn(tensor.shape());
            let array = ArrayD::from_shape_vec(shape, tensor.to_vec()).map_err(|e| e.to_string())?;
            outputs.push((output.name.clone(), array));
        }
        Ok(outputs)
    }
}

fn thread_pool(threads: usize) -> Arc<ThreadPool> {
    Arc::new(ThreadPool::with_num_threads(threads))
}

/// Calls rten. It checks its input with assertions in places; a panic becomes an error.
fn without_panic<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        format!("it panicked: {message}")
    })
}

fn tensor_info(model: &Model, id: NodeId) -> Result<TensorInfo, String> {
    let node = model.node_info(id).ok_or("the graph names an input or output that it does not have")?;
    let dtype = match node.dtype() {
        // rten turns float16 and float64 tensors into float32; a type that it cannot infer shows when it runs.
        Some(ValueType::Tensor(DataType::Float)) | None => ElementType::F32,
        Some(other) => ElementType::Other(other.to_string()),
    };
    let dim = |dim: &Dimension| match dim {
        Dimension::Fixed(size) => Some(*size),
        Dimension::Symbolic(_) => None,
    };
    Ok(TensorInfo {
        name: node.name().ok_or("the graph has an input or output without a name")?.to_owned(),
        shape: node.shape().unwrap_or_default().iter().map(dim).collect(),
        dtype,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stated_is_the_version_built_with() {
        let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let Ok(lock) = std::fs::read_to_string(manifest.join("../../Cargo.lock")) else { return };
        assert!(
            lock.contains(&format!("name = \"rten\"\nversion = \"{VERSION}\"")),
            "rten is no longer {VERSION}"
        );
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        assert_eq!(without_panic(|| 5), Ok(5));
        let error = without_panic(|| panic!("the {} failed", "check")).unwrap_err();
        assert_eq!(error, "it panicked: the check failed");
    }
}
