//! Convolutions as matrix products over pieces of the picture, forward and for the gradient of the weights.
//!
//! The values under the square of each cell of a band of rows are laid out as a column (im2col), and one product with all filters
//! gives the band. The layout of a band stays in a core's cache. Sums do not depend on the number of threads: a cell is made by one product, and
//! the gradient of the weights is summed in parts whose number the shapes give.
#![allow(unsafe_code, reason = "a measured kernel: products write the bands of one picture in place")]

use rayon::prelude::*;
use std::ops::Range;

/// Values of a band's layout: half a megabyte, which a core's second cache holds beside the filters.
const BAND: usize = 1 << 17;

/// Parts of the gradient of the weights that one picture gives at most.
const PARTS: usize = 4;

/// Values of all parts together at most, beyond one a picture.
const PARTS_VALUES: usize = 1 << 22;

/// Rows and columns of a product whose inner axis lies cell by cell in both its matrices: as many as `gemm` (0.19) multiplies on x86 as they lie.
/// Of more it first turns one of them around, which takes as long as all of the product.
const BLOCK: usize = if cfg!(target_arch = "x86_64") { 16 } else { 1 << 16 };

/// A convolution of a square of `side` cells (odd) with zeros around the picture: it keeps its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Pictures.
    pub(super) n: usize,
    /// Channels in and out.
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Size of a picture.
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) side: usize,
}

impl Shape {
    fn cells(&self) -> usize {
        self.rows * self.cols
    }

    /// Values under a cell's square, over all channels.
    fn depth(&self) -> usize {
        self.inputs * self.side * self.side
    }

    /// Rows of a band.
    fn band(&self) -> usize {
        (BAND / (self.depth() * self.cols).max(1)).clamp(1, self.rows.max(1))
    }

    fn bands(&self) -> usize {
        self.rows.div_ceil(self.band())
    }

    fn check(&self, x: usize, y: usize, weights: usize) {
        assert!(
            self.side % 2 == 1
                && self.depth() > 0
                && x == self.n * self.inputs * self.cells()
                && y == self.n * self.outputs * self.cells()
                && weights == self.outputs * self.depth(),
            "shapes of a convolution disagree: {self:?}"
        );
    }
}

/// `to` [rows, cols] (+)= `a` [rows, inner] times `b` [inner, cols], each with the strides of its rows and columns.
struct Product {
    rows: usize,
    inner: usize,
    cols: usize,
    add: bool,
}

/// A matrix that begins at `.0`, with the strides of its rows and columns.
type Strided<T> = (T, usize, usize);

impl Product {
    /// # Safety
    /// Every element lies inside what its pointer may reach, nothing else writes those of `to` or reads them, and `to` overlaps
    /// neither `a` nor `b`.
    unsafe fn into(self, to: Strided<*mut f32>, a: Strided<*const f32>, b: Strided<*const f32>) {
        let one = gemm::Parallelism::None;
        let [to_strides, a_strides, b_strides] =
            [(to.1, to.2), (a.1, a.2), (b.1, b.2)].map(|(rows, cols)| (rows as isize, cols as isize));
        // SAFETY: by the caller.
        unsafe {
            gemm::gemm(
                self.rows,
                self.cols,
                self.inner,
                to.0,
                to_strides.1,
                to_strides.0,
                self.add,
                a.0,
                a_strides.1,
                a_strides.0,
                b.0,
                b_strides.1,
                b_strides.0,
                1.0f32,
                1.0f32,
                false,
                false,
                false,
                one,
            );
        }
    }
}

/// Lays out rows `first..first + rows` of a picture `x` [inputs, rows, cols]: `[depth, rows * cols]`, zeros beyond the border.
fn lay_out(x: &[f32], shape: &Shape, first: usize, rows: usize, laid: &mut Vec<f32>) {
    let (cols, side, reach) = (shape.cols, shape.side, shape.side / 2);
    laid.clear();
    laid.reserve(shape.depth() * rows * cols);
    for channel in x.chunks_exact(shape.cells()) {
        for (dy, dx) in (0..side).flat_map(|dy| (0..side).map(move |dx| (dy, dx))) {
            for row in first..first + rows {
                let Some(source) = (row + dy).checked_sub(reach).filter(|r| *r < shape.rows) else {
                    laid.resize(laid.len() + cols, 0.0);
                    continue;
                };
                let source = &channel[source * cols..][..cols];
                let (before, after) =
                    (reach.saturating_sub(dx).min(cols), dx.saturating_sub(reach).min(cols));
                laid.resize(laid.len() + before, 0.0);
                laid.extend_from_slice(&source[after..cols - before]);
                laid.resize(laid.len() + after, 0.0);
            }
        }
    }
}

/// Where the tasks of a picture's bands write.
#[derive(Clone, Copy)]
struct Output(*mut f32);
// SAFETY: each task writes cells of its own.
unsafe impl Sync for Output {}
// SAFETY: as above.
unsafe impl Send for Output {}

