//! What the built program says to input that it cannot use: one clear error that names the thing and the cause, exit status 2,
//! nothing half done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

#[path = "bad_input/models.rs"]
mod models;
#[path = "bad_input/outputs.rs"]
mod outputs;
#[path = "bad_input/scans.rs"]
mod scans;
mod support;

use std::process::{Command, Output};
use support::{exit_with, stderr, stdout};

/// Runs a command that must end with one error and without a result; returns what it said.
fn refused(command: &mut Command) -> String {
    let output = exit_with(command, 2);
    assert_eq!(stdout(&output), "", "{command:?}");
    one_error(&output)
}

/// The only error of a command.
fn one_error(output: &Output) -> String {
    let said = stderr(output);
    assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// That a message holds each of some words.
fn assert_names(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}
