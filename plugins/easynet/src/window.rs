//! The square around the part that the network looks at: a part that is small in its picture fills it, as much of it however it lies; and a long part
//! can stand upright in it.

use crate::lie::axis;
use assay_sdk::GridView;
use std::ops::Range;

/// Share of the valid cells that may lie beyond the circle around the part: specks do not count.
const SPECKS: f64 = 0.005;

/// How far the square reaches beyond the circle around the part, as a share of its diameter.
const MARGIN: f64 = 0.05;

/// A whole number larger than the side of any picture.
const OFFSET: f64 = 16_777_216.0;

/// A square of a picture, which may lie aslant; all in shares of the picture, down and across it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// Its first corner.
    corner: [f64; 2],
    /// From there down its first side, and across.
    down: [f64; 2],
    across: [f64; 2],
}

impl Window {
    /// The whole picture.
    pub(crate) const WHOLE: Self = Self { corner: [0.0; 2], down: [1.0, 0.0], across: [0.0, 1.0] };

    /// The square around the valid cells of the grid of which the least is valid: around their mean place, and so large that it does not depend on
    /// how the part is turned; at most as large as the longer side of the picture. The whole picture where no grid tells where the part is. Where the
    /// part is to be `aligned` and is longer than wide, its length lies across the square.
    pub(crate) fn around<'a>(grids: impl Iterator<Item = GridView<'a>>, aligned: bool) -> Self {
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
        let middle = middle(valid, cols, n);
        let side = 2.0 * (1.0 + 2.0 * MARGIN) * radius(valid, cols, middle, n);
        let side = side.min(rows.max(cols) as f64);
        let axis = if aligned { axis(valid, cols, middle) } else { None };
        let (down, across) = match axis {
            Some([y, x]) => ([side * x, -side * y], [side * y, side * x]),
            None => ([side, 0.0], [0.0, side]),
        };
        let of_picture = |[y, x]: [f64; 2]| [y / rows as f64, x / cols as f64];
        let mut first = [0, 1].map(|k| middle[k] - 0.5 * (down[k] + across[k]));
        if axis.is_none() {
            // Not beyond the picture where it fits.
            for (first, all) in first.iter_mut().zip([rows, cols]) {
                let most = all as f64 - side;
                *first = if most > 0.0 { first.clamp(0.0, most) } else { 0.5 * most };
            }
        }
        Self { corner: of_picture(first), down: of_picture(down), across: of_picture(across) }
    }

    /// What cell `cell` of `size` covers down a picture of `rows`; nothing where the window lies beyond it. Of a window that does not lie aslant.
    pub(crate) fn rows(&self, cell: usize, size: usize, rows: usize) -> Span {
        Span::of(self.corner[0], self.down[0], cell, size, rows)
    }

    /// The same across.
    pub(crate) fn cols(&self, cell: usize, size: usize, cols: usize) -> Span {
        Span::of(self.corner[1], self.across[1], cell, size, cols)
    }

    /// What a window that lies aslant or upside down shows of planes of a picture of `rows` x `cols`, as a picture of pixels of the same size, each blended of
    /// the four around its place; none of a window that lies as the picture does.
    pub(crate) fn upright<const N: usize>(
        &self,
        planes: [&[f32]; N],
        (rows, cols): (usize, usize),
        valid: Option<&[u8]>,
    ) -> Option<Upright<N>> {
        let straight = self.down[1] == 0.0 && self.across[0] == 0.0;
        if straight && self.down[0] >= 0.0 && self.across[1] >= 0.0 {
            return None;
        }
        let pixels = |[y, x]: [f64; 2]| [y * rows as f64, x * cols as f64];
        let [corner, down, across] = [self.corner, self.down, self.across].map(pixels);
        let length = |[y, x]: [f64; 2]| (y.hypot(x).round() as usize).clamp(1, 2 * (rows + cols));
        let (tall, wide) = (length(down), length(across));
        let mut upright = Upright {
            planes: [(); N].map(|()| vec![0.0; tall * wide]),
            valid: vec![0; tall * wide],
            rows: tall,
            cols: wide,
        };
        // A pixel of the picture that is valid.
        let pixel = |y: i64, x: i64| {
            let inside = (0..rows as i64).contains(&y) && (0..cols as i64).contains(&x);
            let pixel = inside.then(|| y as usize * cols + x as usize)?;
            valid.is_none_or(|valid| valid[pixel] != 0).then_some(pixel)
        };
        // All of the four, where they are inside and need not be looked at one by one.
        let inner = |y: i64, x: i64| {
            let inside = (0..rows as i64 - 1).contains(&y) && (0..cols as i64 - 1).contains(&x);
            let first = inside.then(|| y as usize * cols + x as usize)?;
            let all = [first, first + 1, first + cols, first + cols + 1];
            valid.is_none_or(|valid| all.iter().all(|&pixel| valid[pixel] != 0)).then_some(all)
        };
        for y in 0..tall {
            let v = (y as f64 + 0.5) / tall as f64;
            for x in 0..wide {
                let u = (x as f64 + 0.5) / wide as f64;
                let at = [0, 1].map(|k| corner[k] + v * down[k] + u * across[k] - 0.5);
                // Rounded down: a cast alone rounds towards 0.
                let low = at.map(|p| (p + OFFSET) as i64 - OFFSET as i64);
                let [v, u] = [0, 1].map(|k| (at[k] - low[k] as f64) as f32);
                let shares = [(1.0 - v) * (1.0 - u), (1.0 - v) * u, v * (1.0 - u), v * u];
                let place = y * wide + x;
                if let Some(pixels) = inner(low[0], low[1]) {
                    upright.valid[place] = 1;
                    for (shown, plane) in upright.planes.iter_mut().zip(planes) {
                        let parts = pixels.iter().zip(shares);
                        shown[place] = parts.map(|(&pixel, share)| share * plane[pixel]).sum();
                    }
                    continue;
                }
                let (mut weight, mut sums) = (0.0, [0.0; N]);
                for ((down, across), share) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().zip(shares) {
                    let Some(pixel) = pixel(low[0] + down, low[1] + across) else { continue };
                    weight += share;
                    sums.iter_mut().zip(planes).for_each(|(sum, plane)| *sum += share * plane[pixel]);
                }
                if weight >= 0.5 {
                    upright.valid[place] = 1;
                    upright.planes.iter_mut().zip(sums).for_each(|(plane, sum)| plane[place] = sum / weight);
                }
            }
        }
        Some(upright)
    }

    /// A map of the window, `size` x `size`, over a grid of the whole picture; 0 beyond the window.
    pub(crate) fn spread(&self, map: &[f32], size: usize, rows: usize, cols: usize) -> Vec<f32> {
        let Self { corner, down, across } = *self;
        let area = down[0] * across[1] - down[1] * across[0];
        // From a place of the picture to the one between cells of the map, and how far on; none beyond it.
        let cell = |share: f64| {
            let at = share * size as f64 - 0.5;
            (-0.5..=size as f64 - 0.5).contains(&at).then(|| {
                let at = at.clamp(0.0, (size - 1) as f64);
                let lower = (at as usize).min(size.saturating_sub(2));
                (lower, (at - lower as f64) as f32)
            })
        };
        let mut spread = vec![0.0; rows * cols];
        for row in self.pixels(0, rows) {
            for col in self.pixels(1, cols) {
                let place = |p: usize, all: usize| (p as f64 + 0.5) / all as f64;
                let [y, x] = [place(row, rows) - corner[0], place(col, cols) - corner[1]];
                let v = cell((y * across[1] - x * across[0]) / area);
                let u = cell((x * down[0] - y * down[1]) / area);
                let (Some((y, v)), Some((x, u))) = (v, u) else { continue };
                let line = |y: usize| {
                    let (a, b) = (map[y * size + x], map[y * size + (x + 1).min(size - 1)]);
                    a + u * (b - a)
                };
                let (a, b) = (line(y), line((y + 1).min(size - 1)));
                spread[row * cols + col] = a + v * (b - a);
            }
        }
        spread
    }

    /// The rows or columns of `all` that it reaches.
    fn pixels(&self, along: usize, all: usize) -> Range<usize> {
        let sides = [self.down[along], self.across[along]];
        let reach = |end: fn(f64, f64) -> f64| self.corner[along] + end(sides[0], 0.0) + end(sides[1], 0.0);
        let pixel = |share: f64| (share * all as f64).clamp(0.0, all as f64);
        pixel(reach(f64::min)).floor() as usize..pixel(reach(f64::max)).ceil() as usize
    }
}

