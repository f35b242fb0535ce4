//! Defects as an engineer reads them: the regions of the map above the pixel threshold, with their size on the part, where they lie, how
//! deep they are, and which steps saw them.

mod credit;
mod part;
mod size;
mod surface;

pub(crate) use credit::{Seen, maxima, own_maps, seen};
pub(crate) use surface::{pixel_areas, principal_axes};

use crate::cloud::{self, PointRegion, ScoredCloud};
use crate::error::Result;
use crate::prepare::Prepared;
use crate::value::{Content, Data};
use assay_data::prepare::polygon;
use assay_data::{Grid, Mask};
use assay_metrics::{Component, Connectivity, Labelling, connected_components};
use ndarray::Array2;
use schemars::JsonSchema;
use serde::Serialize;
use size::Measured;

/// A contour leaves out corners that lie no farther than this from it, pixels.
const CONTOUR_TOLERANCE: f64 = 0.75;

/// What can see a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    /// Steps that look at images.
    Colour,
    /// Steps that look at depth or points.
    Geometry,
    /// Both, or steps that look at both.
    Both,
}

impl SeenBy {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Colour => "colour",
            Self::Geometry => "geometry",
            Self::Both => "colour and geometry",
        }
    }
}

/// Where a part is wrong: a connected region of the map above the pixel threshold. Lengths and areas in millimetres are there where
/// the scan has points around it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Defect {
    /// `[x, y, width, height]` in pixels; absent of a cloud, as is all that is in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bbox: Option<[usize; 4]>,
    /// `[x, y]` in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centroid: Option<[f64; 2]>,
    /// The outline's corners `[x, y]` in pixels, to 0.75 pixels; the centre of the first pixel is [0, 0].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contour: Vec<[f64; 2]>,
    /// Pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_px: Option<usize>,
    /// Points of a cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
    /// Greatest map value inside.
    pub peak: f64,
    /// The peak as a multiple of the threshold: 1 at the threshold. Both are counted from the median patch of good parts, 0 on the common
    /// scale; where the threshold itself is not above that, from the lowest score of good parts.
    pub severity: f64,
    /// The steps whose own map is above their own threshold there, or, where none is, those that come nearest to it.
    pub steps: Vec<String>,
    /// What those steps look at; absent where they look at nothing but scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<SeenBy>,
    /// Area of the surface, mm^2: that of the face around it that it lies on, continued through the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_mm2: Option<f64>,
    /// `[x, y, z]` of its middle on that surface in the camera's frame, mm: x right, y down, z away from the camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_mm: Option<[f64; 3]>,
    /// The same in the part's frame, mm: from the middle of the part's points, x along its longest extent, z up from the surface that it
    /// lies on (or along its least extent, towards the camera), y to the right-handed third.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_position_mm: Option<[f64; 3]>,
    /// How far the points in its core, where the map is above the middle between threshold and peak, lie above that surface (towards the
    /// camera; below it: negative), mm; the farthest of 95 % of them. Absent where less than two thirds were measured there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height_mm: Option<f64>,
    /// Share of the region in which the 3D sensor measured nothing, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<f64>,
}

/// What the map's values are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    /// The pixel threshold.
    pub(crate) threshold: f64,
    /// The lowest fused score of a good part.
    pub(crate) floor: f64,
}

impl Levels {
    fn severity(self, peak: f64) -> f64 {
        let start = if self.threshold > 0.0 { 0.0 } else { self.floor };
        (peak - start) / (self.threshold - start).max(1e-9)
    }
}

