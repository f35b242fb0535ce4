//! How good parts differ: a training scan lies a little otherwise, and is lit otherwise, each time it is seen.

use crate::scans::{Scale, Shape};
use assay_training::layers::Draws;

/// Most that a part is turned by, in radians (5 degrees), and moved by and made larger or smaller by, as a share of the picture.
const TURN: f64 = 0.087;
const SHIFT: f64 = 0.02;
const LARGER: f64 = 0.03;

/// Most that it is tilted by from its middle to either edge, and made higher or lower by, as a share of the reach and of its heights.
const TILT: f64 = 0.05;
const HEIGHT: f64 = 0.02;

/// Most that all colours, and one of them, are brighter or darker by.
const LIGHT: f64 = 0.05;
const TINT: f64 = 0.02;

/// How a scan is changed.
#[derive(Debug, Clone, PartialEq)]
struct Variation {
    /// What is at (y, x) from the middle, in cells, was at `from` times (y, x), moved by `shift`.
    from: [[f64; 2]; 2],
    shift: [f64; 2],
    /// Added to depths at the lower and at the right edge, taken away at the others.
    tilt: [f32; 2],
    height: f32,
    light: [f32; 3],
}

impl Variation {
    fn draw(size: usize, scale: Scale, draws: &mut Draws) -> Self {
        let mut within = |bound: f64| f64::from(draws.uniform(1, bound)[0]);
        let (sin, cos) = within(TURN).sin_cos();
        let larger = 1.0 + within(LARGER);
        let shift = [(); 2].map(|()| within(SHIFT) * size as f64);
        let tilt = [(); 2].map(|()| (within(TILT) * f64::from(scale.reach)) as f32);
        let height = (1.0 + within(HEIGHT)) as f32;
        let light = 1.0 + within(LIGHT);
        let light = [(); 3].map(|()| (light + within(TINT)) as f32);
        Self {
            from: [[cos * larger, -sin * larger], [sin * larger, cos * larger]],
            shift,
            tilt,
            height,
            light,
        }
    }

    /// Changes a scan's row.
    fn apply(&self, row: &[f32], shape: Shape) -> Vec<f32> {
        let (size, cells) = (shape.size, shape.cells());
        let Self { from, shift, tilt, height, light } = self;
        let (middle, edge) = (0.5 * (size - 1) as f64, (size - 1) as f64);
        let (colour, depth) = row.split_at(if shape.colour { 3 * cells } else { 0 });
        let mut changed = vec![0.0; row.len()];
        let (new_colour, new_depth) = changed.split_at_mut(colour.len());
        for i in 0..cells {
            let [y, x] = [i / size, i % size].map(|p| p as f64 - middle);
            let at = [0, 1].map(|k| (from[k][0] * y + from[k][1] * x + shift[k] + middle).clamp(0.0, edge));
            let low = at.map(|a| (a as usize).min(size - 2));
            let [v, u] = [0, 1].map(|k| (at[k] - low[k] as f64) as f32);
            let first = low[0] * size + low[1];
            let corners = [first, first + 1, first + size, first + size + 1];
            let blended = |plane: &[f32]| {
                let [a, b, c, d] = corners.map(|c| plane[c]);
                let (top, bottom) = (a + u * (b - a), c + u * (d - c));
                top + v * (bottom - top)
            };
            for ((new, plane), light) in
                new_colour.chunks_exact_mut(cells).zip(colour.chunks_exact(cells)).zip(light)
            {
                new[i] = (light * blended(plane)).clamp(0.0, 1.0);
            }
            if shape.depth {
                let ((depths, valid), nearest) =
                    (depth.split_at(cells), corners[usize::from(u >= 0.5) + 2 * usize::from(v >= 0.5)]);
                if valid[nearest] > 0.0 {
                    // A depth is blended with none that is missing.
                    let whole = corners.iter().all(|&c| valid[c] > 0.0);
                    let depth = if whole { blended(depths) } else { depths[nearest] };
                    let tilted = (tilt[0] * y as f32 + tilt[1] * x as f32) / middle as f32;
                    new_depth[i] = height * depth + tilted;
                    new_depth[cells + i] = 1.0;
                }
            }
        }
        changed
    }
}

