//! The scans that a path on a command line means.

use std::path::Path;

use super::folder::{Patterns, PresentScan};
use super::{Dataset, Layout, folders_in};
use crate::{DataError, ScanFiles, Sensor};

/// The scans that `path` means, in natural order; at least one.
///
/// - a file of any sensor: that one scan, with its other sensors' files; its id is the file's own.
/// - a folder of scans (it holds files that match the patterns): all of them, by their own ids.
/// - a data-set root in an MVTec layout: its test scans, `test/<defect>/<id>`, with masks.
/// - a folder of folders of scans, such as `test`: all of them, `<folder>/<id>`.
///
/// The first of these that fits counts.
///
/// # Errors
/// [`DataError::NoScans`] when none fits, [`DataError::NoFolder`] for a path that does not exist, and those of
/// [`Dataset::find`].
pub fn scans_under(path: &Path, sensors: &[Sensor]) -> Result<Vec<ScanFiles>, DataError> {
    let patterns = Patterns::of(sensors)?;
    if path.is_file() {
        return Ok(vec![patterns.scan_of(path)?]);
    }
    super::require_folder(path, "it should be a scan, a folder of scans or a data set")?;
    let mut scans = patterns.scans(path, "")?;
    if !scans.is_empty() {
        return Ok(scans);
    }
    if Layout::of(path)? != Layout::Plain {
        let test = Dataset::find(path, None, sensors)?.test;
        return if test.is_empty() { Err(patterns.no_scans(&path.join("test"))) } else { Ok(test) };
    }
    for name in folders_in(path)? {
        scans.extend(patterns.scans(&path.join(&name), &format!("{name}/"))?);
    }
    if scans.is_empty() { Err(patterns.no_scans(path)) } else { Ok(scans) }
}

/// The one scan that a file of any sensor belongs to; its id is the file's own. The folder is not listed unless an
/// extension is free and spelled unusually, so the time does not grow with the scans beside it.
///
/// # Errors
/// [`DataError::NoScans`] when no pattern matches, [`DataError::Read`].
pub fn scan_of(file: &Path, sensors: &[Sensor]) -> Result<ScanFiles, DataError> {
    Patterns::of(sensors)?.scan_of(file)
}

/// The id that the sensors' patterns read from a file's path, whether the file is there or not.
///
/// # Errors
/// [`DataError::BadSensor`] for a bad pattern.
pub fn id_of(file: &Path, sensors: &[Sensor]) -> Result<Option<String>, DataError> {
    Ok(Patterns::of(sensors)?.split(file).map(|(_, id)| id))
}

/// The scans in a folder of scans as they are at this moment, complete or not, in natural order of their ids;
/// those whose id `skip` knows are left out, and cost no more than the listing of their names.
///
/// # Errors
/// [`DataError::NoFolder`] where `folder` is not there (any more), [`DataError::Read`], [`DataError::BadSensor`].
pub fn scans_present(
    folder: &Path,
    sensors: &[Sensor],
    skip: &dyn Fn(&str) -> bool,
) -> Result<Vec<PresentScan>, DataError> {
    super::require_folder(folder, "scans are to appear in it")?;
    Patterns::of(sensors)?.present(folder, skip)
}