/// Planes of a picture as a window that lies aslant shows them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Upright<const N: usize> {
    pub(crate) planes: [Vec<f32>; N],
    /// 1 where half of what a pixel is blended of is valid and in the picture.
    pub(crate) valid: Vec<u8>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
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
        Window::around([grid].into_iter(), false)
    }

    fn straight(top: f64, left: f64, height: f64, width: f64) -> Window {
        Window { corner: [top, left], down: [height, 0.0], across: [0.0, width] }
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
        let expected = straight(0.5 - 0.005 * side, 0.35 - 0.0025 * side, 0.01 * side, 0.005 * side);
        for (a, b) in
            [(window.corner, expected.corner), (window.down, expected.down), (window.across, expected.across)]
        {
            assert!((a[0] - b[0]).abs() < 1e-9 && (a[1] - b[1]).abs() < 1e-9, "{window:?}");
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
            (0..12).map(|k| 200.0 * around(&bar(15.0 * f64::from(k)), 200, 200).down[0]).collect();
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
            assert!(window.corner[0] == 0.0 && (window.down[0] - side).abs() < 1e-9, "{window:?}");
            assert!((window.corner[1] - (1.0 - side)).abs() < 1e-9, "{window:?}");
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
            assert_eq!(Window::around(both.into_iter(), false), around(&part, 100, 100));
        }
    }

    #[test]
    fn a_part_that_fills_the_picture_is_in_a_square_as_large_and_one_that_is_not_told_is_all_of_it() {
        assert_eq!(around(&part(60, 60, 0..60, 0..60), 60, 60), Window::WHOLE);
        let Window { corner, down, across } = around(&part(50, 60, 0..50, 0..60), 50, 60);
        assert!((corner[0] + 0.1).abs() < 1e-9 && (down[0] - 1.2).abs() < 1e-9);
        assert_eq!((corner[1], down[1], across), (0.0, 0.0, [0.0, 1.0]));
        assert_eq!(around(&part(50, 60, 0..0, 0..0), 50, 60), Window::WHOLE);
        assert_eq!(Window::around(std::iter::empty(), true), Window::WHOLE);
    }

    #[test]
    fn cells_take_the_pixels_below_them_and_a_map_comes_back_to_its_place() {
        let whole: Vec<Span> = (0..4).map(|cell| Window::WHOLE.rows(cell, 4, 10)).collect();
        assert_eq!(whole.iter().map(|s| s.pixels.clone()).collect::<Vec<_>>(), [0..3, 2..5, 5..8, 7..10]);
        assert_eq!([0, 1, 2, 3].map(|pixel| whole[0].share(pixel)), [1.0, 1.0, 0.5, 0.0]);
        assert!(whole.iter().all(|span| span.length() == 2.5));
        let window = straight(0.25, 0.0, 0.5, 0.5);
        assert_eq!((window.rows(0, 4, 16).pixels, window.cols(3, 4, 16).pixels), (4..6, 6..8));
        let beyond = straight(-0.25, 0.0, 0.5, 0.5);
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

    /// A wedge in a picture of 200 x 200, turned by so many degrees.
    fn wedge(degrees: f64) -> Vec<u8> {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let inside = |i: usize| {
            let [y, x] = [i / 200, i % 200].map(|p| p as f64 - 99.5);
            let (along, beside) = (cos * x + sin * y, cos * y - sin * x);
            (-40.0..60.0).contains(&along) && beside.abs() < 0.3 * (60.0 - along)
        };
        (0..200 * 200).map(|i| u8::from(inside(i))).collect()
    }

    fn aligned(valid: &[u8], rows: usize, cols: usize) -> Window {
        let values = vec![0.0; rows * cols];
        let grid =
            GridView { values: &values, channels: 1, rows, cols, valid: Some(valid), frame: Frame::NATIVE };
        Window::around([grid].into_iter(), true)
    }

    #[test]
    fn a_long_part_stands_upright_in_the_window_however_it_lies() {
        let shown = |degrees: f64| {
            let valid = wedge(degrees);
            aligned(&valid, 200, 200).upright([&vec![1.0; 200 * 200]], (200, 200), Some(&valid)).unwrap()
        };
        let first = shown(3.0);
        assert!(first.rows == first.cols && (100..180).contains(&first.rows), "{}", first.rows);
        let count = |valid: &[u8]| valid.iter().filter(|v| **v > 0).count();
        for degrees in [40.0, 90.5, 133.0, 201.0, 275.0, 348.0] {
            let shown = shown(degrees);
            // By the edges' pixels and by one of the window's side.
            assert!(shown.rows.abs_diff(first.rows) <= 2, "{degrees}: {} {}", shown.rows, first.rows);
            let at = |shown: &Upright<1>, y: usize, x: usize| {
                let [y, x] = [(y, shown.rows), (x, shown.cols)].map(|(p, all)| p * all / 100);
                shown.valid[y * shown.cols + x]
            };
            let apart =
                (0..100 * 100).filter(|i| at(&shown, i / 100, i % 100) != at(&first, i / 100, i % 100));
            assert!(apart.count() < 150, "{degrees}");
            assert!(count(&shown.valid).abs_diff(count(&wedge(degrees))) < 150);
        }
    }

    #[test]
    fn a_part_as_long_as_wide_and_one_that_is_not_to_be_aligned_are_seen_straight() {
        let disc: Vec<u8> = (0..100 * 100)
            .map(|i| u8::from(((i / 100) as f64 - 40.0).hypot((i % 100) as f64 - 60.0) < 20.0))
            .collect();
        assert_eq!(aligned(&disc, 100, 100), around(&disc, 100, 100));
        let window = around(&wedge(30.0), 200, 200);
        assert_eq!(window.upright([&[0.0; 200 * 200]], (200, 200), None), None);
        assert_eq!(Window::WHOLE.upright::<1>([&[0.0; 4]], (2, 2), None), None);
    }

    #[test]
    fn values_that_are_not_valid_are_not_read_and_beyond_the_picture_there_are_none() {
        let (rows, cols) = (200, 200);
        let part = wedge(30.0);
        let valid: Vec<u8> = part.iter().enumerate().map(|(i, v)| v & u8::from(i % 7 > 0)).collect();
        let plane: Vec<f32> = valid.iter().map(|v| if *v > 0 { 5.0 } else { f32::NAN }).collect();
        let shown = aligned(&part, rows, cols).upright([&plane], (rows, cols), Some(&valid)).unwrap();
        assert!(
            shown
                .valid
                .iter()
                .zip(&shown.planes[0])
                .all(|(valid, v)| (v - 5.0 * f32::from(*valid)).abs() < 1e-5)
        );
        // At the picture's edge a part of the window lies beyond it.
        let edge: Vec<u8> =
            (0..rows * cols).map(|i| u8::from(i % cols < 12 && i / cols > 99 + i % cols)).collect();
        let shown =
            aligned(&edge, rows, cols).upright([&vec![1.0; rows * cols]], (rows, cols), None).unwrap();
        let inside = shown.valid.iter().filter(|v| **v > 0).count();
        assert!(0 < inside && inside < shown.valid.len());
        assert_eq!(shown.planes[0].iter().filter(|v| (**v - 1.0).abs() < 1e-6).count(), inside);
    }

    #[test]
    fn a_window_that_lies_aslant_gives_a_map_back_to_its_place() {
        let (rows, cols, size) = (200, 300, 64);
        // A bar in a picture that is no square.
        let valid: Vec<u8> = (0..rows * cols)
            .map(|i| {
                let [y, x] = [(i / cols) as f64 - 90.0, (i % cols) as f64 - 160.0];
                let (along, beside) = (0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x);
                u8::from(along.abs() < 70.0 && beside.abs() < 20.0)
            })
            .collect();
        let window = aligned(&valid, rows, cols);
        let plane: Vec<f32> =
            (0..rows * cols).map(|i| 0.3 * (i / cols) as f32 - 0.2 * (i % cols) as f32).collect();
        let Upright { planes: [shown], rows: tall, cols: wide, .. } =
            window.upright([&plane], (rows, cols), None).unwrap();
        // Brought to the map's cells, each between four of the shown pixels.
        let map: Vec<f32> = (0..size * size)
            .map(|i| {
                let place = |p: usize, all: usize| (p as f64 + 0.5) / size as f64 * all as f64 - 0.5;
                let [y, x] = [place(i / size, tall), place(i % size, wide)];
                let (v, u) = (y.fract() as f32, x.fract() as f32);
                let at = |dy: usize, dx: usize| shown[(y as usize + dy) * wide + x as usize + dx];
                (1.0 - v) * ((1.0 - u) * at(0, 0) + u * at(0, 1)) + v * ((1.0 - u) * at(1, 0) + u * at(1, 1))
            })
            .collect();
        let back = window.spread(&map, size, rows, cols);
        let mut seen = 0;
        for i in (0..rows * cols).filter(|&i| valid[i] > 0) {
            assert!((back[i] - plane[i]).abs() < 1e-2, "{i}: {} {}", back[i], plane[i]);
            seen += 1;
        }
        assert!(seen > 5000);
        // The corners of the picture are beyond it.
        assert_eq!([back[0], back[cols - 1], back[rows * cols - 1]], [0.0; 3]);
    }
}
