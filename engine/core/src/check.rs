//! A look at all scans before long work starts on them.

use crate::error::{Error, Result};
use crate::plugin::Services;
use crate::prepare;
use crate::recipe::Recipe;
use assay_data::ScanFiles;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bad scans one message names.
const NAMED: usize = 20;

/// Loads every scan once, so that all that cannot be used are said at once and before anything is learned.
///
/// # Errors
/// What is wrong with a scan, or [`Error::Request`] with a line for each; [`Error::Cancelled`].
pub(crate) fn usable<'a>(
    recipe: &Recipe,
    scans: impl IntoIterator<Item = &'a ScanFiles>,
    services: &Services,
) -> Result<()> {
    let scans: Vec<&ScanFiles> = scans.into_iter().collect();
    let done = AtomicUsize::new(0);
    let look = |files: &&ScanFiles| {
        if services.watch.cancelled() {
            return Some(Error::Cancelled);
        }
        let error = prepare::load(recipe, files).err();
        let n = done.fetch_add(1, Ordering::Relaxed) + 1;
        services.watch.progress("looking at the scans", n as f64 / scans.len() as f64, "");
        error
    };
    let mut bad: Vec<Error> = services.pool.install(|| scans.par_iter().filter_map(look).collect());
    if bad.iter().any(|e| matches!(e, Error::Cancelled)) {
        return Err(Error::Cancelled);
    }
    match bad.len() {
        0 => Ok(()),
        1 => Err(bad.remove(0)),
        n => {
            let mut lines = vec![format!("{n} of the {} scans cannot be used:", scans.len())];
            lines.extend(bad.iter().take(NAMED).map(|e| format!("  {e}")));
            if n > NAMED {
                lines.push(format!("  and {} more", n - NAMED));
            }
            Err(Error::Request(lines.join("\n")))
        }
    }
}
