//! Finds the ONNX Runtime library: places in a fixed order, each looked at and recorded.
//!
//! 1. the path that the caller names (recipe or `--runtime-path`), else the one in `ASSAY_ONNXRUNTIME`:
//!    nothing else is tried then, and one that does not work is an error;
//! 2. `ORT_DYLIB_PATH`, which other programs read too, so that one that does not work is only recorded;
//! 3. beside the executable, its `lib` and `../lib`;
//! 4. the folders of system libraries;
//! 5. Python installations: the active environment, the `python3` on the search path, the user's packages.
//!    Their folders are read; Python is never started, which would cost more time than the rest together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::InferenceError;
use crate::platform;

/// The environment variable that names the library, or a folder that holds it, for Assay alone.
pub(crate) const ASSAY_VARIABLE: &str = "ASSAY_ONNXRUNTIME";
/// The environment variable of the same meaning that is shared with other programs.
const SHARED_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Where the library lies within a folder that a user would name: the folder itself, an unpacked release,
/// a Python package, a folder of Python packages.
const LAYOUTS: [&str; 4] = ["", "lib", "capi", "onnxruntime/capi"];

/// What the search reads of the process and the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) assay_variable: Option<OsString>,
    pub(crate) shared_variable: Option<OsString>,
    /// The folder of the executable.
    pub(crate) executable_folder: Option<PathBuf>,
    pub(crate) system_folders: Vec<PathBuf>,
    /// Python installations (`sys.prefix`), in order.
    pub(crate) python_prefixes: Vec<PathBuf>,
}

impl Surroundings {
    /// The surroundings of this process.
    pub(crate) fn of_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let executable = std::env::current_exe().ok().and_then(|exe| exe.canonicalize().ok());

        let library_path = platform::LIBRARY_PATH_VARIABLE.and_then(variable).unwrap_or_default();
        let mut system_folders: Vec<PathBuf> =
            std::env::split_paths(&library_path).filter(|folder| folder.is_absolute()).collect();
        system_folders.extend(platform::system_folders());

        let mut python_prefixes: Vec<PathBuf> =
            ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).map(PathBuf::from).collect();
        let search_path = variable("PATH").unwrap_or_default();
        let python = std::env::split_paths(&search_path)
            .map(|folder| folder.join(platform::PYTHON))
            .find(|program| program.is_file());
        if let Some(python) = python {
            // First as it is named, which is the virtual environment, then what it links to.
            let linked = python.canonicalize().ok();
            for program in std::iter::once(python).chain(linked) {
                python_prefixes.extend(platform::python_prefixes(&program));
            }
        }
        python_prefixes.extend(std::env::home_dir().map(|home| home.join(".local")));

        Self {
            assay_variable: variable(ASSAY_VARIABLE),
            shared_variable: variable(SHARED_VARIABLE),
            executable_folder: executable.and_then(|exe| exe.parent().map(Path::to_owned)),
            system_folders,
            python_prefixes,
        }
    }
}

/// A library that was accepted.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) library: PathBuf,
    /// What the acceptance test learnt about it.
    pub(crate) accepted: T,
    /// Whether it belongs to a Python installation, which may change under a station's feet.
    pub(crate) in_python: bool,
    pub(crate) searched: Vec<String>,
}

/// Why a search ended without a library.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// The one that the user named does not work.
    Named(InferenceError),
    /// None that works in any of the places.
    Nowhere {
        searched: Vec<String>,
        /// Libraries that were found and refused, with the reason.
        refused: Vec<String>,
    },
}

/// Looks for a library that `accept` takes; `accept` gives the reason why it does not.
pub(crate) fn find<T>(
    named: Option<&Path>,
    surroundings: &Surroundings,
    mut accept: impl FnMut(&Path) -> Result<T, String>,
) -> Result<Found<T>, NotFound> {
    let by_variable = surroundings.assay_variable.as_deref().map(Path::new);
    let named = named.map(|path| ("the runtime path", path));
    if let Some((named_by, path)) = named.or(by_variable.map(|path| (ASSAY_VARIABLE, path))) {
        return find_named(named_by, path, accept).map_err(NotFound::Named);
    }
    let (mut searched, mut refused) = (Vec::new(), Vec::new());
    for place in places(surroundings) {
        let libraries = match &place.path {
            Some(path) => libraries_at(path, place.layouts),
            None => Err("not set".to_owned()),
        };
        let libraries = match libraries {
            Ok(libraries) => libraries,
            Err(reason) => {
                searched.push(place.line(&reason));
                continue;
            }
        };
        for library in libraries {
            match accept(&library) {
                Ok(accepted) => {
                    searched.push(place.line(&format!("uses {}", library.display())));
                    return Ok(Found { library, accepted, in_python: place.in_python, searched });
                }
                Err(reason) => {
                    let reason = format!("{}: {reason}", library.display());
                    searched.push(place.line(&reason));
                    refused.push(reason);
                }
            }
        }
    }
    Err(NotFound::Nowhere { searched, refused })
}

