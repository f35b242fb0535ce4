//! Reads an ONNX Runtime library's version before anything of it is used.
#![allow(unsafe_code)] // A C library is loaded and its entry point is called.

use std::ffi::CStr;
use std::path::Path;

/// The oldest version whose C API has all that the bindings call (crate `ort`, feature `api-24`).
const OLDEST: (u32, u32) = (1, 24);

/// Loads `library` and returns its version, such as `1.32.0`, or the reason why it cannot be used.
pub(super) fn version(library: &Path) -> Result<String, String> {
    // SAFETY: loading runs the library's initialisers. The path was named by the user or lies where
    // ONNX Runtime is installed, and its name is that of ONNX Runtime, whose initialisers are sound to run.
    let handle =
        unsafe { libloading::Library::new(library) }.map_err(|e| format!("cannot be loaded: {e}"))?;
    // Never unloaded: the runtime has no promise that it can be, and the accepted one stays in use.
    let handle = std::mem::ManuallyDrop::new(handle);

    // SAFETY: the signature is the one that ONNX Runtime's C header gives to this symbol.
    let entry =
        unsafe { handle.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase") };
    let entry = entry.map_err(|_| "is not ONNX Runtime: it has no OrtGetApiBase".to_owned())?;
    // SAFETY: the function takes nothing, and returns null or a table that lives as long as the library.
    let base = unsafe { entry().as_ref() }.ok_or("OrtGetApiBase returned nothing")?;
    // SAFETY: the table's functions are callable as declared.
    let text = unsafe { (base.GetVersionString)() };
    if text.is_null() {
        return Err("states no version".to_owned());
    }
    // SAFETY: not null, and by the C header a string that ends with a zero and lives as long as the library.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();

    let (major, minor) = OLDEST;
    match parse(&text) {
        None => return Err(format!("states the version `{text}`, which is not a version")),
        Some(version) if version < OLDEST => {
            return Err(format!("is version {text}; Assay needs {major}.{minor} or newer"));
        }
        Some(_) => {}
    }
    // SAFETY: as above; a library without that API version answers null.
    if unsafe { (base.GetApi)(ort::sys::ORT_API_VERSION) }.is_null() {
        return Err(format!("is version {text}, which no longer has the C API of {major}.{minor}"));
    }
    Ok(text)
}

/// Major and minor of a version such as `1.24.0` or `1.25.0-rc1`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(
            parse("1.9.0") < Some(OLDEST)
                && parse("1.24.0") == Some(OLDEST)
                && parse("1.100.0-rc1") > Some(OLDEST)
        );
        assert!(parse("2.0.0") > Some(OLDEST));
        assert!(["", "1", "one.two", "1.x"].iter().all(|text| parse(text).is_none()));
    }

    #[test]
    fn the_api_that_the_bindings_ask_for_is_the_one_of_the_oldest_version() {
        assert_eq!(ort::sys::ORT_API_VERSION, OLDEST.1);
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(crate::platform::ONNX_RUNTIME);
        std::fs::write(&file, b"not a library").unwrap();
        assert!(version(&file).unwrap_err().contains("cannot be loaded"));
    }
}
