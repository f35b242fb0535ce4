//! Files that are either whole or absent: written beside the target, flushed to the disk, then renamed.
//!
//! A file is locked while it is written, so that what a killed process left can be told from what another one still
//! writes; it is removed when something else is written to its folder.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
    let path = &target(path)?;
    let folder = folder_of(path);
    if first_write_to(folder) {
        // An earlier process may have left something that this one has no right to remove: no reason not to write.
        let _ = remove_leftovers(folder);
    }
    let (temporary, file) = Temporary::beside(path)?;
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    writer.flush()?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    temporary.rename(path)?;
    sync_folder(folder)
}

/// Finds out whether `path` can be the name of a file that is written: it is free, or there is a file.
///
/// # Errors
/// [`DataError::Write`] for a folder, a device, a pipe.
pub fn check_target(path: &Path) -> Result<(), DataError> {
    target(path).map(drop).map_err(|source| DataError::Write { path: path.to_path_buf(), source })
}

/// The file that `path` names, through symbolic links. Renaming over a device or a pipe would remove it.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {
            if path.is_symlink() {
                fs::canonicalize(path)
            } else {
                Ok(path.to_path_buf())
            }
        }
        Ok(found) => {
            let what = if found.is_dir() { "it is a folder" } else { "it is a device or a pipe, not a file" };
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        Err(e) => Err(e),
    }
}

/// Whether this process writes to `folder` for the first time.
fn first_write_to(folder: &Path) -> bool {
    static KNOWN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().insert(folder.to_path_buf())
}

/// How the names of files end that are being written.
const ENDING: &str = ".assay.tmp";

/// Locks a file that is being written; where the file system has no locks, it is not removed by others either.
fn hold(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
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
            hidden.push(format!(".{}-{}{ENDING}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
            let path = folder_of(path).join(hidden);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) if hold(&file) && path.exists() => {
                    return Ok((Self { path, renamed: false }, file));
                }
                // Another process took it for a leftover in the moment before it was locked.
                Ok(_) => drop(fs::remove_file(&path)),
                // Left by an earlier process of the same number that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
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

/// Removes the temporary files that killed processes left in `folder`; those that another one is writing stay. A folder
/// that is not there holds none.
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
            let abandoned = File::open(&path).and_then(|file| Ok(file.try_lock()?));
            match abandoned.and_then(|()| fs::remove_file(&path)) {
                Ok(()) => {}
                // Somebody is writing it, or has just renamed it.
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound) => {}
                Err(source) => return Err(DataError::Write { path, source }),
            }
        }
    }
    Ok(())
}

/// Whether a name is `.<name>.<process>-<count>.assay.tmp`.
fn is_temporary(name: &str) -> bool {
    let middle = name.strip_prefix('.').and_then(|name| name.strip_suffix(ENDING));
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
        let (temporary, held) = Temporary::beside(&path).unwrap();
        std::mem::forget(temporary);
        let kept =
            [".hidden", ".x.1-.assay.tmp", ".x.1-2.tmp", ".x.assay.tmp", "a.b.tiff", "x.1-2.assay.tmp"];
        for name in kept {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()).len(), 7, "one that is being written stays");
        drop(held);
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()), kept);
        remove_leftovers(&folder.path().join("absent")).unwrap();
    }

    #[test]
    fn the_first_write_to_a_folder_removes_what_killed_writers_left_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".old.assay.77-0.assay.tmp"), "half").unwrap();
        write(&folder.path().join("new.assay"), |w| w.write_all(b"whole")).unwrap();
        assert_eq!(names(folder.path()), ["new.assay"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("v2.assay"), folder.path().join("part.assay"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, |w| w.write_all(b"new")).unwrap();
        assert!(link.is_symlink() && fs::read_to_string(&file).unwrap() == "new");
        for (path, what) in [(Path::new("/dev/null"), "a device"), (folder.path(), "a folder")] {
            let error = write(path, |w| w.write_all(b"x")).unwrap_err().to_string();
            assert!(error.contains(what) && check_target(path).is_err(), "{error}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("absent/map.tiff"), |_| Ok(())).unwrap_err();
        assert!(matches!(error, DataError::Write { .. }), "{error}");
    }
}
