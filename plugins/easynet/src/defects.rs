//! Synthetic defects on good scans.

use crate::noise::{HILL, Hills};
use crate::scans::Scan;
use crate::texture::texture;
use assay_training::layers::Draws;
use std::f32::consts::PI;
use std::ops::Range;

/// Tries to place a defect on the part.
const TRIES: usize = 8;

/// The most of a picture that shines through a texture.
const MOST_THROUGH: f32 = 0.8;

/// Highest bump, as a share of the range of depths.
const HIGHEST: f32 = 0.4;

/// A change of a picture that counts as one, of its range.
const SEEN: f32 = 0.03;

/// Where cells come from that are not in their place, in cells down and across.
#[derive(Debug, Clone, Copy)]
struct Displacement {
    by: [f32; 2],
    /// Whether it grows from the edge of the place: the surface is bent, and nothing is torn.
    grows: bool,
}

impl Displacement {
    /// A surface that is bent, by 3 to 15 % of the picture.
    fn bent(size: usize, draws: &mut Draws) -> Self {
        Self { by: vector(0.03..0.15, size, draws), grows: true }
    }

    /// A piece of another place, 10 to 50 % of the picture away: on the part what does not belong there, from beside the part a piece
    /// that is missing (CutPaste; Li et al., CVPR 2021).
    fn elsewhere(size: usize, draws: &mut Draws) -> Self {
        Self { by: vector(0.1..0.5, size, draws), grows: false }
    }

    /// Where cell `i` comes from, whose noise is `height`.
    fn source(&self, i: usize, height: f32, size: usize) -> usize {
        let share = match self.grows {
            true => ((height - HILL) / (1.0 - HILL)).clamp(0.0, 1.0),
            false => f32::from(u8::from(height > HILL)),
        };
        let along =
            |at: usize, by: f32| (at as f32 + share * by).round().clamp(0.0, (size - 1) as f32) as usize;
        along(i / size, self.by[0]) * size + along(i % size, self.by[1])
    }
}

/// A vector in any direction whose length is in `lengths`, of the picture's side.
fn vector(lengths: Range<f32>, size: usize, draws: &mut Draws) -> [f32; 2] {
    let angle = draws.uniform(1, f64::from(PI))[0];
    let share = 0.5 * (draws.uniform(1, 1.0)[0] + 1.0);
    let length = (lengths.start + share * (lengths.end - lengths.start)) * size as f32;
    [angle.sin() * length, angle.cos() * length]
}

/// A scan to learn from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// The pictures of the sensors, three planes each.
    pub(crate) pictures: Vec<Vec<f32>>,
    /// Where the first sensor's picture is defective, 0 or 1.
    pub(crate) alone: Vec<f32>,
    /// Where any sensor's is.
    pub(crate) any: Vec<f32>,
}

impl Example {
    /// A scan as it is.
    pub(crate) fn good(scan: &Scan<'_>, size: usize) -> Self {
        let none = vec![0.0; size * size];
        Self { pictures: scan.pictures(), alone: none.clone(), any: none }
    }

    /// A scan with a defect: half of them as the paper's, the others what happens to parts.
    pub(crate) fn defective(scan: &Scan<'_>, others: &[&[f32]], size: usize, draws: &mut Draws) -> Self {
        match draws.below(4) {
            0 => Self::displaced(scan, Displacement::bent(size, draws), size, draws),
            1 => Self::displaced(scan, Displacement::elsewhere(size, draws), size, draws),
            _ => Self::textured(scan, others, size, draws),
        }
    }

    /// A scan in which all sensors see at one place what is at another.
    fn displaced(scan: &Scan<'_>, displacement: Displacement, size: usize, draws: &mut Draws) -> Self {
        let mut example = Self::good(scan, size);
        let cells = size * size;
        for _ in 0..TRIES {
            let hills = Hills::new(size, draws);
            let sources: Vec<usize> =
                (0..cells).map(|i| displacement.source(i, hills.heights[i], size)).collect();
            // On the part, or where it now seems to be.
            let moved = |i: usize| sources[i] != i && (scan.is_part(i) || scan.is_part(sources[i]));
            let changed: Vec<Vec<bool>> = example
                .pictures
                .iter()
                .map(|planes| {
                    let apart =
                        |i: usize, c: usize| (planes[c * cells + i] - planes[c * cells + sources[i]]).abs();
                    (0..cells).map(|i| moved(i) && (0..3).any(|c| apart(i, c) > SEEN)).collect()
                })
                .collect();
            let any = |i: usize| changed.iter().any(|sensor| sensor[i]);
            if !(0..cells).any(any) {
                continue;
            }
            example.alone = changed[0].iter().map(|c| f32::from(u8::from(*c))).collect();
            example.any = (0..cells).map(|i| f32::from(u8::from(any(i)))).collect();
            for planes in &mut example.pictures {
                let still = planes.clone();
                for (i, v) in planes.iter_mut().enumerate() {
                    *v = still[i - i % cells + sources[i % cells]];
                }
            }
            break;
        }
        example
    }

