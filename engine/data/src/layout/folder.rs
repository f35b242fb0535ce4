//! The scans of one folder: files of all sensors, joined by their id.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::natural::natural;
use super::pattern::{Match, Pattern};
use crate::{DataError, ScanFiles, Sensor};

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
    /// [`DataError::Read`], [`DataError::MissingFile`], [`DataError::Ambiguous`].
    pub(super) fn scans(&self, folder: &Path, prefix: &str) -> Result<Vec<ScanFiles>, DataError> {
        let mut scans: BTreeMap<String, Vec<Option<PathBuf>>> = BTreeMap::new();
        for (k, matches) in self.matches(folder)?.into_iter().enumerate() {
            for Match { id, path } in matches {
                let files = scans.entry(id.clone()).or_insert_with(|| vec![None; self.0.len()]);
                if let Some(first) = files[k].replace(path.clone()) {
                    let sensor = self.0[k].0.name.clone();
                    return Err(DataError::Ambiguous { id, sensor, first, second: path });
                }
            }
        }
        let mut scans: Vec<_> = scans.into_iter().collect();
        scans.sort_by(|(a, _), (b, _)| natural(a, b));
        scans.into_iter().map(|(id, files)| self.joined(folder, prefix, &id, files)).collect()
    }

    /// The one scan that `file` belongs to.
    ///
    /// # Errors
    /// [`DataError::NoScans`] when `file` matches no pattern, [`DataError::MissingFile`] for the other sensors.
    pub(super) fn scan_of(&self, file: &Path) -> Result<ScanFiles, DataError> {
        let split = self
            .0
            .iter()
            .filter_map(|(_, pattern)| pattern.split(file).map(|split| (pattern.specificity(), split)))
            .max_by_key(|(specificity, _)| *specificity);
        let Some((_, (folder, id))) = split else {
            return Err(self.no_scans(file));
        };
        let mut files = self.matches(&folder)?;
        let files = files.iter_mut().map(|m| m.drain(..).find(|m| m.id == id).map(|m| m.path)).collect();
        self.joined(&folder, "", &id, files)
    }

    pub(super) fn no_scans(&self, folder: &Path) -> DataError {
        let patterns: Vec<_> = self.0.iter().map(|(s, _)| format!("`{}`", s.pattern)).collect();
        DataError::NoScans { path: folder.to_path_buf(), patterns: patterns.join(", ") }
    }

    /// Each sensor's own matches, sorted by path.
    fn matches(&self, folder: &Path) -> Result<Vec<Vec<Match>>, DataError> {
        let mut all = Vec::with_capacity(self.0.len());
        let mut owner: HashMap<PathBuf, usize> = HashMap::new();
        for (_, pattern) in &self.0 {
            let mut matches = pattern.find(folder)?;
            matches.sort_by(|a, b| a.path.cmp(&b.path));
            for m in &matches {
                let best = owner.entry(m.path.clone()).or_default();
                *best = pattern.specificity().max(*best);
            }
            all.push(matches);
        }
        for ((_, pattern), matches) in self.0.iter().zip(&mut all) {
            matches.retain(|m| owner.get(&m.path) == Some(&pattern.specificity()));
        }
        Ok(all)
    }

    fn joined(
        &self,
        folder: &Path,
        prefix: &str,
        id: &str,
        files: Vec<Option<PathBuf>>,
    ) -> Result<ScanFiles, DataError> {
        let name = format!("{prefix}{id}");
        let files = self.0.iter().zip(files).map(|((sensor, pattern), file)| match file {
            Some(path) => Ok((sensor.name.clone(), path)),
            None => Err(DataError::MissingFile {
                id: name.clone(),
                sensor: sensor.name.clone(),
                path: pattern.expected(folder, id),
            }),
        });
        let files = files.collect::<Result<_, _>>()?;
        Ok(ScanFiles { id: name, files, defect: None, mask: None })
    }
}
