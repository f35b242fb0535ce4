//! Which steps saw a defect.

use super::SeenBy;
use crate::error::Result;
use crate::graph::{Graph, Source, content_of};
use crate::map::anomaly_map;
use crate::pipeline::{Outcome, Pipeline};
use crate::prepare::Prepared;
use crate::recipe::Recipe;
use crate::scale::valid_scores;
use crate::value::{Content, Data};
use ndarray::Array2;
use std::collections::BTreeMap;

/// Where no step alone is above its threshold, those count that come within this share of the nearest.
const NEARLY: f64 = 0.8;

/// The place of a detector's output and the map of it.
pub(crate) type OwnMap = ((usize, usize), Array2<f32>);

/// A detector's own map of a scan.
pub(crate) struct Seen {
    /// The output's name.
    pub(crate) name: String,
    /// What it looks at.
    pub(crate) by: Option<SeenBy>,
    /// On its common scale, native size.
    pub(crate) map: Array2<f32>,
    /// What the maxima of good parts exceed as often as the recipe allows.
    pub(crate) threshold: f64,
}

/// The map of each scores output of a detector that a scan has one of, made as the fused map is, with its place.
///
/// # Errors
/// As [`anomaly_map`].
pub(crate) fn own_maps(
    recipe: &Recipe,
    pipeline: &Pipeline,
    scan: &Prepared,
    outcome: &Outcome,
) -> Result<Vec<OwnMap>> {
    let sigma = recipe.map.sigma * scan.native.0.min(scan.native.1) as f64;
    let mut maps = Vec::new();
    for (at, _, content) in pipeline.graph.outputs() {
        if content != Content::Scores || !pipeline.graph.steps[at.0].is_detector() {
            continue;
        }
        let Some(value) = outcome.get(at).filter(|v| matches!(v.data, Data::Grid(_))) else { continue };
        let value = pipeline.scales[at.0][at.1].apply((**value).clone());
        let floor = valid_scores(&value).into_iter().fold(f32::INFINITY, f32::min);
        if floor.is_finite() {
            maps.push((at, anomaly_map(&value, scan.native, sigma, floor)?));
        }
    }
    Ok(maps)
}

/// What the step looks at, by the sensors that its inputs go back to.
fn kind_of(recipe: &Recipe, graph: &Graph, step: usize) -> Option<SeenBy> {
    let (mut colour, mut geometry) = (false, false);
    let mut open = vec![step];
    while let Some(step) = open.pop() {
        for (_, source) in &graph.steps[step].inputs {
            match *source {
                Source::Output(s, _) => open.push(s),
                Source::Sensor(i) => match content_of(&recipe.sensors[i]) {
                    Content::Rgb | Content::Gray => colour = true,
                    _ => geometry = true,
                },
            }
        }
    }
    match (colour, geometry) {
        (true, true) => Some(SeenBy::Both),
        (true, false) => Some(SeenBy::Colour),
        (false, true) => Some(SeenBy::Geometry),
        (false, false) => None,
    }
}

/// The steps that saw a region, and what they look at.
pub(super) fn credited(seen: &[Seen], region: &[usize]) -> (Vec<String>, Option<SeenBy>) {
    let heights: Vec<f64> =
        seen.iter().map(|s| super::peak(&s.map, region) / s.threshold.max(1e-9)).collect();
    let most = heights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = if most > 1.0 { 1.0 } else { NEARLY * most };
    let saw = || {
        seen.iter()
            .zip(&heights)
            .filter(|(_, h)| **h > 1.0 || **h >= least.max(f64::MIN_POSITIVE))
            .map(|(s, _)| s)
    };
    let by = saw().filter_map(|s| s.by).reduce(|a, b| if a == b { a } else { SeenBy::Both });
    (saw().map(|s| s.name.clone()).collect(), by)
}

/// The detectors of a scan with their maps, those that `threshold` knows by name.
///
/// # Errors
/// As [`anomaly_map`].
pub(crate) fn seen(
    recipe: &Recipe,
    pipeline: &Pipeline,
    scan: &Prepared,
    outcome: &Outcome,
    threshold: impl Fn(&str) -> Option<f64>,
) -> Result<Vec<Seen>> {
    let maps = own_maps(recipe, pipeline, scan, outcome)?.into_iter();
    let seen = maps.filter_map(|(at, map)| {
        let name = pipeline.graph.output_name(at);
        let threshold = threshold(&name)?;
        Some(Seen { by: kind_of(recipe, &pipeline.graph, at.0), name, map, threshold })
    });
    Ok(seen.collect())
}

/// The greatest value of each map, by the output's name.
pub(crate) fn maxima(graph: &Graph, maps: &[OwnMap]) -> BTreeMap<String, f64> {
    maps.iter().map(|(at, map)| (graph.output_name(*at), crate::map::maximum(map))).collect()
}
