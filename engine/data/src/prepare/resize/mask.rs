//! Resizing masks by exact area.

use serde::{Deserialize, Serialize};

use super::check_sizes;
use crate::{DataError, Mask};

/// When a cell of a resized mask is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskRule {
    /// Where at least half of its area is.
    Majority,
    /// Where any of its area is: no small defect is lost.
    Any,
}

/// Resizes a mask to `size` = `(rows, columns)`. Areas are exact: no rounding decides.
///
/// # Errors
/// [`DataError::BadArgument`] for sides out of range.
pub fn mask(mask: &Mask, size: (usize, usize), rule: MaskRule) -> Result<Mask, DataError> {
    check_sizes(mask.dim(), size)?;
    let (rows, columns) = mask.dim();
    let (down, across) = (overlaps(rows, size.0), overlaps(columns, size.1));
    // In units where a new cell is rows x columns: each old one is size.0 x size.1, and edges are whole numbers.
    let whole = rows as u64 * columns as u64;
    let old = mask.as_standard_layout();
    let old = old.as_slice().unwrap_or_default();
    // What of each old column is set in the lines of a new row.
    let mut heights = vec![0; columns];
    let mut flags = Vec::with_capacity(size.0 * size.1);
    for lines in &down {
        heights.fill(0);
        for &(k, height) in lines {
            let line = &old[k * columns..][..columns];
            heights.iter_mut().zip(line).for_each(|(sum, &set)| *sum += if set { height } else { 0 });
        }
        flags.extend(across.iter().map(|cells| {
            let area: u64 = cells.iter().map(|&(l, width)| heights[l] * width).sum();
            match rule {
                MaskRule::Majority => 2 * area >= whole,
                MaskRule::Any => area > 0,
            }
        }));
    }
    // As many as there are cells.
    Ok(Mask::from_shape_vec(size, flags).unwrap_or_default())
}

/// For each new cell, the old cells it overlaps and by how much, in units of 1 / (old * new) of the axis.
fn overlaps(old: usize, new: usize) -> Vec<Vec<(usize, u64)>> {
    let cell = |j: usize| {
        let (start, end) = (j * old, (j + 1) * old);
        let overlap = |k: usize| (end.min((k + 1) * new) - start.max(k * new)) as u64;
        (start / new..end.div_ceil(new)).map(|k| (k, overlap(k))).collect()
    };
    (0..new).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn areas_agree_with_a_fine_raster(
            (rows, columns) in (1usize..8, 1usize..8), size in (1usize..8, 1usize..8),
            seed in proptest::collection::vec(any::<bool>(), 64),
        ) {
            let source = Mask::from_shape_fn((rows, columns), |(i, j)| seed[i * 8 + j]);
            // On rows * size.0 x columns * size.1 points, old and new cells are whole blocks.
            let area = |i: usize, j: usize| {
                let (mut set, mut all) = (0, 0);
                for y in i * rows..(i + 1) * rows {
                    for x in j * columns..(j + 1) * columns {
                        set += usize::from(source[(y / size.0, x / size.1)]);
                        all += 1;
                    }
                }
                (set, all)
            };
            let most = mask(&source, size, MaskRule::Majority).unwrap();
            let any = mask(&source, size, MaskRule::Any).unwrap();
            for i in 0..size.0 {
                for j in 0..size.1 {
                    let (set, all) = area(i, j);
                    prop_assert_eq!((most[(i, j)], any[(i, j)]), (2 * set >= all, set > 0));
                }
            }
        }
    }

    #[test]
    fn one_defective_pixel_survives_any_shrinking() {
        let mut source = Mask::from_elem((400, 900), false);
        source[(399, 0)] = true;
        for size in [(28, 28), (1, 1), (224, 224)] {
            assert_eq!(mask(&source, size, MaskRule::Any).unwrap().iter().filter(|&&d| d).count(), 1);
        }
    }
}
