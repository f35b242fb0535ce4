//! The scans of one folder: files of all sensors, joined by their id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::natural::natural;
use super::pattern::{Match, Pattern};
use crate::{DataError, ScanFiles, Sensor};

/// A scan as its folder holds it at one moment, complete or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentScan {
    /// The id that the files share.
    pub id: String,
    /// Each sensor and its files: none where it is still missing, several where the pattern is ambiguous.
    pub files: Vec<(String, Vec<PathBuf>)>,
}

/// Sensors with their checked patterns.
pub(super) struct Patterns<'a>(Vec<(&'a Sensor, Pattern)>);

impl<'a> Patterns<'a> {
    /// # Errors
    /// [`DataError::BadSensor`] for a bad pattern or a repeated name, [`DataError::BadArgument`] without sensors.
    pub(super) fn of(sensors: &'a [Sensor]) -> Result<Self, DataError> {
        if sensors.is_empty() {
            return Err(DataError::bad_argument("sensors", "none is given, so no file can be found"));
        }
        for (k, sensor) in sensors.iter().enumerate() {
            if sensors[..k].iter().any(|other| other.name == sensor.name) {
                let (sensor, cause) = (sensor.name.clone(), "the name is used twice".to_owned());
                return Err(DataError::BadSensor { sensor, cause });
            }
        }
        sensors.iter().map(|s| Ok((s, Pattern::of(s)?))).collect::<Result<_, _>>().map(Self)
    }

    /// The scans under `folder` in natural order of their ids, each id behind `prefix`. A file that several
    /// patterns match belongs to the most specific of them. An absent folder holds no scans.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub(super) fn scans(&self, folder: &Path, prefix: &str) -> Result<Vec<ScanFiles>, DataError> {
        let scans = self.present(folder, &|_| false)?;
        Ok(scans.into_iter().map(|scan| Self::joined(prefix, scan)).collect())
    }

    /// The one scan that `file` belongs to. Its other files are looked for by name: the folder is not listed.
    ///
    /// # Errors
    /// [`DataError::NoScans`] when `file` matches no pattern, [`DataError::Read`].
    pub(super) fn scan_of(&self, file: &Path) -> Result<ScanFiles, DataError> {
        let Some((folder, id)) = self.split(file) else {
            return Err(self.no_scans(file));
        };
        let mut files = Vec::with_capacity(self.0.len());
        for (k, (sensor, pattern)) in self.0.iter().enumerate() {
            let mut found = pattern.files_of(&folder, &id)?;
            found.retain(|path| self.owns(k, &folder, path));
            files.push((sensor.name.clone(), found));
        }
        Ok(Self::joined("", PresentScan { id, files }))
    }

    /// The folder of scans and the id that the most specific pattern reads from a file's path.
    pub(super) fn split(&self, file: &Path) -> Option<(PathBuf, String)> {
        let splits =
            self.0.iter().filter_map(|(_, pattern)| Some((pattern.specificity(), pattern.split(file)?)));
        splits.max_by_key(|(specificity, _)| *specificity).map(|(_, split)| split)
    }

    /// The scans under `folder` as they are at this moment, but for those whose id `skip` knows, in natural order.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub(super) fn present(
        &self,
        folder: &Path,
        skip: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<PresentScan>, DataError> {
        let mut scans: BTreeMap<String, Vec<Vec<PathBuf>>> = BTreeMap::new();
        for (k, (_, pattern)) in self.0.iter().enumerate() {
            for Match { id, path } in pattern.find(folder, skip)? {
                if self.owns(k, folder, &path) {
                    scans.entry(id).or_insert_with(|| vec![Vec::new(); self.0.len()])[k].push(path);
                }
            }
        }
        for found in scans.values_mut().flatten() {
            found.sort();
        }
        let mut scans: Vec<_> = scans.into_iter().collect();
        scans.sort_by(|(a, _), (b, _)| natural(a, b));
        let sensors = || self.0.iter().map(|(sensor, _)| sensor.name.clone());
        let present =
            |(id, files): (String, Vec<_>)| PresentScan { id, files: sensors().zip(files).collect() };
        Ok(scans.into_iter().map(present).collect())
    }

    /// Whether no more specific pattern than the `k`-th matches `path` under `folder`.
    fn owns(&self, k: usize, folder: &Path, path: &Path) -> bool {
        let own = self.0[k].1.specificity();
        let others = self.0.iter().map(|(_, pattern)| pattern).filter(|p| p.specificity() > own);
        !others.into_iter().any(|p| p.split(path).is_some_and(|(found, _)| found == folder))
    }

    pub(super) fn no_scans(&self, folder: &Path) -> DataError {
        let patterns: Vec<_> = self.0.iter().map(|(s, _)| format!("`{}`", s.pattern)).collect();
        DataError::NoScans { path: folder.to_path_buf(), patterns: patterns.join(", ") }
    }

    /// The scan as it was found, complete or not: [`ScanFiles::file_of`] tells.
    fn joined(prefix: &str, scan: PresentScan) -> ScanFiles {
        let files = scan
            .files
            .into_iter()
            .flat_map(|(sensor, found)| found.into_iter().map(move |path| (sensor.clone(), path)));
        ScanFiles { id: format!("{prefix}{}", scan.id), files: files.collect(), defect: None, mask: None }
    }
}