/// A scan's row as another good part's might be.
pub(crate) fn varied(row: &[f32], shape: Shape, scale: Scale, draws: &mut Draws) -> Vec<f32> {
    Variation::draw(shape.size, scale, draws).apply(row, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 32;
    const CELLS: usize = SIZE * SIZE;
    const SCALE: Scale = Scale { reach: 0.5, slope: 0.02, noise: 0.006 };
    const SHAPE: Shape = Shape { size: SIZE, colour: true, depth: true };
    const NONE: Variation = Variation {
        from: [[1.0, 0.0], [0.0, 1.0]],
        shift: [0.0; 2],
        tilt: [0.0; 2],
        height: 1.0,
        light: [1.0; 3],
    };

    /// Slopes in colour and depth; depths on a disc.
    fn row() -> Vec<f32> {
        let [y, x] = [|i: usize| (i / SIZE) as f32 / 64.0, |i: usize| (i % SIZE) as f32 / 64.0];
        let inside = |i: usize| f32::from(u8::from((y(i) - 0.24).hypot(x(i) - 0.24) < 0.2));
        let colour = (0..3 * CELLS).map(|i| [x(i % CELLS), y(i % CELLS), 0.5][i / CELLS]);
        let depth = (0..CELLS).map(|i| inside(i) * (x(i) - 0.2));
        colour.chain(depth).chain((0..CELLS).map(inside)).collect()
    }

    #[test]
    fn no_variation_leaves_every_value() {
        assert_eq!(NONE.apply(&row(), SHAPE), row());
        let depth = Shape { colour: false, ..SHAPE };
        assert_eq!(NONE.apply(&row()[3 * CELLS..], depth), row()[3 * CELLS..]);
        let colour = Shape { depth: false, ..SHAPE };
        assert_eq!(NONE.apply(&row()[..3 * CELLS], colour), row()[..3 * CELLS]);
    }

    #[test]
    fn all_planes_are_turned_and_moved_alike() {
        // A quarter turn: what is at (y, x) was at (-x, y).
        let turn = Variation { from: [[0.0, -1.0], [1.0, 0.0]], ..NONE };
        let (row, turned) = (row(), turn.apply(&row(), SHAPE));
        for i in 0..5 * CELLS {
            let (plane, y, x) = (i / CELLS, i % CELLS / SIZE, i % SIZE);
            assert_eq!(turned[i], row[plane * CELLS + (SIZE - 1 - x) * SIZE + y]);
        }
        let moved = Variation { shift: [1.0, 0.5], ..NONE }.apply(&row, SHAPE);
        for i in (0..CELLS).filter(|i| i / SIZE < SIZE - 1 && i % SIZE < SIZE - 1) {
            assert!((moved[i] - row[i] - 0.5 / 64.0).abs() < 1e-6);
            assert!((moved[CELLS + i] - row[CELLS + i] - 1.0 / 64.0).abs() < 1e-6);
        }
    }

    #[test]
    fn tilt_and_height_change_depths_and_light_changes_colours_only() {
        let row = row();
        let tilted = Variation { tilt: [0.1, -0.2], height: 1.5, ..NONE }.apply(&row, SHAPE);
        assert_eq!(tilted[..3 * CELLS], row[..3 * CELLS]);
        assert_eq!(tilted[4 * CELLS..], row[4 * CELLS..]);
        for i in 0..CELLS {
            let [y, x] = [i / SIZE, i % SIZE].map(|p| (p as f32 - 15.5) / 15.5);
            let expected = row[4 * CELLS + i] * (1.5 * row[3 * CELLS + i] + 0.1 * y - 0.2 * x);
            assert!((tilted[3 * CELLS + i] - expected).abs() < 1e-6);
        }
        let lit = Variation { light: [0.9, 1.0, 3.0], ..NONE }.apply(&row, SHAPE);
        assert_eq!((lit[40], lit[CELLS + 40], lit[2 * CELLS]), (0.9 * row[40], row[CELLS + 40], 1.0));
        assert_eq!(lit[3 * CELLS..], row[3 * CELLS..]);
    }

    #[test]
    fn variations_are_small_and_differ() {
        let mut draws = Draws::new(2);
        let all: Vec<Variation> = (0..50).map(|_| Variation::draw(SIZE, SCALE, &mut draws)).collect();
        assert!(all.windows(2).all(|w| w[0] != w[1]));
        for Variation { from: [[a, b], [c, d]], shift, tilt, height, light } in all {
            let area = a * d - b * c;
            assert!(
                (0.97f64.powi(2) - 1e-6..=1.03f64.powi(2) + 1e-6).contains(&area) && (c / a).abs() < 0.0875
            );
            assert!(shift.iter().all(|s| s.abs() <= 0.02 * SIZE as f64));
            assert!(tilt.iter().all(|t| t.abs() <= 0.025 + 1e-6));
            assert!((height - 1.0).abs() <= 0.02 + 1e-6);
            assert!(light.iter().all(|l| (l - 1.0).abs() <= 0.07 + 1e-6));
        }
    }
}
