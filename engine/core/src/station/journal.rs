//! The journal of a watched folder: one line of results for each scan that is done.

use super::request::read_line;
use crate::error::{Error, Result};
use crate::result::ResultLine;
use assay_data::atomic::sync_folder;
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of the longest line that is read back.
const LONGEST: usize = 64 << 20;

/// A file of result lines that says which scans are done. One process writes it at a time.
///
/// A line is on the disk, whole, when [`Journal::append`] returns; after a crash the file ends with a whole line or
/// with a part of one, which opening it again removes.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Holds the lock for as long as the journal is open.
    _lock: File,
    length: u64,
    done: HashSet<String>,
    /// SHA-256 of the model of the last line.
    pub last_model: Option<String>,
    /// What was found wrong with the file and what was done about it.
    pub notes: Vec<String>,
}

/// What is read back of a line.
#[derive(Deserialize)]
struct Known {
    id: String,
    model_sha256: Option<String>,
}

impl Journal {
    /// Opens `folder/results.jsonl`, made with its folder where it is not there.
    ///
    /// # Errors
    /// [`Error::Request`] where another process has it open, [`Error::Io`].
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let lock = lock(folder)?;
        let path = folder.join("results.jsonl");
        let failed = |e| Error::io(&path, e);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        sync_folder(folder).map_err(failed)?;
        let mut journal = Self {
            file,
            _lock: lock,
            length: 0,
            done: HashSet::new(),
            last_model: None,
            notes: Vec::new(),
            path: path.clone(),
        };
        journal.read()?;
        Ok(journal)
    }

    /// Reads what is there and cuts a torn last line off.
    fn read(&mut self) -> Result<()> {
        let path = self.path.clone();
        let failed = |e| Error::io(&path, e);
        let mut input = BufReader::new(File::open(&path).map_err(failed)?);
        let (mut number, mut unreadable) = (0, Vec::new());
        while let Some(line) = read_line(&mut input, LONGEST).map_err(failed)? {
            if !line.ended {
                self.file.set_len(self.length).and_then(|()| self.file.sync_all()).map_err(failed)?;
                let place = path.display();
                self.notes.push(format!(
                    "{place}: the last line was cut short and is removed; its scan is scored again"
                ));
                break;
            }
            number += 1;
            self.length += line.length;
            match line.text.and_then(|text| serde_json::from_slice::<Known>(&text).ok()) {
                Some(known) => {
                    self.done.insert(known.id);
                    self.last_model = known.model_sha256;
                }
                None => unreadable.push(number),
            }
        }
        if let Some(first) = unreadable.first() {
            let others = match unreadable.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            let place = path.display();
            self.notes.push(format!(
                "{place}:{first}{others}: not a line of results; it is kept, its scan may be scored again"
            ));
        }
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many scans are done.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether no scan is done.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Whether the scan of this id is done.
    pub fn contains(&self, id: &str) -> bool {
        self.done.contains(id)
    }

    /// Appends a line in one write and waits until it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`]; what was written of the line is taken back as far as the system lets.
    pub fn append(&mut self, line: &ResultLine) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| Error::io(&self.path, e.into()))?;
        bytes.push(b'\n');
        if let Err(e) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Should this fail too, opening the journal again cuts the torn line off.
            let _ = self.file.set_len(self.length);
            return Err(Error::io(&self.path, e));
        }
        self.length += bytes.len() as u64;
        self.done.insert(line.id.clone());
        Ok(())
    }
}

/// Locks the journal of `folder`; the system releases it when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| Error::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Request(format!(
            "another watcher writes its results to {}: stop it, or give this one another --out",
            folder.display()
        ))),
        Err(TryLockError::Error(e)) => Err(Error::Request(format!(
            "{} cannot be locked ({e}): give a folder on a disk of this machine by --out",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(journal: &Journal) -> Vec<&str> {
        let mut ids: Vec<&str> = journal.done.iter().map(String::as_str).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_is_torn() {
        let whole = "{\"id\":\"a\",\"model_sha256\":\"m\"}\n{\"id\":\"b\"}\n";
        let last = "{\"id\":\"c\"}";
        for cut in 1..=last.len() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("results.jsonl");
            std::fs::write(&path, format!("{whole}{}", &last[..cut])).unwrap();
            let journal = Journal::open(folder.path()).unwrap();
            assert_eq!(done(&journal), ["a", "b"]);
            assert!(journal.notes[0].contains("cut short"), "{:?}", journal.notes);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        }
    }

    #[test]
    fn an_unreadable_line_is_reported_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let text = "{\"id\":\"a\"}\n\u{0}\u{0}\nhello\n{\"id\":\"b\"}\n";
        std::fs::write(&path, text).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        assert_eq!(done(&journal), ["a", "b"]);
        assert!(journal.notes[0].contains("results.jsonl:2 (and 1 more)"), "{:?}", journal.notes);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_second_process_is_told_and_the_end_of_the_first_frees_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path()).unwrap();
        let error = Journal::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another watcher"), "{error}");
        drop(first);
        assert!(Journal::open(folder.path()).unwrap().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_line_that_cannot_be_written_is_an_error_and_its_scan_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        // A device on which every write fails as on a full disk.
        journal.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let line = super::super::watch::tests::line("a");
        let error = journal.append(&line).unwrap_err().to_string();
        assert!(error.contains("results.jsonl") && !journal.contains("a"), "{error}");
    }
}
