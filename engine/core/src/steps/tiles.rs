//! Tiles: how a picture much larger than what a network was trained on is cut, and how the features of the tiles become one grid.
//!
//! Tiles start every `tile - overlap` pixels; the last one is moved back to end at the picture's edge, so that all have one size and
//! none holds anything but the picture. They start at multiples of each output's stride, so the cells of neighbours
//! coincide, and where tiles overlap a cell is a mean of theirs whose weights fall linearly towards a tile's edge: there a network
//! sees the least, and no seam is left. The first tile that covers a cell sets it and each later one moves it by its share, which is
//! the weighted mean without a sum of weights to divide by: equal features stay what they are to the last bit.

use super::onnx::param;
use crate::plugin::{Failure, MethodInfo, ParamInfo, ParamKind, ParamValue};
use ndarray::{Array2, Array3, s};
use std::ops::Range;

/// The parameters on tiles.
pub(super) fn params() -> Vec<ParamInfo> {
    let pixels = |name: &str, default: i64, min: f64, max: f64, doc: &str| ParamInfo {
        min: Some(min),
        max: Some(max),
        unit: "pixels".into(),
        ..param(name, ParamKind::Int, ParamValue::Int(default), doc)
    };
    vec![
        ParamInfo {
            choices: ["off", "auto", "on"].map(String::from).to_vec(),
            ..param(
                "tiling",
                ParamKind::String,
                ParamValue::String("off".into()),
                "Whether the network sees the resized scan tile by tile: on = where it is larger than one tile; auto = where a side is longer than two.",
            )
        },
        pixels(
            "tile",
            320,
            32.0,
            4096.0,
            "Side of a tile: a multiple of the network's coarsest stride (the built-in one's is 16).",
        ),
        pixels(
            "overlap",
            32,
            0.0,
            2048.0,
            "How far tiles overlap at least, half a tile at most: a multiple of that stride. Features are cross-faded there.",
        ),
    ]
}

/// When a picture is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Off,
    Auto,
    On,
}

/// What a recipe says about tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiling {
    when: When,
    /// Side of a tile, pixels.
    tile: usize,
    /// Pixels.
    overlap: usize,
}

impl Tiling {
    /// Reads the parameters of a step; a method without them does not tile.
    ///
    /// # Errors
    /// The parameter that is wrong, and why.
    pub(super) fn read(info: &MethodInfo, params: &[ParamValue]) -> Result<Self, (&'static str, String)> {
        let get = |name: &str| info.params.iter().position(|p| p.name == name).map(|i| &params[i]);
        let pixels = |name| match get(name) {
            Some(&ParamValue::Int(v)) => usize::try_from(v).unwrap_or(0),
            _ => 0,
        };
        let when = match get("tiling") {
            Some(ParamValue::String(s)) if s == "on" => When::On,
            Some(ParamValue::String(s)) if s == "auto" => When::Auto,
            _ => When::Off,
        };
        let (tile, overlap) = (pixels("tile"), pixels("overlap"));
        if when != When::Off && overlap * 2 > tile {
            return Err(("overlap", format!("must be half of `tile` at most: {}, not {overlap}", tile / 2)));
        }
        Ok(Self { when, tile, overlap })
    }

    /// How a network's input of so many rows and columns is cut; `None` = not at all.
    pub(super) fn cut(&self, (rows, cols): (usize, usize)) -> Option<Tiles> {
        let longest = rows.max(cols);
        let cuts = match self.when {
            When::Off => false,
            When::Auto => longest > 2 * self.tile,
            When::On => longest > self.tile,
        };
        let along = |length| Side::cut(length, self.tile, self.overlap);
        cuts.then(|| Tiles { rows: along(rows), cols: along(cols) })
    }
}

/// The tiles of a picture.
#[derive(Debug)]
pub(super) struct Tiles {
    rows: Side,
    cols: Side,
}

/// One tile.
#[derive(Debug, Clone)]
pub(super) struct Tile {
    /// Its row and column among the tiles.
    at: (usize, usize),
    /// Its rows of the picture, pixels.
    pub(super) rows: Range<usize>,
    /// Its columns of the picture, pixels.
    pub(super) cols: Range<usize>,
}

