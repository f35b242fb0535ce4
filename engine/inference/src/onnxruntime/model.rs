//! A model in ONNX Runtime.

use std::borrow::Cow;
use std::sync::Arc;

use ndarray::ArrayD;
use ort::environment::Environment;
use ort::ep::CUDA;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::environment::take_last_error;
use crate::lender::Lender;
use crate::options::Device;
use crate::platform;
use crate::session::{ElementType, Input, NamedArray, TensorInfo};

/// A model and its sessions. ONNX Runtime's `Run` is not safe to call on one session from several threads
/// (the bindings therefore ask for `&mut`), so that each caller at a time gets a session of its own.
pub(crate) struct OnnxRuntimeModel {
    onnx: Arc<[u8]>,
    settings: Settings,
    sessions: Lender<Session>,
    pub(crate) inputs: Vec<TensorInfo>,
    pub(crate) outputs: Vec<TensorInfo>,
}

struct Settings {
    environment: Environment,
    device: Device,
    threads: usize,
}

impl OnnxRuntimeModel {
    /// Loads a model that runs on `threads` threads of the CPU or on a GPU; the error is ONNX Runtime's own.
    pub(crate) fn load(
        environment: Environment,
        device: Device,
        threads: usize,
        onnx: Arc<[u8]>,
    ) -> Result<Self, String> {
        let settings = Settings { environment, device, threads };
        let session = settings.session(&onnx)?;
        let inputs = session.inputs().iter().map(tensor_info).collect();
        let outputs = session.outputs().iter().map(tensor_info).collect();
        Ok(Self { onnx, settings, sessions: Lender::new(session), inputs, outputs })
    }

    /// Runs the model and returns its float32 outputs in the order of the graph.
    pub(crate) fn run(&self, inputs: &[Input<'_>]) -> Result<Vec<NamedArray>, String> {
        let make = || self.settings.session(&self.onnx);
        self.sessions.lend(make, |session| self.run_on(session, inputs).map_err(|e| e.to_string()))
    }

    fn run_on(&self, session: &mut Session, inputs: &[Input<'_>]) -> ort::Result<Vec<NamedArray>> {
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for input in inputs {
            let tensor = TensorRef::from_array_view((input.shape.to_vec(), &*input.data))?;
            values.push((input.name.into(), tensor.into()));
        }
        let results = session.run(values)?;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for output in self.outputs.iter().filter(|output| output.dtype == ElementType::F32) {
            let missing = || ort::Error::new(format!("output `{}` was not computed", output.name));
            let value = results.get(&output.name).ok_or_else(missing)?;
            let array: ArrayD<f32> = value.try_extract_array()?.into_owned();
            outputs.push((output.name.clone(), array));
        }
        Ok(outputs)
    }
}

impl Settings {
    fn session(&self, onnx: &[u8]) -> Result<Session, String> {
        // A failed setting hands the builder back inside the error, which is not wanted here.
        fn plain<T>(result: Result<T, ort::Error<impl Sized>>) -> Result<T, String> {
            result.map_err(|e| e.message().to_owned())
        }
        let mut builder = plain(Session::builder(&self.environment))?;
        builder = plain(builder.with_optimization_level(GraphOptimizationLevel::All))?;
        builder = plain(builder.with_intra_threads(self.threads))?;
        builder = plain(builder.with_inter_threads(1))?;
        // Between the operators of a run threads wait awake, which a small network needs to gain by them; between runs they sleep,
        // since other steps and plugins use the same cores.
        builder = plain(builder.with_intra_op_spinning(self.threads > 1))?;
        builder = plain(builder.with_config_entry("session.force_spinning_stop", "1"))?;
        builder = plain(builder.with_deterministic_compute(true))?;
        if let Device::Cuda(gpu) = self.device {
            // `Device` keeps the index within i32. Without TF32 the GPU agrees with the CPU to f32 rounding.
            let provider = CUDA::default().with_device_id(gpu as i32).with_tf32(false).build();
            take_last_error();
            builder = builder.with_execution_providers([provider.error_on_failure()]).map_err(|e| {
                format!("the CUDA provider does not start: {} {}", e.message(), take_last_error())
            })?;
        }
        let session = plain(builder.commit_from_memory(onnx))?;
        // Loading takes several times what the session keeps: 150 MB more for a network of 100 MB.
        platform::give_back_memory();
        Ok(session)
    }
}

fn tensor_info(outlet: &Outlet) -> TensorInfo {
    let (dtype, shape) = match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => (ElementType::F32, shape.as_ref()),
        ValueType::Tensor { ty, shape, .. } => (ElementType::Other(ty.to_string()), shape.as_ref()),
        other => (ElementType::Other(other.to_string()), &[][..]),
    };
    let shape = shape.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    TensorInfo { name: outlet.name().to_owned(), shape, dtype }
}
