//! A model that is ready to run, whatever runs it.

use std::borrow::Cow;
use std::fmt;

use ndarray::{ArrayD, ArrayViewD};

use crate::error::InferenceError;
use crate::onnxruntime::{self, OnnxRuntimeModel};
use crate::rten::{self, RtenModel};

/// An output: its name and its values.
pub type NamedArray = (String, ArrayD<f32>);

/// The type of a tensor's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementType {
    /// float32: what the engine feeds and returns.
    F32,
    /// Any other type, in the runtime's spelling.
    Other(String),
}

/// An input or output as the model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the graph.
    pub name: String,
    /// Its axes; `None` is an axis that is free until the model runs. Empty if the model does not say.
    pub shape: Vec<Option<usize>>,
    /// The type of its elements.
    pub dtype: ElementType,
}

/// An input that was checked: its values lie in row-major order.
pub(crate) struct Input<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    pub(crate) data: Cow<'a, [f32]>,
}

/// A loaded model. It may be run from several threads at once; runs do not wait for each other, and each
/// uses the session's count of threads.
pub struct Session {
    pub(crate) model: String,
    pub(crate) threads: usize,
    pub(crate) backend: Backend,
}

/// What runs the model.
pub(crate) enum Backend {
    OnnxRuntime(OnnxRuntimeModel),
    Rten(Box<RtenModel>),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs();
        let outputs = self.outputs();
        f.debug_struct("Session")
            .field("model", &self.model)
            .field("runtime", &self.runtime())
            .field("threads", &self.threads)
            .field("inputs", &inputs)
            .field("outputs", &outputs)
            .finish()
    }
}

impl Session {
    /// Refuses models with inputs that cannot be fed.
    pub(crate) fn new(model: String, threads: usize, backend: Backend) -> Result<Self, InferenceError> {
        let session = Self { model, threads, backend };
        for input in session.inputs() {
            if let ElementType::Other(dtype) = &input.dtype {
                let (model, input, dtype) = (session.model.clone(), input.name.clone(), dtype.clone());
                return Err(InferenceError::InputType { model, input, dtype });
            }
        }
        Ok(session)
    }

    /// The caller's label of the model. A session shared through the cache keeps its first label.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The threads that one run uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The model's inputs in the order of the graph; all of them are float32.
    pub fn inputs(&self) -> &[TensorInfo] {
        match &self.backend {
            Backend::OnnxRuntime(model) => &model.inputs,
            Backend::Rten(model) => &model.inputs,
        }
    }

    /// The model's outputs in the order of the graph, those that are not float32 included.
    pub fn outputs(&self) -> &[TensorInfo] {
        match &self.backend {
            Backend::OnnxRuntime(model) => &model.outputs,
            Backend::Rten(model) => &model.outputs,
        }
    }

    /// Runs the model on one tensor for each of its inputs, in any order and memory layout, and returns its
    /// float32 outputs in the order of the graph; outputs of other types are left out.
    ///
    /// The outputs have the same bits at any count of threads, and for each item whatever the batch; see
    /// the crate's documentation for the devices that this holds for.
    ///
    /// # Errors
    /// [`InferenceError::InputNames`] or [`InferenceError::InputShape`] for inputs that the model does not
    /// take, [`InferenceError::NotFinite`] for NaN and infinities in an input or output,
    /// [`InferenceError::Run`] for what the runtime reports.
    pub fn run(&self, inputs: &[(&str, ArrayViewD<'_, f32>)]) -> Result<Vec<NamedArray>, InferenceError> {
        let inputs = self.check_inputs(inputs)?;
        let outputs = match &self.backend {
            Backend::OnnxRuntime(model) => model.run(&inputs),
            Backend::Rten(model) => model.run(&inputs),
        };
        let outputs = outputs.map_err(|reason| InferenceError::Run {
            model: self.model.clone(),
            runtime: self.runtime(),
            reason,
        })?;
        for (name, array) in &outputs {
            self.check_finite("output", name, array.as_slice().unwrap_or_default())?;
        }
        Ok(outputs)
    }

    fn runtime(&self) -> &'static str {
        match self.backend {
            Backend::OnnxRuntime(_) => onnxruntime::NAME,
            Backend::Rten(_) => rten::NAME,
        }
    }

    fn check_inputs<'a>(
        &'a self,
        given: &'a [(&str, ArrayViewD<'_, f32>)],
    ) -> Result<Vec<Input<'a>>, InferenceError> {
        let wrong = |reason| InferenceError::InputNames {
            model: self.model.clone(),
            reason,
            inputs: self.inputs().iter().map(|input| input.name.clone()).collect(),
        };
        for (i, (name, _)) in given.iter().enumerate() {
            if !self.inputs().iter().any(|input| input.name == *name) {
                return Err(wrong(format!("it has no input `{name}`")));
            }
            if given[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(wrong(format!("input `{name}` is given twice")));
            }
        }
        let mut checked = Vec::with_capacity(given.len());
        for declared in self.inputs() {
            let (name, array) = given
                .iter()
                .find(|(name, _)| declared.name == *name)
                .ok_or_else(|| wrong(format!("input `{}` is missing", declared.name)))?;
            self.check_shape(declared, array.shape())?;
            let data = match array.as_slice() {
                Some(slice) => Cow::Borrowed(slice),
                None => Cow::Owned(array.iter().copied().collect()),
            };
            // Checked here too: a clipping layer would turn NaN into a number.
            self.check_finite("input", name, &data)?;
            checked.push(Input { name, shape: array.shape(), data });
        }
        Ok(checked)
    }

    fn check_shape(&self, declared: &TensorInfo, given: &[usize]) -> Result<(), InferenceError> {
        let unknown = declared.shape.is_empty();
        let axes = declared.shape.len() == given.len()
            && declared.shape.iter().zip(given).all(|(axis, size)| axis.is_none_or(|axis| axis == *size));
        if (unknown || axes) && !given.contains(&0) {
            return Ok(());
        }
        let axes: Vec<String> =
            declared.shape.iter().map(|axis| axis.map_or("?".to_owned(), |size| size.to_string())).collect();
        Err(InferenceError::InputShape {
            model: self.model.clone(),
            input: declared.name.clone(),
            given: given.to_vec(),
            expected: format!("[{}] with no empty axis", axes.join(", ")),
        })
    }

    fn check_finite(&self, role: &str, name: &str, values: &[f32]) -> Result<(), InferenceError> {
        // Without an early exit the loop runs on vectors; all values are finite nearly always.
        if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Ok(());
        }
        let tensor = format!("{role} `{name}`");
        Err(InferenceError::NotFinite { model: self.model.clone(), tensor })
    }
}
