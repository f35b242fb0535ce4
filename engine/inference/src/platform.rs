//! What depends on the operating system: the names of libraries and the folders they live in.

use std::path::{Path, PathBuf};

/// ONNX Runtime's file name as a user knows it, for messages.
pub(crate) const ONNX_RUNTIME: &str = if cfg!(windows) {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// The libraries that ONNX Runtime loads for CUDA; they lie beside it.
pub(crate) const CUDA_PROVIDER: [&str; 2] = if cfg!(windows) {
    ["onnxruntime_providers_cuda.dll", "onnxruntime_providers_shared.dll"]
} else {
    ["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"]
};

/// NVIDIA's driver library, which the system's loader finds.
pub(crate) const CUDA_DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// The environment variable with folders that the loader searches first, if there is one.
pub(crate) const LIBRARY_PATH_VARIABLE: Option<&str> = if cfg!(windows) {
    None
} else if cfg!(target_os = "macos") {
    Some("DYLD_LIBRARY_PATH")
} else {
    Some("LD_LIBRARY_PATH")
};

/// The Python program that is looked for on the search path.
pub(crate) const PYTHON: &str = if cfg!(windows) { "python.exe" } else { "python3" };

/// Gives the system back what was freed. glibc keeps it while something above it in its heap is in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // A C function is called.
pub(crate) fn give_back_memory() {
    // SAFETY: it takes no pointer, and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Gives the system back what was freed, where the allocator does not do so by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_memory() {}

/// The version in the file name of an ONNX Runtime library: empty for the plain name, `[1, 32, 0]` for
/// `libonnxruntime.so.1.32.0`; `None` for every other file, its provider libraries included.
pub(crate) fn library_version(file_name: &str) -> Option<Vec<u32>> {
    let version = if cfg!(windows) {
        file_name.eq_ignore_ascii_case(ONNX_RUNTIME).then_some("")?
    } else if cfg!(target_os = "macos") {
        file_name.strip_prefix("libonnxruntime")?.strip_suffix(".dylib")?
    } else {
        file_name.strip_prefix(ONNX_RUNTIME)?
    };
    match version.strip_prefix('.') {
        Some(numbers) => numbers.split('.').map(|n| n.parse().ok()).collect(),
        None => version.is_empty().then(Vec::new),
    }
}

/// The folders of system libraries.
pub(crate) fn system_folders() -> Vec<PathBuf> {
    let folders: &[&str] = if cfg!(windows) {
        &[] // System32 holds Windows' own onnxruntime.dll, which is always an old one.
    } else if cfg!(target_os = "macos") {
        &["/usr/local/lib", "/opt/homebrew/lib", "/usr/lib"]
    } else {
        &["/usr/local/lib", "/usr/local/lib64", "/usr/lib", "/usr/lib64"]
    };
    let mut folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    if cfg!(target_os = "linux") {
        // Debian's multiarch folders.
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        folders.push(Path::new("/usr/local/lib").join(&triplet));
        folders.push(Path::new("/usr/lib").join(triplet));
    }
    folders
}

/// The installations (`sys.prefix`) that the Python program `program` may belong to.
pub(crate) fn python_prefixes(program: &Path) -> Vec<PathBuf> {
    let folder = program.parent();
    let above = folder.and_then(Path::parent);
    let beside = folder.filter(|_| cfg!(windows)); // Outside of environments Windows has no folder `bin`.
    above.into_iter().chain(beside).map(Path::to_owned).collect()
}

/// The folders in which the Python installation under `prefix` may keep its packages.
pub(crate) fn python_packages(prefix: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![prefix.join("Lib").join("site-packages")];
    }
    let lib = prefix.join("lib");
    let Ok(entries) = lib.read_dir() else { return Vec::new() };
    let mut versions: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("python3")))
        .map(|entry| entry.path())
        .collect();
    versions.sort();
    versions.iter().flat_map(|v| [v.join("site-packages"), v.join("dist-packages")]).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::library_version;

    #[test]
    fn only_the_runtime_itself_is_taken_for_the_runtime() {
        assert_eq!(library_version("libonnxruntime.so"), Some(vec![]));
        assert_eq!(library_version("libonnxruntime.so.1"), Some(vec![1]));
        assert_eq!(library_version("libonnxruntime.so.1.32.0"), Some(vec![1, 32, 0]));
        for other in [
            "libonnxruntime_providers_cuda.so",
            "libonnxruntime.so.1.32.0.bak",
            "libonnxruntime.so.",
            "libonnxruntime.sox",
            "onnxruntime.dll",
            "",
        ] {
            assert_eq!(library_version(other), None, "{other}");
        }
    }
}
