//! One Gaussian a position, and the Mahalanobis distance to it, as PaDiM needs them.

use assay_sdk::{Parallel, for_each_chunk};
use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::ArrayView2;
use pulp::Arch;

use crate::KernelError;
use crate::error::{area, expect, filled, reserved};
use crate::triangular::{Factor, Solve, Update};

/// Positions that one index of the parallel loop scores.
const POSITIONS: usize = 32;

/// Values in a packed lower triangle of `dims` rows.
///
/// # Errors
/// A size beyond memory.
pub fn triangle(dims: usize) -> Result<usize, KernelError> {
    Ok(area("covariance", dims, dims.saturating_add(1))? / 2)
}

/// Mean and covariance of every position, taken in one sample at a time (Welford 1962).
///
/// Sums are f64: the 0.01 that is added to the diagonal later is small against feature variances of 10 and more, and
/// f32 sums over some hundred samples would be off by a percent of it. Memory is 8 bytes times `positions` times
/// (d + d(d+1)/2), whatever the number of samples.
#[derive(Debug, Clone)]
pub struct Moments {
    dims: usize,
    counts: Vec<u32>,
    /// For each position its mean [d], then the packed sum of products of deviations.
    records: Vec<f64>,
}

impl Moments {
    /// No samples yet.
    ///
    /// # Errors
    /// No positions or dimensions; no memory.
    pub fn new(positions: usize, dims: usize) -> Result<Self, KernelError> {
        if positions == 0 || dims == 0 {
            return Err(KernelError::TooFew { what: "positions and dimensions of a Gaussian", needed: 1 });
        }
        let record = area("covariances", 1, triangle(dims)?.saturating_add(dims))?;
        let records = filled("covariances", area("covariances", positions, record)?, 0f64)?;
        Ok(Self { dims, counts: filled("covariances", positions, 0)?, records })
    }

    /// How many positions.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.counts.len()
    }

    /// Takes in one sample [positions, d]; positions whose `valid` flag is false are left as they are.
    ///
    /// # Errors
    /// Another shape; a value that is not finite at a valid position.
    pub fn add(
        &mut self,
        sample: ArrayView2<f32>,
        valid: &[bool],
        par: &dyn Parallel,
    ) -> Result<(), KernelError> {
        let sample = checked("sample", sample, valid, self.counts.len(), self.dims)?;
        for (count, _) in self.counts.iter_mut().zip(valid).filter(|(_, valid)| **valid) {
            *count = count.saturating_add(1);
        }
        let (dims, counts) = (self.dims, &self.counts);
        let record = self.records.len() / counts.len();
        for_each_chunk(par, &mut self.records, record, &|i, record| {
            if valid[i] {
                let (mean, products) = record.split_at_mut(dims);
                let sample = &sample[i * dims..][..dims];
                Arch::new().dispatch(Update { sample, count: f64::from(counts[i]), mean, products });
            }
        });
        Ok(())
    }

    /// The Gaussians: covariance over n - 1, plus `epsilon` on the diagonal, factored. A position with
    /// fewer than 2 samples has none.
    ///
    /// With no more samples than dimensions the covariance alone is singular and `epsilon` decides how far
    /// directions that never varied count.
    ///
    /// # Errors
    /// `epsilon` not above zero; a covariance that is not positive definite in f64; no memory.
    pub fn finish(mut self, epsilon: f64, par: &dyn Parallel) -> Result<Gaussians, KernelError> {
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(KernelError::Range { what: "epsilon", range: "above 0 and finite" });
        }
        let (dims, counts) = (self.dims, &self.counts);
        let record = self.records.len() / counts.len();
        for_each_chunk(par, &mut self.records, record, &|i, record| {
            if counts[i] >= 2 {
                let columns = &mut record[dims..];
                Arch::new().dispatch(Factor {
                    dims,
                    scale: 1.0 / f64::from(counts[i] - 1),
                    epsilon,
                    columns,
                });
            }
        });
        let packed = record - dims;
        let mut means = filled("means", area("means", counts.len(), dims)?, 0f32)?;
        let mut factors = filled("factors", area("factors", counts.len(), packed)?, 0f32)?;
        for (position, record) in
            self.records.chunks_exact(record).enumerate().filter(|(i, _)| counts[*i] >= 2)
        {
            let (mean, columns) = record.split_at(dims);
            means[position * dims..][..dims].iter_mut().zip(mean).for_each(|(to, from)| *to = *from as f32);
            let factor = &mut factors[position * packed..][..packed];
            factor.iter_mut().zip(columns).for_each(|(to, from)| *to = *from as f32);
            if factor.iter().any(|x| !x.is_finite()) {
                return Err(KernelError::NotPositiveDefinite { position });
            }
        }
        let valid = counts.iter().map(|&n| n >= 2).collect();
        Ok(Gaussians { dims, valid, means, factors: Factors::Single(factors) })
    }
}

