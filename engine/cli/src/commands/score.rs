//! `assay score`.

use super::Status;
use crate::args;
use crate::console::Console;
use crate::context::Context;
use crate::output;
use anyhow::Result;
use assay_core::inspect::{Inspection, Inspector, Region, Verdict};
use assay_core::report::{self, write_map, write_picture};
use assay_data::layout::scans_under;
use serde::Serialize;
use std::collections::BTreeMap;

/// One line of results.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    map_max: Option<f64>,
    pixel_threshold: f64,
    steps: BTreeMap<&'a str, f64>,
    regions: &'a [Region],
    ms: BTreeMap<&'a str, f64>,
    recipe: Option<i64>,
    station: &'a str,
    recipe_sha256: &'a str,
    model_sha256: &'a str,
}

impl<'a> Line<'a> {
    fn new(inspector: &'a Inspector, id: &'a str, result: Result<&'a Inspection, String>) -> Self {
        let manifest = &inspector.model.manifest;
        let ok = result.as_ref().ok();
        let ms = |d: std::time::Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        let mut times: BTreeMap<&str, f64> = ok.map_or_else(BTreeMap::new, |i| {
            i.times.iter().map(|(name, time)| (name.as_str(), ms(*time))).collect()
        });
        if let Some(i) = ok {
            times.insert("total", ms(i.total));
        }
        Self {
            id,
            verdict: ok.map_or(Verdict::Invalid, |i| i.verdict),
            score: ok.map(|i| i.score),
            threshold: manifest.image_threshold.value,
            map_max: ok.map(|i| i.map_max),
            pixel_threshold: manifest.pixel_threshold.value,
            steps: ok.map_or_else(BTreeMap::new, |i| i.steps.iter().map(|(n, s)| (n.as_str(), *s)).collect()),
            regions: ok.map_or(&[], |i| i.regions.as_slice()),
            ms: times,
            recipe: inspector.recipe.number,
            station: &inspector.recipe.station,
            recipe_sha256: &manifest.recipe_sha256,
            model_sha256: &inspector.model_sha256,
            error: result.err(),
        }
    }
}

pub(crate) fn run(args: &args::Score, console: &Console) -> Result<Status> {
    let (_context, inspector) = Context::inspector(&args.model, &args.machine, console)?;
    let mut scans = Vec::new();
    for path in &args.scans {
        scans.extend(scans_under(path, &inspector.recipe.sensors)?);
    }
    // Ids name maps and pictures: two scans of one id would overwrite each other's.
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = scans.iter().find(|s| !seen.insert(s.id.as_str())) {
        anyhow::bail!(
            "two of the scans have the id {}: score their common folder, or one after the other",
            twice.id
        );
    }
    let mut status = Status::Ok;
    for files in &scans {
        match inspector.inspect(files) {
            Ok(inspection) => {
                if let Some(folder) = &args.maps {
                    write_map(folder, &inspection)?;
                }
                if let Some(folder) = &args.pictures {
                    write_picture(folder, &inspector, &inspection, None)?;
                }
                output::json(&Line::new(&inspector, &files.id, Ok(&inspection)))?;
                if inspection.verdict == Verdict::Ng {
                    status = status.max(Status::Ng);
                }
            }
            Err(e) => {
                console.error(&report::one_line(&e));
                output::json(&Line::new(&inspector, &files.id, Err(report::one_line(&e))))?;
                status = Status::Invalid;
            }
        }
    }
    Ok(status)
}
