//! Thresholds from calibration scans by split conformal prediction: what a false-reject budget takes, and what it promises.
//!
//! With n calibration parts whose scores were never used for anything else, the threshold is the k-th smallest score. A part
//! exchangeable with them is then rejected with probability at most 1 - k/(n+1), averaged over draws of the calibration
//! parts (Vovk et al. 2005; Angelopoulos and Bates 2023, theorem 1). Given the one calibration that a station has, its own
//! rate follows Beta(n+1-k, k) where scores have no ties, and is smaller where they have (Vovk 2012, proposition 2a).

use crate::error::{Error, Result};
use crate::recipe::{Decide, OnTooFew, keys};
use serde::{Deserialize, Serialize};
use statrs::function::beta::checked_beta_reg;
use std::collections::BTreeMap;

/// The confidence of the bound that is always reported.
pub const BOUND_CONFIDENCE: f64 = 0.95;

/// What is asked of the thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Largest share of good parts that may be rejected, (0, 1).
    pub false_reject_rate: f64,
    /// With which confidence the station's own rate must keep to it; `None`: on average over calibrations.
    pub confidence: Option<f64>,
    /// What happens where the calibration parts are too few.
    pub on_too_few: OnTooFew,
    /// A larger rate: parts between its threshold and that of `false_reject_rate` are for review.
    pub review: Option<f64>,
}

impl From<Decide> for Budget {
    fn from(decide: Decide) -> Self {
        let Decide { false_reject_rate, confidence, on_too_few, review, .. } = decide;
        Self { false_reject_rate, confidence, on_too_few, review }
    }
}

impl Budget {
    /// Puts the budget in the place of the recipe's.
    pub fn apply(self, decide: &mut Decide) {
        let Self { false_reject_rate, confidence, on_too_few, review } = self;
        *decide = Decide { false_reject_rate, confidence, on_too_few, review, ..*decide };
    }

    /// Calibration parts that the budget takes at least: 1/a - 1, or with a confidence c the n of (1-a)^n <= 1-c.
    pub fn parts_needed(&self) -> usize {
        let a = self.false_reject_rate;
        let least = match self.confidence {
            None => 1.0 / a - 1.0,
            Some(c) => (1.0 - c).ln() / (-a).ln_1p(),
        };
        // A hair less, so that 1/0.05 - 1 = 19.000000000000004 is not rounded up to 20.
        ((least - 1e-9).ceil() as usize).max(1)
    }

    /// The smallest rate that `n` calibration parts carry, with the budget's confidence if it has one.
    pub fn smallest_rate(&self, n: usize) -> f64 {
        match self.confidence {
            None => 1.0 / (n + 1) as f64,
            Some(c) => 1.0 - (1.0 - c).powf(1.0 / n as f64),
        }
    }

