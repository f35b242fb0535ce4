//! From a decoded scan to what the steps see: modalities as values, and which pixels belong to the part.

use crate::error::{Error, Result};
use crate::recipe::{Background, Recipe};
use crate::value::{Cloud, Content, Data, Value};
use assay_data::prepare::dilate;
use assay_data::prepare::resize::{MaskRule, mask as resize_mask};
use assay_data::{Grid, Limits, Mask, Modality, ScanFiles};
use ndarray::Array2;
use std::sync::Arc;

/// A scan as the steps see it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The scan's id.
    pub id: String,
    /// `(rows, columns)`.
    pub native: (usize, usize),
    /// One value a sensor, in the recipe's order.
    pub sensors: Vec<Arc<Value>>,
    /// The part with its margin, `native`; `None` where the background is not told apart.
    pub part: Option<Mask>,
}

/// Loads and prepares one scan.
///
/// # Errors
/// [`crate::Error::Data`]: a file that cannot be used, or no part in view.
pub fn load(recipe: &Recipe, files: &ScanFiles, limits: &Limits) -> Result<Prepared> {
    let scan = assay_data::load(files, &recipe.sensors, limits)?;
    let mut part = None;
    if recipe.background() != Background::Off
        && let Some(sensor) = recipe.height_sensor()
        && let Some(Modality::Organised(points)) = scan.modality(sensor)
    {
        let found = recipe.prepare.plane.remove(points)?;
        if !found.mask.iter().any(|&m| m) {
            let message = "nothing stands out from the background: is the part in view? ([prepare] tells how it is found)";
            return Err(Error::Scan { scan: scan.id, message: message.into() });
        }
        let margin = (recipe.prepare.margin * scan.native.0.min(scan.native.1) as f64).round() as usize;
        part = Some(dilate(&found.mask, margin));
    }
    let blank = if recipe.background() == Background::Input { part.as_ref() } else { None };
    let kinds: Vec<Content> = recipe.sensors.iter().map(|s| crate::graph::content_of(s.kind)).collect();
    let sensors = scan.modalities.into_iter().zip(kinds).map(|((_, modality), content)| {
        let data = match modality {
            Modality::Image(mut image) => {
                if let Some(part) = blank {
                    for ((i, j, _), v) in image.indexed_iter_mut() {
                        if !part[(i, j)] {
                            *v = 0;
                        }
                    }
                }
                Data::Image(image)
            }
            Modality::Organised(grid) => Data::Grid(match blank {
                Some(part) => restrict(grid, part),
                None => grid,
            }),
            Modality::Points(cloud) => Data::Cloud(Cloud {
                values: Array2::zeros((cloud.positions.nrows(), 0)),
                positions: cloud.positions,
                valid: cloud.valid,
            }),
        };
        Arc::new(Value { content, data, image_score: f64::NAN })
    });
    let sensors = sensors.collect();
    Ok(Prepared { id: scan.id, native: scan.native, sensors, part })
}

/// The grid with every cell outside `mask` (of its size) invalid and 0.
pub fn restrict(mut grid: Grid, mask: &Mask) -> Grid {
    let mut valid = grid.valid.take().unwrap_or_else(|| Mask::from_elem(mask.dim(), true));
    valid.zip_mut_with(mask, |v, &m| *v &= m);
    for mut plane in grid.values.outer_iter_mut() {
        plane.zip_mut_with(&valid, |v, &keep| {
            if !keep {
                *v = 0.0;
            }
        });
    }
    grid.valid = Some(valid);
    grid
}

/// The part's mask on a grid that covers the whole scan: a cell belongs to it where any of its pixels does.
///
/// # Errors
/// Where the size is empty.
pub fn part_on_grid(part: &Mask, size: (usize, usize)) -> Result<Mask> {
    Ok(resize_mask(part, size, MaskRule::Any)?)
}

impl Recipe {
    /// What happens to the background: as written, else `features` where a height sensor can tell it apart.
    pub fn background(&self) -> Background {
        if self.height_sensor().is_none() { Background::Off } else { self.prepare.background }
    }
}
