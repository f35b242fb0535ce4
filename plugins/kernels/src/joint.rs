//! PatchCore's own patch vectors (Roth et al. 2022, as its official code computes them).
//!
//! Each layer's neighbourhoods, C * window^2 values a cell with the channel first, are averaged to `width` values
//! (torch `adaptive_avg_pool1d`); coarser layers are brought to the finest grid bilinearly; the layers' values, one layer after
//! the other, are averaged to `width` once more. All of it is linear, so each value of the result is one weighted
//! sum over some neighbourhoods, and the stages are never stored.

use assay_sdk::{Parallel, for_each_chunk};
use ndarray::{Array2, ArrayView3};

use crate::KernelError;
use crate::embed::largest_grid;
use crate::error::{area, filled};
use crate::pool::check_window;
use crate::resample::{Axis, Resample, blend};

/// Width of the official vectors.
pub const WIDTH: usize = 1024;

/// Widths beyond this are refused.
const WIDEST: usize = 1 << 16;

/// Patch vectors [h*w, `width`] of `maps` [C_i, h_i, w_i] on the largest of their grids.
///
/// Maps are taken to cover the same part of the picture. Cells beyond the border count as zeros.
///
/// # Errors
/// No maps, an empty map, an even window, a width of zero or above 65536; no memory.
pub fn joint(
    maps: &[ArrayView3<f32>],
    window: usize,
    width: usize,
    par: &dyn Parallel,
) -> Result<Array2<f32>, KernelError> {
    check_window(window)?;
    if width == 0 || width > WIDEST {
        return Err(KernelError::Range { what: "width of patch vectors", range: "between 1 and 65536" });
    }
    let (h, w) = largest_grid(maps)?;
    let layers: Vec<Layer> = maps.iter().map(|map| Layer::new(map, h, w, window)).collect();
    let columns: Vec<Vec<Part>> = (0..width).map(|column| parts(&layers, column, width)).collect();
    let mut out = filled("patch vectors", area("patch vectors", h * w, width)?, 0f32)?;
    for_each_chunk(par, &mut out, w * width, &|y, strip| {
        let widest = layers.iter().map(|layer| layer.w).max().unwrap_or(0);
        let mut lines = Lines { low: vec![0.0; widest], high: vec![0.0; widest], mixed: vec![0.0; widest] };
        let mut line = vec![0f32; w];
        for (column, parts) in columns.iter().enumerate() {
            line.fill(0.0);
            for part in parts {
                layers[part.layer].add_line(&part.terms, y, &mut lines, &mut line);
            }
            for (cell, &value) in strip.chunks_exact_mut(width).zip(&line) {
                cell[column] = value;
            }
        }
    });
    Array2::from_shape_vec((h * w, width), out).map_err(|_| KernelError::Shape {
        what: "patch vectors",
        expected: h * w * width,
        found: 0,
    })
}

/// What one column takes from one layer.
struct Part {
    layer: usize,
    terms: Vec<Term>,
}

/// A value of each neighbourhood and what it counts.
struct Term {
    channel: usize,
    /// Row and column inside the window.
    place: (usize, usize),
    weight: f32,
}

/// The parts of a column: its share of the layers' averages, each of them a share of the neighbourhoods' values.
fn parts(layers: &[Layer], column: usize, width: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Of layers * width values, each column averages as many as there are layers.
    for value in column * layers.len()..(column + 1) * layers.len() {
        let (layer, average) = (value / width, value % width);
        let Layer { channels, window, .. } = layers[layer];
        let (cells, length) = (window * window, channels * window * window);
        let (start, end) = (average * length / width, ((average + 1) * length).div_ceil(width));
        let weight = 1.0 / ((end - start) * layers.len()) as f32;
        let terms = (start..end).map(|i| Term {
            channel: i / cells,
            place: (i % cells / window, i % window),
            weight,
        });
        match parts.last_mut().filter(|part| part.layer == layer) {
            Some(part) => part.terms.extend(terms),
            None => parts.push(Part { layer, terms: terms.collect() }),
        }
    }
    parts
}

/// One map and the way from it to the target grid.
struct Layer<'a> {
    values: std::borrow::Cow<'a, [f32]>,
    channels: usize,
    h: usize,
    w: usize,
    window: usize,
    /// Down and across; `None` where the map has the target's size.
    axes: Option<(Axis, Axis)>,
}

/// Scratch lines as long as the widest layer.
struct Lines {
    low: Vec<f32>,
    high: Vec<f32>,
    mixed: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn new(map: &ArrayView3<'a, f32>, h: usize, w: usize, window: usize) -> Self {
        let (channels, own_h, own_w) = map.dim();
        let values = match map.to_slice() {
            Some(values) => values.into(),
            None => map.iter().copied().collect::<Vec<_>>().into(),
        };
        let axis = |from, to| Axis::new(from, to, Resample::Bilinear);
        let axes = ((own_h, own_w) != (h, w)).then(|| (axis(own_h, h), axis(own_w, w)));
        Self { values, channels, h: own_h, w: own_w, window, axes }
    }

