//! The solid part over the plane and the rays that meet it.

use crate::raster::{CELL, HALF, Raster, SIDE};
use crate::vector::{Vector, along, unit};

/// A solid over the plane z = 0.
#[derive(Clone)]
pub(crate) struct Relief {
    heights: Raster,
    near: Bounds,
    wide: Bounds,
    top: f64,
}

impl Relief {
    /// Heights in mm; those below the plane are cut off.
    pub(crate) fn new(heights: Raster) -> Self {
        let heights = heights.map(|_, _, z| z.max(0.0));
        let (near, wide) = (Bounds::of(&heights, NEAR), Bounds::of(&heights, WIDE));
        let top = heights.nodes().iter().fold(0.0f64, |top, &z| top.max(f64::from(z)));
        Self { heights, near, wide, top }
    }

    /// The height field, mm.
    pub(crate) fn heights(&self) -> &Raster {
        &self.heights
    }

    /// Upward unit normal at (x, y), with `grain` added to the slope.
    pub(crate) fn normal(&self, x: f64, y: f64, grain: (f64, f64)) -> Vector {
        let (dx, dy) = self.heights.gradient(x, y);
        unit([-dx - grain.0, -dy - grain.1, 1.0])
    }

    /// First meeting of a descending ray with the solid or the plane below it.
    ///
    /// Marches down between the bounds of the neighbourhood, then bisects, and ends with one secant step, which is
    /// exact on flats.
    pub(crate) fn hit(&self, origin: Vector, direction: Vector) -> Vector {
        const HALVINGS: usize = 4;
        let parameter = |z: f64| (z - origin[2]) / direction[2];
        let point = |t: f64| along(origin, direction, t);
        let clearance = |t: f64| {
            let at = point(t);
            at[2] - self.heights.at(at[0], at[1])
        };
        let (enter, leave) = (point(parameter(self.top)), point(parameter(0.0)));
        let drift = (leave[0] - enter[0]).abs() + (leave[1] - enter[1]).abs();
        let (low, high) = if drift < NEAR { self.near.at(enter[0], enter[1]) } else { (0.0, self.top) };

        if high - low < 1e-6 {
            return point(parameter(low));
        }
        let (mut above, mut below) = (parameter(high), parameter(low));
        let steps = ((high - low) / STRIDE).ceil();
        let stride = (below - above) / steps.max(1.0);
        let mut gap_above = clearance(above);
        if gap_above <= 0.0 {
            return point(above);
        }
        let mut gap_below = 0.0;
        for step in 1..=steps as u32 {
            let t = above + stride;
            let gap = clearance(t);
            if gap <= 0.0 || f64::from(step) == steps {
                (below, gap_below) = (t, gap.min(0.0));
                break;
            }
            (above, gap_above) = (t, gap);
        }
        for _ in 0..HALVINGS {
            let middle = 0.5 * (above + below);
            let gap = clearance(middle);
            if gap > 0.0 {
                (above, gap_above) = (middle, gap);
            } else {
                (below, gap_below) = (middle, gap);
            }
        }
        point(above + (below - above) * (gap_above / (gap_above - gap_below)))
    }

    /// How much of a lamp a point sees past the solid: 0 none, 1 all.
    ///
    /// `to_lamp` points upward; `softness` is the tangent of the lamp's angular size.
    pub(crate) fn visibility(&self, from: Vector, to_lamp: Vector, softness: f64) -> f64 {
        /// Height by which a ray starts above its own surface, mm.
        const BIAS: f64 = 0.05;
        let drift_per_climb = (to_lamp[0].abs() + to_lamp[1].abs()) / to_lamp[2];
        let local_top = self.wide.at(from[0], from[1]).1;
        let top = if (local_top - from[2]) * drift_per_climb < WIDE { local_top } else { self.top };
        let mut seen = 1.0f64;
        let mut climb = STRIDE;
        while from[2] + climb < top {
            let t = climb / to_lamp[2];
            let on_way = along(from, to_lamp, t);
            let margin = on_way[2] + BIAS - self.heights.at(on_way[0], on_way[1]);
            seen = seen.min(0.5 + margin / (t * softness));
            if seen <= 0.0 {
                return 0.0;
            }
            climb += STRIDE;
        }
        seen
    }
}

/// Height that a marching ray moves in one step, mm.
const STRIDE: f64 = 0.45;
/// Reach of the bounds for camera rays and for lamp rays, mm.
const NEAR: f64 = 5.0;
const WIDE: f64 = 18.0;

