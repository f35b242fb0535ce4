//! Common scales for scores, and thresholds from calibration scans.

use crate::error::{Error, Result};
use crate::recipe::Statistic;
use crate::value::{Data, Value};
use serde::{Deserialize, Serialize};

/// A robust affine scale: (s - median) / (q99 - median) of out-of-fold scores of good scans.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The median.
    pub median: f64,
    /// The 99th percentile minus the median; positive.
    pub spread: f64,
}

impl Scale {
    /// Leaves scores as they are.
    pub const RAW: Self = Self { median: 0.0, spread: 1.0 };

    /// The scale of some scores.
    ///
    /// # Errors
    /// [`Error::Request`] where there are none.
    pub fn of(scores: &mut [f32], what: &str) -> Result<Self> {
        if scores.is_empty() {
            return Err(Error::Request(format!(
                "{what}: the training scans have no valid score to set a scale from"
            )));
        }
        scores.sort_unstable_by(f32::total_cmp);
        let (median, q99) = (quantile(scores, 0.5), quantile(scores, 0.99));
        let (low, high) = (f64::from(scores[0]), f64::from(scores[scores.len() - 1]));
        // Scores that hardly differ would make the scale explode: fall back to their whole range, then to 1.
        let spread = [q99 - median, high - low, 1.0]
            .into_iter()
            .find(|s| *s > 1e-9 * median.abs().max(1e-30))
            .unwrap_or(1.0);
        Ok(Self { median, spread })
    }

    /// A score on the scale.
    pub fn apply(self, score: f64) -> f64 {
        (score - self.median) / self.spread
    }
}

/// The quantile of sorted scores, linear between neighbours.
pub fn quantile(sorted: &[f32], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, rest) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(sorted.len() - 1);
    f64::from(sorted[low]) + rest * (f64::from(sorted[high]) - f64::from(sorted[low]))
}

/// The scales of one scores output: of its patches and of its image score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scales {
    /// Of patch scores.
    pub patch: Scale,
    /// Of image scores.
    pub image: Scale,
}

impl Scales {
    /// Leaves scores as they are.
    pub const RAW: Self = Self { patch: Scale::RAW, image: Scale::RAW };

    /// The scores on the common scale; invalid cells stay 0, which is an ordinary good patch.
    pub fn apply(&self, mut value: Value) -> Value {
        value.image_score = self.image.apply(value.image_score);
        let patch = |s: &mut f32| *s = self.patch.apply(f64::from(*s)) as f32;
        match &mut value.data {
            Data::Grid(grid) => match &grid.valid {
                None => grid.values.map_inplace(patch),
                Some(mask) => {
                    let mut plane = grid.values.index_axis_mut(ndarray::Axis(0), 0);
                    ndarray::Zip::from(&mut plane).and(mask).for_each(|s, &ok| {
                        if ok {
                            patch(s)
                        }
                    });
                }
            },
            Data::Cloud(cloud) => {
                for (i, s) in cloud.values.iter_mut().enumerate() {
                    if cloud.valid.as_ref().is_none_or(|v| v[i]) {
                        patch(s);
                    }
                }
            }
            Data::Image(_) => {}
        }
        value
    }
}

impl Statistic {
    /// The number that decides, of a scan's fused scores and the maximum of its map.
    pub fn of(self, fused: &Value, map_max: f64) -> f64 {
        match self {
            Self::Map => map_max,
            Self::Image => fused.image_score,
        }
    }
}

/// The valid scores of a value.
pub fn valid_scores(value: &Value) -> Vec<f32> {
    match &value.data {
        Data::Grid(g) => match &g.valid {
            None => g.values.iter().copied().collect(),
            Some(mask) => g.values.iter().zip(mask).filter(|(_, ok)| **ok).map(|(s, _)| *s).collect(),
        },
        Data::Cloud(c) => {
            let ok = |i: usize| c.valid.as_ref().is_none_or(|v| v[i]);
            c.values.iter().enumerate().filter(|(i, _)| ok(*i)).map(|(_, s)| *s).collect()
        }
        Data::Image(_) => Vec::new(),
    }
}

/// The split-conformal threshold: with n calibration parts the k-th smallest of their scores, k = ceil((n+1)(1-a)); a part
/// is rejected when its score is greater. Averaged over draws of the calibration parts, a good part is rejected with
/// probability at most a. (Vovk et al. 2005; Angelopoulos and Bates 2023, theorem 1.)
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// A part with a greater score is `ng`.
    pub value: f64,
    /// The rate that the calibration parts can promise: `a`, or 1/(n+1) where they are too few for it.
    pub rate: f64,
    /// Calibration parts.
    pub parts: usize,
}

impl Threshold {
    /// The threshold for a false-reject rate of `rate`.
    ///
    /// # Errors
    /// [`Error::Request`] where there is no calibration score.
    pub fn conformal(scores: &[f64], rate: f64) -> Result<Self> {
        let n = scores.len();
        if n == 0 {
            return Err(Error::Request("there is no calibration scan to set the threshold from".into()));
        }
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        // A hair less, so that (n+1)(1-a) = 19.000000000000004 is not rounded up to 20.
        let k = (((n + 1) as f64 * (1.0 - rate)) - 1e-9).ceil() as usize;
        let reached = if k <= n { rate } else { 1.0 / (n + 1) as f64 };
        Ok(Self { value: sorted[k.clamp(1, n) - 1], rate: reached, parts: n })
    }

    /// Parts that a rate needs at least: 1/a - 1.
    pub fn parts_needed(rate: f64) -> usize {
        (1.0 / rate - 1.0 - 1e-9).ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let s = [0.0, 1.0, 2.0, 4.0];
        assert_eq!((quantile(&s, 0.0), quantile(&s, 0.5), quantile(&s, 1.0)), (0.0, 1.5, 4.0));
    }

    #[test]
    fn a_scale_maps_median_to_0_and_q99_to_1() {
        let mut scores: Vec<f32> = (0..=100).map(|i| i as f32).collect();
        let scale = Scale::of(&mut scores, "x").unwrap();
        assert_eq!((scale.apply(50.0), scale.apply(99.0)), (0.0, 1.0));
    }

    #[test]
    fn equal_scores_still_have_a_scale() {
        assert_eq!(Scale::of(&mut [2.0; 5], "x").unwrap().spread, 1.0);
        assert!(Scale::of(&mut [], "x").is_err());
    }

    #[test]
    fn nineteen_parts_carry_five_percent_and_eighteen_do_not() {
        let scores: Vec<f64> = (0..19).map(f64::from).collect();
        let t = Threshold::conformal(&scores, 0.05).unwrap();
        assert_eq!((t.value, t.rate, t.parts), (18.0, 0.05, 19));
        let few = Threshold::conformal(&scores[..18], 0.05).unwrap();
        assert_eq!((few.value, few.rate), (17.0, 1.0 / 19.0));
        assert_eq!((Threshold::parts_needed(0.05), Threshold::parts_needed(0.01)), (19, 99));
    }

    #[test]
    fn larger_rates_take_lower_scores() {
        let scores: Vec<f64> = (0..99).map(f64::from).collect();
        assert_eq!(Threshold::conformal(&scores, 0.10).unwrap().value, 89.0);
        assert_eq!(Threshold::conformal(&scores, 0.01).unwrap().value, 98.0);
    }
}
