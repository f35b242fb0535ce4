//! What a user can choose: the runtime, the device, the threads.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::InferenceError;

/// More threads than this for one run are refused.
pub const MAX_THREADS: usize = 256;

/// Which runtime executes the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Runtime {
    /// ONNX Runtime where a usable one is found, else rten with a notice.
    #[default]
    Auto,
    /// ONNX Runtime; an error where none is found.
    OnnxRuntime,
    /// rten, which is part of the program.
    Rten,
}

impl FromStr for Runtime {
    type Err = InferenceError;

    /// Reads `auto`, `onnxruntime` or `rten`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "onnxruntime" => Ok(Self::OnnxRuntime),
            "rten" => Ok(Self::Rten),
            _ => Err(InferenceError::UnknownName {
                what: "runtime",
                given: text.to_owned(),
                expected: "`auto`, `onnxruntime` or `rten`",
            }),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::OnnxRuntime => "onnxruntime",
            Self::Rten => "rten",
        })
    }
}

/// Where the models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this index, counted from 0. Needs an ONNX Runtime with its CUDA provider.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = InferenceError;

    /// Reads `cpu`, `cuda:0`, `cuda:1`, ...
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let index = text.strip_prefix("cuda:").filter(|i| i.bytes().all(|b| b.is_ascii_digit()));
        // The runtime's own index is an i32.
        let index = index.and_then(|i| i.parse().ok()).filter(|&i: &u32| i <= i32::MAX as u32);
        match (text, index) {
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(index)) => Ok(Self::Cuda(index)),
            _ => Err(InferenceError::UnknownName {
                what: "device",
                given: text.to_owned(),
                expected: "`cpu` or `cuda:N` with the index N of the GPU, such as `cuda:0`",
            }),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// How to open an [`Engine`](crate::Engine). The default takes what is found, on the CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The runtime.
    pub runtime: Runtime,
    /// The device.
    pub device: Device,
    /// The ONNX Runtime library, or a folder that holds it. One that does not work is an error.
    pub runtime_path: Option<PathBuf>,
    /// Threads of one run for sessions that do not say their own; 0: as many as the machine offers.
    /// At most [`MAX_THREADS`].
    pub threads: usize,
}

impl Options {
    /// Refuses options that contradict each other.
    pub(crate) fn check(&self) -> Result<(), InferenceError> {
        let reason = match (self.runtime, self.device, &self.runtime_path) {
            (Runtime::Rten, Device::Cuda(_), _) => {
                format!("rten runs on the CPU only; for {} choose the runtime `onnxruntime`", self.device)
            }
            (Runtime::Rten, _, Some(path)) => format!(
                "the runtime path {} is of no use to rten; drop it or choose the runtime `onnxruntime`",
                path.display()
            ),
            _ => return check_threads(self.threads),
        };
        Err(InferenceError::Options { reason })
    }

    /// The threads of a run, from 1 to [`MAX_THREADS`].
    pub(crate) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS),
            threads => threads,
        }
    }
}

/// Refuses a count of threads that no machine has.
pub(crate) fn check_threads(threads: usize) -> Result<(), InferenceError> {
    if threads > MAX_THREADS {
        let reason = format!("{threads} threads are too many, at most {MAX_THREADS} are allowed");
        return Err(InferenceError::Options { reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_runtimes_read_back_as_written() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(11)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for runtime in [Runtime::Auto, Runtime::OnnxRuntime, Runtime::Rten] {
            assert_eq!(runtime.to_string().parse(), Ok(runtime));
        }
    }

    #[test]
    fn an_unknown_device_is_named_with_the_spellings_that_are_known() {
        for text in
            ["gpu", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda:4294967296", "cuda:2147483648", "CPU"]
        {
            let error = text.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("cuda:0"), "{error}");
        }
        assert!("ort".parse::<Runtime>().unwrap_err().to_string().contains("onnxruntime"));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let rten = Options { runtime: Runtime::Rten, ..Options::default() };
        assert_eq!(rten.check(), Ok(()));
        let on_gpu = Options { device: Device::Cuda(0), ..rten.clone() };
        assert!(on_gpu.check().unwrap_err().to_string().contains("cuda:0"));
        let with_path = Options { runtime_path: Some("/opt/ort".into()), ..rten.clone() };
        assert!(with_path.check().unwrap_err().to_string().contains("/opt/ort"));
        let crowded = Options { threads: 100_000, ..rten };
        assert!(crowded.check().unwrap_err().to_string().contains("100000"));
    }
}
