//! Words of what comes next, for the case that the process does not come back.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Before the name of a call; other lines say what a check is about to do.
const CALL: char = '>';

static NOTES: OnceLock<Mutex<File>> = OnceLock::new();

/// From now on this process leaves its notes in a file.
pub(crate) fn leave_in(path: &Path) {
    // Without the file findings have no notes.
    if let Ok(file) = File::create(path) {
        let _ = NOTES.set(Mutex::new(file));
    }
}

fn leave(line: std::fmt::Arguments<'_>) {
    if let Some(notes) = NOTES.get() {
        let _ = writeln!(notes.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    }
}

/// What a check is about to do.
pub(crate) fn step(what: &str) {
    leave(format_args!("{what}"));
}

/// The function that is about to be called.
pub(crate) fn call(name: &str) {
    leave(format_args!("{CALL}{name}"));
}

/// What the last step and call of some notes were.
pub(crate) fn last(notes: &str) -> String {
    let step = notes.lines().rev().find(|l| !l.starts_with(CALL)).unwrap_or_default();
    match notes.lines().last().and_then(|l| l.strip_prefix(CALL)) {
        Some(call) if step.is_empty() => call.to_owned(),
        Some(call) => format!("{step}, {call}"),
        None => step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_and_the_call_in_it_are_named() {
        assert_eq!(last(""), "");
        assert_eq!(last(">create\n>score\n"), "score");
        assert_eq!(last("a life\n>create\n>plan\n"), "a life, plan");
        assert_eq!(last("a life\n>create\nanother life\n"), "another life");
    }
}
