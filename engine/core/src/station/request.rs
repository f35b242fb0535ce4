//! Scans named by lines of text: a path, or a JSON object with an id and the files.

use crate::error::nearest;
use crate::report::one_line;
use assay_data::layout::{id_of, scan_of};
use assay_data::{ScanFiles, Sensor};
use serde_json::{Map, Value};
use std::io::{self, BufRead};
use std::path::{Component, Path, PathBuf};

/// Bytes of the longest line that is read as a scan.
pub const LONGEST: usize = 1 << 20;

/// One line of an input.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes without the line end; `None` where there were more than allowed, which are skipped.
    pub text: Option<Vec<u8>>,
    /// Bytes that it takes in the input, with its line end.
    pub length: u64,
    /// Whether it has a line end; only the last one may lack it.
    pub ended: bool,
}

/// Reads the next line; `None` at the end of the input. No more than `longest` bytes are kept at any time.
///
/// # Errors
/// Those of the input.
pub fn read_line(input: &mut impl BufRead, longest: usize) -> io::Result<Option<Line>> {
    let mut line = Line { text: Some(Vec::new()), length: 0, ended: false };
    while !line.ended {
        let piece = match input.fill_buf() {
            Ok(piece) => piece,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if piece.is_empty() {
            break;
        }
        let end = piece.iter().position(|&b| b == b'\n');
        let taken = &piece[..end.unwrap_or(piece.len())];
        match &mut line.text {
            Some(text) if text.len() + taken.len() <= longest => text.extend_from_slice(taken),
            text => *text = None,
        }
        let used = taken.len() + usize::from(end.is_some());
        line.length += used as u64;
        line.ended = end.is_some();
        input.consume(used);
    }
    Ok((line.length > 0).then_some(line))
}

/// Why a line names no scan.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The scan's id, as far as it is known.
    pub id: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The scan that a line names: the path of one of its files, or an object such as
/// `{"id": "7", "files": {"colour": "a.png", "height": "b.tiff"}}`, whose id may be left out.
///
/// # Errors
/// [`Refused`], for anything else. Whether the files of an object exist is found out when they are read.
pub fn scan_of_line(text: &[u8], sensors: &[Sensor]) -> Result<ScanFiles, Refused> {
    let refuse = |message: String| Refused { id: None, message };
    let text = std::str::from_utf8(text)
        .map_err(|_| refuse("the line is not UTF-8: give paths and JSON in UTF-8".into()))?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    if !text.trim_start().starts_with('{') {
        return scan_of_path(Path::new(text), sensors);
    }
    let object: Map<String, Value> = serde_json::from_str(text)
        .map_err(|e| refuse(format!("the line starts with `{{` and is no JSON object: {e}")))?;
    scan_of_object(&object, sensors)
}

fn scan_of_path(path: &Path, sensors: &[Sensor]) -> Result<ScanFiles, Refused> {
    let id = id_of(path, sensors).ok().flatten();
    let refuse = |message: String| Refused { id: id.clone(), message };
    match std::fs::metadata(path) {
        Err(e) => Err(refuse(format!("cannot read {}: {e}", path.display()))),
        Ok(found) if found.is_dir() => Err(refuse(format!(
            "{} is a folder; a line names one scan by one of its files, or by a JSON object with `files`",
            path.display()
        ))),
        Ok(_) => scan_of(path, sensors).map_err(|e| refuse(one_line(&e.into()))),
    }
}

fn scan_of_object(object: &Map<String, Value>, sensors: &[Sensor]) -> Result<ScanFiles, Refused> {
    let id = object.get("id").and_then(Value::as_str).filter(|id| check_id(id).is_ok());
    let refuse = |message: String| Refused { id: id.map(str::to_owned), message };
    if let Some(key) = object.keys().find(|key| !["id", "files"].contains(&key.as_str())) {
        return Err(refuse(format!("unknown key `{key}`{}", nearest(key, ["id", "files"]))));
    }
    let given = object.get("files").and_then(Value::as_object);
    let given = given.ok_or_else(|| {
        refuse("`files` must be an object with a path for each sensor: {\"colour\": \"a.png\"}".into())
    })?;
    let names = || sensors.iter().map(|s| s.name.as_str());
    if let Some(name) = given.keys().find(|name| !names().any(|known| known == *name)) {
        return Err(refuse(format!("`files`: there is no sensor `{name}`{}", nearest(name, names()))));
    }
    let mut files = Vec::with_capacity(sensors.len());
    for name in names() {
        let path = given.get(name).ok_or_else(|| refuse(format!("`files` lacks sensor `{name}`")))?;
        let path = path.as_str().filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| refuse(format!("`files.{name}` must be a path, as a string")))?;
        files.push((name.to_owned(), PathBuf::from(path)));
    }
    let id = match object.get("id") {
        Some(Value::String(id)) => {
            check_id(id).map_err(refuse)?;
            id.clone()
        }
        Some(other) => return Err(refuse(format!("`id` must be a string, not {other}"))),
        None => {
            let first = given.keys().next().map_or("", String::as_str);
            let id = id_from_file(first, &files, sensors);
            check_id(&id).map_err(|e| refuse(format!("`files.{first}`, which the id follows from: {e}")))?;
            id
        }
    };
    Ok(ScanFiles { id, files, defect: None, mask: None })
}

