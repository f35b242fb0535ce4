//! What a model says about its int8 networks.

use serde::{Deserialize, Serialize};

/// How an int8 network compared with the float32 one that it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quantisation {
    /// Whether the step runs in int8; else in float32.
    pub kept: bool,
    /// SHA-256 of the float32 network.
    pub source_sha256: String,
    /// Layers with weights that compute in int8.
    pub layers: usize,
    /// Layers with weights.
    pub of: usize,
    /// Ids of the training scans that the ranges are of.
    pub shown: Vec<String>,
    /// Ids of the other training scans that both networks were compared on.
    pub held_out: Vec<String>,
    /// What it was held to.
    pub tolerance: Tolerance,
    /// The comparison, for each output in use.
    pub taps: Vec<TapComparison>,
}

/// By how much int8 may differ from float32.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// How far the score of good scans may move, as a share of that of float32.
    pub good: f64,
    /// By how much the separation may fall.
    pub separation: f64,
}

impl Tolerance {
    /// The one that fits hold networks to. Networks that do well (on the public scans of the measurements) move by 1 % and 0.007, or by
    /// 2 % on scans of 64 pixels.
    pub const FIT: Self = Self { good: 0.05, separation: 0.02 };
}

/// A number of each network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Of the float32 network.
    pub f32: f64,
    /// Of the int8 network.
    pub int8: f64,
}

/// The comparison of one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TapComparison {
    /// The output.
    pub tap: String,
    /// Mean score of good scans: of each the mean of its highest hundredth of distances to good patches.
    pub good: Pair,
    /// The share of pairs of a defective and a good patch of which the defective one is the farther from good patches (AUROC).
    pub separation: Pair,
}

impl TapComparison {
    fn is_within(&self, tolerance: Tolerance) -> bool {
        let moved = (self.good.int8 - self.good.f32).abs();
        moved <= tolerance.good * self.good.f32
            && self.separation.int8 >= self.separation.f32 - tolerance.separation
    }
}

impl Quantisation {
    /// The record of a comparison, and its decision. `ids` are those of the scans shown and held out.
    pub(super) fn decide(
        source_sha256: String,
        (layers, of): (usize, usize),
        taps: Vec<TapComparison>,
        (shown, held_out): (Vec<String>, Vec<String>),
    ) -> Self {
        let tolerance = Tolerance::FIT;
        let kept = taps.iter().all(|tap| tap.is_within(tolerance));
        Self { kept, source_sha256, layers, of, shown, held_out, tolerance, taps }
    }

    /// Why int8 was not kept.
    pub fn refusal(&self) -> Option<String> {
        let worst = self.taps.iter().find(|tap| !tap.is_within(self.tolerance)).filter(|_| !self.kept)?;
        let TapComparison { tap, good, separation } = worst;
        Some(format!(
            "int8 changes too much at `{tap}`: good scans score {:.4} instead of {:.4} (at most {} % more or less), defects separate at {:.4} instead of {:.4} (at most {} less)",
            good.int8,
            good.f32,
            100.0 * self.tolerance.good,
            separation.int8,
            separation.f32,
            self.tolerance.separation
        ))
    }

    /// Lines for people.
    pub fn summary(&self) -> Vec<String> {
        let verdict = if self.kept { "int8" } else { "f32, int8 was tried and not kept" };
        let (shown, held_out) = (self.shown.len(), self.held_out.len());
        let mut lines = vec![format!(
            "{verdict}: {} of {} layers, ranges of {shown} scans, compared on {held_out} others",
            self.layers, self.of
        )];
        lines.extend(self.taps.iter().map(|TapComparison { tap, good, separation }| {
            format!(
                "{tap}: good scans score {:.4} (f32 {:.4}), defects separate at {:.4} (f32 {:.4})",
                good.int8, good.f32, separation.int8, separation.f32
            )
        }));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(good: [f64; 2], separation: [f64; 2]) -> Quantisation {
        let pair = |[f32, int8]: [f64; 2]| Pair { f32, int8 };
        let fine = TapComparison { tap: "c2".into(), good: pair([1.0, 1.0]), separation: pair([0.9, 0.9]) };
        let tap = TapComparison { tap: "c3".into(), good: pair(good), separation: pair(separation) };
        Quantisation::decide("00".into(), (3, 4), vec![fine, tap], (vec!["a".into()], vec!["b".into()]))
    }

    #[test]
    fn one_output_beyond_its_tolerance_is_enough_to_refuse() {
        assert!(record([2.0, 2.09], [0.9, 0.881]).kept && record([2.0, 1.91], [0.9, 1.0]).kept);
        for (good, separation) in [
            ([2.0, 2.11], [0.9, 0.9]),
            ([2.0, 1.89], [0.9, 0.9]),
            ([2.0, 2.0], [0.9, 0.879]),
            ([2.0, f64::NAN], [0.9, 0.9]),
            ([0.0, 0.1], [0.9, 0.9]),
        ] {
            let record = record(good, separation);
            assert!(!record.kept && record.refusal().unwrap().contains("`c3`"), "{record:?}");
        }
        assert_eq!(record([2.0, 2.0], [0.9, 0.9]).refusal(), None);
    }
}