/// Nodes along the side of a block.
const BLOCK: usize = 10;
/// Blocks along the side of the raster; the last one is a sliver.
const BLOCKS: usize = SIDE.div_ceil(BLOCK);

/// Lowest and highest height within some reach of each block: what lets a ray skip the empty air.
#[derive(Clone)]
struct Bounds(Vec<(f32, f32)>);

impl Bounds {
    fn of(heights: &Raster, reach: f64) -> Self {
        let mut blocks = vec![(f32::INFINITY, 0.0f32); BLOCKS * BLOCKS];
        for (row, line) in heights.nodes().chunks_exact(SIDE).enumerate() {
            for (column, &z) in line.iter().enumerate() {
                let block = &mut blocks[row / BLOCK * BLOCKS + column / BLOCK];
                *block = (block.0.min(z), block.1.max(z));
            }
        }
        // One block more than the reach: the far ends of a bilinear cell lie beyond it.
        let spread = (reach / (CELL * BLOCK as f64)).ceil() as usize + 1;
        for (across, along) in [(BLOCKS, 1), (1, BLOCKS)] {
            for line in 0..BLOCKS {
                let before: [_; BLOCKS] = std::array::from_fn(|k| blocks[line * across + k * along]);
                for k in 0..BLOCKS {
                    let near = &before[k.saturating_sub(spread)..(k + spread + 1).min(BLOCKS)];
                    blocks[line * across + k * along] =
                        near.iter().fold((f32::INFINITY, 0.0f32), |b, n| (b.0.min(n.0), b.1.max(n.1)));
                }
            }
        }
        Self(blocks)
    }

    /// (lowest, highest) around (x, y), mm. Beyond the raster lies the plane, which the part does not come near.
    #[inline]
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let block = |v: f64| (((v + HALF) * (1.0 / (CELL * BLOCK as f64))).max(0.0) as usize).min(BLOCKS - 1);
        let (low, high) = self.0[block(y) * BLOCKS + block(x)];
        (f64::from(low), f64::from(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> Relief {
        Relief::new(Raster::of(|x, y| {
            if x.abs().max(y.abs()) > 40.0 {
                0.0
            } else if x < 0.0 {
                5.0
            } else {
                1.0
            }
        }))
    }

    #[test]
    fn a_vertical_ray_stops_at_the_height_below_it() {
        let hit = step().hit([-3.0, 0.0, 100.0], [0.0, 0.0, -1.0]);
        assert!((hit[2] - 5.0).abs() < 1e-6);
        let hit = step().hit([3.0, 0.0, 100.0], [0.0, 0.0, -1.0]);
        assert!((hit[2] - 1.0).abs() < 1e-6, "{hit:?}");
    }

    #[test]
    fn a_slanted_ray_stops_at_the_wall_in_its_way() {
        let hit = step().hit([10.0, 0.0, 13.0], unit([-1.0, 0.0, -1.0]));
        assert!(hit[0].abs() < 0.3 && (hit[2] - 3.0).abs() < 0.3, "{hit:?}");
    }

    #[test]
    fn bounds_enclose_what_a_ray_can_meet() {
        let relief = Relief::new(Raster::of(|x, y| 3.0 + (0.7 * x).sin() + (0.9 * y).cos()));
        for k in 0..400 {
            let (x, y) = (f64::from(k % 20) * 4.7 - 45.0, f64::from(k / 20) * 4.7 - 45.0);
            let (low, high) = relief.near.at(x, y);
            for (dx, dy) in [(NEAR, 0.0), (-NEAR, 0.0), (0.0, NEAR), (0.0, -NEAR), (1.4, 1.4), (-1.4, -1.4)] {
                let z = relief.heights.at(x + dx, y + dy);
                assert!(low - 1e-6 <= z && z <= high + 1e-6);
            }
        }
    }

    #[test]
    fn beside_the_raster_lies_the_plane() {
        assert!(step().hit([300.0, 0.0, 100.0], [0.0, 0.0, -1.0])[2].abs() < 1e-9);
    }

    #[test]
    fn a_wall_hides_the_source_behind_it() {
        let low = [1.0, 0.0, 1.0];
        assert_eq!(step().visibility(low, unit([-1.0, 0.0, 1.0]), 0.01), 0.0);
        assert_eq!(step().visibility(low, unit([1.0, 0.0, 1.0]), 0.01), 1.0);
    }
}
