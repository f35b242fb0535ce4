//! The files below a folder, so many at most.

use std::fs;
use std::path::Path;

use crate::DataError;
use crate::layout::natural::natural;

/// Entries that are listed at most, folders included.
pub(super) const MOST_ENTRIES: usize = 200_000;

/// How deep folders are followed; it also ends a circle of links.
const DEPTH: usize = 5;

/// What lies below a folder.
pub(super) struct Tree {
    /// Relative paths with `/`, in natural order; hidden names and those that are not Unicode are left out.
    pub(super) files: Vec<String>,
    /// Whether that is all of them.
    pub(super) complete: bool,
}

/// # Errors
/// [`DataError::Read`] for a folder that cannot be listed.
pub(super) fn under(folder: &Path) -> Result<Tree, DataError> {
    limited(folder, MOST_ENTRIES)
}

fn limited(folder: &Path, most: usize) -> Result<Tree, DataError> {
    let mut tree = Tree { files: Vec::new(), complete: true };
    let mut seen = 0;
    let mut level = vec![String::new()];
    for depth in 0..=DEPTH {
        let mut next = Vec::new();
        for inside in level {
            let path = folder.join(&inside);
            for entry in fs::read_dir(&path).map_err(DataError::read(&path))? {
                let entry = entry.map_err(DataError::read(&path))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') {
                    continue;
                }
                seen += 1;
                if seen > most {
                    tree.complete = false;
                    tree.files.sort_by(|a, b| natural(a, b));
                    return Ok(tree);
                }
                let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                // A link that leads nowhere is neither.
                match fs::metadata(entry.path()) {
                    Ok(m) if m.is_dir() && depth < DEPTH => next.push(name),
                    Ok(m) if m.is_file() => tree.files.push(name),
                    _ => {}
                }
            }
        }
        level = next;
    }
    tree.files.sort_by(|a, b| natural(a, b));
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_in_natural_order_and_a_great_folder_only_in_part() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/10.png", "a/9.png", "notes.txt", ".hidden/1.png"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let tree = under(folder.path()).unwrap();
        assert_eq!(
            (tree.files, tree.complete),
            (vec!["a/9.png".into(), "a/10.png".into(), "notes.txt".into()], true)
        );
        let part = limited(folder.path(), 3).unwrap();
        assert!(!part.complete && part.files.len() <= 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_its_own_folder_ends() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.png"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        assert!(under(folder.path()).unwrap().files.len() <= DEPTH + 1);
    }
}