/// The defects of a scored cloud, by falling peak, and for each point the place of its defect among them (from 1, 0 = none). All are
/// credited to `steps`.
///
/// # Errors
/// As [`cloud::regions`].
pub(crate) fn defects_of_cloud(
    cloud: &ScoredCloud,
    levels: Levels,
    steps: &[String],
) -> Result<(Vec<Defect>, Vec<u32>)> {
    let peak = |region: &PointRegion| {
        region.points.iter().map(|&i| f64::from(cloud.scores[i])).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut found: Vec<(f64, PointRegion)> =
        cloud::regions(cloud, levels.threshold)?.into_iter().map(|region| (peak(&region), region)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut labels = vec![0; cloud.scores.len()];
    let mut defects = Vec::with_capacity(found.len());
    for (peak, region) in found {
        let n = region.points.len();
        let mut middle = [0.0; 3];
        for &i in &region.points {
            labels[i] = defects.len() as u32 + 1;
            (0..3).for_each(|c| middle[c] += f64::from(cloud.positions[(i, c)]) / n as f64);
        }
        defects.push(Defect {
            bbox: None,
            centroid: None,
            contour: Vec::new(),
            area_px: None,
            points: Some(n),
            peak,
            severity: levels.severity(peak),
            steps: steps.to_vec(),
            seen_by: Some(SeenBy::Geometry),
            area_mm2: Some(rounded(1e6 * region.area)),
            position_mm: Some(millimetres(middle)),
            part_position_mm: None,
            height_mm: None,
            unmeasured: None,
        });
    }
    Ok((defects, labels))
}

/// The regions of `map` above the threshold and which of them each pixel belongs to (from 1, 0 = none).
pub(crate) fn regions(map: &Array2<f32>, threshold: f64) -> Labelling {
    let above: Vec<bool> = map.iter().map(|&v| f64::from(v) > threshold).collect();
    let none = || Labelling { labels: vec![0; map.len()], components: Vec::new() };
    connected_components(&above, map.nrows(), map.ncols(), Connectivity::Eight).unwrap_or_else(|_| none())
}

/// The defects of a scan, by falling peak, and for each pixel the place of its defect among them (from 1, 0 = none).
pub(crate) fn defects(
    map: &Array2<f32>,
    found: Labelling,
    levels: Levels,
    scan: &Prepared,
    seen: &[Seen],
) -> (Vec<Defect>, Vec<u32>) {
    let Labelling { mut labels, components } = found;
    if components.is_empty() {
        return (Vec::new(), labels);
    }
    let pixels = pixels_of(&labels, components.len());
    let peaks: Vec<f64> = pixels.iter().map(|region| peak(map, region)).collect();
    let mut order: Vec<usize> = (0..components.len()).collect();
    order.sort_by(|&a, &b| peaks[b].total_cmp(&peaks[a]));
    let mut place = vec![0; components.len() + 1];
    order.iter().enumerate().for_each(|(rank, &k)| place[k + 1] = rank as u32 + 1);
    labels.iter_mut().for_each(|label| *label = place[*label as usize]);
    let measured = points_of(scan).map(|points| Measured::new(points, map, &labels, scan));
    let defect = |&k: &usize| {
        let (component, region) = (&components[k], &pixels[k]);
        let middle = f64::midpoint(levels.threshold, peaks[k]);
        let size = measured.as_ref().and_then(|measured| measured.size(component, region, middle));
        let (steps, seen_by) = credit::credited(seen, region);
        Defect {
            bbox: Some([
                component.cols.start,
                component.rows.start,
                component.cols.len(),
                component.rows.len(),
            ]),
            centroid: Some([component.centroid.1, component.centroid.0]),
            contour: contour(component, region, map.ncols()),
            area_px: Some(component.area),
            points: None,
            peak: peaks[k],
            severity: levels.severity(peaks[k]),
            steps,
            seen_by,
            area_mm2: size.as_ref().map(|s| s.area),
            position_mm: size.as_ref().map(|s| s.position),
            part_position_mm: size.as_ref().and_then(|s| s.part_position),
            height_mm: size.as_ref().and_then(|s| s.height),
            unmeasured: size.as_ref().map(|s| s.unmeasured),
        }
    };
    let defects = order.iter().map(defect).collect();
    (defects, labels)
}

/// The pixels of each region, by index.
fn pixels_of(labels: &[u32], regions: usize) -> Vec<Vec<usize>> {
    let mut pixels = vec![Vec::new(); regions];
    for (at, &label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        pixels[label as usize - 1].push(at);
    }
    pixels
}

fn peak(map: &Array2<f32>, region: &[usize]) -> f64 {
    let columns = map.ncols();
    let value = |&at: &usize| f64::from(map[(at / columns, at % columns)]);
    region.iter().map(value).fold(f64::NEG_INFINITY, f64::max)
}

/// The outer outline of a region.
fn contour(component: &Component, region: &[usize], columns: usize) -> Vec<[f64; 2]> {
    let mut mask = Mask::from_elem((component.rows.len(), component.cols.len()), false);
    for at in region {
        mask[(at / columns - component.rows.start, at % columns - component.cols.start)] = true;
    }
    // The first outline is met above all others of the region, so it is the outer one.
    let outline = polygon::outlines(&mask).into_iter().next().unwrap_or_default();
    let (x, y) = (component.cols.start as f64, component.rows.start as f64);
    polygon::simplified(&outline, CONTOUR_TOLERANCE).iter().map(|c| [c[0] + x, c[1] + y]).collect()
}

/// The organised points of a scan.
pub(crate) fn points_of(scan: &Prepared) -> Option<&Grid> {
    scan.sensors.iter().flatten().find_map(|value| match &value.data {
        Data::Grid(grid) if value.content == Content::Xyz => Some(grid),
        _ => None,
    })
}

fn millimetres(metres: [f64; 3]) -> [f64; 3] {
    metres.map(|v| rounded(1e3 * v))
}

/// To a thousandth: of what is said in millimetres, more is noise.
fn rounded(v: f64) -> f64 {
    // Adding 0 makes -0 plain.
    (v * 1e3).round() / 1e3 + 0.0
}

#[cfg(test)]
mod tests;
