//! Evaluation of a model on the test scans of a data set.

use crate::error::{Error, Result};
use crate::inspect::{Inspection, Inspector, Verdict};
use assay_data::decode::{self, Encoded};
use assay_data::{DataError, Limits, ScanFiles};
use assay_metrics::{Confusion, MapSet, MetricError, Outcome, auroc, best_f1};
use serde::Serialize;
use std::collections::BTreeMap;

/// Figures of one kind of defect against all good scans.
#[derive(Debug, Clone, Serialize)]
pub struct DefectFigures {
    /// Scans.
    pub n: usize,
    /// Image AUROC of the score that verdicts follow from.
    pub image_auroc: Option<f64>,
    /// AU-PRO up to a false-positive rate of 0.3.
    pub au_pro_30: Option<f64>,
}

/// Median and tails of the time a scan took, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[allow(missing_docs, reason = "percentiles")]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Percentiles {
    /// Of some durations in milliseconds (nearest rank); zeros where there are none.
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_unstable_by(f64::total_cmp);
        let rank =
            |q: f64| times.get(((q * times.len() as f64).ceil() as usize).max(1) - 1).copied().unwrap_or(0.0);
        Self { p50: rank(0.50), p95: rank(0.95), p99: rank(0.99) }
    }
}

/// The figures of an evaluation; `None` where the scans do not define one (no defects, no masks).
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Of the score that verdicts follow from.
    pub image_auroc: Option<f64>,
    /// Official: of the map's maximum.
    pub image_auroc_map_max: Option<f64>,
    /// All pixels pooled.
    pub pixel_auroc: Option<f64>,
    /// AU-PRO up to a false-positive rate of 0.3.
    pub au_pro_30: Option<f64>,
    /// Up to 0.1.
    pub au_pro_10: Option<f64>,
    /// Up to 0.05.
    pub au_pro_05: Option<f64>,
    /// Up to 0.01.
    pub au_pro_01: Option<f64>,
    /// Best F1 of that score over all thresholds.
    pub f1_max: Option<f64>,
    /// Share of good scans that the model rejects.
    pub false_reject_rate: Option<f64>,
    /// Share of defective scans that it passes.
    pub escape_rate: Option<f64>,
    /// Good scans that were scored.
    pub n_good: usize,
    /// Defective scans that were scored.
    pub n_defect: usize,
    /// Scans set aside for a person: neither rejected nor passed.
    pub n_review: usize,
    /// Scans that could not be inspected; they are in none of the figures above.
    pub n_invalid: usize,
    /// Time from files to verdict.
    pub ms_per_scan: Percentiles,
    /// By kind of defect.
    pub by_defect: BTreeMap<String, DefectFigures>,
    /// SHA-256 of the recipe.
    pub recipe_sha256: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// Inference runtime and version.
    pub runtime: String,
    /// Inference device.
    pub device: String,
}

/// One scored test scan, small enough to keep.
struct Scored {
    defect: Option<String>,
    score: f64,
    map_max: f64,
    /// Place in the map sets, where it has a mask or is good.
    labelled: bool,
}

/// What happens to a scan that was inspected, or could not be.
pub type OnScan<'a> = dyn FnMut(usize, &ScanFiles, Result<&Inspection, &Error>) -> Result<()> + 'a;

/// A metric's value, or `None` where the scans do not define it.
fn defined(value: std::result::Result<f64, MetricError>) -> Option<f64> {
    value.ok()
}

