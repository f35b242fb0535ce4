//! A sensor's file pattern: `rgb/{id}.png`, `{id}/height.tiff`, `{id}.*`.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::{DataError, Sensor, SensorKind};

const ID: &str = "{id}";

/// A checked pattern: `head`, then one name with the id in it, then `tail`.
#[derive(Debug)]
pub(crate) struct Pattern {
    head: PathBuf,
    prefix: String,
    /// Without the extension where that is free.
    suffix: String,
    tail: PathBuf,
    /// The extensions that stand for `.*`; empty where the pattern names its own.
    extensions: &'static [&'static str],
}

/// A file that matches.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) id: String,
    pub(super) path: PathBuf,
}

impl Pattern {
    /// Checks a sensor's pattern.
    ///
    /// # Errors
    /// [`DataError::BadSensor`] unless it is relative, without `..`, with `{id}` once and with `*` only as the
    /// whole extension of its last name.
    pub(crate) fn of(sensor: &Sensor) -> Result<Self, DataError> {
        let pattern = &sensor.pattern;
        let bad = |cause: &str| DataError::BadSensor {
            sensor: sensor.name.clone(),
            cause: format!("pattern `{pattern}`: {cause}"),
        };
        if pattern.matches(ID).count() != 1 {
            return Err(bad("it must hold `{id}` exactly once, as in `rgb/{id}.png`"));
        }
        if !Path::new(pattern).components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(bad("it must be relative to the folder of scans, without `.` and `..`"));
        }
        let (named, extensions) = match pattern.strip_suffix(".*") {
            Some(rest) => (rest, extensions_of(sensor.kind)),
            None => (pattern.as_str(), &[][..]),
        };
        if named.contains('*') {
            return Err(bad("`*` can only stand for the whole extension, as in `{id}.*`"));
        }
        let mut names = named.split('/');
        let head = names.by_ref().take_while(|name| !name.contains(ID)).collect();
        let with_id = named.split('/').find(|name| name.contains(ID)).unwrap_or_default();
        let (prefix, suffix) = with_id.split_once(ID).unwrap_or_default();
        Ok(Self { head, prefix: prefix.into(), suffix: suffix.into(), tail: names.collect(), extensions })
    }

    /// How much of the pattern is spelled out: among patterns that match one file, the longest owns it.
    pub(super) fn specificity(&self) -> usize {
        let free = usize::from(self.extensions.is_empty());
        self.prefix.len() + self.suffix.len() + self.tail.as_os_str().len() + free
    }

    /// All files under `folder` that match, in no particular order, but for those whose id `skip` knows: of them
    /// nothing but the name is read. A folder that is not there holds none.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub(super) fn find(&self, folder: &Path, skip: &dyn Fn(&str) -> bool) -> Result<Vec<Match>, DataError> {
        let mut found = Vec::new();
        let parent = folder.join(&self.head);
        for name in names_in(&parent)? {
            if self.tail.as_os_str().is_empty() {
                let id = self.id_of_file(&name).filter(|id| !skip(id)).map(str::to_owned);
                found.extend(id.map(|id| Match { id, path: parent.join(&name) }));
            } else if let Some(id) = self.strip(&name).filter(|id| !skip(id)) {
                for path in self.tails(&parent.join(&name))? {
                    found.push(Match { id: id.into(), path });
                }
            }
        }
        found.retain(|m| m.path.is_file());
        Ok(found)
    }

    /// The files of `id` under `folder` that are there. Free extensions are tried in lower case before the folder
    /// is listed for other spellings.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub(super) fn files_of(&self, folder: &Path, id: &str) -> Result<Vec<PathBuf>, DataError> {
        let mut path = folder.join(&self.head).join(format!("{}{id}{}", self.prefix, self.suffix));
        if !self.tail.as_os_str().is_empty() {
            path.push(&self.tail);
        }
        let mut found: Vec<PathBuf> = self.with_extensions(&path).filter(|p| p.is_file()).collect();
        if found.is_empty() && !self.extensions.is_empty() {
            let others = self.find(folder, &|other| other != id)?;
            found = others.into_iter().map(|m| m.path).collect();
        }
        Ok(found)
    }

    /// The folder of scans and the id, if `file` could be a file of this pattern.
    pub(super) fn split(&self, file: &Path) -> Option<(PathBuf, String)> {
        let (id, mut folder) = if self.tail.as_os_str().is_empty() {
            (self.id_of_file(file.file_name()?.to_str()?)?, file.parent()?)
        } else {
            let matches = self.with_extensions(&self.tail).any(|tail| file.ends_with(tail));
            let named = file.ancestors().nth(self.tail.components().count())?;
            (self.strip(named.file_name()?.to_str()?).filter(|_| matches)?, named.parent()?)
        };
        if !folder.ends_with(&self.head) {
            return None;
        }
        for _ in self.head.components() {
            folder = folder.parent()?;
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Some((folder.to_path_buf(), id.to_owned()))
    }

    fn strip<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix).filter(|id| !id.is_empty())
    }

    fn id_of_file<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.extensions.is_empty() {
            return self.strip(name);
        }
        let (stem, extension) = name.rsplit_once('.')?;
        let known = self.extensions.iter().any(|e| extension.eq_ignore_ascii_case(e));
        self.strip(stem).filter(|_| known)
    }

    fn tails(&self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        if self.extensions.is_empty() {
            return Ok(vec![folder.join(&self.tail)]);
        }
        let parent = self.tail.parent().map_or_else(|| folder.to_path_buf(), |p| folder.join(p));
        let stem = self.tail.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let names = names_in(&parent)?.into_iter();
        let wanted = |name: &String| {
            name.rsplit_once('.').is_some_and(|(s, extension)| {
                s == stem && self.extensions.iter().any(|e| extension.eq_ignore_ascii_case(e))
            })
        };
        Ok(names.filter(wanted).map(|name| parent.join(name)).collect())
    }

    fn with_extensions<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        let own = self.extensions.is_empty().then(|| path.to_path_buf());
        own.into_iter().chain(self.extensions.iter().map(|e| path.with_added_extension(e)))
    }
}

