//! The journal of a watched folder, as a crash or a person may leave it.

use super::{KIB, json};
use crate::Target;
use assay_core::station::journal::Journal;
use std::cell::LazyCell;
use std::path::Path;

pub(super) const TARGET: Target =
    Target { name: "journal", read, seeds, words: json, memory: (64 * KIB, 64) };

thread_local! {
    /// In memory where the system has a place for that: the journal waits until its folder is on the disk.
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
    });
}

fn read(input: &[u8]) {
    FOLDER.with(|folder| {
        let path = folder.path().join("results.jsonl");
        std::fs::write(&path, input).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let (done, model) = (journal.len(), journal.last_model.clone());
        drop(journal);
        // What it left is whole lines, the same that it was.
        let whole = input.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        assert_eq!(std::fs::read(&path).unwrap(), input[..whole]);
        let again = Journal::open(folder.path()).unwrap();
        assert_eq!((again.len(), &again.last_model), (done, &model));
        assert!(done <= input.iter().filter(|&&b| b == b'\n').count());
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"id":"a","verdict":"ok","score":0.25,"threshold":1.5,"model_sha256":"00ff","defects":[]}"#,
        r#"{"id":"b/1","verdict":"invalid","error":"cannot read rgb/1.png","model_sha256":null}"#,
        r#"{"id":"\u00e4","timings":{"load":1.5e-3},"model_sha256":"11"}"#,
    ];
    let whole = lines.join("\n") + "\n";
    let torn = whole.clone() + &lines[0][..20];
    [whole, torn, format!("{}\n", lines[0]), "hello\n{}\n\n".into()].map(String::into_bytes).to_vec()
}
