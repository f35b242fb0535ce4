//! From the fused scores to the anomaly map: upsampled to native pixels, smoothed, finite everywhere.

use crate::error::{Error, Result};
use crate::sample::sample;
use crate::value::{Data, Value};
use assay_data::Frame;
use ndarray::{Array2, Zip};

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
    if sigma > 0.0 {
        let kernel = gaussian(sigma);
        map = blur(&map, &kernel);
        if !all {
            let weight = blur(&valid.mapv(|v| f32::from(u8::from(v))), &kernel);
            Zip::from(&mut map).and(&weight).for_each(|m, &w| *m = if w > 1e-6 { *m / w } else { floor });
        }
    }
    if !all {
        Zip::from(&mut map).and(&valid).for_each(|m, &ok| {
            if !ok {
                *m = floor;
            }
        });
    }
    Ok(map)
}

/// The maximum of a map.
pub fn maximum(map: &Array2<f32>) -> f64 {
    f64::from(map.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// Half of a normalised Gaussian kernel, centre first, cut at 4 sigma.
fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (4.0 * sigma + 0.5) as usize;
    let half: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    half.into_iter().map(|v| (v / total) as f32).collect()
}

/// Separable convolution with a symmetric kernel; the image is mirrored at its borders (d c b a | a b c d).
fn blur(image: &Array2<f32>, kernel: &[f32]) -> Array2<f32> {
    let (rows, cols) = image.dim();
    let radius = kernel.len() - 1;
    let mut across = Array2::<f32>::zeros((rows, cols));
    let mut padded = vec![0f32; cols + 2 * radius];
    for (from, mut to) in image.outer_iter().zip(across.outer_iter_mut()) {
        for (at, p) in padded.iter_mut().enumerate() {
            *p = from[mirror(at as isize - radius as isize, cols)];
        }
        if let Some(to) = to.as_slice_mut() {
            for (t, &p) in to.iter_mut().zip(&padded[radius..]) {
                *t = kernel[0] * p;
            }
            for (k, &weight) in kernel.iter().enumerate().skip(1) {
                let (left, right) = (&padded[radius - k..], &padded[radius + k..]);
                for ((t, &a), &b) in to.iter_mut().zip(left).zip(right) {
                    *t += weight * (a + b);
                }
            }
        }
    }
    let mut out = Array2::<f32>::zeros((rows, cols));
    for (i, mut to) in out.outer_iter_mut().enumerate() {
        to.assign(&across.row(i).mapv(|v| v * kernel[0]));
        for (k, &weight) in kernel.iter().enumerate().skip(1) {
            let above = across.row(mirror(i as isize - k as isize, rows));
            let below = across.row(mirror(i as isize + k as isize, rows));
            Zip::from(&mut to).and(&above).and(&below).for_each(|t, &a, &b| *t += weight * (a + b));
        }
    }
    out
}

/// The index inside `0..n` that `i` mirrors to.
fn mirror(i: isize, n: usize) -> usize {
    let period = 2 * n as isize;
    let at = i.rem_euclid(period);
    (if at < n as isize { at } else { period - 1 - at }) as usize
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
    fn what_was_not_scored_gets_the_floor_and_does_not_darken_its_neighbours() {
        let valid = Mask::from_shape_fn((8, 8), |(_, j)| j < 4);
        let map =
            anomaly_map(&scores(Array3::from_elem((1, 8, 8), 3.0), Some(valid), (8, 8)), (8, 8), 1.0, -2.0)
                .unwrap();
        assert!((map[(4, 3)] - 3.0).abs() < 1e-4);
        assert_eq!(map[(4, 4)], -2.0);
    }

    #[test]
    fn mirroring_repeats_the_edge() {
        assert_eq!((-4..8).map(|i| mirror(i, 4)).collect::<Vec<_>>(), [3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0]);
        assert_eq!(mirror(-9, 2), 0);
    }
}
