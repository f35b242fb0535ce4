//! What a network sees of a value: resized once, then made into its input whole or part by part.

use crate::plugin::Failure;
use crate::value::{Data, Value};
use assay_data::prepare::resize::{self, MaskRule};
use assay_data::{Image, Mask};
use ndarray::{Array3, Axis, s};
use std::ops::Range;

/// How a network wants its channels.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    /// Blue first instead of red.
    pub(super) bgr: bool,
    /// The values that black and white have before `mean` and `std`.
    pub(super) range: [f64; 2],
    /// Subtracted from red, green and blue; empty = nothing.
    pub(super) mean: Vec<f64>,
    /// Divides red, green and blue; empty = nothing.
    pub(super) std: Vec<f64>,
}

/// A value at the size of the network's input. Pixels stay bytes until a part of them is asked for: of a large picture the
/// floats would take more memory than its features.
#[derive(Debug)]
pub(super) enum Picture {
    /// `[rows, columns, C]`, C 1 or 3.
    Pixels(Array3<u8>),
    /// `[C, rows, columns]`, C 1 or 3.
    Planes(Array3<f32>),
}

impl Picture {
    /// Resizes an image or a grid to `size` = (rows, columns).
    ///
    /// # Errors
    /// A cloud, a size out of range, values that are not finite.
    pub(super) fn of(value: &Value, size: (usize, usize)) -> Result<Self, Failure> {
        match &value.data {
            Data::Image(image) => resize::image(&image.pixels, size).map(Self::Pixels),
            Data::Grid(grid) => resize::planes(grid.values.view(), size).map(Self::Planes),
            Data::Cloud(_) => return Err(Failure::about_input("a network takes images, not clouds")),
        }
        .map_err(|e| Failure::about_input(&e.to_string()))
    }

    /// The part of these rows and columns as the network's input `[3, rows, columns]`. `range` is that of the value; without it
    /// 0 to 255.
    pub(super) fn part(
        &self,
        rows: Range<usize>,
        cols: Range<usize>,
        channels: &Channels,
        range: Option<(f64, f64)>,
    ) -> Array3<f32> {
        let (low, high) = range.unwrap_or((0.0, 255.0));
        let mut part = Array3::<f32>::zeros((3, rows.len(), cols.len()));
        for (channel, mut plane) in part.axis_iter_mut(Axis(0)).enumerate() {
            // Which colour this channel of the network is.
            let colour = if channels.bgr { 2 - channel } else { channel };
            let mean = channels.mean.get(colour).copied().unwrap_or(0.0);
            let std = channels.std.get(colour).copied().unwrap_or(1.0);
            // One multiplication and one addition a pixel: value -> range -> mean and std.
            let factor = (channels.range[1] - channels.range[0]) / (high - low) / std;
            let offset = (channels.range[0] - mean) / std - low * factor;
            let (factor, offset) = (factor as f32, offset as f32);
            match self {
                Self::Pixels(pixels) => {
                    let at = if pixels.dim().2 == 1 { 0 } else { colour };
                    let seen = pixels.slice(s![rows.clone(), cols.clone(), at]);
                    plane.zip_mut_with(&seen, |to, &v| *to = f32::from(v) * factor + offset);
                }
                Self::Planes(planes) => {
                    let at = if planes.dim().0 == 1 { 0 } else { colour };
                    let seen = planes.slice(s![at, rows.clone(), cols.clone()]);
                    plane.zip_mut_with(&seen, |to, &v| *to = v * factor + offset);
                }
            }
        }
        part
    }
}

/// Which cells of an output see a measured pixel of the image; `None` = all. (Of a grid every cell is seen: what was not measured
/// there is filled in by the step that made it.)
pub(super) fn measured(value: &Value, size: (usize, usize)) -> Result<Option<Mask>, Failure> {
    let Data::Image(Image { valid: Some(valid), .. }) = &value.data else { return Ok(None) };
    resize::mask(valid, size, MaskRule::Any).map(Some).map_err(|e| Failure::about_input(&e.to_string()))
}
