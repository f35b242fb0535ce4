//! The one walk that all ranking metrics share: down the scores of the positives, counting negatives.
//!
//! AUROC, F1 and PRO change their trend only where a positive has its score; between two such scores only
//! negatives pass. So the distinct scores of the (few) positives say everything, and counts are integers.

use crate::{
    error::{MetricError, reserve},
    order::Score,
};

/// All positives of one score, and where they stand among the negatives.
pub(crate) struct Tie<'a, P, K> {
    /// The score's key.
    pub(crate) key: K,
    /// The positives of this score, at least one.
    pub(crate) positives: &'a [P],
    /// Negatives with a higher score.
    pub(crate) negatives_above: usize,
    /// Negatives with this score.
    pub(crate) negatives_tied: usize,
}

/// The distinct scores of the positives, highest first. Both slices are in ascending order of key.
pub(crate) fn ties<'a, P, K: Copy + Ord>(
    mut positives: &'a [P],
    key: impl Fn(&P) -> K,
    mut negatives: &'a [K],
) -> impl Iterator<Item = Tie<'a, P, K>> {
    let mut passed = 0;
    std::iter::from_fn(move || {
        let top = key(positives.last()?);
        let tied = take_last(&mut positives, |p| key(p) == top);
        let above = passed + take_last(&mut negatives, |n| *n > top).len();
        let negatives_tied = take_last(&mut negatives, |n| *n == top).len();
        passed = above + negatives_tied;
        Some(Tie { key: top, positives: tied, negatives_above: above, negatives_tied })
    })
}

/// Splits off the longest end of the slice whose elements all hold.
fn take_last<'a, T>(slice: &mut &'a [T], holds: impl Fn(&T) -> bool) -> &'a [T] {
    let start = slice.iter().rposition(|x| !holds(x)).map_or(0, |i| i + 1);
    let (rest, end) = slice.split_at(start);
    *slice = rest;
    end
}

/// Scores by class, each in ascending order of key; neither is empty.
pub(crate) struct Ranking<S: Score> {
    /// Keys of the scores labelled `true`.
    pub(crate) positives: Vec<S::Key>,
    /// Keys of the scores labelled `false`.
    pub(crate) negatives: Vec<S::Key>,
}

impl<S: Score> Ranking<S> {
    /// Parts scores by label and sorts them.
    ///
    /// # Errors
    /// Lengths that differ, no scores, one class only, a score that is not finite, no memory.
    pub(crate) fn new(scores: &[S], labels: &[bool]) -> Result<Self, MetricError> {
        if scores.len() != labels.len() {
            return Err(MetricError::LabelCount { scores: scores.len(), labels: labels.len() });
        }
        if scores.is_empty() {
            return Err(MetricError::Empty { what: "scores" });
        }
        let defective = labels.iter().filter(|l| **l).count();
        let good = labels.len() - defective;
        if defective == 0 || good == 0 {
            return Err(MetricError::SingleClass { what: "scores", good, defective });
        }
        let (mut positives, mut negatives) = (Vec::new(), Vec::new());
        reserve(&mut positives, defective)?;
        reserve(&mut negatives, good)?;
        for (index, (&score, &label)) in scores.iter().zip(labels).enumerate() {
            let key = score.key().ok_or(MetricError::ScoreNotFinite { index, value: score.into() })?;
            if label { &mut positives } else { &mut negatives }.push(key);
        }
        S::sort(&mut positives)?;
        S::sort(&mut negatives)?;
        Ok(Self { positives, negatives })
    }

    /// The distinct scores of the positives, highest first.
    pub(crate) fn ties(&self) -> impl Iterator<Item = Tie<'_, S::Key, S::Key>> {
        ties(&self.positives, |key| *key, &self.negatives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_come_highest_first_with_the_negatives_above_and_beside_them() {
        let found: Vec<_> = ties(&[2, 5, 5], |p| *p, &[1, 2, 2, 3, 5, 7, 9])
            .map(|t| (t.key, t.positives.len(), t.negatives_above, t.negatives_tied))
            .collect();
        assert_eq!(found, [(5, 2, 2, 1), (2, 1, 4, 2)]);
    }

    #[test]
    fn wrong_input_is_named() {
        let error = |scores: &[f64], labels: &[bool]| Ranking::new(scores, labels).err();
        assert_eq!(error(&[1.0], &[]), Some(MetricError::LabelCount { scores: 1, labels: 0 }));
        assert_eq!(error(&[], &[]), Some(MetricError::Empty { what: "scores" }));
        let single = MetricError::SingleClass { what: "scores", good: 0, defective: 2 };
        assert_eq!(error(&[1.0, 2.0], &[true, true]), Some(single));
        let infinite = MetricError::ScoreNotFinite { index: 1, value: f64::INFINITY };
        assert_eq!(error(&[1.0, f64::INFINITY], &[true, false]), Some(infinite));
        assert!(matches!(
            error(&[f64::NAN, 1.0], &[true, false]),
            Some(MetricError::ScoreNotFinite { index: 0, .. })
        ));
    }
}
