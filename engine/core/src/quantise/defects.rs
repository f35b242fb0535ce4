//! Made-up defects: what a network that lost its eye for detail would miss.

use crate::plugin::Failure;
use crate::value::{Data, Value, planes};
use assay_data::{Image, Mask};
use ndarray::Array3;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;

/// The kinds, one copy of a scan each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of the scan at another place.
    Pasted,
    /// Faint blotches.
    Blotched,
}

/// Places of which the one with the most detail is taken, so that a defect does not lie in an empty background.
const PLACES: usize = 8;

/// A copy of a value with one defect, and the cells that it covers. `inside` are the cells where it may lie, of the value's
/// size; `None` = all.
pub(super) fn with_defect(
    value: &Value,
    inside: Option<&Mask>,
    kind: Kind,
    random: &mut ChaCha8Rng,
) -> Result<(Value, Mask), Failure> {
    let mut grid = match &value.data {
        Data::Image(image) => planes(image).values,
        Data::Grid(grid) => grid.values.clone(),
        Data::Cloud(_) => return Err(Failure::about_input("a network takes images, not clouds")),
    };
    let spot = Spot::choose(&grid, inside, random);
    let covered = spot.draw(&mut grid, kind, random);
    let data = match &value.data {
        Data::Image(image) => {
            let pixels = Array3::from_shape_fn(image.pixels.dim(), |(i, j, c)| grid[(c, i, j)].round() as u8);
            Data::Image(Image { pixels, ..image.clone() })
        }
        Data::Grid(old) => Data::Grid(assay_data::Grid { values: grid, ..old.clone() }),
        Data::Cloud(cloud) => Data::Cloud(cloud.clone()),
    };
    Ok((Value { content: value.content, data, image_score: value.image_score }, covered))
}

/// A number below `n`.
fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    (random.next_u64() % n.max(1) as u64) as usize
}

/// A number from 0 to 1.
fn unit(random: &mut ChaCha8Rng) -> f32 {
    (random.next_u64() >> 40) as f32 / (1_u64 << 24) as f32
}

/// Where a defect lies: a box in rows and columns that lies in the grid.
#[derive(Debug, Clone, Copy)]
struct Spot {
    top: usize,
    left: usize,
    rows: usize,
    cols: usize,
}

impl Spot {
    fn choose(grid: &Array3<f32>, inside: Option<&Mask>, random: &mut ChaCha8Rng) -> Self {
        let (_, rows, cols) = grid.dim();
        let short = rows.min(cols);
        // A side of 6 to 15 % of the scan's shorter one.
        let mut side = || ((short as f32 * (0.06 + 0.09 * unit(random))) as usize).clamp(1, short);
        let (h, w) = (side(), side());
        let allowed = |row: usize, col: usize| inside.is_none_or(|m| m.get((row, col)) == Some(&true));
        let mut best: Option<(f64, Self)> = None;
        let mut found = 0;
        // Places beyond the part are drawn again; a part so small that none is found is covered anywhere.
        for attempt in 0..64 * PLACES {
            let (top, left) = (below(random, rows - h + 1), below(random, cols - w + 1));
            let last = attempt == 64 * PLACES - 1 && best.is_none();
            if !(allowed(top + h / 2, left + w / 2) || last) {
                continue;
            }
            let spot = Self { top, left, rows: h, cols: w };
            let detail = spot.detail(grid);
            if best.is_none_or(|(most, _)| detail > most) {
                best = Some((detail, spot));
            }
            found += 1;
            if found == PLACES {
                break;
            }
        }
        best.map_or(Self { top: 0, left: 0, rows: h, cols: w }, |(_, spot)| spot)
    }

