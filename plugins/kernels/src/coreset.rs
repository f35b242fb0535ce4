//! Greedy k-centre selection (Gonzalez 1985), as PatchCore thins its memory bank.

use assay_sdk::Parallel;
use ndarray::ArrayView2;

use crate::KernelError;
use crate::cover::Cover;
use crate::rows::Rows;

/// Bytes that [`greedy_k_centre`] takes for each row beside the row itself, about.
pub const BYTES_A_ROW: usize = 450;

/// Rows chosen to cover all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Coreset {
    /// The rows in the order they were picked; the first is the start.
    pub picks: Vec<usize>,
    /// For each pick, the greatest distance of any row from the picks before it, which is the distance of the pick
    /// itself. The first is infinite.
    pub radii: Vec<f32>,
}

/// Picks up to `count` of `rows` [n, c]: `start` first, then always the row farthest from those picked.
///
/// Distances are canonical ([`crate::distance`]), ties go to the lowest row; the picks are those of the plain algorithm
/// that compares every row with every pick; most comparisons are skipped because they are proven to change nothing.
/// Picking ends early when every row equals a pick.
///
/// # Errors
/// No rows, no `count`, a `start` outside the rows, a value that is not finite, a row longer than 2^60; no memory.
pub fn greedy_k_centre(
    rows: ArrayView2<f32>,
    count: usize,
    start: usize,
    par: &dyn Parallel,
) -> Result<Coreset, KernelError> {
    if rows.nrows() == 0 || count == 0 {
        return Err(KernelError::TooFew { what: "coreset", needed: 1 });
    }
    if start >= rows.nrows() {
        return Err(KernelError::Shape {
            what: "start of the coreset",
            expected: rows.nrows(),
            found: start,
        });
    }
    let rows = Rows::new("rows to select from", rows)?;
    let count = count.min(rows.lengths.len());
    let mut cover = Cover::from_start(rows.values(), rows.dims(), start, par)?;
    let mut coreset = Coreset { picks: vec![start], radii: vec![f32::INFINITY] };
    while coreset.picks.len() < count {
        let farthest = cover.farthest(par);
        if farthest.squared == 0.0 {
            break;
        }
        coreset.picks.push(farthest.row);
        coreset.radii.push(farthest.squared.sqrt());
        cover.add(farthest.row);
    }
    Ok(coreset)
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::distance::squared_distance;

    /// The host's pool in miniature: it says that it has threads, and visits indices in another order.
    struct Backwards;
    impl Parallel for Backwards {
        fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
            (0..n).rev().for_each(body);
        }
        fn threads(&self) -> usize {
            3
        }
    }

    fn plain(rows: &Array2<f32>, count: usize, start: usize) -> Coreset {
        let distance = |a: usize, b: usize| {
            squared_distance(rows.row(a).to_slice().unwrap(), rows.row(b).to_slice().unwrap())
        };
        let mut nearest: Vec<f32> = (0..rows.nrows()).map(|i| distance(i, start)).collect();
        let mut coreset = Coreset { picks: vec![start], radii: vec![f32::INFINITY] };
        while coreset.picks.len() < count {
            let mut farthest = 0;
            for i in 1..nearest.len() {
                if nearest[i] > nearest[farthest] {
                    farthest = i;
                }
            }
            if nearest[farthest] == 0.0 {
                break;
            }
            coreset.picks.push(farthest);
            coreset.radii.push(nearest[farthest].sqrt());
            for (i, nearest) in nearest.iter_mut().enumerate() {
                *nearest = nearest.min(distance(i, farthest));
            }
        }
        coreset
    }

    #[test]
    fn picking_ends_when_every_row_equals_a_pick() {
        let rows = ndarray::array![[1.0f32], [2.0], [1.0], [2.0]];
        let coreset = greedy_k_centre(rows.view(), 4, 2, &Serial).unwrap();
        assert_eq!(coreset, Coreset { picks: vec![2, 1], radii: vec![f32::INFINITY, 1.0] });
    }

    #[test]
    fn a_start_outside_the_rows_is_refused() {
        assert!(greedy_k_centre(Array2::zeros((2, 2)).view(), 1, 2, &Serial).is_err());
    }

    proptest! {
        #[test]
        fn picks_are_those_of_the_plain_algorithm(
            n in prop_oneof![1usize..60, 3000usize..6000], c in 1usize..50, count in 1usize..40, lattice in any::<bool>(),
            offset in prop_oneof![Just(0f32), Just(3e4f32)], power in prop_oneof![Just(0i32), -85i32..40], seed in 0u64..1_000_000,
        ) {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let rows = Array2::from_shape_simple_fn((n, c), || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let value = if lattice { ((state >> 40) % 4) as f32 } else { (state >> 40) as f32 / (1u64 << 22) as f32 };
                (value + offset) * 2f32.powi(power)
            });
            let start = seed as usize % n;
            let expected = plain(&rows, count.min(n), start);
            prop_assert_eq!(&greedy_k_centre(rows.view(), count, start, &Serial).unwrap(), &expected);
            prop_assert_eq!(&greedy_k_centre(rows.view(), count, start, &Backwards).unwrap(), &expected);
        }
    }
}