    /// Refuses rates that a recipe could not state.
    ///
    /// # Errors
    /// [`Error::Request`] for a number outside its key's bounds, or a review rate that is not larger.
    pub fn validate(&self) -> Result<()> {
        let rate = self.false_reject_rate;
        let given = [
            ("false-reject rate", Some(rate)),
            ("confidence", self.confidence),
            ("review rate", self.review),
        ];
        for ((what, value), bounds) in given.into_iter().zip(keys::budget_bounds()) {
            if let Some(value) = value.filter(|v| !bounds.contains(v)) {
                let (least, most) = bounds.into_inner();
                return Err(Error::Request(format!("a {what} of {value} is outside {least} ..= {most}")));
            }
        }
        match self.review {
            Some(review) if review <= rate => Err(Error::Request(format!(
                "the review rate of {} must be larger than the false-reject rate of {}",
                percent(review),
                percent(rate)
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a number of calibration parts that cannot carry the budget, unless it says that they may be too few.
    ///
    /// # Errors
    /// [`Error::Request`] that says how many it takes and what else can be done.
    pub fn check(&self, n: usize) -> Result<()> {
        let needed = self.parts_needed();
        if n >= needed || (n > 0 && self.on_too_few == OnTooFew::Warn) {
            return Ok(());
        }
        let confidence =
            self.confidence.map_or_else(String::new, |c| format!(" with {} confidence", percent(c)));
        let rate = percent(self.false_reject_rate);
        let asked = format!("a false-reject rate of {rate}{confidence} takes {needed} calibration scans");
        Err(Error::Request(if n == 0 {
            format!("{asked}, there is none: give good scans that were not learned from")
        } else {
            format!(
                "{asked}, there are {n}: add good scans, or ask for a `false_reject_rate` of {:.4} or more, or set \
                 `on_too_few = \"warn\"` to take the best that {n} can promise",
                ceil4(self.smallest_rate(n))
            )
        }))
    }
}

/// A rate as people read it: 5 %, 0.25 %.
pub fn percent(rate: f64) -> String {
    let text = format!("{:.2}", 100.0 * rate);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Rounded up to four digits, so that a rate that is suggested is one that holds.
fn ceil4(rate: f64) -> f64 {
    (rate * 1e4 - 1e-9).ceil() / 1e4
}

/// A threshold and what it promises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// A part with a greater score is rejected (or, for the review threshold, set aside).
    pub value: f64,
    /// The rate that it promises: the one asked for, or the best that the parts can where they are too few.
    pub rate: f64,
    /// With which confidence; `None`: on average over calibrations.
    pub confidence: Option<f64>,
    /// Calibration parts, n.
    pub parts: usize,
    /// The threshold is their k-th smallest score.
    pub rank: usize,
    /// The station's own rate is at most this with 95 % confidence: the 95 % quantile of Beta(n+1-k, k).
    pub bound: f64,
}

impl Threshold {
    /// The threshold that keeps `rate` on the scores of calibration parts; the highest score where they are too few.
    ///
    /// # Errors
    /// [`Error::Request`] where there is no score, or one is not a number.
    pub fn conformal(scores: &[f64], rate: f64, confidence: Option<f64>) -> Result<Self> {
        let n = scores.len();
        if n == 0 {
            return Err(Error::Request("there is no calibration scan to set the threshold from".into()));
        }
        if scores.iter().any(|s| !s.is_finite()) {
            return Err(Error::Request("a calibration scan has a score that is no number".into()));
        }
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let budget = Budget { false_reject_rate: rate, confidence, on_too_few: OnTooFew::Warn, review: None };
        let (rank, rate) = if n < budget.parts_needed() {
            (n, budget.smallest_rate(n))
        } else {
            (rank(n, rate, confidence), rate)
        };
        Ok(Self { value: sorted[rank - 1], rate, confidence, parts: n, rank, bound: bound(n, rank) })
    }
}

/// The rank k of the threshold among n scores: ceil((n+1)(1-a)), or the smallest with P(Beta(n+1-k, k) <= a) >= c. In 1..=n.
pub(crate) fn rank(n: usize, rate: f64, confidence: Option<f64>) -> usize {
    let average = (((n as f64 + 1.0) * (1.0 - rate)) - 1e-9).ceil() as usize;
    let average = average.clamp(1, n);
    let Some(confidence) = confidence else { return average };
    // The probability grows with k: bisection between a rank that is too low and n, which is enough.
    let (mut low, mut high) = (0, n);
    while high - low > 1 {
        let k = low.midpoint(high);
        if below(n, k, rate) >= confidence - 1e-12 { high = k } else { low = k }
    }
    high
}

/// The probability that the station's own rate is at most `rate` when the threshold is the k-th smallest of n scores.
fn below(n: usize, k: usize, rate: f64) -> f64 {
    checked_beta_reg((n - k) as f64 + 1.0, k as f64, rate.clamp(0.0, 1.0)).unwrap_or(0.0)
}

/// The rate that the station's own is below with [`BOUND_CONFIDENCE`].
pub fn bound(n: usize, k: usize) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..60 {
        let middle = low.midpoint(high);
        if below(n, k, middle) >= BOUND_CONFIDENCE { high = middle } else { low = middle }
    }
    high
}

/// Thresholds of scans of which some sensors measured nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartialCalibration {
    /// Names of the sensors.
    pub missing: Vec<String>,
    /// The thresholds, set by calibration scans scored without them.
    pub calibration: Calibration,
}

/// A calibration scan with the scores that it got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationScan {
    /// Its id.
    pub id: String,
    /// SHA-256 of its files, one after the other in the sensors' order.
    pub sha256: String,
    /// The score that verdicts follow from; `None` in models of format 1, which did not keep it.
    pub score: Option<f64>,
    /// The map's maximum; `None` as above.
    pub map_max: Option<f64>,
    /// The maximum of each detector's own map, by output; empty in models of older programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, f64>,
}

/// Thresholds, and the scans that they rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What was asked for.
    pub budget: Budget,
    /// The verdict: a part with a greater score is `ng`.
    pub image: Threshold,
    /// The lower threshold of the review band, if the budget has one.
    pub review: Option<Threshold>,
    /// The same rule on the maps' maxima: it draws regions.
    pub pixel: Threshold,
    /// The scans, in the order of the data set.
    pub scans: Vec<CalibrationScan>,
}

impl Calibration {
    /// Sets thresholds.
    ///
    /// # Errors
    /// [`Error::Request`] where the scans are too few and the budget does not allow it, or have no scores.
    pub fn new(budget: Budget, scans: Vec<CalibrationScan>) -> Result<Self> {
        budget.validate()?;
        budget.check(scans.len())?;
        let kept = |of: fn(&CalibrationScan) -> Option<f64>| -> Result<Vec<f64>> {
            let scores: Option<Vec<f64>> = scans.iter().map(of).collect();
            scores.ok_or_else(|| {
                Error::Request(
                    "the model was made by an older program, which did not keep the calibration scans' scores: \
                     give the scans again with --data"
                        .into(),
                )
            })
        };
        let (scores, maxima) = (kept(|s| s.score)?, kept(|s| s.map_max)?);
        let (rate, confidence) = (budget.false_reject_rate, budget.confidence);
        Ok(Self {
            budget,
            image: Threshold::conformal(&scores, rate, confidence)?,
            review: budget.review.map(|r| Threshold::conformal(&scores, r, confidence)).transpose()?,
            pixel: Threshold::conformal(&maxima, rate, confidence)?,
            scans,
        })
    }

