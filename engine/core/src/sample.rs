//! Grids brought onto the cells of other grids.

use crate::value::{Data, Spec, Value};
use assay_data::{Frame, Grid, Mask};
use ndarray::Array2;
use rayon::prelude::*;

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

/// Samples a one-channel grid at the cells of another frame, bilinearly among valid cells (their weights renormalised);
/// a cell is valid where its nearest cell is.
pub(crate) fn sample(grid: &Grid, size: (usize, usize), frame: Frame) -> (Array2<f32>, Mask) {
    let (rows, cols) = grid.size();
    let plane = grid.values.index_axis(ndarray::Axis(0), 0);
    // For each target row or column: the two source cells and the weight of the second.
    let axis = |n: usize, limit: usize, at: &dyn Fn(f64) -> f64| -> Vec<(usize, usize, f32)> {
        (0..n)
            .map(|i| {
                let x = at(i as f64).clamp(0.0, (limit - 1) as f64);
                let low = x.floor() as usize;
                (low, (low + 1).min(limit - 1), x.fract() as f32)
            })
            .collect()
    };
    let ys = axis(size.0, rows, &|i| grid.frame.row_at(frame.native_y(i)));
    let xs = axis(size.1, cols, &|j| grid.frame.column_at(frame.native_x(j)));
    let mut scores = vec![0f32; size.0 * size.1];
    let mut valid = vec![true; size.0 * size.1];
    let width = size.1.max(1);
    let targets = scores.par_chunks_mut(width).zip(valid.par_chunks_mut(width)).zip(&ys).with_min_len(ROWS);
    let lines = || (vec![0f32; cols], vec![true; cols]);
    targets.for_each_init(lines, |(line, whole), ((scores, valid), &(y0, y1, fy))| {
        // The two source rows as one, and where both are valid.
        for (x, (value, whole)) in line.iter_mut().zip(whole.iter_mut()).enumerate() {
            *value = plane[(y0, x)] * (1.0 - fy) + plane[(y1, x)] * fy;
            *whole = grid.valid.as_ref().is_none_or(|mask| mask[(y0, x)] && mask[(y1, x)]);
        }
        for ((score, valid), &(x0, x1, fx)) in scores.iter_mut().zip(valid).zip(&xs) {
            match &grid.valid {
                Some(mask) if !(whole[x0] && whole[x1]) => {
                    let near = (if fy < 0.5 { y0 } else { y1 }, if fx < 0.5 { x0 } else { x1 });
                    if !mask[near] {
                        *valid = false;
                        continue;
                    }
                    let corners = [
                        (y0, x0, (1.0 - fy) * (1.0 - fx)),
                        (y0, x1, (1.0 - fy) * fx),
                        (y1, x0, fy * (1.0 - fx)),
                        (y1, x1, fy * fx),
                    ];
                    let (mut sum, mut weight) = (0.0, 0.0);
                    for &(y, x, w) in corners.iter().filter(|c| mask[(c.0, c.1)]) {
                        sum += w * plane[(y, x)];
                        weight += w;
                    }
                    *score = sum / weight;
                }
                _ => *score = line[x0] * (1.0 - fx) + line[x1] * fx,
            }
        }
    });
    let scores = Array2::from_shape_vec(size, scores).unwrap_or_default();
    let valid = Mask::from_shape_vec(size, valid).unwrap_or_default();
    (scores, valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

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
