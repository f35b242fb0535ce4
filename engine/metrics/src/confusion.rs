//! False-reject and escape rates of verdicts.

/// What an inspection said of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted.
    Ok,
    /// Set aside for a person: neither accepted nor rejected.
    Review,
    /// Rejected.
    Ng,
    /// Could not be inspected; neither accepted nor rejected.
    Invalid,
}

/// Counts of verdicts by what the parts truly are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Good parts accepted.
    pub good_ok: u64,
    /// Good parts set aside for a person.
    pub good_review: u64,
    /// Good parts rejected.
    pub good_ng: u64,
    /// Good parts that could not be inspected.
    pub good_invalid: u64,
    /// Defective parts accepted: escapes.
    pub defective_ok: u64,
    /// Defective parts set aside for a person.
    pub defective_review: u64,
    /// Defective parts rejected.
    pub defective_ng: u64,
    /// Defective parts that could not be inspected.
    pub defective_invalid: u64,
}

impl Confusion {
    /// Counts one part.
    pub fn add(&mut self, outcome: Outcome, defective: bool) {
        let count = match (defective, outcome) {
            (false, Outcome::Ok) => &mut self.good_ok,
            (false, Outcome::Review) => &mut self.good_review,
            (false, Outcome::Ng) => &mut self.good_ng,
            (false, Outcome::Invalid) => &mut self.good_invalid,
            (true, Outcome::Ok) => &mut self.defective_ok,
            (true, Outcome::Review) => &mut self.defective_review,
            (true, Outcome::Ng) => &mut self.defective_ng,
            (true, Outcome::Invalid) => &mut self.defective_invalid,
        };
        *count += 1;
    }

    /// Share of the inspected good parts that were rejected, [0, 1]; `None` when none was inspected.
    pub fn false_reject_rate(&self) -> Option<f64> {
        rate(self.good_ng, self.good_ok + self.good_review)
    }

    /// Share of the inspected defective parts that were accepted, [0, 1]; `None` when none was inspected.
    pub fn escape_rate(&self) -> Option<f64> {
        rate(self.defective_ok, self.defective_ng + self.defective_review)
    }

    /// Share of all parts that could not be inspected, [0, 1]; `None` when there are no parts.
    pub fn invalid_rate(&self) -> Option<f64> {
        let good = self.good_ok + self.good_review + self.good_ng;
        let inspected = good + self.defective_ok + self.defective_review + self.defective_ng;
        rate(self.good_invalid + self.defective_invalid, inspected)
    }
}

impl Extend<(Outcome, bool)> for Confusion {
    /// Counts pairs of outcome and whether the part is defective.
    fn extend<I: IntoIterator<Item = (Outcome, bool)>>(&mut self, parts: I) {
        parts.into_iter().for_each(|(outcome, defective)| self.add(outcome, defective));
    }
}

impl FromIterator<(Outcome, bool)> for Confusion {
    fn from_iter<I: IntoIterator<Item = (Outcome, bool)>>(parts: I) -> Self {
        let mut confusion = Self::default();
        confusion.extend(parts);
        confusion
    }
}

fn rate(hits: u64, others: u64) -> Option<f64> {
    let all = hits + others;
    (all > 0).then(|| hits as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_inspected_parts_of_their_class() {
        let confusion: Confusion = [
            (Outcome::Ok, false),
            (Outcome::Ok, false),
            (Outcome::Ok, false),
            (Outcome::Ng, false),
            (Outcome::Invalid, false),
            (Outcome::Ng, true),
            (Outcome::Ok, true),
            (Outcome::Invalid, true),
        ]
        .into_iter()
        .collect();
        assert_eq!(confusion.false_reject_rate(), Some(0.25));
        assert_eq!(confusion.escape_rate(), Some(0.5));
        assert_eq!(confusion.invalid_rate(), Some(0.25));
    }

    #[test]
    fn a_part_set_aside_is_inspected_but_neither_rejected_nor_an_escape() {
        let confusion: Confusion =
            [(Outcome::Review, false), (Outcome::Ng, false), (Outcome::Review, true), (Outcome::Ok, true)]
                .into_iter()
                .collect();
        assert_eq!((confusion.false_reject_rate(), confusion.escape_rate()), (Some(0.5), Some(0.5)));
        assert_eq!(confusion.invalid_rate(), Some(0.0));
    }

    #[test]
    fn a_rate_over_no_parts_is_none() {
        let only_invalid = Confusion { good_invalid: 2, ..Confusion::default() };
        assert_eq!(only_invalid.false_reject_rate(), None);
        assert_eq!(only_invalid.escape_rate(), None);
        assert_eq!(only_invalid.invalid_rate(), Some(1.0));
        assert_eq!(Confusion::default().invalid_rate(), None);
    }
}
