//! Packed lower triangles: updates, Cholesky factors.
//!
//! A triangle is stored column after column: column j holds rows j..d. Each operation then walks memory in order and
//! works on whole columns, whose elements are independent: any vector width gives the same bits.

use pulp::{Simd, WithSimd};

/// Welford's step for one more sample: the mean and the packed sum of products of deviations.
pub(crate) struct Update<'a> {
    /// The new sample [d].
    pub(crate) sample: &'a [f32],
    /// Samples, this one included.
    pub(crate) count: f64,
    /// Mean [d].
    pub(crate) mean: &'a mut [f64],
    /// Packed sum of products.
    pub(crate) products: &'a mut [f64],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Update { sample, count, mean, products } = self;
        let deviation: Vec<f64> = sample.iter().zip(&*mean).map(|(&x, m)| f64::from(x) - m).collect();
        for (mean, d) in mean.iter_mut().zip(&deviation) {
            *mean += d / count;
        }
        let weight = (count - 1.0) / count;
        let mut rest = products;
        for j in 0..deviation.len() {
            let (column, next) = rest.split_at_mut(deviation.len() - j);
            let d = weight * deviation[j];
            for (product, other) in column.iter_mut().zip(&deviation[j..]) {
                *product += d * other;
            }
            rest = next;
        }
    }
}

/// The Cholesky factor of `scale` times a matrix plus `epsilon` on its diagonal, in place, with the diagonal's
/// reciprocals stored for it; not a number where there is none.
pub(crate) struct Factor<'a> {
    pub(crate) dims: usize,
    pub(crate) scale: f64,
    pub(crate) epsilon: f64,
    /// The packed matrix.
    pub(crate) columns: &'a mut [f64],
}

impl WithSimd for Factor<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for value in &mut *self.columns {
            *value *= self.scale;
        }
        let mut start = 0;
        for j in 0..self.dims {
            self.columns[start] += self.epsilon;
            start += self.dims - j;
        }
        let mut rest = self.columns;
        for j in 0..self.dims {
            let (column, mut later) = rest.split_at_mut(self.dims - j);
            // A pivot not above zero has no real root; NaN marks the position.
            let reciprocal = 1.0 / if column[0] > 0.0 { column[0].sqrt() } else { f64::NAN };
            column[0] = reciprocal;
            for value in &mut column[1..] {
                *value *= reciprocal;
            }
            for k in 1..column.len() {
                let (other, next) = later.split_at_mut(column.len() - k);
                let factor = column[k];
                for (value, l) in other.iter_mut().zip(&column[k..]) {
                    *value -= factor * l;
                }
                later = next;
            }
            rest = &mut rest[self.dims - j..];
        }
    }
}
