//! The memory bank: exact nearest rows for many queries.

use assay_sdk::{Parallel, for_each_chunk};
use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::KernelError;
use crate::distance::squared_distances;
use crate::error::{area, expect, filled};
use crate::rows::Rows;
use crate::score::Weighting;
use crate::search::{Index, TILE};

/// Up to this many queries the canonical distance to every row is no slower than a walk over codes.
const FEW: usize = 4;

/// From this many rows on a bank has codes.
const CODED: usize = 256;

/// Rows that one index of the parallel loop compares with a single query.
const BLOCK: usize = 512;

/// A row of the bank and its canonical squared distance to a query.
///
/// The order is by distance, then by row.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Neighbour {
    /// Squared distance, see [`crate::distance`].
    pub squared: f32,
    /// Index of the row.
    pub row: usize,
}

impl Neighbour {
    /// Euclidean distance.
    #[must_use]
    pub fn distance(&self) -> f32 {
        self.squared.sqrt()
    }

    const NONE: Self = Self { squared: f32::INFINITY, row: usize::MAX };
}

/// Rows [n, c] to be searched for the nearest to a query.
///
/// The answer is exactly that of comparing each query with each row by the canonical distance, ties to
/// the lowest row. How it is found is this module's own affair.
#[derive(Debug, Clone)]
pub struct Bank {
    rows: Array2<f32>,
    /// None for a few rows, which are compared one by one.
    index: Option<Index>,
}

impl Bank {
    /// A bank of `rows` [n, c].
    ///
    /// # Errors
    /// No rows or columns, a value that is not finite, a row longer than 2^60; no memory.
    pub fn new(rows: Array2<f32>, par: &dyn Parallel) -> Result<Self, KernelError> {
        if rows.nrows() == 0 {
            return Err(KernelError::TooFew { what: "memory bank", needed: 1 });
        }
        let dims = Rows::new("memory bank", rows.view())?.dims();
        let rows = if rows.is_standard_layout() { rows } else { rows.as_standard_layout().into_owned() };
        let values = rows.as_slice().unwrap_or_default();
        let index = if rows.nrows() < CODED { None } else { Some(Index::new(values, dims, par)?) };
        Ok(Self { rows, index })
    }

    /// The rows [n, c].
    #[must_use]
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// Number of rows, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a bank is never empty")]
    pub fn len(&self) -> usize {
        self.rows.nrows()
    }

