//! One plugin library: checked on disk, loaded, never unloaded.
#![allow(unsafe_code, reason = "the ABI: loading a library and reading its tables")]

use super::descriptor::{MethodInfo, each, text};
use crate::error::{Error, Result};
use assay_abi as abi;
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A loaded plugin library.
#[derive(Debug)]
pub struct Library {
    /// Absolute path.
    pub path: PathBuf,
    /// Name the plugin gives itself.
    pub name: String,
    /// Version the plugin gives itself.
    pub version: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// ABI version it was built for.
    pub abi: (u32, u32),
}

/// A method of a loaded library.
#[derive(Clone)]
pub struct Method {
    /// Its descriptor.
    pub info: Arc<MethodInfo>,
    /// The library it came from.
    pub library: Arc<Library>,
    pub(super) raw: &'static abi::Method,
}

impl Method {
    /// Its table, for whoever drives a method without [`Instance`](super::Instance).
    pub fn table(&self) -> &'static abi::Method {
        self.raw
    }
}

/// Loads the library at `path` and returns its methods.
///
/// # Errors
/// [`Error::Plugin`]: not a library for this machine, truncated, without `assay_entry`, of another ABI version, or with a
/// descriptor that breaks the ABI.
pub fn load(path: &Path) -> Result<Vec<Method>> {
    let path = std::path::absolute(path).map_err(|e| Error::io(path, e))?;
    let fail = |message: String| Error::Plugin { path: path.clone(), message };
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    check_library(&bytes).map_err(&fail)?;
    let sha256 = assay_inference::sha256_hex(&bytes);
    drop(bytes);
    // SAFETY: the user put this library into a plugin folder; its initialisers run, as any program's would.
    let library = unsafe { libloading::Library::new(&path) }
        .map_err(|e| fail(format!("the system cannot load it: {e}; is a library that it needs missing?")))?;
    // A plugin may keep threads and thread-locals: it is never unloaded.
    let library = Box::leak(Box::new(library));
    // SAFETY: the symbol is a constant table by the ABI.
    let entry = unsafe { library.get::<*const abi::EntryTable>(abi::ENTRY_SYMBOL.as_bytes()) }
        .map_err(|_| fail(format!("it does not export `{}`: not an Assay plugin", abi::ENTRY_SYMBOL)))?;
    // SAFETY: the first words of the table are the same in every version.
    let entry = unsafe { &**entry };
    if !abi::speaks(entry.abi_major, entry.abi_minor) {
        return Err(fail(format!(
            "it was built for plugin ABI {}.{}, this program speaks {}.{}; rebuild the plugin",
            entry.abi_major,
            entry.abi_minor,
            abi::ABI_MAJOR,
            abi::ABI_MINOR
        )));
    }
    if entry.struct_size < abi::size_of::<abi::EntryTable>() {
        return Err(fail(format!(
            "its entry table has {} bytes, fewer than its ABI version says",
            entry.struct_size
        )));
    }
    let open = entry.plugin.ok_or_else(|| fail("its entry has no `plugin` function".into()))?;
    // SAFETY: a function of the plugin, without arguments.
    let plugin = unsafe { open().as_ref() }.ok_or_else(|| fail("it says that it cannot work here".into()))?;
    if plugin.struct_size < abi::size_of::<abi::Plugin>() {
        return Err(fail("its plugin table is smaller than its ABI version says".into()));
    }
    // SAFETY: strings of descriptors are NUL-terminated.
    let (name, version) = unsafe { (text(plugin.name), text(plugin.version)) };
    let library = Arc::new(Library {
        name: name.unwrap_or_default(),
        version: version.unwrap_or_default(),
        sha256,
        abi: (entry.abi_major, entry.abi_minor),
        path: path.clone(),
    });
    let read = |raw: &abi::Method| {
        if raw.struct_size < abi::size_of::<abi::Method>() {
            return Err("a method table is smaller than its ABI version says".to_owned());
        }
        // SAFETY: method tables live as long as the library, which is never unloaded.
        let raw: &'static abi::Method = unsafe { &*std::ptr::from_ref(raw) };
        // SAFETY: a table of a loaded plugin.
        let info = unsafe { MethodInfo::read(raw) }?;
        Ok(Method { info: Arc::new(info), library: library.clone(), raw })
    };
    // SAFETY: the plugin's array of methods.
    let methods = unsafe { each(plugin.methods, plugin.n_methods, read) }.map_err(&fail)?;
    if methods.is_empty() {
        return Err(fail("it has no methods".into()));
    }
    Ok(methods)
}

/// Refuses what the system's loader would crash on (it maps a truncated file and dies when it touches the missing part)
/// and what is not a plugin, without running any of its code.
///
/// # Errors
/// What is wrong with it.
pub fn check_library(bytes: &[u8]) -> std::result::Result<(), String> {
    let not_a_library = |e: object::Error| format!("it is not a complete dynamic library ({e})");
    let file = object::File::parse(bytes).map_err(not_a_library)?;
    if file.kind() != object::ObjectKind::Dynamic {
        return Err(format!("it is not a dynamic library but {:?}", file.kind()));
    }
    let machine = if cfg!(target_arch = "x86_64") {
        object::Architecture::X86_64
    } else {
        object::Architecture::Aarch64
    };
    if file.architecture() != machine {
        return Err(format!("it was built for {:?}, this machine is {machine:?}", file.architecture()));
    }
    let size = bytes.len() as u64;
    for segment in file.segments() {
        let (offset, length) = segment.file_range();
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!(
                "it is truncated: {size} bytes, a segment ends at {}",
                offset.saturating_add(length)
            ));
        }
    }
    // The section table is the last thing in the file: reading it finds the tail missing.
    if file.sections().count() == 0 {
        return Err("it is truncated: its section table is missing".into());
    }
    if !file.dynamic_symbols().any(|s| s.name() == Ok(abi::ENTRY_SYMBOL) && s.is_definition()) {
        return Err(format!("it does not export `{}`: not an Assay plugin", abi::ENTRY_SYMBOL));
    }
    Ok(())
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("id", &self.info.id).field("library", &self.library.path).finish()
    }
}
