//! The square around the part that the network looks at: a part that is small in its picture fills it.

use assay_sdk::GridView;
use std::ops::Range;

/// Share of the valid cells that may lie beyond either side: specks do not count.
const SPECKS: f64 = 0.005;

/// How far the square reaches beyond the part, as a share of the part's longer side.
const MARGIN: f64 = 0.1;

/// A part of a picture; all in shares of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    top: f64,
    left: f64,
    height: f64,
    width: f64,
}

impl Window {
    /// The whole picture.
    pub(crate) const WHOLE: Self = Self { top: 0.0, left: 0.0, height: 1.0, width: 1.0 };

    /// The square around the valid cells of the grid of which the least is valid; the whole picture where the part fills it, or no grid
    /// tells where it is.
    pub(crate) fn around<'a>(grids: impl Iterator<Item = GridView<'a>>) -> Self {
        let count = |valid: &[u8]| valid.iter().filter(|v| **v != 0).count();
        let told = grids.filter_map(|grid| grid.valid.map(|valid| (count(valid), valid, grid)));
        let share = |n: usize, valid: &[u8]| n as f64 / valid.len() as f64;
        let fewest = told
            .filter(|(n, ..)| *n > 0)
            .min_by(|(a, of_a, _), (b, of_b, _)| share(*a, of_a).total_cmp(&share(*b, of_b)));
        let Some((n, valid, grid)) = fewest else {
            return Self::WHOLE;
        };
        let (rows, cols) = (grid.rows, grid.cols);
        let mut of = [Vec::with_capacity(rows), vec![0u32; cols]];
        for line in valid.chunks_exact(cols) {
            of[0].push(count(line) as u32);
            of[1].iter_mut().zip(line).for_each(|(count, v)| *count += u32::from(*v != 0));
        }
        let [down, across] = of.map(|counts| inner(&counts, n));
        let side = (1.0 + 2.0 * MARGIN) * f64::max(down.end - down.start, across.end - across.start);
        if side >= rows.max(cols) as f64 {
            return Self::WHOLE;
        }
        // Around the middle, and not beyond the picture where it fits.
        let first = |range: Range<f64>, all: usize| {
            let first = 0.5 * (range.start + range.end - side);
            let most = all as f64 - side;
            if most > 0.0 { first.clamp(0.0, most) } else { 0.5 * most }
        };
        Self {
            top: first(down, rows) / rows as f64,
            left: first(across, cols) / cols as f64,
            height: side / rows as f64,
            width: side / cols as f64,
        }
    }

    /// The pixels of cell `cell` of `size` down a picture of `rows`; none where the window lies beyond it.
    pub(crate) fn rows(&self, cell: usize, size: usize, rows: usize) -> Range<usize> {
        pixels(self.top, self.height, cell, size, rows)
    }

    /// The same across.
    pub(crate) fn cols(&self, cell: usize, size: usize, cols: usize) -> Range<usize> {
        pixels(self.left, self.width, cell, size, cols)
    }

    /// A map of the window, `size` x `size`, over a grid of the whole picture; 0 beyond the window.
    pub(crate) fn spread(&self, map: &[f32], size: usize, rows: usize, cols: usize) -> Vec<f32> {
        let sources = |first: f64, length: f64, n: usize| -> Vec<Option<(usize, f32)>> {
            let place = |i: usize| ((i as f64 + 0.5) / n as f64 - first) / length * size as f64 - 0.5;
            let inside = |at: f64| (-0.5..=size as f64 - 0.5).contains(&at);
            let source = |at: f64| {
                let at = at.clamp(0.0, (size - 1) as f64);
                let lower = (at as usize).min(size.saturating_sub(2));
                (lower, (at - lower as f64) as f32)
            };
            (0..n).map(place).map(|at| inside(at).then(|| source(at))).collect()
        };
        let (down, across) = (sources(self.top, self.height, rows), sources(self.left, self.width, cols));
        let mut spread = Vec::with_capacity(rows * cols);
        for row in &down {
            for col in &across {
                let (Some((y, v)), Some((x, u))) = (row, col) else {
                    spread.push(0.0);
                    continue;
                };
                let line = |y: usize| {
                    let (a, b) = (map[y * size + x], map[y * size + (x + 1).min(size - 1)]);
                    a + u * (b - a)
                };
                let (a, b) = (line(*y), line((y + 1).min(size - 1)));
                spread.push(a + v * (b - a));
            }
        }
        spread
    }
}

/// Where all but the specks at either end lie, of `n` things that are counted by line.
fn inner(counts: &[u32], n: usize) -> Range<f64> {
    let specks = SPECKS * n as f64;
    let outer = |counts: &mut dyn Iterator<Item = &u32>| {
        let mut sum = 0.0;
        counts
            .take_while(|count| {
                sum += f64::from(**count);
                sum <= specks
            })
            .count()
    };
    let (first, last) = (outer(&mut counts.iter()), outer(&mut counts.iter().rev()));
    first as f64..(counts.len() - last) as f64
}

