//! Area under the ROC curve.

use crate::{
    error::MetricError,
    order::Score,
    ranking::{Ranking, Tie},
};

/// Area under the ROC curve, [0, 1]: the trapezoid rule over the curve with equal scores merged into one
/// point.
///
/// It equals the probability that a random defective scan (or pixel) scores above a random good one, a tie
/// counting one half (Mann and Whitney 1947; Hanley and McNeil 1982), and is computed as such, in integers.
///
/// # Errors
/// [`MetricError`] when the lengths differ, there are no scores, all labels are alike or a score is not
/// finite.
pub fn auroc<S: Score>(scores: &[S], labels: &[bool]) -> Result<f64, MetricError> {
    let ranking = Ranking::new(scores, labels)?;
    Ok(auroc_of_ties(ranking.ties(), ranking.positives.len(), ranking.negatives.len()))
}

/// AUROC from the walk over the positives, of which there are `positives` against `negatives`.
pub(crate) fn auroc_of_ties<'a, P: 'a, K>(
    ties: impl Iterator<Item = Tie<'a, P, K>>,
    positives: usize,
    negatives: usize,
) -> f64 {
    let half_wins: u128 = ties
        .map(|tie| {
            let below = negatives - tie.negatives_above - tie.negatives_tied;
            tie.positives.len() as u128 * (2 * below + tie.negatives_tied) as u128
        })
        .sum();
    half_wins as f64 / (2 * positives as u128 * negatives as u128) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The Mann-Whitney probability by comparing every pair.
    fn naive(scores: &[f64], labels: &[bool]) -> f64 {
        let of = |label| scores.iter().zip(labels).filter(move |(_, l)| **l == label).map(|(s, _)| *s);
        let wins: f64 = of(true)
            .flat_map(|p| of(false).map(move |n| if p > n { 1.0 } else { 0.5 * f64::from(u8::from(p == n)) }))
            .sum();
        wins / (of(true).count() * of(false).count()) as f64
    }

    #[test]
    fn perfect_order_is_one_reversed_zero_and_equal_scores_one_half() {
        let labels = [false, false, true];
        assert_eq!(auroc(&[0.1, 0.2, 0.3], &labels), Ok(1.0));
        assert_eq!(auroc(&[0.3, 0.2, 0.1], &labels), Ok(0.0));
        assert_eq!(auroc(&[0.2_f32; 3], &labels), Ok(0.5));
    }

    #[test]
    fn both_zeros_tie() {
        assert_eq!(auroc(&[-0.0_f32, 0.0], &[true, false]), Ok(0.5));
    }

    proptest! {
        #[test]
        fn equals_the_mann_whitney_probability_with_many_ties(
            pairs in prop::collection::vec((-4_i8..4, any::<bool>()), 2..60)
        ) {
            let (scores, labels): (Vec<f64>, Vec<bool>) =
                pairs.iter().map(|(s, l)| (f64::from(*s), *l)).unzip();
            prop_assume!(labels.contains(&true) && labels.contains(&false));
            let singles: Vec<f32> = scores.iter().map(|s| *s as f32).collect();
            let expected = naive(&scores, &labels);
            prop_assert!((auroc(&scores, &labels).unwrap() - expected).abs() < 1e-12);
            prop_assert!((auroc(&singles, &labels).unwrap() - expected).abs() < 1e-12);
        }

        #[test]
        fn negated_scores_give_the_complement(
            pairs in prop::collection::vec((any::<f32>(), any::<bool>()), 2..60)
        ) {
            prop_assume!(pairs.iter().all(|(s, _)| s.is_finite()));
            let (scores, labels): (Vec<f32>, Vec<bool>) = pairs.into_iter().unzip();
            prop_assume!(labels.contains(&true) && labels.contains(&false));
            let negated: Vec<f32> = scores.iter().map(|s| -s).collect();
            let sum = auroc(&scores, &labels).unwrap() + auroc(&negated, &labels).unwrap();
            prop_assert!((sum - 1.0).abs() < 1e-12);
        }
    }
}
