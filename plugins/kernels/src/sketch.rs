//! A few numbers for each row whose distance never exceeds that of the rows.
//!
//! A row x becomes the length t of (I - Q'Q)(x - m) and, after it, the coordinates y = Q (x - m) in some principal
//! directions Q, the leading ones first, so that a part of the columns already tells much. Were Q orthonormal,
//! |y_a - y_b|^2 + (t_a - t_b)^2 <= |a - b|^2, for projections shorten and lengths differ by no more than vectors do. Q is
//! so only up to rounding: with h a bound on the eigenvalues of QQ' - I the right side gains the factor 1 + h + h^2. The
//! coordinates are computed in f64 and rounded once, which moves each sketch by at most u |x - m| (1 + small).
//!
//! The directions only decide how much is proven, never what is true, so a rough basis from a part of the rows will do.

use assay_sdk::{Parallel, for_each_chunk};
use pulp::{Arch, Simd, WithSimd};

use crate::KernelError;
use crate::distance::{ROUNDING, gamma, relative_error, underflow};
use crate::error::filled;
use crate::product::dot;

/// Columns of a sketch: one length and principal coordinates.
pub(crate) const WIDTH: usize = 32;
const DIRECTIONS: usize = WIDTH - 1;

/// Rows from which the directions are found.
const SAMPLE: usize = 1024;

/// Rounds of subspace iteration: the leading directions of features stand out after a few.
const ROUNDS: usize = 4;

/// Sketched rows in one index of the parallel loop.
const ROWS: usize = 256;

/// The sketches of all rows.
pub(crate) struct Sketch {
    values: Vec<[f32; WIDTH]>,
    /// By how much rounding may lengthen the distance of two sketches.
    error: f64,
    /// Factor on a squared distance for a basis that is not quite orthonormal.
    stretch: f64,
    dims: usize,
}

impl Sketch {
    /// Sketches `values` [n, dims], finite and of lengths within range, n at least 1.
    pub(crate) fn new(values: &[f32], dims: usize, par: &dyn Parallel) -> Result<Self, KernelError> {
        let basis = Basis::new(values, dims);
        let mut sketches = filled("sketches", values.len() / dims, ([0f32; WIDTH], 0f64))?;
        for_each_chunk(par, &mut sketches, ROWS, &|i, out| {
            let rows = &values[i * ROWS * dims..][..out.len() * dims];
            Arch::new().dispatch(Draw { basis: &basis, rows, out });
        });
        let longest = sketches.iter().map(|s| s.1).fold(0.0, f64::max);
        let h = basis.departure();
        Ok(Self {
            values: sketches.into_iter().map(|s| s.0).collect(),
            error: 2.1 * ROUNDING * longest,
            stretch: 1.0 + h + h * h,
            dims,
        })
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The sketch of row `i`.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &[f32; WIDTH] {
        &self.values[i]
    }

    /// The least squared distance of two sketches that proves the rows' canonical one to be `squared` or more.
    ///
    /// It is to be added up column by column, (a - b)^2 with each operation rounded to f32. Such a sum only grows, so
    /// that of the first columns proves as much.
    pub(crate) fn proof(&self, squared: f32) -> f32 {
        let d = relative_error(self.dims);
        let truth = (f64::from(squared) + underflow(self.dims)) / (1.0 - d);
        let sketched = ((truth * self.stretch).sqrt() + self.error).powi(2);
        // Three roundings a term and one an addition.
        let computed = (sketched * (1.0 + gamma(WIDTH as f64 + 3.0)) + underflow(WIDTH)) * (1.0 + 1e-12);
        (computed as f32).next_up()
    }
}

/// A centre and directions, nearly orthonormal; some may be zero.
struct Basis {
    centre: Vec<f64>,
    directions: Vec<Vec<f64>>,
}

impl Basis {
    /// Leading principal directions of some of the rows, by subspace iteration.
    fn new(values: &[f32], dims: usize) -> Self {
        let n = values.len() / dims;
        let rows: Vec<&[f32]> = values.chunks_exact(dims).step_by(n.div_ceil(SAMPLE)).collect();
        let mut centre = vec![0f64; dims];
        for row in &rows {
            add_scaled(&mut centre, 1.0 / rows.len() as f64, row.iter().map(|&x| f64::from(x)));
        }
        let deviations: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| row.iter().zip(&centre).map(|(&x, m)| f64::from(x) - m).collect())
            .collect();
        // Rows spread over the sample start the iteration.
        let count = DIRECTIONS.min(dims).min(rows.len());
        let mut directions: Vec<Vec<f64>> =
            (0..count).map(|i| deviations[i * deviations.len() / count].clone()).collect();
        orthonormalise(&mut directions);
        for _ in 0..ROUNDS {
            let mut next = vec![vec![0f64; dims]; count];
            for row in &deviations {
                for (next, direction) in next.iter_mut().zip(&directions) {
                    let weight = dot(row, direction);
                    add_scaled(next, weight, row.iter().copied());
                }
            }
            directions = next;
            orthonormalise(&mut directions);
        }
        Self { centre, directions }
    }

