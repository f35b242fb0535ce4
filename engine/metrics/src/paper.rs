//! Maps and masks at the size that most papers evaluate at.

use crate::error::{MetricError, filled};

/// Rows and columns of the maps that most papers evaluate.
pub const PAPER_SIDE: usize = 224;

/// Thresholds at which most papers sample the per-region overlap curve.
pub const PAPER_THRESHOLDS: usize = 100;

/// A map (bilinear) and its mask (nearest), row-major `rows` x `cols` with at least one pixel, as
/// [`PAPER_SIDE`] x [`PAPER_SIDE`]: what is not square is squeezed.
pub(crate) fn resized(
    map: &[f32],
    mask: &[bool],
    rows: usize,
    cols: usize,
) -> Result<(Vec<f32>, Vec<bool>), MetricError> {
    let pixels = PAPER_SIDE * PAPER_SIDE;
    let (mut small_map, mut small_mask) = (filled(0.0_f32, pixels)?, filled(false, pixels)?);
    let (ys, xs) = (axis(rows), axis(cols));
    for (i, y) in ys.iter().enumerate() {
        for (j, x) in xs.iter().enumerate() {
            let at = |row: usize, col: usize| f64::from(map[row * cols + col]);
            let across = |row: usize| (1.0 - x.fraction) * at(row, x.low) + x.fraction * at(row, x.high);
            let value = (1.0 - y.fraction) * across(y.low) + y.fraction * across(y.high);
            small_map[i * PAPER_SIDE + j] = value as f32;
            small_mask[i * PAPER_SIDE + j] = mask[y.nearest * cols + x.nearest];
        }
    }
    Ok((small_map, small_mask))
}

/// Where a small pixel's centre lies along one axis of the native image.
struct Place {
    /// The pixel whose area holds it.
    nearest: usize,
    /// The pixels whose centres are on both sides of it; the same at the border.
    low: usize,
    high: usize,
    /// Weight of `high`.
    fraction: f64,
}

fn axis(native: usize) -> Vec<Place> {
    let scale = native as f64 / PAPER_SIDE as f64;
    (0..PAPER_SIDE)
        .map(|i| {
            let centre = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (native - 1) as f64);
            let low = centre.floor() as usize;
            Place {
                nearest: (2 * i + 1) * native / (2 * PAPER_SIDE),
                low,
                high: (low + 1).min(native - 1),
                fraction: centre.fract(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MapSet;

    #[test]
    fn a_map_of_the_papers_size_stays_as_it_is() {
        let map: Vec<f32> = (0..PAPER_SIDE * PAPER_SIDE).map(|i| (i * 7919 % 1000) as f32).collect();
        let mask: Vec<bool> = map.iter().map(|v| *v > 500.0).collect();
        assert_eq!(resized(&map, &mask, PAPER_SIDE, PAPER_SIDE).unwrap(), (map, mask));
    }

    #[test]
    fn a_plane_stays_a_plane_and_masks_follow_the_pixel_under_the_centre() {
        let (rows, cols) = (400, 900);
        let map: Vec<f32> = (0..rows * cols).map(|i| (i / cols) as f32 + 2.0 * (i % cols) as f32).collect();
        let mask: Vec<bool> = (0..rows * cols).map(|i| i / cols >= 200 && i % cols < 450).collect();
        let (small, flags) = resized(&map, &mask, rows, cols).unwrap();
        for i in 0..PAPER_SIDE {
            for j in 0..PAPER_SIDE {
                let y = (i as f64 + 0.5) * 400.0 / 224.0 - 0.5;
                let x = (j as f64 + 0.5) * 900.0 / 224.0 - 0.5;
                let found = f64::from(small[i * PAPER_SIDE + j]);
                assert!((found - (y.max(0.0) + 2.0 * x)).abs() < 1e-3, "{i} {j}: {found}");
                assert_eq!(flags[i * PAPER_SIDE + j], i >= 112 && j < 112);
            }
        }
    }

    #[test]
    fn a_scan_whose_defect_is_lost_in_the_small_mask_is_still_defective() {
        let (side, mut maps) = (448, MapSet::new());
        let map: Vec<f32> = (0..side * side).map(|i| (i % 11) as f32).collect();
        // The centre of a small pixel falls on odd rows and columns: pixel (0, 0) is never taken.
        let lost: Vec<bool> = (0..side * side).map(|i| i == 0).collect();
        maps.add_at_paper_size(&map, &lost, side, side).unwrap();
        maps.add_at_paper_size(&map, &vec![false; side * side], side, side).unwrap();
        assert_eq!(maps.image_labels(), [true, false]);
        assert!(maps.rank().is_err(), "no defective pixel is left");
    }

    #[test]
    fn the_same_pixels_are_refused_as_at_native_size() {
        let mut maps = MapSet::new();
        let error = maps.add_at_paper_size(&[0.0, f32::NAN], &[false; 2], 1, 2).unwrap_err();
        assert!(matches!(error, MetricError::MapNotFinite { map: 0, row: 0, col: 1, .. }), "{error}");
        assert!(maps.add_at_paper_size(&[], &[], 0, 0).is_err() && maps.is_empty());
    }
}
