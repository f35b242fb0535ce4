//! A training in the eyes of the host.

use crate::error::{Error, Result};
use crate::run::{Progress, Watcher};
use assay_sdk::{Host, Level};

/// Reports a training to the host of a method, which may end it and keeps it over interruptions.
pub struct Watched<'a> {
    host: &'a Host,
    /// What is trained.
    what: &'a str,
    /// What was told last: the share that is done, and the same in words.
    told: (f64, String),
}

impl<'a> Watched<'a> {
    /// A training of `what`.
    pub fn new(host: &'a Host, what: &'a str) -> Self {
        Self { host, what, told: (0.0, format!("{what}: begins")) }
    }
}

impl Watcher for Watched<'_> {
    fn tell(&mut self, progress: &Progress) -> Result<()> {
        self.told = (progress.fraction(), format!("{}: {progress}", self.what));
        self.go_on()
    }

    fn go_on(&mut self) -> Result<()> {
        self.host.progress(self.told.0, &self.told.1).map_err(|_| Error::Cancelled)
    }

    fn warn(&mut self, message: &str) {
        self.host.log(Level::Warn, &format!("{}: {message}", self.what));
    }

    fn keep(&mut self, training: &[u8]) {
        if let Err(e) = self.host.keep(training) {
            self.warn(&format!("the training could not be kept, an interruption would lose it: {e}"));
        }
    }

    fn kept(&mut self) -> Option<Vec<u8>> {
        self.host.kept().unwrap_or_else(|e| {
            self.warn(&format!("the training begins anew: {e}"));
            None
        })
    }
}
