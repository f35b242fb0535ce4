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

/// The first CUDA device, or why there is none. burn panics without a driver: it is looked for here first.
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
    init().map_err(|e| format!("the CUDA driver does not start: {e}"))?;
    match device::get_count() {
        Ok(count) if count > 0 => Ok(Device::cuda(0)),
        Ok(_) => Err("the CUDA driver has no device".into()),
        Err(e) => Err(format!("the CUDA driver does not tell its devices: {e}")),
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