/// How finely Cholesky factors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// f32.
    Single,
    /// IEEE 754 binary16: half the memory, 11 significant bits.
    Half,
}

impl Storage {
    /// Bytes of a value.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Single => size_of::<f32>(),
            Self::Half => size_of::<f16>(),
        }
    }
}

/// Packed lower triangles of all positions, with the reciprocal of the diagonal in its place.
#[derive(Debug, Clone, PartialEq)]
enum Factors {
    Single(Vec<f32>),
    Half(Vec<f16>),
}

impl Factors {
    fn none(storage: Storage, values: usize) -> Result<Self, KernelError> {
        Ok(match storage {
            Storage::Single => Self::Single(reserved("factors", values)?),
            Storage::Half => Self::Half(reserved("factors", values)?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Half(values) => values.len(),
        }
    }

    /// Values `range`, borrowed or converted into `room`.
    fn part<'a>(&'a self, range: std::ops::Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Self::Single(values) => &values[range],
            Self::Half(values) => {
                room.resize(range.len(), 0.0);
                values[range].convert_to_f32_slice(room);
                room
            }
        }
    }

    fn extend(&mut self, more: &[f32]) {
        match self {
            Self::Single(values) => values.extend_from_slice(more),
            Self::Half(values) => {
                let start = values.len();
                values.resize(start + more.len(), f16::ZERO);
                values[start..].convert_from_f32_slice(more);
            }
        }
    }
}

/// Means in f32 and Cholesky factors of all positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussians {
    dims: usize,
    valid: Vec<bool>,
    means: Vec<f32>,
    factors: Factors,
}

impl Gaussians {
    /// No positions yet, and room for `positions` of `dims` dimensions.
    ///
    /// # Errors
    /// No memory.
    pub fn none(dims: usize, positions: usize, storage: Storage) -> Result<Self, KernelError> {
        Ok(Self {
            dims,
            valid: reserved("means", positions)?,
            means: reserved("means", area("means", positions, dims)?)?,
            factors: Factors::none(storage, area("factors", positions, triangle(dims)?)?)?,
        })
    }

    /// Takes in further positions, in this one's storage.
    ///
    /// # Errors
    /// Other dimensions; a factor beyond the range of f16 (65504) where that is the storage.
    pub fn append(&mut self, more: &Self) -> Result<(), KernelError> {
        expect("dimensions of the Gaussians", self.dims, more.dims)?;
        let packed = triangle(self.dims)?;
        let (mut room, mut kept) = (Vec::new(), Vec::new());
        for position in 0..more.valid.len() {
            let factor = more.factors.part(position * packed..(position + 1) * packed, &mut room);
            let start = self.factors.len();
            self.factors.extend(factor);
            let kept = self.factors.part(start..start + packed, &mut kept);
            let mut diagonal = 0;
            let fits = kept.iter().all(|x| x.is_finite())
                && (0..self.dims).all(|j| {
                    let at = diagonal;
                    diagonal += self.dims - j;
                    !more.valid[position] || kept[at] > 0.0
                });
            if !fits {
                return Err(KernelError::HalfRange { position });
            }
        }
        self.valid.extend_from_slice(&more.valid);
        self.means.extend_from_slice(&more.means);
        Ok(())
    }

    /// How finely the factors are kept.
    #[must_use]
    pub fn storage(&self) -> Storage {
        match self.factors {
            Factors::Single(_) => Storage::Single,
            Factors::Half(_) => Storage::Half,
        }
    }
    /// From the parts that [`Self::valid`], [`Self::means`] and [`Self::factors`] gave.
    ///
    /// # Errors
    /// Lengths that disagree; a value that is not finite; a diagonal that is not above zero.
    pub fn from_parts(
        dims: usize,
        valid: Vec<bool>,
        means: Vec<f32>,
        factors: Vec<f32>,
    ) -> Result<Self, KernelError> {
        if valid.is_empty() || dims == 0 {
            return Err(KernelError::TooFew { what: "positions and dimensions of a Gaussian", needed: 1 });
        }
        let packed = triangle(dims)?;
        expect("means", area("means", valid.len(), dims)?, means.len())?;
        expect("factors", area("factors", valid.len(), packed)?, factors.len())?;
        for (position, valid) in valid.iter().enumerate() {
            let mean = &means[position * dims..][..dims];
            let factor = &factors[position * packed..][..packed];
            if mean.iter().chain(factor).any(|x| !x.is_finite()) {
                return Err(KernelError::NotFinite { what: "Gaussian", row: position });
            }
            let mut start = 0;
            for j in 0..dims {
                if *valid && factor[start] <= 0.0 {
                    return Err(KernelError::NotPositiveDefinite { position });
                }
                start += dims - j;
            }
        }
        Ok(Self { dims, valid, means, factors: Factors::Single(factors) })
    }