impl Output {
    /// The place `at` values on.
    ///
    /// # Safety
    /// It lies inside the output.
    unsafe fn at(&self, at: usize) -> *mut f32 {
        // SAFETY: by the caller.
        unsafe { self.0.add(at) }
    }
}

/// Pictures `x` [n, inputs, rows, cols] through `weights` [outputs, inputs, side, side]: `[n, outputs, rows, cols]`.
///
/// # Panics
/// Where the lengths disagree with `shape`.
pub(super) fn forward(x: &[f32], weights: &[f32], shape: &Shape) -> Vec<f32> {
    let (cells, cols, depth) = (shape.cells(), shape.cols, shape.depth());
    let length = shape.n * shape.outputs * cells;
    shape.check(x.len(), length, weights.len());
    // Not zeros: one thread would write megabytes of them while the others wait.
    let mut out: Vec<f32> = Vec::with_capacity(length);
    let to = Output(out.as_mut_ptr());
    (0..shape.n * shape.bands()).into_par_iter().for_each_init(Vec::new, |laid, task| {
        let (picture, band) = (task / shape.bands(), task % shape.bands());
        let first = band * shape.band();
        let rows = shape.band().min(shape.rows - first);
        let x = &x[picture * shape.inputs * cells..][..shape.inputs * cells];
        let values = if shape.side == 1 {
            (x[first * cols..].as_ptr(), cells, 1)
        } else {
            lay_out(x, shape, first, rows, laid);
            (laid.as_ptr(), rows * cols, 1)
        };
        let product = Product { rows: shape.outputs, inner: depth, cols: rows * cols, add: false };
        // SAFETY: `values` is [depth, rows * cols], laid out or in place; the band's cells in each plane of the picture's
        // output are this task's alone; `check` has compared all lengths.
        unsafe {
            let to = to.at(picture * shape.outputs * cells + first * cols);
            product.into((to, cells, 1), (weights.as_ptr(), depth, 1), values);
        }
    });
    // SAFETY: there is room for `length` values, and the bands of all pictures have written each of them.
    unsafe { out.set_len(length) };
    out
}

/// Pieces of a matrix of sums over cells, of [`BLOCK`] rows and columns at most.
fn blocks(rows: usize, cols: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let pieces = |n: usize| (0..n).step_by(BLOCK).map(move |i| i..(i + BLOCK).min(n));
    pieces(rows).flat_map(move |row| pieces(cols).map(move |col| (row.clone(), col)))
}

