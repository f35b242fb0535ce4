//! The anomaly map over its scan.

use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut3, s};

use crate::colour::{ColourMap, Rgb, blend, luma};
use crate::error::ReportError;
use crate::font;
use crate::outline;
use crate::scale::{Canvas, INK, PAPER, Scale, THRESHOLD, zoom};

/// Colour of the ground truth's outline.
pub(crate) const TRUTH: Rgb = [64, 224, 255];
/// Brightness left to the scan under the map.
const DIMMED: f32 = 0.62;
/// Opacity of the map just above `low` and at `high`.
const OPACITY: (f32, f32) = (0.30, 0.85);
/// Share of the scale over which the map fades in.
const FADE: f32 = 0.08;

/// Draws an anomaly map over its scan: `rgb` `[H, W, 3]` dimmed to grey, `map` `[H, W]` in the colours of
/// [`ColourMap`], nothing of it below `scale.low`; regions of pixels above `scale.threshold` outlined in white, the
/// ground truth `[H, W]`, where there is one, around its outside in cyan.
///
/// `marks` are numbered from 1, each beside its box `[x, y, width, height]`: that of a region.
///
/// The picture returned is `[H, W + w, 3]`: at its right a bar of width w shows the colours with the numbers of the
/// scale and a mark at the threshold; w depends on H and on the numbers alone.
///
/// # Errors
/// [`ReportError`] when sizes differ, the map is anywhere not finite, or the scale is not in order.
pub fn overlay(
    rgb: ArrayView3<'_, u8>,
    map: ArrayView2<'_, f32>,
    scale: Scale,
    truth: Option<ArrayView2<'_, bool>>,
    marks: &[[usize; 4]],
) -> Result<Array3<u8>, ReportError> {
    let (rows, columns, channels) = rgb.dim();
    let expected = (rows, columns);
    if channels != 3 {
        return Err(ReportError::NotColour(channels));
    }
    for (what, found) in
        [Some(("anomaly map", map.dim())), truth.map(|t| ("ground truth", t.dim()))].into_iter().flatten()
    {
        if found != expected {
            return Err(ReportError::SizesDiffer { what, found, expected });
        }
    }
    scale.check()?;
    if let Some(((row, column), &value)) = map.indexed_iter().find(|(_, score)| !score.is_finite()) {
        return Err(ReportError::NotFinite { what: "anomaly map", row, column, value });
    }

    let colours = ColourMap::new();
    let mut canvas = Canvas::new(expected, &scale);
    let mut inner = canvas.inner();
    for ((row, column), &score) in map.indexed_iter() {
        let colour = shade(std::array::from_fn(|k| rgb[(row, column, k)]), score, &scale, &colours);
        for k in 0..3 {
            inner[(row, column, k)] = colour[k];
        }
    }
    let line = (rows.min(columns) / 400).max(1);
    if let Some(truth) = truth {
        outline::outer(&mut inner, truth, line, TRUTH);
    }
    let regions = map.mapv(|score| score > scale.threshold);
    outline::inner(&mut inner, regions.view(), line, THRESHOLD);
    marks.iter().enumerate().for_each(|(k, bbox)| mark(&mut inner, &(k + 1).to_string(), *bbox));
    canvas.draw_bar(&scale, &colours);
    Ok(canvas.picture)
}

/// Writes a number at the upper right of a box, or where there is room for it.
fn mark(picture: &mut ArrayViewMut3<'_, u8>, text: &str, [x, y, width, _]: [usize; 4]) {
    let (rows, columns, _) = picture.dim();
    let zoom = zoom(rows);
    let (high, wide) = (font::CELL.1 * zoom, font::width(text, zoom) + zoom);
    let top = y.saturating_sub(high / 2).min(rows.saturating_sub(high));
    let left =
        if x + width + zoom + wide <= columns { x + width + zoom } else { x.saturating_sub(wide + zoom) };
    let mut field = picture.slice_mut(s![top..(top + high).min(rows), left..(left + wide).min(columns), ..]);
    for ((.., k), level) in field.indexed_iter_mut() {
        *level = PAPER[k];
    }
    font::write(picture.view_mut(), text, (top, left + zoom), zoom, INK);
}

