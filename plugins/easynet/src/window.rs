//! The square around the part that the network looks at: a part that is small in its picture fills it, as much of it however it lies.

use assay_sdk::GridView;
use std::ops::Range;

/// Share of the valid cells that may lie beyond the circle around the part: specks do not count.
const SPECKS: f64 = 0.005;

/// How far the square reaches beyond the circle around the part, as a share of its diameter.
const MARGIN: f64 = 0.05;

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

    /// The square around the valid cells of the grid of which the least is valid: around their mean place, and so large that it does not depend on
    /// how the part is turned; at most as large as the longer side of the picture. The whole picture where no grid tells where the part is.
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
        let [down, across] = middle(valid, cols, n);
        let side = 2.0 * (1.0 + 2.0 * MARGIN) * radius(valid, cols, [down, across], n);
        let side = side.min(rows.max(cols) as f64);
        // Not beyond the picture where it fits.
        let first = |middle: f64, all: usize| {
            let most = all as f64 - side;
            if most > 0.0 { (middle - 0.5 * side).clamp(0.0, most) } else { 0.5 * most }
        };
        Self {
            top: first(down, rows) / rows as f64,
            left: first(across, cols) / cols as f64,
            height: side / rows as f64,
            width: side / cols as f64,
        }
    }

    /// What cell `cell` of `size` covers down a picture of `rows`; nothing where the window lies beyond it.
    pub(crate) fn rows(&self, cell: usize, size: usize, rows: usize) -> Span {
        Span::of(self.top, self.height, cell, size, rows)
    }

    /// The same across.
    pub(crate) fn cols(&self, cell: usize, size: usize, cols: usize) -> Span {
        Span::of(self.left, self.width, cell, size, cols)
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

/// The mean place of the `n` valid cells, down and across.
fn middle(valid: &[u8], cols: usize, n: usize) -> [f64; 2] {
    let (mut down, mut across) = (0, 0);
    for (y, line) in valid.chunks_exact(cols).enumerate() {
        let mut count = 0;
        for (x, _) in line.iter().enumerate().filter(|(_, v)| **v != 0) {
            count += 1;
            across += x as u64;
        }
        down += count * y as u64;
    }
    [down, across].map(|sum| sum as f64 / n as f64 + 0.5)
}

/// How far all but the specks of the `n` valid cells lie from a place, to a cell.
fn radius(valid: &[u8], cols: usize, [down, across]: [f64; 2], n: usize) -> f64 {
    let rows = valid.len() / cols.max(1);
    let mut counts = vec![0u32; rows + cols + 1];
    for (y, line) in valid.chunks_exact(cols).enumerate() {
        let dy = y as f64 + 0.5 - down;
        for (x, _) in line.iter().enumerate().filter(|(_, v)| **v != 0) {
            let dx = x as f64 + 0.5 - across;
            let at = (dy * dy + dx * dx).sqrt() as usize;
            counts[at.min(rows + cols)] += 1;
        }
    }
    let specks = SPECKS * n as f64;
    let mut beyond = 0.0;
    let outer = counts.iter().rev().take_while(|count| {
        beyond += f64::from(**count);
        beyond <= specks
    });
    (counts.len() - outer.count()) as f64
}

/// A part of a line of pixels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// Where it begins and ends, in pixels.
    from: f64,
    to: f64,
    /// The pixels that it covers, the outer ones in part.
    pub(crate) pixels: Range<usize>,
}

impl Span {
    fn of(first: f64, length: f64, cell: usize, size: usize, all: usize) -> Self {
        let edge = |cell: usize| {
            let share = first + cell as f64 * length / size as f64;
            (share * all as f64).clamp(0.0, all as f64)
        };
        let (from, to) = (edge(cell), edge(cell + 1));
        let pixels = if to > from { from.floor() as usize..to.ceil() as usize } else { 0..0 };
        Self { from, to, pixels }
    }

