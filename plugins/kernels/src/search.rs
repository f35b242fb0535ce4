//! Candidates from matrix products, decided by canonical distances.
//!
//! For a query q and a row r, v = |r|^2/2 - q.r orders rows as their distance to q does, for
//! |q - r|^2 / 2 = v + |q|^2 / 2. With u the rounding of f32, c columns and R the greatest row length in
//! the block, the computed v is off by at most
//!
//! E = gamma_(c+2) |q| R + 1.5 u R^2 (1 + small) + underflow:
//!
//! gamma_c |q| R for the dot product in any order, u R^2 / 2 for the rounded half square, and
//! u (|q| R + R^2 / 2) for the subtraction (Higham, Accuracy and Stability of Numerical Algorithms, ch. 3).
//!
//! Let row j be among the k best by canonical distance. Of any k rows, one, say i, is not better than j:
//! canonical(j) <= canonical(i). With d the relative error of a canonical distance, the true half distances then
//! obey half(j) <= half(i) + d / (1 - d) |q - r_i|^2 + underflow. So j's lower bound v_j - E is at most the
//! k-th smallest upper bound v + E, plus that slack: keeping every row for which this holds loses none.

use pulp::{Arch, Simd, WithSimd};

use crate::bank::{Neighbour, insert};
use crate::distance::{ROUNDING, canonical, gamma, relative_error, underflow};
use crate::product::products;

/// Rows of the bank in one matrix product.
pub(crate) const BLOCK: usize = 512;

/// Values looked at together.
const STRIP: usize = 32;

/// Candidates of a query held before they are decided, beyond its k.
const HELD: usize = 256;

/// Some queries, searched together through the blocks of a bank.
pub(crate) struct Tile<'a> {
    queries: &'a [f32],
    dims: usize,
    states: Vec<Query>,
    dots: Vec<f32>,
}

/// What is known of one query's neighbours.
struct Query {
    length: f64,
    /// By how much a canonical distance may reorder true half distances.
    slack: f64,
    /// The k smallest upper bounds of v so far, sorted.
    uppers: Vec<f64>,
    /// Rows that may be among the k best, with the lower bounds of v.
    held: Vec<(f64, usize)>,
    /// The k best of the rows already decided.
    best: Vec<Neighbour>,
}

impl<'a> Tile<'a> {
    /// A search for the `k` nearest rows of each of `queries` [q, dims] with their `lengths` [q].
    pub(crate) fn new(
        queries: &'a [f32],
        lengths: &[f64],
        dims: usize,
        k: usize,
        block_lengths: &[f64],
    ) -> Self {
        let longest = block_lengths.iter().copied().fold(0.0, f64::max);
        let d = relative_error(dims);
        let states = lengths
            .iter()
            .map(|&length| Query {
                length,
                slack: 1.01 * (d / (1.0 - d) * (length + longest).powi(2) + 2.0 * underflow(dims)),
                uppers: vec![f64::INFINITY; k],
                held: Vec::new(),
                best: vec![Neighbour { squared: f32::INFINITY, row: usize::MAX }; k],
            })
            .collect();
        Self { queries, dims, states, dots: Vec::new() }
    }

    /// Looks at the block of `rows` that starts at row `start` of `bank`; none is longer than `longest`.
    pub(crate) fn visit(
        &mut self,
        bank: &[f32],
        rows: &[f32],
        half_squares: &[f32],
        start: usize,
        longest: f64,
    ) {
        let count = half_squares.len();
        self.dots.resize(count * self.states.len(), 0.0);
        products(rows, self.queries, self.dims, &mut self.dots);
        for (i, (state, dots)) in self.states.iter_mut().zip(self.dots.chunks_exact(count)).enumerate() {
            let error = error_bound(self.dims, state.length, longest);
            let query = &self.queries[i * self.dims..][..self.dims];
            let offer = Offer { bank, query, start, error };
            Arch::new().dispatch(Scan { half_squares, dots, state, offer });
        }
    }

