//! Calibration: the scores of scans that set thresholds and nothing else.

use crate::check;
use crate::decide::judge;
use crate::defect;
use crate::error::{Error, Result};
use crate::inspect::Inspector;
use crate::model::scan_record;
use crate::pipeline::{Known, Pipeline};
use crate::plugin::Services;
use crate::prepare;
use crate::recipe::Recipe;
use crate::threshold::{Budget, Calibration, CalibrationScan, PartialCalibration};
use assay_data::ScanFiles;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scores calibration scans as the line scores its scans, those of which the sensors `without` measured nothing.
///
/// # Errors
/// A scan that cannot be inspected: leaving it out would bend the guarantee, so that is the user's to decide.
pub(crate) fn score_scans(
    recipe: &Recipe,
    pipeline: &Pipeline,
    floor: f32,
    scans: &[ScanFiles],
    without: &[String],
    services: &Services,
) -> Result<Vec<CalibrationScan>> {
    let what = if without.is_empty() {
        "calibration".into()
    } else {
        format!("calibration without {}", without.join(", "))
    };
    let done = AtomicUsize::new(0);
    let score = |files: &ScanFiles| {
        if services.watch.cancelled() {
            return Err(Error::Cancelled);
        }
        let scan = if without.is_empty() {
            prepare::load(recipe, files)?
        } else {
            prepare::load_without(recipe, files, without)?
        };
        let outcome = pipeline.run(&scan, &[pipeline.last(&scan)?], &Known::new(), false)?;
        let judged = judge(recipe, pipeline, floor, &scan, &outcome)?;
        let n = done.fetch_add(1, Ordering::Relaxed) + 1;
        let (fraction, text) = (n as f64 / scans.len() as f64, format!("{n}/{} scans", scans.len()));
        services.watch.progress(&what, fraction, &text);
        let record = scan_record(files)?;
        Ok(CalibrationScan {
            id: record.id,
            sha256: record.sha256,
            score: Some(judged.score),
            map_max: Some(judged.map_max),
            steps: defect::maxima(&pipeline.graph, &defect::own_maps(recipe, pipeline, &scan, &outcome)?),
        })
    };
    services.pool.install(|| scans.par_iter().map(score).collect())
}

/// Thresholds of scans of which each set of sensors that may be missing is: the same guarantee for what is left.
///
/// # Errors
/// As [`score_scans`], and as [`Calibration::new`].
pub(crate) fn partial_calibrations(
    recipe: &Recipe,
    pipeline: &Pipeline,
    floor: f32,
    scans: &[ScanFiles],
    budget: Budget,
    services: &Services,
) -> Result<Vec<PartialCalibration>> {
    let each = pipeline.partials.iter().map(|partial| {
        let missing = pipeline.names(partial);
        let scored = score_scans(recipe, pipeline, floor, scans, &missing, services)?;
        Ok(PartialCalibration { missing, calibration: Calibration::new(budget, scored)? })
    });
    each.collect()
}

impl Inspector {
    /// Sets the thresholds of the model anew from `scans`, or from those that it was calibrated on.
    ///
    /// # Errors
    /// [`Error::Request`] where they are too few, or some were learned from: the guarantee is for parts that the model has
    /// not seen. A scan that cannot be inspected.
    pub fn calibrate(
        &self,
        scans: Option<&[ScanFiles]>,
        budget: Budget,
        services: &Services,
    ) -> Result<(Calibration, Vec<PartialCalibration>)> {
        let manifest = &self.model.manifest;
        let Some(scans) = scans else {
            let anew = |c: &Calibration| Calibration::new(budget, c.scans.clone());
            let partial = manifest.partial.iter().map(|p| {
                Ok(PartialCalibration { missing: p.missing.clone(), calibration: anew(&p.calibration)? })
            });
            return Ok((anew(&manifest.calibration)?, partial.collect::<Result<_>>()?));
        };
        // Before the long part: the number alone may not do.
        budget.check(scans.len())?;
        check::usable(&self.recipe, scans, services)?;
        let (recipe, pipeline, floor) = (&self.recipe, &self.pipeline, manifest.floor);
        let scored = score_scans(recipe, pipeline, floor, scans, &[], services)?;
        let learned: HashMap<&str, &str> =
            manifest.training.iter().map(|s| (s.sha256.as_str(), s.id.as_str())).collect();
        let seen: Vec<(&str, &str)> =
            scored.iter().filter_map(|s| Some((s.id.as_str(), *learned.get(s.sha256.as_str())?))).collect();
        if let Some((id, learned)) = seen.first() {
            return Err(Error::Request(format!(
                "{} of the {} scans were learned by the model (such as {id}, learned as {learned}): thresholds take scans \
                 that it has not seen",
                seen.len(),
                scored.len()
            )));
        }
        let partial = partial_calibrations(recipe, pipeline, floor, scans, budget, services)?;
        Ok((Calibration::new(budget, scored)?, partial))
    }
}