    /// Its length in pixels.
    pub(crate) fn length(&self) -> f64 {
        self.to - self.from
    }

    /// How much of a pixel it covers, 0 to 1.
    pub(crate) fn share(&self, pixel: usize) -> f64 {
        let pixel = pixel as f64;
        (self.to.min(pixel + 1.0) - self.from.max(pixel)).max(0.0)
    }
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
        // The farthest pixels' middles lie 21.7 from the part's, so 22 reach them; a twentieth of 44 on either side, around row 50 and column 70.
        let window = around(&part(100, 200, 40..60, 50..90), 100, 200);
        let side = 44.0 * 1.1;
        let expected = Window {
            top: 0.5 - 0.005 * side,
            left: 0.35 - 0.0025 * side,
            height: 0.01 * side,
            width: 0.005 * side,
        };
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
    fn the_window_is_as_large_however_the_part_lies() {
        let bar = |degrees: f64| -> Vec<u8> {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let inside = |i: usize| {
                let [y, x] = [i / 200, i % 200].map(|p| p as f64 - 99.5);
                (cos * x + sin * y).abs() < 40.0 && (cos * y - sin * x).abs() < 6.0
            };
            (0..200 * 200).map(|i| u8::from(inside(i))).collect()
        };
        let sides: Vec<f64> =
            (0..12).map(|k| 200.0 * around(&bar(15.0 * f64::from(k)), 200, 200).height).collect();
        assert!(sides.iter().all(|side| (side - 1.1 * 81.0).abs() < 2.5), "{sides:?}");
    }

    #[test]
    fn specks_do_not_count_and_a_part_at_the_edge_does_not_move_the_window_out() {
        let whole = part(100, 100, 0..20, 80..100);
        let mut specked = whole.clone();
        specked[99 * 100] = 1;
        // The corners' pixels lie 13.4 from the middle.
        let side = 0.14 * 2.2;
        for valid in [whole, specked] {
            let window = around(&valid, 100, 100);
            assert!(window.top == 0.0 && (window.height - side).abs() < 1e-9, "{window:?}");
            assert!((window.left - (1.0 - side)).abs() < 1e-9, "{window:?}");
        }
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
    fn a_part_that_fills_the_picture_is_in_a_square_as_large_and_one_that_is_not_told_is_all_of_it() {
        assert_eq!(around(&part(60, 60, 0..60, 0..60), 60, 60), Window::WHOLE);
        let Window { top, left, height, width } = around(&part(50, 60, 0..50, 0..60), 50, 60);
        assert!((top + 0.1).abs() < 1e-9 && (height - 1.2).abs() < 1e-9 && (left, width) == (0.0, 1.0));
        assert_eq!(around(&part(50, 60, 0..0, 0..0), 50, 60), Window::WHOLE);
        assert_eq!(Window::around(std::iter::empty()), Window::WHOLE);
    }

    #[test]
    fn cells_take_the_pixels_below_them_and_a_map_comes_back_to_its_place() {
        let whole: Vec<Span> = (0..4).map(|cell| Window::WHOLE.rows(cell, 4, 10)).collect();
        assert_eq!(whole.iter().map(|s| s.pixels.clone()).collect::<Vec<_>>(), [0..3, 2..5, 5..8, 7..10]);
        assert_eq!([0, 1, 2, 3].map(|pixel| whole[0].share(pixel)), [1.0, 1.0, 0.5, 0.0]);
        assert!(whole.iter().all(|span| span.length() == 2.5));
        let window = Window { top: 0.25, left: 0.0, height: 0.5, width: 0.5 };
        assert_eq!((window.rows(0, 4, 16).pixels, window.cols(3, 4, 16).pixels), (4..6, 6..8));
        let beyond = Window { top: -0.25, ..window };
        assert!(beyond.rows(0, 4, 16).pixels.is_empty() && beyond.rows(0, 4, 16).length() == 0.0);
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
