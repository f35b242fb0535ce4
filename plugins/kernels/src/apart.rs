//! Rows to learn from, and rows of the last scans of a stream, which are held out to judge by.

use crate::KernelError;
use crate::choice::Reservoir;
use ndarray::{Array2, ArrayView2};

/// One scan in so many is held out, at least one.
const HELD_SHARE: u64 = 10;

/// Evenly drawn rows of a stream of scans: those of the last tenth of the scans apart from those of the others. A scan may come several times in a
/// row, as often as each other (at several angles): all of it is learned from, or all is held out.
#[derive(Debug, Clone)]
pub struct Apart {
    learned: Reservoir,
    held: Reservoir,
    /// How often a scan comes in all, and how often one has come.
    samples: u64,
    seen: u64,
    /// The scan that came last, and how many came before it.
    last: String,
    scan: u64,
    /// The scans from this one on are held out: known when the first one has come as often as it does.
    first_held: Option<u64>,
}

impl Apart {
    /// For `samples` scans, each time counted that one comes, whose rows have `dims` columns: at most `[learned, held]` rows are kept.
    ///
    /// # Errors
    /// As [`Reservoir::new`].
    pub fn new(
        dims: usize,
        [learned, held]: [usize; 2],
        samples: u64,
        seed: u64,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            learned: Reservoir::new(dims, learned, seed)?,
            held: Reservoir::new(dims, held, seed)?,
            samples,
            seen: 0,
            last: String::new(),
            scan: 0,
            first_held: None,
        })
    }

    /// Offers the rows of the scan `id`, of which the valid ones count.
    ///
    /// # Errors
    /// As [`Reservoir::offer`].
    pub fn offer(&mut self, id: &str, rows: ArrayView2<'_, f32>, valid: &[bool]) -> Result<(), KernelError> {
        if self.seen > 0 && self.last != id {
            self.scan += 1;
            let scans = self.samples.div_ceil(self.seen);
            self.first_held.get_or_insert(scans.saturating_sub((scans / HELD_SHARE).max(1)).max(1));
        }
        self.last.clear();
        self.last.push_str(id);
        self.seen += 1;
        let held = self.first_held.is_some_and(|first| self.scan >= first);
        let of = if held { &mut self.held } else { &mut self.learned };
        of.offer(rows, valid)
    }

    /// The rows to learn from and those that are held out.
    #[must_use]
    pub fn into_rows(self) -> [Array2<f32>; 2] {
        [self.learned.into_rows(), self.held.into_rows()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of so many scans, each at so many angles; the rows tell scan and angle.
    fn of(scans: u16, angles: u16) -> [Vec<f32>; 2] {
        let mut apart = Apart::new(1, [1000, 1000], u64::from(scans * angles), 1).unwrap();
        for scan in 0..scans {
            for angle in 0..angles {
                let rows = Array2::from_elem((2, 1), f32::from(scan) + f32::from(angle) / 100.0);
                apart.offer(&scan.to_string(), rows.view(), &[true, scan != 0]).unwrap();
            }
        }
        apart.into_rows().map(|rows| rows.into_iter().collect())
    }

    #[test]
    fn the_last_tenth_of_the_scans_is_held_out_and_at_least_one() {
        assert_eq!(of(3, 1), [vec![0.0, 1.0, 1.0], vec![2.0, 2.0]]);
        let [learned, held] = of(20, 1);
        assert_eq!((learned.len(), held), (35, vec![18.0, 18.0, 19.0, 19.0]));
    }

    #[test]
    fn of_a_scan_that_is_held_out_no_angle_is_learned() {
        for (scans, angles) in [(2, 12), (3, 12), (9, 4), (20, 12), (25, 7)] {
            let [learned, held] = of(scans, angles);
            let whole = |rows: &[f32]| {
                let mut scans: Vec<u16> = rows.iter().map(|v| *v as u16).collect();
                scans.dedup();
                scans
            };
            let first = scans - (scans / 10).max(1);
            assert_eq!(whole(&learned), (0..first).collect::<Vec<_>>(), "{scans} {angles}");
            assert_eq!(whole(&held), (first..scans).collect::<Vec<_>>(), "{scans} {angles}");
            assert_eq!(held.len(), usize::from(2 * (scans - first) * angles));
        }
    }

    #[test]
    fn of_one_scan_alone_nothing_is_held_out() {
        for angles in [1, 5] {
            let [learned, held] = of(1, angles);
            assert_eq!((learned.len(), held), (usize::from(angles), vec![]));
        }
    }
}
