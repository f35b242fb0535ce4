//! Heights of organised points above the plane that fits most of them.

use crate::plane::{Facing, Moments};

/// Fits of the plane, each to the points that the last one came near to.
const FITS: usize = 6;

/// Points farther from the plane than so many root mean squares are left out of the next fit.
const FAR: f64 = 2.0;

/// The height of each valid point above a plane, towards the camera, in the points' unit; `None` where there is no point, and
/// everywhere where the points span no plane.
///
/// The plane is that of least squares through the points, fitted again and again to those near it: what stands out of a flat
/// part, or of the table around it, does not tilt it.
pub(crate) fn heights(planes: [&[f32]; 3], valid: &[bool]) -> Vec<Option<f32>> {
    let point = |i: usize| planes.map(|plane| f64::from(plane[i]));
    let present = || (0..valid.len()).filter(|&i| valid[i]);
    let mut found = vec![None; valid.len()];
    let Some(first) = present().next() else { return found };
    // The sums are of squares: a point of the surface itself is near enough as origin.
    let origin = point(first);
    let apart = |i: usize| -> [f64; 3] {
        let p = point(i);
        std::array::from_fn(|c| p[c] - origin[c])
    };
    let mut plane: Option<Plane> = None;
    for _ in 0..FITS {
        let mut moments = Moments::default();
        for at in present().map(apart) {
            if plane.as_ref().is_none_or(|p| p.height(at).abs() <= p.reach) {
                moments.add(at);
            }
        }
        match Plane::of(&moments, origin) {
            Some(fitted) => plane = Some(fitted),
            None => break,
        }
    }
    let Some(plane) = plane else { return found };
    for (i, height) in found.iter_mut().enumerate().filter(|(i, _)| valid[*i]) {
        *height = Some(plane.height(apart(i)) as f32);
    }
    found
}

/// A plane by its unit normal towards the camera and a point; points are relative to one origin.
struct Plane {
    normal: [f64; 3],
    middle: [f64; 3],
    /// Heights of points that count in the next fit.
    reach: f64,
}

impl Plane {
    fn of(moments: &Moments, origin: [f64; 3]) -> Option<Self> {
        let unit = moments.normal()?;
        let middle = moments.first.map(|sum| sum / moments.count);
        let seen = std::array::from_fn(|c| middle[c] + origin[c]);
        let normal = Facing::Camera.turned(unit, seen).map(f64::from);
        let [xx, xy, xz, yy, yz, zz] = moments.covariance();
        let [a, b, c] = normal;
        let along = [xx * a + xy * b + xz * c, xy * a + yy * b + yz * c, xz * a + yz * b + zz * c];
        let variance = along.iter().zip(normal).map(|(v, n)| v * n).sum::<f64>();
        Some(Self { normal, middle, reach: FAR * variance.max(0.0).sqrt() })
    }

    fn height(&self, at: [f64; 3]) -> f64 {
        (0..3).map(|c| (at[c] - self.middle[c]) * self.normal[c]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 x 40 pixels of a plane of slope 0.3 in x, with a block of 10 x 10 pixels 5 mm above it.
    fn block() -> [Vec<f32>; 3] {
        let length = (1.0f32 + 0.3 * 0.3).sqrt();
        let mut planes: [Vec<f32>; 3] = Default::default();
        for i in 0..1200usize {
            let (row, col) = (i / 40, i % 40);
            let (x, y) = (0.001 * (col as f32 - 20.0), 0.001 * (row as f32 - 15.0));
            let lift = if row < 10 && col < 10 { 0.005 } else { 0.0 };
            // Towards the camera along the plane's normal (0.3, 0, -1) / length.
            planes[0].push(x + lift * 0.3 / length);
            planes[1].push(y);
            planes[2].push(0.5 + 0.3 * x - lift / length);
        }
        planes
    }

    #[test]
    fn what_stands_out_of_a_tilted_plane_has_its_height_and_the_plane_none() {
        let planes = block();
        let mut valid = vec![true; 1200];
        valid[777] = false;
        let found = heights(planes.each_ref().map(Vec::as_slice), &valid);
        for (i, height) in found.iter().enumerate() {
            let expected = if i / 40 < 10 && i % 40 < 10 { 0.005 } else { 0.0 };
            match height {
                Some(height) => assert!((height - expected).abs() < 5e-5, "{i}: {height}"),
                None => assert_eq!(i, 777),
            }
        }
    }

    #[test]
    fn points_that_span_no_plane_have_no_height() {
        let line: Vec<f32> = (0..9u8).map(f32::from).collect();
        let flat = vec![1.0; 9];
        assert_eq!(heights([&line, &flat, &flat], &[true; 9]), [None; 9]);
        assert_eq!(heights([&flat, &flat, &flat], &[true; 9]), [None; 9]);
        assert_eq!(heights([&line, &line, &flat], &[false; 9]), [None; 9]);
        assert!(heights([&[], &[], &[]], &[]).is_empty());
    }
}
