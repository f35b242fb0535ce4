//! From a decoded scan to what the steps see: modalities as values, and which pixels belong to the part.

use crate::align;
use crate::error::{Error, Result};
use crate::recipe::{Background, Recipe, union};
use crate::value::{Cloud, Content, Data, Value};
use assay_data::prepare::resize::{MaskRule, mask as resize_mask};
use assay_data::prepare::{Plane, dilate};
use assay_data::{Grid, Image, Mask, Modality, Pose, ScanFiles};
use ndarray::{Array2, Array3};
use std::sync::Arc;

/// A scan as the steps see it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The scan's id.
    pub id: String,
    /// `(rows, columns)`.
    pub native: (usize, usize),
    /// One value a sensor, in the recipe's order; `None` of one that measured nothing.
    pub sensors: Vec<Option<Arc<Value>>>,
    /// Pixels that detectors learn and score, native size; `None` = all.
    pub scored: Option<Mask>,
    /// Pixels that the map shows, native size; `None` = all.
    pub shown: Option<Mask>,
    /// Pixels that the recipe has inspected, native size; `None` = all. Nothing else is scored or shown.
    pub inspected: Option<Mask>,
    /// The pose that a cloud was aligned by: from its sensor's frame into that of the steps.
    pub aligned: Option<Pose>,
    /// The surface that the part lies on, in the camera's frame, where one was found.
    pub plane: Option<Plane>,
}

/// Loads and prepares one scan to learn from or to set thresholds with: no sensor may be missing.
///
/// # Errors
/// As [`load_without`]; [`crate::Error::Scan`] where a sensor measured nothing.
pub fn load(recipe: &Recipe, files: &ScanFiles) -> Result<Prepared> {
    let prepared = load_without(recipe, files, &[])?;
    if let Some(sensor) = prepared.missing(recipe).first() {
        let message = format!(
            "its sensor `{sensor}` measured nothing: what a model learns from, or is calibrated on, must be complete; leave the scan out"
        );
        return Err(Error::Scan { scan: prepared.id, message });
    }
    Ok(prepared)
}

/// Loads and prepares one scan as if sensors called in `without` had measured nothing.
///
/// # Errors
/// [`crate::Error::Data`]: a file that cannot be used, or no part in view.
pub fn load_without(recipe: &Recipe, files: &ScanFiles, without: &[String]) -> Result<Prepared> {
    let scan = assay_data::load(files, &recipe.sensors, without, &recipe.limits)?;
    let inspected = inspected(recipe, &scan)?;
    let (mut part, mut standing, mut plane) = (None, None, None);
    if recipe.background() != Background::Off
        && let Some(sensor) = recipe.height_sensor()
        && let Some(Modality::Organised(points)) = scan.modality(&sensor.name)
    {
        let found = recipe.prepare.plane.remove(points)?;
        if !found.mask.iter().any(|&m| m) {
            return Err(nothing_stands_out(&scan.id));
        }
        plane = found.plane;
        let margin = (recipe.prepare.margin * scan.native.0.min(scan.native.1) as f64).round() as usize;
        part = Some(dilate(&on_cells(&found.mask, scan.native)?, margin));
        standing = Some(found.mask);
    }
    let (mut blank, mut measured, mut scored, mut shown) = (None, None, None, None);
    match recipe.background() {
        Background::Off => (),
        Background::Input => (blank, measured) = (part.clone(), part),
        Background::Features => scored = part,
        Background::Points => (measured, scored) = (standing, part),
        Background::Map => shown = part,
    }
    if let Some(inspected) = &inspected {
        match &mut scored {
            Some(scored) => scored.zip_mut_with(inspected, |s, &i| *s &= i),
            None => scored = Some(inspected.clone()),
        }
    }
    let mut aligned = None;
    let kinds: Vec<Content> = recipe.sensors.iter().map(crate::graph::content_of).collect();
    let sensors = scan.modalities.into_iter().zip(kinds).map(|((_, modality), content)| {
        let Some(modality) = modality else { return Ok(None) };
        let data = match modality {
            Modality::Image(mut image) => {
                if let Some(part) = &blank {
                    let part = on_cells(part, image.size())?;
                    for ((i, j, _), v) in image.pixels.indexed_iter_mut() {
                        if !part[(i, j)] {
                            *v = 0;
                        }
                    }
                }
                Data::Image(image)
            }
            Modality::Organised(grid) => Data::Grid(match &measured {
                Some(part) => {
                    let part = on_cells(part, grid.size())?;
                    restrict(grid, &part)
                }
                None => grid,
            }),
            Modality::Points(mut cloud) => {
                if recipe.clears_clouds() && cloud.valid.as_ref().is_none_or(|valid| valid.contains(&true)) {
                    let (standing, under) = recipe.prepare.plane.remove_from_cloud(&cloud)?;
                    if !standing.contains(&true) {
                        return Err(nothing_stands_out(&scan.id));
                    }
                    plane = plane.or(under);
                    cloud.valid = Some(standing);
                }
                let mut cloud = Cloud {
                    values: Array2::zeros((cloud.positions.nrows(), 0)),
                    positions: cloud.positions,
                    valid: cloud.valid,
                };
                // One pose for all clouds of a scan: that of the first.
                aligned = aligned.or_else(|| align::pose(&cloud, recipe.prepare.align));
                aligned.iter().for_each(|pose| align::apply(&mut cloud.positions, pose));
                Data::Cloud(cloud)
            }
        };
        Ok(Some(Arc::new(Value { content, data, image_score: f64::NAN })))
    });
    let sensors = sensors.collect::<Result<_>>()?;
    Ok(Prepared { id: scan.id, native: scan.native, sensors, scored, shown, inspected, aligned, plane })
}