    /// Number of columns, at least 1.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.rows.ncols()
    }

    /// The nearest row to each of `queries` [q, c].
    ///
    /// # Errors
    /// Another width than the bank's, a value that is not finite, a query longer than 2^60; no memory.
    pub fn nearest(
        &self,
        queries: ArrayView2<f32>,
        par: &dyn Parallel,
    ) -> Result<Vec<Neighbour>, KernelError> {
        self.search(queries, 1, par)
    }

    /// The `k` nearest rows to each of `queries` [q, c], nearest first: [q, min(k, n)].
    ///
    /// # Errors
    /// As [`Self::nearest`]; `k` of zero.
    pub fn nearest_k(
        &self,
        queries: ArrayView2<f32>,
        k: usize,
        par: &dyn Parallel,
    ) -> Result<Array2<Neighbour>, KernelError> {
        if k == 0 {
            return Err(KernelError::Range { what: "number of neighbours", range: "at least 1" });
        }
        let k = k.min(self.len());
        let found = self.search(queries, k, par)?;
        Array2::from_shape_vec((queries.nrows(), k), found).map_err(|_| KernelError::Shape {
            what: "neighbours",
            expected: queries.nrows() * k,
            found: 0,
        })
    }

    /// PatchCore's image score (Roth et al. 2022, Eq. 7) of the patch `[c]` that is farthest from the bank, whose
    /// nearest row is `nearest`, with the `b` rows nearest to that row, itself included.
    ///
    /// With `b` or the bank below 2 the weight has no meaning and the score is the distance itself.
    ///
    /// # Errors
    /// As [`Self::nearest`]; a `nearest.row` that the bank does not have.
    pub fn image_score(
        &self,
        patch: ArrayView1<f32>,
        nearest: Neighbour,
        b: usize,
        weighting: Weighting,
        par: &dyn Parallel,
    ) -> Result<f32, KernelError> {
        if nearest.row >= self.len() {
            return Err(KernelError::Shape { what: "nearest row", expected: self.len(), found: nearest.row });
        }
        expect("columns of the patch", self.dims(), patch.len())?;
        let b = b.min(self.len());
        if b < 2 {
            return Ok(nearest.distance());
        }
        let row = self.rows.slice(ndarray::s![nearest.row..=nearest.row, ..]);
        let around = self.nearest_k(row, b, par)?;
        let patch = Rows::new("patch", patch.insert_axis(ndarray::Axis(0)))?;
        let distances: Vec<f32> = around
            .iter()
            .map(|n| crate::distance::squared_distance(patch.row(0), self.row(n.row)).sqrt())
            .collect();
        Ok(weighting.weight(nearest.distance(), &distances, self.dims()) * nearest.distance())
    }

    fn values(&self) -> &[f32] {
        self.rows.as_slice().unwrap_or_default()
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.values()[i * self.dims()..][..self.dims()]
    }

    /// [q * k] neighbours, `k` between 1 and the number of rows.
    fn search(
        &self,
        queries: ArrayView2<f32>,
        k: usize,
        par: &dyn Parallel,
    ) -> Result<Vec<Neighbour>, KernelError> {
        expect("columns of the queries", self.dims(), queries.ncols())?;
        let queries = Rows::new("queries", queries)?;
        let mut found = filled("neighbours", area("neighbours", queries.len(), k)?, Neighbour::NONE)?;
        let Some(index) = self.index.as_ref().filter(|_| queries.len() > FEW) else {
            for (i, found) in found.chunks_exact_mut(k).enumerate() {
                self.compare_all(queries.row(i), found, par)?;
            }
            return Ok(found);
        };
        for_each_chunk(par, &mut found, TILE * k, &|i, found| {
            let queries = &queries.values()[i * TILE * self.dims()..][..found.len() / k * self.dims()];
            index.search(self.values(), queries, found);
        });
        Ok(found)
    }

    /// The nearest rows to one query by comparing it with all.
    fn compare_all(
        &self,
        query: &[f32],
        found: &mut [Neighbour],
        par: &dyn Parallel,
    ) -> Result<(), KernelError> {
        let mut squared = filled("distances", self.len(), 0f32)?;
        for_each_chunk(par, &mut squared, BLOCK, &|block, out| {
            squared_distances(query, &self.values()[block * BLOCK * self.dims()..], out);
        });
        for (row, &squared) in squared.iter().enumerate() {
            insert(found, Neighbour { squared, row });
        }
        Ok(())
    }
}

