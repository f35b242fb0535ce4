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

/// The widest code.
const WIDEST: usize = 128;

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
#[derive(Debug, Clone)]
pub(super) struct Code {
    /// [`Coder::width`] integers.
    pub(super) levels: Vec<i8>,
    /// Bound on the distance between what the code stands for and s.
    pub(super) loss: f64,
}

impl Code {
    /// The sum of their squares.
    pub(super) fn square(&self) -> i32 {
        self.levels.iter().map(|&x| i32::from(x).pow(2)).sum()
    }
}

/// s of a vector, before it is rounded.
struct Coordinates {
    along: Vec<f32>,
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
        let found = coder.coordinates(&sample);
        let rests = found.iter().map(|c| c.rest);
        let (least, most) = rests.fold((f64::INFINITY, 0f64), |(a, b), rest| (a.min(rest), b.max(rest)));
        coder.middle = (least + most) / 2.0;
        let values =
            found.iter().flat_map(|c| c.along.iter().map(|&x| f64::from(x)).chain([c.rest - coder.middle]));
        let squares = values.map(|x| x * x).sum::<f64>();
        if squares > 0.0 {
            coder.step =
                REACH * (squares / (found.len() * (coder.directions.count() + 1)) as f64).sqrt() / LEVELS;
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
    pub(super) fn encode_all(&self, rows: &[f32], par: &dyn Parallel) -> Result<Vec<Code>, KernelError> {
        let none = Code { levels: Vec::new(), loss: 0.0 };
        let mut codes = filled("codes of the bank", rows.len() / self.dims, none)?;
        for_each_chunk(par, &mut codes, CODED, &|i, out| {
            let rows = &rows[i * CODED * self.dims..][..out.len() * self.dims];
            out.iter_mut().zip(self.encode(rows)).for_each(|(to, code)| *to = code);
        });
        Ok(codes)
    }

    /// The codes of `rows` [n, dims].
    pub(super) fn encode(&self, rows: &[f32]) -> Vec<Code> {
        self.coordinates(rows).into_iter().map(|found| self.rounded(&found)).collect()
    }

    fn rounded(&self, found: &Coordinates) -> Code {
        let mut levels = vec![0i8; self.width()];
        let mut lost = 0.0;
        let rest = found.rest - self.middle;
        for (level, x) in levels.iter_mut().zip(found.along.iter().map(|&x| f64::from(x)).chain([rest])) {
            let nearest = (x / self.step).round().clamp(-LEVELS, LEVELS);
            *level = nearest as i8;
            lost += (x - nearest * self.step).powi(2);
        }
        Code { levels, loss: lost.sqrt() * (1.0 + 1e-9) + found.error }
    }

    fn coordinates(&self, rows: &[f32]) -> Vec<Coordinates> {
        let Directions { centre, rows: directions, departure: h, norm } = &self.directions;
        let count = self.directions.count();
        let shifted: Vec<f32> =
            rows.chunks_exact(self.dims).flat_map(|row| row.iter().zip(centre).map(|(x, m)| x - m)).collect();
        let n = rows.len() / self.dims;
        let mut along = vec![0f32; n * count];
        if count > 0 {
            products(directions, &shifted, self.dims, &mut along);
        }
        let factor = gamma(self.dims as f64 + 2.0) * norm * 1.01;
        (0..n)
            .map(|i| {
                let along = along[i * count..][..count].to_vec();
                let length = rows::length(&shifted[i * self.dims..][..self.dims]);
                let seen = rows::length(&along);
                // Roundings of the shift and of f64, generously.
                let (short, long) = (length * (1.0 - 4.0 * ROUNDING), length * (1.0 + 4.0 * ROUNDING));
                let p = factor * long + (count as f64).sqrt() * underflow(self.dims);
                let (inside, outside) = ((seen - p).max(0.0), seen + p);
                let least = (short * short - outside * outside / (1.0 - h)).max(0.0).sqrt();
                let most = (long * long - inside * inside / (1.0 + h)).max(0.0).sqrt();
                let error = p + 1.01 * h * long + (most - least) / 2.0 + 1e-12 * long;
                Coordinates { along, rest: (least + most) / 2.0, error }
            })
            .collect()
    }

    /// The least value that a row's code must reach in a walk ([`super::scan`]), so that all rows are kept whose canonical squared
    /// distance from the vector of `code` may be `reach` or less. `loss` bounds those of the rows.
    pub(super) fn cut(&self, code: &Code, reach: f32, loss: f64) -> i32 {
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
            for (query, code) in queries.chunks(dims).zip(coder.encode(&queries)) {
                for (row, other) in rows.chunks(dims).zip(coder.encode(&rows)) {
                    let reach = squared_distance(query, row);
                    let dot: i32 = code.levels.iter().zip(&other.levels).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                    let value = dot - other.square() / 2;
                    prop_assert!(value >= coder.cut(&code, reach, other.loss), "{value} {reach}");
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
        let pair = |a: &Code, b: &Code| {
            a.levels.iter().zip(&b.levels).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>()
        };
        let kept = codes
            .iter()
            .filter(|b| pair(&codes[0], b) - b.square() / 2 >= coder.cut(&codes[0], reach, b.loss))
            .count();
        assert!(kept < 5, "{kept} of 500 rows within a small distance");
    }
}