fn nothing_stands_out(scan: &str) -> Error {
    let message =
        "nothing stands out from the background: is the part in view? ([prepare] tells how it is found)";
    Error::Scan { scan: scan.into(), message: message.into() }
}

/// The pixels of a scan that the recipe has inspected; `None` = all.
///
/// # Errors
/// [`Error::Scan`] where none is left, and for a mask of another size or a scan without pixels.
fn inspected(recipe: &Recipe, scan: &assay_data::Scan) -> Result<Option<Mask>> {
    let (inspect, ignore) = (&recipe.prepare.inspect, &recipe.prepare.ignore);
    if inspect.is_empty() && ignore.is_empty() {
        return Ok(None);
    }
    let refuse = |message: String| Error::Scan { scan: scan.id.clone(), message };
    if scan.native == (0, 0) {
        return Err(refuse(
            "`inspect` and `ignore` of [prepare] are areas of pixels, and it has none".into(),
        ));
    }
    let of = |areas| union(areas, scan.native).map_err(|e| refuse(e.to_string()));
    let mut inspected = of(inspect)?.unwrap_or_else(|| Mask::from_elem(scan.native, true));
    if let Some(ignored) = of(ignore)? {
        inspected.zip_mut_with(&ignored, |i, &ignored| *i &= !ignored);
    }
    if !inspected.iter().any(|&i| i) {
        return Err(refuse("`inspect` and `ignore` of [prepare] leave no pixel of it to inspect".into()));
    }
    Ok(Some(inspected))
}

/// The grid with every cell outside `mask` (of its size) invalid and 0.
pub fn restrict(mut grid: Grid, mask: &Mask) -> Grid {
    let mut valid = grid.valid.take().unwrap_or_else(|| Mask::from_elem(mask.dim(), true));
    valid.zip_mut_with(mask, |v, &m| *v &= m);
    for mut plane in grid.values.outer_iter_mut() {
        plane.zip_mut_with(&valid, |v, &keep| *v = if keep { *v } else { 0.0 });
    }
    grid.valid = Some(valid);
    grid
}

/// The grid with every cell outside `mask` (of its size) invalid. What was seen up to two cells beyond it stays, so that a
/// neighbourhood at the part's edge is the same whatever the mask does a cell further; the rest is 0.
pub fn restrict_softly(mut grid: Grid, mask: &Mask) -> Grid {
    let near = dilate(mask, 2);
    for mut plane in grid.values.outer_iter_mut() {
        plane.zip_mut_with(&near, |v, &keep| *v = if keep { *v } else { 0.0 });
    }
    let mut valid = grid.valid.take().unwrap_or_else(|| Mask::from_elem(mask.dim(), true));
    valid.zip_mut_with(mask, |v, &m| *v &= m);
    grid.valid = Some(valid);
    grid
}

/// A mask on a grid of another size that covers the same view: a cell belongs to it where any of its pixels does.
///
/// # Errors
/// Where the size is empty.
pub fn on_cells(mask: &Mask, size: (usize, usize)) -> Result<Mask> {
    if mask.dim() == size {
        return Ok(mask.clone());
    }
    Ok(resize_mask(mask, size, MaskRule::Any)?)
}

impl Prepared {
    /// A scan of which all pixels are learned, scored and shown, in its sensors' own frame.
    pub fn whole(id: String, native: (usize, usize), sensors: Vec<Option<Arc<Value>>>) -> Self {
        Self { id, native, sensors, scored: None, shown: None, inspected: None, aligned: None, plane: None }
    }

