//! What is written about inspected scans: maps, pictures, a page.

use crate::defect::{Defect, points_of};
use crate::error::{Error, Result};
use crate::evaluate::Figures;
use crate::inspect::{Inspection, Inspector, Verdict};
use crate::result::ResultLine;
use crate::value::Data;
use assay_data::decode::{self, Encoded, Vertex};
use assay_data::prepare::resize;
use assay_data::{Mask, ScanFiles, atomic, nearest_index};
use assay_report::{
    Caption, ColourMap, Metrics, Page, Picture, ScanCard, captioned, height_picture, html, overlay, shade,
};
use ndarray::{Array3, Axis};
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

/// An error with its causes on one line.
pub fn one_line(error: &Error) -> String {
    error.to_string().replace('\n', " ")
}

/// `folder/<id>.<extension>` with its folders made; an id cannot lead out of `folder`.
pub(crate) fn place(folder: &Path, id: &str, extension: &str) -> Result<PathBuf> {
    let inside = Path::new(id).components().filter(|c| matches!(c, Component::Normal(_)));
    let mut path = folder.to_path_buf();
    path.extend(inside);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    path.set_file_name(name);
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
    Ok(path)
}

/// Writes the anomaly map of a scan to `folder/<id>.tiff`: f32, native size.
///
/// # Errors
/// [`Error::Scan`] of a cloud; where the file cannot be written.
pub fn write_map(folder: &Path, inspection: &Inspection) -> Result<PathBuf> {
    if inspection.cloud.is_some() {
        let message = "a scan of points has no map: ask for clouds instead";
        return Err(Error::Scan { scan: inspection.id.clone(), message: message.into() });
    }
    let path = place(folder, &inspection.id, "tiff")?;
    decode::write_map(&path, &inspection.map)?;
    Ok(path)
}

/// Writes the scan's points, coloured by their scores, to `folder/<id>.ply`: those of its organised sensor with the map's values, or those
/// of its cloud.
///
/// # Errors
/// [`Error::Scan`] where it has no points; where the file cannot be written.
pub fn write_cloud(folder: &Path, inspector: &Inspector, inspection: &Inspection) -> Result<PathBuf> {
    let (scale, colours) = (scale(inspector, inspection)?, ColourMap::new());
    let vertex = |position, rgb, score, defect| Vertex {
        position,
        colour: shade(rgb, score, &scale, &colours),
        score,
        defect,
    };
    let vertices: Vec<Vertex> = if let Some(cloud) = &inspection.cloud {
        let at = |i: usize| [0, 1, 2].map(|c| cloud.positions[(i, c)]);
        let valid = (0..cloud.scores.len()).filter(|&i| cloud.valid[i]);
        valid.map(|i| vertex(at(i), BARE, cloud.scores[i], inspection.labels[i])).collect()
    } else if let Some(points) = points_of(&inspection.scan) {
        let image =
            colour(inspection).map(|image| resize::image(&image, inspection.map.dim())).transpose()?;
        let (native_rows, native_columns) = inspection.map.dim();
        let (rows, columns) = points.size();
        let cells = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        let seen = cells.filter(|&(i, j)| points.is_valid(i, j)).map(|(i, j)| {
            let y = nearest_index(points.frame.native_y(i as f64), native_rows);
            let x = nearest_index(points.frame.native_x(j as f64), native_columns);
            let rgb = image.as_ref().map_or(BARE, |image| [0, 1, 2].map(|k| image[(y, x, k)]));
            let position = [0, 1, 2].map(|c| points.values[(c, i, j)]);
            vertex(position, rgb, inspection.map[(y, x)], inspection.labels[y * native_columns + x])
        });
        seen.collect()
    } else {
        let message = "it has no points to write: its sensors are images, or depth without a `camera`";
        return Err(Error::Scan { scan: inspection.id.clone(), message: message.into() });
    };
    let path = place(folder, &inspection.id, "ply")?;
    decode::write_ply(&path, &vertices)?;
    Ok(path)
}

/// The colour of points that no image sees.
const BARE: [u8; 3] = [200; 3];

/// A defect in words.
fn described(defect: &Defect) -> String {
    let mut words = Vec::new();
    match (defect.area_mm2, defect.area_px) {
        (Some(area), _) => words.push(format!("{area:.1} mm\u{b2}")),
        (None, Some(pixels)) => words.push(format!("{pixels} px")),
        (None, None) => {}
    }
    if let Some(height) = defect.height_mm {
        words.push(format!("{height:+.2} mm"));
    }
    if let Some(unmeasured) = defect.unmeasured.filter(|share| *share > 0.1) {
        words.push(format!("{:.0} % unmeasured", 100.0 * unmeasured));
    }
    words.extend(defect.seen_by.map(|by| by.name().to_owned()));
    words.join(", ")
}

