//! Folders for temporary files, which are gone when the work ends, or when the next work starts after a crash.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

/// The file in a scratch folder that is locked for as long as its process lives.
const LOCK: &str = "lock";

/// A fresh folder below the system's temporary one; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    /// Released first: where locked files cannot be removed, the folder could not be either.
    _lock: File,
    folder: TempDir,
}

impl Scratch {
    /// Makes the folder, under a name that starts with `prefix`. Folders of that prefix whose process was killed are
    /// removed before, as far as they can be.
    ///
    /// # Errors
    /// [`Error::Io`] where the temporary folder cannot be written.
    pub fn new(prefix: &str) -> Result<Self> {
        Self::below(&std::env::temp_dir(), prefix)
    }

    fn below(parent: &Path, prefix: &str) -> Result<Self> {
        remove_abandoned(parent, prefix);
        loop {
            let made = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
            let folder = made.map_err(|e| Error::io(parent, e))?;
            let path = folder.path().join(LOCK);
            let lock = match File::create(&path) {
                Ok(lock) => lock,
                // Another process took the folder for an abandoned one in the moment before it was locked.
                Err(_) if !folder.path().exists() => continue,
                Err(e) => return Err(Error::io(path, e)),
            };
            if !matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)) && path.exists() {
                return Ok(Self { _lock: lock, folder });
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the scratch folders that nobody holds. What cannot be removed is another user's.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        if !named || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let lock = File::options().write(true).create(true).truncate(false).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_goes_with_its_owner_or_with_the_next_one_after_a_crash() {
        let parent = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(parent.path()).unwrap().count();
        let first = Scratch::below(parent.path(), "assay-test-").unwrap();
        fs::write(first.path().join("values"), "kept").unwrap();
        for (name, folder) in [("assay-test-killed", true), ("assay-test-file", false), ("other", true)] {
            let path = parent.path().join(name);
            if folder { fs::create_dir(&path).unwrap() } else { fs::write(&path, "").unwrap() }
        }
        let second = Scratch::below(parent.path(), "assay-test-").unwrap();
        assert!(first.path().join("values").exists() && !parent.path().join("assay-test-killed").exists());
        assert_eq!(count(), 4);
        drop((first, second));
        assert_eq!(count(), 2);
    }
}