    /// Dimensions d of each Gaussian.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Which positions have a Gaussian.
    #[must_use]
    pub fn valid(&self) -> &[bool] {
        &self.valid
    }

    /// Means, [positions, d]; zeros where there is none.
    #[must_use]
    pub fn means(&self) -> &[f32] {
        &self.means
    }

    /// Packed factors, [positions, d(d+1)/2], the diagonal's reciprocals in its place, a position at a time; zeros where there is none.
    pub fn factors(&self, mut each: impl FnMut(&[f32])) {
        let packed = self.packed();
        let mut room = Vec::new();
        for position in 0..self.valid.len() {
            each(self.factors.part(position * packed..(position + 1) * packed, &mut room));
        }
    }

    fn packed(&self) -> usize {
        self.factors.len() / self.valid.len().max(1)
    }

    /// |L^-1 (x - mean)| for each position of `sample` [positions, d]; 0 where `valid` is false or there is no Gaussian.
    ///
    /// # Errors
    /// Another shape; a value that is not finite at a valid position; a distance beyond f32.
    pub fn distances(
        &self,
        sample: ArrayView2<f32>,
        valid: &[bool],
        par: &dyn Parallel,
    ) -> Result<Vec<f32>, KernelError> {
        let sample = checked("sample", sample, valid, self.valid.len(), self.dims)?;
        let mut out = filled("distances", self.valid.len(), 0f32)?;
        for_each_chunk(par, &mut out, POSITIONS, &|chunk, out| {
            let first = chunk * POSITIONS;
            let packed = self.packed();
            let (mut z, mut room) = (vec![0f32; self.dims], Vec::new());
            for (position, out) in (first..).zip(out) {
                if valid[position] && self.valid[position] {
                    let at = position * self.dims;
                    let factor = self.factors.part(position * packed..(position + 1) * packed, &mut room);
                    let means = &self.means[at..][..self.dims];
                    z.iter_mut().zip(&sample[at..]).zip(means).for_each(|((z, x), mean)| *z = x - mean);
                    *out = Arch::new().dispatch(Solve { factor, z: &mut z });
                }
            }
        });
        match out.iter().position(|d| !d.is_finite()) {
            Some(row) => Err(KernelError::NotFinite { what: "Mahalanobis distance", row }),
            None => Ok(out),
        }
    }
}

