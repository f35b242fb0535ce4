//! Scans as the network takes them: small square pictures.

use crate::window::{Span, Upright, Window};
use assay_sdk::{Content, Error, GridView, Result, Sample, Spec};

/// Port of the colour image, and of the depths.
pub(crate) const COLOUR: usize = 0;
pub(crate) const DEPTH: usize = 1;

/// Depths are spread over this part of 0 to 1, so that a place without one, which is 0, is none of them.
const LEAST_DEPTH: f32 = 0.1;

/// The sensors of a scan and the size of its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) size: usize,
    pub(crate) colour: bool,
    pub(crate) depth: bool,
}

impl Shape {
    /// The sensors that are bound.
    ///
    /// # Errors
    /// None, or an input whose channels are not those of a picture.
    pub(crate) fn of(inputs: &[Spec], size: usize) -> Result<Self> {
        let bound = |port| inputs.iter().any(|s| s.port == port);
        let shape = Self { size, colour: bound(COLOUR), depth: bound(DEPTH) };
        if shape.sensors() == 0 {
            return Err(Error::input("colour", "neither a colour image nor depths are bound"));
        }
        let features = |s: &&Spec| s.content == Content::Features && s.channels != 1;
        if let Some(spec) = inputs.iter().find(features) {
            let message = format!("`{}` has {} channels; depths have one", spec.name, spec.channels);
            return Err(Error::input("depth", message));
        }
        Ok(shape)
    }

    pub(crate) fn sensors(self) -> usize {
        usize::from(self.colour) + usize::from(self.depth)
    }

    pub(crate) fn cells(self) -> usize {
        self.size * self.size
    }

    /// Values of a row: three planes of colour; depths, and whether they are valid.
    pub(crate) fn values(self) -> usize {
        self.cells() * (3 * usize::from(self.colour) + 2 * usize::from(self.depth))
    }

    /// Where the part of a scan is, and how it lies where it is to be `aligned`.
    ///
    /// # Errors
    /// An input that is no grid.
    pub(crate) fn window(self, sample: &Sample<'_>, aligned: bool) -> Result<Window> {
        Ok(Window::around(sample.grids()?.into_iter(), aligned))
    }

    /// The window of a scan as a row: colours from 0 to 1, depths in their unit around the scan's median.
    ///
    /// # Errors
    /// An input that is not what was planned.
    pub(crate) fn row(self, sample: &Sample<'_>, window: &Window) -> Result<Vec<f32>> {
        let mut row = Vec::with_capacity(self.values());
        for value in sample.port(COLOUR) {
            let grid = value.grid()?;
            let planes = [0, 1, 2].map(|c| grid.plane(if grid.channels == 3 { c } else { 0 }));
            for cells in seen(&grid, planes, self.size, window, None) {
                row.extend(cells.into_iter().map(|v| v.unwrap_or(0.0) / 255.0));
            }
        }
        for value in sample.port(DEPTH) {
            let grid = value.grid()?;
            let plane = grid.plane(if grid.channels == 3 { 2 } else { 0 });
            let [mut depths] = seen(&grid, [plane], self.size, window, grid.valid);
            (0..FILLED).for_each(|_| fill(&mut depths, self.size));
            let middle = median(depths.iter().flatten().copied().collect());
            row.extend(depths.iter().map(|d| d.map_or(0.0, |d| d - middle)));
            row.extend(depths.iter().map(|d| f32::from(u8::from(d.is_some()))));
        }
        if row.len() == self.values() && row.iter().all(|v| v.is_finite()) {
            Ok(row)
        } else {
            Err(Error::input("colour", "the inputs are not those that were planned"))
        }
    }

