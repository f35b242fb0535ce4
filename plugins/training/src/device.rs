//! What a training computes on.

use crate::error::{Error, Result};
use burn::tensor::Device;

/// The choices of a method's `device` parameter; the first is its default.
pub const CHOICES: &[&str] = &["auto", "cpu", "cuda"];

/// The device of one of [`CHOICES`]: `auto` is the first CUDA device where this build can use one and there is one, else the processor.
///
/// # Errors
/// [`Error::NoDevice`] where CUDA is asked for and cannot be had.
pub fn chosen(choice: &str) -> Result<Device> {
    match choice {
        "cpu" => Ok(Device::flex()),
        "cuda" => cuda().map_err(Error::NoDevice),
        _ => Ok(cuda().unwrap_or_else(|_| Device::flex())),
    }
}

/// The first CUDA device, or why there is none. burn panics where something is missing: it is looked for here first, and the device tried.
#[cfg(feature = "cuda")]
#[allow(unsafe_code, reason = "loading the driver's libraries, to see whether they are there")]
fn cuda() -> std::result::Result<Device, String> {
    use cudarc::driver::result::{device, init};
    // SAFETY: initialisers of the system's own libraries run, as they would when burn loads them.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    if !driver {
        return Err("there is no CUDA driver on this machine (libcuda)".into());
    }
    if !compiler {
        return Err("CUDA's run-time compiler is missing (libnvrtc): install the CUDA toolkit or put its libraries on the library path".into());
    }
    if !toolkit() {
        return Err("CUDA's headers, which its run-time compiler takes, are not found: install the CUDA toolkit, or set CUDA_PATH to the folder that it is in".into());
    }
    init().map_err(|e| format!("the CUDA driver does not start: {e}"))?;
    match device::get_count() {
        Ok(count) if count > 0 => {
            let device = Device::cuda(0);
            computes(&device).map_err(|e| format!("the CUDA device does not compute: {e}"))?;
            Ok(device)
        }
        Ok(_) => Err("the CUDA driver has no device".into()),
        Err(e) => Err(format!("the CUDA driver does not tell its devices: {e}")),
    }
}

/// Whether the toolkit is where burn's compiler looks for it.
#[cfg(feature = "cuda")]
fn toolkit() -> bool {
    let places = ["/usr/local/cuda", "/opt/cuda", "/usr/bin/nvcc"];
    !cfg!(target_os = "linux")
        || std::env::var_os("CUDA_PATH").is_some()
        || places.iter().any(|place| std::path::Path::new(place).exists())
}

/// Multiplies two small matrices, or tells why that failed; burn panics where it does.
#[cfg(any(test, feature = "cuda"))]
fn computes(device: &Device) -> std::result::Result<(), String> {
    use crate::export::values;
    use burn::tensor::{Tensor, TensorData};
    let tried = std::panic::catch_unwind(|| {
        let ones = || Tensor::<2>::from_data(TensorData::new(vec![1.0f32; 64], [8, 8]), device);
        values(ones().matmul(ones()))
    });
    match tried {
        Ok(Ok(made)) if made == [8.0; 64] => Ok(()),
        Ok(Ok(_)) => Err("a product of two matrices is wrong".into()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(said.unwrap_or("the backend ended without a reason").trim().to_owned())
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> std::result::Result<Device, String> {
    Err("this build of the plugin trains on the processor only; build it with `--features cuda`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        assert_eq!(chosen("cpu").unwrap(), Device::flex());
    }

    #[test]
    fn a_device_that_is_chosen_has_computed() {
        computes(&Device::flex()).unwrap();
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_auto_is_the_processor_and_cuda_an_error_that_says_what_to_do() {
        assert_eq!(chosen("auto").unwrap(), Device::flex());
        let refused = chosen("cuda").unwrap_err().to_string();
        assert!(refused.contains("--features cuda") && refused.contains("device"), "{refused}");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_missing_driver_is_an_error_and_no_panic() {
        match chosen("cuda") {
            Ok(device) => assert_eq!(chosen("auto").unwrap(), device),
            Err(e) => {
                assert!(e.to_string().contains("CUDA"), "{e}");
                assert_eq!(chosen("auto").unwrap(), Device::flex());
            }
        }
    }
}