impl Tiles {
    /// Rows and columns of every tile, pixels.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows.tile, self.cols.tile)
    }

    /// The tiles, row by row.
    pub(super) fn iter(&self) -> impl Iterator<Item = Tile> {
        (0..self.rows.starts.len()).flat_map(move |a| {
            (0..self.cols.starts.len()).map(move |b| Tile {
                at: (a, b),
                rows: self.rows.range(a),
                cols: self.cols.range(b),
            })
        })
    }

    /// The shapes of the joined grids of outputs `taps`, of which a tile gives `[C, h, w]` each.
    ///
    /// # Errors
    /// Names the parameter that is no multiple of an output's stride.
    pub(super) fn joined_shapes(&self, taps: &[(&str, [usize; 3])]) -> Result<Vec<[usize; 3]>, Failure> {
        // A tile that is no multiple of a stride may still be one of what is left when the network rounds; then strides
        // come out that do not go with each other.
        for (side, axis) in [(&self.rows, 1), (&self.cols, 2)] {
            let finest = taps.iter().max_by_key(|(_, shape)| shape[axis]);
            let odd =
                |cells: usize| finest.is_some_and(|(_, f)| cells == 0 || !f[axis].is_multiple_of(cells));
            if let Some((tap, shape)) =
                taps.iter().find(|(_, shape)| side.starts.len() > 1 && odd(shape[axis]))
            {
                return Err(side.misfit(tap, shape[axis]));
            }
        }
        taps.iter()
            .map(|&(tap, [channels, h, w])| {
                Ok([channels, self.rows.cells(tap, h)?, self.cols.cells(tap, w)?])
            })
            .collect()
    }
}

/// Tiles along the rows or along the columns, pixels.
#[derive(Debug)]
struct Side {
    length: usize,
    tile: usize,
    overlap: usize,
    starts: Vec<usize>,
}

impl Side {
    fn cut(length: usize, tile: usize, overlap: usize) -> Self {
        let tile = tile.min(length);
        let last = length - tile;
        let mut starts: Vec<usize> = (0..last).step_by((tile - overlap.min(tile / 2)).max(1)).collect();
        starts.push(last);
        Self { length, tile, overlap, starts }
    }

    fn range(&self, tile: usize) -> Range<usize> {
        self.starts[tile]..self.starts[tile] + self.tile
    }

    fn misfit(&self, tap: &str, cells: usize) -> Failure {
        let message = format!(
            "output `{tap}` has {cells} cells on a tile of {} pixels: make it a multiple of the network's coarsest stride, such as 320",
            self.tile
        );
        Failure::about_parameter("tile", message)
    }

    /// Pixels a cell of an output that has `cells` along a tile.
    fn stride(&self, tap: &str, cells: usize) -> Result<usize, Failure> {
        if cells == 0 || !self.tile.is_multiple_of(cells) {
            return Err(self.misfit(tap, cells));
        }
        let stride = self.tile / cells;
        let fits = |name: &str, pixels: usize| {
            if pixels.is_multiple_of(stride) {
                return Ok(());
            }
            let message = format!(
                "output `{tap}` has a cell every {stride} pixels, and {pixels} is no multiple of that: tiles would not meet"
            );
            Err(Failure::about_parameter(name, message))
        };
        fits("overlap", self.overlap)?;
        fits("size", self.length)?;
        Ok(stride)
    }

    /// Cells of the joined grid. One tile alone has to meet none, so any number will do.
    fn cells(&self, tap: &str, cells: usize) -> Result<usize, Failure> {
        if self.starts.len() == 1 {
            return Ok(cells);
        }
        Ok(self.length / self.stride(tap, cells)?)
    }

