//! Things that one caller may use at a time, lent to as many callers as there are.

use std::sync::{Mutex, PoisonError};

/// Keeps the idle ones and makes another only when all are lent, so that there are never more than there
/// were callers at the same time. A caller holds no lock while it works: a worker of a thread pool that
/// waits inside its work may be given another piece of work that borrows too.
#[derive(Debug)]
pub(crate) struct Lender<T> {
    idle: Mutex<Vec<T>>,
}

impl<T> Lender<T> {
    /// A lender with one idle thing.
    pub(crate) fn new(first: T) -> Self {
        Self { idle: Mutex::new(vec![first]) }
    }

    /// Lends one to `work`; `make` makes another if none is idle. One whose work panics is not taken back.
    pub(crate) fn lend<R, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        work: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<R, E> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut thing = match idle {
            Some(thing) => thing,
            None => make()?,
        };
        let result = work(&mut thing);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend_number<R>(lender: &Lender<u32>, number: u32, work: impl FnOnce(&mut u32) -> R) -> R {
        lender.lend(|| Ok::<_, ()>(number), |n| Ok(work(n))).unwrap()
    }

    #[test]
    fn one_after_the_other_share_and_one_inside_the_other_do_not() {
        let lender = Lender::new(0);
        assert_eq!(lend_number(&lender, 1, |n| *n), 0);
        assert_eq!(lend_number(&lender, 1, |n| (*n, lend_number(&lender, 2, |n| *n))), (0, 2));
        let mut idle = lender.idle.into_inner().unwrap();
        idle.sort_unstable();
        assert_eq!(idle, [0, 2]);
    }

    #[test]
    fn one_whose_work_failed_is_lent_again() {
        let lender = Lender::new(7);
        assert_eq!(lender.lend(|| Ok(8), |_| Err::<(), _>("failed")), Err("failed"));
        assert_eq!(lend_number(&lender, 8, |n| *n), 7);
    }
}
