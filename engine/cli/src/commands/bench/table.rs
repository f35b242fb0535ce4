//! The tables that people read.

use super::published::{Figures, METHODS, Method};
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
        let row = vec!["mean".to_owned(), String::new()];
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

/// What was published on the categories, if anything was: one table a figure, one row a method.
pub(super) fn print_published(categories: &[&str]) -> Result<()> {
    let known: Vec<&str> =
        categories.iter().copied().filter(|c| METHODS.iter().any(|m| m.of(c).is_some())).collect();
    if known.is_empty() {
        return Ok(());
    }
    line("Published (papers: 224 x 224 maps, 100 thresholds; the whole of each category)")?;
    let image_auroc: fn(Figures) -> Option<f64> = |f| f.image_auroc;
    let au_pro: fn(Figures) -> Option<f64> = |f| f.au_pro_30;
    for (title, of) in [("image AUROC", image_auroc), ("AU-PRO 0.30", au_pro)] {
        line("")?;
        let heading = |c: &&str| (*c).to_owned();
        let mut rows = vec![[vec![title.to_owned()], known.iter().map(heading).collect()].concat()];
        for method in &METHODS {
            let values: Vec<Option<f64>> = known.iter().map(|c| method.of(c).and_then(of)).collect();
            if values.iter().any(Option::is_some) {
                let cells = values.into_iter().map(|v| v.map_or_else(|| "-".into(), |v| format!("{v:.3}")));
                rows.push(std::iter::once(method.name.to_owned()).chain(cells).collect());
            }
        }
        table(&rows)?;
    }
    line("")?;
    let named = METHODS.iter().filter(|m| known.iter().any(|c| m.of(c).is_some()));
    let sources: Vec<Vec<String>> = named.map(|m| vec![m.name.to_owned(), m.source.to_owned()]).collect();
    let width = sources.iter().map(|s| s[0].len()).max().unwrap_or(0);
    sources.iter().try_for_each(|s| line(&format!("{:<width$}  {}", s[0], s[1])))
}