    /// The threshold of one detector's own map by the same rule; `None` of one that it has no scores of.
    pub fn of_step(&self, output: &str) -> Option<f64> {
        let maxima: Option<Vec<f64>> = self.scans.iter().map(|s| s.steps.get(output).copied()).collect();
        let Budget { false_reject_rate, confidence, .. } = self.budget;
        Threshold::conformal(&maxima?, false_reject_rate, confidence).ok().map(|t| t.value)
    }

    /// What the image threshold promises, for people: one sentence a line.
    pub fn promise(&self) -> Vec<String> {
        let Threshold { value, rate, confidence, parts, rank, bound } = self.image;
        let mut lines = vec![match confidence {
            None => format!(
                "threshold {value:.4}: a good part is rejected with probability at most {}, averaged over calibrations ({parts} calibration scans, rank {rank})",
                percent(rate)
            ),
            Some(c) => format!(
                "threshold {value:.4}: at most {} of good parts are rejected, with {} confidence ({parts} calibration scans, rank {rank})",
                percent(rate),
                percent(c)
            ),
        }];
        lines.push(format!(
            "this station's own rate is at most {} with {} confidence",
            percent(bound),
            percent(BOUND_CONFIDENCE)
        ));
        if let Some(review) = self.review {
            lines.push(format!(
                "review from {:.4}: at most {} of good parts are rejected or set aside",
                review.value,
                percent(review.rate)
            ));
        }
        lines
    }

