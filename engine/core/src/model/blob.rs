//! Bytes that need not be in memory: the states of a model may take half of the machine's.

use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes read from a file at a time.
const CHUNK: usize = 1 << 20;

/// Bytes in memory, or a part of an open file that is read whenever they are needed.
#[derive(Debug, Clone)]
pub struct Blob {
    source: Source,
    at: u64,
    length: u64,
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Arc<[u8]>),
    // Reads move the file's position, so one at a time.
    File(Arc<Mutex<File>>),
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self { at: 0, length: bytes.len() as u64, source: Source::Memory(bytes.into()) }
    }
}

impl Blob {
    /// All of a file, as long as it is now. It stays readable when its name is removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn file(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// What `fill` writes, in a file without a name below `folder` that is gone with the last copy of the blob.
    ///
    /// # Errors
    /// `fill`'s own error in its place; what the system says of the file.
    pub fn spilled<E>(
        folder: &Path,
        fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
    ) -> io::Result<Result<Self, E>> {
        let mut out = BufWriter::with_capacity(CHUNK, tempfile::tempfile_in(folder)?);
        if let Err(e) = fill(&mut out) {
            return Ok(Err(e));
        }
        Self::of(out.into_inner().map_err(io::IntoInnerError::into_error)?).map(Ok)
    }

    fn of(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { source: Source::File(Arc::new(Mutex::new(file))), at: 0, length })
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// `length` bytes from `at` on; `None` where it is not as long.
    pub fn part(&self, at: u64, length: u64) -> Option<Self> {
        let end = at.checked_add(length)?;
        (end <= self.length).then(|| Self { source: self.source.clone(), at: self.at + at, length })
    }

    /// A stream of its bytes.
    pub fn reader(&self) -> impl Read + '_ {
        Reader { blob: self, done: 0 }
    }

    /// All its bytes.
    ///
    /// # Errors
    /// What the system says; a file that has been truncated since; no memory.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.reader().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Hands all its bytes on, part after part.
    ///
    /// # Errors
    /// Those of `each`; what the system says; a file that has been truncated since.
    pub fn each(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Source::Memory(bytes) = &self.source {
            return each(&bytes[self.at as usize..(self.at + self.length) as usize]);
        }
        let mut chunk = vec![0; CHUNK.min(self.length as usize)];
        let mut reader = self.reader();
        loop {
            match reader.read(&mut chunk)? {
                0 => return Ok(()),
                n => each(&chunk[..n])?,
            }
        }
    }

    /// SHA-256 of its bytes.
    ///
    /// # Errors
    /// Those of [`Blob::each`].
    pub fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut hasher = Sha256::new();
        self.each(|bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hasher.finalize().into())
    }
}

struct Reader<'a> {
    blob: &'a Blob,
    done: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Blob { source, at, length } = self.blob;
        let n = (length - self.done).min(to.len() as u64) as usize;
        if n == 0 {
            return Ok(0);
        }
        let from = at + self.done;
        let n = match source {
            Source::Memory(bytes) => {
                to[..n].copy_from_slice(&bytes[from as usize..from as usize + n]);
                n
            }
            Source::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(from))?;
                file.read(&mut to[..n])?
            }
        };
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        self.done += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn both(bytes: &[u8]) -> [Blob; 2] {
        let folder = tempfile::tempdir().unwrap();
        let spilled = Blob::spilled(folder.path(), |out| out.write_all(bytes)).unwrap().unwrap();
        [bytes.to_vec().into(), spilled]
    }

    #[test]
    fn bytes_in_a_file_are_those_in_memory_also_when_its_folder_is_gone() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 5).map(|i| (i % 251) as u8).collect();
        for blob in both(&bytes) {
            assert_eq!(blob.to_vec().unwrap(), bytes);
            assert_eq!(blob.sha256().unwrap(), *Sha256::digest(&bytes));
            let part = blob.part(7, CHUNK as u64 + 9).unwrap().part(1, CHUNK as u64).unwrap();
            assert_eq!(part.to_vec().unwrap(), bytes[8..8 + CHUNK]);
            let mut joined = Vec::new();
            part.each(|bytes| joined.write_all(bytes)).unwrap();
            assert_eq!(joined, bytes[8..8 + CHUNK]);
        }
    }

    #[test]
    fn a_part_beyond_the_end_is_none() {
        for blob in both(&[1, 2, 3]) {
            assert!(blob.part(0, 3).is_some() && blob.part(3, 0).is_some());
            assert!(
                blob.part(0, 4).is_none() && blob.part(4, 0).is_none() && blob.part(1, u64::MAX).is_none()
            );
        }
    }

    #[test]
    fn readers_do_not_disturb_each_other() {
        for blob in both(&[1, 2, 3, 4]) {
            let (mut a, mut b) = (blob.reader(), blob.reader());
            let (mut x, mut y) = ([0; 2], [0; 2]);
            a.read_exact(&mut x).unwrap();
            b.read_exact(&mut y).unwrap();
            a.read_exact(&mut x).unwrap();
            assert_eq!((x, y), ([3, 4], [1, 2]));
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, [1; 10]).unwrap();
        let blob = Blob::file(&path).unwrap();
        std::fs::write(&path, [1; 4]).unwrap();
        assert_eq!(blob.to_vec().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_fails_while_it_is_filled_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Blob::spilled(folder.path(), |_| Err("cancelled")).unwrap().unwrap_err(), "cancelled");
    }
}
