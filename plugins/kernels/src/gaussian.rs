//! One Gaussian a position, and the Mahalanobis distance to it, as PaDiM needs them.

use assay_sdk::{Parallel, for_each_chunk};
use half::f16;
use ndarray::ArrayView2;
use pulp::Arch;

use crate::KernelError;
use crate::error::{area, expect, filled, reserved};
use crate::factors::{Factors, LANES, Singles};
use crate::triangular::{Factor, Update};

/// Blocks of positions that one index of the parallel loop scores.
const BLOCKS: usize = 2;

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
    pub fn finish(self, epsilon: f64, par: &dyn Parallel) -> Result<Gaussians, KernelError> {
        let mut gaussians = Gaussians::none(self.dims, self.positions(), Storage::Single)?;
        self.finish_into(&mut gaussians, epsilon, par)?;
        Ok(gaussians)
    }

    /// The same, as further positions of `gaussians`, in their storage.
    ///
    /// # Errors
    /// As [`Self::finish`]; other dimensions; a factor beyond the range of f16 (65504) where that is the storage.
    pub fn finish_into(
        mut self,
        gaussians: &mut Gaussians,
        epsilon: f64,
        par: &dyn Parallel,
    ) -> Result<(), KernelError> {
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(KernelError::Range { what: "epsilon", range: "above 0 and finite" });
        }
        expect("dimensions of the Gaussians", gaussians.dims, self.dims)?;
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
        let values = record - dims;
        // A block at a time: all of the band in f32 would be half as much memory again.
        let most = LANES.min(counts.len());
        let mut means = filled("means", area("means", most, dims)?, 0f32)?;
        let mut factors = filled("factors", area("factors", most, values)?, 0f32)?;
        let valid: Vec<bool> = counts.iter().map(|&n| n >= 2).collect();
        // All are checked before the first is taken in.
        for (i, record) in self.records.chunks_exact(record).enumerate().filter(|(i, _)| valid[*i]) {
            let position = gaussians.valid.len() + i;
            let factor = &mut factors[..values];
            factor.iter_mut().zip(&record[dims..]).for_each(|(to, from)| *to = *from as f32);
            if factor.iter().any(|x| !x.is_finite()) {
                return Err(KernelError::NotPositiveDefinite { position });
            }
            if !gaussians.storage().holds(factor, dims, true) {
                return Err(KernelError::HalfRange { position });
            }
        }
        for (records, valid) in self.records.chunks(LANES * record).zip(valid.chunks(LANES)) {
            let rooms = means.chunks_exact_mut(dims).zip(factors.chunks_exact_mut(values));
            for ((record, valid), (mean, factor)) in records.chunks_exact(record).zip(valid).zip(rooms) {
                let learnt = |x: f64| if *valid { x as f32 } else { 0.0 };
                mean.iter_mut().zip(&record[..dims]).for_each(|(to, from)| *to = learnt(*from));
                factor.iter_mut().zip(&record[dims..]).for_each(|(to, from)| *to = learnt(*from));
            }
            gaussians.take_in(valid, &means[..valid.len() * dims], &factors[..valid.len() * values]);
        }
        Ok(())
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

    /// Whether a packed factor stays finite, and the diagonal of a valid one above zero.
    fn holds(self, factor: &[f32], dims: usize, valid: bool) -> bool {
        let kept = |x: f32| match self {
            Self::Single => x,
            Self::Half => f16::from_f32(x).to_f32(),
        };
        let mut start = 0;
        factor.iter().all(|&x| kept(x).is_finite())
            && (0..dims).all(|j| {
                let at = start;
                start += dims - j;
                !valid || kept(factor[at]) > 0.0
            })
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
    /// Positions that lie abreast in memory; what all take is rounded up to a multiple of it.
    pub const ABREAST: usize = LANES;

    /// No positions yet, and room for `positions` of `dims` dimensions.
    ///
    /// # Errors
    /// No dimensions; no memory.
    pub fn none(dims: usize, positions: usize, storage: Storage) -> Result<Self, KernelError> {
        if dims == 0 {
            return Err(KernelError::TooFew { what: "dimensions of a Gaussian", needed: 1 });
        }
        Ok(Self {
            dims,
            valid: reserved("means", positions)?,
            means: reserved("means", area("means", positions, dims)?)?,
            factors: Factors::none(dims, positions, storage)?,
        })
    }

    /// Takes in further positions, from parts as [`Self::valid`], [`Self::means`] and [`Self::factors`] give them. It is
    /// fastest where [`Self::ABREAST`] positions come at a time.
    ///
    /// # Errors
    /// Lengths that disagree; a value that is not finite; a diagonal that is not above zero; a factor beyond the range of f16
    /// (65504) where that is the storage.
    pub fn extend(&mut self, valid: &[bool], means: &[f32], factors: &[f32]) -> Result<(), KernelError> {
        let packed = triangle(self.dims)?;
        expect("means", area("means", valid.len(), self.dims)?, means.len())?;
        expect("factors", area("factors", valid.len(), packed)?, factors.len())?;
        let parts = means.chunks_exact(self.dims).zip(factors.chunks_exact(packed));
        for (position, (&valid, (mean, factor))) in (self.valid.len()..).zip(valid.iter().zip(parts)) {
            if mean.iter().chain(factor).any(|x| !x.is_finite()) {
                return Err(KernelError::NotFinite { what: "Gaussian", row: position });
            }
            if !Storage::Single.holds(factor, self.dims, valid) {
                return Err(KernelError::NotPositiveDefinite { position });
            }
            if self.storage() == Storage::Half && !Storage::Half.holds(factor, self.dims, valid) {
                return Err(KernelError::HalfRange { position });
            }
        }
        self.take_in(valid, means, factors);
        Ok(())
    }

    /// [`Self::extend`] with what is known to be right.
    fn take_in(&mut self, valid: &[bool], means: &[f32], factors: &[f32]) {
        self.valid.extend_from_slice(valid);
        self.means.extend_from_slice(means);
        self.factors.extend(factors);
    }

    /// How finely the factors are kept.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.factors.storage()
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
    pub fn factors(&self, each: impl FnMut(&[f32])) {
        self.factors.each(each);
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
        let arch = Arch::new();
        for_each_chunk(par, &mut out, BLOCKS * LANES, &|chunk, out| {
            let mut z = vec![Singles([0.0; LANES]); self.dims];
            for (block, out) in (chunk * BLOCKS..).zip(out.chunks_mut(LANES)) {
                let first = block * LANES;
                let counts = |lane: usize| valid[first + lane] && self.valid[first + lane];
                for lane in 0..out.len() {
                    let at = (first + lane) * self.dims..(first + lane + 1) * self.dims;
                    let deviations = sample[at.clone()].iter().zip(&self.means[at]).map(|(x, mean)| x - mean);
                    z.iter_mut().zip(deviations).for_each(|(z, x)| z.0[lane] = x);
                }
                let distances = self.factors.solve(block, &mut z, arch);
                for (lane, out) in out.iter_mut().enumerate().filter(|(lane, _)| counts(*lane)) {
                    *out = distances[lane];
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
    let values: std::borrow::Cow<[f32]> = match sample.to_slice() {
        Some(values) => values.into(),
        None => sample.iter().copied().collect::<Vec<_>>().into(),
    };
    // Without a way out in the middle, this runs in vectors.
    let finite = |values: &[f32]| values.iter().fold(true, |finite, x| finite & x.is_finite());
    for (row, (values, valid)) in values.chunks_exact(dims).zip(valid).enumerate() {
        if *valid && !finite(values) {
            return Err(KernelError::NotFinite { what, row });
        }
    }
    Ok(values)
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

    fn moments(train: &Array3<f32>, valid: &[bool]) -> Moments {
        let (_, positions, dims) = train.dim();
        let mut moments = Moments::new(positions, dims).unwrap();
        for sample in train.outer_iter() {
            moments.add(sample, valid, &Serial).unwrap();
        }
        moments
    }

    fn fitted(train: &Array3<f32>, valid: &[bool]) -> Gaussians {
        moments(train, valid).finish(0.01, &Serial).unwrap()
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
            moments(&train, &vec![true; band.len()]).finish_into(&mut parts, 0.01, &Serial).unwrap();
        }
        assert_eq!(parts, whole);
    }

    #[test]
    fn half_the_memory_keeps_distances_to_a_part_in_a_thousand() {
        let all = samples(40, 3, 20, 9);
        let whole = fitted(&all, &[true; 3]);
        let mut halves = Gaussians::none(20, 3, Storage::Half).unwrap();
        moments(&all, &[true; 3]).finish_into(&mut halves, 0.01, &Serial).unwrap();
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
        let error = moments(&huge, &[true]).finish_into(&mut halves, 0.01, &Serial).unwrap_err();
        assert_eq!(error, KernelError::HalfRange { position: 0 });
    }

    #[test]
    fn parts_make_the_same_model_and_broken_parts_none() {
        let model = fitted(&samples(5, 3, 4, 2), &[true, true, false]);
        let parts = || (model.valid().to_vec(), model.means().to_vec(), factors(&model));
        let made = |(valid, means, factors): (Vec<bool>, Vec<f32>, Vec<f32>)| {
            let mut made = Gaussians::none(4, 3, Storage::Single).unwrap();
            made.extend(&valid, &means, &factors).map(|()| made)
        };
        assert_eq!(made(parts()).unwrap(), model);
        let (v, m, mut f) = parts();
        f[0] = -1.0;
        assert!(matches!(made((v, m, f)), Err(KernelError::NotPositiveDefinite { position: 0 })));
        let (v, mut m, f) = parts();
        m.pop();
        assert!(matches!(made((v, m, f)), Err(KernelError::Shape { .. })));
    }

    #[test]
    fn an_epsilon_of_zero_is_refused() {
        assert!(Moments::new(1, 1).unwrap().finish(0.0, &Serial).is_err());
    }

    proptest! {
        #[test]
        fn distances_agree_with_elimination(
            n in 2usize..30, positions in 1usize..40, dims in 1usize..12, masks: [u64; 2], seed in 0u64..10_000,
        ) {
            let mut all = samples(n + 1, positions, dims, seed);
            let train = all.slice(ndarray::s![..n, .., ..]).to_owned();
            let [learnt, valid] = masks.map(|mask| (0..positions).map(|p| mask >> p & 1 == 1).collect::<Vec<_>>());
            // Cells that are not valid may hold anything.
            for p in (0..positions).filter(|&p| !valid[p]) {
                all[[n, p, 0]] = f32::NAN;
            }
            let test = all.index_axis(Axis(0), n);
            let got = fitted(&train, &learnt).distances(test, &valid, &Serial).unwrap();
            for (p, &distance) in got.iter().enumerate() {
                if !(learnt[p] && valid[p]) {
                    prop_assert_eq!(distance, 0.0);
                    continue;
                }
                let wide = train.index_axis(Axis(1), p).mapv(f64::from);
                let x: Vec<f64> = test.row(p).iter().map(|&x| f64::from(x)).collect();
                let expected = by_elimination(&wide, &x, 0.01);
                prop_assert!((f64::from(distance) - expected).abs() <= 1e-4 * (1.0 + expected), "{distance} {expected}");
            }
        }
    }
}
