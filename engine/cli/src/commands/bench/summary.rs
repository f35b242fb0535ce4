//! What the trials of a recipe come to: mean and spread by category, and the mean over categories.

use super::trial::Record;
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures that are summed up, by the name they have in `assay eval --json`.
const FIGURES: [&str; 7] =
    ["image_auroc", "image_auroc_map_max", "pixel_auroc", "au_pro_30", "au_pro_10", "au_pro_05", "au_pro_01"];

/// Mean and spread of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) mean: f64,
    /// Standard deviation of the sample (n - 1); `None` of a single value.
    pub(super) sd: Option<f64>,
    /// Values.
    pub(super) n: usize,
}

impl Spread {
    /// Of some values; `None` where there are none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { mean, sd, n })
    }
}

/// The trials of one category.
#[derive(Debug, Serialize)]
pub(super) struct Category {
    /// Over the seeds, by figure; a figure that the scans do not define is left out.
    pub(super) figures: BTreeMap<&'static str, Spread>,
    /// Test scans that could not be inspected, over all seeds: they are in none of the figures.
    pub(super) n_invalid: u64,
    /// One a seed.
    pub(super) runs: Vec<Record>,
}

impl Category {
    pub(super) fn of(runs: Vec<Record>) -> Self {
        let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        let mut add = |name, value: Option<f64>| {
            if let Some(value) = value {
                values.entry(name).or_default().push(value);
            }
        };
        for run in &runs {
            for name in FIGURES {
                add(name, run.figures[name].as_f64());
            }
            add("ms_per_scan", run.figures["ms_per_scan"]["p50"].as_f64());
            add("fit_seconds", Some(run.fit_seconds));
            add("fit_peak_mb", run.fit_peak_mb);
            add("eval_peak_mb", run.eval_peak_mb);
        }
        let figures = values.into_iter().filter_map(|(name, v)| Some((name, Spread::of(&v)?))).collect();
        let n_invalid = runs.iter().filter_map(|r| r.figures["n_invalid"].as_u64()).sum();
        Self { figures, n_invalid, runs }
    }
}

/// A category, or one seed of it, that could not be done.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) category: String,
    /// `None`: before any fit.
    pub(super) seed: Option<u64>,
    pub(super) error: String,
}

/// All trials of a recipe.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The recipe's file name.
    pub(super) recipe: String,
    /// The recipe's name.
    pub(super) name: String,
    pub(super) recipe_sha256: String,
    pub(super) runtime: String,
    pub(super) categories: BTreeMap<String, Category>,
    /// Mean over the categories' means, by figure; its `n` counts categories.
    pub(super) mean: BTreeMap<&'static str, Spread>,
    pub(super) failed: Vec<Failure>,
}

impl Summary {
    /// Completes the mean over the categories.
    pub(super) fn with_mean(mut self) -> Self {
        let mut means: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (name, spread) in self.categories.values().flat_map(|c| &c.figures) {
            means.entry(name).or_default().push(spread.mean);
        }
        self.mean = means.into_iter().filter_map(|(name, v)| Some((name, Spread::of(&v)?))).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[2.0]), Some(Spread { mean: 2.0, sd: None, n: 1 }));
        let spread = Spread::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((spread.mean, spread.n), (2.5, 4));
        assert!((spread.sd.unwrap() - (5.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }
}
