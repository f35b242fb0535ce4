//! Feature maps of several layers to one vector a patch.

use assay_sdk::{Parallel, for_each_chunk};
use ndarray::{Array2, ArrayView3};

use crate::KernelError;
use crate::error::{area, filled};
use crate::pool::{average_line, check_window};
use crate::resample::{Axis, Resample, blend};

/// How maps become patch vectors.
#[derive(Debug, Clone, Copy)]
pub struct Embedding<'a> {
    /// Side of the neighbourhood that each cell is averaged over first; odd, below 256, 1 for none. See [`crate::pool`].
    pub window: usize,
    /// How the smaller maps are brought to the largest grid.
    pub resample: Resample,
    /// The channels to keep and their order, counted through all maps; `None` keeps all.
    pub channels: Option<&'a [usize]>,
}

impl Embedding<'_> {
    /// PatchCore's patch vectors in their simpler form (concatenation, no adaptive pooling to 1024):
    /// a 3x3 mean of each map, then bilinear to the largest.
    pub const PATCHCORE: Embedding<'static> =
        Embedding { window: 3, resample: Resample::Bilinear, channels: None };

    /// PaDiM's vectors: each cell as it is, the deeper maps replicated.
    pub const PADIM: Embedding<'static> =
        Embedding { window: 1, resample: Resample::Nearest, channels: None };
}

/// Height and width of the map with the most cells, the first of equals.
///
/// # Errors
/// No maps, or one without cells.
pub fn largest_grid(maps: &[ArrayView3<f32>]) -> Result<(usize, usize), KernelError> {
    let mut largest = (0, 0);
    for map in maps {
        let (channels, h, w) = map.dim();
        if channels * h * w == 0 {
            return Err(KernelError::TooFew { what: "cells of a feature map", needed: 1 });
        }
        if h * w > largest.0 * largest.1 {
            largest = (h, w);
        }
    }
    if largest.0 == 0 {
        return Err(KernelError::TooFew { what: "feature maps", needed: 1 });
    }
    Ok(largest)
}