    /// The parts of a row.
    pub(crate) fn scan<'a>(self, row: &'a [f32], scale: Scale) -> Scan<'a> {
        let (colour, depth) = row.split_at(if self.colour { 3 * self.cells() } else { 0 });
        let (depths, valid) = depth.split_at(depth.len() / 2);
        Scan {
            colour: self.colour.then_some(colour),
            depth: self.depth.then_some(Depth { depths, valid, scale, size: self.size }),
        }
    }

    /// What the depths of `rows` are measured by.
    pub(crate) fn scale<'a>(self, rows: impl Iterator<Item = &'a [f32]>) -> Scale {
        // At most so many depths of each row are sorted.
        const SOME: usize = 4096;
        let mut all: [Vec<f32>; 3] = Default::default();
        for row in rows {
            let Some(depth) = self.scan(row, Scale::ONE).depth else { continue };
            let step = depth.depths.len().div_ceil(SOME).max(1);
            let measured = || (0..depth.depths.len()).step_by(step).filter(|&i| depth.valid(i));
            let [down, across] = depth.slopes();
            let roughness = depth.roughness();
            all[0].extend(measured().map(|i| depth.depths[i].abs()));
            all[1].extend(measured().flat_map(|i| [down[i].abs(), across[i].abs()]));
            all[2].extend(measured().map(|i| roughness[i]));
        }
        let mut quantile = |plane: usize, share: f64| {
            all[plane].sort_unstable_by(f32::total_cmp);
            let at = (share * all[plane].len() as f64) as usize;
            all[plane].get(at).copied().unwrap_or(0.0)
        };
        let reach = quantile(0, 0.99).max(f32::MIN_POSITIVE);
        // A perfect plane has no slopes to measure by.
        let slope = quantile(1, 0.75).max(FLATTEST * reach);
        Scale { reach, slope, noise: quantile(2, 0.25).max(LEAST_NOISE * reach) }
    }
}

/// What the depths of a product's good scans are measured by, in their unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    /// How far depths lie from a scan's median: all but a hundredth of them, for the few that are seen through a bore would take the range from all others.
    pub(crate) reach: f32,
    /// How far they rise or fall from cell to cell, down and across the picture: three quarters of them, for of flat surfaces most is noise.
    pub(crate) slope: f32,
    /// How far they lie from the mean of their neighbours: a quarter of them, where the surface is smoothest.
    pub(crate) noise: f32,
}

impl Scale {
    const ONE: Self = Self { reach: 1.0, slope: 1.0, noise: 1.0 };

    /// A change of depth that counts as one.
    pub(crate) fn least(&self) -> f32 {
        VISIBLE * self.noise
    }
}

/// What stands out of noise.
const VISIBLE: f32 = 5.0;

/// The least slope, and the least noise, of the reach.
const FLATTEST: f32 = 1e-3;
const LEAST_NOISE: f32 = 1e-4;

/// A scan's pictures, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// Three planes, 0 to 1.
    pub(crate) colour: Option<&'a [f32]>,
    pub(crate) depth: Option<Depth<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Depth<'a> {
    /// In the sensor's unit, around the scan's median; 0 where there is none.
    pub(crate) depths: &'a [f32],
    /// Above 0 where there is a depth.
    pub(crate) valid: &'a [f32],
    pub(crate) scale: Scale,
    pub(crate) size: usize,
}

/// What shows a slope that falls as the one that `value` shows rises; no depth stays none.
pub(crate) fn opposite(value: f32) -> f32 {
    if value > 0.0 { 1.0 + LEAST_DEPTH - value } else { value }
}

