//! The patches of a scan: the cells of feature grids, or the points of clouds.

use assay_kernels::embed::{Embedding, embed};
use assay_kernels::grids::{finest, maps, valid_everywhere};
use assay_kernels::joint::joint;
use assay_kernels::resample::Resample;
use assay_sdk::{CloudView, Error, Layout, OutputSpec, Outputs, Parallel, Result, Sample, Spec};
use ndarray::{ArrayView2, CowArray, Ix2};

use crate::Settings;

/// Where scores lie, and the width of a patch vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Length of a patch vector.
    pub(crate) channels: usize,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Grid { rows: usize, cols: usize, joint: bool },
    Cloud,
}

/// The patches of one scan.
pub(crate) struct Patches<'a> {
    /// [n, channels].
    pub(crate) vectors: CowArray<'a, f32, Ix2>,
    /// Which of them are valid, [n].
    pub(crate) valid: Vec<bool>,
    /// The positions of a cloud's points, [n, 3], metres; none of a grid's cells.
    positions: &'a [f32],
}

impl Plan {
    /// The plan for inputs like these, and the scores that it makes.
    ///
    /// # Errors
    /// Inputs that do not belong together, or that have no columns.
    pub(crate) fn new(inputs: &[Spec], settings: &Settings) -> Result<(Self, OutputSpec)> {
        let channels = inputs.iter().map(|s| s.channels).sum();
        let clouds = inputs.iter().filter(|s| s.layout == Layout::Cloud).count();
        if clouds == 0 {
            let finest = finest(inputs)?;
            let width = settings.width as usize;
            let joint = match settings.embedding.as_str() {
                "joint" => true,
                "concat" => false,
                _ => channels > width,
            };
            let place = Place::Grid { rows: finest.rows, cols: finest.cols, joint };
            let channels = if joint { width } else { channels };
            return Ok((Self { channels, place }, OutputSpec::grid_like(finest, 1)));
        }
        if clouds < inputs.len() {
            let names = |layout| {
                let named = inputs.iter().find(|s| s.layout == layout);
                named.map_or("", |s| &s.name)
            };
            let (grid, cloud) = (names(Layout::Grid), names(Layout::Cloud));
            return Err(wrong(format!(
                "`{grid}` is a grid and `{cloud}` a cloud; patches of both have no common place: give each a step of its own"
            )));
        }
        if channels == 0 {
            return Err(wrong("the points have no features: compute some of them, as by `fpfh`".into()));
        }
        Ok((Self { channels, place: Place::Cloud }, OutputSpec::cloud(1)))
    }

    /// How many patches a scan has; `None` where each scan has as many as it comes with.
    pub(crate) fn cells(&self) -> Option<usize> {
        match self.place {
            Place::Grid { rows, cols, .. } => Some(rows * cols),
            Place::Cloud => None,
        }
    }

    /// The patches of a scan.
    ///
    /// # Errors
    /// Inputs that are not those that were planned; clouds of different points.
    pub(crate) fn patches<'a>(
        &self,
        sample: &Sample<'a>,
        settings: &Settings,
        par: &dyn Parallel,
    ) -> Result<Patches<'a>> {
        let patches = match self.place {
            Place::Grid { rows, cols, joint: false } => {
                let grids = sample.grids()?;
                let how = Embedding {
                    window: settings.pool as usize,
                    resample: Resample::Bilinear,
                    channels: None,
                };
                let vectors = embed(&maps(&grids)?, &how, par)?.into();
                Patches { vectors, valid: valid_everywhere(&grids, rows, cols), positions: &[] }
            }
            Place::Grid { rows, cols, joint: true } => {
                let grids = sample.grids()?;
                let vectors = joint(&maps(&grids)?, settings.pool as usize, self.channels, par)?.into();
                Patches { vectors, valid: valid_everywhere(&grids, rows, cols), positions: &[] }
            }
            Place::Cloud => side_by_side(&sample.clouds()?)?,
        };
        let (n, channels) = patches.vectors.dim();
        if channels != self.channels || n != patches.valid.len() {
            return Err(wrong("the inputs are not those that were planned".into()));
        }
        Ok(patches)
    }

    /// The output's scores and flags of validity, zeros so far, one a patch; the positions of a cloud are written.
    ///
    /// # Errors
    /// Where the host has no memory.
    pub(crate) fn outputs<'o>(
        &self,
        patches: &Patches<'_>,
        out: &mut Outputs<'o>,
    ) -> Result<(&'o mut [f32], &'o mut [u8])> {
        match self.place {
            Place::Grid { .. } => Ok((out.grid(0)?, out.grid_valid(0)?)),
            Place::Cloud => {
                let (scores, positions) = out.cloud(0, patches.valid.len())?;
                // An invalid point may lie nowhere.
                for (to, &from) in positions.iter_mut().zip(patches.positions) {
                    *to = if from.is_finite() { from } else { 0.0 };
                }
                Ok((scores, out.cloud_valid(0, patches.valid.len())?))
            }
        }
    }
}

/// The columns of clouds of the same points side by side; a point is valid where it is in every one.
fn side_by_side<'a>(clouds: &[CloudView<'a>]) -> Result<Patches<'a>> {
    let first = clouds.first().ok_or_else(|| wrong("no input is bound".into()))?;
    for other in clouds {
        if other.points != first.points {
            return Err(wrong(format!(
                "the clouds have {} and {} points; clouds of different points need a step each",
                first.points, other.points
            )));
        }
        let same =
            |i: usize| !other.is_valid(i) || !first.is_valid(i) || other.position(i) == first.position(i);
        if let Some(i) = (0..first.points).find(|&i| !same(i)) {
            return Err(wrong(format!(
                "point {i} lies at {:?} in one cloud and at {:?} in another; clouds of different points need a step each",
                first.position(i),
                other.position(i)
            )));
        }
    }
    let valid = (0..first.points).map(|i| clouds.iter().all(|cloud| cloud.is_valid(i))).collect();
    let channels: usize = clouds.iter().map(|cloud| cloud.channels).sum();
    let no_shape = |_| wrong("the values of a cloud are not one row a point".into());
    let shape = (first.points, channels);
    let vectors = if let [only] = clouds {
        ArrayView2::from_shape(shape, only.values).map_err(no_shape)?.into()
    } else {
        let mut values = Vec::with_capacity(first.points * channels);
        (0..first.points)
            .for_each(|i| clouds.iter().for_each(|cloud| values.extend_from_slice(cloud.row(i))));
        CowArray::from(ndarray::Array2::from_shape_vec(shape, values).map_err(no_shape)?)
    };
    Ok(Patches { vectors, valid, positions: first.positions })
}

fn wrong(message: String) -> Error {
    Error::input("features", message)
}
