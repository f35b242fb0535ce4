//! Neighbours by a grid of cubic cells: for points spread evenly, as those of a scanned surface are.
//!
//! The cells are so small that a window of 5 x 5 x 5 of them holds the neighbours of most points. All points
//! nearer than the window's margin lie inside it, which proves an answer; where the margin does not reach far
//! enough the window grows. The few points far from all others lie in the border cells, which have no outer side.

use super::nearest::Nearest;
use super::{Key, Search, squared_distance};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Cells on each side of the point's own that are looked at first.
const FIRST_REACH: usize = 2;

/// Cell side as a share of the typical distance of the k-th neighbour: with [`FIRST_REACH`] the margin is 1.2 of it.
const SIDE: f32 = 0.6;

/// About the most cells a point: most are empty, and with still more the cells are made larger.
const CELLS_A_POINT: f64 = 8.0;

/// Points whose k-th distance is sampled to choose the cell side.
const REACH_SAMPLES: usize = 24;

/// Points sampled to choose where the grid lies.
const BOX_SAMPLES: usize = 1024;

/// A share of squared lengths kept back for rounding.
const ROUNDING: f32 = 1e-5;

/// Points sorted into cubic cells.
pub(super) struct Cells {
    origin: [f64; 3],
    side: f64,
    /// Cells along x, y, z.
    dims: [usize; 3],
    /// Where the points of each cell (x fastest) start in `sorted`; one more at the end.
    starts: Vec<u32>,
    sorted: Columns,
}

/// Points by coordinate, with their indices in the cloud.
#[derive(Default)]
struct Columns {
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    index: Vec<u32>,
}

impl Cells {
    /// Sorts `points` (finite) into cells that suit searches for `k` neighbours (1 to the number of points).
    ///
    /// `None` where the points are spread so unevenly that cells of one size do not suit.
    pub(super) fn build(points: &[[f32; 3]], k: usize) -> Option<Self> {
        let mut side = f64::from(typical_reach(points, k) * SIDE);
        // Shorter sides would have squares near the end of the range of f32.
        if side < 1e-15 {
            return None;
        }
        let [low, high] = core_box(points);
        let extent: [f64; 3] = std::array::from_fn(|c| high[c] - low[c]);
        let wanted: f64 = extent.iter().map(|e| e / side + 1.0).product();
        side *= (wanted / (CELLS_A_POINT * points.len() as f64)).cbrt().max(1.0);
        let dims = extent.map(|e| (e / side) as usize + 1);
        let count: usize = dims.iter().product();
        let mut cells =
            Self { origin: low, side, dims, starts: vec![0; count + 1], sorted: Columns::default() };
        cells.sort(points);
        // How many points share a cell with the average point; about k/9 where they are spread evenly.
        let crowd =
            cells.starts.windows(2).map(|w| ((w[1] - w[0]) as usize).pow(2)).sum::<usize>() / points.len();
        (crowd <= k.max(32)).then_some(cells)
    }

    /// Counting sort of the points by cell; within a cell they keep their order.
    fn sort(&mut self, points: &[[f32; 3]]) {
        let cell: Vec<usize> = points.iter().map(|&p| self.number(self.cell_of(p))).collect();
        for &c in &cell {
            self.starts[c + 1] += 1;
        }
        for c in 1..self.starts.len() {
            self.starts[c] += self.starts[c - 1];
        }
        let mut next = self.starts.clone();
        let mut index = vec![0u32; points.len()];
        for (i, &c) in cell.iter().enumerate() {
            index[next[c] as usize] = i as u32;
            next[c] += 1;
        }
        let column = |c: usize| index.iter().map(|&i| points[i as usize][c]).collect();
        self.sorted = Columns { x: column(0), y: column(1), z: column(2), index };
    }

    /// Whether most points come after one nearby.
    pub(super) fn in_order(&self, points: &[[f32; 3]]) -> bool {
        let near = (FIRST_REACH as f64 * self.side).powi(2) as f32;
        let steps = points.windows(2).filter(|pair| squared_distance(pair[0], pair[1]) < near).count();
        2 * steps > points.len()
    }

    /// The points' indices, cell after cell.
    pub(super) fn into_order(self) -> Vec<u32> {
        self.sorted.index
    }

    fn cell_of(&self, p: [f32; 3]) -> [usize; 3] {
        // The conversion takes what lies below the grid to 0.
        std::array::from_fn(|c| {
            (((f64::from(p[c]) - self.origin[c]) / self.side) as usize).min(self.dims[c] - 1)
        })
    }

    fn number(&self, [x, y, z]: [usize; 3]) -> usize {
        (z * self.dims[1] + y) * self.dims[0] + x
    }

    /// Hands the neighbours of each point of `range` to `row`.
    pub(super) fn find(
        &self,
        points: &[[f32; 3]],
        range: Range<usize>,
        search: Search,
        row: &mut dyn FnMut(usize, &[Key]),
    ) {
        Arch::new().dispatch(Finding { cells: self, points, range, search, row });
    }
}

/// A search at work.
struct Finding<'a, 'r> {
    cells: &'a Cells,
    points: &'a [[f32; 3]],
    range: Range<usize>,
    search: Search,
    row: &'a mut (dyn FnMut(usize, &[Key]) + 'r),
}

