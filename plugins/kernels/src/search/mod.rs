//! The exact nearest rows of many queries, found through short codes.
//!
//! Each row of the bank has a code of some bytes ([`codes`]); the distance of two codes, less what coding lost, is a lower
//! bound on the distance of what they stand for. A walk over all codes ([`scan`]) finds the rows whose bound does not exceed
//! the best distance so far, and only these are compared by the canonical distance ([`crate::distance`]). A row that is left out
//! is proven to be farther, so the answer is that of comparing every pair, to the last bit.

mod codes;
mod directions;
mod scan;

use std::ops::Range;

use assay_sdk::Parallel;
use pulp::{Arch, Simd, WithSimd};

use crate::KernelError;
use crate::bank::{Neighbour, insert};
use crate::distance::canonical;
use codes::{Coder, Codes};
use scan::{Blocks, Kernel, LANES, Queries};

/// Blocks walked over by all queries of a tile in turn, at most: their codes stay in the second-level cache.
const RUN: usize = 32;

/// Runs of a bank at least, where it has as many blocks. Rows lie by their loss and the greatest of a run bounds them all, so
/// few lossy rows must not share a run with many others.
const RUNS: usize = 32;

/// Of so many blocks one is looked at first, for distances to begin with.
const STRIDE: usize = 8;

/// Queries that one index of the parallel loop searches for.
pub(crate) const TILE: usize = 16 * LANES;

/// The codes of a bank.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    coder: Coder,
    blocks: Blocks,
    kernel: Kernel,
}

impl Index {
    /// Of `rows` [n, dims], finite and of lengths within range, n at least 1.
    pub(crate) fn new(rows: &[f32], dims: usize, par: &dyn Parallel) -> Result<Self, KernelError> {
        let coder = Coder::new(rows, dims);
        let codes = coder.encode_all(rows, par)?;
        Ok(Self { blocks: Blocks::new(&codes, coder.width())?, coder, kernel: Kernel::detect() })
    }

    /// The rows of `bank` nearest to each of `queries` [q, dims], nearest first, into `found` [q, k].
    pub(crate) fn search(&self, bank: &[f32], queries: &[f32], found: &mut [Neighbour]) {
        let dims = self.coder.dims();
        let k = found.len() / (queries.len() / dims).max(1);
        let codes = self.coder.encode(queries);
        let parts = queries.chunks(LANES * dims).zip(found.chunks_mut(LANES * k)).enumerate();
        let mut groups: Vec<Group> = parts
            .map(|(i, (queries, found))| Group::new(self, bank, queries, (&codes, i * LANES), found))
            .collect();
        let mut nearest = vec![(i32::MIN, usize::MAX); LANES * k];
        for group in &mut groups {
            nearest.fill((i32::MIN, usize::MAX));
            group.begin(&mut nearest);
        }
        let blocks = self.blocks.len();
        let length = (blocks / RUNS).clamp(1, RUN);
        for run in (0..blocks).step_by(length) {
            for group in &mut groups {
                group.walk(run..(run + length).min(blocks));
            }
        }
    }
}

/// Up to [`LANES`] queries that are compared with a block together.
struct Group<'a> {
    index: &'a Index,
    pairs: Pairs<'a>,
    /// The codes of all queries.
    codes: &'a Codes,
    /// Which of them is that of the first of these queries.
    first: usize,
    /// How many queries.
    lanes: usize,
    packed: Queries,
    /// Nearest rows so far, k a query.
    best: &'a mut [Neighbour],
    /// The k-th nearest row of each query is not farther than this.
    reach: [f32; LANES],
}

/// What distances are taken of.
#[derive(Clone, Copy)]
struct Pairs<'a> {
    bank: &'a [f32],
    queries: &'a [f32],
    dims: usize,
}

impl Pairs<'_> {
    fn squared(&self, lane: usize, row: usize) -> f32 {
        Arch::new().dispatch(Distance {
            query: &self.queries[lane * self.dims..][..self.dims],
            row: &self.bank[row * self.dims..][..self.dims],
        })
    }
}

struct Distance<'a> {
    query: &'a [f32],
    row: &'a [f32],
}

impl WithSimd for Distance<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        canonical(self.query, self.row)
    }
}

impl<'a> Group<'a> {
    fn new(
        index: &'a Index,
        bank: &'a [f32],
        queries: &'a [f32],
        (codes, first): (&'a Codes, usize),
        best: &'a mut [Neighbour],
    ) -> Self {
        let pairs = Pairs { bank, queries, dims: index.coder.dims() };
        let lanes = queries.len() / pairs.dims;
        let packed = Queries::new(codes, first..first + lanes, index.coder.width());
        Self { index, pairs, codes, first, lanes, packed, best, reach: [f32::INFINITY; LANES] }
    }

    /// Finds for each query the k rows with the nearest codes in some of the blocks; their distances are a first reach.
    /// `nearest` [LANES, k] of `(i32::MIN, usize::MAX)` is the room for them.
    fn begin(&mut self, nearest: &mut [(i32, usize)]) {
        let k = self.best.len() / self.lanes;
        let mut keep = |lane: usize, row: usize, value: i32| {
            let nearest = &mut nearest[lane * k..][..k];
            let place = nearest.partition_point(|&(other, _)| other >= value);
            if place < k {
                nearest[place..].rotate_right(1);
                nearest[place] = (value, row);
            }
            nearest[k - 1].0.saturating_add(1)
        };
        let mut cuts = std::array::from_fn(|lane| if lane < self.lanes { i32::MIN } else { i32::MAX });
        for block in (0..self.index.blocks.len()).step_by(STRIDE) {
            let blocks = block..block + 1;
            self.index.kernel.walk(&self.index.blocks, blocks, &self.packed, &mut cuts, &mut keep);
        }
        for (lane, nearest) in nearest.chunks_exact(k).enumerate().take(self.lanes) {
            if nearest.iter().all(|&(_, row)| row != usize::MAX) {
                let distances = nearest.iter().map(|&(_, row)| self.pairs.squared(lane, row));
                self.reach[lane] = distances.fold(0.0, f32::max);
            }
        }
    }

    /// Compares the queries with the rows of a run that may be nearer than what was found.
    fn walk(&mut self, run: Range<usize>) {
        let Self { index, pairs, codes, first, lanes, packed, best, reach } = self;
        let (k, loss) = (best.len() / *lanes, index.blocks.loss(run.clone()));
        let cut = |lane: usize, reach: f32| index.coder.cut(codes.get(*first + lane), reach, loss);
        let mut cuts = [i32::MAX; LANES];
        for (lane, cut_now) in cuts.iter_mut().enumerate().take(*lanes) {
            *cut_now = cut(lane, reach[lane]);
        }
        let mut current = cuts;
        let mut compare = |lane: usize, row: usize, _: i32| {
            let best = &mut best[lane * k..][..k];
            insert(best, Neighbour { squared: pairs.squared(lane, row), row });
            if best[k - 1].squared < reach[lane] {
                reach[lane] = best[k - 1].squared;
                current[lane] = cut(lane, reach[lane]);
            }
            current[lane]
        };
        index.kernel.walk(&index.blocks, run, packed, &mut cuts, &mut compare);
    }
}
