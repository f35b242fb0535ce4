//! The feature inputs of a method taken as one set of maps over the same part of the picture.

use assay_sdk::{Error, GridView, Result, Spec};
use ndarray::ArrayView3;

use crate::KernelError;
use crate::resample::{Axis, Resample};

/// The input with the most cells, the first of equals: the grid that [`crate::embed::embed`] puts its vectors on.
///
/// # Errors
/// No inputs; an input whose edges lie farther than one of its cells from those of the finest.
pub fn finest(inputs: &[Spec]) -> Result<&Spec> {
    let first = inputs.first().ok_or_else(|| Error::input("features", "no input is bound"))?;
    let finest = inputs.iter().fold(first, |a, b| if b.rows * b.cols > a.rows * a.cols { b } else { a });
    let edges = |s: &Spec| {
        let f = s.frame;
        let (right, bottom) =
            (f.offset_x + f.stride_x * s.cols as f64, f.offset_y + f.stride_y * s.rows as f64);
        [(f.offset_x, f.stride_x), (f.offset_y, f.stride_y), (right, f.stride_x), (bottom, f.stride_y)]
    };
    for other in inputs {
        let apart = |((a, cell), (b, _)): ((f64, f64), (f64, f64))| (a - b).abs() > cell;
        if edges(other).into_iter().zip(edges(finest)).any(apart) {
            let message = format!(
                "`{}` and `{}` cover different parts of the picture; give each its own step",
                finest.name, other.name
            );
            return Err(Error::input("features", message));
        }
    }
    Ok(finest)
}

/// The values of each grid, [C, h, w].
///
/// # Errors
/// A grid whose values are not C*h*w.
pub fn maps<'a>(grids: &[GridView<'a>]) -> std::result::Result<Vec<ArrayView3<'a, f32>>, KernelError> {
    grids
        .iter()
        .map(|g| {
            ArrayView3::from_shape((g.channels, g.rows, g.cols), g.values).map_err(|_| KernelError::Shape {
                what: "values of a grid",
                expected: g.channels * g.rows * g.cols,
                found: g.values.len(),
            })
        })
        .collect()
}

/// Which of `rows` x `cols` cells are valid in every grid, each looked up at its nearest cell.
#[must_use]
pub fn valid_everywhere(grids: &[GridView], rows: usize, cols: usize) -> Vec<bool> {
    let mut valid = vec![true; rows * cols];
    for grid in grids.iter().filter(|g| g.valid.is_some() && g.rows * g.cols > 0) {
        let down = Axis::new(grid.rows, rows, Resample::Nearest);
        let across = Axis::new(grid.cols, cols, Resample::Nearest);
        for (i, valid) in valid.iter_mut().enumerate() {
            *valid &= grid.is_valid(down.taps[i / cols].low * grid.cols + across.taps[i % cols].low);
        }
    }
    valid
}

/// For each cell of a grid of `rows` x `cols`, the cell of one of `own_rows` x `own_cols` over the same part of the picture
/// in which its centre lies, both row-major.
///
/// # Errors
/// A grid of no cells to look up in.
pub fn nearest_cells(
    (own_rows, own_cols): (usize, usize),
    (rows, cols): (usize, usize),
) -> std::result::Result<Vec<usize>, KernelError> {
    if own_rows == 0 || own_cols == 0 {
        return Err(KernelError::TooFew { what: "cells of a feature map", needed: 1 });
    }
    let down = Axis::new(own_rows, rows, Resample::Nearest);
    let across = Axis::new(own_cols, cols, Resample::Nearest);
    Ok(down.taps.iter().flat_map(|y| across.taps.iter().map(|x| y.low * own_cols + x.low)).collect())
}

#[cfg(test)]
mod tests {
    use assay_sdk::{Content, Frame, Layout};

    use super::*;

    fn spec(rows: usize, cols: usize, offset_x: f64, stride: f64) -> Spec {
        Spec {
            port: 0,
            content: Content::Features,
            layout: Layout::Grid,
            channels: 1,
            rows,
            cols,
            native: (64, 64),
            frame: Frame { offset_x, offset_y: 0.0, stride_x: stride, stride_y: stride },
            range: None,
            name: format!("tap{rows}"),
        }
    }

    #[test]
    fn the_finest_grid_has_the_most_cells() {
        let specs = [spec(4, 4, 0.0, 16.0), spec(8, 8, 0.0, 8.0)];
        assert_eq!(finest(&specs).unwrap(), &specs[1]);
    }

    #[test]
    fn grids_of_different_places_are_refused() {
        let specs = [spec(8, 8, 0.0, 8.0), spec(4, 4, 20.0, 16.0)];
        let message = finest(&specs).unwrap_err().to_string();
        assert!(message.contains("tap4") && message.contains("tap8"), "{message}");
    }

    #[test]
    fn a_cell_is_valid_where_all_masks_are() {
        let grid =
            |cols, valid| GridView { values: &[], channels: 0, rows: 1, cols, valid, frame: Frame::NATIVE };
        let grids = [grid(4, Some(&[1u8, 1, 1, 0][..])), grid(2, Some(&[1, 0])), grid(1, None)];
        assert_eq!(valid_everywhere(&grids, 1, 4), [true, true, false, false]);
    }

    #[test]
    fn a_cell_is_looked_up_where_its_centre_lies() {
        assert_eq!(nearest_cells((1, 2), (2, 4)).unwrap(), [0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(nearest_cells((2, 2), (3, 1)).unwrap(), [1, 3, 3]);
        assert!(nearest_cells((0, 2), (2, 2)).is_err());
    }
}