impl WithSimd for Finding<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { cells, points, range, search, row } = self;
        let mut window = Window::default();
        let mut keys: Vec<Key> = Vec::new();
        let mut nearest = Nearest::default();
        let radius = search.radius * search.radius;
        // The point before, and the distance of its k-th neighbour.
        let mut before = ([0.0; 3], f32::INFINITY);
        for i in range {
            let p = points[i];
            let cell = cells.cell_of(p);
            // The k-th neighbour is no farther than that of another point plus the way between the two.
            let hint = (before.1 + squared_distance(p, before.0).sqrt()).powi(2) * (1.0 + ROUNDING);
            let mut reach = FIRST_REACH.max(if window.cell == cell { window.reach } else { 0 });
            loop {
                window.open(cells, cell, reach);
                let proven = window.margin.min(radius);
                window.nearer_than(hint.min(proven), p, &mut keys);
                if keys.len() < search.k && hint < proven {
                    window.nearer_than(proven, p, &mut keys);
                }
                if keys.len() >= search.k || window.margin >= radius {
                    break;
                }
                reach += 1 + reach / 4;
            }
            nearest.keep(&mut keys, search.k);
            let full = keys.len() == search.k;
            before = (p, keys.last().filter(|_| full).map_or(f32::INFINITY, |key| key.squared().sqrt()));
            row(i, &keys);
        }
    }
}

/// The points of the cells within `reach` of `cell`.
#[derive(Default)]
struct Window {
    cell: [usize; 3],
    /// 0 = not opened yet.
    reach: usize,
    /// No point outside the window has a squared distance below this to a point of `cell`.
    margin: f32,
    points: Columns,
    squared: Vec<f32>,
}

impl Window {
    /// Gathers the points, unless they are here already.
    fn open(&mut self, cells: &Cells, cell: [usize; 3], reach: usize) {
        if (self.cell, self.reach) == (cell, reach) {
            return;
        }
        (self.cell, self.reach) = (cell, reach);
        let low = cell.map(|c| c.saturating_sub(reach));
        let high: [usize; 3] = std::array::from_fn(|c| (cell[c] + reach).min(cells.dims[c] - 1));
        let whole = (0..3).all(|c| cell[c] <= reach && cell[c] + reach + 1 >= cells.dims[c]);
        let margin = (reach as f64 * cells.side).powi(2) as f32 * (1.0 - ROUNDING);
        self.margin = if whole { f32::INFINITY } else { margin };
        let Columns { x, y, z, index } = &mut self.points;
        x.clear();
        y.clear();
        z.clear();
        index.clear();
        for plane in low[2]..=high[2] {
            for line in low[1]..=high[1] {
                let first = cells.starts[cells.number([low[0], line, plane])] as usize;
                let end = cells.starts[cells.number([high[0], line, plane]) + 1] as usize;
                if first < end {
                    x.extend_from_slice(&cells.sorted.x[first..end]);
                    y.extend_from_slice(&cells.sorted.y[first..end]);
                    z.extend_from_slice(&cells.sorted.z[first..end]);
                    index.extend_from_slice(&cells.sorted.index[first..end]);
                }
            }
        }
    }

    /// Replaces `keys` by those of the window's points with a squared distance to `p` below `limit`.
    #[inline(always)]
    fn nearer_than(&mut self, limit: f32, p: [f32; 3], keys: &mut Vec<Key>) {
        let Columns { x, y, z, index } = &self.points;
        self.squared.clear();
        self.squared.extend(x.iter().zip(y).zip(z).map(|((&x, &y), &z)| squared_distance(p, [x, y, z])));
        keys.resize(index.len(), Key(0));
        let mut kept = 0;
        for (&squared, &index) in self.squared.iter().zip(index) {
            // Written always and kept by counting: whether a point is near enough is not predictable.
            keys[kept] = Key::new(squared, index);
            kept += usize::from(squared < limit);
        }
        keys.truncate(kept);
    }
}

/// About the distance of the k-th neighbour: the median over some points, each compared with a part of the cloud.
fn typical_reach(points: &[[f32; 3]], k: usize) -> f32 {
    let stride = (k / 8).max(1);
    let samples = REACH_SAMPLES.min(points.len());
    let mut squared = Vec::with_capacity(points.len() / stride + 1);
    let mut reaches: Vec<f32> = (0..samples)
        .map(|s| {
            let p = points[s * points.len() / samples];
            squared.clear();
            squared.extend(points.iter().step_by(stride).map(|&q| squared_distance(p, q)));
            let rank = (k / stride).min(squared.len()) - 1;
            *squared.select_nth_unstable_by(rank, f32::total_cmp).1
        })
        .collect();
    let middle = samples / 2;
    reaches.select_nth_unstable_by(middle, f32::total_cmp).1.sqrt()
}

/// The corners of a box around all points but a few far ones.
fn core_box(points: &[[f32; 3]]) -> [[f64; 3]; 2] {
    let stride = points.len().div_ceil(BOX_SAMPLES);
    let mut corners = [[0.0; 3]; 2];
    for c in 0..3 {
        let mut values: Vec<f64> = points.iter().step_by(stride).map(|p| f64::from(p[c])).collect();
        values.sort_unstable_by(f64::total_cmp);
        let far = values.len() / 50;
        let (low, high) = (values[far], values[values.len() - 1 - far]);
        let room = 0.05 * (high - low);
        (corners[0][c], corners[1][c]) = (low - room, high + room);
    }
    corners
}