fn pixels(first: f64, length: f64, cell: usize, size: usize, all: usize) -> Range<usize> {
    let edge = |cell: usize| first * all as f64 + cell as f64 * (length * all as f64) / size as f64;
    let (start, end) = (edge(cell).floor(), edge(cell + 1).floor());
    // The pixel at the cell's place where a cell is smaller than one.
    let end = if end > start { end } else { start + 1.0 };
    let inside = |p: f64| p.clamp(0.0, all as f64) as usize;
    inside(start)..inside(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::Frame;

    fn around(valid: &[u8], rows: usize, cols: usize) -> Window {
        let values = vec![0.0; rows * cols];
        let grid =
            GridView { values: &values, channels: 1, rows, cols, valid: Some(valid), frame: Frame::NATIVE };
        Window::around([grid].into_iter())
    }

    fn part(rows: usize, cols: usize, down: Range<usize>, across: Range<usize>) -> Vec<u8> {
        let inside = |i: usize| down.contains(&(i / cols)) && across.contains(&(i % cols));
        (0..rows * cols).map(|i| u8::from(inside(i))).collect()
    }

    #[test]
    fn the_window_is_a_square_around_the_part_with_a_margin() {
        let window = around(&part(100, 200, 40..60, 50..90), 100, 200);
        // 40 pixels and a tenth on either side, around row 50 and column 70.
        let expected = Window { top: 0.26, left: 0.23, height: 0.48, width: 0.24 };
        for (a, b) in [
            (window.top, expected.top),
            (window.left, expected.left),
            (window.height, expected.height),
            (window.width, expected.width),
        ] {
            assert!((a - b).abs() < 1e-9, "{window:?}");
        }
    }

    #[test]
    fn specks_do_not_count_and_a_part_at_the_edge_does_not_move_the_window_out() {
        let mut valid = part(100, 100, 0..20, 80..100);
        valid[99 * 100] = 1;
        let window = around(&valid, 100, 100);
        assert!(
            (window.top, window.height) == (0.0, 0.24) && (window.left - 0.76).abs() < 1e-9,
            "{window:?}"
        );
    }

    #[test]
    fn the_grid_of_which_the_least_is_valid_tells_where_the_part_is_whatever_its_size() {
        // The coarse one has fewer valid cells, for it has fewer cells.
        let (whole, part) = (part(20, 20, 0..20, 0..20), part(100, 100, 10..70, 30..60));
        let values = vec![0.0; 100 * 100];
        let grid = |valid, side: usize| GridView {
            values: &values[..side * side],
            channels: 1,
            rows: side,
            cols: side,
            valid: Some(valid),
            frame: Frame::NATIVE,
        };
        let [coarse, fine] = [grid(&whole, 20), grid(&part, 100)];
        for both in [[coarse, fine], [fine, coarse]] {
            assert_eq!(Window::around(both.into_iter()), around(&part, 100, 100));
        }
    }

    #[test]
    fn a_part_that_fills_the_picture_or_is_not_told_is_all_of_it() {
        assert_eq!(around(&part(50, 60, 0..50, 0..60), 50, 60), Window::WHOLE);
        assert_eq!(around(&part(50, 60, 0..0, 0..0), 50, 60), Window::WHOLE);
        assert_eq!(Window::around(std::iter::empty()), Window::WHOLE);
    }

    #[test]
    fn cells_take_the_pixels_below_them_and_a_map_comes_back_to_its_place() {
        let whole: Vec<Range<usize>> = (0..4).map(|cell| Window::WHOLE.rows(cell, 4, 10)).collect();
        assert_eq!(whole, [0..2, 2..5, 5..7, 7..10]);
        let window = Window { top: 0.25, left: 0.0, height: 0.5, width: 0.5 };
        assert_eq!((window.rows(0, 4, 16), window.cols(3, 4, 16)), (4..6, 6..8));
        let beyond = Window { top: -0.25, ..window };
        assert!(beyond.rows(0, 4, 16).is_empty());
        // Two cells of the window a cell of the grid, each in its own place.
        let map: Vec<f32> = (0..16).map(|i| (i / 4) as f32).collect();
        let spread = window.spread(&map, 4, 8, 8);
        assert_eq!(
            [spread[8], spread[2 * 8], spread[5 * 8 + 3], spread[6 * 8], spread[2 * 8 + 4]],
            [0.0, 0.0, 3.0, 0.0, 0.0]
        );
        assert_eq!(Window::WHOLE.spread(&map, 4, 4, 4), map);
    }
}
