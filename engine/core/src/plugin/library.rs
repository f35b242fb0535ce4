//! One plugin library: checked on disk, loaded, never unloaded.
#![allow(unsafe_code, reason = "the ABI: loading a library and reading its tables")]

use super::descriptor::{MethodInfo, text, whole};
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
    /// Its table as this host's version has it.
    raw: &'static abi::Method,
    /// The plugin's own, which it is given back.
    own: Table,
}

/// A method's table in a library that is never unloaded.
#[derive(Clone, Copy)]
struct Table(*const abi::Method);

// SAFETY: descriptor tables are never written after they were made.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// Most methods of a library.
const MOST_METHODS: u32 = 1024;

impl Method {
    /// Its table, for whoever drives a method without [`Instance`](super::Instance): as this host's version has it, 0 where the
    /// plugin's is shorter.
    pub fn table(&self) -> &'static abi::Method {
        self.raw
    }

    /// The plugin's own table, for `create`.
    pub fn own_table(&self) -> *const abi::Method {
        self.own.0
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
    let entry: *const abi::EntryTable = *entry;
    // SAFETY: the first three words of the table are the same in every version.
    let [_, major, minor] = *unsafe { entry.cast::<[u32; 3]>().as_ref() }
        .ok_or_else(|| fail(format!("its `{}` is null", abi::ENTRY_SYMBOL)))?;
    if !abi::speaks(major, minor) {
        return Err(fail(format!(
            "it was built for plugin ABI {major}.{minor}, this program speaks {}.{}; rebuild the plugin, or take a newer program",
            abi::ABI_MAJOR,
            abi::ABI_MINOR
        )));
    }
    // SAFETY: a table of a version that this host speaks.
    let entry = unsafe { whole(entry) }.map_err(|e| fail(format!("its entry: {e}")))?;
    let open = entry.plugin.ok_or_else(|| fail("its entry has no `plugin` function".into()))?;
    // SAFETY: a function of the plugin, without arguments.
    let plugin = unsafe { open() };
    if plugin.is_null() {
        return Err(fail("it says that it cannot work here".into()));
    }
    // SAFETY: a table of the plugin.
    let plugin = unsafe { whole(plugin) }.map_err(|e| fail(format!("its plugin table: {e}")))?;
    // SAFETY: strings of descriptors are NUL-terminated.
    let (name, version) = unsafe { (text(plugin.name), text(plugin.version)) };
    let library = Arc::new(Library {
        name: name.unwrap_or_default(),
        version: version.unwrap_or_default(),
        sha256,
        abi: (major, minor),
        path: path.clone(),
    });
    if plugin.n_methods > MOST_METHODS || (plugin.n_methods > 0 && plugin.methods.is_null()) {
        return Err(fail(format!("an array of {} methods is not plausible", plugin.n_methods)));
    }
    let mut methods = Vec::new();
    for i in 0..plugin.n_methods as usize {
        // SAFETY: the plugin's array of methods.
        let own: *const abi::Method = unsafe { *plugin.methods.add(i) };
        // SAFETY: a table of the plugin.
        let raw: &'static abi::Method = Box::leak(Box::new(unsafe { whole(own) }.map_err(&fail)?));
        // SAFETY: a table of a loaded plugin.
        let info = unsafe { MethodInfo::read(raw) }.map_err(&fail)?;
        methods.push(Method { info: Arc::new(info), library: library.clone(), raw, own: Table(own) });
    }
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
