//! Where plugins are looked for, and which one wins.
//!
//! Folders, first to last: the recipe's `plugin_path`, `--plugin-path`, `ASSAY_PLUGIN_PATH`, beside the executable, the
//! system's. A method in an earlier folder wins; a method twice within one folder is an error. The current directory is never
//! searched, and only files with names like `libassay_*.so` are touched. A plugin is code: of a folder or file that anyone may write to
//! nothing is loaded.

use super::library::{Library, Method, load};
use crate::error::{Error, Result, nearest};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folders to search, in order, and whether each must exist.
#[derive(Debug, Clone, Default)]
pub struct SearchPath {
    folders: Vec<(PathBuf, bool)>,
}

impl SearchPath {
    /// The usual folders: `explicit` ones (which must exist), `ASSAY_PLUGIN_PATH`, beside the executable, the system's.
    pub fn usual(explicit: &[PathBuf]) -> Self {
        let mut folders: Vec<(PathBuf, bool)> = explicit.iter().map(|p| (p.clone(), true)).collect();
        if let Some(list) = std::env::var_os("ASSAY_PLUGIN_PATH") {
            folders.extend(
                std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()).map(|p| (p, true)),
            );
        }
        if let Some(beside) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf))
        {
            folders.push((beside.join("plugins"), false));
            if let Some(prefix) = beside.parent() {
                folders.push((prefix.join("lib").join("assay").join("plugins"), false));
            }
            folders.push((beside, false));
        }
        if cfg!(unix) {
            folders.extend(
                ["/usr/local/lib/assay/plugins", "/usr/lib/assay/plugins"].map(|p| (p.into(), false)),
            );
        }
        Self { folders }
    }

    /// These folders alone.
    pub fn only(folders: &[PathBuf]) -> Self {
        Self { folders: folders.iter().map(|p| (p.clone(), true)).collect() }
    }

    /// The same with `first` searched before the others.
    pub fn with_first(mut self, first: Vec<PathBuf>) -> Self {
        self.folders.splice(0..0, first.into_iter().map(|p| (p, true)));
        self
    }

    /// The folders, in order.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|(p, _)| p.as_path())
    }
}

/// The methods that were found.
#[derive(Debug, Default)]
pub struct Registry {
    methods: BTreeMap<String, Method>,
    /// Libraries that could not be used; an error only for whoever needs their methods.
    pub broken: Vec<Error>,
    /// Methods that an earlier folder hides: id and the hidden library.
    pub hidden: Vec<(String, PathBuf)>,
    searched: Vec<PathBuf>,
}

impl Registry {
    /// Loads every plugin on the path.
    ///
    /// # Errors
    /// [`Error::Plugin`] where an explicit folder does not exist or may be written to by anyone, or one folder holds a method twice. A library that cannot be
    /// used is remembered in [`Registry::broken`] and does not disturb the others.
    pub fn discover(path: &SearchPath) -> Result<Self> {
        let mut registry = Self::default();
        for (folder, required) in &path.folders {
            let folder = std::path::absolute(folder).map_err(|e| Error::io(folder, e))?;
            if registry.searched.contains(&folder) {
                continue;
            }
            match libraries_in(&folder) {
                Ok(files) if files.is_empty() => {}
                Ok(_) if is_open_to_all(&folder) => {
                    let refused = Error::Plugin { path: folder.clone(), message: open_to_all(&folder) };
                    if *required {
                        return Err(refused);
                    }
                    registry.broken.push(refused);
                }
                Ok(files) => registry.add_folder(&folder, files)?,
                Err(e) if *required => {
                    return Err(Error::Plugin {
                        path: folder,
                        message: format!("cannot be searched for plugins: {e}"),
                    });
                }
                Err(_) => {}
            }
            registry.searched.push(folder);
        }
        Ok(registry)
    }

    fn add_folder(&mut self, folder: &Path, files: Vec<PathBuf>) -> Result<()> {
        let mut here: BTreeMap<String, Method> = BTreeMap::new();
        for file in files {
            if is_open_to_all(&file) {
                self.broken.push(Error::Plugin { message: open_to_all(&file), path: file });
                continue;
            }
            let methods = match load(&file) {
                Ok(methods) => methods,
                Err(e) => {
                    self.broken.push(e);
                    continue;
                }
            };
            for method in methods {
                let id = method.info.id.clone();
                if let Some(other) = here.get(&id) {
                    return Err(Error::Plugin {
                        path: folder.to_path_buf(),
                        message: format!(
                            "method `{id}` is in two libraries, {} and {}; remove one",
                            other.library.path.display(),
                            method.library.path.display()
                        ),
                    });
                }
                here.insert(id, method);
            }
        }
        for (id, method) in here {
            match self.methods.entry(id) {
                Entry::Occupied(taken) => {
                    self.hidden.push((taken.key().clone(), method.library.path.clone()))
                }
                Entry::Vacant(free) => drop(free.insert(method)),
            }
        }
        Ok(())
    }

