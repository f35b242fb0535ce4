//! Scans as the network takes them: small square pictures.

use crate::window::Window;
use assay_sdk::{Content, Error, GridView, Result, Sample, Spec};

/// Port of the colour image, and of the depths.
pub(crate) const COLOUR: usize = 0;
pub(crate) const DEPTH: usize = 1;

/// Depths are spread over this part of 0 to 1, so that a place without one, which is 0, is none of them.
const LEAST_DEPTH: f32 = 0.1;

/// The sensors of a scan and the size of its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) size: usize,
    pub(crate) colour: bool,
    pub(crate) depth: bool,
}

impl Shape {
    /// The sensors that are bound.
    ///
    /// # Errors
    /// None, or an input whose channels are not those of a picture.
    pub(crate) fn of(inputs: &[Spec], size: usize) -> Result<Self> {
        let bound = |port| inputs.iter().any(|s| s.port == port);
        let shape = Self { size, colour: bound(COLOUR), depth: bound(DEPTH) };
        if shape.sensors() == 0 {
            return Err(Error::input("colour", "neither a colour image nor depths are bound"));
        }
        let features = |s: &&Spec| s.content == Content::Features && s.channels != 1;
        if let Some(spec) = inputs.iter().find(features) {
            let message = format!("`{}` has {} channels; depths have one", spec.name, spec.channels);
            return Err(Error::input("depth", message));
        }
        Ok(shape)
    }

    pub(crate) fn sensors(self) -> usize {
        usize::from(self.colour) + usize::from(self.depth)
    }

    pub(crate) fn cells(self) -> usize {
        self.size * self.size
    }

    /// Values of a row: three planes of colour; depths, and whether they are valid.
    pub(crate) fn values(self) -> usize {
        self.cells() * (3 * usize::from(self.colour) + 2 * usize::from(self.depth))
    }

    /// Where the part of a scan is.
    ///
    /// # Errors
    /// An input that is no grid.
    pub(crate) fn window(self, sample: &Sample<'_>) -> Result<Window> {
        Ok(Window::around(sample.grids()?.into_iter()))
    }

    /// The window of a scan as a row: colours from 0 to 1, depths in their unit around the scan's median.
    ///
    /// # Errors
    /// An input that is not what was planned.
    pub(crate) fn row(self, sample: &Sample<'_>, window: &Window) -> Result<Vec<f32>> {
        let mut row = Vec::with_capacity(self.values());
        for value in sample.port(COLOUR) {
            let grid = value.grid()?;
            for c in [0, 1, 2] {
                let plane = grid.plane(if grid.channels == 3 { c } else { 0 });
                row.extend(
                    shrunk(&grid, plane, self.size, window, |_| true)
                        .into_iter()
                        .map(|v| v.unwrap_or(0.0) / 255.0),
                );
            }
        }
        for value in sample.port(DEPTH) {
            let grid = value.grid()?;
            let plane = grid.plane(if grid.channels == 3 { 2 } else { 0 });
            let depths = shrunk(&grid, plane, self.size, window, |i| grid.is_valid(i));
            let middle = median(depths.iter().flatten().copied().collect());
            row.extend(depths.iter().map(|d| d.map_or(0.0, |d| d - middle)));
            row.extend(depths.iter().map(|d| f32::from(u8::from(d.is_some()))));
        }
        if row.len() == self.values() && row.iter().all(|v| v.is_finite()) {
            Ok(row)
        } else {
            Err(Error::input("colour", "the inputs are not those that were planned"))
        }
    }

    /// The parts of a row.
    pub(crate) fn scan<'a>(self, row: &'a [f32], reach: f32) -> Scan<'a> {
        let (colour, depth) = row.split_at(if self.colour { 3 * self.cells() } else { 0 });
        let (depths, valid) = depth.split_at(depth.len() / 2);
        Scan {
            colour: self.colour.then_some(colour),
            depth: self.depth.then_some(Depth { depths, valid, reach }),
        }
    }

    /// How far depths lie from a scan's median: all but a thousandth of those of `rows`.
    pub(crate) fn reach<'a>(self, rows: impl Iterator<Item = &'a [f32]>) -> f32 {
        // At most so many depths of each row are sorted.
        const SOME: usize = 4096;
        let mut far = Vec::new();
        for row in rows {
            if let Some(Depth { depths, valid, .. }) = self.scan(row, 1.0).depth {
                let step = depths.len().div_ceil(SOME).max(1);
                let measured = depths.iter().zip(valid).step_by(step).filter(|(_, v)| **v > 0.0);
                far.extend(measured.map(|(d, _)| d.abs()));
            }
        }
        far.sort_unstable_by(f32::total_cmp);
        far.get(far.len() - far.len().div_ceil(1000).min(far.len()))
            .copied()
            .unwrap_or(0.0)
            .max(f32::MIN_POSITIVE)
    }
}

/// A scan's pictures, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// Three planes, 0 to 1.
    pub(crate) colour: Option<&'a [f32]>,
    pub(crate) depth: Option<Depth<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Depth<'a> {
    depths: &'a [f32],
    valid: &'a [f32],
    reach: f32,
}

impl Depth<'_> {
    /// Whether there is a depth.
    pub(crate) fn valid(&self, i: usize) -> bool {
        self.valid[i] > 0.0
    }

    /// The picture: [`LEAST_DEPTH`] to 1 over the reach around the median, 0 where there is no depth.
    pub(crate) fn picture(&self) -> Vec<f32> {
        let spread = 0.5 * (1.0 - LEAST_DEPTH);
        let value = |(d, v): (&f32, &f32)| {
            if *v > 0.0 { LEAST_DEPTH + spread * ((d / self.reach).clamp(-1.0, 1.0) + 1.0) } else { 0.0 }
        };
        self.depths.iter().zip(self.valid).map(value).collect()
    }
}

impl Scan<'_> {
    /// Where a part may be: where there are depths; everywhere without a depth sensor.
    pub(crate) fn is_part(&self, i: usize) -> bool {
        self.depth.is_none_or(|d| d.valid(i))
    }

    /// The pictures of the sensors, colour first, three planes each.
    pub(crate) fn pictures(&self) -> Vec<Vec<f32>> {
        let colour = self.colour.map(<[f32]>::to_vec);
        colour.into_iter().chain(self.depth.map(|d| d.picture().repeat(3))).collect()
    }
}

/// A window of a plane brought to `size` x `size`: the mean of what is valid in each cell, the pixel at its middle where a cell is smaller than one.
fn shrunk(
    grid: &GridView<'_>,
    plane: &[f32],
    size: usize,
    window: &Window,
    valid: impl Fn(usize) -> bool,
) -> Vec<Option<f32>> {
    let (rows, cols) = (grid.rows, grid.cols);
    let mut cells = Vec::with_capacity(size * size);
    for cell in 0..size * size {
        let (mut sum, mut count) = (0.0f64, 0u32);
        for row in window.rows(cell / size, size, rows) {
            for i in window.cols(cell % size, size, cols).map(|col| row * cols + col) {
                if valid(i) {
                    sum += f64::from(plane[i]);
                    count += 1;
                }
            }
        }
        cells.push((count > 0).then(|| (sum / f64::from(count)) as f32));
    }
    cells
}

/// The middle value; 0 of none.
fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f32::total_cmp).1 }
}
