//! A training in the eyes of the host.

use crate::error::{Error, Result};
use crate::run::{Progress, Watcher};
use assay_sdk::{Host, Level};

/// Reports a training to the host of a method, which may end it and keeps it over interruptions.
pub struct Watched<'a> {
    host: &'a Host,
    /// What is trained.
    what: &'a str,
}

impl<'a> Watched<'a> {
    /// A training of `what`.
    pub fn new(host: &'a Host, what: &'a str) -> Self {
        Self { host, what }
    }

    fn warn(&self, what: &str, error: &assay_sdk::Error) {
        self.host.log(Level::Warn, &format!("{what}: {error}"));
    }
}

impl Watcher for Watched<'_> {
    fn tell(&mut self, progress: &Progress) -> Result<()> {
        let told = self.host.progress(progress.fraction(), &format!("{}: {progress}", self.what));
        told.map_err(|_| Error::Cancelled)
    }

    fn keep(&mut self, training: &[u8]) {
        if let Err(e) = self.host.keep(training) {
            self.warn("the training could not be kept, an interruption would lose it", &e);
        }
    }

    fn kept(&mut self) -> Option<Vec<u8>> {
        self.host.kept().unwrap_or_else(|e| {
            self.warn("the training begins anew", &e);
            None
        })
    }
}
