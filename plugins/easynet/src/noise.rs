//! Perlin noise, whose hills are where synthetic defects lie.

use assay_training::layers::Draws;
use std::f64::consts::{FRAC_PI_2, PI, SQRT_2};

/// Noise above this is defective.
pub(crate) const HILL: f32 = 0.5;

/// A field of Perlin noise over a square (Perlin, 2002: gradients at the corners of cells, blended by 6t^5 - 15t^4 + 10t^3).
pub(crate) struct Noise {
    cells: [usize; 2],
    /// Gradients at the corners of cells, `(cells[0] + 1) x (cells[1] + 1)`.
    gradients: Vec<[f64; 2]>,
}

impl Noise {
    /// A field of so many cells down and across.
    pub(crate) fn new(cells: [usize; 2], draws: &mut Draws) -> Self {
        let corners = (cells[0] + 1) * (cells[1] + 1);
        let gradients = draws.uniform(corners, PI).into_iter().map(|a| f64::from(a).sin_cos().into());
        Self { cells, gradients: gradients.collect() }
    }

    /// The value at a place, both coordinates 0 to 1; about -1 to 1.
    fn at(&self, place: [f64; 2]) -> f32 {
        let scaled = [place[0] * self.cells[0] as f64, place[1] * self.cells[1] as f64];
        let cell = [0, 1].map(|c| (scaled[c] as usize).min(self.cells[c] - 1));
        let within = [0, 1].map(|c| scaled[c] - cell[c] as f64);
        let slope = |down: usize, across: usize| {
            let [a, b] = self.gradients[(cell[0] + down) * (self.cells[1] + 1) + cell[1] + across];
            a * (within[0] - down as f64) + b * (within[1] - across as f64)
        };
        let [v, u] = within.map(|t| t * t * t * (t * (t * 6.0 - 15.0) + 10.0));
        let top = slope(0, 0) * (1.0 - u) + slope(0, 1) * u;
        let bottom = slope(1, 0) * (1.0 - u) + slope(1, 1) * u;
        (SQRT_2 * (top * (1.0 - v) + bottom * v)) as f32
    }

    /// The field over a picture of `size` x `size`, turned about its middle by `angle` radians; 0 beyond its edge.
    pub(crate) fn picture(&self, size: usize, angle: f64) -> Vec<f32> {
        let (sin, cos) = angle.sin_cos();
        let mut values = Vec::with_capacity(size * size);
        for i in 0..size * size {
            let [y, x] = [i / size, i % size].map(|p| (p as f64 + 0.5) / size as f64 - 0.5);
            let place = [y * cos - x * sin + 0.5, y * sin + x * cos + 0.5];
            let inside = place.iter().all(|p| (0.0..=1.0).contains(p));
            values.push(if inside { self.at(place) } else { 0.0 });
        }
        values
    }
}

/// Where a synthetic defect lies, as DRAEM (Zavrtanik et al., 2021) and EasyNet place it: noise of 1 to 32 cells an axis, turned by up to
/// a right angle.
pub(crate) struct Hills {
    /// The noise, `size` x `size`.
    pub(crate) heights: Vec<f32>,
}

impl Hills {
    pub(crate) fn new(size: usize, draws: &mut Draws) -> Self {
        let cells = [(); 2].map(|()| 1 << draws.below(6));
        let angle = f64::from(draws.uniform(1, FRAC_PI_2)[0]);
        Self { heights: Noise::new(cells, draws).picture(size, angle) }
    }

