//! Where the good scans of a folder lie.

use std::path::{Path, PathBuf};

use super::refuse;
use crate::layout::{folders_in, natural::natural};
use crate::{DataError, Layout};

/// What folders of good scans are called.
const GOOD: [&str; 7] = ["good", "ok", "okay", "normal", "nominal", "pass", "passed"];
/// What folders of training scans are called.
const TRAIN: [&str; 3] = ["train", "training", "learn"];
/// Folders that hold no training scans, whatever lies in them.
const OTHER: [&str; 8] =
    ["test", "testing", "val", "valid", "validation", "ground_truth", "calibration", "masks"];
/// How deep good scans are looked for.
const DEPTH: usize = 4;

/// Where scans are.
pub(super) struct Place {
    /// The folder to fit on.
    pub(super) data: PathBuf,
    /// Its layout.
    pub(super) layout: Layout,
    /// The folder of good training scans.
    pub(super) scans: PathBuf,
}

/// Finds the folder of good scans under `root`.
///
/// # Errors
/// [`DataError::NoFolder`], [`DataError::Read`], [`DataError::LayoutMismatch`] for a folder of data sets.
pub(super) fn of(root: &Path, named: Option<Layout>) -> Result<Place, DataError> {
    let found = Layout::of(root)?;
    let layout = named.unwrap_or(found);
    if layout != Layout::Plain {
        let scans = root.join("train").join("good");
        if !scans.is_dir() {
            return Err(refuse(root, "it has no folder train/good of good scans".into()));
        }
        return Ok(Place { data: root.to_path_buf(), layout, scans });
    }
    let plain = |scans: PathBuf| Place { data: scans.clone(), layout: Layout::Plain, scans };
    if named.is_some() {
        return Ok(plain(root.to_path_buf()));
    }
    let mut sets = folders_in(root)?;
    sets.retain(|name| root.join(name).join("train").is_dir());
    if !sets.is_empty() {
        return Err(several(root, &sets));
    }
    let good = good_folders(root)?;
    let training: Vec<&String> = good.iter().filter(|path| path.split('/').any(|n| is(n, &TRAIN))).collect();
    match (&training[..], &good[..]) {
        ([one], _) => Ok(plain(root.join(one))),
        ([], [one]) => Ok(plain(root.join(one))),
        ([], []) => {
            let train = folders_in(root)?.into_iter().find(|name| is(name, &TRAIN));
            Ok(plain(train.map_or_else(|| root.to_path_buf(), |name| root.join(name))))
        }
        _ => {
            let set = |path: &String| path.strip_suffix("/train/good").unwrap_or(path).to_owned();
            Err(several(root, &good.iter().map(set).collect::<Vec<_>>()))
        }
    }
}

/// The folders of good scans below `root`, relative to it.
fn good_folders(root: &Path) -> Result<Vec<String>, DataError> {
    let mut found = Vec::new();
    let mut level = vec![String::new()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for inside in level {
            for name in folders_in(&root.join(&inside))? {
                let path = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
                if is(&name, &GOOD) {
                    found.push(path);
                } else if !is(&name, &OTHER) {
                    next.push(path);
                }
            }
        }
        // Folders by the thousand are scans, not data sets.
        next.truncate(1000);
        level = next;
    }
    found.sort_by(|a, b| natural(a, b));
    Ok(found)
}

fn is(name: &str, words: &[&str]) -> bool {
    words.iter().any(|word| name.eq_ignore_ascii_case(word))
}

fn several(root: &Path, inside: &[String]) -> DataError {
    let names: Vec<&str> = inside.iter().take(8).map(String::as_str).collect();
    let more = if inside.len() > 8 { ", ..." } else { "" };
    refuse(root, format!("it is a folder of data sets; name one of them: {}{more}", names.join(", ")))
}
