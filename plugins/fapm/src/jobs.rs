//! Many small jobs, or few large ones, on the host's threads.

use assay_sdk::{Parallel, Serial, for_each_chunk};

/// Does each of `jobs` once: side by side where there are enough for all threads, else one after the other with the
/// threads inside each. A job whose result does not depend on its `Parallel` has the same bits either way.
pub(crate) fn each<T: Send>(
    jobs: &mut [T],
    par: &dyn Parallel,
    body: &(dyn Fn(&mut T, &dyn Parallel) + Sync),
) {
    if jobs.len() < par.threads() {
        jobs.iter_mut().for_each(|job| body(job, par));
    } else {
        for_each_chunk(par, jobs, 1, &|_, jobs| jobs.iter_mut().for_each(|job| body(job, &Serial)));
    }
}
