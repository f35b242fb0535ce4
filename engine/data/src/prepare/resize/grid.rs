//! Resizing measured grids: only valid cells count.

use fast_image_resize::FilterType;
use ndarray::{Array2, Array3, Axis};

use super::check_sizes;
use super::image::{filtered, shaped};
use crate::{DataError, Grid, Mask};

/// The share of a cell's weight that must be valid, less what f32 weights may lose in summation.
const HALF: f32 = 0.5 - 1e-5;

/// Resizes a measured grid (points, depth, normals) by the antialiased triangle filter over its valid cells
/// alone: their weights are renormalised, and a cell is valid where they make up at least half of all weight.
/// Weights are never negative, so that no value lies beyond those it comes from. Normals come out shorter than
/// 1 where they differ.
///
/// # Errors
/// [`DataError::BadArgument`] for sides out of range.
pub fn grid(grid: &Grid, size: (usize, usize)) -> Result<Grid, DataError> {
    check_sizes(grid.size(), size)?;
    if grid.size() == size {
        return Ok(grid.clone());
    }
    let frame = grid.frame.resized(grid.size(), size);
    let shape = (grid.channels(), size.0, size.1);
    let filter = |values: &Array3<f32>| {
        let planes = values.as_standard_layout();
        filtered(planes.as_slice().unwrap_or_default(), grid.size(), size, FilterType::Bilinear)
    };
    let Some(valid) = &grid.valid else {
        return Ok(Grid { values: shaped(shape, filter(&grid.values)?)?, valid: None, frame });
    };
    // Selected, not multiplied: invalid cells may hold anything.
    let mut known = grid.values.clone();
    for mut plane in known.outer_iter_mut() {
        ndarray::Zip::from(&mut plane).and(valid).for_each(|v, &valid| *v = if valid { *v } else { 0.0 });
    }
    let weight = filter(&valid.mapv(|v| f32::from(u8::from(v))).insert_axis(Axis(0)))?;
    let mut values = filter(&known)?;
    let cells = size.0 * size.1;
    for plane in values.chunks_exact_mut(cells) {
        for (v, &w) in plane.iter_mut().zip(&weight) {
            *v = if w >= HALF { *v / w } else { 0.0 };
        }
    }
    let valid = Array2::from_shape_vec(size, weight.iter().map(|&w| w >= HALF).collect());
    let valid = valid.map_err(|e| DataError::bad_argument("resize", e.to_string()))?;
    Ok(Grid { values: shaped(shape, values)?, valid: some_invalid(valid), frame })
}

/// Resizes a grid by taking the cell whose area holds the centre of the new one, values and validity as they
/// are.
///
/// # Errors
/// [`DataError::BadArgument`] for sides out of range.
pub fn nearest(grid: &Grid, size: (usize, usize)) -> Result<Grid, DataError> {
    check_sizes(grid.size(), size)?;
    let (rows, columns) = grid.size();
    let source = |k: usize, old: usize, new: usize| (2 * k + 1) * old / (2 * new);
    let down: Vec<_> = (0..size.0).map(|i| source(i, rows, size.0)).collect();
    let across: Vec<_> = (0..size.1).map(|j| source(j, columns, size.1)).collect();
    let values = Array3::from_shape_fn((grid.channels(), size.0, size.1), |(c, i, j)| {
        grid.values[(c, down[i], across[j])]
    });
    let valid = grid.valid.as_ref().map(|m| Mask::from_shape_fn(size, |(i, j)| m[(down[i], across[j])]));
    let frame = grid.frame.resized(grid.size(), size);
    Ok(Grid { values, valid: valid.and_then(some_invalid), frame })
}