    /// Levels all hills but one, that of a pixel of the part which is taken by chance: a defect mostly is alone.
    pub(crate) fn keep_one(&mut self, size: usize, is_part: impl Fn(usize) -> bool, draws: &mut Draws) {
        let high: Vec<usize> = (0..self.heights.len()).filter(|&i| self.high(i) && is_part(i)).collect();
        if high.is_empty() {
            return;
        }
        let mut kept = vec![false; self.heights.len()];
        let mut next = vec![high[draws.below(high.len())]];
        while let Some(i) = next.pop() {
            if kept[i] || !self.high(i) {
                continue;
            }
            kept[i] = true;
            let (y, x) = (i / size, i % size);
            let beside = [
                (y > 0, i.wrapping_sub(size)),
                (x > 0, i.wrapping_sub(1)),
                (x + 1 < size, i + 1),
                (y + 1 < size, i + size),
            ];
            next.extend(beside.into_iter().filter_map(|(inside, i)| inside.then_some(i)));
        }
        let others = self.heights.iter_mut().zip(kept).filter(|(_, kept)| !kept);
        others.for_each(|(height, _)| *height = height.min(HILL));
    }

    /// Whether a pixel is defective.
    pub(crate) fn high(&self, i: usize) -> bool {
        self.heights[i] > HILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_nothing_at_the_corners_of_cells_and_rises_to_about_one_between() {
        let mut draws = Draws::new(5);
        let noise = Noise::new([4, 2], &mut draws);
        for (y, x) in [(0.25, 0.5), (0.5, 0.0), (1.0, 1.0)] {
            assert!(noise.at([y, x]).abs() < 1e-6);
        }
        let most = (0..50).flat_map(|_| Noise::new([8, 8], &mut draws).picture(64, 0.3)).fold(0f32, f32::max);
        assert!(most > 0.8 && most <= 1.0 + 1e-6, "{most}");
    }

    #[test]
    fn turning_by_a_right_angle_turns_the_picture() {
        let noise = Noise::new([3, 5], &mut Draws::new(1));
        let (plain, turned) = (noise.picture(16, 0.0), noise.picture(16, FRAC_PI_2));
        for y in 0..16 {
            for x in 0..16 {
                assert!((turned[y * 16 + x] - plain[(15 - x) * 16 + y]).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn the_hill_that_is_kept_is_whole_and_touches_the_part() {
        let mut draws = Draws::new(8);
        let is_part = |i: usize| i % 32 < 16;
        let mut levelled = 0;
        for _ in 0..60 {
            let before = Hills::new(32, &mut draws);
            let mut after = Hills { heights: before.heights.clone() };
            after.keep_one(32, is_part, &mut draws);
            let high = |hills: &Hills| (0..1024).filter(|&i| hills.high(i)).collect::<Vec<_>>();
            let (all, kept) = (high(&before), high(&after));
            if !all.iter().any(|&i| is_part(i)) {
                assert_eq!(kept, all);
                continue;
            }
            levelled += usize::from(kept.len() < all.len());
            assert!(kept.iter().any(|&i| is_part(i)));
            assert!(kept.iter().all(|&i| after.heights[i] == before.heights[i]));
            // No hill that was levelled touches it, and it is reached from its first pixel.
            let beside = |i: usize, j: usize| (i / 32).abs_diff(j / 32) + (i % 32).abs_diff(j % 32) == 1;
            assert!(all.iter().filter(|i| !kept.contains(i)).all(|&i| !kept.iter().any(|&j| beside(i, j))));
            let mut reached = vec![kept[0]];
            while let Some(&i) =
                kept.iter().find(|&i| !reached.contains(i) && reached.iter().any(|&j| beside(*i, j)))
            {
                reached.push(i);
            }
            assert_eq!(reached.len(), kept.len());
        }
        assert!(levelled > 30, "{levelled}");
    }

    #[test]
    fn hills_cover_a_part_of_the_picture() {
        let mut draws = Draws::new(2);
        let shares: Vec<f64> = (0..200)
            .map(|_| {
                let hills = Hills::new(32, &mut draws);
                (0..1024).filter(|&i| hills.high(i)).count() as f64 / 1024.0
            })
            .collect();
        assert!(shares.iter().all(|s| *s < 0.7));
        assert!(shares.iter().filter(|s| **s > 0.0).count() > 150);
    }
}