impl Depth<'_> {
    /// Whether there is a depth.
    pub(crate) fn valid(&self, i: usize) -> bool {
        self.valid[i] > 0.0
    }

    /// The depth that is `value` in the picture.
    pub(crate) fn of_picture(&self, value: f32) -> f32 {
        self.scale.reach * (2.0 * (value - LEAST_DEPTH) / (1.0 - LEAST_DEPTH) - 1.0)
    }

    /// The picture: depths, and their slopes down and across, each [`LEAST_DEPTH`] to 1; 0 where there is no depth. The reach is spread evenly;
    /// a slope x on a scale s becomes x / (|x| + s), so that a low bump shows beside an edge that is a hundred times as high.
    fn picture(&self) -> Vec<f32> {
        let spread = 0.5 * (1.0 - LEAST_DEPTH);
        let mut planes = Vec::with_capacity(3 * self.depths.len());
        let mut plane = |values: &[f32], shown: &dyn Fn(f32) -> f32| {
            planes.extend(
                values
                    .iter()
                    .zip(self.valid)
                    .map(|(d, v)| if *v > 0.0 { LEAST_DEPTH + spread * (shown(*d) + 1.0) } else { 0.0 }),
            );
        };
        let Scale { reach, slope, .. } = self.scale;
        plane(self.depths, &|d| (d / reach).clamp(-1.0, 1.0));
        for slopes in self.slopes() {
            plane(&slopes, &|d| d / (d.abs() + slope));
        }
        planes
    }

    /// How far depths rise from cell to cell, down and across: half of what lies between the two neighbours, or what lies between the cell and
    /// the one neighbour that has a depth; 0 without one.
    fn slopes(&self) -> [Vec<f32>; 2] {
        let size = self.size;
        let at = |i: usize| self.valid(i).then(|| self.depths[i]);
        let slope = |before: Option<f32>, here: Option<f32>, after: Option<f32>| match (before, here, after) {
            (Some(before), Some(_), Some(after)) => 0.5 * (after - before),
            (None, Some(here), Some(after)) => after - here,
            (Some(before), Some(here), None) => here - before,
            _ => 0.0,
        };
        [size, 1].map(|stride| {
            let along = |i: usize| i / stride % size;
            let before = |i: usize| if along(i) > 0 { at(i - stride) } else { None };
            let after = |i: usize| if along(i) + 1 < size { at(i + stride) } else { None };
            (0..self.depths.len()).map(|i| slope(before(i), at(i), after(i))).collect()
        })
    }

    /// How far depths lie from the mean of theirs and their neighbours'; 0 where there is no depth.
    fn roughness(&self) -> Vec<f32> {
        let near = |p: usize| p.saturating_sub(1)..(p + 2).min(self.size);
        let apart = |i: usize| {
            let cells = near(i / self.size).flat_map(|y| near(i % self.size).map(move |x| y * self.size + x));
            let (sum, count) = cells
                .filter(|&at| self.valid(at))
                .fold((0.0, 0.0), |(sum, n), at| (sum + f64::from(self.depths[at]), n + 1.0));
            (self.depths[i] - (sum / count) as f32).abs()
        };
        (0..self.depths.len()).map(|i| if self.valid(i) { apart(i) } else { 0.0 }).collect()
    }
}

impl Scan<'_> {
    /// Where a part may be: where there are depths; everywhere without a depth sensor.
    pub(crate) fn is_part(&self, i: usize) -> bool {
        self.depth.is_none_or(|d| d.valid(i))
    }

    /// The pictures of the sensors, colour first, three planes each.
    pub(crate) fn pictures(&self) -> Vec<Vec<f32>> {
        let colour = self.colour.map(<[f32]>::to_vec);
        colour.into_iter().chain(self.depth.map(|d| d.picture())).collect()
    }
}

/// A window of planes brought to `size` x `size`, upright.
fn seen<const N: usize>(
    grid: &GridView<'_>,
    planes: [&[f32]; N],
    size: usize,
    window: &Window,
    valid: Option<&[u8]>,
) -> [Vec<Option<f32>>; N] {
    let all = (grid.rows, grid.cols);
    match window.upright(planes, all, valid) {
        None => planes.map(|plane| shrunk(all, plane, size, window, valid)),
        Some(Upright { planes, valid, rows, cols }) => {
            planes.map(|plane| shrunk((rows, cols), &plane, size, &Window::WHOLE, Some(&valid)))
        }
    }
}