    /// The share of each tile in each of its cells.
    fn shares(&self, tap: &str, cells: usize) -> Result<Shares, Failure> {
        if self.starts.len() == 1 {
            let (own, before) = (vec![vec![1.0; cells]], vec![vec![0.0; cells]]);
            return Ok(Shares { length: cells, starts: vec![0], own, before });
        }
        let stride = self.stride(tap, cells)?;
        let fade = (self.overlap / stride).max(1) as f64;
        let (length, last) = (self.length / stride, self.starts.len() - 1);
        let starts: Vec<usize> = self.starts.iter().map(|s| s / stride).collect();
        // No fading towards the picture's own edge: there is no other tile.
        let weight = |tile: usize, cell: usize| {
            let rise = if tile == 0 { 1.0 } else { (cell as f64 + 0.5) / fade };
            let fall = if tile == last { 1.0 } else { ((cells - cell) as f64 - 0.5) / fade };
            rise.min(fall).min(1.0)
        };
        let mut total = vec![0.0; length];
        for (tile, &start) in starts.iter().enumerate() {
            (0..cells).for_each(|cell| total[start + cell] += weight(tile, cell));
        }
        let mut sum = vec![0.0; length];
        let (mut own, mut before) = (Vec::new(), Vec::new());
        for (tile, &start) in starts.iter().enumerate() {
            let share: Vec<f64> = (0..cells).map(|c| weight(tile, c) / total[start + c]).collect();
            before.push(sum[start..start + cells].to_vec());
            sum[start..start + cells].iter_mut().zip(&share).for_each(|(sum, share)| *sum += share);
            own.push(share);
        }
        Ok(Shares { length, starts, own, before })
    }
}

/// What each tile counts along one side; all in cells of one output.
#[derive(Debug)]
struct Shares {
    length: usize,
    starts: Vec<usize>,
    /// The share of a tile in each of its cells; those of all tiles over a cell sum to one.
    own: Vec<Vec<f64>>,
    /// The sum of the shares of the tiles before it in each of its cells.
    before: Vec<Vec<f64>>,
}

/// One output of the network over the whole picture, as far as its tiles have come.
#[derive(Debug)]
pub(super) struct Joined {
    rows: Shares,
    cols: Shares,
    values: Array3<f32>,
    /// `(C, h, w)` of a tile.
    tile: (usize, usize, usize),
}

impl Joined {
    /// Room for output `tap`, of which a tile gives `(C, h, w)`.
    ///
    /// # Errors
    /// As [`Tiles::joined_shapes`].
    pub(super) fn new(tiles: &Tiles, tap: &str, tile: (usize, usize, usize)) -> Result<Self, Failure> {
        let (rows, cols) = (tiles.rows.shares(tap, tile.1)?, tiles.cols.shares(tap, tile.2)?);
        let values = Array3::zeros((tile.0, rows.length, cols.length));
        Ok(Self { rows, cols, values, tile })
    }

    /// Blends in the features `[C, h, w]` of a tile. Tiles come in the order of [`Tiles::iter`], each once.
    ///
    /// # Errors
    /// Features of another shape than the first tile's.
    pub(super) fn add(&mut self, tile: &Tile, features: &Array3<f32>) -> Result<(), Failure> {
        if features.dim() != self.tile {
            let message = format!(
                "the network gives {:?} for one tile and {:?} for another",
                self.tile,
                features.dim()
            );
            return Err(Failure::about_input(&message));
        }
        let ((_, h, w), (a, b)) = (self.tile, tile.at);
        // This tile's part of the mean of all tiles so far: whole rows of tiles above, and those to the left in this row.
        let share = Array2::from_shape_fn((h, w), |(i, j)| {
            let (row, col) = (self.rows.own[a][i], self.cols.own[b][j]);
            let own = row * col;
            (own / (self.rows.before[a][i] + row * self.cols.before[b][j] + own)) as f32
        });
        let (top, left) = (self.rows.starts[a], self.cols.starts[b]);
        let mut under = self.values.slice_mut(s![.., top..top + h, left..left + w]);
        for (mut under, features) in under.outer_iter_mut().zip(features.outer_iter()) {
            ndarray::Zip::from(&mut under)
                .and(&features)
                .and(&share)
                .for_each(|to, &v, &share| *to += share * (v - *to));
        }
        Ok(())
    }

    /// The grid `[C, rows, columns]`.
    pub(super) fn finish(self) -> Array3<f32> {
        self.values
    }
}

#[cfg(test)]
#[path = "tiles_tests.rs"]
mod tests;