/// The library at a path that the user named.
fn find_named<T>(
    named_by: &'static str,
    path: &Path,
    mut accept: impl FnMut(&Path) -> Result<T, String>,
) -> Result<Found<T>, InferenceError> {
    let unusable = |reason| InferenceError::RuntimeUnusable { named_by, path: path.to_owned(), reason };
    let mut reasons = Vec::new();
    for library in libraries_at(path, &LAYOUTS).map_err(unusable)? {
        match accept(&library) {
            Ok(accepted) => {
                let searched = vec![format!("{named_by}: uses {}", library.display())];
                return Ok(Found { library, accepted, in_python: false, searched });
            }
            Err(reason) if library == path => reasons.push(reason),
            Err(reason) => reasons.push(format!("{}: {reason}", library.display())),
        }
    }
    Err(unusable(reasons.join("; ")))
}

/// The libraries that `path`, a file or a folder, stands for: the plain name first, then by falling version.
pub(crate) fn libraries_named_by(path: &Path) -> Vec<PathBuf> {
    libraries_at(path, &LAYOUTS).unwrap_or_default()
}

fn libraries_at(path: &Path, layouts: &[&str]) -> Result<Vec<PathBuf>, String> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err("no such file or folder".to_owned());
    }
    let mut libraries = Vec::new();
    for layout in layouts {
        let Ok(entries) = path.join(layout).read_dir() else { continue };
        let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((platform::library_version(entry.file_name().to_str()?)?, entry.path())))
            .filter(|(_, library)| library.is_file())
            .collect();
        versions.sort_by(|(a, _), (b, _)| (!a.is_empty()).cmp(&!b.is_empty()).then(b.cmp(a)));
        libraries.extend(versions.into_iter().map(|(_, library)| library));
    }
    if libraries.is_empty() { Err(format!("no {}", platform::ONNX_RUNTIME)) } else { Ok(libraries) }
}

/// One place of the search.
struct Place {
    name: &'static str,
    /// `None`: a variable that is not set.
    path: Option<PathBuf>,
    layouts: &'static [&'static str],
    in_python: bool,
}

impl Place {
    fn line(&self, outcome: &str) -> String {
        match &self.path {
            Some(path) => format!("{}, {}: {outcome}", self.name, path.display()),
            None => format!("{}: {outcome}", self.name),
        }
    }
}

fn places(surroundings: &Surroundings) -> Vec<Place> {
    let folder = |name, path| Place { name, path: Some(path), layouts: &LAYOUTS[..1], in_python: false };
    let variable = |name, path| Place { name, path, layouts: &LAYOUTS, in_python: false };
    let mut places = vec![
        variable(ASSAY_VARIABLE, None), // One that is set never gets here.
        variable(SHARED_VARIABLE, surroundings.shared_variable.as_ref().map(PathBuf::from)),
    ];
    if let Some(beside) = &surroundings.executable_folder {
        places.push(folder("beside the executable", beside.clone()));
        places.push(folder("beside the executable", beside.join("lib")));
        places.extend(beside.parent().map(|up| folder("beside the executable", up.join("lib"))));
    }
    let system = surroundings.system_folders.iter();
    places.extend(system.map(|path| folder("system libraries", path.clone())));
    for prefix in &surroundings.python_prefixes {
        for packages in platform::python_packages(prefix) {
            let capi = packages.join("onnxruntime").join("capi");
            places.push(Place { in_python: true, ..folder("Python packages", capi) });
        }
    }
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| place.path.as_ref().is_none_or(|path| seen.insert(path.clone())));
    places
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
