//! The patches of both modalities, and which of them lie at one place.

use assay_kernels::embed::{Embedding, embed};
use assay_kernels::grids::{finest, maps, nearest_cells, valid_everywhere};
use assay_kernels::resample::Resample;
use assay_sdk::{Error, OutputSpec, Parallel, Result, Sample, Spec};
use ndarray::Array2;

/// The input port of a modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modality {
    Rgb = 0,
    Xyz = 1,
}

/// The grid of a modality's patches.
#[derive(Debug, Clone)]
struct Side {
    /// Channels of each input.
    parts: Vec<usize>,
    rows: usize,
    cols: usize,
}

impl Side {
    fn channels(&self) -> usize {
        self.parts.iter().sum()
    }

    fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }
}

/// Where patches lie, and which of each modality belong together.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    sides: [Side; 2],
    /// The patch of each modality at each cell of the finer grid, which is that of the fused patches.
    partners: [Vec<usize>; 2],
}

/// The patches of one modality.
pub(crate) struct Patches {
    /// [n, channels].
    pub(crate) vectors: Array2<f32>,
    /// [n].
    pub(crate) valid: Vec<bool>,
}

impl Plan {
    /// The plan for inputs like these, and the outputs that it makes: RGB, 3D, fused.
    ///
    /// # Errors
    /// Inputs that do not lie over the same part of the picture.
    pub(crate) fn new(inputs: &[Spec]) -> Result<(Self, Vec<OutputSpec>)> {
        let side = |modality: Modality| -> Result<(Spec, Side)> {
            let port = modality as usize;
            let own: Vec<Spec> = inputs.iter().filter(|s| s.port == port).cloned().collect();
            let finest = finest(&own)?.clone();
            let parts = own.iter().map(|s| s.channels).collect();
            let side = Side { parts, rows: finest.rows, cols: finest.cols };
            Ok((finest, side))
        };
        let ((rgb, rgb_side), (xyz, xyz_side)) = (side(Modality::Rgb)?, side(Modality::Xyz)?);
        let both = [rgb, xyz];
        let fused = finest(&both)?;
        let sides = [rgb_side, xyz_side];
        let partner = |side: &Side| nearest_cells(side.size(), (fused.rows, fused.cols));
        let partners = [partner(&sides[0])?, partner(&sides[1])?];
        let outputs = vec![
            OutputSpec::grid_like(&both[0], sides[0].channels()),
            OutputSpec::grid_like(&both[1], sides[1].channels()),
            OutputSpec::grid_like(fused, sides[0].channels() + sides[1].channels()),
        ];
        Ok((Self { sides, partners }, outputs))
    }

    /// Values of a patch of colour and of 3D.
    pub(crate) fn widths(&self) -> [usize; 2] {
        [self.sides[0].channels(), self.sides[1].channels()]
    }

    /// Channels of each input of a modality.
    pub(crate) fn parts(&self, modality: Modality) -> &[usize] {
        &self.sides[modality as usize].parts
    }

    /// The patches of a modality: each channel's mean over `pool` x `pool` cells, layers brought to the finest and put side by side.
    ///
    /// # Errors
    /// Inputs that are not those that were planned.
    pub(crate) fn patches(
        &self,
        modality: Modality,
        sample: &Sample<'_>,
        pool: usize,
        par: &dyn Parallel,
    ) -> Result<Patches> {
        let side = &self.sides[modality as usize];
        let grids = sample.port(modality as usize).map(|v| v.grid()).collect::<Result<Vec<_>>>()?;
        let how = Embedding { window: pool, resample: Resample::Bilinear, channels: None };
        let vectors = embed(&maps(&grids)?, &how, par)?;
        if vectors.dim() != (side.rows * side.cols, side.channels()) {
            return Err(Error::input("features", "the inputs are not those that were planned"));
        }
        Ok(Patches { vectors, valid: valid_everywhere(&grids, side.rows, side.cols) })
    }

    /// The patches of both modalities at each cell of the fused grid, side by side, [n, rgb + xyz], and whether both are valid.
    pub(crate) fn pairs(&self, rgb: &Patches, xyz: &Patches) -> Patches {
        let cells = self.partners[0].len();
        let channels = rgb.vectors.ncols() + xyz.vectors.ncols();
        let mut values = Vec::with_capacity(cells * channels);
        let mut valid = Vec::with_capacity(cells);
        for (&a, &b) in self.partners[0].iter().zip(&self.partners[1]) {
            values.extend(rgb.vectors.row(a));
            values.extend(xyz.vectors.row(b));
            valid.push(rgb.valid[a] && xyz.valid[b]);
        }
        Patches { vectors: Array2::from_shape_vec((cells, channels), values).unwrap_or_default(), valid }
    }
}
