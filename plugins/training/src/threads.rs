//! Training on as many threads as the host has.

use crate::error::Result;
use crate::memory::KeptPages;
use rayon::prelude::*;

/// Does `work` with burn on `threads` threads. They are this crate's own, because burn takes whatever pool it is called in, and end with
/// the work. What the work frees is kept for it until then.
///
/// # Errors
/// Where no threads can be started.
pub fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|i| format!("training {i}"))
        .build()?;
    let _kept = KeptPages::new();
    Ok(pool.install(work))
}

/// What `make` gives for each of `items`, made on all threads of the training.
pub fn each<I: Sync, T: Send>(items: &[I], make: impl Fn(&I) -> T + Sync + Send) -> Vec<T> {
    items.par_iter().map(make).collect()
}
