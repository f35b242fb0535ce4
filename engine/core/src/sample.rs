//! Grids brought onto the cells of other grids.

use crate::value::{Data, Spec, Value};
use assay_data::{Frame, Grid, Mask};
use ndarray::Array2;
use rayon::prelude::*;
use std::ops::Range;

/// Rows a task, at least.
const ROWS: usize = 16;

/// Size and place of the finest of some grids: the most cells, the first among equals.
pub(crate) fn finest<'a>(specs: impl Iterator<Item = &'a Spec>) -> (Option<(usize, usize)>, Frame) {
    let mut best: (Option<(usize, usize)>, Frame) = (None, Frame::NATIVE);
    for spec in specs {
        let cells = |s: Option<(usize, usize)>| s.map_or(0, |(r, c)| r * c);
        if cells(spec.size) > cells(best.0) {
            best = (spec.size, spec.frame);
        }
    }
    best
}

/// Scores resampled to the grid of `spec` (planned for scans of `planned` size): bilinear among valid cells.
pub(crate) fn on_grid(value: Value, spec: &Spec, native: (usize, usize), planned: (usize, usize)) -> Value {
    let (Some(size), Data::Grid(grid)) = (spec.size, &value.data) else { return value };
    let (sy, sx) = (native.0 as f64 / planned.0 as f64, native.1 as f64 / planned.1 as f64);
    let f = spec.frame;
    let frame = Frame {
        offset_x: f.offset_x * sx,
        offset_y: f.offset_y * sy,
        stride_x: f.stride_x * sx,
        stride_y: f.stride_y * sy,
    };
    if grid.size() == size && grid.frame == frame {
        return value;
    }
    let (scores, valid) = sample(grid, size, frame);
    let values = scores.insert_axis(ndarray::Axis(0));
    Value {
        data: Data::Grid(Grid {
            values: values.as_standard_layout().into_owned(),
            valid: Some(valid),
            frame,
        }),
        ..value
    }
}

/// The least rows and columns that hold all set flags; empty where none is.
pub(crate) fn bounds(mask: &Mask) -> [Range<usize>; 2] {
    let around = |flags: &[bool]| {
        let first = flags.iter().position(|&set| set).unwrap_or(0);
        first..flags.iter().rposition(|&set| set).map_or(first, |last| last + 1)
    };
    let mut across = vec![false; mask.ncols()];
    let down: Vec<bool> = mask
        .rows()
        .into_iter()
        .map(|row| {
            across.iter_mut().zip(row).for_each(|(any, &set)| *any |= set);
            row.iter().any(|&set| set)
        })
        .collect();
    [around(&down), around(&across)]
}

/// Samples a one-channel grid at the cells of another frame, bilinearly among valid cells (their weights renormalised);
/// a cell is valid where its nearest cell is.
pub(crate) fn sample(grid: &Grid, size: (usize, usize), frame: Frame) -> (Array2<f32>, Mask) {
    let (rows, cols) = grid.size();
    let values = grid.values.as_standard_layout();
    let plane = values.as_slice().unwrap_or_default();
    let mask = grid.valid.as_ref().map(|mask| mask.as_standard_layout());
    let mask = mask.as_ref().map(|mask| mask.as_slice().unwrap_or_default());
    // For each target row or column: the two source cells and the weight of the second.
    let axis = |n: usize, limit: usize, at: &dyn Fn(f64) -> f64| -> Vec<Between> {
        (0..n)
            .map(|i| {
                let x = at(i as f64).clamp(0.0, (limit - 1) as f64);
                let low = x.floor() as usize;
                Between { low, high: (low + 1).min(limit - 1), part: x.fract() as f32 }
            })
            .collect()
    };
    let ys = axis(size.0, rows, &|i| grid.frame.row_at(frame.native_y(i)));
    let xs = axis(size.1, cols, &|j| grid.frame.column_at(frame.native_x(j)));
    // Only where a nearest cell is valid is there anything to sample.
    let [down, across] = grid.valid.as_ref().map_or([0..rows, 0..cols], bounds);
    let within = |sources: &[Between], cells: Range<usize>| {
        sources.partition_point(|s| s.nearest() < cells.start)
            ..sources.partition_point(|s| s.nearest() < cells.end)
    };
    let (down, across) = (within(&ys, down), within(&xs, across));
    let mut scores = vec![0f32; size.0 * size.1];
    let mut valid = vec![false; size.0 * size.1];
    let width = size.1.max(1);
    let cells = down.start * width..down.end * width;
    let targets = scores[cells.clone()].par_chunks_mut(width).zip(valid[cells].par_chunks_mut(width));
    let targets = targets.zip(&ys[down]).with_min_len(ROWS);
    let lines = || (vec![0f32; cols], vec![true; cols]);
    targets.for_each_init(lines, |(line, whole), ((scores, valid), y)| {
        let row = |y: usize| &plane[y * cols..][..cols];
        // The two source rows as one, and where both are valid.
        for ((value, above), below) in line.iter_mut().zip(row(y.low)).zip(row(y.high)) {
            *value = above * (1.0 - y.part) + below * y.part;
        }
        if let Some(mask) = mask {
            let [above, below] = [y.low, y.high].map(|y| &mask[y * cols..][..cols]);
            whole.iter_mut().zip(above).zip(below).for_each(|((whole, a), b)| *whole = *a && *b);
        }
        let targets = scores[across.clone()].iter_mut().zip(&mut valid[across.clone()]);
        for ((score, valid), x) in targets.zip(&xs[across.clone()]) {
            match mask {
                Some(mask) if !(whole[x.low] && whole[x.high]) => {
                    let Some(found) = among_valid(plane, mask, cols, *y, *x) else { continue };
                    *score = found;
                }
                _ => *score = line[x.low] * (1.0 - x.part) + line[x.high] * x.part,
            }
            *valid = true;
        }
    });
    let scores = Array2::from_shape_vec(size, scores).unwrap_or_default();
    let valid = Mask::from_shape_vec(size, valid).unwrap_or_default();
    (scores, valid)
}