/// A window of a plane brought to `size` x `size`: the mean of what is valid below each cell, pixels at its edges counting as far as they lie below it; none
/// where nothing is valid. The lines of a cell are added up first, whole lines at a time.
fn shrunk(
    (rows, cols): (usize, usize),
    plane: &[f32],
    size: usize,
    window: &Window,
    valid: Option<&[u8]>,
) -> Vec<Option<f32>> {
    let across: Vec<Span> = (0..size).map(|cell| window.cols(cell, size, cols)).collect();
    let shares: Vec<Vec<f64>> =
        across.iter().map(|span| span.pixels.clone().map(|col| span.share(col)).collect()).collect();
    let covered = across.iter().map(|span| &span.pixels).filter(|pixels| !pixels.is_empty());
    let seen = covered.fold(cols..0, |all, r| all.start.min(r.start)..all.end.max(r.end));
    let seen = seen.start..seen.end.max(seen.start);
    // Of each column of pixels, the sum of what is valid in a cell's rows and how much that is.
    let mut sums = vec![0.0f64; cols];
    let mut weights = vec![0.0f64; cols];
    let mut cells = Vec::with_capacity(size * size);
    for down in 0..size {
        let rows = window.rows(down, size, rows);
        sums.fill(0.0);
        weights.fill(if valid.is_some() { 0.0 } else { rows.length() });
        for row in rows.pixels.clone() {
            let line = row * cols + seen.start..row * cols + seen.end;
            let sums = sums[seen.clone()].iter_mut();
            let share = rows.share(row);
            match valid.map(|valid| &valid[line.clone()]) {
                None => sums.zip(&plane[line]).for_each(|(sum, v)| *sum += share * f64::from(*v)),
                Some(valid) => {
                    let both = sums.zip(&mut weights[seen.clone()]);
                    both.zip(&plane[line]).zip(valid).for_each(|(((sum, weight), v), valid)| {
                        let valid = *valid != 0;
                        *sum += if valid { share * f64::from(*v) } else { 0.0 };
                        *weight += if valid { share } else { 0.0 };
                    });
                }
            }
        }
        for (span, shares) in across.iter().zip(&shares) {
            let pixels = sums[span.pixels.clone()].iter().zip(&weights[span.pixels.clone()]);
            let (sum, weight) = pixels
                .zip(shares)
                .fold((0.0, 0.0), |(a, b), ((sum, weight), share)| (a + share * sum, b + share * weight));
            let enough = weight > 0.0 && weight >= LEAST_VALID * rows.length() * span.length();
            cells.push(enough.then(|| (sum / weight) as f32));
        }
    }
    cells
}

/// How much of what lies below a cell has to be valid: any, but no rounding of its edges. A sensor misses single points of good parts everywhere, and what is
/// missing by defect shows where they count as measured.
const LEAST_VALID: f64 = 1e-6;

/// Gaps are filled so many times: they close by two cells from either side.
const FILLED: usize = 2;

/// How far the cells reach that a gap is filled from.
const FROM: usize = 2;

/// Gives cells without a depth, but with depths in more than half of the cells up to [`FROM`] around them, the mean of these: a sensor misses points along
/// every edge, each time others, and a network that has to rebuild them learns little else. What is missing in a wider place stays missing.
fn fill(depths: &mut [Option<f32>], size: usize) {
    let before = depths.to_vec();
    let around = ((2 * FROM + 1) * (2 * FROM + 1) - 1) as u32;
    let near = |p: usize| p.saturating_sub(FROM)..(p + FROM + 1).min(size);
    // Of each column, the cells with a depth in the rows up to `FROM` from the row at hand.
    let mut columns = vec![0u32; size];
    for (y, line) in depths.chunks_exact_mut(size.max(1)).enumerate() {
        columns.fill(0);
        for row in near(y) {
            let cells = &before[row * size..][..size];
            columns.iter_mut().zip(cells).for_each(|(count, d)| *count += u32::from(d.is_some()));
        }
        for (x, depth) in line.iter_mut().enumerate().filter(|(_, depth)| depth.is_none()) {
            let count: u32 = columns[near(x)].iter().sum();
            if 2 * count > around {
                let cells = near(y).flat_map(|y| near(x).map(move |x| y * size + x));
                let sum: f64 = cells.filter_map(|at| before[at]).map(f64::from).sum();
                *depth = Some((sum / f64::from(count)) as f32);
            }
        }
    }
}

