//! What a folder of scans holds, found by looking: layout, sensors, sizes, units, counts. For a first recipe.

mod content;
mod naming;
mod part;
mod place;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use self::content::Finding;
use self::content::{LeftOut, Looked};
pub use self::part::Part;
use crate::{DataError, Dataset, Layout, Limits, SensorKind};

/// Scans whose files are looked into, spread evenly over all.
const SAMPLES: usize = 8;

/// What was found in a folder.
#[derive(Debug)]
pub struct Survey {
    /// The folder to fit on: the one that was looked at, or the folder of good scans inside it.
    pub data: PathBuf,
    /// How it lies on disk.
    pub layout: Layout,
    /// The sensors that methods can take; all of one view, at least one.
    pub sensors: Vec<Finding>,
    /// Those that cannot be taken, each with the reason.
    pub left_out: Vec<(Finding, String)>,
    /// Good scans to learn from.
    pub training: usize,
    /// Good scans to calibrate with.
    pub validation: usize,
    /// Test scans by the name of their folder, `good` among them.
    pub test: BTreeMap<String, usize>,
    /// Test scans with a mask.
    pub masks: usize,
    /// Files among the training scans that belong to no sensor, relative to `scans`; in natural order.
    pub loose: Vec<String>,
    /// The folder of training scans.
    pub scans: PathBuf,
    /// What stands in the way of a fit, such as a scan without one of its files.
    pub obstacle: Option<DataError>,
    /// What organised points say of the part's place; `None` without such a sensor.
    pub part: Option<Part>,
    /// Whether all files were looked at; `false` where there are more than [`Survey::MOST_FILES`].
    pub complete: bool,
}

impl Survey {
    /// The most files and folders that are listed.
    pub const MOST_FILES: usize = tree::MOST_ENTRIES;

    /// Looks at `root`, which has the layout `named`, or the one that is found by looking. Files are listed once
    /// ([`Survey::MOST_FILES`] at most), and a few of each sensor are read.
    ///
    /// # Errors
    /// [`DataError::NoFolder`], [`DataError::Read`]; [`DataError::LayoutMismatch`] with what to do where no
    /// sensor can be made out: an empty folder, a folder of data sets, formats that are not read.
    pub fn of(root: &Path, named: Option<Layout>, limits: &Limits) -> Result<Self, DataError> {
        let place = place::of(root, named)?;
        let tree = tree::under(&place.scans)?;
        let (files, mut loose): (Vec<String>, Vec<String>) =
            tree.files.into_iter().partition(|file| naming::is_data(file));
        if files.is_empty() {
            return Err(unreadable(&place.scans, &loose));
        }
        let Some(naming) = naming::of(&files) else { return Err(unnamed(&place.scans, &files)) };
        if naming.loose.len() > files.len() / 2 {
            return Err(unnamed(&place.scans, &files));
        }
        loose.extend(naming.loose);
        loose.sort_by(|a, b| crate::layout::natural::natural(a, b));

        let Looked { sensors, left_out } = content::look(&place.scans, naming.sensors, SAMPLES, limits);
        if sensors.is_empty() {
            return Err(nothing_to_take(root, &left_out));
        }
        let part = part::of(&sensors, limits);
        let mut survey = Self {
            data: place.data,
            layout: place.layout,
            training: naming.ids,
            validation: 0,
            test: BTreeMap::new(),
            masks: 0,
            sensors,
            left_out,
            loose,
            scans: place.scans,
            obstacle: None,
            part,
            complete: tree.complete,
        };
        survey.count();
        Ok(survey)
    }

    /// Counts scans as a fit will find them.
    fn count(&mut self) {
        let sensors: Vec<_> = self.sensors.iter().map(|f| f.sensor.clone()).collect();
        match Dataset::find(&self.data, Some(self.layout), &sensors) {
            Ok(found) => {
                self.training = found.train.len();
                self.validation = found.validation.len();
                self.masks = found.test.iter().filter(|scan| scan.mask.is_some()).count();
                for scan in &found.test {
                    let kind = scan.defect.clone().unwrap_or_else(|| "good".into());
                    *self.test.entry(kind).or_default() += 1;
                }
                let mut learned = found.train.iter().chain(&found.validation);
                self.obstacle = learned.find_map(|scan| sensors.iter().find_map(|s| scan.file_of(s).err()));
            }
            Err(e) => self.obstacle = Some(e),
        }
    }

    /// Whether there is a sensor of this kind to take.
    pub fn has(&self, kind: SensorKind) -> bool {
        self.sensors.iter().any(|f| f.sensor.kind == kind)
    }
}

fn refuse(path: &Path, cause: String) -> DataError {
    DataError::LayoutMismatch { path: path.to_path_buf(), layout: "a folder of scans".into(), cause }
}

/// No file in a format that is read.
fn unreadable(folder: &Path, others: &[String]) -> DataError {
    if others.is_empty() {
        return refuse(folder, "it is empty; name the folder that holds the scans' files".into());
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for file in others {
        let extension = file.rsplit_once('.').map_or("", |(_, e)| e);
        *kinds.entry(format!(".{}", extension.to_ascii_lowercase())).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().take(6).map(|(kind, n)| format!("{n} {kind}")).collect();
    let cause = format!(
        "it holds no picture (PNG, JPEG, BMP, TIFF), no NPY array and no cloud (PLY, PCD), but {}; convert the scans to one of those",
        kinds.join(", ")
    );
    refuse(folder, cause)
}

/// File names that do not join to scans.
fn unnamed(folder: &Path, files: &[String]) -> DataError {
    let folders: BTreeSet<&str> =
        files.iter().filter_map(|file| file.split_once('/')).map(|(first, _)| first).collect();
    let mut cause = "its files do not join to scans: each sensor's names must differ in one place only, the \
                     scan's id, and the ids must be the same for all sensors (rgb/001.png and xyz/001.tiff, \
                     001_rgb.png and 001_xyz.tiff, or 001/rgb.png and 001/xyz.tiff)"
        .to_owned();
    if folders.len() > 1 {
        let names: Vec<&str> = folders.iter().take(6).copied().collect();
        let more = if folders.len() > 6 { ", ..." } else { "" };
        cause += &format!("; if it is a folder of data sets, name one of them: {}{more}", names.join(", "));
    } else {
        let names: Vec<&str> = files.iter().take(3).map(String::as_str).collect();
        cause += &format!("; found {}", names.join(", "));
    }
    refuse(folder, cause)
}

fn nothing_to_take(root: &Path, left_out: &[LeftOut]) -> DataError {
    let reasons: Vec<String> =
        left_out.iter().map(|(f, why)| format!("`{}` is left out: {why}", f.sensor.pattern)).collect();
    refuse(root, format!("no method can take what it holds; {}", reasons.join("; ")))
}

#[cfg(test)]
mod tests;