    fn cells(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.rows).flat_map(move |i| (0..self.cols).map(move |j| (i, j)))
    }

    /// Variance of the values under it, summed over channels.
    fn detail(self, grid: &Array3<f32>) -> f64 {
        let n = (self.rows * self.cols) as f64;
        let variance = |c: usize| {
            let (mut sum, mut squares) = (0.0, 0.0);
            for (i, j) in self.cells() {
                let v = f64::from(grid[(c, self.top + i, self.left + j)]);
                sum += v;
                squares += v * v;
            }
            squares / n - (sum / n) * (sum / n)
        };
        (0..grid.dim().0).map(variance).sum()
    }

    /// Draws the defect and returns what it covers: an ellipse that fades out at its edge.
    fn draw(self, grid: &mut Array3<f32>, kind: Kind, random: &mut ChaCha8Rng) -> Mask {
        let (channels, rows, cols) = grid.dim();
        let fade = |i: usize, j: usize| {
            let at = |k: usize, n: usize| (k as f32 + 0.5) / n as f32 * 2.0 - 1.0;
            let (y, x) = (at(i, self.rows), at(j, self.cols));
            (2.0 * (1.0 - (y * y + x * x).sqrt())).clamp(0.0, 1.0)
        };
        let source = grid.clone();
        let (from_top, from_left) =
            (below(random, rows - self.rows + 1), below(random, cols - self.cols + 1));
        // Blotches of half the values' spread in the whole scan, on 5 x 5 knots.
        const KNOTS: usize = 5;
        let spread: Vec<f32> =
            (0..channels).map(|c| source.index_axis(ndarray::Axis(0), c).std(0.0)).collect();
        let knots: Vec<f32> = (0..KNOTS * KNOTS * channels).map(|_| unit(random) * 2.0 - 1.0).collect();
        let limits: Vec<(f32, f32)> = source
            .outer_iter()
            .map(|plane| plane.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v))))
            .collect();
        let mut covered = Mask::from_elem((rows, cols), false);
        for (i, j) in self.cells() {
            let weight = fade(i, j);
            if weight <= 0.0 {
                continue;
            }
            let at = (self.top + i, self.left + j);
            covered[at] = true;
            for c in 0..channels {
                let old = source[(c, at.0, at.1)];
                let new = match kind {
                    Kind::Pasted => source[(c, from_top + i, from_left + j)],
                    Kind::Blotched => {
                        let (y, x) = (i * KNOTS / self.rows, j * KNOTS / self.cols);
                        old + knots[(c * KNOTS + y) * KNOTS + x] * spread[c]
                    }
                };
                let (low, high) = limits[c];
                grid[(c, at.0, at.1)] = (old + weight * (new - old)).clamp(low, high);
            }
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Content;
    use rand_chacha::rand_core::SeedableRng as _;

    fn value() -> Value {
        let pixels = Array3::from_shape_fn((60, 80, 3), |(i, j, c)| ((i * 7 + j * 13 + c * 40) % 251) as u8);
        Value { content: Content::Rgb, data: Data::Image(Image::new(pixels)), image_score: f64::NAN }
    }

    #[test]
    fn a_defect_changes_what_it_covers_inside_the_part_and_nothing_else() {
        let inside = Mask::from_shape_fn((60, 80), |(i, j)| (20..40).contains(&i) && (30..60).contains(&j));
        for kind in [Kind::Pasted, Kind::Blotched] {
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let (changed, covered) = with_defect(&value(), Some(&inside), kind, &mut random).unwrap();
            let (Data::Image(old), Data::Image(new)) = (&value().data, &changed.data) else {
                panic!("images")
            };
            let differs = |i: usize, j: usize| (0..3).any(|c| old.pixels[(i, j, c)] != new.pixels[(i, j, c)]);
            let cells = || (0..60).flat_map(|i| (0..80).map(move |j| (i, j)));
            assert!(cells().all(|(i, j)| covered[(i, j)] || !differs(i, j)));
            assert!(cells().filter(|&(i, j)| differs(i, j)).count() > 5, "{kind:?}");
            assert!(cells().any(|at| covered[at] && inside[at]), "{kind:?}");
            let again =
                with_defect(&value(), Some(&inside), kind, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
            assert_eq!((again.0.data, again.1), (changed.data, covered));
        }
    }

    #[test]
    fn a_part_of_nothing_and_a_scan_of_one_pixel_get_a_defect_too() {
        let nothing = Mask::from_elem((60, 80), false);
        let mut random = ChaCha8Rng::seed_from_u64(0);
        assert!(
            with_defect(&value(), Some(&nothing), Kind::Blotched, &mut random).unwrap().1.iter().any(|&c| c)
        );
        let dot = Data::Image(Image::new(Array3::zeros((1, 1, 1))));
        let dot = Value { data: dot, ..value() };
        assert!(with_defect(&dot, None, Kind::Pasted, &mut random).unwrap().1[(0, 0)]);
    }
}