fn some_invalid(valid: Mask) -> Option<Mask> {
    valid.iter().any(|&v| !v).then_some(valid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Frame;

    /// One axis of the triangle filter, straight from the definition, in f64.
    fn weights(old: usize, new: usize) -> Vec<Vec<f64>> {
        let scale = old as f64 / new as f64;
        let stretch = scale.max(1.0);
        let cell = |j: usize| {
            let centre = (j as f64 + 0.5) * scale - 0.5;
            let raw: Vec<_> =
                (0..old).map(|k| (1.0 - ((k as f64 - centre) / stretch).abs()).max(0.0)).collect();
            let sum: f64 = raw.iter().sum();
            raw.into_iter().map(|w| w / sum).collect()
        };
        (0..new).map(cell).collect()
    }

    fn random_grid(rows: usize, columns: usize, values: &[f32], valid: &[bool]) -> Grid {
        let mask = Mask::from_shape_fn((rows, columns), |(i, j)| valid[i * columns + j]);
        // Invalid cells hold NaN, to prove that they are never touched.
        let values = Array3::from_shape_fn((3, rows, columns), |(c, i, j)| {
            if mask[(i, j)] { values[(i * columns + j) * 3 + c] } else { f32::NAN }
        });
        Grid { values, valid: Some(mask), frame: Frame::NATIVE }
    }

    proptest! {
        #[test]
        fn only_valid_cells_contribute(
            (rows, columns) in (1usize..16, 1usize..16), size in (1usize..16, 1usize..16),
            values in proptest::collection::vec(0.5f32..0.7, 768),
            valid in proptest::collection::vec(proptest::bool::weighted(0.6), 256),
        ) {
            let source = random_grid(rows, columns, &values, &valid);
            let resized = grid(&source, size).unwrap();
            let (down, across) = (weights(rows, size.0), weights(columns, size.1));
            for i in 0..size.0 {
                for j in 0..size.1 {
                    let (mut weight, mut sum) = (0.0, 0.0);
                    for k in 0..rows {
                        for l in 0..columns {
                            if source.is_valid(k, l) {
                                weight += down[i][k] * across[j][l];
                                sum += down[i][k] * across[j][l] * f64::from(source.values[(1, k, l)]);
                            }
                        }
                    }
                    if (weight - 0.5).abs() > 1e-4 && (rows, columns) != size {
                        prop_assert_eq!(resized.is_valid(i, j), weight > 0.5);
                    }
                    if resized.is_valid(i, j) {
                        prop_assert!((f64::from(resized.values[(1, i, j)]) - sum / weight).abs() < 1e-6);
                    }
                }
            }
        }

        #[test]
        fn nearest_takes_the_cell_under_the_centre(
            (rows, columns) in (1usize..16, 1usize..16), size in (1usize..16, 1usize..16),
        ) {
            let place = |(_, i, j): (usize, usize, usize)| (i * 100 + j) as f32;
            let source = Grid { values: Array3::from_shape_fn((1, rows, columns), place), valid: None, frame: Frame::NATIVE };
            let resized = nearest(&source, size).unwrap();
            for ((_, i, j), &v) in resized.values.indexed_iter() {
                // A centre on the edge between two cells may take either.
                let (y, x) = (resized.frame.native_y(i as f64), resized.frame.native_x(j as f64));
                let (k, l) = ((v as usize / 100) as f64, (v as usize % 100) as f64);
                prop_assert!((k - y).abs() <= 0.5 + 1e-9 && (l - x).abs() <= 0.5 + 1e-9);
            }
        }
    }

    #[test]
    fn half_covered_is_valid_and_less_is_not() {
        let mut valid = Mask::from_elem((4, 8), true);
        valid.slice_mut(ndarray::s![.., 4..]).fill(false);
        let source =
            Grid { values: Array3::from_elem((3, 4, 8), 2.0), valid: Some(valid), frame: Frame::NATIVE };
        let resized = grid(&source, (1, 1)).unwrap();
        assert_eq!((resized.valid, resized.values[(0, 0, 0)]), (None, 2.0));
        let resized = grid(&source, (2, 4)).unwrap();
        assert_eq!((0..4).map(|j| resized.is_valid(0, j)).collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[test]
    fn the_frame_follows_the_size() {
        let source = Grid { values: Array3::zeros((1, 6, 9)), valid: None, frame: Frame::NATIVE };
        for resized in [grid(&source, (3, 3)).unwrap(), nearest(&source, (3, 3)).unwrap()] {
            assert_eq!((resized.frame.stride_y, resized.frame.stride_x), (2.0, 3.0));
            assert_eq!((resized.frame.native_y(0.0), resized.frame.native_x(0.0)), (0.5, 1.0));
        }
    }
}
