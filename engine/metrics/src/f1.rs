//! The best F1 over all thresholds.

use crate::{
    error::MetricError,
    order::Score,
    ranking::{Ranking, Tie},
};

/// The threshold of highest F1; a score at or above it counts as defective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestF1 {
    /// 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall, (0, 1].
    pub f1: f64,
    /// The threshold, in the unit of the scores; always one of the defective scores.
    pub threshold: f64,
    /// TP / (TP + FP) at the threshold, (0, 1].
    pub precision: f64,
    /// TP / (TP + FN) at the threshold, (0, 1].
    pub recall: f64,
}

/// The highest F1 over all thresholds, and the highest threshold that reaches it.
///
/// The threshold is chosen with the labels in hand: it measures separability and is no setting for a line.
///
/// # Errors
/// [`MetricError`] when the lengths differ, there are no scores, all labels are alike or a score is not
/// finite.
pub fn best_f1<S: Score>(scores: &[S], labels: &[bool]) -> Result<BestF1, MetricError> {
    let ranking = Ranking::new(scores, labels)?;
    Ok(best_f1_of_ties::<S, _>(ranking.ties(), ranking.positives.len()))
}

/// Best F1 from the walk over the `positives`, of which there is at least one.
pub(crate) fn best_f1_of_ties<'a, S: Score, P: 'a>(
    ties: impl Iterator<Item = Tie<'a, P, S::Key>>,
    positives: usize,
) -> BestF1 {
    let mut found = 0;
    // F1 = 2 TP / (flagged + positives); fractions are compared by cross products, exactly.
    let (mut best_hits, mut best_flagged, mut best_key) = (0, 0, None);
    for tie in ties {
        found += tie.positives.len();
        let flagged = found + tie.negatives_above + tie.negatives_tied;
        let ours = found as u128 * (best_flagged + positives) as u128;
        if ours > best_hits as u128 * (flagged + positives) as u128 {
            (best_hits, best_flagged, best_key) = (found, flagged, Some(tie.key));
        }
    }
    let hits = best_hits as f64;
    BestF1 {
        f1: 2.0 * hits / (best_flagged + positives) as f64,
        threshold: best_key.map_or(f64::INFINITY, |key| S::from_key(key).into()),
        precision: hits / best_flagged as f64,
        recall: hits / positives as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separable_scores_reach_one_at_the_lowest_defective_score() {
        let best = best_f1(&[0.1_f32, 0.2, 0.5, 0.75], &[false, false, true, true]).unwrap();
        assert_eq!(best, BestF1 { f1: 1.0, threshold: 0.5, precision: 1.0, recall: 1.0 });
    }

    #[test]
    fn of_equal_f1_the_highest_threshold_is_kept() {
        // 1/1 found then 2 of 4: 2/(1+2) = 4/(4+2).
        let best = best_f1(&[4.0, 3.0, 2.0, 1.0], &[true, false, false, true]).unwrap();
        assert_eq!(best.threshold, 4.0);
        assert_eq!(best.f1, 2.0 / 3.0);
        assert_eq!((best.precision, best.recall), (1.0, 0.5));
    }

    proptest! {
        #[test]
        fn no_threshold_does_better(pairs in prop::collection::vec((-5_i8..5, any::<bool>()), 2..60)) {
            let (scores, labels): (Vec<f64>, Vec<bool>) =
                pairs.iter().map(|(s, l)| (f64::from(*s), *l)).unzip();
            prop_assume!(labels.contains(&true) && labels.contains(&false));
            let f1 = |threshold: f64| {
                let flagged = scores.iter().filter(|s| **s >= threshold).count();
                let hits = scores.iter().zip(&labels).filter(|(s, l)| **s >= threshold && **l).count();
                let positives = labels.iter().filter(|l| **l).count();
                2.0 * hits as f64 / (flagged + positives) as f64
            };
            let best = best_f1(&scores, &labels).unwrap();
            prop_assert_eq!(f1(best.threshold), best.f1);
            let no_better = |&t: &f64| f1(t) < best.f1 || (f1(t) == best.f1 && t <= best.threshold);
            prop_assert!(scores.iter().all(no_better));
        }
    }
}
