//! Common scales for scores, from out-of-fold scores of training scans.

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
}
