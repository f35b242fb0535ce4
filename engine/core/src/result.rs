//! The line of results: what is said of one scan, for machines.

use crate::defect::Defect;
use crate::inspect::{Inspection, Inspector, Verdict};
use crate::threshold::Calibration;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is said of one scan: one JSON object on one line.
///
/// Scores are reported as they are beside the verdict, so that other thresholds can be tried on recorded lines.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ResultLine {
    /// The scan's id.
    pub id: String,
    /// What follows from the score: `ok`, `review` (between the two thresholds of a recipe with `review`), `ng`, or
    /// `invalid`: the scan could not be inspected, which is never ok.
    pub verdict: Verdict,
    /// Why the scan could not be inspected; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Sensors that measured nothing and may be missing: steps that need them were left out, and the thresholds are those of
    /// scans without them. Absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The number that the verdict follows from; absent for an invalid scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// A part with a greater score is `ng`.
    pub threshold: f64,
    /// A part with a greater score, up to `threshold`, is for `review`; absent where the recipe has no such band.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_threshold: Option<f64>,
    /// The map's maximum; absent for an invalid scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_max: Option<f64>,
    /// Regions are where the map is greater.
    pub pixel_threshold: f64,
    /// Image score of each step that makes scores, as its method made it, by `step` or `step.output`.
    pub steps: BTreeMap<String, f64>,
    /// Where the map exceeds the pixel threshold, by falling peak.
    pub defects: Vec<Defect>,
    /// Milliseconds: `load` (decoding and preparation), each step, `map`, and `total` from files to verdict.
    pub ms: BTreeMap<String, f64>,
    /// The recipe's number, if it has one.
    pub recipe: Option<i64>,
    /// The recipe's station, or an empty string.
    pub station: String,
    /// SHA-256 of the recipe's text.
    pub recipe_sha256: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// Version of each plugin method in use, by method.
    pub plugins: BTreeMap<String, String>,
    /// Version of the program.
    pub program: String,
}

impl ResultLine {
    /// The line of an inspected scan.
    pub fn of(inspector: &Inspector, inspection: &Inspection) -> Self {
        let ms = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        let mut times: BTreeMap<String, f64> =
            inspection.times.iter().map(|(name, time)| (name.clone(), ms(*time))).collect();
        times.insert("total".into(), ms(inspection.total));
        let manifest = &inspector.model.manifest;
        let thresholds = inspector.calibration(&inspection.missing).unwrap_or(&manifest.calibration);
        Self {
            verdict: inspection.verdict,
            missing: inspection.missing.clone(),
            score: Some(inspection.score),
            map_max: Some(inspection.map_max),
            steps: inspection.steps.iter().cloned().collect(),
            defects: inspection.defects.clone(),
            ms: times,
            ..Self::blank(inspector, &inspection.id, thresholds)
        }
    }

    /// The line of a scan that could not be inspected.
    pub fn invalid(inspector: &Inspector, id: &str, error: String) -> Self {
        Self { error: Some(error), ..Self::blank(inspector, id, &inspector.model.manifest.calibration) }
    }

    fn blank(inspector: &Inspector, id: &str, thresholds: &Calibration) -> Self {
        let manifest = &inspector.model.manifest;
        Self {
            id: id.into(),
            verdict: Verdict::Invalid,
            error: None,
            missing: Vec::new(),
            score: None,
            threshold: thresholds.image.value,
            review_threshold: thresholds.review.map(|r| r.value),
            map_max: None,
            pixel_threshold: thresholds.pixel.value,
            steps: BTreeMap::new(),
            defects: Vec::new(),
            ms: BTreeMap::new(),
            recipe: inspector.recipe.number,
            station: inspector.recipe.station.clone(),
            recipe_sha256: manifest.recipe_sha256.clone(),
            model_sha256: inspector.model_sha256.clone(),
            plugins: inspector.plugin_versions(),
            program: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
