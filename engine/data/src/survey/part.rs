//! What organised points say of how the part lies.

use super::Finding;
use crate::decode::{self, Encoded, Stored};
use crate::prepare::Background;
use crate::{Limits, Mask, SensorKind};

/// The least share of the measured points that a part has, where it stands out at all.
const LEAST_SHARE: f64 = 0.005;
/// How much longer than wide a part is at least whose direction can be told.
const LEAST_ELONGATION: f64 = 1.15;
/// Scans at least that tell whether parts are turned.
const LEAST_SCANS: usize = 4;
/// How well directions agree (length of the mean of their doubled unit vectors) in a fixture: 17 degrees of play.
const IN_FIXTURE: f64 = 0.85;

/// How the part lies in the scans that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Whether it stands out from the surface that it lies on, in every scan.
    pub stands_out: bool,
    /// Whether it lies at any angle; `None` where that cannot be told, as of round parts.
    pub turned: Option<bool>,
}

/// Looks at the first sensor of organised points.
pub(super) fn of(sensors: &[Finding], limits: &Limits) -> Option<Part> {
    let height = sensors.iter().find(|f| f.sensor.kind == SensorKind::Xyz)?;
    let stored = &Stored { metres: height.sensor.unit.metres(), ..Stored::default() };
    let mut directions = Vec::new();
    let mut stands_out = true;
    for path in &height.samples {
        let grid = Encoded::read(path, limits).and_then(|file| decode::xyz(&file, stored, limits));
        let Ok(grid) = grid else { continue };
        let (rows, columns) = grid.size();
        let measured = (0..rows * columns).filter(|&k| grid.is_valid(k / columns, k % columns)).count();
        match Background::default().remove(&grid) {
            Ok(found) => {
                let cells = found.mask.iter().filter(|&&m| m).count();
                stands_out &= cells as f64 >= LEAST_SHARE * measured as f64 && cells > 0;
                directions.extend(direction(&found.mask));
            }
            Err(_) => stands_out = false,
        }
    }
    let turned = (stands_out && directions.len() >= LEAST_SCANS).then(|| agreement(&directions) < IN_FIXTURE);
    Some(Part { stands_out, turned })
}

/// The direction of the longer axis, radians; `None` of what has none.
fn direction(mask: &Mask) -> Option<f64> {
    let cells: Vec<(f64, f64)> =
        mask.indexed_iter().filter(|(_, m)| **m).map(|((i, j), _)| (j as f64, i as f64)).collect();
    if cells.is_empty() {
        return None;
    }
    let n = cells.len() as f64;
    let mean = cells.iter().fold((0.0, 0.0), |m, c| (m.0 + c.0 / n, m.1 + c.1 / n));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in cells {
        let (x, y) = (x - mean.0, y - mean.1);
        (xx, yy, xy) = (xx + x * x / n, yy + y * y / n, xy + x * y / n);
    }
    let (middle, half) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
    let elongation = ((middle + half) / (middle - half).max(1e-9)).sqrt();
    (elongation >= LEAST_ELONGATION).then(|| 0.5 * (2.0 * xy).atan2(xx - yy))
}

/// How well directions agree: 1 where they are the same, near 0 where they are any.
fn agreement(directions: &[f64]) -> f64 {
    let n = directions.len() as f64;
    let (s, c) =
        directions.iter().map(|d| (2.0 * d).sin_cos()).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    (s / n).hypot(c / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(angle: f64) -> Mask {
        Mask::from_shape_fn((41, 41), |(i, j)| {
            let (x, y) = (j as f64 - 20.0, i as f64 - 20.0);
            (x * angle.cos() + y * angle.sin()).abs() < 15.0
                && (y * angle.cos() - x * angle.sin()).abs() < 5.0
        })
    }

    #[test]
    fn the_direction_of_a_bar_is_found_and_a_disc_has_none() {
        for angle in [-1.2, -0.3, 0.0, 0.7, 1.5] {
            let found = direction(&bar(angle)).unwrap();
            assert!((found - angle).abs() < 0.05, "{found} {angle}");
        }
        let disc = Mask::from_shape_fn((41, 41), |(i, j)| (i as f64 - 20.0).hypot(j as f64 - 20.0) < 15.0);
        assert_eq!(direction(&disc), None);
    }

    #[test]
    fn parts_with_little_play_agree_and_parts_at_any_angle_do_not() {
        assert!(agreement(&[0.05, -0.05, 0.1, std::f64::consts::PI - 0.1]) > IN_FIXTURE);
        assert!(agreement(&[0.0, 0.8, 1.6, 2.4]) < 0.1);
    }
}