/// The values of `sample` [positions, d], finite wherever they count.
fn checked<'a>(
    what: &'static str,
    sample: ArrayView2<'a, f32>,
    valid: &[bool],
    positions: usize,
    dims: usize,
) -> Result<std::borrow::Cow<'a, [f32]>, KernelError> {
    expect("positions of the sample", positions, sample.nrows())?;
    expect("columns of the sample", dims, sample.ncols())?;
    expect("validity of the sample", positions, valid.len())?;
    for (row, (values, valid)) in sample.outer_iter().zip(valid).enumerate() {
        if *valid && values.iter().any(|x| !x.is_finite()) {
            return Err(KernelError::NotFinite { what, row });
        }
    }
    Ok(match sample.to_slice() {
        Some(values) => values.into(),
        None => sample.iter().copied().collect::<Vec<_>>().into(),
    })
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use ndarray::{Array2, Array3, Axis};
    use proptest::prelude::*;

    use super::*;

    fn samples(n: usize, positions: usize, dims: usize, seed: u64) -> Array3<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Array3::from_shape_simple_fn((n, positions, dims), || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32
        })
    }

    /// (x - mean)^T Sigma^-1 (x - mean) by elimination in f64.
    fn by_elimination(train: &Array2<f64>, x: &[f64], epsilon: f64) -> f64 {
        let (n, d) = train.dim();
        let mean = train.mean_axis(Axis(0)).unwrap();
        let centred = train - &mean;
        let mut a = centred.t().dot(&centred) / (n as f64 - 1.0) + Array2::<f64>::eye(d) * epsilon;
        let mut b: Vec<f64> = x.iter().zip(&mean).map(|(x, m)| x - m).collect();
        let start = b.clone();
        for j in 0..d {
            for i in j + 1..d {
                let f = a[[i, j]] / a[[j, j]];
                for k in j..d {
                    a[[i, k]] -= f * a[[j, k]];
                }
                b[i] -= f * b[j];
            }
        }
        for j in (0..d).rev() {
            for k in j + 1..d {
                b[j] -= a[[j, k]] * b[k];
            }
            b[j] /= a[[j, j]];
        }
        start.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>().sqrt()
    }

    fn fitted(train: &Array3<f32>, valid: &[bool]) -> Gaussians {
        let (_, positions, dims) = train.dim();
        let mut moments = Moments::new(positions, dims).unwrap();
        for sample in train.outer_iter() {
            moments.add(sample, valid, &Serial).unwrap();
        }
        moments.finish(0.01, &Serial).unwrap()
    }

    #[test]
    fn a_position_with_fewer_than_two_samples_has_no_gaussian() {
        let train = samples(3, 2, 4, 1);
        let model = fitted(&train, &[true, false]);
        assert_eq!(model.valid(), [true, false]);
        let far = Array2::from_elem((2, 4), 50f32);
        let distances = model.distances(far.view(), &[true, true], &Serial).unwrap();
        assert!(distances[0] > 10.0);
        assert_eq!(distances[1], 0.0);
    }

    #[test]
    fn nan_counts_only_at_valid_positions() {
        let mut train = samples(1, 2, 2, 1);
        train[[0, 1, 0]] = f32::NAN;
        let mut moments = Moments::new(2, 2).unwrap();
        let sample = train.index_axis(Axis(0), 0);
        moments.add(sample, &[true, false], &Serial).unwrap();
        assert!(matches!(
            moments.add(sample, &[true, true], &Serial),
            Err(KernelError::NotFinite { row: 1, .. })
        ));
    }

    fn factors(model: &Gaussians) -> Vec<f32> {
        let mut all = Vec::new();
        model.factors(|factor| all.extend_from_slice(factor));
        all
    }

    #[test]
    fn positions_taken_in_by_bands_are_the_same_model() {
        let all = samples(9, 5, 6, 4);
        let whole = fitted(&all, &[true; 5]);
        let mut parts = Gaussians::none(6, 5, Storage::Single).unwrap();
        for band in [0..2, 2..5] {
            let train = all.slice(ndarray::s![.., band.clone(), ..]).as_standard_layout().into_owned();
            parts.append(&fitted(&train, &vec![true; band.len()])).unwrap();
        }
        assert_eq!(parts, whole);
    }

    #[test]
    fn half_the_memory_keeps_distances_to_a_part_in_a_thousand() {
        let all = samples(40, 3, 20, 9);
        let whole = fitted(&all, &[true; 3]);
        let mut halves = Gaussians::none(20, 3, Storage::Half).unwrap();
        halves.append(&whole).unwrap();
        let x = samples(1, 3, 20, 77);
        let distances =
            |model: &Gaussians| model.distances(x.index_axis(Axis(0), 0), &[true; 3], &Serial).unwrap();
        for (a, b) in distances(&whole).iter().zip(distances(&halves)) {
            assert!(a != &b && (a - b).abs() < 2e-3 * a, "{a} {b}");
        }
    }

    #[test]
    fn a_factor_beyond_half_floats_is_refused() {
        let huge = samples(4, 1, 2, 1).mapv(|x| x * 1e7);
        let mut halves = Gaussians::none(2, 1, Storage::Half).unwrap();
        let error = halves.append(&fitted(&huge, &[true])).unwrap_err();
        assert_eq!(error, KernelError::HalfRange { position: 0 });
    }

    #[test]
    fn parts_make_the_same_model_and_broken_parts_none() {
        let model = fitted(&samples(5, 3, 4, 2), &[true, true, false]);
        let parts = || (model.dims(), model.valid().to_vec(), model.means().to_vec(), factors(&model));
        let (d, v, m, f) = parts();
        assert_eq!(Gaussians::from_parts(d, v, m, f).unwrap(), model);
        let (d, v, m, mut f) = parts();
        f[0] = -1.0;
        assert!(matches!(
            Gaussians::from_parts(d, v, m, f),
            Err(KernelError::NotPositiveDefinite { position: 0 })
        ));
        let (d, v, mut m, f) = parts();
        m.pop();
        assert!(matches!(Gaussians::from_parts(d, v, m, f), Err(KernelError::Shape { .. })));
    }

    #[test]
    fn an_epsilon_of_zero_is_refused() {
        assert!(Moments::new(1, 1).unwrap().finish(0.0, &Serial).is_err());
    }

    proptest! {
        #[test]
        fn distances_agree_with_elimination(n in 2usize..30, positions in 1usize..4, dims in 1usize..12, seed in 0u64..10_000) {
            let all = samples(n + 1, positions, dims, seed);
            let train = all.slice(ndarray::s![..n, .., ..]).to_owned();
            let valid = vec![true; positions];
            let test = all.index_axis(Axis(0), n);
            let got = fitted(&train, &valid).distances(test, &valid, &Serial).unwrap();
            for (p, &distance) in got.iter().enumerate() {
                let wide = train.index_axis(Axis(1), p).mapv(f64::from);
                let x: Vec<f64> = test.row(p).iter().map(|&x| f64::from(x)).collect();
                let expected = by_elimination(&wide, &x, 0.01);
                prop_assert!((f64::from(distance) - expected).abs() <= 1e-4 * (1.0 + expected), "{distance} {expected}");
            }
        }
    }
}