/// Scores the test scans one after the other (so that times are those of a line) and computes the official figures.
///
/// # Errors
/// A mask that cannot be used, or an error of `on_scan`; a scan that cannot be inspected is counted, not an error.
pub fn evaluate(inspector: &Inspector, scans: &[ScanFiles], on_scan: &mut OnScan<'_>) -> Result<Figures> {
    // Before hours of work: figures without all masks would be others.
    for scan in scans {
        if let Some(path) = scan.mask.clone().filter(|path| !path.is_file()) {
            let (id, sensor) = (scan.id.clone(), "mask".to_owned());
            return Err(DataError::MissingFile { id, sensor, path }.into());
        }
    }
    let mut all = MapSet::new();
    let mut by_defect: BTreeMap<String, MapSet> =
        scans.iter().filter_map(|s| s.defect.clone()).map(|d| (d, MapSet::new())).collect();
    let (mut scored, mut times, mut confusion) = (Vec::new(), Vec::new(), Confusion::default());
    for (i, files) in scans.iter().enumerate() {
        let defective = files.defect.is_some();
        match inspector.inspect(files) {
            Ok(inspection) => {
                let outcome = match inspection.verdict {
                    Verdict::Ok => Outcome::Ok,
                    Verdict::Review => Outcome::Review,
                    Verdict::Ng => Outcome::Ng,
                    Verdict::Invalid => Outcome::Invalid,
                };
                confusion.add(outcome, defective);
                times.push(inspection.total.as_secs_f64() * 1e3);
                // A cloud has no pixels to label.
                let labelled = inspection.cloud.is_none() && (!defective || files.mask.is_some());
                if labelled {
                    add_map(&mut all, &mut by_defect, files, &inspection, &inspector.recipe.limits)?;
                }
                scored.push(Scored {
                    defect: files.defect.clone(),
                    score: inspection.score,
                    map_max: inspection.map_max,
                    labelled,
                });
                on_scan(i, files, Ok(&inspection))?;
            }
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(e) => {
                confusion.add(Outcome::Invalid, defective);
                on_scan(i, files, Err(&e))?;
            }
        }
    }
    let labels: Vec<bool> = scored.iter().map(|s| s.defect.is_some()).collect();
    let scores: Vec<f64> = scored.iter().map(|s| s.score).collect();
    let maxima: Vec<f64> = scored.iter().map(|s| s.map_max).collect();
    let of_kind = |kind: &str| {
        let (scores, labels): (Vec<f64>, Vec<bool>) = scored
            .iter()
            .filter(|s| s.defect.as_deref().is_none_or(|d| d == kind))
            .map(|s| (s.score, s.defect.is_some()))
            .unzip();
        defined(auroc(&scores, &labels))
    };
    let kinds = by_defect.into_iter().map(|(kind, maps)| {
        let n = scored.iter().filter(|s| s.defect.as_deref() == Some(&kind)).count();
        let au_pro_30 = maps.rank().ok().and_then(|r| defined(r.pro_curve().and_then(|c| c.au_pro(0.3))));
        let figures = DefectFigures { n, image_auroc: of_kind(&kind), au_pro_30 };
        (kind, figures)
    });
    let by_defect = kinds.collect();
    let has_masks = scored.iter().any(|s| s.labelled && s.defect.is_some());
    let ranked = if has_masks { all.rank().ok() } else { None };
    let curve = ranked.as_ref().and_then(|r| r.pro_curve().ok());
    let au_pro = |limit| curve.as_ref().and_then(|c| defined(c.au_pro(limit)));
    Ok(Figures {
        image_auroc: defined(auroc(&scores, &labels)),
        image_auroc_map_max: defined(auroc(&maxima, &labels)),
        pixel_auroc: ranked.as_ref().map(|r| r.pixel_auroc()),
        au_pro_30: au_pro(0.3),
        au_pro_10: au_pro(0.1),
        au_pro_05: au_pro(0.05),
        au_pro_01: au_pro(0.01),
        f1_max: best_f1(&scores, &labels).ok().map(|f| f.f1),
        false_reject_rate: confusion.false_reject_rate(),
        escape_rate: confusion.escape_rate(),
        n_good: labels.iter().filter(|l| !**l).count(),
        n_defect: labels.iter().filter(|l| **l).count(),
        n_review: (confusion.good_review + confusion.defective_review) as usize,
        n_invalid: scans.len() - scored.len(),
        ms_per_scan: Percentiles::of(times),
        by_defect,
        recipe_sha256: inspector.model.manifest.recipe_sha256.clone(),
        model_sha256: inspector.model_sha256.clone(),
        runtime: inspector.runtime.clone(),
        device: inspector.device.clone(),
    })
}

/// Adds a scan's map to the pooled set and to the set of its kind (a good scan: of every kind).
fn add_map(
    all: &mut MapSet,
    by_defect: &mut BTreeMap<String, MapSet>,
    files: &ScanFiles,
    inspection: &Inspection,
    limits: &Limits,
) -> Result<()> {
    let (rows, cols) = inspection.map.dim();
    let mask: Vec<bool> = match &files.mask {
        Some(path) => {
            let mask = decode::mask(&Encoded::read(path, limits)?, limits)?;
            if mask.dim() != (rows, cols) {
                let (r, c) = mask.dim();
                return Err(Error::Request(format!(
                    "the mask {} is {r}x{c}, its scan {rows}x{cols}: they must have one size",
                    path.display()
                )));
            }
            mask.iter().copied().collect()
        }
        None => vec![false; rows * cols],
    };
    let map: Vec<f32> = inspection.map.iter().copied().collect();
    let fail = |e: MetricError| Error::Request(format!("scan {}: {e}", files.id));
    all.add(&map, &mask, rows, cols).map_err(fail)?;
    for (kind, maps) in by_defect.iter_mut() {
        if files.defect.as_ref().is_none_or(|d| d == kind) {
            maps.add(&map, &mask, rows, cols).map_err(fail)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(Percentiles::of(times), Percentiles { p50: 50.0, p95: 95.0, p99: 99.0 });
        assert_eq!(Percentiles::of(vec![3.0]), Percentiles { p50: 3.0, p95: 3.0, p99: 3.0 });
        assert_eq!(Percentiles::of(Vec::new()).p50, 0.0);
    }
}
