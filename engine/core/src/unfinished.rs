//! What an interrupted fit has come to: a folder in which the next run of the same fit finds it.
//!
//! The folder holds a file that says which fit it belongs to, and one file for each pass that a method had it keep
//! (`assay_host.keep`) and for the state of each step that took long. It is made when there is something to keep, and removed by
//! whoever writes the model. A folder of another fit is emptied, with a warning.

use crate::error::{Error, Result};
use crate::graph::{Graph, Worker, with_paths};
use crate::plugin::{Keep, ParamValue, Watch};
use crate::recipe::{Recipe, resolved};
use assay_data::{ScanFiles, atomic};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that says which fit the folder belongs to, and its first line.
const FIT: &str = "fit";
const HEAD: &str = "assay unfinished fit 1";

/// Name of the files' last part.
const KEPT: &str = "kept";

/// The folder of one fit.
pub(crate) struct Unfinished {
    folder: PathBuf,
    identity: String,
    watch: Arc<dyn Watch>,
}

impl Unfinished {
    /// The folder of the fit `identity` (one line of text), as an earlier run left it, or none yet.
    ///
    /// # Errors
    /// A folder that holds something else, and what the system says.
    pub(crate) fn open(folder: &Path, identity: String, watch: Arc<dyn Watch>) -> Result<Self> {
        let this = Self { folder: folder.into(), identity, watch };
        if !folder.exists() {
            return Ok(this);
        }
        match std::fs::read_to_string(folder.join(FIT)) {
            Ok(text) if text == this.head() => this.info("goes on where the interrupted fit was"),
            Ok(text) if text.starts_with(HEAD) => {
                let message = "what an interrupted fit left is of another recipe, other scans or another version, and is dropped";
                this.watch.log("fit", 2, &format!("{message} ({})", folder.display()));
                remove(folder)?;
            }
            _ => {
                return Err(Error::Request(format!(
                    "{} is in the way: this is where an interrupted fit is kept, and it is something else. Move it, or name another model",
                    folder.display()
                )));
            }
        }
        Ok(this)
    }

    fn head(&self) -> String {
        format!("{HEAD}\n{}\n", self.identity)
    }

    fn info(&self, message: &str) {
        self.watch.log("fit", 3, message);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{KEPT}"))
    }

    /// What is kept under a name. A file that is damaged counts as none, with a warning.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, e)),
        };
        let whole = bytes.split_first_chunk::<32>().filter(|(sum, rest)| Sha256::digest(rest)[..] == sum[..]);
        if whole.is_none() {
            self.watch.log("fit", 2, &format!("{} is damaged and not used", path.display()));
        }
        Ok(whole.map(|(_, rest)| rest.to_vec()))
    }

    /// Keeps `bytes` under a name.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.folder.join(FIT);
        if !file.exists() {
            std::fs::create_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
            atomic::write(&file, |out| out.write_all(self.head().as_bytes()))?;
        }
        atomic::write(&self.path(name), |out| {
            out.write_all(&Sha256::digest(bytes))?;
            out.write_all(bytes)
        })?;
        Ok(())
    }
}

/// Whether an interrupted fit left something in `folder`.
pub fn is_left(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join(FIT)).is_ok_and(|text| text.starts_with(HEAD))
}

/// What tells a fit from others: recipe, seed, scans and their folds, networks, libraries and program.
///
/// # Errors
/// A file that is not there.
pub(crate) fn identity(
    recipe: &Recipe,
    graph: &Graph,
    training: &[ScanFiles],
    folds: &[usize],
) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut part = |text: &[u8]| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    part(env!("CARGO_PKG_VERSION").as_bytes());
    part(resolved(recipe, graph).as_bytes());
    for step in &graph.steps {
        part(match &step.worker {
            Worker::Plugin(method) => method.library.sha256.as_bytes(),
            Worker::Onnx(network) | Worker::OnnxMap(network) => network.sha256.as_bytes(),
        });
        // Of files that parameters name only the name is in the recipe.
        for (info, value) in step.info.params.iter().zip(with_paths(&step.info, &step.params, &graph.folder))
        {
            if let (true, ParamValue::String(path)) = (info.unit == "path", value)
                && !path.is_empty()
            {
                stamp(Path::new(&path), &mut part)?;
            }
        }
    }
    for (scan, fold) in training.iter().zip(folds) {
        part(scan.id.as_bytes());
        part(&fold.to_le_bytes());
        scan.files.iter().try_for_each(|(_, path)| stamp(path, &mut part))?;
    }
    Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Hands a file's name, size and time to `part`: enough to see that it is another one.
