//! A quantity over the plane, sampled on a square raster.

/// Half the side of every raster, mm; beyond it lies the bare plane.
pub(crate) const HALF: f64 = 54.0;
/// Spacing of raster nodes, mm: below half a pixel at the default size.
pub(crate) const CELL: f64 = 0.2;
/// Nodes along a side.
pub(crate) const SIDE: usize = 541;

/// A quantity over the plane in the part frame, sampled bilinearly. A plain vector rather than an `ndarray`: the
/// renderer spends most of its time here, and the indexing must inline without optimisation across crates.
#[derive(Clone)]
pub(crate) struct Raster(Vec<f32>);

impl Raster {
    /// Samples `value(x, y)` (mm) at every node.
    pub(crate) fn of(mut value: impl FnMut(f64, f64) -> f64) -> Self {
        Self(vec![0.0; SIDE * SIDE]).map(|x, y, _| value(x, y))
    }

    /// A raster made from this one, node by node: `value(x, y, here)`.
    pub(crate) fn map(&self, mut value: impl FnMut(f64, f64, f64) -> f64) -> Self {
        let mut mapped = self.0.clone();
        for (row, line) in mapped.chunks_exact_mut(SIDE).enumerate() {
            let y = row as f64 * CELL - HALF;
            for (column, node) in line.iter_mut().enumerate() {
                *node = value(column as f64 * CELL - HALF, y, f64::from(*node)) as f32;
            }
        }
        Self(mapped)
    }

    /// The nodes, row by row.
    pub(crate) fn nodes(&self) -> &[f32] {
        &self.0
    }

    /// The value at (x, y), 0 outside the raster.
    #[inline]
    pub(crate) fn at(&self, x: f64, y: f64) -> f64 {
        let (column, row) = ((x + HALF) * (1.0 / CELL), (y + HALF) * (1.0 / CELL));
        let last = (SIDE - 1) as f64;
        if !(column >= 0.0 && row >= 0.0 && column < last && row < last) {
            return 0.0;
        }
        let (j, i) = (column as u32, row as u32);
        let (s, t) = (column - f64::from(j), row - f64::from(i));
        let start = i as usize * SIDE + j as usize;
        let near = lerp(self.0[start], self.0[start + 1], s);
        let far = lerp(self.0[start + SIDE], self.0[start + SIDE + 1], s);
        near + (far - near) * t
    }

    /// (d/dx, d/dy) by central differences over two cells.
    pub(crate) fn gradient(&self, x: f64, y: f64) -> (f64, f64) {
        let reach = 2.0 * CELL;
        (
            (self.at(x + CELL, y) - self.at(x - CELL, y)) / reach,
            (self.at(x, y + CELL) - self.at(x, y - CELL)) / reach,
        )
    }

    /// Mean over squares of `radius` mm to each side, taken twice (close to a Gaussian); the border repeats.
    pub(crate) fn blurred(&self, radius: f64) -> Self {
        let reach = ((radius / CELL) as usize).min(SIDE / 2);
        let mut field = self.0.clone();
        for _ in 0..2 {
            for (across, along) in [(SIDE, 1), (1, SIDE)] {
                for line in 0..SIDE {
                    running_mean(&mut field, line * across, along, reach);
                }
            }
        }
        Self(field)
    }
}

/// Replaces the `SIDE` values from `start`, `stride` apart, by their means over `reach` neighbours to each side.
fn running_mean(field: &mut [f32], start: usize, stride: usize, reach: usize) {
    let line: [f64; SIDE] = std::array::from_fn(|k| f64::from(field[start + k * stride]));
    let width = (2 * reach + 1) as f64;
    let mut sum = line[0] * (reach + 1) as f64 + line[1..=reach].iter().sum::<f64>();
    for k in 0..SIDE {
        field[start + k * stride] = (sum / width) as f32;
        sum += line[(k + reach + 1).min(SIDE - 1)] - line[k.saturating_sub(reach)];
    }
}

#[inline]
fn lerp(from: f32, to: f32, share: f64) -> f64 {
    let from = f64::from(from);
    from + (f64::from(to) - from) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_sampled_exactly_and_has_its_slope() {
        let plane = Raster::of(|x, y| 0.5 * x - 0.25 * y);
        assert!((plane.at(1.23, -4.56) - (0.5 * 1.23 + 0.25 * 4.56)).abs() < 1e-5);
        let (dx, dy) = plane.gradient(3.3, 8.1);
        assert!((dx - 0.5).abs() < 1e-4 && (dy + 0.25).abs() < 1e-4);
        assert_eq!(plane.at(f64::NAN, 0.0), 0.0);
    }

    #[test]
    fn blurring_keeps_a_constant_and_softens_a_step() {
        assert!((Raster::of(|_, _| 3.0).blurred(2.0).at(50.0, -53.0) - 3.0).abs() < 1e-5);
        let step = Raster::of(|x, _| f64::from(u8::from(x > 0.0))).blurred(2.0);
        assert!((step.at(0.1, 0.0) - 0.5).abs() < 0.05);
        assert!(step.at(-5.0, 0.0).abs() < 1e-5 && (step.at(5.0, 0.0) - 1.0).abs() < 1e-5);
    }
}