/// The middle value; 0 of none.
fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f32::total_cmp).1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::Frame;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_window_takes_it_gives_back_to_its_place(
            (rows, cols) in (40..80usize, 40..80usize),
            part in (0.0..0.6f64, 0.0..0.6, 0.2..0.9, 0.2..0.9),
            slopes in [-1.0..1.0f32, -1.0..1.0],
        ) {
            let (top, left, tall, wide) = part;
            let within = |p: usize, all: usize, first: f64, length: f64| (first..first + length).contains(&(p as f64 / all as f64));
            let inside = |i: usize| within(i / cols, rows, top, tall) && within(i % cols, cols, left, wide);
            let valid: Vec<u8> = (0..rows * cols).map(|i| u8::from(inside(i))).collect();
            let plane: Vec<f32> = (0..rows * cols).map(|i| slopes[0] * (i / cols) as f32 + slopes[1] * (i % cols) as f32).collect();
            let grid = GridView { values: &plane, channels: 1, rows, cols, valid: Some(&valid), frame: Frame::NATIVE };
            let window = Window::around([grid].into_iter(), false);
            let cells = shrunk((rows, cols), &plane, 64, &window, None);
            let map: Vec<f32> = cells.iter().map(|cell| cell.unwrap_or(0.0)).collect();
            let back = window.spread(&map, 64, rows, cols);
            // Of the pixels of the window but those along its edge and the picture's, beyond which there is nothing.
            let covered = |edges: (Span, Span), p: usize| edges.0.pixels.end <= p && p < edges.1.pixels.start;
            for i in 0..rows * cols {
                let down = covered((window.rows(1, 64, rows), window.rows(62, 64, rows)), i / cols);
                let across = covered((window.cols(1, 64, cols), window.cols(62, 64, cols)), i % cols);
                let amid = |p: usize, all: usize| (2..all - 2).contains(&p);
                if down && across && amid(i / cols, rows) && amid(i % cols, cols) {
                    // A cell between two pixels is up to an eighth of a step from the slope, in either direction.
                    let bound = 0.13 * (slopes[0].abs() + slopes[1].abs()) + 1e-3;
                    prop_assert!((back[i] - plane[i]).abs() < bound, "{} {} {:?}", back[i], plane[i], window);
                }
            }
        }

        #[test]
        fn a_cell_is_the_mean_of_what_is_valid_below_it(
            (rows, cols, size) in (1..40usize, 1..40usize, 1..24usize),
            part in [0.0..1.0f64, 0.0..1.0, 0.0..1.0, 0.0..1.0],
            values in prop::collection::vec(-9.0..9.0f32, 1600),
            missing in prop::collection::vec(0..5u8, 1600),
        ) {
            let within = |p: usize, all: usize, a: f64, b: f64| (a.min(b)..=a.max(b)).contains(&(p as f64 / all as f64));
            let inside = |i: usize| within(i / cols, rows, part[0], part[1]) && within(i % cols, cols, part[2], part[3]);
            let valid: Vec<u8> = (0..rows * cols).map(|i| u8::from(inside(i) && missing[i] > 0)).collect();
            let plane: Vec<f32> = (0..rows * cols).map(|i| if valid[i] > 0 { values[i] } else { f32::NAN }).collect();
            let grid = GridView { values: &plane, channels: 1, rows, cols, valid: Some(&valid), frame: Frame::NATIVE };
            let window = Window::around([grid].into_iter(), false);
            let cells = shrunk((rows, cols), &plane, size, &window, grid.valid);
            // What colour is shrunk by: everything is valid.
            let all = shrunk((rows, cols), &values[..rows * cols], size, &window, None);
            prop_assert!(cells.len() == size * size && all.len() == size * size);
            for (i, (cell, whole)) in cells.into_iter().zip(all).enumerate() {
                let (down, across) = (window.rows(i / size, size, rows), window.cols(i % size, size, cols));
                let (mut sum, mut weight, mut of_all, mut all) = (0.0, 0.0, 0.0, 0.0);
                for p in 0..rows * cols {
                    let share = down.share(p / cols) * across.share(p % cols);
                    all += share;
                    of_all += share * f64::from(values[p]);
                    if grid.is_valid(p) {
                        sum += share * f64::from(plane[p]);
                        weight += share;
                    }
                }
                match whole {
                    None => prop_assert!(all == 0.0),
                    Some(mean) => prop_assert!((f64::from(mean) - of_all / all).abs() < 1e-5),
                }
                match cell {
                    None => prop_assert!(weight <= 1.001 * LEAST_VALID * all),
                    Some(mean) => prop_assert!(weight > 0.0 && (f64::from(mean) - sum / weight).abs() < 1e-5),
                }
            }
        }
    }
}