/// The id of an object without one: as the pattern of the file's sensor reads it, else the file's name without
/// extension.
fn id_from_file(sensor: &str, files: &[(String, PathBuf)], sensors: &[Sensor]) -> String {
    let Some((_, path)) = files.iter().find(|(name, _)| name == sensor) else { return String::new() };
    let own: Vec<Sensor> = sensors.iter().filter(|s| s.name == sensor).cloned().collect();
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    id_of(path, &own).ok().flatten().unwrap_or_else(stem)
}

/// Bytes of the longest name in an id: file systems allow 255, and an ending follows.
const LONGEST_NAME: usize = 200;

/// Refuses an id that cannot name a map: it stays inside its folder and has no control characters.
fn check_id(id: &str) -> Result<(), String> {
    let inside = !id.is_empty() && Path::new(id).components().all(|c| matches!(c, Component::Normal(_)));
    if !inside {
        return Err(format!("id `{id}` is empty or leads out of a folder; ids name maps and pictures"));
    }
    if id.chars().any(char::is_control) {
        return Err("`id` holds a control character; ids name maps and pictures".into());
    }
    if id.len() > 4 * LONGEST_NAME || id.split('/').any(|name| name.len() > LONGEST_NAME) {
        return Err(format!("`id` is too long: at most {LONGEST_NAME} bytes a name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_data::SensorKind;

    fn sensors() -> [Sensor; 2] {
        [
            Sensor::new("colour", "rgb/{id}.png", SensorKind::Rgb),
            Sensor::new("height", "{id}_xyz.tiff", SensorKind::Xyz),
        ]
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_read() {
        let mut input = io::BufReader::with_capacity(3, &b"abcd\nabcde\n\nab"[..]);
        let line = |text: Option<&str>, length, ended| {
            Some(Line { text: text.map(|t| t.as_bytes().to_vec()), length, ended })
        };
        let mut next = || read_line(&mut input, 4).unwrap();
        assert_eq!(next(), line(Some("abcd"), 5, true));
        assert_eq!(next(), line(None, 6, true));
        assert_eq!(next(), line(Some(""), 1, true));
        assert_eq!(next(), line(Some("ab"), 2, false));
        assert_eq!(next(), None);
    }

    #[test]
    fn an_object_names_its_files_and_its_id_follows_from_the_first() {
        let scan = |text: &str| scan_of_line(text.as_bytes(), &sensors()).unwrap();
        let named = scan(r#"{"id": "a/7", "files": {"colour": "x.png", "height": "y.tiff"}}"#);
        assert_eq!(named.id, "a/7");
        let files = [("colour", "x.png"), ("height", "y.tiff")];
        assert_eq!(named.files, files.map(|(name, path)| (name.to_owned(), PathBuf::from(path))));
        assert_eq!(scan(r#"{"files": {"height": "d/8_xyz.tiff", "colour": "x.png"}}"#).id, "8");
        assert_eq!(scan(" {\"files\": {\"colour\": \"x.png\", \"height\": \"8_xyz.tiff\"}}\r").id, "x");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (text, id, part) in [
            ("{\"files\"", None, "no JSON object"),
            (r#"{"files": 1}"#, None, "`files` must be an object"),
            (r#"{"id": "7", "file": {}}"#, Some("7"), "did you mean `files`?"),
            (
                r#"{"id": "7", "files": {"color": "a", "height": "b"}}"#,
                Some("7"),
                "`color`; did you mean `colour`?",
            ),
            (r#"{"files": {"colour": "a"}}"#, None, "lacks sensor `height`"),
            (r#"{"files": {"colour": "a", "height": 1}}"#, None, "`files.height` must be a path"),
            (r#"{"id": 7, "files": {"colour": "a", "height": "b"}}"#, None, "must be a string, not 7"),
            (r#"{"id": "../7", "files": {"colour": "a", "height": "b"}}"#, None, "leads out of a folder"),
            (r#"{"files": {"colour": "/", "height": "b"}}"#, None, "is empty"),
            (r#"{"id": "a\nb", "files": {"colour": "a", "height": "b"}}"#, None, "control character"),
            ("absent/rgb/7.png", Some("7"), "absent/rgb/7.png"),
            (".", None, "is a folder"),
        ] {
            let refused = scan_of_line(text.as_bytes(), &sensors()).unwrap_err();
            assert_eq!(refused.id.as_deref(), id, "{text}");
            assert!(refused.message.contains(part), "{text}: {}", refused.message);
        }
        let refused = scan_of_line(b"\xff.png", &sensors()).unwrap_err();
        assert!(refused.message.contains("not UTF-8"));
    }
}
