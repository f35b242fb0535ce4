//! Organised points, sampled by nearest to a coarser grid.

use super::{has_point, resized, sampled_pixels};
use assay_sdk::{GridView, OutputSpec, Spec};
use std::borrow::Cow;

/// The points of a scan at the size that a method works at.
pub(super) struct Sampled<'a> {
    planes: [Cow<'a, [f32]>; 3],
    /// Whether each pixel has a point.
    pub(super) valid: Vec<bool>,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl<'a> Sampled<'a> {
    /// The points whose longer side is at most `longest`; 0 = as they are.
    pub(super) fn of(grid: &GridView<'a>, longest: i64) -> Self {
        let (rows, cols) = size((grid.rows, grid.cols), longest);
        let mut planes = [0, 1, 2].map(|c| Cow::Borrowed(grid.plane(c)));
        let valid = if (rows, cols) == (grid.rows, grid.cols) {
            (0..rows * cols).map(|i| has_point(grid, i)).collect()
        } else {
            let from: Vec<usize> = sampled_pixels((grid.rows, grid.cols), (rows, cols)).collect();
            for plane in &mut planes {
                *plane = Cow::Owned(from.iter().map(|&i| plane[i]).collect());
            }
            from.iter().map(|&i| has_point(grid, i)).collect()
        };
        Self { planes, valid, rows, cols }
    }

    /// x, y and z.
    pub(super) fn planes(&self) -> [&[f32]; 3] {
        self.planes.each_ref().map(|plane| &**plane)
    }
}

/// An output of so many channels for points like `spec`.
pub(super) fn output(spec: &Spec, longest: i64, channels: usize) -> OutputSpec {
    let (rows, cols) = size((spec.rows, spec.cols), longest);
    let frame = spec.frame.resized((spec.rows, spec.cols), (rows, cols));
    OutputSpec { rows, cols, frame, ..OutputSpec::grid_like(spec, channels) }
}

fn size(scan: (usize, usize), longest: i64) -> (usize, usize) {
    if longest == 0 { scan } else { resized(scan, longest as usize) }
}