    /// A warning where the calibration scans were too few for the budget.
    pub fn shortfall(&self) -> Option<String> {
        let (n, needed) = (self.image.parts, self.budget.parts_needed());
        (n < needed).then(|| {
            format!(
                "a false-reject rate of {} takes {needed} calibration scans, there are {n}: the threshold is their highest score, which promises {}",
                percent(self.budget.false_reject_rate),
                percent(self.image.rate)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

    fn budget(rate: f64, confidence: Option<f64>) -> Budget {
        Budget { false_reject_rate: rate, confidence, on_too_few: OnTooFew::Error, review: None }
    }

    fn ramp(n: usize) -> Vec<f64> {
        (1..=n).map(|i| i as f64).collect()
    }

    #[test]
    fn nineteen_parts_carry_five_percent_and_eighteen_do_not() {
        let t = Threshold::conformal(&ramp(19), 0.05, None).unwrap();
        assert_eq!((t.value, t.rate, t.parts, t.rank), (19.0, 0.05, 19, 19));
        let few = Threshold::conformal(&ramp(18), 0.05, None).unwrap();
        assert_eq!((few.value, few.rate), (18.0, 1.0 / 19.0));
        let message = budget(0.05, None).check(18).unwrap_err().to_string();
        assert!(message.contains("takes 19") && message.contains("0.0527"), "{message}");
        assert!(budget(0.05, None).check(19).is_ok() && budget(0.0527, None).check(18).is_ok());
        assert!(Budget { on_too_few: OnTooFew::Warn, ..budget(0.05, None) }.check(18).is_ok());
        assert!(Budget { on_too_few: OnTooFew::Warn, ..budget(0.05, None) }.check(0).is_err());
    }

    #[test]
    fn the_parts_needed_are_those_of_the_published_table() {
        let needed = |rate, confidence| budget(rate, confidence).parts_needed();
        assert_eq!((needed(0.05, None), needed(0.01, None)), (19, 99));
        assert_eq!((needed(0.05, Some(0.95)), needed(0.01, Some(0.95))), (59, 299));
        for (rate, confidence) in [(0.05, 0.95), (0.01, 0.9), (0.2, 0.99), (0.003, 0.5)] {
            let n = needed(rate, Some(confidence));
            // Exactly enough: with all parts the highest score holds, with one fewer it does not.
            assert!(below(n, n, rate) >= confidence && below(n - 1, n - 1, rate) < confidence);
            assert!(budget(rate, Some(confidence)).smallest_rate(n) <= rate);
        }
    }

    #[test]
    fn larger_rates_take_lower_scores_and_confidence_takes_higher_ones() {
        let value = |rate, confidence| Threshold::conformal(&ramp(99), rate, confidence).unwrap().value;
        assert_eq!((value(0.10, None), value(0.01, None)), (90.0, 99.0));
        assert!(value(0.10, Some(0.95)) > value(0.10, None));
        assert_eq!(value(0.10, Some(0.5)), 90.0);
    }

    #[test]
    fn the_bound_of_the_highest_score_is_that_of_its_closed_form() {
        for n in [1_usize, 19, 59, 1000] {
            let expected = 1.0 - 0.05_f64.powf(1.0 / n as f64);
            assert!((bound(n, n) - expected).abs() < 1e-12, "{n}");
        }
        // The median of Beta(1, 1) is 1/2; its 95 % quantile is 0.95.
        assert!((bound(1, 1) - 0.95).abs() < 1e-12);
    }

    #[test]
    fn rates_that_a_recipe_could_not_state_are_refused() {
        let refused = |budget: Budget| budget.validate().unwrap_err().to_string();
        assert!(refused(budget(0.6, None)).contains("outside 0.000001 ..= 0.5"));
        assert!(refused(budget(f64::NAN, None)).contains("NaN"));
        assert!(refused(budget(0.1, Some(1.0))).contains("confidence of 1"));
        assert!(refused(Budget { review: Some(0.1), ..budget(0.2, None) }).contains("larger"));
        assert!(Budget { review: Some(0.3), ..budget(0.2, Some(0.9)) }.validate().is_ok());
    }

    #[test]
    fn scores_that_are_no_numbers_set_no_threshold() {
        assert!(Threshold::conformal(&[1.0, f64::NAN], 0.5, None).is_err());
        assert!(Threshold::conformal(&[], 0.5, None).is_err());
    }

    #[test]
    fn a_review_band_lies_below_the_threshold() {
        let scans = ramp(39).into_iter().enumerate().map(|(i, s)| CalibrationScan {
            id: i.to_string(),
            sha256: String::new(),
            score: Some(s),
            map_max: Some(-s),
            steps: BTreeMap::new(),
        });
        let budget = Budget { review: Some(0.2), ..budget(0.05, None) };
        let calibration = Calibration::new(budget, scans.collect()).unwrap();
        assert_eq!(calibration.image.value, 38.0);
        assert_eq!(calibration.review.unwrap().value, 32.0);
        assert_eq!(calibration.pixel.value, -2.0);
        assert_eq!(calibration.promise().len(), 3);
    }

    /// The true false-reject rates of calibrations on n uniform scores: a threshold t rejects 1 - t of good parts.
    fn simulated(n: usize, rate: f64, confidence: Option<f64>, resamples: usize) -> Vec<(f64, Threshold)> {
        let mut random = ChaCha8Rng::seed_from_u64(n as u64);
        (0..resamples)
            .map(|_| {
                let scores: Vec<f64> =
                    (0..n).map(|_| (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64).collect();
                let threshold = Threshold::conformal(&scores, rate, confidence).unwrap();
                (1.0 - threshold.value, threshold)
            })
            .collect()
    }

    #[test]
    fn over_resamples_the_mean_rate_keeps_the_budget_and_wastes_no_more_than_one_rank() {
        const RESAMPLES: usize = 20_000;
        for n in [19, 23, 99] {
            for rate in [0.05, 0.1, 0.2, 0.5] {
                let runs = simulated(n, rate, None, RESAMPLES);
                let mean = runs.iter().map(|(r, _)| r).sum::<f64>() / RESAMPLES as f64;
                let k = runs[0].1.rank;
                let (a, b) = ((n + 1 - k) as f64, k as f64);
                let deviation = (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt();
                let noise = 4.0 * deviation / (RESAMPLES as f64).sqrt();
                assert!(mean <= rate + noise, "n = {n}, a = {rate}: {mean}");
                // The mean of Beta(n+1-k, k): the rate is not kept by rejecting nothing.
                assert!((mean - a / (a + b)).abs() < noise, "n = {n}, a = {rate}: {mean}");
                assert!(mean > rate - 1.0 / (n + 1) as f64 - noise, "n = {n}, a = {rate}: {mean}");
                // The reported bound holds for 95 % of the stations, and not for many more.
                let within = runs.iter().filter(|(r, t)| *r <= t.bound).count() as f64 / RESAMPLES as f64;
                assert!((within - 0.95).abs() < 4.0 * (0.95 * 0.05 / RESAMPLES as f64).sqrt(), "{within}");
            }
        }
    }

    #[test]
    fn over_resamples_a_confidence_holds_for_the_share_of_stations_that_it_names() {
        const RESAMPLES: usize = 20_000;
        for (n, rate) in [(59, 0.05), (99, 0.05), (99, 0.1), (299, 0.01), (23, 0.2)] {
            for confidence in [0.9, 0.95] {
                if n < budget(rate, Some(confidence)).parts_needed() {
                    continue;
                }
                let runs = simulated(n, rate, Some(confidence), RESAMPLES);
                let kept = runs.iter().filter(|(r, _)| *r <= rate).count() as f64 / RESAMPLES as f64;
                let noise = 4.0 * (confidence * (1.0 - confidence) / RESAMPLES as f64).sqrt();
                assert!(kept >= confidence - noise, "n = {n}, a = {rate}, c = {confidence}: {kept}");
                let k = runs[0].1.rank;
                assert!((kept - below(n, k, rate)).abs() < noise, "n = {n}, a = {rate}: {kept}");
                // One rank lower would not hold.
                assert!(
                    k == 1 || below(n, k - 1, rate) < confidence,
                    "n = {n}, a = {rate}, c = {confidence}"
                );
            }
        }
    }
}
