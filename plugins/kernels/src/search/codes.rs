//! Short codes of vectors, and what they prove of distances.
//!
//! With m a centre and Q directions (rows; QQ' = I + E, |E| <= h), P the projection on their span, a vector a becomes
//!
//! s(a) = (Q (a - m) / sqrt(1 + h), t(a)),  t(a) = |(I - P) (a - m)|.
//!
//! |s(a) - s(b)| <= |a - b|, for |Q x|^2 <= (1 + h) |P x|^2 and lengths differ by no more than vectors do. The code of a is s(a)
//! over a common step, rounded to integers of 8 bits; its loss is a bound on |s(a) - step * code(a)|. So
//!
//! |a - b| >= step * |code(a) - code(b)| - loss(a) - loss(b).
//!
//! Losses contain what f32 did to the coordinates. With u its rounding, c columns and x = a - m, each computed coordinate is off by
//! at most gamma_(c+2) |Q_j| |x| in any order of summation (Higham, Accuracy and Stability, ch. 3), all together by p = gamma_(c+2) |Q|_F |x|,
//! and t(a)^2 = |x|^2 - |P x|^2 lies between the values that this leaves possible.

use assay_sdk::{Parallel, for_each_chunk};

use super::directions::Directions;
use crate::KernelError;
use crate::distance::{ROUNDING, gamma, relative_error, underflow};
use crate::error::filled;
use crate::product::products;
use crate::rows;

/// Integers of a code go from -LEVELS to LEVELS.
const LEVELS: f64 = 127.0;

/// The coordinates up to so many times their root mean square are coded; the few beyond are cut off, which is a loss of theirs
/// alone, for finer steps of all others.
const REACH: f64 = 3.0;

/// Vectors coded together.
const CODED: usize = 64;

/// Integers in the widest code.
pub(super) const WIDEST: usize = 128;

/// Vectors to codes.
#[derive(Debug, Clone)]
pub(super) struct Coder {
    dims: usize,
    directions: Directions,
    /// What one level stands for.
    step: f64,
    /// Subtracted from t, which is never negative.
    middle: f64,
}

/// A vector's code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code<'a> {
    /// [`Coder::width`] integers.
    pub(super) levels: &'a [i8],
    /// Bound on the distance between what the code stands for and s.
    pub(super) loss: f64,
}

impl Code<'_> {
    /// The sum of their squares.
    pub(super) fn square(&self) -> i32 {
        self.levels.iter().map(|&x| i32::from(x).pow(2)).sum()
    }
}

/// Codes of several vectors.
#[derive(Debug, Clone, Default)]
pub(super) struct Codes {
    /// [n, [`Coder::width`]].
    pub(super) levels: Vec<i8>,
    /// [n].
    pub(super) losses: Vec<f64>,
}

impl Codes {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.losses.len()
    }

    /// The code of vector `i`.
    pub(super) fn get(&self, i: usize) -> Code<'_> {
        let width = self.levels.len() / self.len();
        Code { levels: &self.levels[i * width..][..width], loss: self.losses[i] }
    }
}

/// s of a vector, before it is rounded.
struct Coordinates<'a> {
    along: &'a [f32],
    rest: f64,
    /// Bound on the distance from the true s.
    error: f64,
}

impl Coder {
    /// For `rows` [n, dims].
    pub(super) fn new(rows: &[f32], dims: usize) -> Self {
        let directions = Directions::new(rows, dims, width_for(dims) - 1);
        let mut coder = Self { dims, directions, step: 1.0, middle: 0.0 };
        let n = rows.len() / dims;
        let step = n.div_ceil(4096);
        let sample: Vec<f32> = rows.chunks_exact(dims).step_by(step).flatten().copied().collect();
        let (mut rests, mut squares) = (Vec::new(), 0.0);
        coder.coordinates(&sample, |found| {
            rests.push(found.rest);
            squares += found.along.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        });
        let (least, most) =
            rests.iter().fold((f64::INFINITY, 0f64), |(a, b), &rest| (a.min(rest), b.max(rest)));
        coder.middle = (least + most) / 2.0;
        squares += rests.iter().map(|rest| (rest - coder.middle).powi(2)).sum::<f64>();
        if squares > 0.0 {
            coder.step =
                REACH * (squares / (rests.len() * (coder.directions.count() + 1)) as f64).sqrt() / LEVELS;
        }
        coder
    }

    pub(super) fn dims(&self) -> usize {
        self.dims
    }

    /// Integers in a code: a multiple of 4.
    pub(super) fn width(&self) -> usize {
        (self.directions.count() + 1).next_multiple_of(4)
    }

    /// The codes of `rows` [n, dims], in parallel.
    pub(super) fn encode_all(&self, rows: &[f32], par: &dyn Parallel) -> Result<Codes, KernelError> {
        let parts = rows.len().div_ceil(CODED * self.dims);
        let mut parts = filled("codes of the bank", parts, Codes::default())?;
        for_each_chunk(par, &mut parts, 1, &|i, out| {
            let rows = &rows[i * CODED * self.dims..];
            out[0] = self.encode(&rows[..rows.len().min(CODED * self.dims)]);
        });
        let mut codes = Codes::default();
        for part in parts {
            codes.levels.extend(part.levels);
            codes.losses.extend(part.losses);
        }
        Ok(codes)
    }

    /// The codes of `rows` [n, dims].
    pub(super) fn encode(&self, rows: &[f32]) -> Codes {
        let (n, width) = (rows.len() / self.dims, self.width());
        let mut codes = Codes { levels: vec![0; n * width], losses: Vec::with_capacity(n) };
        let mut levels = codes.levels.chunks_exact_mut(width);
        self.coordinates(rows, |found| {
            if let Some(levels) = levels.next() {
                codes.losses.push(self.round(&found, levels));
            }
        });
        codes
    }

