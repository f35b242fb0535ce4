//! Parallel loops on the host's threads.

/// Runs a loop body for every index, possibly on several threads at once.
///
/// Methods never start threads of their own: they take a `&dyn Parallel`, which is the host's pool
/// in a station and [`Serial`] in a unit test. Results must not depend on how the indices are split
/// over threads: let each index own its part of the output.
pub trait Parallel: Sync {
    /// Calls `body(i)` once for each `i` in `0..n`, in no particular order, and returns when all are done.
    fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync));

    /// How many threads the loop may use; a hint for choosing block sizes, never for results.
    fn threads(&self) -> usize {
        1
    }
}

/// The loop on the calling thread alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..n).for_each(body);
    }
}

/// Splits `out` into chunks of `chunk` elements and calls `body(index, chunk)` for each, in parallel.
///
/// # Panics
/// If `chunk` is zero.
pub fn for_each_chunk<T: Send>(
    par: &dyn Parallel,
    out: &mut [T],
    chunk: usize,
    body: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    let chunks: Vec<std::sync::Mutex<&mut [T]>> = out.chunks_mut(chunk).map(std::sync::Mutex::new).collect();
    par.for_each(chunks.len(), &|i| {
        // Each index is visited once, so the lock is never contended; a poisoned one still holds its chunk.
        let mut part = chunks[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        body(i, &mut part);
    });
}
