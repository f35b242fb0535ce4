//! Principal directions of a bank, turned so that the coordinates along them spread alike.
//!
//! They decide how much a code tells, never what is found, so an approximation from a part of the rows will do, and f32
//! products whose order of summation is the machine's.

use pulp::Arch;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::product::{dot, products};

/// Rows from which the directions are found.
const SAMPLE: usize = 1024;

/// Rounds of subspace iteration: the leading directions of features stand out after a few.
const ROUNDS: usize = 4;

/// Seed of the turn; any will do.
const SEED: u64 = 0x41_53_53_41_59;

/// A centre and directions through it.
#[derive(Debug, Clone)]
pub(super) struct Directions {
    /// [dims].
    pub(super) centre: Vec<f32>,
    /// [count, dims], orthonormal but for rounding; fewer than asked for where the rows spread along fewer.
    pub(super) rows: Vec<f32>,
    /// A bound on the eigenvalues of QQ' - I, Q the rows.
    pub(super) departure: f64,
    /// Frobenius norm of the rows.
    pub(super) norm: f64,
}

impl Directions {
    /// Of `rows` [n, dims]: the `count` directions, at most `dims`, along which they spread most.
    pub(super) fn new(rows: &[f32], dims: usize, count: usize) -> Self {
        let n = rows.len() / dims;
        let step = n.div_ceil(SAMPLE);
        let sample: Vec<&[f32]> = rows.chunks_exact(dims).step_by(step).collect();
        let mut sums = vec![0f64; dims];
        for row in &sample {
            sums.iter_mut().zip(*row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let centre: Vec<f32> = sums.iter().map(|sum| (sum / sample.len() as f64) as f32).collect();
        let mut deviations: Vec<f32> =
            sample.iter().flat_map(|row| row.iter().zip(&centre).map(|(x, m)| x - m)).collect();
        // Their size does not matter here, and products of values near 1 stay in the range of f32.
        let greatest = deviations.iter().fold(0f32, |greatest, x| greatest.max(x.abs()));
        deviations.iter_mut().for_each(|x| *x = if greatest > 0.0 { *x / greatest } else { 0.0 });
        let across = transposed(&deviations, dims);
        let count = count.min(dims);
        let mut found = noise(count, dims);
        orthonormalise(&mut found, dims, 1);
        let mut along = vec![0f32; count * sample.len()];
        let mut next = vec![0f32; count * dims];
        for round in 1..=ROUNDS {
            let current: Vec<f32> = found.iter().map(|&x| x as f32).collect();
            products(&deviations, &current, dims, &mut along);
            products(&across, &along, sample.len(), &mut next);
            found.iter_mut().zip(&next).for_each(|(to, &x)| *to = f64::from(x));
            orthonormalise(&mut found, dims, if round == ROUNDS { 2 } else { 1 });
        }
        let rows = turned(&found, dims);
        let (departure, norm) =
            (departure(&rows, dims), rows.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt());
        Self { centre, rows, departure, norm }
    }

    /// How many directions.
    pub(super) fn count(&self) -> usize {
        self.rows.len() / self.centre.len()
    }
}

/// [dims, n] of `rows` [n, dims].
fn transposed(rows: &[f32], dims: usize) -> Vec<f32> {
    let n = rows.len() / dims;
    let mut out = vec![0f32; rows.len()];
    for (i, row) in rows.chunks_exact(dims).enumerate() {
        row.iter().enumerate().for_each(|(c, &x)| out[c * n + i] = x);
    }
    out
}

/// [rows, cols] of independent values with mean zero.
fn noise(rows: usize, cols: usize) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    // The sum of four uniform values is near enough to a normal one.
    let mut uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5;
    (0..rows * cols).map(|_| (0..4).map(|_| uniform()).sum()).collect()
}

/// The directions [count, dims] that are not zero, times a random orthogonal matrix: each new one is a mixture of all.
fn turned(directions: &[f64], dims: usize) -> Vec<f32> {
    let directions: Vec<&[f64]> =
        directions.chunks_exact(dims).filter(|direction| direction.iter().any(|&x| x != 0.0)).collect();
    let count = directions.len();
    if count == 0 {
        return Vec::new();
    }
    let mut turn = noise(count, count);
    orthonormalise(&mut turn, count, 2);
    let mut mixed = vec![0f64; count * dims];
    for (mixed, weights) in mixed.chunks_exact_mut(dims).zip(turn.chunks_exact(count)) {
        for (&weight, direction) in weights.iter().zip(&directions) {
            mixed.iter_mut().zip(*direction).for_each(|(to, x)| *to += weight * x);
        }
    }
    mixed.into_iter().map(|x| x as f32).collect()
}

/// Gram and Schmidt, `passes` times over for accuracy; a row that depends on those before it becomes zero.
fn orthonormalise(rows: &mut [f64], dims: usize, passes: usize) {
    Arch::new().dispatch(|| orthonormalise_here(rows, dims, passes));
}

#[inline(always)]
fn orthonormalise_here(rows: &mut [f64], dims: usize, passes: usize) {
    for i in 0..rows.len() / dims {
        let (before, rest) = rows.split_at_mut(i * dims);
        let row = &mut rest[..dims];
        let start = dot(row, row).sqrt();
        for _ in 0..passes {
            for other in before.chunks_exact(dims) {
                let along = dot(row, other);
                row.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
        }
        let length = dot(row, row).sqrt();
        let factor = if length > 1e-6 * start { 1.0 / length } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= factor);
    }
}

/// Gershgorin's bound, with the rounding of f64.
fn departure(rows: &[f32], dims: usize) -> f64 {
    Arch::new().dispatch(|| departure_here(rows, dims))
}

#[inline(always)]
fn departure_here(rows: &[f32], dims: usize) -> f64 {
    let wide: Vec<Vec<f64>> =
        rows.chunks_exact(dims).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let sums = wide.iter().enumerate().map(|(i, a)| {
        wide.iter().enumerate().map(|(j, b)| (dot(a, b) - if i == j { 1.0 } else { 0.0 }).abs()).sum::<f64>()
    });
    sums.fold(0.0, f64::max) + 1e-12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_follow_the_spread_and_are_orthonormal() {
        let dims = 9;
        // Columns 2 and 5 vary, the rest do not.
        let rows: Vec<f32> = (0..300 * dims)
            .map(|i| match i % dims {
                2 => ((i / dims * 37) % 101) as f32,
                5 => ((i / dims * 53) % 89) as f32 * 0.1,
                c => c as f32,
            })
            .collect();
        let found = Directions::new(&rows, dims, 4);
        assert_eq!(found.count(), 2);
        assert!(found.departure < 1e-5, "{}", found.departure);
        for row in found.rows.chunks_exact(dims) {
            let inside = f64::from(row[2]).hypot(f64::from(row[5]));
            assert!((inside - 1.0).abs() < 1e-5, "{row:?}");
        }
    }

    #[test]
    fn equal_rows_have_no_directions() {
        assert_eq!(Directions::new(&[3.0f32; 40], 4, 3).count(), 0);
    }
}
