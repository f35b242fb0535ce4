//! `assay eval`.

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::context::Context;
use crate::output::{self, figure};
use anyhow::Result;
use assay_core::evaluate::{Figures, evaluate};
use assay_core::inspect::Inspector;
use assay_core::plugin::Watch as _;
use assay_core::report::{Report, one_line, write_map};
use assay_data::{Dataset, Layout, ScanFiles};
use std::path::{Path, PathBuf};

/// Score a data set's test scans and print the official figures.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay eval part.assay --data cable_gland        the figures as a table
  assay eval part.assay --data cable_gland --report page
                                                  with a page of pictures, page/index.html
  assay eval part.assay --data cable_gland --json --maps maps
                                                  for scripts, and for `assay metrics`")]
pub(crate) struct Args {
    /// The model.
    pub(crate) model: PathBuf,
    /// A data set with test scans and masks.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Write anomaly maps here, in the official layout: DIR/OBJECT/test/DEFECT/ID.tiff.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: Option<PathBuf>,
    /// Write pictures and an HTML page here.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Layout of the data set, where looking is not enough: mvtec3d, mvtecad or plain.
    #[arg(long, value_name = "L")]
    pub(crate) layout: Option<Layout>,
    /// Refuse other plugins or another runtime than the model was fitted with.
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    let (_context, inspector) = Context::inspector(&args.model, args.locked, &args.machine, console)?;
    let dataset = Dataset::find(&args.data, args.layout, &inspector.recipe.sensors)?;
    anyhow::ensure!(!dataset.test.is_empty(), "{} has no test scans to evaluate on", args.data.display());
    let object = object_name(&args.data)?;
    let maps = args.maps.as_ref().map(|m| m.join(&object));
    let (figures, page) = evaluate_with_report(
        &inspector,
        &dataset.test,
        maps.as_deref(),
        args.report.as_deref(),
        &object,
        console,
    )?;
    if args.json {
        output::json(&figures)?;
    } else {
        print(&figures)?;
    }
    if let Some(page) = page {
        console.info(&format!("page: {}", page.display()));
    }
    Ok(if figures.n_invalid > 0 { Status::Invalid } else { Status::Ok })
}

/// The object's name: the data set's folder.
fn object_name(data: &Path) -> Result<String> {
    let path = std::fs::canonicalize(data)?;
    Ok(path.file_name().map_or_else(|| "object".into(), |n| n.to_string_lossy().into_owned()))
}

/// Evaluates with a progress bar; writes maps and, with its pictures, a page. Returns the figures and the page.
pub(crate) fn evaluate_with_report(
    inspector: &Inspector,
    scans: &[ScanFiles],
    maps: Option<&Path>,
    report: Option<&Path>,
    title: &str,
    console: &Console,
) -> Result<(Figures, Option<PathBuf>)> {
    let mut report = report.map(|folder| Report::new(folder, title)).transpose()?;
    let figures = evaluate(inspector, scans, &mut |i, files, result| {
        console.progress("scoring", (i + 1) as f64 / scans.len() as f64, &files.id);
        match &result {
            Ok(inspection) => {
                if let Some(maps) = maps {
                    write_map(maps, inspection)?;
                }
            }
            Err(e) => console.error(&one_line(e)),
        }
        if let Some(report) = &mut report {
            report.add(inspector, files, result)?;
        }
        Ok(())
    })?;
    console.clear();
    let page = report.map(|r| r.finish(inspector, &figures)).transpose()?;
    Ok((figures, page))
}

/// The figures as a table.
pub(crate) fn print(f: &Figures) -> Result<()> {
    let percent = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.1} %", 100.0 * v));
    let rows = [
        ("image AUROC", figure(f.image_auroc)),
        ("image AUROC (map maximum)", figure(f.image_auroc_map_max)),
        ("pixel AUROC", figure(f.pixel_auroc)),
        ("AU-PRO 0.30", figure(f.au_pro_30)),
        ("AU-PRO 0.10", figure(f.au_pro_10)),
        ("AU-PRO 0.05", figure(f.au_pro_05)),
        ("AU-PRO 0.01", figure(f.au_pro_01)),
        ("best F1", figure(f.f1_max)),
        ("good parts rejected", format!("{} of {}", percent(f.false_reject_rate), f.n_good)),
        ("defects passed", format!("{} of {}", percent(f.escape_rate), f.n_defect)),
        ("not inspected", f.n_invalid.to_string()),
        ("ms a scan (median, 95 %, 99 %)", {
            let t = f.ms_per_scan;
            format!("{:.1}, {:.1}, {:.1}", t.p50, t.p95, t.p99)
        }),
    ];
    output::table(&rows.map(|(name, value)| vec![name.to_owned(), value]))?;
    if !f.by_defect.is_empty() {
        output::line("")?;
        let mut rows = vec![["defect", "scans", "image AUROC", "AU-PRO 0.30"].map(str::to_owned).to_vec()];
        for (name, d) in &f.by_defect {
            rows.push(vec![name.clone(), d.n.to_string(), figure(d.image_auroc), figure(d.au_pro_30)]);
        }
        output::table(&rows)?;
    }
    Ok(())
}
