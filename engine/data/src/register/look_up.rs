//! An image as another sensor sees it: each of its points is looked up in the image.

use crate::{Camera, Frame, Grid, Image, Mask, Pose};
use ndarray::Array3;
use std::collections::VecDeque;

/// The camera that took the image, and where it stood.
pub(super) struct Target {
    /// From the points' frame into the camera's.
    pub(super) pose: Pose,
    /// The camera.
    pub(super) camera: Camera,
}

/// The image at the pixels of `points` (`[3, H, W]`), bilinearly; invalid where the camera did not see the point. A pixel without
/// a point takes the colour of the nearest one with a point. What hides a point from the camera is not looked for: its colour
/// is then that of what hides it.
pub(super) fn look_up(image: &Image, points: &Grid, target: &Target) -> Image {
    let (rows, cols) = points.size();
    let nearest = nearest_valid(points);
    let (height, width) = image.size();
    let mut pixels = Array3::<u8>::zeros((rows, cols, image.pixels.dim().2));
    let mut valid = Mask::from_elem((rows, cols), false);
    for i in 0..rows {
        for j in 0..cols {
            let Some(k) = nearest[i * cols + j] else { continue };
            let p = std::array::from_fn(|c| f64::from(points.values[(c, k / cols, k % cols)]));
            let Some((x, y)) = target.camera.project(target.pose.apply(p)) else { continue };
            if x < -0.5 || y < -0.5 || x > width as f64 - 0.5 || y > height as f64 - 0.5 {
                continue;
            }
            let (x, y) = (x.clamp(0.0, width as f64 - 1.0), y.clamp(0.0, height as f64 - 1.0));
            let (x0, y0) = (x as usize, y as usize);
            let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
            let (fx, fy) = (x.fract() as f32, y.fract() as f32);
            valid[(i, j)] = image.is_valid(y.round() as usize, x.round() as usize);
            for c in 0..pixels.dim().2 {
                let at = |y: usize, x: usize| f32::from(image.pixels[(y, x, c)]);
                let top = at(y0, x0) * (1.0 - fx) + at(y0, x1) * fx;
                let bottom = at(y1, x0) * (1.0 - fx) + at(y1, x1) * fx;
                pixels[(i, j, c)] = (top * (1.0 - fy) + bottom * fy).round() as u8;
            }
        }
    }
    let all = valid.iter().all(|&v| v);
    Image { pixels, valid: (!all).then_some(valid), frame: Frame::NATIVE }
}

/// For each cell the nearest valid one (in steps between neighbours; the first found among equals), or `None` where there is none.
fn nearest_valid(points: &Grid) -> Vec<Option<usize>> {
    debug_assert_eq!(points.frame, Frame::NATIVE);
    let (rows, cols) = points.size();
    let mut nearest: Vec<Option<usize>> =
        (0..rows * cols).map(|k| points.is_valid(k / cols, k % cols).then_some(k)).collect();
    let mut front: VecDeque<usize> = (0..rows * cols).filter(|&k| nearest[k].is_some()).collect();
    while let Some(k) = front.pop_front() {
        let (i, j) = (k / cols, k % cols);
        let around = [
            (i > 0).then(|| k - cols),
            (j > 0).then(|| k - 1),
            (j + 1 < cols).then(|| k + 1),
            (i + 1 < rows).then(|| k + cols),
        ];
        for next in around.into_iter().flatten() {
            if nearest[next].is_none() {
                nearest[next] = nearest[k];
                front.push_back(next);
            }
        }
    }
    nearest
}
