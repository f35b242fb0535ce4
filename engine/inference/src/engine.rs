//! The engine: one runtime on one device, and the models it has loaded.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::InferenceError;
use crate::locate::NotFound;
use crate::onnxruntime::{self, OnnxRuntime, OnnxRuntimeModel};
use crate::options::{Device, Options, Runtime, check_threads};
use crate::rten::{self, RtenModel};
use crate::session::{Backend, Session};
use crate::wire;

/// Which runtime an engine uses, and why. Name, version and device belong into every model's provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// `ONNX Runtime` or `rten`.
    pub name: &'static str,
    /// Its version, such as `1.32.0`; ONNX Runtime's is read from the library itself.
    pub version: String,
    /// The device that models run on.
    pub device: Device,
    /// The library in use; `None` for rten, which is part of the program.
    pub library: Option<PathBuf>,
    /// What a user should be told once: a fallback to rten, or a library that belongs to Python.
    pub notice: Option<String>,
    /// Each place that was looked at for ONNX Runtime, in order, and what was found there.
    pub searched: Vec<String>,
}

/// A runtime that loads and runs ONNX models. Open one a process and share it.
#[derive(Debug)]
pub struct Engine {
    /// `None`: rten.
    onnx_runtime: Option<OnnxRuntime>,
    info: RuntimeInfo,
    threads: usize,
    /// Sessions in use, by the hash of their model and their threads.
    cache: Mutex<HashMap<(String, usize), Weak<Session>>>,
}

impl Engine {
    /// Opens the runtime that the options ask for.
    ///
    /// [`Runtime::Auto`] takes the first ONNX Runtime that works (see the crate's documentation for the
    /// places) and falls back to rten with a notice. A library that the user named, by
    /// [`Options::runtime_path`] or `ASSAY_ONNXRUNTIME`, is used or is an error. A process can load only one
    /// ONNX Runtime: a second engine shares the first one's.
    ///
    /// # Errors
    /// [`InferenceError::Options`], [`InferenceError::RuntimeUnusable`],
    /// [`InferenceError::RuntimeAlreadyLoaded`], or [`InferenceError::RuntimeNotFound`] where ONNX Runtime
    /// or CUDA was asked for.
    pub fn open(options: &Options) -> Result<Self, InferenceError> {
        options.check()?;
        if options.runtime == Runtime::Rten {
            return Ok(Self::rten(options, None, Vec::new()));
        }
        let (searched, refused) = match onnxruntime::open(options) {
            Ok(runtime) => return Ok(Self::onnx_runtime(options, runtime)),
            Err(NotFound::Named(error)) => return Err(error),
            Err(NotFound::Nowhere { searched, refused }) => (searched, refused),
        };
        if options.runtime == Runtime::OnnxRuntime || options.device != Device::Cpu {
            return Err(InferenceError::RuntimeNotFound { device: options.device, searched });
        }
        let why = if refused.is_empty() { "none was found".to_owned() } else { refused.join("; ") };
        let notice = format!("models run on rten, several times slower than ONNX Runtime: {why}");
        Ok(Self::rten(options, Some(notice), searched))
    }

    /// Which runtime this is, and why.
    pub fn describe(&self) -> &RuntimeInfo {
        &self.info
    }

    /// Loads a model. `model` labels it in errors (a file or step name), `onnx` is the content of its file,
    /// weights included, and `threads` the threads of one run; 0: as the engine's options say.
    ///
    /// # Errors
    /// [`InferenceError::Load`] for content that is no model or has an operator that the runtime lacks,
    /// [`InferenceError::InputType`] for inputs that are not float32, [`InferenceError::Options`] for too
    /// many threads.
    pub fn session(&self, model: &str, onnx: &[u8], threads: usize) -> Result<Session, InferenceError> {
        self.load(model, &onnx.into(), threads)
    }

    fn load(&self, model: &str, onnx: &Arc<[u8]>, threads: usize) -> Result<Session, InferenceError> {
        check_threads(threads)?;
        let threads = if threads == 0 { self.threads } else { threads };
        let backend = wire::check(onnx).and_then(|()| match &self.onnx_runtime {
            Some(runtime) => {
                let environment = runtime.environment.clone();
                OnnxRuntimeModel::load(environment, self.info.device, threads, onnx.clone())
                    .map(Backend::OnnxRuntime)
            }
            None => RtenModel::load(onnx, threads).map(|model| Backend::Rten(Box::new(model))),
        });
        let backend = backend.map_err(|reason| InferenceError::Load {
            model: model.to_owned(),
            runtime: self.info.name,
            reason,
        })?;
        Session::new(model.to_owned(), threads, backend)
    }

    /// As [`session`](Self::session), but the same bytes on the same threads share one session for as long
    /// as anyone holds it. The session shares the bytes.
    ///
    /// # Errors
    /// Those of [`session`](Self::session).
    pub fn session_cached(
        &self,
        model: &str,
        onnx: &Arc<[u8]>,
        threads: usize,
    ) -> Result<Arc<Session>, InferenceError> {
        let threads = if threads == 0 { self.threads } else { threads };
        let key = (crate::sha256_hex(onnx), threads);
        // Held while the model loads, so that two steps that start together load it once.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = cache.get(&key).and_then(Weak::upgrade) {
            return Ok(session);
        }
        let session = Arc::new(self.load(model, onnx, threads)?);
        cache.retain(|_, held| held.strong_count() > 0);
        cache.insert(key, Arc::downgrade(&session));
        Ok(session)
    }

    fn onnx_runtime(options: &Options, runtime: OnnxRuntime) -> Self {
        let info = RuntimeInfo {
            name: onnxruntime::NAME,
            version: runtime.version.clone(),
            device: options.device,
            library: Some(runtime.library.clone()),
            notice: runtime.notice.clone(),
            searched: runtime.searched.clone(),
        };
        Self { onnx_runtime: Some(runtime), info, threads: options.thread_count(), cache: Mutex::default() }
    }

    fn rten(options: &Options, notice: Option<String>, searched: Vec<String>) -> Self {
        let info = RuntimeInfo {
            name: rten::NAME,
            version: rten::VERSION.to_owned(),
            device: Device::Cpu,
            library: None,
            notice,
            searched,
        };
        Self { onnx_runtime: None, info, threads: options.thread_count(), cache: Mutex::default() }
    }
}
