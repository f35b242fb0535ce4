//! Procedural texture: periodic multi-octave noise, made once and sampled at a place of its own by each scan.

use ndarray::Array2;

use crate::random::Draws;

/// Nodes along a side; a power of two, so that wrapping is a mask also for negative positions.
const SIDE: usize = 512;

/// One square of seamless noise with zero mean and unit variance.
pub(crate) struct Tile(Vec<f32>);

impl Tile {
    /// Sums `octaves` of periodic value noise: the first has `cells.0` x `cells.1` (across, down) lattice cells,
    /// each further one twice as many at `persistence` times the amplitude.
    pub(crate) fn new(draws: &mut Draws, cells: (usize, usize), octaves: u32, persistence: f64) -> Self {
        let mut sum = Array2::<f64>::zeros((SIDE, SIDE));
        for octave in 0..octaves {
            let (across, down) = ((cells.0 << octave).min(SIDE), (cells.1 << octave).min(SIDE));
            let lattice = Array2::from_shape_simple_fn((down, across), || draws.around_zero(1.0));
            let amplitude = persistence.powi(octave as i32);
            for ((row, column), value) in sum.indexed_iter_mut() {
                let (i, next_i, t) = cell(row, down);
                let (j, next_j, s) = cell(column, across);
                let near = lattice[(i, j)] + (lattice[(i, next_j)] - lattice[(i, j)]) * s;
                let far = lattice[(next_i, j)] + (lattice[(next_i, next_j)] - lattice[(next_i, j)]) * s;
                *value += amplitude * (near + (far - near) * t);
            }
        }
        let count = (SIDE * SIDE) as f64;
        let mean = sum.sum() / count;
        let spread = (sum.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        Self(sum.iter().map(|v| ((v - mean) / spread) as f32).collect())
    }

    /// The noise at (x, y) in tiles, repeating with period 1; bilinear.
    #[inline]
    pub(crate) fn at(&self, x: f64, y: f64) -> f64 {
        let ((j, next_j, s), (i, next_i, t)) = (node_below(x), node_below(y));
        let node = |i: usize, j: usize| f64::from(self.0[i * SIDE + j]);
        let near = node(i, j) + (node(i, next_j) - node(i, j)) * s;
        let far = node(next_i, j) + (node(next_i, next_j) - node(next_i, j)) * s;
        near + (far - near) * t
    }

    /// Slope of the noise per tile, over two nodes.
    pub(crate) fn gradient(&self, x: f64, y: f64) -> (f64, f64) {
        let node = 1.0 / SIDE as f64;
        (
            (self.at(x + node, y) - self.at(x - node, y)) / (2.0 * node),
            (self.at(x, y + node) - self.at(x, y - node)) / (2.0 * node),
        )
    }
}

/// Node at or before `x` (in tiles), the next one, and the share of the way between them.
#[inline]
fn node_below(x: f64) -> (usize, usize, f64) {
    let position = x * SIDE as f64;
    let node = position as i32 - i32::from(position < 0.0);
    let wrapped = node as usize % SIDE;
    (wrapped, (wrapped + 1) % SIDE, position - f64::from(node))
}

/// Lattice cell of node `k`: its two ends and the smoothed position between them.
fn cell(k: usize, cells: usize) -> (usize, usize, f64) {
    let position = k as f64 * cells as f64 / SIDE as f64;
    let start = position as usize;
    let t = position - start as f64;
    (start % cells, (start + 1) % cells, t * t * (3.0 - 2.0 * t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_repeats_without_a_seam() {
        let tile = Tile::new(&mut Draws::new(1, 0), (4, 4), 3, 0.5);
        assert!((tile.at(0.25, 0.75) - tile.at(1.25, -0.25)).abs() < 1e-9);
        assert!((tile.at(0.999_999, 0.5) - tile.at(0.000_001, 0.5)).abs() < 1e-2);
    }
}