    /// The neighbours of each query, nearest first, into `found` [q, k].
    pub(crate) fn finish(mut self, bank: &[f32], found: &mut [Neighbour]) {
        let k = found.len() / self.states.len().max(1);
        for (i, (state, found)) in self.states.iter_mut().zip(found.chunks_exact_mut(k)).enumerate() {
            state.drop_hopeless();
            state.decide(bank, &self.queries[i * self.dims..][..self.dims]);
            found.copy_from_slice(&state.best);
        }
    }
}

/// E of the module's heading.
fn error_bound(dims: usize, query: f64, longest: f64) -> f64 {
    1.01 * (gamma(dims as f64 + 2.0) * query * longest + 1.5 * ROUNDING * longest * longest + underflow(dims))
}

/// Where the values of a scan belong.
struct Offer<'a> {
    bank: &'a [f32],
    query: &'a [f32],
    start: usize,
    error: f64,
}

impl Query {
    /// The greatest v of a row that may still be among the k best, rounded up.
    fn cut(&self, error: f64) -> f32 {
        let cut = self.uppers.last().copied().unwrap_or(f64::INFINITY) + self.slack + error;
        let rounded = cut as f32;
        if f64::from(rounded) < cut { rounded.next_up() } else { rounded }
    }

    /// Takes in the row at `offset` of the offered block; returns the new cut.
    #[cold]
    #[inline(never)]
    fn take(&mut self, offset: usize, v: f32, offer: &Offer) -> f32 {
        let v = f64::from(v);
        self.held.push((v - offer.error, offer.start + offset));
        let upper = v + offer.error;
        if self.uppers.last().is_some_and(|&last| upper < last) {
            let place = self.uppers.partition_point(|&x| x < upper);
            self.uppers[place..].rotate_right(1);
            self.uppers[place] = upper;
        }
        if self.held.len() >= HELD + self.uppers.len() {
            self.drop_hopeless();
            if self.held.len() > HELD / 2 {
                self.decide(offer.bank, offer.query);
            }
        }
        self.cut(offer.error)
    }

    fn drop_hopeless(&mut self) {
        let limit = self.uppers.last().copied().unwrap_or(f64::INFINITY) + self.slack;
        self.held.retain(|&(lower, _)| lower <= limit);
    }

    /// Compares the query with the rows held.
    fn decide(&mut self, bank: &[f32], query: &[f32]) {
        Arch::new().dispatch(Decide { bank, query, held: &self.held, best: &mut self.best });
        self.held.clear();
    }
}

struct Decide<'a> {
    bank: &'a [f32],
    query: &'a [f32],
    held: &'a [(f64, usize)],
    best: &'a mut [Neighbour],
}

impl WithSimd for Decide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let dims = self.query.len();
        for &(_, row) in self.held {
            let squared = canonical(self.query, &self.bank[row * dims..][..dims]);
            insert(self.best, Neighbour { squared, row });
        }
    }
}

/// A walk over the values of one query and one block.
struct Scan<'a> {
    half_squares: &'a [f32],
    dots: &'a [f32],
    state: &'a mut Query,
    offer: Offer<'a>,
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Scan { half_squares, dots, state, offer } = self;
        let mut cut = state.cut(offer.error);
        let (halves, halves_rest) = half_squares.as_chunks::<STRIP>();
        let (strips, dots_rest) = dots.as_chunks::<STRIP>();
        for (i, (half, dots)) in halves.iter().zip(strips).enumerate() {
            let mut any = false;
            for l in 0..STRIP {
                any |= half[l] - dots[l] <= cut;
            }
            if any {
                for l in 0..STRIP {
                    let v = half[l] - dots[l];
                    if v <= cut {
                        cut = state.take(i * STRIP + l, v, &offer);
                    }
                }
            }
        }
        let done = halves.len() * STRIP;
        for (l, (half, dot)) in halves_rest.iter().zip(dots_rest).enumerate() {
            if half - dot <= cut {
                cut = state.take(done + l, half - dot, &offer);
            }
        }
    }
}
