//! The seeds are well-formed files: each is read as something.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use assay_data::Limits;
use assay_data::decode::{self, Encoded, Stored};
use std::path::Path;

#[test]
fn every_file_is_read_as_a_picture_or_as_a_measurement() {
    let (stored, limits) = (Stored::default(), Limits::default());
    let mut unread = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("files")).unwrap() {
        let path = entry.unwrap().path();
        let file = Encoded::read(&path, &limits).unwrap();
        let read = [
            decode::image(&file, &limits).err().map(|e| e.to_string()),
            decode::xyz(&file, &stored, &limits).err().map(|e| e.to_string()),
            decode::depth(&file, &stored, &limits).err().map(|e| e.to_string()),
            decode::points(&file, &stored, &limits).err().map(|e| e.to_string()),
            decode::mask(&file, &limits).err().map(|e| e.to_string()),
        ];
        if read.iter().all(Option::is_some) {
            unread.push(format!("{}: {read:?}", path.file_name().unwrap().display()));
        }
    }
    unread.sort();
    let names: Vec<&str> = unread.iter().filter_map(|line| line.split(':').next()).collect();
    // What is refused by design, and the script that made the files.
    assert_eq!(names, ["fortran.npy", "make.py", "planes.npy"], "{}", unread.join("\n"));
}
