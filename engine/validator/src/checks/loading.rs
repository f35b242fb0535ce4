//! The library itself.
#![allow(unsafe_code, reason = "the ABI: loading a library and reading its entry")]

use crate::finding::{Outcome, Said};
use crate::process::count_threads;
use assay_abi as abi;
use assay_core::plugin::{check_library, load};
use object::{Object as _, ObjectSymbol as _};
use std::path::Path;
use std::time::Instant;

/// Loading takes no longer, in seconds.
const PROMPT: f64 = 0.25;

/// Symbols that linkers and run-time libraries export from any library.
const USUAL: [&str; 9] = [
    "_init",
    "_fini",
    "_edata",
    "_end",
    "__bss_start",
    "_DYNAMIC",
    "rust_eh_personality",
    "__data_start",
    "data_start",
];

pub(super) fn library(path: &Path) -> Outcome {
    let bytes = std::fs::read(path).map_err(|e| format!("it cannot be read: {e}"))?;
    check_library(&bytes)?;
    let file = object::File::parse(bytes.as_slice()).map_err(|e| e.to_string())?;
    let others: Vec<&str> = file
        .dynamic_symbols()
        .filter(|s| s.is_definition() && s.is_global() && !s.is_weak())
        .filter_map(|s| s.name().ok())
        .filter(|name| *name != abi::ENTRY_SYMBOL && !USUAL.contains(name))
        .collect();
    let Some(first) = others.first() else { return Ok(Said::pass()) };
    Ok(Said::warn(format!(
        "it exports {} more symbols (`{first}` ...), which another library may take for its own: build with -fvisibility=hidden",
        others.len()
    )))
}

pub(super) fn entry(path: &Path) -> Outcome {
    let mut problems = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for method in load(path).map_err(|e| e.to_string())? {
        if method.library.name.is_empty() || method.library.version.is_empty() {
            problems.push("the plugin has no name or no version".to_owned());
        }
        if ids.contains(&method.info.id) {
            return Err(format!("it has two methods `{}`", method.info.id));
        }
        ids.push(method.info.id.clone());
    }
    problems.dedup();
    let discovered = path.file_name().and_then(|n| n.to_str()).is_some_and(|name| {
        let (prefix, suffix) =
            (format!("{}assay_", std::env::consts::DLL_PREFIX), std::env::consts::DLL_SUFFIX);
        name.starts_with(&prefix) && name.ends_with(suffix)
    });
    if !discovered {
        problems.push(format!(
            "its file is not named {}assay_NAME{}: it is not found in a plugin folder",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        ));
    }
    Ok(Said::warn_of(&problems))
}

/// The entry of the library, loaded for good.
fn opened(path: &Path) -> Result<&'static abi::EntryTable, String> {
    let path = std::path::absolute(path).map_err(|e| e.to_string())?;
    // SAFETY: the user names the library that is to be tried.
    let library = unsafe { libloading::Library::new(&path) }.map_err(|e| e.to_string())?;
    let library = Box::leak(Box::new(library));
    // SAFETY: the symbol is a constant table by the ABI.
    let entry = unsafe { library.get::<*const abi::EntryTable>(abi::ENTRY_SYMBOL.as_bytes()) };
    let entry = entry.map_err(|_| format!("it does not export `{}`", abi::ENTRY_SYMBOL))?;
    // SAFETY: a constant of a library that stays loaded.
    Ok(unsafe { &**entry })
}

fn plugin(entry: &abi::EntryTable) -> *const abi::Plugin {
    // SAFETY: a function of the plugin, without arguments; entries of another version are not called.
    entry.plugin.map_or(std::ptr::null(), |plugin| unsafe { plugin() })
}

/// The entry, where it is of this version.
fn spoken(path: &Path) -> Result<Option<&'static abi::EntryTable>, String> {
    Ok(Some(opened(path)?).filter(|e| abi::speaks(e.abi_major, e.abi_minor)))
}

pub(super) fn repeat(path: &Path) -> Outcome {
    let Some(entry) = spoken(path)? else { return Ok(Said::skip("it is of another ABI version")) };
    let (first, second) = (plugin(entry), plugin(entry));
    if first.is_null() {
        return Ok(Said::fail("`plugin` returns null: it cannot work here"));
    }
    Ok(if first == second {
        Said::pass()
    } else {
        Said::fail("`plugin` returns another table when it is called again")
    })
}

pub(super) fn time(path: &Path) -> Outcome {
    let start = Instant::now();
    if let Some(entry) = spoken(path)? {
        plugin(entry);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(match seconds <= PROMPT {
        true => Said::pass(),
        false => Said::warn(format!("it takes {seconds:.2} s; every start of the program waits for it")),
    })
}

pub(super) fn quiet(path: &Path) -> Outcome {
    if let Some(entry) = spoken(path)? {
        plugin(entry);
    }
    // Whoever started this process looks at what was printed.
    Ok(Said::pass())
}

pub(super) fn threads(path: &Path) -> Outcome {
    let Some(before) = count_threads() else {
        return Ok(Said::skip("threads cannot be counted on this system"));
    };
    if let Some(entry) = spoken(path)? {
        plugin(entry);
    }
    let after = count_threads().unwrap_or(before);
    Ok(match after > before {
        false => Said::pass(),
        true => Said::fail(format!(
            "it starts {} threads; a plugin that is only listed should cost nothing",
            after - before
        )),
    })
}
