//! The one ONNX Runtime of the process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::{cuda, library};
use crate::error::InferenceError;
use crate::locate::{self, NotFound, Surroundings};
use crate::options::{Device, Options};

/// An ONNX Runtime that is loaded and ready.
#[derive(Debug, Clone)]
pub(crate) struct OnnxRuntime {
    pub(crate) environment: Environment,
    pub(crate) library: PathBuf,
    pub(crate) version: String,
    /// What a user should know about where it comes from.
    pub(crate) notice: Option<String>,
    pub(crate) searched: Vec<String>,
}

/// Loaded once and kept: ONNX Runtime allows one environment a process and cannot be unloaded.
static LOADED: Mutex<Option<OnnxRuntime>> = Mutex::new(None);

/// What ONNX Runtime logged as an error most recently. It reports why CUDA does not start only there.
static LAST_ERROR: Mutex<String> = Mutex::new(String::new());

/// Takes the last logged error.
pub(super) fn take_last_error() -> String {
    std::mem::take(&mut LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Finds a library for the options and loads it, or returns the one that is loaded already.
pub(crate) fn open(options: &Options) -> Result<OnnxRuntime, NotFound> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*loaded {
        check_loaded(runtime, options).map_err(NotFound::Named)?;
        return Ok(runtime.clone());
    }
    let accept = |library: &Path| {
        if let Device::Cuda(gpu) = options.device {
            cuda::check(library, gpu)?;
        }
        let version = library::version(library)?;
        Ok((version, load(library)?))
    };
    let found = locate::find(options.runtime_path.as_deref(), &Surroundings::of_process(), accept)?;
    let (version, environment) = found.accepted;
    let notice = found.in_python.then(|| {
        let library = found.library.display();
        format!(
            "ONNX Runtime {version} is taken from a Python installation ({library}); results are bound to it: \
             copy it beside the program or name one with --runtime-path"
        )
    });
    let runtime =
        OnnxRuntime { environment, library: found.library, version, notice, searched: found.searched };
    *loaded = Some(runtime.clone());
    Ok(runtime)
}

/// The library that the bindings have taken. They keep it even if its environment then fails.
static TAKEN: OnceLock<PathBuf> = OnceLock::new();

fn load(library: &Path) -> Result<Environment, String> {
    let taken = TAKEN.get_or_init(|| library.to_owned());
    if taken != library {
        return Err(format!("not tried: this process is bound to {}, which failed", taken.display()));
    }
    let builder = ort::init_from(library).map_err(|e| e.to_string())?;
    let keep_error = |_: LogLevel, _: &str, _: &str, _: &str, message: &str| {
        message.clone_into(&mut LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let environment = builder
        .with_name("assay")
        .with_telemetry(false)
        .with_logger(Arc::new(keep_error))
        .build()
        .map_err(|e| e.to_string())?;
    // A logger of one's own begins at the most verbose level. Errors come back as errors, so that none of
    // them needs to be printed.
    environment.set_log_level(LogLevel::Error);
    Ok(environment)
}

/// Whether the loaded library serves these options too.
fn check_loaded(runtime: &OnnxRuntime, options: &Options) -> Result<(), InferenceError> {
    if let Some(asked) = &options.runtime_path {
        let loaded = runtime.library.canonicalize().ok();
        let same =
            locate::libraries_named_by(asked).iter().any(|library| library.canonicalize().ok() == loaded);
        if !same {
            let loaded = runtime.library.clone();
            return Err(InferenceError::RuntimeAlreadyLoaded { loaded, asked: asked.clone() });
        }
    }
    if let Device::Cuda(gpu) = options.device {
        cuda::check(&runtime.library, gpu).map_err(|reason| InferenceError::RuntimeNotFound {
            device: options.device,
            searched: vec![format!("the one this process runs, {}: {reason}", runtime.library.display())],
        })?;
    }
    Ok(())
}