    /// Adds line `y` of the target grid to `out`.
    fn add_line(&self, terms: &[Term], y: usize, lines: &mut Lines, out: &mut [f32]) {
        let Some((down, across)) = &self.axes else { return self.add_own_line(terms, y, out) };
        let tap = down.taps[y];
        let (low, high) = (&mut lines.low[..self.w], &mut lines.high[..self.w]);
        low.fill(0.0);
        self.add_own_line(terms, tap.low, low);
        let mixed = if tap.weight == 0.0 {
            &*low
        } else {
            high.fill(0.0);
            self.add_own_line(terms, tap.high, high);
            blend(tap, low, high, &mut lines.mixed[..self.w]);
            &lines.mixed[..self.w]
        };
        for (x, out) in out.iter_mut().enumerate() {
            *out += across.at(x, mixed);
        }
    }

    /// Adds line `y` of the layer's own grid to `out`.
    fn add_own_line(&self, terms: &[Term], y: usize, out: &mut [f32]) {
        let reach = self.window / 2;
        for Term { channel, place: (row, column), weight } in terms {
            let Some(line) = (y + row).checked_sub(reach).filter(|&line| line < self.h) else { continue };
            let line = &self.values[(channel * self.h + line) * self.w..][..self.w];
            // out[x] gains line[x + column - reach].
            let (to, from) = (reach.saturating_sub(*column), column.saturating_sub(reach));
            if to < self.w && from < self.w {
                out[to..].iter_mut().zip(&line[from..]).for_each(|(out, x)| *out += weight * x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use ndarray::{Array3, Axis as Dim};
    use proptest::prelude::*;

    use super::*;
    use crate::resample::resample;

    fn map(c: usize, h: usize, w: usize) -> Array3<f32> {
        Array3::from_shape_fn((c, h, w), |(c, y, x)| ((c * 31 + y * 17 + x * 7) % 13) as f32)
    }

    fn adaptive(values: &[f32], width: usize) -> Vec<f32> {
        let pooled = |i: usize| {
            let part = &values[i * values.len() / width..((i + 1) * values.len()).div_ceil(width)];
            part.iter().sum::<f32>() / part.len() as f32
        };
        (0..width).map(pooled).collect()
    }

    /// Stage by stage: unfold, resize, pool each layer, pool all.
    fn by_stages(maps: &[Array3<f32>], window: usize, width: usize) -> Array2<f32> {
        let (h, w) = largest_grid(&maps.iter().map(|m| m.view()).collect::<Vec<_>>()).unwrap();
        let reach = window / 2;
        let unfolded: Vec<Array3<f32>> = maps
            .iter()
            .map(|map| {
                let (c, own_h, own_w) = map.dim();
                let values = Array3::from_shape_fn((c * window * window, own_h, own_w), |(i, y, x)| {
                    let (place, channel) = (i % (window * window), i / (window * window));
                    let at = |a: usize, k: usize| (a + k).checked_sub(reach);
                    match (at(y, place / window), at(x, place % window)) {
                        (Some(y), Some(x)) if y < own_h && x < own_w => map[[channel, y, x]],
                        _ => 0.0,
                    }
                });
                resample(values.view(), h, w, Resample::Bilinear, &Serial).unwrap()
            })
            .collect();
        let mut out = Array2::zeros((h * w, width));
        for (i, mut row) in out.axis_iter_mut(Dim(0)).enumerate() {
            let stacked: Vec<f32> = unfolded
                .iter()
                .flat_map(|m| adaptive(&m.slice(ndarray::s![.., i / w, i % w]).to_vec(), width))
                .collect();
            row.iter_mut().zip(adaptive(&stacked, width)).for_each(|(to, x)| *to = x);
        }
        out
    }

    #[test]
    fn of_a_wide_resnet_it_is_the_closed_form() {
        let maps = [map(512, 6, 6), map(1024, 3, 3)];
        let got = joint(&[maps[0].view(), maps[1].view()], 3, WIDTH, &Serial).unwrap();
        // (sum of the window + centre) / 10 of layer 2; the mean of two channels' windows of layer 3.
        for i in [0, 1, 200, 511] {
            let window: f32 = maps[0].slice(ndarray::s![i, 1..4, 2..5]).sum();
            assert!((got[[2 * 6 + 3, i]] - (window + maps[0][[i, 2, 3]]) / 10.0).abs() < 1e-4);
            let pair = maps[1].slice(ndarray::s![2 * i..2 * i + 2, 0..2, 0..2]).sum() / 18.0;
            assert!((got[[0, 512 + i]] - pair).abs() < 1e-4);
        }
    }

    #[test]
    fn a_width_of_zero_is_refused() {
        assert!(matches!(joint(&[map(1, 2, 2).view()], 3, 0, &Serial), Err(KernelError::Range { .. })));
    }

    proptest! {
        #[test]
        fn equals_the_stages_one_after_the_other(
            sizes in prop::collection::vec((1usize..5, 1usize..6, 1usize..6), 1..4), half in 0usize..3, width in 1usize..40,
        ) {
            let maps: Vec<Array3<f32>> = sizes.iter().map(|&(c, h, w)| map(c, h, w)).collect();
            let window = 2 * half + 1;
            let got = joint(&maps.iter().map(|m| m.view()).collect::<Vec<_>>(), window, width, &Serial).unwrap();
            let expected = by_stages(&maps, window, width);
            for (a, b) in got.iter().zip(&expected) {
                prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
}