/// Writes the map over the scan to `folder/<id>.png`: verdict, score and threshold above it, regions outlined, the
/// scale with the threshold beside it, and the outline of the ground truth where it is given.
///
/// # Errors
/// [`Error::Scan`] of a cloud; where the file cannot be written.
pub fn write_picture(
    folder: &Path,
    inspector: &Inspector,
    inspection: &Inspection,
    truth: Option<&Mask>,
) -> Result<PathBuf> {
    if inspection.cloud.is_some() {
        let message = "a scan of points has no picture: ask for clouds instead";
        return Err(Error::Scan { scan: inspection.id.clone(), message: message.into() });
    }
    let path = place(folder, &inspection.id, "png")?;
    let line = ResultLine::of(inspector, inspection);
    let caption = Caption {
        id: line.id,
        verdict: drawn_verdict(line.verdict),
        score: inspection.score,
        threshold: line.threshold,
        review_threshold: line.review_threshold,
        defects: line.defects.iter().map(described).collect(),
        pixel_threshold: line.pixel_threshold,
        truth: truth.is_some(),
    };
    let picture = captioned(&draw(inspector, inspection, truth)?, &caption);
    decode::write_png_rgb(&path, &picture)?;
    Ok(path)
}

fn drawn_verdict(verdict: Verdict) -> assay_report::Verdict {
    match verdict {
        Verdict::Ok => assay_report::Verdict::Ok,
        Verdict::Review => assay_report::Verdict::Review,
        Verdict::Ng => assay_report::Verdict::Ng,
        Verdict::Invalid => assay_report::Verdict::Invalid,
    }
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::Request(format!("a picture cannot be drawn: {e}"))
}

/// The map over the scan's colour image, or over its height where there is none.
fn draw(inspector: &Inspector, inspection: &Inspection, truth: Option<&Mask>) -> Result<Array3<u8>> {
    let image = colour(inspection).map_or_else(|| height(inspection), |i| Some(Ok(i)));
    let (rows, cols) = inspection.map.dim();
    let image = image.unwrap_or_else(|| Ok(Array3::zeros((rows, cols, 3))))?;
    let truth = truth.filter(|t| t.dim() == (rows, cols) && t.iter().any(|&d| d));
    // A sensor of another resolution.
    let image = resize::image(&image, (rows, cols))?;
    let scale = scale(inspector, inspection)?;
    let marks: Vec<[usize; 4]> = inspection.defects.iter().filter_map(|defect| defect.bbox).collect();
    overlay(image.view(), inspection.map.view(), scale, truth.map(|t| t.view()), &marks).map_err(failed)
}

/// One scale for all scans of a model: the threshold is its middle, and it reaches a third of the way down to the floor.
fn scale(inspector: &Inspector, inspection: &Inspection) -> Result<assay_report::Scale> {
    let threshold = inspector.calibration(&inspection.missing)?.pixel.value as f32;
    // The floor is that of all steps; of those that are left, the scan's own lowest value is one.
    let floor = match inspection.missing.as_slice() {
        [] => inspector.model.manifest.floor,
        _ => inspection.map.iter().copied().fold(f32::INFINITY, f32::min),
    };
    let span = (threshold - floor).max(1e-6);
    Ok(assay_report::Scale { low: threshold - span / 3.0, threshold, high: threshold + 0.5 * span })
}

/// The first image of a scan, in colour.
fn colour(inspection: &Inspection) -> Option<Array3<u8>> {
    inspection.scan.sensors.iter().flatten().find_map(|s| match &s.data {
        Data::Image(image) => {
            let (h, w, _) = image.pixels.dim();
            Some(image.pixels.broadcast((h, w, 3))?.to_owned())
        }
        _ => None,
    })
}

/// The depth of the first organised sensor, as a picture.
fn height(inspection: &Inspection) -> Option<Result<Array3<u8>>> {
    inspection.scan.sensors.iter().flatten().find_map(|s| match &s.data {
        Data::Grid(grid) => {
            let z = grid.values.index_axis(Axis(0), grid.channels() - 1);
            let all = Mask::from_elem(grid.size(), true);
            Some(height_picture(z, grid.valid.as_ref().unwrap_or(&all).view()).map_err(failed))
        }
        _ => None,
    })
}