/// Where a target row or column lies: between two source cells, and the weight of the second.
#[derive(Debug, Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    part: f32,
}

impl Between {
    fn nearest(&self) -> usize {
        if self.part < 0.5 { self.low } else { self.high }
    }
}

/// The mean of those of four cells that are valid; `None` where the nearest is not.
fn among_valid(plane: &[f32], mask: &[bool], cols: usize, y: Between, x: Between) -> Option<f32> {
    if !mask[y.nearest() * cols + x.nearest()] {
        return None;
    }
    let corners = [
        (y.low * cols + x.low, (1.0 - y.part) * (1.0 - x.part)),
        (y.low * cols + x.high, (1.0 - y.part) * x.part),
        (y.high * cols + x.low, y.part * (1.0 - x.part)),
        (y.high * cols + x.high, y.part * x.part),
    ];
    let (mut sum, mut weight) = (0.0, 0.0);
    for &(at, w) in corners.iter().filter(|c| mask[c.0]) {
        sum += w * plane[at];
        weight += w;
    }
    Some(sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use proptest::prelude::*;

    #[test]
    fn sampling_a_grid_at_its_own_frame_changes_nothing() {
        let values = Array3::from_shape_fn((1, 3, 4), |(_, i, j)| (i * 4 + j) as f32);
        let grid = Grid { values: values.clone(), valid: None, frame: Frame::NATIVE };
        let (scores, valid) = sample(&grid, (3, 4), Frame::NATIVE);
        assert_eq!(scores, values.index_axis(ndarray::Axis(0), 0));
        assert!(valid.iter().all(|&v| v));
    }

    #[test]
    fn upsampling_is_linear_between_cell_centres_and_constant_beyond_them() {
        let grid = Grid {
            values: Array3::from_shape_vec((1, 1, 2), vec![0.0, 4.0]).unwrap(),
            valid: None,
            frame: Frame::NATIVE.resized((1, 8), (1, 2)),
        };
        let (scores, _) = sample(&grid, (1, 8), Frame::NATIVE);
        assert_eq!(scores.as_slice().unwrap(), [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]);
    }

    proptest! {
        /// Cells of one size or another, some or most of them invalid.
        #[test]
        fn what_is_sampled_is_the_mean_of_the_valid_ones_of_four_cells(
            (rows, cols) in (1usize..9, 1usize..9), size in (1usize..20, 1usize..20),
            values in prop::collection::vec(-9.0..9.0f32, 64), missing in prop::collection::vec(0..6u8, 64), least in 0..6u8,
        ) {
            let plane = Array3::from_shape_fn((1, rows, cols), |(_, i, j)| values[i * 8 + j]);
            let mask = Mask::from_shape_fn((rows, cols), |(i, j)| missing[i * 8 + j] >= least);
            let frame = Frame::NATIVE.resized(size, (rows, cols));
            let grid = Grid { values: plane.clone(), valid: Some(mask.clone()), frame };
            let (scores, valid) = sample(&grid, size, Frame::NATIVE);
            for ((i, j), &score) in scores.indexed_iter() {
                let y = frame.row_at(i as f64).clamp(0.0, rows as f64 - 1.0);
                let x = frame.column_at(j as f64).clamp(0.0, cols as f64 - 1.0);
                let near = |at: f64| (at + 0.5).floor() as usize;
                prop_assert_eq!(valid[(i, j)], mask[(near(y), near(x))]);
                let weights = mask.indexed_iter().filter(|(_, set)| **set).map(|((k, l), _)| {
                    ((1.0 - (y - k as f64).abs()).max(0.0) * (1.0 - (x - l as f64).abs()).max(0.0), f64::from(plane[(0, k, l)]))
                });
                let (weight, sum) = weights.fold((0.0, 0.0), |(w, s), (weight, v)| (w + weight, s + weight * v));
                let expected = if valid[(i, j)] { sum / weight } else { 0.0 };
                prop_assert!((f64::from(score) - expected).abs() < 1e-4, "{score} {expected}");
            }
        }
    }

    #[test]
    fn bounds_hold_all_that_is_set() {
        let mut mask = Mask::from_elem((5, 7), false);
        assert_eq!(bounds(&mask), [0..0, 0..0]);
        mask[(1, 4)] = true;
        assert_eq!(bounds(&mask), [1..2, 4..5]);
        mask[(3, 2)] = true;
        assert_eq!(bounds(&mask), [1..4, 2..5]);
    }

    #[test]
    fn invalid_cells_neither_spread_nor_are_scored() {
        let grid = Grid {
            values: Array3::from_shape_vec((1, 1, 2), vec![3.0, 0.0]).unwrap(),
            valid: Some(Mask::from_shape_vec((1, 2), vec![true, false]).unwrap()),
            frame: Frame::NATIVE.resized((1, 4), (1, 2)),
        };
        let (scores, valid) = sample(&grid, (1, 4), Frame::NATIVE);
        assert_eq!(scores.as_slice().unwrap(), [3.0, 3.0, 0.0, 0.0]);
        assert_eq!(valid.as_slice().unwrap(), [true, true, false, false]);
    }
}
