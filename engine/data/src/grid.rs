//! Grids: the arrays that travel between steps, and where they lie in native pixels.

use ndarray::{Array2, Array3};

/// A validity or foreground mask, `[h, w]`; `true` = the cell holds a measurement (or belongs to the part).
pub type Mask = Array2<bool>;

/// Where a grid lies in the native pixels of its scan.
///
/// The centre of column `j` is at native x = `offset_x + stride_x * (j + 1/2) - 1/2`; rows likewise. A native
/// grid has offsets 0 and strides 1. Computed in f64, so that no mapping drifts over a chain of resizes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Frame {
    /// Native x of the grid's left edge, pixels.
    pub offset_x: f64,
    /// Native y of the grid's top edge, pixels.
    pub offset_y: f64,
    /// Native pixels a column.
    pub stride_x: f64,
    /// Native pixels a row.
    pub stride_y: f64,
}

impl Frame {
    /// The native grid itself.
    pub const NATIVE: Self = Self { offset_x: 0.0, offset_y: 0.0, stride_x: 1.0, stride_y: 1.0 };

    /// The frame of a `rows` x `cols` grid that covers the same area as an `old_rows` x `old_cols` grid with this frame.
    pub fn resized(self, (old_rows, old_cols): (usize, usize), (rows, cols): (usize, usize)) -> Self {
        Self {
            stride_x: self.stride_x * old_cols as f64 / cols as f64,
            stride_y: self.stride_y * old_rows as f64 / rows as f64,
            ..self
        }
    }

    /// Native x of the centre of column `j`.
    pub fn native_x(self, j: f64) -> f64 {
        self.offset_x + self.stride_x * (j + 0.5) - 0.5
    }

    /// Native y of the centre of row `i`.
    pub fn native_y(self, i: f64) -> f64 {
        self.offset_y + self.stride_y * (i + 0.5) - 0.5
    }

    /// The (fractional) column at native x: the inverse of [`Frame::native_x`].
    pub fn column_at(self, x: f64) -> f64 {
        (x + 0.5 - self.offset_x) / self.stride_x - 0.5
    }

    /// The (fractional) row at native y: the inverse of [`Frame::native_y`].
    pub fn row_at(self, y: f64) -> f64 {
        (y + 0.5 - self.offset_y) / self.stride_y - 0.5
    }
}

/// The index nearest to a place along an axis of `n` cells; 0 where there are none.
pub fn nearest_index(at: f64, n: usize) -> usize {
    at.round().clamp(0.0, n.saturating_sub(1) as f64) as usize
}

/// A `[C, h, w]` array of f32 with a validity mask and its place in native pixels.
///
/// Organised points are a grid of three channels x, y, z in metres (0, 0, 0 where invalid).
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// `[C, h, w]`, standard (row-major) layout; finite wherever `valid` is true.
    pub values: Array3<f32>,
    /// `[h, w]`; `None` = every cell is valid.
    pub valid: Option<Mask>,
    /// Where the cells lie.
    pub frame: Frame,
}

impl Grid {
    /// Channels.
    pub fn channels(&self) -> usize {
        self.values.dim().0
    }

    /// `(rows, columns)`.
    pub fn size(&self) -> (usize, usize) {
        let (_, h, w) = self.values.dim();
        (h, w)
    }

    /// Whether cell `(i, j)` is valid.
    pub fn is_valid(&self, i: usize, j: usize) -> bool {
        self.valid.as_ref().is_none_or(|m| m[(i, j)])
    }
}

/// A picture as decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `[H, W, C]`, 0..=255, interleaved: C is 3 for colour and 1 for grey.
    pub pixels: Array3<u8>,
    /// `[H, W]`; `None` = every pixel is a measurement.
    pub valid: Option<Mask>,
    /// Where the pixels lie.
    pub frame: Frame,
}

impl Image {
    /// A picture at native size of which every pixel is a measurement; `[H, W, C]`.
    pub fn new(pixels: Array3<u8>) -> Self {
        Self { pixels, valid: None, frame: Frame::NATIVE }
    }

    /// `(rows, columns)`.
    pub fn size(&self) -> (usize, usize) {
        (self.pixels.dim().0, self.pixels.dim().1)
    }

    /// Whether pixel `(i, j)` is valid.
    pub fn is_valid(&self, i: usize, j: usize) -> bool {
        self.valid.as_ref().is_none_or(|m| m[(i, j)])
    }

    /// Takes pixels with any channel at its highest value for no measurement: what they hid is not known.
    pub fn drop_saturated(&mut self) {
        let (rows, cols) = self.size();
        let fine = Mask::from_shape_fn((rows, cols), |(i, j)| {
            self.is_valid(i, j) && self.pixels.slice(ndarray::s![i, j, ..]).iter().all(|&v| v < u8::MAX)
        });
        self.valid = fine.iter().any(|&v| !v).then_some(fine);
    }
}