/// Puts `new` into its place among the sorted `best`, if it has one.
#[inline]
pub(crate) fn insert(best: &mut [Neighbour], new: Neighbour) {
    if best.last().is_some_and(|last| new < *last) {
        let place = best.partition_point(|n| *n < new);
        best[place..].rotate_right(1);
        best[place] = new;
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use ndarray::Axis;
    use proptest::prelude::*;

    use super::*;
    use crate::distance::squared_distance;

    fn naive(bank: &Array2<f32>, queries: &Array2<f32>, k: usize) -> Vec<Neighbour> {
        let mut out = Vec::new();
        for query in queries.outer_iter() {
            let mut all: Vec<_> = bank
                .outer_iter()
                .enumerate()
                .map(|(row, r)| Neighbour {
                    squared: squared_distance(query.as_slice().unwrap(), r.as_slice().unwrap()),
                    row,
                })
                .collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            out.extend(&all[..k.min(all.len())]);
        }
        out
    }

    /// Values on a coarse lattice (many exact ties), shifted and scaled.
    fn rows(n: usize, c: usize, offset: f32, scale: f32, seed: u64) -> Array2<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Array2::from_shape_simple_fn((n, c), || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (((state >> 40) % 7) as f32 * 0.37 + offset) * scale
        })
    }

    /// The host's pool in miniature: indices handed out from both ends.
    struct Backwards;
    impl Parallel for Backwards {
        fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
            (0..n).rev().for_each(body);
        }
        fn threads(&self) -> usize {
            3
        }
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let mut bad = rows(3, 2, 0.0, 1.0, 1);
        bad[[1, 1]] = f32::NAN;
        assert_eq!(
            Bank::new(bad.clone(), &Serial).unwrap_err(),
            KernelError::NotFinite { what: "memory bank", row: 1 }
        );
        let bank = Bank::new(rows(3, 2, 0.0, 1.0, 1), &Serial).unwrap();
        assert_eq!(
            bank.nearest(bad.view(), &Serial).unwrap_err(),
            KernelError::NotFinite { what: "queries", row: 1 }
        );
        bad[[1, 1]] = 3e18;
        assert!(matches!(Bank::new(bad, &Serial), Err(KernelError::TooLong { row: 1, .. })));
    }

    #[test]
    fn no_queries_have_no_neighbours() {
        let bank = Bank::new(rows(3, 2, 0.0, 1.0, 1), &Serial).unwrap();
        assert!(bank.nearest(Array2::zeros((0, 2)).view(), &Serial).unwrap().is_empty());
    }

    #[test]
    fn columns_in_another_memory_order_give_the_same_answer() {
        let (data, queries) = (rows(50, 4, 0.0, 1.0, 5), rows(9, 4, 0.1, 1.0, 6));
        let transposed = data.t().as_standard_layout().into_owned().reversed_axes();
        let expected = Bank::new(data, &Serial).unwrap().nearest(queries.view(), &Serial).unwrap();
        assert_eq!(
            Bank::new(transposed, &Serial).unwrap().nearest(queries.view(), &Serial).unwrap(),
            expected
        );
    }

    #[test]
    fn many_duplicates_resolve_to_the_lowest_rows() {
        let data = Array2::from_elem((3000, 8), 1.5f32);
        let bank = Bank::new(data, &Serial).unwrap();
        let queries = rows(20, 8, 0.0, 1.0, 3);
        let found = bank.nearest_k(queries.view(), 3, &Serial).unwrap();
        for best in found.axis_iter(Axis(0)) {
            assert_eq!(best.iter().map(|n| n.row).collect::<Vec<_>>(), [0, 1, 2]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn equals_comparing_all_pairs(
            n in prop_oneof![1usize..40, 1500usize..2600], c in 1usize..70, q in 1usize..20, k in 1usize..6,
            offset in prop_oneof![Just(0f32), Just(1e4f32), -10f32..10.0], power in prop_oneof![Just(0i32), -75i32..40],
            duplicates in 0usize..20, seed in 0u64..1_000_000,
        ) {
            let scale = 2f32.powi(power);
            let mut data = rows(n, c, offset, scale, seed);
            for i in 0..duplicates.min(n) {
                let (from, to) = ((i * 7919) % n, (i * 104_729 + 13) % n);
                let copy = data.row(from).to_owned();
                data.row_mut(to).assign(&copy);
            }
            let queries = rows(q, c, offset + 0.1, scale, seed + 1);
            let expected = naive(&data, &queries, k);
            let bank = Bank::new(data, &Serial).unwrap();
            for par in [&Serial as &dyn Parallel, &Backwards] {
                let found = bank.nearest_k(queries.view(), k, par).unwrap();
                prop_assert_eq!(found.as_slice().unwrap(), &expected[..]);
            }
        }

        #[test]
        fn equals_comparing_all_pairs_at_mixed_magnitudes(n in 5usize..200, c in 1usize..40, powers in prop::collection::vec(-80i32..50, 200), seed in 0u64..1000) {
            let mut data = rows(n, c, -1.0, 1.0, seed);
            for (mut row, &power) in data.outer_iter_mut().zip(&powers) {
                row *= 2f32.powi(power);
            }
            let queries = data.slice(ndarray::s![..5, ..]).mapv(|x| x * 1.001);
            let expected = naive(&data, &queries, 2);
            let found = Bank::new(data, &Serial).unwrap().nearest_k(queries.view(), 2, &Serial).unwrap();
            prop_assert_eq!(found.as_slice().unwrap(), &expected[..]);
        }
    }
}