/// Patch vectors [h*w, C] of `maps` [C_i, h_i, w_i] on the largest of their grids, channels concatenated.
///
/// Maps are taken to cover the same part of the picture.
///
/// # Errors
/// No maps, an empty map, an even window, a channel that no map has; no memory.
pub fn embed(
    maps: &[ArrayView3<f32>],
    how: &Embedding,
    par: &dyn Parallel,
) -> Result<Array2<f32>, KernelError> {
    check_window(how.window)?;
    let (h, w) = largest_grid(maps)?;
    let sources = maps.iter().map(|map| Source::new(map, h, w, how.resample)).collect::<Vec<_>>();
    let columns = columns(maps, how.channels)?;
    let width = columns.len();
    if width == 0 {
        return Err(KernelError::TooFew { what: "channels", needed: 1 });
    }
    let mut out = filled("patch vectors", area("patch vectors", h * w, width)?, 0f32)?;
    for_each_chunk(par, &mut out, w * width, &|y, strip| {
        let mut lines = Lines::new(&sources);
        let mut line = vec![0f32; w];
        for (column, &(map, channel)) in columns.iter().enumerate() {
            sources[map].line(channel, y, how.window, &mut lines, &mut line);
            // Neighbouring channels fill the same cache lines, so this scatter stays near.
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

/// Which map and which of its channels each column comes from.
fn columns(maps: &[ArrayView3<f32>], keep: Option<&[usize]>) -> Result<Vec<(usize, usize)>, KernelError> {
    let all: Vec<(usize, usize)> =
        maps.iter().enumerate().flat_map(|(m, map)| (0..map.dim().0).map(move |c| (m, c))).collect();
    match keep {
        None => Ok(all),
        Some(keep) => keep
            .iter()
            .map(|&c| {
                all.get(c).copied().ok_or(KernelError::Shape {
                    what: "kept channel",
                    expected: all.len(),
                    found: c,
                })
            })
            .collect(),
    }
}

/// One map and the way from it to the target grid.
struct Source<'a> {
    values: std::borrow::Cow<'a, [f32]>,
    h: usize,
    w: usize,
    /// Down and across; `None` where the map has the target's size.
    axes: Option<(Axis, Axis)>,
}

/// Scratch lines as long as the widest source.
struct Lines {
    low: Vec<f32>,
    high: Vec<f32>,
    mixed: Vec<f32>,
    sums: Vec<f32>,
}

impl Lines {
    fn new(sources: &[Source]) -> Self {
        let w = sources.iter().map(|s| s.w).max().unwrap_or(0);
        Self { low: vec![0.0; w], high: vec![0.0; w], mixed: vec![0.0; w], sums: vec![0.0; w] }
    }
}

impl<'a> Source<'a> {
    fn new(map: &ArrayView3<'a, f32>, h: usize, w: usize, how: Resample) -> Self {
        let (_, own_h, own_w) = map.dim();
        let values = match map.to_slice() {
            Some(values) => values.into(),
            None => map.iter().copied().collect::<Vec<_>>().into(),
        };
        let axes = ((own_h, own_w) != (h, w)).then(|| (Axis::new(own_h, h, how), Axis::new(own_w, w, how)));
        Self { values, h: own_h, w: own_w, axes }
    }

    /// Line `y` of the target grid, for one channel.
    fn line(&self, channel: usize, y: usize, window: usize, lines: &mut Lines, out: &mut [f32]) {
        let w = self.w;
        let plane = &self.values[channel * self.h * w..][..self.h * w];
        let Some((down, across)) = &self.axes else {
            return average_line(plane, y, window, &mut lines.sums[..w], out);
        };
        let tap = down.taps[y];
        average_line(plane, tap.low, window, &mut lines.sums[..w], &mut lines.low[..w]);
        let mixed = if tap.weight == 0.0 {
            &lines.low[..w]
        } else {
            average_line(plane, tap.high, window, &mut lines.sums[..w], &mut lines.high[..w]);
            blend(tap, &lines.low[..w], &lines.high[..w], &mut lines.mixed[..w]);
            &lines.mixed[..w]
        };
        for (x, out) in out.iter_mut().enumerate() {
            *out = across.at(x, mixed);
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;
    use ndarray::Array3;
    use proptest::prelude::*;

    use super::*;
    use crate::pool::average;
    use crate::resample::resample;

    fn map(c: usize, h: usize, w: usize) -> Array3<f32> {
        Array3::from_shape_fn((c, h, w), |(c, y, x)| ((c * 31 + y * 17 + x * 7) % 13) as f32)
    }

    #[test]
    fn kept_channels_count_through_all_maps() {
        let (a, b) = (map(2, 4, 4), map(3, 2, 2));
        let how = Embedding { channels: Some(&[4, 0]), ..Embedding::PADIM };
        let rows = embed(&[a.view(), b.view()], &how, &Serial).unwrap();
        assert_eq!(rows.dim(), (16, 2));
        assert_eq!(rows[[15, 0]], b[[2, 1, 1]]);
        assert_eq!(rows[[6, 1]], a[[0, 1, 2]]);
    }

    #[test]
    fn a_channel_that_no_map_has_is_refused() {
        let a = map(2, 2, 2);
        let how = Embedding { channels: Some(&[2]), ..Embedding::PADIM };
        assert!(matches!(embed(&[a.view()], &how, &Serial), Err(KernelError::Shape { .. })));
    }

    proptest! {
        #[test]
        fn equals_pooling_then_resampling_then_concatenation(h in 1usize..8, w in 1usize..8, h2 in 1usize..8, w2 in 1usize..8, half in 0usize..3) {
            let maps = [map(2, h, w), map(3, h2, w2)];
            let views = maps.each_ref().map(|map| map.view());
            let how = Embedding { window: 2 * half + 1, ..Embedding::PATCHCORE };
            let rows = embed(&views, &how, &Serial).unwrap();
            let (th, tw) = largest_grid(&views).unwrap();
            let mut column = 0;
            for map in &maps {
                let pooled = average(map.view(), how.window, &Serial).unwrap();
                let full = resample(pooled.view(), th, tw, Resample::Bilinear, &Serial).unwrap();
                for c in 0..map.dim().0 {
                    for i in 0..th * tw {
                        prop_assert!((rows[[i, column]] - full[[c, i / tw, i % tw]]).abs() < 1e-4);
                    }
                    column += 1;
                }
            }
        }
    }
}