    /// Names of the sensors that measured nothing.
    pub fn missing(&self, recipe: &Recipe) -> Vec<String> {
        let sensors = recipe.sensors.iter().zip(&self.sensors);
        sensors.filter(|(_, value)| value.is_none()).map(|(sensor, _)| sensor.name.clone()).collect()
    }

    /// The scan as the camera would see it turned by `angle` about its optical axis (radians, clockwise in the picture): for
    /// fits on parts that lie at any angle. What was out of view is not learned. Light and shadows turn along, which a
    /// fixed lamp's would not.
    pub fn turned(&self, angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        let turned_mask = |mask: Option<&Mask>| {
            let turn = Turn { angle: (sin, cos), size: self.native };
            Mask::from_shape_fn(self.native, |(i, j)| {
                turn.nearest(i, j).is_some_and(|at| mask.is_none_or(|m| m[at]))
            })
        };
        let sensors = self.sensors.iter().map(|value| {
            let value = value.as_ref()?;
            let data = match &value.data {
                Data::Image(image) => {
                    let turn = Turn { angle: (sin, cos), size: image.size() };
                    Data::Image(Image {
                        pixels: turned_image(&image.pixels, &turn),
                        valid: image.valid.as_ref().map(|valid| {
                            // Beyond the borders the picture is black, as the network sees it, and not scored.
                            Mask::from_shape_fn(valid.dim(), |(i, j)| {
                                turn.nearest(i, j).is_none_or(|at| valid[at])
                            })
                        }),
                        frame: image.frame,
                    })
                }
                Data::Grid(grid) => {
                    Data::Grid(turned_points(grid, &Turn { angle: (sin, cos), size: grid.size() }))
                }
                Data::Cloud(cloud) => {
                    let mut cloud = cloud.clone();
                    for mut p in cloud.positions.rows_mut() {
                        let (x, y) = (f64::from(p[0]), f64::from(p[1]));
                        (p[0], p[1]) = ((cos * x - sin * y) as f32, (sin * x + cos * y) as f32);
                    }
                    Data::Cloud(cloud)
                }
            };
            Some(Arc::new(Value { content: value.content, data, image_score: value.image_score }))
        });
        Self {
            id: self.id.clone(),
            native: self.native,
            sensors: sensors.collect(),
            scored: Some(turned_mask(self.scored.as_ref())),
            shown: self.shown.as_ref().map(|m| turned_mask(Some(m))),
            inspected: self.inspected.as_ref().map(|m| turned_mask(Some(m))),
            aligned: None,
            // It would have to be turned along; what learns from turned scans does not ask for it.
            plane: None,
        }
    }
}

/// A turn about the middle of a grid.
struct Turn {
    /// Sine and cosine of the angle, clockwise in the picture.
    angle: (f64, f64),
    /// `(rows, columns)`.
    size: (usize, usize),
}

impl Turn {
    /// Where the turned picture's pixel was: `(row, column)`.
    fn from(&self, i: usize, j: usize) -> (f64, f64) {
        let (sin, cos) = self.angle;
        let centre = ((self.size.0 as f64 - 1.0) / 2.0, (self.size.1 as f64 - 1.0) / 2.0);
        let (y, x) = (i as f64 - centre.0, j as f64 - centre.1);
        (centre.0 - sin * x + cos * y, centre.1 + cos * x + sin * y)
    }

    /// The pixel nearest to there; `None` beyond the borders.
    fn nearest(&self, i: usize, j: usize) -> Option<(usize, usize)> {
        let ((y, x), (rows, cols)) = (self.from(i, j), self.size);
        let inside = y > -0.5 && x > -0.5 && y < rows as f64 - 0.5 && x < cols as f64 - 0.5;
        inside.then(|| (y.round() as usize, x.round() as usize))
    }
}

/// Points moved to the pixels that see them after the turn, their coordinates turned along.
fn turned_points(grid: &Grid, turn: &Turn) -> Grid {
    let (sin, cos) = turn.angle;
    let mut turned = Grid { values: Array3::zeros(grid.values.dim()), valid: None, frame: grid.frame };
    let mut valid = Mask::from_elem(grid.size(), false);
    for ((i, j), ok) in valid.indexed_iter_mut() {
        let Some((y, x)) = turn.nearest(i, j).filter(|&(y, x)| grid.is_valid(y, x)) else { continue };
        *ok = true;
        for (c, mut plane) in turned.values.outer_iter_mut().enumerate() {
            plane[(i, j)] = grid.values[(c, y, x)];
        }
        if grid.channels() == 3 {
            let (x, y) = (f64::from(turned.values[(0, i, j)]), f64::from(turned.values[(1, i, j)]));
            turned.values[(0, i, j)] = (cos * x - sin * y) as f32;
            turned.values[(1, i, j)] = (sin * x + cos * y) as f32;
        }
    }
    turned.valid = Some(valid);
    turned
}

