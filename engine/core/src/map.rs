//! From the fused scores to the anomaly map: upsampled to native pixels, smoothed, finite everywhere.

use crate::blur::{blur, gaussian};
use crate::error::{Error, Result};
use crate::sample::{bounds, sample};
use crate::value::{Data, Value};
use assay_data::Frame;
use ndarray::{Array2, Zip, s};
use std::ops::Range;

/// The anomaly map `[rows, cols]` of a scan. Scores are upsampled bilinearly and smoothed by a Gaussian of `sigma` pixels
/// among valid pixels; where nothing was scored the map holds `floor`, the lowest fused score of a good part.
///
/// # Errors
/// [`Error::Request`] where the fused scores are no grid.
pub fn anomaly_map(scores: &Value, native: (usize, usize), sigma: f64, floor: f32) -> Result<Array2<f32>> {
    let Data::Grid(grid) = &scores.data else {
        return Err(Error::Request("the fused scores are of a cloud; an anomaly map needs a grid".into()));
    };
    let (mut map, valid) = sample(grid, native, Frame::NATIVE);
    let all = valid.iter().all(|&v| v);
    let kernel = (sigma > 0.0).then(|| gaussian(sigma));
    if all {
        return Ok(match kernel {
            Some(kernel) => blur(&map, &kernel),
            None => map,
        });
    }
    if let Some(kernel) = kernel {
        // Beyond what was scored there are zeros alone, which the smoothing of what lies further from it than the kernel reaches does not see.
        let [down, across] = bounds(&valid);
        let reach = |cells: Range<usize>, n: usize| {
            cells.start.saturating_sub(kernel.len())..(cells.end + kernel.len()).min(n)
        };
        let near = s![reach(down, native.0), reach(across, native.1)];
        let smooth = blur(&map.slice(near).to_owned(), &kernel);
        let weight = blur(&valid.slice(near).mapv(|v| f32::from(u8::from(v))), &kernel);
        Zip::from(map.slice_mut(near))
            .and(&smooth)
            .and(&weight)
            .for_each(|m, &v, &w| *m = if w > 1e-6 { v / w } else { floor });
    }
    Zip::from(&mut map).and(&valid).for_each(|m, &ok| *m = if ok { *m } else { floor });
    Ok(map)
}

/// The maximum of a map.
pub fn maximum(map: &Array2<f32>) -> f64 {
    f64::from(map.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Content;
    use assay_data::{Grid, Mask};
    use ndarray::Array3;

    fn scores(values: Array3<f32>, valid: Option<Mask>, native: (usize, usize)) -> Value {
        let size = (values.dim().1, values.dim().2);
        let frame = Frame::NATIVE.resized(native, size);
        Value { content: Content::Scores, data: Data::Grid(Grid { values, valid, frame }), image_score: 0.0 }
    }

    #[test]
    fn smoothing_keeps_a_constant_map_and_the_total_of_a_peak() {
        let flat = scores(Array3::from_elem((1, 5, 7), 2.5), None, (20, 28));
        let map = anomaly_map(&flat, (20, 28), 3.0, -1.0).unwrap();
        assert!(map.iter().all(|v| (v - 2.5).abs() < 1e-5));
        let mut peak = Array3::zeros((1, 41, 41));
        peak[(0, 20, 20)] = 1.0;
        let map = anomaly_map(&scores(peak, None, (41, 41)), (41, 41), 2.0, 0.0).unwrap();
        assert!((map.sum() - 1.0).abs() < 1e-4);
        let expected = 1.0 / (2.0 * std::f32::consts::PI * 4.0);
        assert!((map[(20, 20)] - expected).abs() < 0.01 * expected, "{} {expected}", map[(20, 20)]);
    }

    #[test]
    fn smoothing_a_part_of_the_picture_is_smoothing_the_whole_among_what_is_valid() {
        let seen = |i: usize, j: usize| {
            (i as isize - 20).pow(2) + (j as isize - 31).pow(2) < 60 || (i, j) == (39, 20)
        };
        let valid = Mask::from_shape_fn((40, 60), |(i, j)| seen(i, j));
        let value = |i: usize, j: usize| if seen(i, j) { ((i * 31 + j * 17) % 23) as f32 } else { 0.0 };
        let values = Array3::from_shape_fn((1, 40, 60), |(_, i, j)| value(i, j));
        let map =
            anomaly_map(&scores(values.clone(), Some(valid.clone()), (40, 60)), (40, 60), 1.5, -2.0).unwrap();
        let kernel = gaussian(1.5);
        let whole = blur(&values.index_axis(ndarray::Axis(0), 0).to_owned(), &kernel);
        let weight = blur(&valid.mapv(|v| f32::from(u8::from(v))), &kernel);
        for (at, &v) in map.indexed_iter() {
            assert_eq!(v, if valid[at] { whole[at] / weight[at] } else { -2.0 }, "{at:?}");
        }
    }

    #[test]
    fn what_was_not_scored_gets_the_floor_and_does_not_darken_its_neighbours() {
        let valid = Mask::from_shape_fn((8, 8), |(_, j)| j < 4);
        let map =
            anomaly_map(&scores(Array3::from_elem((1, 8, 8), 3.0), Some(valid), (8, 8)), (8, 8), 1.0, -2.0)
                .unwrap();
        assert!((map[(4, 3)] - 3.0).abs() < 1e-4);
        assert_eq!(map[(4, 4)], -2.0);
    }
}