    /// The method with this id.
    pub fn get(&self, id: &str) -> Option<&Method> {
        self.methods.get(id)
    }

    /// All methods, by id.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }

    /// The loaded libraries.
    pub fn libraries(&self) -> Vec<&Library> {
        let mut all: Vec<&Library> = self.methods.values().map(|m| &*m.library).collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all.dedup_by(|a, b| a.path == b.path);
        all
    }

    /// Why there is no method `id`: nearest spelling, folders searched, libraries that could not be used.
    pub fn why_missing(&self, id: &str, builtin: &[&str]) -> String {
        let known: Vec<&str> =
            self.methods.keys().map(String::as_str).chain(builtin.iter().copied()).collect();
        let hint = nearest(id, known.iter().copied());
        let end = if hint.is_empty() { "." } else { "" };
        let mut message = format!("there is no method `{id}`{hint}{end}");
        let folders: Vec<String> = self.searched.iter().map(|p| p.display().to_string()).collect();
        message += &format!(" Looked in {} (--plugin-path names more).", folders.join(", "));
        for broken in &self.broken {
            message += &format!(" Not usable: {broken}.");
        }
        message
    }
}

/// Whether any user of the machine may change a file or folder, which then decides what runs.
fn is_open_to_all(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        const WRITE_BY_OTHERS: u32 = 0o002;
        path.metadata().is_ok_and(|m| m.permissions().mode() & WRITE_BY_OTHERS != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn open_to_all(path: &Path) -> String {
    format!(
        "anyone on this machine may write to it, and plugins are code: nothing of it is loaded. `chmod o-w {}` when what is in it is yours",
        path.display()
    )
}

/// The plugin libraries of a folder, sorted by name. In a build tree the same library lies in the folder and in its `deps`
/// folder, and either copy may be the stale one: the newest wins.
fn libraries_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found: BTreeMap<std::ffi::OsString, (SystemTime, PathBuf)> = BTreeMap::new();
    let deps = folder.join("deps");
    let in_build_tree = deps.is_dir() && folder.join(".fingerprint").is_dir();
    let folders = [Some(folder), in_build_tree.then_some(deps.as_path())];
    for folder in folders.into_iter().flatten() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().filter(|n| n.to_str().is_some_and(is_plugin_name)) else {
                continue;
            };
            let Some(modified) = path.metadata().ok().filter(std::fs::Metadata::is_file) else { continue };
            let modified = modified.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            match found.get(name) {
                Some((at, _)) if *at >= modified => {}
                _ => drop(found.insert(name.to_owned(), (modified, path))),
            }
        }
    }
    Ok(found.into_values().map(|(_, path)| path).collect())
}

/// Whether a file name is a plugin's on this operating system.
fn is_plugin_name(name: &str) -> bool {
    let (prefix, suffix) = if cfg!(windows) {
        ("assay_", ".dll")
    } else if cfg!(target_os = "macos") {
        ("libassay_", ".dylib")
    } else {
        ("libassay_", ".so")
    };
    name.starts_with(prefix) && name.ends_with(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plugin_names_are_touched() {
        assert!(is_plugin_name(&format!(
            "{}assay_x{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        )));
        assert!(
            !is_plugin_name("libother.so")
                && !is_plugin_name("assay_x.txt")
                && !is_plugin_name("libassay_x.so.bak")
        );
    }

    #[test]
    fn a_missing_explicit_folder_is_an_error_and_a_missing_usual_one_is_not() {
        let missing = PathBuf::from("/nonexistent/assay");
        assert!(Registry::discover(&SearchPath::only(std::slice::from_ref(&missing))).is_err());
        let path = SearchPath { folders: vec![(missing, false)] };
        assert_eq!(Registry::discover(&path).unwrap().methods().count(), 0);
    }

    #[test]
    fn text_files_with_plugin_names_are_reported_and_skipped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libassay_text.so"), "not a library").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "ignored").unwrap();
        let registry = Registry::discover(&SearchPath::only(&[dir.path().to_path_buf()])).unwrap();
        assert_eq!(registry.broken.len(), 1);
        assert!(
            registry.broken[0].to_string().contains("not a complete dynamic library"),
            "{}",
            registry.broken[0]
        );
        assert!(registry.why_missing("patchcor", &["patchcore"]).contains("did you mean `patchcore`"));
    }
}