/// The colour of a point of the scan: itself dimmed to grey, under the colour of its score.
pub fn shade(rgb: Rgb, score: f32, scale: &Scale, colours: &ColourMap) -> Rgb {
    let grey = luma(rgb) * DIMMED;
    let place = scale.place(score);
    let fade = (place / FADE).clamp(0.0, 1.0);
    let opacity = fade * (OPACITY.0 + (OPACITY.1 - OPACITY.0) * place.clamp(0.0, 1.0));
    blend([grey.round() as u8; 3], colours.at(place), opacity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    const SCALE: Scale = Scale { low: 1.0, threshold: 2.0, high: 3.0 };

    fn scan() -> Array3<u8> {
        Array3::from_elem((60, 80, 3), 100)
    }

    #[test]
    fn below_low_only_the_dimmed_scan_shows() {
        let picture =
            overlay(scan().view(), Array2::from_elem((60, 80), 0.5).view(), SCALE, None, &[]).unwrap();
        assert!(picture.slice(s![.., ..80, ..]).iter().all(|&v| v == 62));
        assert!(picture.dim().1 > 80);
    }

    #[test]
    fn a_number_stands_beside_its_region_and_inside_the_picture() {
        let map = Array2::from_elem((60, 80), 0.5);
        let plain = overlay(scan().view(), map.view(), SCALE, None, &[]).unwrap();
        for bbox in [[20, 20, 10, 10], [0, 0, 80, 60], [79, 59, 1, 1], [0, 0, 1, 1]] {
            let marked = overlay(scan().view(), map.view(), SCALE, None, &[bbox]).unwrap();
            let changed: Vec<_> =
                marked.indexed_iter().filter(|(at, v)| plain[*at] != **v).map(|(at, _)| at).collect();
            assert!(changed.len() > 100 && changed.iter().all(|at| at.0 < 60 && at.1 < 80), "{bbox:?}");
        }
    }

    #[test]
    fn regions_are_outlined_inside_and_truth_outside() {
        let mut map = Array2::from_elem((60, 80), 0.0);
        map.slice_mut(s![10..20, 30..40]).fill(2.5);
        let truth = map.mapv(|v| v > 0.0);
        let picture = overlay(scan().view(), map.view(), SCALE, Some(truth.view()), &[]).unwrap();
        let at = |row: usize, column: usize| -> Rgb { std::array::from_fn(|k| picture[(row, column, k)]) };
        assert_eq!(at(10, 35), THRESHOLD);
        assert_eq!(at(9, 35), TRUTH);
        assert_ne!(at(15, 35), THRESHOLD);
        assert_eq!(at(7, 35), [62; 3]);
    }

    #[test]
    fn the_threshold_itself_is_no_region() {
        let mut map = Array2::from_elem((60, 80), 0.0);
        map[(30, 30)] = SCALE.threshold;
        let picture = overlay(scan().view(), map.view(), SCALE, None, &[]).unwrap();
        assert!(picture.slice(s![30, 30, ..]).iter().any(|&v| v != 255));
    }

    #[test]
    fn nan_and_infinity_are_refused_by_place() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut map = Array2::from_elem((60, 80), 0.0);
            map[(4, 7)] = bad;
            let error = overlay(scan().view(), map.view(), SCALE, None, &[]).unwrap_err();
            assert!(matches!(error, ReportError::NotFinite { row: 4, column: 7, .. }), "{error}");
        }
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let map = Array2::from_elem((60, 80), 0.0);
        let smaller = Array2::from_elem((60, 79), 0.0);
        let truth = Array2::from_elem((59, 80), false);
        let refuse = |rgb: Array3<u8>, map: &Array2<f32>, truth: Option<&Array2<bool>>| {
            overlay(rgb.view(), map.view(), SCALE, truth.map(|t| t.view()), &[]).unwrap_err()
        };
        assert!(matches!(
            refuse(scan(), &smaller, None),
            ReportError::SizesDiffer { what: "anomaly map", .. }
        ));
        assert!(matches!(
            refuse(scan(), &map, Some(&truth)),
            ReportError::SizesDiffer { what: "ground truth", .. }
        ));
        assert_eq!(refuse(Array3::zeros((60, 80, 4)), &map, None), ReportError::NotColour(4));
    }

    #[test]
    fn any_size_down_to_nothing_is_drawn() {
        for (rows, columns) in [(0, 0), (1, 1), (3, 500), (9, 2), (1000, 5)] {
            let rgb = Array3::zeros((rows, columns, 3));
            for threshold in [1.0, 1.5, 3.0] {
                let map = Array2::from_elem((rows, columns), 2.0);
                let picture =
                    overlay(rgb.view(), map.view(), Scale { threshold, ..SCALE }, None, &[]).unwrap();
                assert_eq!(picture.dim().0, rows);
            }
        }
    }
}
