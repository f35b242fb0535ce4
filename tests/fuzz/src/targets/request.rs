//! Lines that name scans, as `score -` reads them.

use super::{KIB, json, sensors};
use crate::Target;
use assay_core::station::request::{read_line, scan_of_line};
use std::io::BufReader;
use std::path::{Component, Path};

pub(super) const TARGET: Target =
    Target { name: "request", read, seeds, words: json, memory: (64 * KIB, 512) };

/// Shorter than the program's own, so that lines beyond it come up.
const LONGEST: usize = 2048;

fn read(input: &[u8]) {
    let sensors = sensors();
    let mut lines = BufReader::with_capacity(256, input);
    let mut length = 0;
    while let Some(line) = read_line(&mut lines, LONGEST).unwrap() {
        length += line.length;
        let Some(text) = line.text else { continue };
        assert!(text.len() <= LONGEST && !text.contains(&b'\n'));
        match scan_of_line(&text, &sensors) {
            Ok(scan) => {
                assert_eq!(scan.files.len(), sensors.len());
                // Ids name maps and pictures.
                let inside = Path::new(&scan.id).components().all(|c| matches!(c, Component::Normal(_)));
                assert!(
                    inside && !scan.id.is_empty() && !scan.id.contains(char::is_control),
                    "id {:?}",
                    scan.id
                );
            }
            Err(refused) => assert!(!refused.message.is_empty()),
        }
    }
    assert_eq!(length, input.len() as u64);
}

fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"id": "a/7", "files": {"colour": "x.png", "height": "y.tiff"}}"#,
        r#"{"files": {"height": "d/8_xyz.tiff", "colour": "x.png"}}"#,
        "rgb/7.png",
        " {\"files\": {\"colour\": \"\\u00e4.png\", \"height\": \"8_xyz.tiff\"}}\r",
        "part/8_xyz.tiff\r\n\n.\n{}",
    ];
    let mut seeds = lines.map(|line| line.as_bytes().to_vec()).to_vec();
    seeds.push(lines.join("\n").into_bytes());
    seeds
}
