//! Whether a library can run on an NVIDIA GPU, asked before it is tried: ONNX Runtime itself would only
//! log what is missing and go on without the GPU.
#![allow(unsafe_code)] // The driver's C functions are called.

use std::path::Path;

use crate::platform;

/// The driver's code for success.
const CUDA_SUCCESS: i32 = 0;

/// Checks that ONNX Runtime's CUDA provider lies beside `library` and that the driver has a GPU of index
/// `gpu`; else says what was looked for and where.
pub(super) fn check(library: &Path, gpu: u32) -> Result<(), String> {
    // The runtime looks beside the file that a link points to.
    let library = library.canonicalize().map_err(|e| e.to_string())?;
    for provider in platform::CUDA_PROVIDER {
        if !library.with_file_name(provider).is_file() {
            let folder = library.parent().unwrap_or(&library).display().to_string();
            return Err(format!(
                "no {provider} in {folder}: it is a build without CUDA (take onnxruntime-gpu)"
            ));
        }
    }
    let gpus = gpu_count().map_err(|reason| format!("the CUDA driver: {reason}"))?;
    if gpu >= gpus {
        return Err(format!("the CUDA driver has no GPU of index {gpu}: it has {gpus}, counted from 0"));
    }
    Ok(())
}

/// The GPUs that the driver offers to this process.
fn gpu_count() -> Result<u32, String> {
    let name = platform::CUDA_DRIVER;
    // SAFETY: the system's loader finds NVIDIA's driver under this name; its initialisers are sound to run.
    let driver =
        unsafe { libloading::Library::new(name) }.map_err(|e| format!("{name} cannot be loaded: {e}"))?;
    let driver = std::mem::ManuallyDrop::new(driver); // Stays loaded for the runtime.
    // SAFETY: the signatures are those of the CUDA driver API.
    let (init, count) = unsafe {
        (
            driver.get::<unsafe extern "C" fn(u32) -> i32>(b"cuInit"),
            driver.get::<unsafe extern "C" fn(*mut i32) -> i32>(b"cuDeviceGetCount"),
        )
    };
    let missing = |e| format!("{name} is not a CUDA driver: {e}");
    let (init, count) = (init.map_err(missing)?, count.map_err(missing)?);
    let mut gpus = 0;
    // SAFETY: flags must be 0, and `gpus` is a valid place for the count; cuInit comes first.
    let status = unsafe {
        match init(0) {
            CUDA_SUCCESS => count(&mut gpus),
            failed => failed,
        }
    };
    match status {
        CUDA_SUCCESS => Ok(gpus.unsigned_abs()),
        failed => {
            Err(format!("{name} answers with error {failed} (is a GPU present and free for this user?)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_the_cuda_provider_is_refused_with_the_file_and_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(platform::ONNX_RUNTIME);
        std::fs::write(&library, b"").unwrap();
        let reason = check(&library, 0).unwrap_err();
        let real = folder.path().canonicalize().unwrap();
        assert!(
            reason.contains(platform::CUDA_PROVIDER[0]) && reason.contains(real.to_str().unwrap()),
            "{reason}"
        );
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(platform::ONNX_RUNTIME);
        std::fs::write(&library, b"").unwrap();
        for provider in platform::CUDA_PROVIDER {
            std::fs::write(folder.path().join(provider), b"").unwrap();
        }
        // Without a driver because of that, with one because of the index.
        assert!(check(&library, 10_000).unwrap_err().contains("CUDA driver"));
    }
}