    /// A bound on the eigenvalues of QQ' - I over the directions that are not zero (Gershgorin), with the rounding of f64.
    fn departure(&self) -> f64 {
        let rows = self.directions.iter().filter(|d| d.iter().any(|&x| x != 0.0)).enumerate();
        let sums = rows.map(|(i, a)| {
            let others = self.directions.iter().filter(|d| d.iter().any(|&x| x != 0.0)).enumerate();
            others.map(|(j, b)| (dot(a, b) - if i == j { 1.0 } else { 0.0 }).abs()).sum::<f64>()
        });
        sums.fold(0.0, f64::max) + 1e-12
    }
}

/// Gram and Schmidt, twice over for accuracy; a direction that depends on those before it becomes zero.
fn orthonormalise(directions: &mut [Vec<f64>]) {
    for i in 0..directions.len() {
        let (before, rest) = directions.split_at_mut(i);
        let direction = &mut rest[0];
        let start = dot(direction, direction).sqrt();
        for _ in 0..2 {
            for other in &*before {
                let along = dot(direction, other);
                add_scaled(direction, -along, other.iter().copied());
            }
        }
        let length = dot(direction, direction).sqrt();
        let factor = if length > 1e-9 * start { 1.0 / length } else { 0.0 };
        direction.iter_mut().for_each(|x| *x *= factor);
    }
}

#[inline(always)]
fn add_scaled(to: &mut [f64], factor: f64, from: impl Iterator<Item = f64>) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// Sketches of rows, with the lengths of their deviations from the centre.
struct Draw<'a> {
    basis: &'a Basis,
    rows: &'a [f32],
    out: &'a mut [([f32; WIDTH], f64)],
}

impl WithSimd for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Basis { centre, directions } = self.basis;
        let mut rest = vec![0f64; centre.len()];
        for ((sketch, length), row) in self.out.iter_mut().zip(self.rows.chunks_exact(centre.len())) {
            for ((rest, &x), m) in rest.iter_mut().zip(row).zip(centre) {
                *rest = f64::from(x) - m;
            }
            *length = dot(&rest, &rest).sqrt();
            let mut along = [0f64; DIRECTIONS];
            for (along, direction) in along.iter_mut().zip(directions) {
                *along = dot(&rest, direction);
            }
            for (along, direction) in along.iter().zip(directions) {
                add_scaled(&mut rest, -along, direction.iter().copied());
            }
            sketch[0] = dot(&rest, &rest).sqrt() as f32;
            for (value, along) in sketch[1..].iter_mut().zip(along) {
                *value = along as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use proptest::prelude::*;

    use super::*;
    use crate::distance::squared_distance;

    fn sketch_distance(a: &[f32; WIDTH], b: &[f32; WIDTH]) -> f32 {
        a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b))
    }

    proptest! {
        #[test]
        fn a_proof_is_never_wrong(
            n in 2usize..60, c in 1usize..60, rank in 1usize..60, offset in prop_oneof![Just(0f32), Just(1e5f32)],
            power in prop_oneof![Just(0i32), -85i32..40], seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let values: Vec<f32> = (0..n * c).map(|i| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let spread = if i % c < rank { (state >> 40) as f32 / (1u64 << 22) as f32 } else { 0.5 };
                (spread + offset) * 2f32.powi(power)
            }).collect();
            let sketch = Sketch::new(&values, c, &Serial).unwrap();
            for i in 0..n {
                let squared = squared_distance(&values[..c], &values[i * c..][..c]);
                // The greatest distance claimed must not exceed the canonical one.
                let reached = sketch_distance(sketch.row(0), sketch.row(i));
                prop_assert!(reached < sketch.proof(squared.next_up()), "{reached} {squared}");
            }
        }
    }
}
