//! Rows to learn from, and rows of the last scans of a stream, which are held out to judge by.

use crate::KernelError;
use crate::choice::Reservoir;
use ndarray::{Array2, ArrayView2};

/// One scan in so many is held out, at least one.
const HELD_SHARE: u64 = 10;

/// Evenly drawn rows of a stream of scans: those of the last tenth of the scans apart from those of the others.
#[derive(Debug, Clone)]
pub struct Apart {
    learned: Reservoir,
    held: Reservoir,
    /// The scans from this one on are held out.
    first_held: u64,
    scans: u64,
}

impl Apart {
    /// For `scans` scans, whose rows have `dims` columns: at most `[learned, held]` rows are kept.
    ///
    /// # Errors
    /// As [`Reservoir::new`].
    pub fn new(dims: usize, [learned, held]: [usize; 2], scans: u64, seed: u64) -> Result<Self, KernelError> {
        let last = (scans / HELD_SHARE).max(1);
        Ok(Self {
            learned: Reservoir::new(dims, learned, seed)?,
            held: Reservoir::new(dims, held, seed)?,
            first_held: scans.saturating_sub(last),
            scans: 0,
        })
    }

    /// Offers the rows of the next scan, of which the valid ones count.
    ///
    /// # Errors
    /// As [`Reservoir::offer`].
    pub fn offer(&mut self, rows: ArrayView2<'_, f32>, valid: &[bool]) -> Result<(), KernelError> {
        let of = if self.scans < self.first_held { &mut self.learned } else { &mut self.held };
        self.scans += 1;
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

    fn of(scans: u16) -> [Vec<f32>; 2] {
        let mut apart = Apart::new(1, [100, 100], u64::from(scans), 1).unwrap();
        for scan in 0..scans {
            let rows = Array2::from_elem((2, 1), f32::from(scan));
            apart.offer(rows.view(), &[true, scan != 0]).unwrap();
        }
        apart.into_rows().map(|rows| rows.into_iter().collect())
    }

    #[test]
    fn the_last_tenth_of_the_scans_is_held_out_and_at_least_one() {
        assert_eq!(of(3), [vec![0.0, 1.0, 1.0], vec![2.0, 2.0]]);
        let [learned, held] = of(20);
        assert_eq!((learned.len(), held), (35, vec![18.0, 18.0, 19.0, 19.0]));
        assert_eq!(of(1), [vec![], vec![0.0]]);
    }
}