/// A page about evaluated scans, with its pictures in a folder beside it.
pub struct Report {
    folder: PathBuf,
    page: Page,
}

impl Report {
    /// A report in `folder`: `index.html` and `pictures/`.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn new(folder: &Path, title: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        Ok(Self { folder: folder.to_path_buf(), page: Page { title: title.into(), ..Page::default() } })
    }

    /// Adds a scan: its input, map over it, and height.
    ///
    /// # Errors
    /// Where a picture cannot be written.
    pub fn add(
        &mut self,
        inspector: &Inspector,
        files: &ScanFiles,
        result: Result<&Inspection, &Error>,
    ) -> Result<()> {
        let mut card = ScanCard {
            id: files.id.clone(),
            verdict: assay_report::Verdict::Invalid,
            truth: Some(files.defect.clone().unwrap_or_else(|| ScanCard::GOOD.into())),
            score: None,
            threshold: inspector.model.manifest.calibration.image.value,
            per_step: Vec::new(),
            images: Vec::new(),
            note: None,
            ms: 0.0,
        };
        match result {
            Err(e) => card.note = Some(one_line(e)),
            Ok(inspection) => {
                card.verdict = drawn_verdict(inspection.verdict);
                card.score = Some(inspection.score);
                card.threshold = inspector.calibration(&inspection.missing)?.image.value;
                if !inspection.missing.is_empty() {
                    card.note =
                        Some(format!("without {}, which measured nothing", inspection.missing.join(", ")));
                }
                card.per_step.clone_from(&inspection.steps);
                card.ms = inspection.total.as_secs_f64() * 1e3;
                let truth = match &files.mask {
                    Some(path) => {
                        let limits = &inspector.recipe.limits;
                        Some(decode::mask(&Encoded::read(path, limits)?, limits)?)
                    }
                    None => None,
                };
                let pixels = inspection.cloud.is_none();
                let pictures = [
                    ("input", colour(inspection).map(Ok)),
                    ("height", height(inspection)),
                    ("anomaly map", pixels.then(|| draw(inspector, inspection, truth.as_ref()))),
                ];
                for (caption, picture) in pictures {
                    let Some(picture) = picture.transpose()? else { continue };
                    let id = format!("{}/{}", files.id, caption.replace(' ', "-"));
                    let path = place(&self.folder.join("pictures"), &id, "png")?;
                    decode::write_png_rgb(&path, &picture)?;
                    card.images.push(Picture { caption: caption.into(), path: format!("pictures/{id}.png") });
                }
            }
        }
        self.page.scans.push(card);
        Ok(())
    }

    /// Writes the page; returns its path.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self, inspector: &Inspector, f: &Figures) -> Result<PathBuf> {
        let manifest = &inspector.model.manifest;
        let short = |sha: &str| sha.chars().take(12).collect::<String>();
        let percent = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.1} %", 100.0 * v));
        let facts = [
            ("recipe", format!("{} ({})", inspector.recipe.name, short(&manifest.recipe_sha256))),
            ("model", short(&inspector.model_sha256)),
            ("fitted on", format!("{} scans", manifest.training.len())),
            ("calibrated on", format!("{} scans", manifest.calibration.scans.len())),
            ("good parts rejected", format!("{} of {}", percent(f.false_reject_rate), f.n_good)),
            ("defects passed", format!("{} of {}", percent(f.escape_rate), f.n_defect)),
            (
                "time a scan",
                format!("{:.0} ms (median), {:.0} ms (95 %)", f.ms_per_scan.p50, f.ms_per_scan.p95),
            ),
            ("runtime", format!("{} on {}", inspector.runtime, inspector.device)),
        ];
        self.page.summary = facts.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let figure = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
        let header = ["", "scans", "image AUROC", "AU-PRO 0.30", "pixel AUROC"].map(str::to_owned).to_vec();
        let all = [
            "all defects".to_owned(),
            f.n_defect.to_string(),
            figure(f.image_auroc),
            figure(f.au_pro_30),
            figure(f.pixel_auroc),
        ];
        let mut rows = vec![all.to_vec()];
        for (kind, d) in &f.by_defect {
            let row = [kind.clone(), d.n.to_string(), figure(d.image_auroc), figure(d.au_pro_30), "-".into()];
            rows.push(row.to_vec());
        }
        self.page.metrics = Some(Metrics { header, rows });
        let text =
            html(&self.page).map_err(|e| Error::Request(format!("the page cannot be written: {e}")))?;
        let path = self.folder.join("index.html");
        atomic::write(&path, |out| out.write_all(text.as_bytes()))?;
        Ok(path)
    }
}