fn stamp(path: &Path, part: &mut dyn FnMut(&[u8])) -> Result<()> {
    let found = path.metadata().map_err(|e| Error::io(path, e))?;
    part(path.as_os_str().as_encoded_bytes());
    part(&found.len().to_le_bytes());
    part(format!("{:?}", found.modified().ok()).as_bytes());
    Ok(())
}

/// Where one pass keeps what it has come to.
pub(crate) struct Place {
    pub(crate) of: Arc<Unfinished>,
    pub(crate) name: String,
}

impl Place {
    /// What was kept here, if anything.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn kept(&self) -> Result<Option<Vec<u8>>> {
        self.of.read(&self.name)
    }

    /// Keeps this instead.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<()> {
        self.of.write(&self.name, bytes)
    }
}

impl Keep for Place {
    fn write(&self, bytes: &[u8]) -> std::result::Result<(), String> {
        self.put(bytes).map_err(|e| e.to_string())
    }

    fn read(&self) -> std::result::Result<Option<Vec<u8>>, String> {
        self.kept().map_err(|e| e.to_string())
    }
}

/// Removes what an interrupted fit left in `folder`, and the folder where nothing else is in it.
///
/// # Errors
/// What the system says; a folder that is not there is none.
pub fn remove(folder: &Path) -> Result<()> {
    if !is_left(folder) {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|e| e == KEPT) {
            std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
        }
    }
    // Last: without it the folder is not ours any more.
    let file = folder.join(FIT);
    std::fs::remove_file(&file).map_err(|e| Error::io(&file, e))?;
    // Something else in it stays.
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Hears what is logged.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Watch for Heard {
        fn log(&self, _: &str, _: u32, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
        fn progress(&self, _: &str, _: f64, _: &str) {}
        fn cancelled(&self) -> bool {
            false
        }
    }

    fn open(folder: &Path, identity: &str) -> (Unfinished, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        (Unfinished::open(folder, identity.into(), heard.clone()).unwrap(), heard)
    }

    #[test]
    fn the_next_run_of_the_same_fit_finds_what_was_kept_last() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("part.unfinished");
        let (first, heard) = open(&folder, "one");
        assert!(first.read("a").unwrap().is_none() && !is_left(&folder) && !folder.exists());
        first.write("a", b"early").unwrap();
        first.write("a", b"late").unwrap();
        first.write("b", b"").unwrap();
        assert!(is_left(&folder) && heard.0.lock().unwrap().is_empty());
        let (second, heard) = open(&folder, "one");
        assert!(heard.0.lock().unwrap()[0].contains("goes on"));
        assert_eq!(second.read("a").unwrap().unwrap(), b"late");
        assert_eq!(second.read("b").unwrap().unwrap(), b"");
        remove(&folder).unwrap();
        assert!(!folder.exists());
        remove(&folder).unwrap();
    }

    #[test]
    fn another_fit_finds_nothing_and_says_so() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("part.unfinished");
        open(&folder, "one").0.write("a", b"x").unwrap();
        let (other, heard) = open(&folder, "two");
        assert!(other.read("a").unwrap().is_none());
        assert!(heard.0.lock().unwrap()[0].contains("another recipe"));
    }

    #[test]
    fn a_folder_of_something_else_is_refused_and_what_is_not_ours_stays() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("photo"), "x").unwrap();
        let refused = Unfinished::open(scratch.path(), "one".into(), Arc::new(())).err().unwrap().to_string();
        assert!(refused.contains("is in the way"), "{refused}");
        remove(scratch.path()).unwrap();
        let folder = scratch.path().join("ours");
        open(&folder, "one").0.write("a", b"x").unwrap();
        std::fs::write(folder.join("photo"), "x").unwrap();
        remove(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_not_used() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("part.unfinished");
        let (fit, heard) = open(&folder, "one");
        fit.write("a", b"something").unwrap();
        let path = fit.path("a");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        for damaged in [&bytes[..], &bytes[..20], &[]] {
            std::fs::write(&path, damaged).unwrap();
            assert!(fit.read("a").unwrap().is_none());
        }
        assert_eq!(heard.0.lock().unwrap().len(), 3);
    }
}
