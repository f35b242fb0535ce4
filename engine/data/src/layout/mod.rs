//! Data sets on disk: where the good scans, the test scans and the masks are.

mod folder;
mod maps;
pub(crate) mod natural;
mod paths;
pub(crate) mod pattern;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::folder::Patterns;
pub use self::folder::PresentScan;
pub use self::maps::{MapPair, ObjectMaps, maps_with_masks};
use self::natural::natural;
pub use self::paths::{id_of, scan_of, scans_present, scans_under};
use self::pattern::names_in;
use crate::{DataError, ScanFiles, Sensor};

/// The name of the folder of good scans.
const GOOD: &str = "good";

/// How a data set lies on disk. Sensors' patterns are relative to a folder of scans, marked `/` here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// MVTec 3D-AD: `train/good/`, `validation/good/` (may be absent), `test/<good or defect>/`; masks at
    /// `test/<defect>/gt/<id>.png`.
    Mvtec3d,
    /// MVTec AD: the same folders of scans; masks at `ground_truth/<defect>/<id>_mask.png`.
    MvtecAd,
    /// The folder itself is a folder of scans, all for training.
    Plain,
}

impl Layout {
    const WORDS: [(Self, &'static str); 3] =
        [(Self::Mvtec3d, "mvtec3d"), (Self::MvtecAd, "mvtecad"), (Self::Plain, "plain")];

    /// The layout of `root`, by looking at its folders. What is not MVTec's is [`Layout::Plain`].
    ///
    /// # Errors
    /// [`DataError::NoFolder`], [`DataError::Read`].
    pub fn of(root: &Path) -> Result<Self, DataError> {
        require_folder(root, "it should be a data set")?;
        let good = root.join("train").join(GOOD);
        if !good.is_dir() {
            return Ok(Self::Plain);
        }
        if root.join("ground_truth").is_dir() {
            return Ok(Self::MvtecAd);
        }
        let test = root.join("test");
        let masks_inside = folders_in(&test)?.iter().any(|defect| test.join(defect).join("gt").is_dir());
        // Without masks, the folders of MVTec 3D-AD (rgb, xyz) tell.
        Ok(if masks_inside || !folders_in(&good)?.is_empty() { Self::Mvtec3d } else { Self::MvtecAd })
    }

    /// Where the mask of a test scan lies, should there be one.
    fn mask(self, root: &Path, defect: &str, id: &str) -> Option<PathBuf> {
        match self {
            Self::Mvtec3d => Some(root.join("test").join(defect).join("gt").join(format!("{id}.png"))),
            Self::MvtecAd if defect == GOOD => None,
            Self::MvtecAd => Some(root.join("ground_truth").join(defect).join(format!("{id}_mask.png"))),
            Self::Plain => None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(layout, _)| layout == self).map_or("", |(_, word)| word);
        f.pad(word)
    }
}

impl FromStr for Layout {
    type Err = DataError;

    /// # Errors
    /// [`DataError::UnknownWord`].
    fn from_str(word: &str) -> Result<Self, DataError> {
        crate::scan::read_word(word, &Self::WORDS, "layout", "mvtec3d, mvtecad, plain")
    }
}

/// The scans of a data set, each list in natural order of the ids. A scan may lack files ([`ScanFiles::file_of`]): one bad
/// scan is not the end of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// How it lies on disk.
    pub layout: Layout,
    /// Good scans to learn from; at least one. Ids are `train/good/<id>`, or `<id>` in a plain folder.
    pub train: Vec<ScanFiles>,
    /// Good scans to calibrate with, `validation/good/<id>`; may be empty.
    pub validation: Vec<ScanFiles>,
    /// Good and defective scans, `test/<good or defect>/<id>`, with masks; may be empty.
    pub test: Vec<ScanFiles>,
}

impl Dataset {
    /// Finds the scans under `root`, which has the layout `named`, or the one that is found by looking.
    ///
    /// # Errors
    /// [`DataError::NoFolder`], [`DataError::LayoutMismatch`], [`DataError::NoScans`] without any good scan,
    /// [`DataError::BadSensor`], [`DataError::Read`].
    pub fn find(root: &Path, named: Option<Layout>, sensors: &[Sensor]) -> Result<Self, DataError> {
        let patterns = Patterns::of(sensors)?;
        let found = Layout::of(root)?;
        let layout = named.unwrap_or(found);
        if layout == Layout::Plain {
            let train = patterns.scans(root, "")?;
            if train.is_empty() {
                return Err(without_scans(root, &patterns)?);
            }
            return Ok(Self { layout, train, validation: Vec::new(), test: Vec::new() });
        }
        let good = root.join("train").join(GOOD);
        if !good.is_dir() {
            let cause = format!("it has no folder train/{GOOD} of good scans");
            return Err(mismatch(root, layout, cause));
        }
        let train = patterns.scans(&good, "train/good/")?;
        if train.is_empty() {
            return Err(patterns.no_scans(&good));
        }
        let validation = patterns.scans(&root.join("validation").join(GOOD), "validation/good/")?;
        let mut test = Vec::new();
        for defect in folders_in(&root.join("test"))? {
            let prefix = format!("test/{defect}/");
            for mut scan in patterns.scans(&root.join("test").join(&defect), &prefix)? {
                scan.mask = mask_of(layout, root, &defect, &scan.id[prefix.len()..]);
                scan.defect = (defect != GOOD).then(|| defect.clone());
                test.push(scan);
            }
        }
        Ok(Self { layout, train, validation, test })
    }
}

/// The mask, where the folder of masks exists; it may be missing from it.
fn mask_of(layout: Layout, root: &Path, defect: &str, id: &str) -> Option<PathBuf> {
    layout.mask(root, defect, id).filter(|path| path.parent().is_some_and(Path::is_dir))
}

/// Why a plain folder holds no scan: most often it is a folder of data sets.
fn without_scans(root: &Path, patterns: &Patterns<'_>) -> Result<DataError, DataError> {
    let mut inside = folders_in(root)?;
    inside.retain(|name| root.join(name).join("train").is_dir());
    if inside.is_empty() {
        return Ok(patterns.no_scans(root));
    }
    let cause = format!("it is a folder of data sets; name one of them: {}", inside.join(", "));
    Ok(mismatch(root, Layout::Plain, cause))
}

fn mismatch(root: &Path, layout: Layout, cause: String) -> DataError {
    DataError::LayoutMismatch { path: root.to_path_buf(), layout: format!("a `{layout}` data set"), cause }
}

fn require_folder(path: &Path, why: &str) -> Result<(), DataError> {
    if path.is_dir() {
        return Ok(());
    }
    Err(DataError::NoFolder { path: path.to_path_buf(), why: why.into() })
}

/// The names of the folders in a folder, in natural order.
pub(crate) fn folders_in(parent: &Path) -> Result<Vec<String>, DataError> {
    let mut names = names_in(parent)?;
    names.retain(|name| parent.join(name).is_dir());
    names.sort_by(|a, b| natural(a, b));
    Ok(names)
}

#[cfg(test)]
mod tests;
