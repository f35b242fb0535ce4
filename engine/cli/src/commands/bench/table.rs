//! The tables that people read.

use super::published::{METHODS, Method};
use super::summary::{Spread, Summary};
use crate::output::{figure, line, table};
use anyhow::Result;
use std::collections::BTreeMap;

/// Columns of a recipe's table: name of the figure, heading, decimals.
const COLUMNS: [(&str, &str, usize); 6] = [
    ("image_auroc", "image AUROC", 4),
    ("au_pro_30", "AU-PRO 0.30", 4),
    ("pixel_auroc", "pixel AUROC", 4),
    ("ms_per_scan", "ms a scan", 1),
    ("fit_seconds", "fit s", 1),
    ("fit_peak_mb", "fit MB", 0),
];

/// The table of one recipe, with the figures of the published method `beside`.
pub(super) fn print(summary: &Summary, beside: Option<&str>) -> Result<()> {
    let name = if summary.name.is_empty() { String::new() } else { format!(" ({})", summary.name) };
    line(&format!("{}{name}, {}", summary.recipe, summary.runtime))?;
    let method = beside.and_then(|name| METHODS.iter().find(|m| m.name == name));
    let mut header = vec!["category".to_owned(), "seeds".to_owned()];
    header.extend(COLUMNS.map(|(_, heading, _)| heading.to_owned()));
    header.extend(method.iter().flat_map(|m| [format!("{} AUROC", m.name), format!("{} AU-PRO", m.name)]));
    let mut rows = vec![header];
    for (name, category) in &summary.categories {
        let row = vec![name.clone(), category.runs.len().to_string()];
        rows.push([row, cells(&category.figures, true), beside_cells(method, &[name])].concat());
    }
    if summary.categories.len() > 1 {
        let names: Vec<&str> = summary.categories.keys().map(String::as_str).collect();
        let row = vec![format!("mean of {}", names.len()), String::new()];
        rows.push([row, cells(&summary.mean, false), beside_cells(method, &names)].concat());
    }
    table(&rows)?;
    for (name, category) in summary.categories.iter().filter(|(_, c)| c.n_invalid > 0) {
        line(&format!("{name}: {} scans could not be inspected; they are in no figure", category.n_invalid))?;
    }
    for failure in &summary.failed {
        let seed = failure.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        line(&format!("{}{seed} failed: {}", failure.category, failure.error))?;
    }
    line("")
}

/// Mean, and spread where there is one.
fn cells(figures: &BTreeMap<&'static str, Spread>, with_spread: bool) -> Vec<String> {
    let cell = |&(name, _, decimals): &(&str, &str, usize)| match figures.get(name) {
        None => "-".to_owned(),
        Some(Spread { mean, sd: Some(sd), .. }) if with_spread => {
            format!("{mean:.decimals$} ± {sd:.decimals$}")
        }
        Some(Spread { mean, .. }) => format!("{mean:.decimals$}"),
    };
    COLUMNS.iter().map(cell).collect()
}

/// Image AUROC and AU-PRO of the published method, each the mean over `categories` where all of them were published.
fn beside_cells(method: Option<&Method>, categories: &[&str]) -> Vec<String> {
    let Some(method) = method else { return Vec::new() };
    let mean = |of: &dyn Fn(&str) -> Option<f64>| {
        let values: Option<Vec<f64>> = categories.iter().map(|c| of(c)).collect();
        figure(values.and_then(|v| Spread::of(&v)).map(|s| s.mean))
    };
    vec![
        mean(&|c| method.of(c).and_then(|f| f.image_auroc)),
        mean(&|c| method.of(c).and_then(|f| f.au_pro_30)),
    ]
}

/// What was published on the categories, if anything was.
pub(super) fn print_published(categories: &[&str]) -> Result<()> {
    let known: Vec<&str> =
        categories.iter().copied().filter(|c| METHODS.iter().any(|m| m.of(c).is_some())).collect();
    if known.is_empty() {
        return Ok(());
    }
    line(
        "Published on the whole of each category, at 224 x 224 and 100 thresholds: image AUROC / AU-PRO 0.30",
    )?;
    let methods: Vec<&Method> = METHODS.iter().filter(|m| known.iter().any(|c| m.of(c).is_some())).collect();
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let mut rows = vec![[&["method"][..], &known[..]].concat().into_iter().map(str::to_owned).collect()];
    for method in &methods {
        let mut row = vec![method.name.to_owned()];
        row.extend(known.iter().map(|c| match method.of(c) {
            Some(f) => format!("{} / {}", cell(f.image_auroc), cell(f.au_pro_30)),
            None => "-".to_owned(),
        }));
        rows.push(row);
    }
    table(&rows)?;
    line("")?;
    methods.iter().try_for_each(|m| line(&format!("{}: {}", m.name, m.source)))
}
