//! The grids of the inputs, cut into regions, and the patches of a scan region by region.

use std::ops::Range;

use assay_kernels::embed::{Embedding, embed};
use assay_kernels::grids::{finest, maps, nearest_cells, valid_everywhere};
use assay_kernels::resample::Resample;
use assay_sdk::{Error, Parallel, Result, Sample, Spec};
use ndarray::{Array2, ArrayView2, Axis, s};

/// The grids that were planned. Every layer has the same regions, `down` x `across` of them.
pub(crate) struct Plan {
    pub(crate) layers: Vec<Layer>,
    pub(crate) down: usize,
    pub(crate) across: usize,
    /// Rows and columns of the finest grid, which scores lie on.
    finest: (usize, usize),
}

/// The grid of one input.
pub(crate) struct Layer {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) channels: usize,
    /// The cells in the order of their regions, row-major within one.
    order: Vec<usize>,
    /// Where each region starts in `order`, and the end.
    starts: Vec<usize>,
    /// For each cell of the finest grid, the cell of this one in which its centre lies.
    pub(crate) under: Vec<usize>,
}

/// The patches of one layer of a scan that count, region by region.
pub(crate) struct Patches {
    vectors: Array2<f32>,
    /// The cell that each vector belongs to.
    cells: Vec<usize>,
    /// Where each region starts, and the end.
    starts: Vec<usize>,
}

impl Plan {
    /// `cells` x `cells` regions, but no more either way than the coarsest input has cells: a region without a cell
    /// would learn nothing.
    pub(crate) fn new(inputs: &[Spec], cells: usize) -> Result<Self> {
        let grid = finest(inputs)?;
        let finest = (grid.rows, grid.cols);
        let down = inputs.iter().map(|s| s.rows).fold(cells, usize::min);
        let across = inputs.iter().map(|s| s.cols).fold(cells, usize::min);
        let layers =
            inputs.iter().map(|spec| Layer::new(spec, finest, down, across)).collect::<Result<Vec<_>>>()?;
        Ok(Self { layers, down, across, finest })
    }

    /// Regions of a layer.
    pub(crate) fn regions(&self) -> usize {
        self.down * self.across
    }

    /// What [`Self::shape`] starts with.
    pub(crate) const SHAPE: [&str; 3] = ["layers", "rows of regions", "columns of regions"];
    /// What follows for each layer.
    pub(crate) const LAYER: [&str; 3] = ["rows", "columns", "channels"];

    /// The numbers that saved banks must have in common with the inputs.
    pub(crate) fn shape(&self) -> impl Iterator<Item = usize> {
        let layers = self.layers.iter().flat_map(|layer| [layer.rows, layer.cols, layer.channels]);
        [self.layers.len(), self.down, self.across].into_iter().chain(layers)
    }

    /// The cells of each region of each layer, layer after layer.
    pub(crate) fn cells(&self) -> impl Iterator<Item = usize> {
        self.layers.iter().flat_map(|layer| layer.starts.windows(2).map(|pair| pair[1] - pair[0]))
    }

    /// The patches of each layer of a scan, averaged over a neighbourhood of `pool` cells, and which cells of the finest
    /// grid are valid.
    ///
    /// A cell of any layer counts where a valid cell of the finest grid lies in it. So what is learnt is what will be
    /// looked up, and a scan with a valid cell has patches in every layer.
    pub(crate) fn patches(
        &self,
        sample: &Sample<'_>,
        pool: usize,
        par: &dyn Parallel,
    ) -> Result<(Vec<Patches>, Vec<bool>)> {
        let grids = sample.grids()?;
        let shapes = self.layers.iter().map(|layer| (layer.channels, layer.rows, layer.cols));
        if !grids.iter().map(|grid| (grid.channels, grid.rows, grid.cols)).eq(shapes) {
            return Err(Error::input("features", "the grids are not those that were planned"));
        }
        let how = Embedding { window: pool, resample: Resample::Nearest, channels: None };
        let valid = valid_everywhere(&grids, self.finest.0, self.finest.1);
        let mut all = Vec::with_capacity(self.layers.len());
        for (layer, map) in self.layers.iter().zip(maps(&grids)?) {
            all.push(layer.sort(&embed(&[map], &how, par)?, &valid));
        }
        Ok((all, valid))
    }
}

impl Layer {
    fn new(spec: &Spec, finest: (usize, usize), down: usize, across: usize) -> Result<Self> {
        let (rows, cols) = (spec.rows, spec.cols);
        let under = nearest_cells((rows, cols), finest)?;
        let mut order = Vec::with_capacity(rows * cols);
        let mut starts = vec![0];
        for i in 0..down {
            for j in 0..across {
                let columns = part(j, across, cols);
                order.extend(part(i, down, rows).flat_map(|y| columns.clone().map(move |x| y * cols + x)));
                starts.push(order.len());
            }
        }
        Ok(Self { rows, cols, channels: spec.channels, order, starts, under })
    }

    /// The rows of `vectors` [cells, channels] that count.
    fn sort(&self, vectors: &Array2<f32>, valid: &[bool]) -> Patches {
        let mut counts = vec![false; vectors.nrows()];
        for (&cell, _) in self.under.iter().zip(valid).filter(|(_, valid)| **valid) {
            counts[cell] = true;
        }
        let mut cells = Vec::with_capacity(self.order.len());
        let mut starts = vec![0];
        for bounds in self.starts.windows(2) {
            cells.extend(self.order[bounds[0]..bounds[1]].iter().copied().filter(|&cell| counts[cell]));
            starts.push(cells.len());
        }
        Patches { vectors: vectors.select(Axis(0), &cells), cells, starts }
    }
}

/// The `i`th of `parts` nearly equal parts of `0..whole`.
fn part(i: usize, parts: usize, whole: usize) -> Range<usize> {
    i * whole / parts..(i + 1) * whole / parts
}

impl Patches {
    /// The vectors [n, channels] of a region.
    pub(crate) fn region(&self, region: usize) -> ArrayView2<'_, f32> {
        self.vectors.slice(s![self.starts[region]..self.starts[region + 1], ..])
    }

    /// The cells of a region, one a vector.
    pub(crate) fn cells(&self, region: usize) -> &[usize] {
        &self.cells[self.starts[region]..self.starts[region + 1]]
    }

    /// The region of a cell and its vector [1, channels], where the cell counts.
    pub(crate) fn find(&self, cell: usize) -> Option<(usize, ArrayView2<'_, f32>)> {
        let at = self.cells.iter().position(|&other| other == cell)?;
        let region = self.starts.partition_point(|&start| start <= at) - 1;
        Some((region, self.vectors.slice(s![at..=at, ..])))
    }
}
