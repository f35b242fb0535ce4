//! Organised points as another camera sees them.

use crate::{Camera, Frame, Grid, Mask, Pose};
use ndarray::Array3;

/// An edge of the surface longer than this many times the usual one spans a gap between two surfaces.
const JUMP: f64 = 5.0;

/// The points `[3, H, W]` of one sensor, seen from a camera at pose `pose` from theirs: `[3, native]` in the camera's frame.
///
/// Neighbouring points span triangles, so that a finer picture has no holes; each pixel gets the point of the nearest triangle
/// that covers its centre. Triangles across a jump in depth are left out: nothing was measured there.
pub(super) fn rasterise(points: &Grid, pose: &Pose, camera: &Camera, native: (usize, usize)) -> Grid {
    let (rows, cols) = points.size();
    let vertices: Vec<Option<Vertex>> = (0..rows * cols)
        .map(|k| {
            let (i, j) = (k / cols, k % cols);
            let p = pose.apply(std::array::from_fn(|c| f64::from(points.values[(c, i, j)])));
            let (x, y) = points.is_valid(i, j).then(|| camera.project(p)).flatten()?;
            Some(Vertex { p, x, y })
        })
        .collect();
    let longest = JUMP * usual_edge(&vertices, cols);
    let mut seen = Seen {
        values: Array3::zeros((3, native.0, native.1)),
        depth: ndarray::Array2::from_elem(native, f64::INFINITY),
    };
    for i in 1..rows {
        for j in 1..cols {
            let at = |i: usize, j: usize| vertices[i * cols + j].as_ref();
            let quad = [at(i - 1, j - 1), at(i - 1, j), at(i, j - 1), at(i, j)];
            // Either diagonal does where all four are there; with three, the triangle that they span.
            let triangles = match quad {
                [Some(a), Some(b), Some(c), Some(d)] => [Some([a, b, c]), Some([d, c, b])],
                [Some(a), Some(b), Some(c), None] => [Some([a, b, c]), None],
                [None, Some(b), Some(c), Some(d)] => [Some([d, c, b]), None],
                [Some(a), None, Some(c), Some(d)] => [Some([c, a, d]), None],
                [Some(a), Some(b), None, Some(d)] => [Some([b, d, a]), None],
                _ => [None, None],
            };
            for triangle in triangles.into_iter().flatten() {
                if (0..3).all(|k| triangle[k].distance(triangle[(k + 1) % 3]) <= longest) {
                    seen.draw(triangle);
                }
            }
        }
    }
    let valid: Mask = seen.depth.mapv(f64::is_finite);
    let all = valid.iter().all(|&v| v);
    Grid { values: seen.values, valid: (!all).then_some(valid), frame: Frame::NATIVE }
}

/// A point in the camera's frame, and its pixel.
struct Vertex {
    p: [f64; 3],
    x: f64,
    y: f64,
}

impl Vertex {
    fn distance(&self, other: &Self) -> f64 {
        (0..3).map(|c| (self.p[c] - other.p[c]).powi(2)).sum::<f64>().sqrt()
    }
}

/// The median distance of neighbours in a row.
fn usual_edge(vertices: &[Option<Vertex>], cols: usize) -> f64 {
    let pairs = vertices.chunks(cols.max(1)).flat_map(|row| row.windows(2));
    let mut edges: Vec<f64> = pairs
        .filter_map(|pair| match pair {
            [Some(a), Some(b)] => Some(a.distance(b)),
            _ => None,
        })
        .collect();
    if edges.is_empty() {
        return f64::INFINITY;
    }
    let middle = edges.len() / 2;
    *edges.select_nth_unstable_by(middle, f64::total_cmp).1
}

struct Seen {
    values: Array3<f32>,
    depth: ndarray::Array2<f64>,
}

impl Seen {
    fn draw(&mut self, [a, b, c]: [&Vertex; 3]) {
        let (rows, cols) = self.depth.dim();
        let area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
        if area == 0.0 || !area.is_finite() {
            return;
        }
        // Pixel centres inside the triangle's box and the picture.
        let span = |values: [f64; 3], n: usize| {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min).ceil().max(0.0);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).floor().min(n as f64 - 1.0);
            if low > high { 0..0 } else { low as usize..high as usize + 1 }
        };
        for i in span([a.y, b.y, c.y], rows) {
            for j in span([a.x, b.x, c.x], cols) {
                let (x, y) = (j as f64, i as f64);
                let wb = ((x - a.x) * (c.y - a.y) - (c.x - a.x) * (y - a.y)) / area;
                let wc = ((b.x - a.x) * (y - a.y) - (x - a.x) * (b.y - a.y)) / area;
                let wa = 1.0 - wb - wc;
                if wa < 0.0 || wb < 0.0 || wc < 0.0 {
                    continue;
                }
                // What is linear on the surface is linear over depth in the picture.
                let weights = [wa / a.p[2], wb / b.p[2], wc / c.p[2]];
                let total: f64 = weights.iter().sum();
                let point: [f64; 3] = std::array::from_fn(|k| {
                    (weights[0] * a.p[k] + weights[1] * b.p[k] + weights[2] * c.p[k]) / total
                });
                if point[2] < self.depth[(i, j)] && point.iter().all(|v| (*v as f32).is_finite()) {
                    self.depth[(i, j)] = point[2];
                    (0..3).for_each(|k| self.values[(k, i, j)] = point[k] as f32);
                }
            }
        }
    }
}
