//! Files that are either whole or absent: written beside the target, flushed to the disk, then renamed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::DataError;

/// Writes `path` through `fill`, so that a reader sees the old file or the whole new one, at any moment and
/// after any crash. The folder must exist. On an error nothing of the new file remains.
///
/// # Errors
/// [`DataError::Write`], with `fill`'s own error or the operating system's.
pub fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), DataError> {
    write_and_rename(path, fill).map_err(|source| DataError::Write { path: path.to_path_buf(), source })
}

fn write_and_rename(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let (temporary, file) = Temporary::beside(path)?;
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    writer.flush()?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    temporary.rename(path)?;
    sync_folder(folder_of(path))
}

/// A file of this process that is removed unless it was renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn beside(path: &Path) -> io::Result<(Self, File)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
        loop {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}-{}.tmp", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
            let path = folder_of(path).join(hidden);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { path, renamed: false }, file)),
                // Left by an earlier process of the same number that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
        }
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The write has failed already; that error is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the temporary files that killed processes left in `folder`; to be called while nothing is written there.
/// A folder that is not there holds none.
///
/// # Errors
/// [`DataError::Read`], [`DataError::Write`].
pub fn remove_leftovers(folder: &Path) -> Result<(), DataError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(DataError::read(folder)(e)),
    };
    for entry in entries {
        let entry = entry.map_err(DataError::read(folder))?;
        if entry.file_name().to_str().is_some_and(is_temporary) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| DataError::Write { path, source })?;
        }
    }
    Ok(())
}

/// Whether a name is `.<name>.<process>-<count>.tmp`.
fn is_temporary(name: &str) -> bool {
    let middle = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let numbers = middle.and_then(|middle| middle.rsplit_once('.')?.1.split_once('-'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(process, count)| digits(process) && digits(count))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes new and renamed files of a folder durable under their names. Only Unix opens folders for that.
///
/// # Errors
/// The operating system's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_written_file_replaces_the_old_one_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.assay");
        for text in ["old", "new and longer"] {
            write(&path, |w| w.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["model.assay"]);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_removes_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.assay");
        fs::write(&path, "old").unwrap();
        let error = write(&path, |w| {
            w.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("model.assay") && error.to_string().contains("disk full"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["model.assay"]);
    }

    #[test]
    fn what_killed_writers_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.tiff");
        let (temporary, _) = Temporary::beside(&path).unwrap();
        std::mem::forget(temporary);
        for kept in [".hidden", "x.1-2.tmp", ".x.tmp", ".x.1-.tmp", "a.b.tiff"] {
            fs::write(folder.path().join(kept), "").unwrap();
        }
        assert_eq!(names(folder.path()).len(), 6);
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()), [".hidden", ".x.1-.tmp", ".x.tmp", "a.b.tiff", "x.1-2.tmp"]);
        remove_leftovers(&folder.path().join("absent")).unwrap();
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("absent/map.tiff"), |_| Ok(())).unwrap_err();
        assert!(matches!(error, DataError::Write { .. }), "{error}");
    }
}