    /// A scan with a texture in colour, heights in depth, or both; textures may be pieces of the `others`.
    pub(crate) fn textured(scan: &Scan<'_>, others: &[&[f32]], size: usize, draws: &mut Draws) -> Self {
        let mut example = Self::good(scan, size);
        let place = (0..TRIES).find_map(|_| {
            let hills = Hills::new(size, draws);
            let mask: Vec<f32> =
                (0..size * size).map(|i| f32::from(u8::from(hills.high(i) && scan.is_part(i)))).collect();
            mask.contains(&1.0).then_some((hills, mask))
        });
        let Some((hills, mask)) = place else { return example };
        // Half of the defects show in both sensors, where there are two.
        let (in_colour, in_depth) = match (scan.colour.is_some(), scan.depth.is_some(), draws.below(4)) {
            (true, true, 0) => (true, false),
            (true, true, 1) => (false, true),
            (colour, depth, _) => (colour, depth),
        };
        let cells = size * size;
        let mut pictures = example.pictures.iter_mut();
        if scan.colour.is_some()
            && let Some(planes) = pictures.next()
            && in_colour
        {
            let through = MOST_THROUGH * 0.5 * (draws.uniform(1, 1.0)[0] + 1.0);
            let texture = texture(others, size, draws);
            for (i, v) in planes.iter_mut().enumerate() {
                if mask[i % cells] > 0.0 {
                    *v = (1.0 - through) * texture[i] + through * *v;
                }
            }
        }
        if in_depth && let Some(planes) = pictures.next() {
            // As the paper: the noise itself; or a bump or dent in the surface.
            let bump = (draws.below(2) == 0).then(|| HIGHEST * draws.uniform(1, 1.0)[0]);
            for (i, v) in planes.iter_mut().enumerate() {
                let height = hills.heights[i % cells];
                if mask[i % cells] > 0.0 {
                    *v = bump.map_or(height, |most| *v + most * height).clamp(0.0, 1.0);
                }
            }
        }
        let first = if scan.colour.is_some() { in_colour } else { in_depth };
        if first {
            example.alone.clone_from(&mask);
        }
        example.any = mask;
        example
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scans::Shape;

    const SIZE: usize = 32;
    const CELLS: usize = SIZE * SIZE;

    /// A slope in colour and depth on a disc, without depths around it.
    fn row() -> Vec<f32> {
        let inside = |i: usize| {
            let [y, x] = [i / SIZE, i % SIZE].map(|p| p as f32 - 15.5);
            y * y + x * x < 120.0
        };
        let slope = |i: usize| (i % SIZE) as f32 / SIZE as f32;
        let colour = (0..3 * CELLS).map(|i| if inside(i % CELLS) { slope(i % CELLS) } else { 1.0 });
        let depth = (0..CELLS).map(|i| if inside(i) { slope(i) - 0.5 } else { 0.0 });
        let valid = (0..CELLS).map(|i| f32::from(u8::from(inside(i))));
        colour.chain(depth).chain(valid).collect()
    }

    #[test]
    fn displaced_cells_change_in_all_sensors_where_the_masks_say_and_nowhere_else() {
        let row = row();
        let scan = Shape { size: SIZE, colour: true, depth: true }.scan(&row, 0.5);
        let good = Example::good(&scan, SIZE);
        let mut draws = Draws::new(3);
        let mut found = 0;
        for n in 0..60 {
            let displacement = match n % 2 {
                0 => Displacement::bent(SIZE, &mut draws),
                _ => Displacement::elsewhere(SIZE, &mut draws),
            };
            let bad = Example::displaced(&scan, displacement, SIZE, &mut draws);
            let change = |sensor: usize, i: usize| {
                (0..3).any(|c| {
                    (bad.pictures[sensor][c * CELLS + i] - good.pictures[sensor][c * CELLS + i]).abs() > SEEN
                })
            };
            for i in 0..CELLS {
                // Beside the part nothing is a defect.
                if bad.any[i] > 0.0 {
                    assert!(change(0, i) || change(1, i));
                }
                assert_eq!(bad.alone[i] > 0.0, bad.any[i] > 0.0 && change(0, i));
            }
            found += usize::from(bad.any.contains(&1.0));
        }
        assert!(found > 40, "{found} of 60");
    }

    #[test]
    fn a_bent_surface_is_not_torn() {
        let displacement = Displacement { by: [8.0, 0.0], grows: true };
        assert_eq!(displacement.source(5 * SIZE + 5, HILL, SIZE), 5 * SIZE + 5);
        assert_eq!(displacement.source(5 * SIZE + 5, 0.75, SIZE), 9 * SIZE + 5);
        assert_eq!(displacement.source(30 * SIZE + 5, 1.0, SIZE), 31 * SIZE + 5);
        let piece = Displacement { grows: false, ..displacement };
        assert_eq!(piece.source(5 * SIZE + 5, 0.51, SIZE), 13 * SIZE + 5);
    }
}
