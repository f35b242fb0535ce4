//! From fused scores to the number that decides: the same for the scans of the line and for those that set its thresholds.

use crate::align;
use crate::cloud::{ScoredCloud, on_points};
use crate::defect::{pixel_areas, points_of};
use crate::error::{Error, Result};
use crate::map::{anomaly_map, maximum};
use crate::opening::open;
use crate::pipeline::{Outcome, Pipeline};
use crate::prepare::Prepared;
use crate::recipe::{Recipe, Smallest};
use crate::scale::valid_scores;
use crate::value::{Cloud, Data, Value};
use assay_data::nearest_index;
use ndarray::Array2;

/// What a verdict rests on.
pub(crate) struct Judged {
    /// The number that decides.
    pub(crate) score: f64,
    /// The map's maximum.
    pub(crate) map_max: f64,
    /// The anomaly map, native size, finite; empty of a cloud.
    pub(crate) map: Array2<f32>,
    /// The scores of a cloud on its sensor's points.
    pub(crate) cloud: Option<ScoredCloud>,
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
    let (map, cloud) = match (&fused.data, cloud_of(scan)) {
        (Data::Cloud(scores), Some(sensor)) => {
            let mut scored = on_points(scores, sensor, floor).map_err(|e| refuse(e.to_string()))?;
            if let Some(pose) = &scan.aligned {
                align::apply(&mut scored.positions, &pose.inverse());
            }
            (Array2::zeros((0, 0)), Some(scored))
        }
        _ => (finished_map(recipe, scan, &fused, floor)?, None),
    };
    let map_max = match &cloud {
        Some(cloud) => f64::from(cloud.scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)),
        None => maximum(&map),
    };
    let score = recipe.decide.score.of(&fused, map_max);
    let finite = map.iter().chain(cloud.iter().flat_map(|c| &c.scores)).all(|v| v.is_finite());
    if !score.is_finite() || !finite {
        return Err(refuse(format!("its score is {score}, which is no number to decide on")));
    }
    Ok(Judged { score, map_max, map, cloud })
}

/// The first sensor's cloud.
fn cloud_of(scan: &Prepared) -> Option<&Cloud> {
    scan.sensors.iter().flatten().find_map(|value| match &value.data {
        Data::Cloud(cloud) => Some(cloud),
        _ => None,
    })
}

/// The anomaly map without what is not inspected and what is too small.
fn finished_map(recipe: &Recipe, scan: &Prepared, fused: &Value, floor: f32) -> Result<Array2<f32>> {
    let sigma = recipe.map.sigma * scan.native.0.min(scan.native.1) as f64;
    let mut map = anomaly_map(fused, scan.native, sigma, floor)?;
    if let Some(inspected) = &scan.inspected {
        map.zip_mut_with(inspected, |v, &inside| {
            if !inside {
                *v = floor;
            }
        });
    }
    without_small_peaks(&mut map, recipe.map.smallest, scan);
    Ok(map)
}

/// Lowers the peaks of a map to where their regions are as large as a defect must be.
fn without_small_peaks(map: &mut Array2<f32>, smallest: Smallest, scan: &Prepared) {
    if smallest.pixels > 1 {
        open(map, |_| 1.0, smallest.pixels as f64);
    }
    if smallest.area > 0.0
        && let Some(points) = points_of(scan)
    {
        let (areas, (rows, columns), frame) = (pixel_areas(points), points.size(), points.frame);
        let native = map.ncols();
        let area = |at: usize| {
            let (y, x) = ((at / native) as f64, (at % native) as f64);
            areas[nearest_index(frame.row_at(y), rows) * columns + nearest_index(frame.column_at(x), columns)]
        };
        open(map, area, smallest.area);
    }
}
