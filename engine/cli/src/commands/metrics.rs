//! `assay metrics`: the evaluation of anyone's maps, by the official MVTec 3D-AD definitions or as papers do it.

use super::Status;
use crate::console::Console;
use crate::output::{self, figure};
use anyhow::{Context as _, Result};
use assay_data::Limits;
use assay_data::decode::{self, Encoded};
use assay_data::layout::maps_with_masks;
use assay_metrics::{MapSet, PAPER_SIDE, PAPER_THRESHOLDS};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How maps are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// At native size, every score a threshold: MVTec's own definition, the one that counts.
    Official,
    /// Maps and masks at 224 x 224, AU-PRO at 100 thresholds: only to compare with published tables.
    Paper,
}

/// Evaluate anomaly maps of any program by the official MVTec 3D-AD definitions.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay metrics --data mvtec3d --maps anomaly_maps                    every object, official
  assay metrics --data mvtec3d/bagel --maps anomaly_maps --json       one object
  assay metrics --data mvtec3d --maps anomaly_maps --protocol paper   as most papers do it")]
pub(crate) struct Args {
    /// The data set (of one object or of several) with its masks.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The maps: DIR/OBJECT/test/DEFECT/ID.tiff, f32 of the scan's native size.
    #[arg(long, value_name = "DIR")]
    pub(crate) maps: PathBuf,
    /// How maps are evaluated.
    #[arg(long, value_enum, default_value = "official", value_name = "P")]
    pub(crate) protocol: Protocol,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The figures of one object, or their mean.
#[derive(Debug, Clone, Copy, Serialize)]
struct Figures {
    image_auroc: f64,
    pixel_auroc: f64,
    au_pro_30: f64,
    au_pro_10: f64,
    au_pro_05: f64,
    au_pro_01: f64,
}

const NAMES: [&str; 6] =
    ["image AUROC", "pixel AUROC", "AU-PRO 0.30", "AU-PRO 0.10", "AU-PRO 0.05", "AU-PRO 0.01"];

impl Figures {
    fn values(&self) -> [f64; 6] {
        [self.image_auroc, self.pixel_auroc, self.au_pro_30, self.au_pro_10, self.au_pro_05, self.au_pro_01]
    }

    fn mean(all: &[Self]) -> Self {
        let mean = |i: usize| all.iter().map(|f| f.values()[i]).sum::<f64>() / all.len() as f64;
        Self {
            image_auroc: mean(0),
            pixel_auroc: mean(1),
            au_pro_30: mean(2),
            au_pro_10: mean(3),
            au_pro_05: mean(4),
            au_pro_01: mean(5),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    protocol: Protocol,
    objects: BTreeMap<String, Figures>,
    mean: Figures,
}

pub(crate) fn run(args: &Args, _console: &Console) -> Result<Status> {
    let limits = Limits::default();
    let mut objects = BTreeMap::new();
    for object in maps_with_masks(&args.maps, &args.data)? {
        let mut set = MapSet::new();
        for pair in &object.pairs {
            let map = decode::map(&Encoded::read(&pair.map, &limits)?, &limits)?;
            let (rows, cols) = map.dim();
            let mask = match &pair.mask {
                Some(path) => {
                    let mask = decode::mask(&Encoded::read(path, &limits)?, &limits)?;
                    let ((r, c), file) = (mask.dim(), pair.map.display());
                    anyhow::ensure!(
                        (r, c) == (rows, cols),
                        "{file} is {rows}x{cols}, its mask {r}x{c}: maps have the scan's native size"
                    );
                    mask.iter().copied().collect()
                }
                None => vec![false; rows * cols],
            };
            let map: Vec<f32> = map.iter().copied().collect();
            let added = match args.protocol {
                Protocol::Official => set.add(&map, &mask, rows, cols),
                Protocol::Paper => set.add_at_paper_size(&map, &mask, rows, cols),
            };
            added.with_context(|| pair.map.display().to_string())?;
        }
        let figures = figures(set, args.protocol).with_context(|| format!("object {}", object.object))?;
        objects.insert(object.object, figures);
    }
    let all: Vec<Figures> = objects.values().copied().collect();
    let report = Report { protocol: args.protocol, mean: Figures::mean(&all), objects };
    if args.json {
        output::json(&report)?;
    } else {
        let row = |name: &str, f: &Figures| {
            [vec![name.to_owned()], f.values().map(|v| figure(Some(v))).to_vec()].concat()
        };
        let mut rows = vec![[vec!["object".to_owned()], NAMES.map(str::to_owned).to_vec()].concat()];
        rows.extend(report.objects.iter().map(|(name, f)| row(name, f)));
        rows.push(row("mean", &report.mean));
        output::table(&rows)?;
        let protocol = match args.protocol {
            Protocol::Official => "official: maps at native size, every score a threshold".to_owned(),
            Protocol::Paper => format!(
                "paper: maps and masks at {PAPER_SIDE} x {PAPER_SIDE}, AU-PRO at {PAPER_THRESHOLDS} thresholds"
            ),
        };
        output::line("")?;
        output::line(&format!("protocol  {protocol}"))?;
    }
    Ok(Status::Ok)
}

fn figures(set: MapSet, protocol: Protocol) -> Result<Figures> {
    let image_auroc = set.image_auroc()?;
    let ranked = set.rank()?;
    let curve = match protocol {
        Protocol::Official => ranked.pro_curve()?,
        Protocol::Paper => ranked.paper_pro_curve(PAPER_THRESHOLDS)?,
    };
    Ok(Figures {
        image_auroc,
        pixel_auroc: ranked.pixel_auroc(),
        au_pro_30: curve.au_pro(0.3)?,
        au_pro_10: curve.au_pro(0.1)?,
        au_pro_05: curve.au_pro(0.05)?,
        au_pro_01: curve.au_pro(0.01)?,
    })
}
