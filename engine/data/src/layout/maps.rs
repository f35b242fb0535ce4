//! Anomaly maps of the official evaluation, paired with the ground truth of their data set.

use std::path::{Path, PathBuf};

use super::natural::natural;
use super::pattern::names_in;
use super::{Layout, folders_in, require_folder};
use crate::DataError;

/// The map of one test scan with its ground truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapPair {
    /// `<good or defect>/<id>`.
    pub id: String,
    /// The map's file.
    pub map: PathBuf,
    /// The mask's file; `None` for a good scan of a data set without masks for those.
    pub mask: Option<PathBuf>,
}

/// The maps of one object (category), one for each of its test scans, in natural order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMaps {
    /// The object's name.
    pub object: String,
    /// At least one pair.
    pub pairs: Vec<MapPair>,
}

/// Pairs maps at `<maps>/<object>/test/<defect>/<id>.tiff` with the masks of `<data>/<object>`, which may lie as
/// in MVTec 3D-AD or MVTec AD. Either folder may itself be the object's (it then holds `test`).
///
/// # Errors
/// [`DataError::NoFolder`]; [`DataError::MissingFile`] for a test scan without a map, a map without a test scan
/// and a defective scan without a mask; [`DataError::LayoutMismatch`] without any object.
pub fn maps_with_masks(maps: &Path, data: &Path) -> Result<Vec<ObjectMaps>, DataError> {
    require_folder(maps, "it should hold anomaly maps")?;
    require_folder(data, "it should hold the data set of the maps")?;
    let is_object = |folder: &Path| folder.join("test").is_dir();
    if is_object(data) {
        let object = name_of(data)?;
        let folder = if is_object(maps) { maps.to_path_buf() } else { maps.join(&object) };
        return Ok(vec![pairs(object, &folder, data)?]);
    }
    if is_object(maps) {
        let object = name_of(maps)?;
        let data = data.join(&object);
        return Ok(vec![pairs(object, maps, &data)?]);
    }
    let mut objects = folders_in(maps)?;
    objects.retain(|object| is_object(&maps.join(object)));
    if objects.is_empty() {
        return Err(DataError::LayoutMismatch {
            path: maps.to_path_buf(),
            layout: "a folder of maps".into(),
            cause: "no <object>/test/<defect>/<id>.tiff is in it".into(),
        });
    }
    objects
        .into_iter()
        .map(|object| {
            let (maps, data) = (maps.join(&object), data.join(&object));
            pairs(object, &maps, &data)
        })
        .collect()
}

fn pairs(object: String, maps: &Path, data: &Path) -> Result<ObjectMaps, DataError> {
    let (maps, test) = (maps.join("test"), data.join("test"));
    require_folder(&maps, "it should hold the object's maps by defect")?;
    require_folder(&test, "it should hold the object's test scans by defect")?;
    let mut pairs = Vec::new();
    let mut defects = folders_in(&test)?;
    defects.extend(folders_in(&maps)?.into_iter().filter(|defect| !test.join(defect).is_dir()));
    for defect in defects {
        let masks_inside = test.join(&defect).join("gt");
        let layout = if masks_inside.is_dir() { Layout::Mvtec3d } else { Layout::MvtecAd };
        let truth = if masks_inside.is_dir() { masks_inside } else { test.join(&defect) };
        let ids = stems(&truth, &["png", "jpg", "jpeg"])?;
        let found = stems(&maps.join(&defect), &["tiff", "tif"])?;
        if let Some((id, _)) = found.iter().find(|(id, _)| ids.iter().all(|(other, _)| other != id)) {
            return Err(missing(&object, &defect, id, "test", truth.join(format!("{id}.png"))));
        }
        for (id, _) in &ids {
            let Some((_, map)) = found.iter().find(|(other, _)| other == id) else {
                let expected = maps.join(&defect).join(format!("{id}.tiff"));
                return Err(missing(&object, &defect, id, "map", expected));
            };
            let mask = layout.mask(data, &defect, id);
            if let Some(path) = mask.as_ref().filter(|path| !path.is_file()) {
                return Err(missing(&object, &defect, id, "mask", path.clone()));
            }
            pairs.push(MapPair { id: format!("{defect}/{id}"), map: map.clone(), mask });
        }
    }
    if pairs.is_empty() {
        return Err(DataError::LayoutMismatch {
            path: test,
            layout: "a folder of test scans".into(),
            cause: "no scan is in it".into(),
        });
    }
    Ok(ObjectMaps { object, pairs })
}

fn missing(object: &str, defect: &str, id: &str, what: &str, path: PathBuf) -> DataError {
    DataError::MissingFile { id: format!("{object}/test/{defect}/{id}"), sensor: what.into(), path }
}

/// Files of these extensions with their names' stems, in natural order.
fn stems(folder: &Path, extensions: &[&str]) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut stems: Vec<_> = names_in(folder)?
        .iter()
        .filter_map(|name| {
            let (stem, extension) = name.rsplit_once('.')?;
            let known = extensions.iter().any(|e| extension.eq_ignore_ascii_case(e));
            known.then(|| (stem.to_owned(), folder.join(name)))
        })
        .collect();
    stems.sort_by(|(a, _), (b, _)| natural(a, b));
    Ok(stems)
}

/// A folder's own name, also where the path ends in `.` or `..`.
fn name_of(folder: &Path) -> Result<String, DataError> {
    let whole = folder.canonicalize().map_err(DataError::read(folder))?;
    Ok(whole.file_name().unwrap_or_default().to_string_lossy().into_owned())
}