/// The gradient of the weights, `[outputs, inputs, side, side]`, for the gradient `y` [n, outputs, rows, cols] of what pictures `x`
/// [n, inputs, rows, cols] gave.
///
/// # Panics
/// Where the lengths disagree with `shape`.
pub(super) fn of_weights(x: &[f32], y: &[f32], shape: &Shape) -> Vec<f32> {
    let (cells, cols, depth) = (shape.cells(), shape.cols, shape.depth());
    let length = shape.outputs * depth;
    shape.check(x.len(), y.len(), length);
    let fitting = (PARTS_VALUES / (length * shape.n).max(1)).clamp(1, PARTS);
    let bands_of_part = shape.bands().div_ceil(fitting).max(1);
    let parts_of_picture = shape.bands().div_ceil(bands_of_part);
    let parts: Vec<Vec<f32>> = (0..shape.n * parts_of_picture)
        .into_par_iter()
        .map_init(Vec::new, |laid, task| {
            let (picture, part) = (task / parts_of_picture, task % parts_of_picture);
            let x = &x[picture * shape.inputs * cells..][..shape.inputs * cells];
            let y = &y[picture * shape.outputs * cells..][..shape.outputs * cells];
            let mut sum = vec![0.0; length];
            let bands = part * bands_of_part..((part + 1) * bands_of_part).min(shape.bands());
            for first in bands.map(|band| band * shape.band()) {
                let rows = shape.band().min(shape.rows - first);
                let (values, stride) = if shape.side == 1 {
                    (x[first * cols..].as_ptr(), cells)
                } else {
                    lay_out(x, shape, first, rows, laid);
                    (laid.as_ptr(), rows * cols)
                };
                for (output, input) in blocks(shape.outputs, depth) {
                    let product =
                        Product { rows: output.len(), inner: rows * cols, cols: input.len(), add: true };
                    // SAFETY: `values` is [depth, rows * cols] and read as its transpose; `y` has the band's cells in each of
                    // its planes; `sum` is this task's and [outputs, depth]; a block lies within outputs x depth.
                    unsafe {
                        product.into(
                            (sum[output.start * depth + input.start..].as_mut_ptr(), depth, 1),
                            (y[output.start * cells + first * cols..].as_ptr(), cells, 1),
                            (values.add(input.start * stride), 1, stride),
                        );
                    }
                }
            }
            sum
        })
        .collect();
    let mut sum = vec![0.0; length];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// The weights that carry gradients of outputs back to inputs: `[inputs, outputs, side, side]`, each square turned by half.
pub(super) fn turned(weights: &[f32], inputs: usize, square: usize) -> Vec<f32> {
    let filter = inputs * square;
    let mut turned = Vec::with_capacity(weights.len());
    for input in 0..inputs {
        for of_output in weights.chunks_exact(filter.max(1)) {
            turned.extend(of_output[input * square..][..square].iter().rev());
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Draws;

    /// By the definition, in f64.
    fn naive(x: &[f32], w: &[f32], s: &Shape) -> Vec<f64> {
        let mut out = Vec::new();
        let (rows, cols, reach) = (s.rows as isize, s.cols as isize, (s.side / 2) as isize);
        for (n, o, row, col) in (0..s.n).flat_map(|n| {
            (0..s.outputs)
                .flat_map(move |o| (0..rows).flat_map(move |row| (0..cols).map(move |col| (n, o, row, col))))
        }) {
            let mut sum = 0.0;
            for (i, dy, dx) in (0..s.inputs)
                .flat_map(|i| (0..s.side).flat_map(move |dy| (0..s.side).map(move |dx| (i, dy, dx))))
            {
                let (r, c) = (row + dy as isize - reach, col + dx as isize - reach);
                if (0..rows).contains(&r) && (0..cols).contains(&c) {
                    let x = x[((n * s.inputs + i) * s.rows + r as usize) * s.cols + c as usize];
                    let w = w[((o * s.inputs + i) * s.side + dy) * s.side + dx];
                    sum += f64::from(x) * f64::from(w);
                }
            }
            out.push(sum);
        }
        out
    }

    fn shapes() -> Vec<Shape> {
        let shape = |n, inputs, outputs, rows, cols, side| Shape { n, inputs, outputs, rows, cols, side };
        vec![
            shape(2, 3, 4, 5, 7, 3),
            shape(1, 1, 1, 1, 1, 3),
            shape(3, 2, 5, 1, 9, 1),
            shape(1, 2, 3, 4, 2, 5),
            // Several bands, the last of them lower.
            shape(2, 40, 3, 33, 64, 3),
            shape(1, 300, 2, 33, 64, 1),
            // Several blocks of sums.
            shape(2, 3, 19, 5, 7, 3),
            shape(1, 20, 35, 4, 9, 1),
        ]
    }

    fn close(found: &[f32], expected: &[f64], shape: &Shape) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let apart = (f64::from(*found) - expected).abs();
            assert!(apart < 1e-4 * (1.0 + expected.abs()), "{found} for {expected} in {shape:?}");
        }
    }

    fn dot(a: &[f64], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum()
    }

    #[test]
    fn pictures_come_through_as_the_definition_says() {
        for shape in shapes() {
            let mut draws = Draws::new(1);
            let x = draws.uniform(shape.n * shape.inputs * shape.cells(), 1.0);
            let w = draws.uniform(shape.outputs * shape.depth(), 1.0);
            close(&forward(&x, &w, &shape), &naive(&x, &w, &shape), &shape);
        }
    }

    #[test]
    fn gradients_are_those_of_a_linear_map() {
        // <y, conv(x, w)> is linear in x and in w: its derivative along a direction is its value there.
        for shape in shapes() {
            let mut draws = Draws::new(2);
            let x = draws.uniform(shape.n * shape.inputs * shape.cells(), 1.0);
            let w = draws.uniform(shape.outputs * shape.depth(), 1.0);
            let y = draws.uniform(shape.n * shape.outputs * shape.cells(), 1.0);
            let value = dot(&naive(&x, &w, &shape), &y);
            let sum = |a: &[f32], b: &[f32]| -> f64 {
                assert_eq!(a.len(), b.len());
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let back = Shape { inputs: shape.outputs, outputs: shape.inputs, ..shape };
            let turned = turned(&w, shape.inputs, shape.side * shape.side);
            let of_x = forward(&y, &turned, &back);
            let of_w = of_weights(&x, &y, &shape);
            let size = 1.0 + (x.len() as f64).sqrt();
            assert!((sum(&of_x, &x) - value).abs() < 1e-3 * size, "{shape:?}");
            assert!((sum(&of_w, &w) - value).abs() < 1e-3 * size, "{shape:?}");
            // Along another direction, too.
            let other = draws.uniform(x.len(), 1.0);
            let expected = dot(&naive(&other, &w, &shape), &y);
            assert!((sum(&of_x, &other) - expected).abs() < 1e-3 * size, "{shape:?}");
            let other = draws.uniform(w.len(), 1.0);
            let expected = dot(&naive(&x, &other, &shape), &y);
            assert!((sum(&of_w, &other) - expected).abs() < 1e-3 * size, "{shape:?}");
        }
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        for shape in shapes().into_iter().skip(4) {
            let mut draws = Draws::new(3);
            let x = draws.uniform(shape.n * shape.inputs * shape.cells(), 1.0);
            let w = draws.uniform(shape.outputs * shape.depth(), 1.0);
            let y = draws.uniform(shape.n * shape.outputs * shape.cells(), 1.0);
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| (forward(&x, &w, &shape), of_weights(&x, &y, &shape)))
            };
            assert!(on(1) == on(3), "{shape:?}");
        }
    }
}