    /// Writes a code's levels; its loss.
    fn round(&self, found: &Coordinates<'_>, levels: &mut [i8]) -> f64 {
        let mut lost = 0.0;
        let rest = found.rest - self.middle;
        for (level, x) in levels.iter_mut().zip(found.along.iter().map(|&x| f64::from(x)).chain([rest])) {
            let nearest = (x / self.step).round().clamp(-LEVELS, LEVELS);
            *level = nearest as i8;
            lost += (x - nearest * self.step).powi(2);
        }
        lost.sqrt() * (1.0 + 1e-9) + found.error
    }

    /// Hands the coordinates of each of `rows` [n, dims] to `each`, in order.
    fn coordinates(&self, rows: &[f32], mut each: impl FnMut(Coordinates<'_>)) {
        let Directions { centre, rows: directions, departure: h, norm } = &self.directions;
        let count = self.directions.count();
        let mut shifted = rows.to_vec();
        for row in shifted.chunks_exact_mut(self.dims) {
            row.iter_mut().zip(centre).for_each(|(x, m)| *x -= m);
        }
        let mut along = vec![0f32; rows.len() / self.dims * count];
        if count > 0 {
            products(directions, &shifted, self.dims, &mut along);
        }
        let factor = gamma(self.dims as f64 + 2.0) * norm * 1.01;
        for (i, row) in shifted.chunks_exact(self.dims).enumerate() {
            let along = &along[i * count..][..count];
            let length = rows::length(row);
            let seen = rows::length(along);
            // Roundings of the shift and of f64, generously.
            let (short, long) = (length * (1.0 - 4.0 * ROUNDING), length * (1.0 + 4.0 * ROUNDING));
            let p = factor * long + (count as f64).sqrt() * underflow(self.dims);
            let (inside, outside) = ((seen - p).max(0.0), seen + p);
            let least = (short * short - outside * outside / (1.0 - h)).max(0.0).sqrt();
            let most = (long * long - inside * inside / (1.0 + h)).max(0.0).sqrt();
            let error = p + 1.01 * h * long + (most - least) / 2.0 + 1e-12 * long;
            each(Coordinates { along, rest: (least + most) / 2.0, error });
        }
    }

    /// The least value that a row's code must reach in a walk ([`super::scan`]), so that all rows are kept whose canonical squared
    /// distance from the vector of `code` may be `reach` or less. `loss` bounds those of the rows.
    pub(super) fn cut(&self, code: Code<'_>, reach: f32, loss: f64) -> i32 {
        if reach == f32::INFINITY {
            return i32::MIN;
        }
        let truth = (f64::from(reach) + underflow(self.dims)) / (1.0 - relative_error(self.dims));
        let levels = (truth.sqrt() + code.loss + loss) / self.step;
        // |code(a)|^2 + |code(b)|^2 - 2 code(a).code(b) <= levels^2, for the code b of a row to be kept.
        let least = (f64::from(code.square()) - levels * levels * (1.0 + 1e-9)) / 2.0;
        (least.floor() - 1.0).clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
    }
}

/// Integers in the codes of vectors of `dims` columns: the coordinates are a random access's worth of bytes, and a longer vector
/// leaves more outside them.
fn width_for(dims: usize) -> usize {
    if dims > 512 { WIDEST } else { WIDEST / 2 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::distance::squared_distance;

    fn values(n: usize, dims: usize, rank: usize, offset: f32, power: i32, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 22) as f32
        };
        (0..n * dims)
            .map(|i| (if i % dims < rank { next() } else { 0.5 } + offset) * 2f32.powi(power))
            .collect()
    }

    proptest! {
        #[test]
        fn no_row_is_cut_that_is_within_reach(
            n in 2usize..80, dims in 1usize..150, rank in 0usize..150, offset in prop_oneof![Just(0f32), Just(1e3f32), Just(-1e6f32)],
            power in -75i32..36, seed in 0u64..10_000,
        ) {
            let rows = values(n, dims, rank, offset, power, seed);
            let queries = values(3, dims, rank, offset + 0.1, power, seed + 1);
            let coder = Coder::new(&rows, dims);
            let (queried, coded) = (coder.encode(&queries), coder.encode(&rows));
            for (i, query) in queries.chunks(dims).enumerate() {
                let code = queried.get(i);
                for (j, row) in rows.chunks(dims).enumerate() {
                    let (other, reach) = (coded.get(j), squared_distance(query, row));
                    let dot: i32 = code.levels.iter().zip(other.levels).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                    let value = dot - other.square() / 2;
                    prop_assert!(value >= coder.cut(code, reach, other.loss), "{value} {reach}");
                }
            }
        }
    }

    #[test]
    fn codes_tell_near_rows_from_far_ones() {
        let rows = values(500, 100, 20, 0.0, 0, 1);
        let coder = Coder::new(&rows, 100);
        let codes = coder.encode(&rows);
        let reach = 0.01;
        let first = codes.get(0);
        let pair = |a: Code<'_>, b: Code<'_>| {
            a.levels.iter().zip(b.levels).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>()
        };
        let kept = (0..codes.len())
            .map(|i| codes.get(i))
            .filter(|&b| pair(first, b) - b.square() / 2 >= coder.cut(first, reach, b.loss))
            .count();
        assert!(kept < 5, "{kept} of 500 rows within a small distance");
    }
}