fn extensions_of(kind: SensorKind) -> &'static [&'static str] {
    match kind {
        SensorKind::Rgb | SensorKind::Gray => &["png", "jpg", "jpeg", "bmp"],
        SensorKind::Xyz => &["tiff", "tif", "npy", "pcd"],
        SensorKind::Depth => &["tiff", "tif", "png", "npy"],
        SensorKind::Points => &["ply", "pcd", "npy"],
    }
}

/// The names in a folder; hidden ones, and names that are not Unicode, are left out. None where there is no
/// such folder.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, DataError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(source) => return Err(DataError::Read { path: folder.to_path_buf(), source }),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(DataError::read(folder))?.file_name().into_string();
        names.extend(name.ok().filter(|name| !name.starts_with('.')));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<Pattern, DataError> {
        Pattern::of(&Sensor::new("colour", text, SensorKind::Rgb))
    }

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn patterns_that_cannot_name_one_file_are_refused() {
        for bad in ["rgb/1.png", "{id}/{id}.png", "/rgb/{id}.png", "../{id}.png", "*/{id}.png", "{id}*.png"] {
            let error = pattern(bad).unwrap_err().to_string();
            assert!(error.contains("colour") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn files_are_found_and_taken_apart_again() {
        for (text, file) in [
            ("{id}.png", "x 1.png"),
            ("rgb/{id}.png", "rgb/x 1.png"),
            ("rgb/cam_{id}_left.png", "rgb/cam_x 1_left.png"),
            ("{id}.*", "x 1.JPG"),
            ("scans/{id}/rgb.png", "scans/x 1/rgb.png"),
            ("s_{id}/a/rgb.*", "s_x 1/a/rgb.jpeg"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file);
            touch(&path);
            touch(&folder.path().join("other.txt"));
            touch(&folder.path().join(".hidden.png"));
            let pattern = pattern(text).unwrap();
            let found = pattern.find(folder.path(), &|_| false).unwrap();
            assert_eq!(found.iter().map(|m| (m.id.as_str(), &m.path)).collect::<Vec<_>>(), [("x 1", &path)]);
            assert_eq!(pattern.split(&path), Some((folder.path().to_path_buf(), "x 1".into())), "{text}");
        }
    }

    #[test]
    fn a_missing_folder_holds_no_files() {
        assert!(pattern("rgb/{id}.png").unwrap().find(Path::new("absent"), &|_| false).unwrap().is_empty());
    }

    #[test]
    fn a_relative_file_lies_in_the_current_folder() {
        let split = pattern("{id}.png").unwrap().split(Path::new("a.png"));
        assert_eq!(split, Some((PathBuf::from("."), "a".into())));
    }
}
