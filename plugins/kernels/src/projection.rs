//! Random projection (Johnson and Lindenstrauss): fewer columns, distances kept within a few percent.

use assay_sdk::{Parallel, for_each_chunk};
use ndarray::{Array2, ArrayView2};
use pulp::{Arch, Simd, WithSimd};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::KernelError;
use crate::error::{area, expect, filled};
use crate::rows::Rows;

/// Columns of the result computed together.
const LANES: usize = 32;

/// Rows that one index of the parallel loop projects.
const ROWS: usize = 64;

/// A Gaussian matrix [c, `dims`] of variance 1/dims.
#[derive(Debug, Clone)]
pub struct Projection {
    matrix: Vec<f32>,
    /// Columns that rows have before, and after.
    from: usize,
    to: usize,
    /// `to`, rounded up to whole lanes.
    width: usize,
}

impl Projection {
    /// From rows of `from` columns to `to`, drawn from `seed`.
    ///
    /// # Errors
    /// `to` of zero or above 65536; no memory.
    pub fn new(from: usize, to: usize, seed: u64) -> Result<Self, KernelError> {
        if to == 0 || to > 1 << 16 {
            return Err(KernelError::Range {
                what: "dimensions of a projection",
                range: "between 1 and 65536",
            });
        }
        let width = to.next_multiple_of(LANES);
        Ok(Self { matrix: gaussian_matrix(from, to, width, seed)?, from, to, width })
    }

    /// `rows` [n, c], projected: [n, dims].
    ///
    /// Each sum runs over the columns in order, without fused multiply-adds, so the bits do not depend on the machine's
    /// vector width or on the threads.
    ///
    /// # Errors
    /// Another width, a value that is not finite, a row longer than 2^60; no memory.
    pub fn apply(&self, rows: ArrayView2<f32>, par: &dyn Parallel) -> Result<Array2<f32>, KernelError> {
        expect("columns of the rows to project", self.from, rows.ncols())?;
        let rows = Rows::new("rows to project", rows)?;
        let Self { matrix, to: dims, width, .. } = self;
        let (dims, width) = (*dims, *width);
        let mut out = filled("projected rows", area("projected rows", rows.len(), dims)?, 0f32)?;
        if !out.is_empty() {
            for_each_chunk(par, &mut out, ROWS * dims, &|i, out| {
                let rows = &rows.values()[i * ROWS * rows.dims()..];
                Arch::new().dispatch(Project { rows, matrix, width, dims, out });
            });
        }
        Array2::from_shape_vec((rows.len(), dims), out).map_err(|_| KernelError::Shape {
            what: "projected rows",
            expected: rows.len() * dims,
            found: 0,
        })
    }
}

/// Standard normal values over sqrt(dims), row-major [c, width]; columns from `dims` on are zero.
fn gaussian_matrix(c: usize, dims: usize, width: usize, seed: u64) -> Result<Vec<f32>, KernelError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut matrix = filled("projection", area("projection", c, width)?, 0f32)?;
    let scale = 1.0 / (dims as f64).sqrt();
    let mut spare = None;
    for row in matrix.chunks_exact_mut(width) {
        for value in &mut row[..dims] {
            *value = (spare.take().unwrap_or_else(|| {
                let (a, b) = normal_pair(&mut random);
                spare = Some(b);
                a
            }) * scale) as f32;
        }
    }
    Ok(matrix)
}

/// Two independent standard normal values (Marsaglia's polar method).
fn normal_pair(random: &mut ChaCha8Rng) -> (f64, f64) {
    // 53 random bits, centred on zero, strictly inside (-1, 1).
    let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 52) as f64 - 1.0;
    loop {
        let (x, y) = (uniform(), uniform());
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            let factor = (-2.0 * s.ln() / s).sqrt();
            return (x * factor, y * factor);
        }
    }
}

struct Project<'a> {
    rows: &'a [f32],
    matrix: &'a [f32],
    width: usize,
    dims: usize,
    out: &'a mut [f32],
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let c = self.matrix.len() / self.width;
        for (i, out) in self.out.chunks_exact_mut(self.dims).enumerate() {
            let row = &self.rows[i * c..][..c];
            for (j, out) in out.chunks_mut(LANES).enumerate() {
                let mut sums = [0f32; LANES];
                for (&x, line) in row.iter().zip(self.matrix.chunks_exact(self.width)) {
                    if let Some(weights) = line[j * LANES..].first_chunk::<LANES>() {
                        for l in 0..LANES {
                            sums[l] += x * weights[l];
                        }
                    }
                }
                out.copy_from_slice(&sums[..out.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;

    use super::*;
    use crate::distance::squared_distance;

    #[test]
    fn distances_are_kept_within_a_few_percent() {
        let rows = Array2::from_shape_fn((40, 300), |(i, j)| ((i * 37 + j * 101) % 23) as f32 - 11.0);
        let small = Projection::new(300, 256, 5).unwrap().apply(rows.view(), &Serial).unwrap();
        let mut ratios = Vec::new();
        for i in 1..40 {
            let full = squared_distance(rows.row(0).to_slice().unwrap(), rows.row(i).to_slice().unwrap());
            let reduced =
                squared_distance(small.row(0).to_slice().unwrap(), small.row(i).to_slice().unwrap());
            if full > 0.0 {
                ratios.push((reduced / full).sqrt());
            }
        }
        let mean = ratios.iter().sum::<f32>() / ratios.len() as f32;
        assert!(
            (mean - 1.0).abs() < 0.05 && ratios.iter().all(|r| (0.8..1.2).contains(r)),
            "{mean} {ratios:?}"
        );
    }

    #[test]
    fn the_seed_decides_the_matrix() {
        let rows = Array2::from_elem((70, 3), 1f32);
        let project = |seed| Projection::new(3, 33, seed).unwrap().apply(rows.view(), &Serial).unwrap();
        let a = project(1);
        assert_eq!(a, project(1));
        assert_ne!(a, project(2));
        assert_eq!(a.row(0), a.row(69));
    }

    #[test]
    fn no_dimensions_are_refused() {
        assert!(Projection::new(1, 0, 1).is_err());
    }
}
