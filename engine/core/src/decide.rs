//! From fused scores to the number that decides: the same for the scans of the line and for those that set its thresholds.

use crate::error::{Error, Result};
use crate::map::{anomaly_map, maximum};
use crate::pipeline::{Outcome, Pipeline};
use crate::prepare::Prepared;
use crate::recipe::Recipe;
use crate::scale::valid_scores;
use ndarray::Array2;

/// What a verdict rests on.
pub(crate) struct Judged {
    /// The number that decides.
    pub(crate) score: f64,
    /// The map's maximum.
    pub(crate) map_max: f64,
    /// The anomaly map, native size, finite.
    pub(crate) map: Array2<f32>,
}

/// The map of a scan and the number that decides, from what its steps made; `floor` stands where nothing was scored (with sensors
/// missing: the scan's own lowest score).
///
/// # Errors
/// [`Error::Scan`] where no cell of it could be scored, or the score is no number: it is neither good nor bad.
pub(crate) fn judge(
    recipe: &Recipe,
    pipeline: &Pipeline,
    floor: f32,
    scan: &Prepared,
    outcome: &Outcome,
) -> Result<Judged> {
    let refuse = |message: String| Error::Scan { scan: scan.id.clone(), message };
    let fused = pipeline.last_scores(scan, outcome)?;
    let scores = valid_scores(&fused);
    // The floor is that of all steps; scores of some of them may lie lower.
    let floor = match pipeline.partial(scan)? {
        Some(_) => scores.iter().copied().fold(f32::INFINITY, f32::min),
        None => floor,
    };
    if !fused.image_score.is_finite() || scores.is_empty() {
        return Err(refuse("no patch of it could be scored: is the part in view and measured?".into()));
    }
    let sigma = recipe.map.sigma * scan.native.0.min(scan.native.1) as f64;
    let map = anomaly_map(&fused, scan.native, sigma, floor)?;
    let map_max = maximum(&map);
    let score = recipe.decide.score.of(&fused, map_max);
    if !score.is_finite() || map.iter().any(|v| !v.is_finite()) {
        return Err(refuse(format!("its score is {score}, which is no number to decide on")));
    }
    Ok(Judged { score, map_max, map })
}