/// An image turned, sampled bilinearly, black beyond its borders.
fn turned_image(image: &Array3<u8>, turn: &Turn) -> Array3<u8> {
    let (rows, cols, channels) = image.dim();
    let mut out = Array3::<u8>::zeros(image.dim());
    for i in 0..rows {
        for j in 0..cols {
            let (y, x) = turn.from(i, j);
            if y <= -0.5 || x <= -0.5 || y >= rows as f64 - 0.5 || x >= cols as f64 - 0.5 {
                continue;
            }
            let (y, x) = (y.clamp(0.0, (rows - 1) as f64), x.clamp(0.0, (cols - 1) as f64));
            let (y0, x0) = (y as usize, x as usize);
            let (y1, x1) = ((y0 + 1).min(rows - 1), (x0 + 1).min(cols - 1));
            let (fy, fx) = (y.fract() as f32, x.fract() as f32);
            for c in 0..channels {
                let at = |y: usize, x: usize| f32::from(image[(y, x, c)]);
                let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                out[(i, j, c)] = (top * (1.0 - fy) + bottom * fy).round() as u8;
            }
        }
    }
    out
}

impl Recipe {
    /// What happens to the background: as written, else `features` where a height sensor can tell it apart.
    pub fn background(&self) -> Background {
        if self.height_sensor().is_none() { Background::Off } else { self.prepare.background }
    }

    /// Whether the surface under a part goes from clouds: only where the recipe says so and no pixels tell it apart, for of a
    /// cloud that holds the part alone it would be the part's own flat side.
    fn clears_clouds(&self) -> bool {
        self.height_sensor().is_none() && self.prepare.background == Background::Input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_data::Frame;
    use std::f64::consts::{FRAC_PI_2, TAU};

    fn scan() -> Prepared {
        let image = Array3::from_shape_fn((5, 5, 3), |(i, j, c)| (i * 40 + j * 8 + c) as u8);
        let mut points =
            Array3::from_shape_fn((3, 5, 5), |(c, i, j)| [j as f32 - 2.0, i as f32 - 2.0, 7.0][c]);
        points[(2, 2, 2)] = 9.0;
        let value = |content, data| Some(Arc::new(Value { content, data, image_score: f64::NAN }));
        let grid = Grid { values: points, valid: None, frame: Frame::NATIVE };
        let sensors =
            vec![value(Content::Rgb, Data::Image(Image::new(image))), value(Content::Xyz, Data::Grid(grid))];
        Prepared::whole("a".into(), (5, 5), sensors)
    }

    fn parts(p: &Prepared) -> (Array3<u8>, Grid) {
        match (&p.sensors[0].as_ref().unwrap().data, &p.sensors[1].as_ref().unwrap().data) {
            (Data::Image(i), Data::Grid(g)) => (i.pixels.clone(), g.clone()),
            _ => panic!("an image and a grid"),
        }
    }

    #[test]
    fn a_quarter_turn_moves_pixels_and_turns_coordinates_with_them() {
        let before = scan();
        let (image, _) = parts(&before);
        let (turned, points) = parts(&before.turned(FRAC_PI_2));
        for i in 0..5 {
            for j in 0..5 {
                // Clockwise: what was at the top is at the right.
                assert_eq!(turned[(j, 4 - i, 1)], image[(i, j, 1)]);
                // The point still lies where its pixel is.
                let at = [points.values[(0, i, j)], points.values[(1, i, j)]];
                assert!(
                    (at[0] - (j as f32 - 2.0)).abs() < 1e-5 && (at[1] - (i as f32 - 2.0)).abs() < 1e-5,
                    "{at:?}"
                );
            }
        }
        assert_eq!(points.values[(2, 2, 2)], 9.0);
    }

    #[test]
    fn a_whole_turn_changes_nothing_and_half_a_quarter_hides_the_corners() {
        let before = scan();
        let (image, _) = parts(&before);
        assert_eq!(parts(&before.turned(TAU)).0, image);
        let turned = before.turned(FRAC_PI_2 / 2.0);
        let scored = turned.scored.as_ref().unwrap();
        assert!(!scored[(0, 0)] && !scored[(4, 4)] && scored[(2, 2)]);
        let (_, points) = parts(&turned);
        assert!(!points.is_valid(0, 0) && points.values[(2, 0, 0)] == 0.0);
    }
}
