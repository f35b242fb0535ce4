//! Height as a grey picture.

use ndarray::{Array3, ArrayView2};

use crate::colour::Rgb;
use crate::error::ReportError;

/// Colour of pixels without a point.
const MISSING: Rgb = [26, 30, 44];
/// Grey of the farthest and of the nearest points.
const GREYS: (f32, f32) = (52.0, 245.0);
/// Share of points at each end that may be clipped.
const CLIPPED: f64 = 0.005;

/// Draws the depth `z` `[H, W]` (any unit, along the viewing direction) of the points that `valid` `[H, W]` keeps:
/// near points bright, far ones dark, missing ones dark blue. Greys span all but the outermost half percent of the
/// points at each end. The picture is `[H, W, 3]`.
///
/// # Errors
/// [`ReportError`] when sizes differ or a valid point is not finite.
pub fn height_picture(
    z: ArrayView2<'_, f32>,
    valid: ArrayView2<'_, bool>,
) -> Result<Array3<u8>, ReportError> {
    let expected = z.dim();
    if valid.dim() != expected {
        return Err(ReportError::SizesDiffer { what: "validity mask", found: valid.dim(), expected });
    }
    let mut depths = Vec::new();
    for (at, &value) in z.indexed_iter().filter(|(at, _)| valid[*at]) {
        if !value.is_finite() {
            return Err(ReportError::NotFinite { what: "depth", row: at.0, column: at.1, value });
        }
        depths.push(value);
    }
    depths.sort_unstable_by(f32::total_cmp);
    let skipped = (depths.len() as f64 * CLIPPED) as usize;
    let near = depths.get(skipped).copied().unwrap_or(0.0);
    let far = depths.iter().rev().nth(skipped).copied().unwrap_or(0.0);
    // In f64, where the span of any two f32 is finite; a flat scan is drawn at its middle.
    let span = f64::from(far) - f64::from(near);
    let closeness = |z: f32| {
        if span > 0.0 { ((f64::from(far) - f64::from(z)) / span).clamp(0.0, 1.0) as f32 } else { 0.5 }
    };

    let mut picture = Array3::zeros((expected.0, expected.1, 3));
    for ((row, column), &value) in z.indexed_iter() {
        let grey = GREYS.0 + (GREYS.1 - GREYS.0) * closeness(value);
        let colour = if valid[(row, column)] { [grey.round() as u8; 3] } else { MISSING };
        for k in 0..3 {
            picture[(row, column, k)] = colour[k];
        }
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn near_points_are_brighter_and_missing_ones_stand_out() {
        let z = array![[0.40f32, 0.45, 0.50], [f32::NAN, 0.50, 0.40]];
        let valid = array![[true, true, true], [false, true, true]];
        let picture = height_picture(z.view(), valid.view()).unwrap();
        assert!(picture[(0, 0, 0)] > picture[(0, 1, 0)] && picture[(0, 1, 0)] > picture[(0, 2, 0)]);
        assert_eq!([picture[(1, 0, 0)], picture[(1, 0, 1)], picture[(1, 0, 2)]], MISSING);
    }

    #[test]
    fn a_valid_point_that_is_not_finite_is_refused() {
        let error =
            height_picture(array![[0.4f32, f32::NAN]].view(), array![[true, true]].view()).unwrap_err();
        assert!(matches!(error, ReportError::NotFinite { row: 0, column: 1, .. }));
        let error = height_picture(array![[0.4f32]].view(), array![[true, true]].view()).unwrap_err();
        assert!(matches!(error, ReportError::SizesDiffer { .. }));
    }

    #[test]
    fn flat_and_empty_scans_are_drawn() {
        let flat = Array2::from_elem((4, 4), 0.4f32);
        let all = Array2::from_elem((4, 4), true);
        assert!(height_picture(flat.view(), all.view()).is_ok());
        assert!(height_picture(flat.view(), all.mapv(|v| !v).view()).is_ok());
        assert!(height_picture(Array2::zeros((0, 0)).view(), Array2::from_elem((0, 0), true).view()).is_ok());
        let far = array![[f32::MIN, f32::MAX]];
        assert!(height_picture(far.view(), array![[true, true]].view()).is_ok());
    }
}
