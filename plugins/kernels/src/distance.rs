//! The squared Euclidean distance, in one canonical order.
//!
//! Every distance that Assay reports comes from here, whichever kernel found the neighbour: 32 lanes
//! hold the columns `l, l + 32, ...` and are added as a tree, 16 + 16 down to 1 + 1. Each operation is
//! a single f32 rounding and nothing is contracted to a fused multiply-add, so the bits are the same
//! on every machine; lanes are independent, so any vector width computes them.

use pulp::{Arch, Simd, WithSimd};

const LANES: usize = 32;

/// Squared distance of two rows of equal length.
///
/// Finite, and at most `f32::MAX / 4`, for rows no longer than 2^60. Columns beyond the shorter row are ignored.
#[must_use]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut out = [0.0];
    let dims = a.len().min(b.len());
    squared_distances(&a[..dims], &b[..dims], &mut out);
    out[0]
}

/// Squared distances of `query` `[c]` to each of `rows` `[n, c]`, row after row, into `out` `[n]`.
///
/// # Panics
/// If `rows` is shorter than `out.len() * query.len()`.
pub fn squared_distances(query: &[f32], rows: &[f32], out: &mut [f32]) {
    assert!(rows.len() >= query.len() * out.len(), "rows shorter than the output asks for");
    Arch::new().dispatch(ToRows { query, rows, out });
}

struct ToRows<'a> {
    query: &'a [f32],
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for ToRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let dims = self.query.len();
        for (i, out) in self.out.iter_mut().enumerate() {
            *out = canonical(self.query, &self.rows[i * dims..][..dims]);
        }
    }
}

/// The definition; inlined, so that a caller under `dispatch` gets its vector width.
///
/// Lanes are indexed by constants alone: otherwise they would live in memory and be added one by one.
#[inline(always)]
pub(crate) fn canonical(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    for (x, y) in a.iter().zip(b) {
        for l in 0..LANES {
            let d = x[l] - y[l];
            lanes[l] += d * d;
        }
    }
    if !a_tail.is_empty() {
        // Lanes past the tail gain zero, which changes no bit of a sum of squares.
        let mut differences = [0f32; LANES];
        for (d, (x, y)) in differences.iter_mut().zip(a_tail.iter().zip(b_tail)) {
            *d = x - y;
        }
        for l in 0..LANES {
            lanes[l] += differences[l] * differences[l];
        }
    }
    let sixteen = halves_added::<LANES, 16>(lanes);
    let eight = halves_added::<16, 8>(sixteen);
    let four = halves_added::<8, 4>(eight);
    let two = halves_added::<4, 2>(four);
    two[0] + two[1]
}

/// One level of the tree: the lower half plus the upper half.
#[inline(always)]
fn halves_added<const N: usize, const HALF: usize>(lanes: [f32; N]) -> [f32; HALF] {
    let mut sums = [0f32; HALF];
    for l in 0..HALF {
        sums[l] = lanes[l] + lanes[l + HALF];
    }
    sums
}

/// Half an ulp of 1: the relative error of one f32 rounding.
pub(crate) const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// `n` roundings in a row: gamma_n = n u / (1 - n u) (Higham, Accuracy and Stability, 3.1).
pub(crate) fn gamma(n: f64) -> f64 {
    n * ROUNDING / (1.0 - n * ROUNDING)
}

/// Relative error of a canonical squared distance: three roundings a term, one a lane addition, five of the tree.
pub(crate) fn relative_error(dims: usize) -> f64 {
    gamma((dims.div_ceil(LANES) + 8) as f64)
}

/// Absolute error by underflow, in a squared distance or a dot product: half the least subnormal a term, doubled.
pub(crate) fn underflow(dims: usize) -> f64 {
    dims as f64 * f64::from(f32::from_bits(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same sum written lane by lane, with no chunks.
    fn by_definition(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes: Vec<f32> = (0..LANES)
            .map(|l| {
                (l..a.len()).step_by(LANES).map(|i| (a[i] - b[i]) * (a[i] - b[i])).fold(0.0, |s, t| s + t)
            })
            .collect();
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            lanes = (0..half).map(|l| lanes[l] + lanes[l + half]).collect();
        }
        lanes[0]
    }

    #[test]
    fn rows_of_no_columns_are_at_distance_zero() {
        assert_eq!(squared_distance(&[], &[]), 0.0);
    }

    proptest! {
        #[test]
        fn bits_follow_the_definition(pairs in prop::collection::vec((-1e6f32..1e6, -1e6f32..1e6), 0..300)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            prop_assert_eq!(squared_distance(&a, &b).to_bits(), by_definition(&a, &b).to_bits());
        }

        #[test]
        fn error_stays_within_the_stated_bound(pairs in prop::collection::vec((-1f32..1.0, -1f32..1.0), 1..300), power in -70i32..55) {
            let scale = 2f32.powi(power);
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().map(|(a, b)| (a * scale, b * scale)).unzip();
            let exact: f64 = a.iter().zip(&b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
            let error = (f64::from(squared_distance(&a, &b)) - exact).abs();
            prop_assert!(error <= relative_error(a.len()) * exact + underflow(a.len()));
        }
    }
}
