//! Synthetic defects on good scans.

use crate::noise::{HILL, Hills};
use crate::scans::{Depth, Scan, Shape};
use crate::texture::texture;
use crate::views::{turned, turned_pictures};
use assay_training::layers::Draws;
use std::f32::consts::PI;
use std::ops::{Range, RangeInclusive};

/// Tries to place a defect on the part.
const TRIES: usize = 8;

/// The most of a picture that shines through a texture.
const MOST_THROUGH: f32 = 0.8;

/// The least that is seen, at its most, of a texture that rises from the edge.
const FAINTEST: f32 = 0.1;

/// One texture, piece or change of depth in so many ends at an edge that the noise has drawn: where all do, a network need know no more than edges.
const EDGED: usize = 4;

/// The part of a hill's height over which a piece is blended with what is around it.
const RIM: f32 = 0.4;

/// Highest bump, as a share of the reach of depths.
const HIGHEST: f32 = 0.9;

/// Lowest bump, in the least changes of depth that count.
const LOWEST: f32 = 4.0;

/// A change of colour that counts as one, of its range.
pub(crate) const SEEN: f32 = 0.03;

/// How a place shows what is at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// What is seen moves, the farther the farther from the edge: the surface is bent, and nothing is torn.
    Bent,
    /// All of the place shows the other one.
    Torn,
    /// The same, but colours and depths pass into those around them, so that no edge tells where it is (as Natural Synthetic Anomalies; Schlueter et
    /// al., ECCV 2022).
    Blended,
}

/// Where cells come from that are not in their place.
#[derive(Debug, Clone, Copy)]
struct Displacement {
    /// In cells down and across.
    by: [f32; 2],
    manner: Manner,
}

impl Displacement {
    /// A surface that is bent, by 1 to 15 % of the picture, little as often as much.
    fn bent(size: usize, draws: &mut Draws) -> Self {
        Self { by: vector(even_decades(0.01..0.15, draws), size, draws), manner: Manner::Bent }
    }

    /// A piece of another place, 10 to 50 % of the picture away: on the part what does not belong there, from beside the part a piece
    /// that is missing (CutPaste; Li et al., CVPR 2021).
    fn elsewhere(size: usize, draws: &mut Draws) -> Self {
        let by = vector(0.1 + 0.4 * share(draws), size, draws);
        Self { by, manner: if draws.below(EDGED) == 0 { Manner::Torn } else { Manner::Blended } }
    }

    /// How much of cell `i`, whose noise is `height`, is another's, 0 to 1, and whose.
    fn source(&self, i: usize, height: f32, size: usize) -> (f32, usize) {
        let depth = ((height - HILL) / (1.0 - HILL)).clamp(0.0, 1.0);
        let inside = f32::from(u8::from(height > HILL));
        let (weight, share) = match self.manner {
            Manner::Bent => (inside, depth),
            Manner::Torn => (inside, inside),
            Manner::Blended => ((depth / RIM).min(1.0), inside),
        };
        let along =
            |at: usize, by: f32| (at as f32 + share * by).round().clamp(0.0, (size - 1) as f32) as usize;
        (weight, along(i / size, self.by[0]) * size + along(i % size, self.by[1]))
    }
}

/// A vector in any direction, as long as a share of the picture's side.
fn vector(length: f32, size: usize, draws: &mut Draws) -> [f32; 2] {
    let angle = draws.uniform(1, f64::from(PI))[0];
    [angle.sin() * length * size as f32, angle.cos() * length * size as f32]
}

/// A number of a range, of any decade as often as of any other.
fn even_decades(range: Range<f32>, draws: &mut Draws) -> f32 {
    range.start * (range.end / range.start).powf(share(draws))
}

/// Fewest and most defects of a defective scan.
pub(crate) const DEFECTS: RangeInclusive<usize> = 1..=4;

/// What happens to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its surface is bent.
    Bent,
    /// A piece of it is missing, or of another place.
    Elsewhere,
    /// As the paper's: a texture in colour, other heights in depth, or both. In which sensors, or by chance.
    Textured(Option<[bool; 2]>),
}

impl Kind {
    /// Half of the paper's, the others what happens to parts.
    fn draw(draws: &mut Draws) -> Self {
        match draws.below(4) {
            0 => Self::Bent,
            1 => Self::Elsewhere,
            _ => Self::Textured(None),
        }
    }

    /// All that differ for the sensors of a shape, and where each is, for messages.
    pub(crate) fn all(shape: Shape) -> Vec<(Self, &'static str)> {
        let colour = (Self::Textured(Some([true, false])), "where its colour changes");
        let depth = (Self::Textured(Some([false, true])), "where its depth changes");
        let both = [
            (Self::Bent, "where the part is bent"),
            (Self::Elsewhere, "where a piece is missing or misplaced"),
        ];
        both.into_iter().chain(shape.colour.then_some(colour)).chain(shape.depth.then_some(depth)).collect()
    }
}

/// A scan to learn from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// The pictures of the sensors, three planes each.
    pub(crate) pictures: Vec<Vec<f32>>,
    /// Where the first sensor's picture is defective, 0 or 1.
    pub(crate) alone: Vec<f32>,
    /// Where the second one's is, all 0 without one.
    pub(crate) second: Vec<f32>,
    /// Where any sensor's is.
    pub(crate) any: Vec<f32>,
}

impl Example {
    /// A scan as it is.
    pub(crate) fn good(scan: &Scan<'_>, size: usize) -> Self {
        let none = vec![0.0; size * size];
        Self { pictures: scan.pictures(), alone: none.clone(), second: none.clone(), any: none }
    }

    /// The same scan, so many quarters turned.
    pub(crate) fn turned(&self, shape: Shape, quarters: usize) -> Self {
        let mask = |mask: &[f32]| turned(mask, shape.size, quarters);
        Self {
            pictures: turned_pictures(&self.pictures, shape, quarters),
            alone: mask(&self.alone),
            second: mask(&self.second),
            any: mask(&self.any),
        }
    }

    /// A scan with so many defects. Textures may be pieces of the `others`.
    pub(crate) fn defective(
        scan: &Scan<'_>,
        count: RangeInclusive<usize>,
        others: &[&[f32]],
        size: usize,
        draws: &mut Draws,
    ) -> Self {
        let mut made = Changed::none(scan, size);
        for _ in 0..count.start() + draws.below(count.clone().count()) {
            let before = made.values.scan(scan);
            let next = Changed::of(Kind::draw(draws), &before, others, size, draws);
            made = made.then(next);
        }
        made.example(scan)
    }
}

/// A scan's values after a defect, and where it lies.
pub(crate) struct Changed {
    values: Values,
    /// Where the first sensor sees it.
    pub(crate) alone: Vec<f32>,
    /// Where the second one does, all 0 without one.
    second: Vec<f32>,
    /// Where any sensor does.
    any: Vec<f32>,
}

impl Changed {
    fn none(scan: &Scan<'_>, size: usize) -> Self {
        let none = vec![0.0; size * size];
        Self { values: Values::of(scan), alone: none.clone(), second: none.clone(), any: none }
    }

    /// A scan with one defect of a kind; textures may be pieces of the `others`.
    pub(crate) fn of(kind: Kind, scan: &Scan<'_>, others: &[&[f32]], size: usize, draws: &mut Draws) -> Self {
        match kind {
            Kind::Bent => Self::displaced(scan, Displacement::bent(size, draws), size, draws),
            Kind::Elsewhere => Self::displaced(scan, Displacement::elsewhere(size, draws), size, draws),
            Kind::Textured(sensors) => Self::textured(scan, sensors, others, size, draws),
        }
    }

    /// This, and what was made of its values.
    fn then(self, mut next: Self) -> Self {
        let Self { alone, second, any, .. } = self;
        for (all, before) in [(&mut next.alone, alone), (&mut next.second, second), (&mut next.any, any)] {
            all.iter_mut().zip(before).for_each(|(after, before)| *after = after.max(before));
        }
        next
    }

    /// `scan` as it is now.
    pub(crate) fn example(self, scan: &Scan<'_>) -> Example {
        let Self { values, alone, second, any } = self;
        Example { pictures: values.scan(scan).pictures(), alone, second, any }
    }

    /// A scan in which all sensors see at one place what is at another.
    fn displaced(scan: &Scan<'_>, displacement: Displacement, size: usize, draws: &mut Draws) -> Self {
        let cells = size * size;
        for _ in 0..TRIES {
            let hills = hills(scan, size, draws);
            let sources: Vec<(f32, usize)> =
                (0..cells).map(|i| displacement.source(i, hills.heights[i], size)).collect();
            let mut values = Values::of(scan);
            values.take(&sources);
            // On the part, or where it now seems to be.
            let moved = |i: usize| {
                let (weight, source) = sources[i];
                weight > 0.0 && source != i && (scan.is_part(i) || scan.is_part(source))
            };
            let mut changed = Vec::new();
            if let Some(planes) = scan.colour {
                let apart = |i: usize| (values.colour[i] - planes[i]).abs() > SEEN;
                changed.push(mask(cells, |i| moved(i) && (0..3).any(|c| apart(c * cells + i))));
            }
            if let Some(depth) = scan.depth {
                let apart = |i: usize| {
                    depth.valid(i) != (values.valid[i] > 0.0)
                        || (values.depths[i] - depth.depths[i]).abs() > depth.scale.least()
                };
                changed.push(mask(cells, |i| moved(i) && apart(i)));
            }
            let any = mask(cells, |i| changed.iter().any(|sensor| sensor[i] > 0.0));
            if !any.contains(&1.0) {
                continue;
            }
            let mut changed = changed.into_iter();
            let [alone, second] = [(); 2].map(|()| changed.next().unwrap_or_else(|| mask(cells, |_| false)));
            return Self { values, alone, second, any };
        }
        Self::none(scan, size)
    }

    /// A scan with a texture in colour, heights in depth, or both.
    fn textured(
        scan: &Scan<'_>,
        sensors: Option<[bool; 2]>,
        others: &[&[f32]],
        size: usize,
        draws: &mut Draws,
    ) -> Self {
        let cells = size * size;
        let place = (0..TRIES).find_map(|_| {
            let hills = hills(scan, size, draws);
            let place = mask(cells, |i| hills.high(i) && scan.is_part(i));
            place.contains(&1.0).then_some((hills, place))
        });
        let Some((hills, place)) = place else { return Self::none(scan, size) };
        let [in_colour, in_depth] = sensors.unwrap_or_else(|| sensors_of(scan, draws));
        let top = (0..cells).filter(|&i| place[i] > 0.0).map(|i| hills.heights[i]).fold(HILL, f32::max);
        let mut values = Values::of(scan);
        let mut coloured = mask(cells, |_| false);
        if in_colour {
            let cover = Cover::draw(draws);
            let texture = texture(others, size, draws);
            for (i, v) in values.colour.iter_mut().enumerate().filter(|(i, _)| place[i % cells] > 0.0) {
                let share = cover.at(hills.heights[i % cells], top);
                *v = share * texture[i] + (1.0 - share) * *v;
            }
            let planes = scan.colour.unwrap_or_default();
            let apart = |i: usize| (values.colour[i] - planes[i]).abs() > SEEN;
            let seen = |i: usize| !cover.rises() || (0..3).any(|c| apart(c * cells + i));
            coloured = mask(cells, |i| place[i] > 0.0 && seen(i));
        }
        let mut changed = mask(cells, |_| false);
        if in_depth && let Some(depth) = scan.depth {
            let heights = Heights::draw(&depth, draws);
            for i in (0..cells).filter(|&i| place[i] > 0.0) {
                let before = values.depths[i];
                values.depths[i] = heights.at(&depth, before, hills.heights[i], top);
                let counts = !heights.grow() || (values.depths[i] - before).abs() > depth.scale.least();
                changed[i] = f32::from(u8::from(counts));
            }
        }
        let any = mask(cells, |i| coloured[i] > 0.0 || changed[i] > 0.0);
        let (alone, second) = match scan.colour {
            Some(_) => (coloured, changed),
            None => (changed, coloured),
        };
        Self { values, alone, second, any }
    }
}

/// In which sensors a change shows: where there are two, a third of them in both, and one in each.
fn sensors_of(scan: &Scan<'_>, draws: &mut Draws) -> [bool; 2] {
    match (scan.colour.is_some(), scan.depth.is_some(), draws.below(3)) {
        (true, true, 0) => [true, false],
        (true, true, 1) => [false, true],
        (colour, depth, _) => [colour, depth],
    }
}

/// Where a defect lies: every other one on one hill alone.
fn hills(scan: &Scan<'_>, size: usize, draws: &mut Draws) -> Hills {
    let mut hills = Hills::new(size, draws);
    if draws.below(2) == 0 {
        hills.keep_one(size, |i| scan.is_part(i), draws);
    }
    hills
}

/// What rises from 0 at a hill's edge to `most` at its `top`, where the noise is `noise`.
fn risen(most: f32, noise: f32, top: f32) -> f32 {
    most * (noise - HILL) / (top - HILL).max(f32::MIN_POSITIVE)
}

/// How much of a texture is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cover {
    /// As the paper: evenly so much of it.
    Even(f32),
    /// At most so much, rising from the edge.
    Rising(f32),
}

impl Cover {
    /// One in [`EDGED`] as the paper's; those that rise are faint as often as strong, in decades.
    fn draw(draws: &mut Draws) -> Self {
        match draws.below(EDGED) {
            0 => Self::Even(1.0 - MOST_THROUGH * share(draws)),
            _ => Self::Rising(even_decades(FAINTEST..1.0, draws)),
        }
    }

    fn rises(self) -> bool {
        matches!(self, Self::Rising(_))
    }

    /// The texture's share where the noise is `noise` and at most `top`.
    fn at(self, noise: f32, top: f32) -> f32 {
        match self {
            Self::Even(share) => share,
            Self::Rising(most) => risen(most, noise, top),
        }
    }
}

/// What noise makes of depths.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Heights {
    /// As the paper: the noise in place of the depths.
    Noise,
    /// A bump or dent as high as this, with a step around it.
    Step(f32),
    /// A bump or dent as high as this, which grows from its edge.
    Grown(f32),
}

impl Heights {
    /// One in [`EDGED`] has an edge, half of these as the paper's; bumps are low as often as high, in decades.
    fn draw(depth: &Depth<'_>, draws: &mut Draws) -> Self {
        let highest = HIGHEST * depth.scale.reach;
        let lowest = (LOWEST * depth.scale.least()).min(highest);
        let height = even_decades(lowest..highest, draws);
        let height = if draws.below(2) == 0 { height } else { -height };
        match draws.below(2 * EDGED) {
            0 => Self::Noise,
            1 => Self::Step(height),
            _ => Self::Grown(height),
        }
    }

    fn grow(self) -> bool {
        matches!(self, Self::Grown(_))
    }

    /// The depth where it was `before`, the noise is `noise` and at most `top`.
    fn at(self, depth: &Depth<'_>, before: f32, noise: f32, top: f32) -> f32 {
        match self {
            Self::Noise => depth.of_picture(noise),
            Self::Step(height) => before + height * noise / top,
            Self::Grown(height) => before + risen(height, noise, top),
        }
    }
}

/// A scan's values, to be changed.
struct Values {
    colour: Vec<f32>,
    depths: Vec<f32>,
    valid: Vec<f32>,
}

impl Values {
    fn of(scan: &Scan<'_>) -> Self {
        let depth = |part: for<'a> fn(&Depth<'a>) -> &'a [f32]| {
            scan.depth.as_ref().map_or(Vec::new(), |d| part(d).to_vec())
        };
        Self {
            colour: scan.colour.map_or(Vec::new(), <[f32]>::to_vec),
            depths: depth(|d| d.depths),
            valid: depth(|d| d.valid),
        }
    }

    /// Takes so much of other cells, sensor by sensor; of depths all or nothing where either cell has none.
    fn take(&mut self, sources: &[(f32, usize)]) {
        let still =
            Self { colour: self.colour.clone(), depths: self.depths.clone(), valid: self.valid.clone() };
        let cells = sources.len();
        let mixed = |a: f32, b: f32, weight: f32| (1.0 - weight) * a + weight * b;
        for (i, v) in self.colour.iter_mut().enumerate() {
            let (weight, source) = sources[i % cells];
            *v = mixed(*v, still.colour[i / cells * cells + source], weight);
        }
        for (i, (depth, valid)) in self.depths.iter_mut().zip(&mut self.valid).enumerate() {
            let (weight, source) = sources[i];
            if *valid > 0.0 && still.valid[source] > 0.0 {
                *depth = mixed(*depth, still.depths[source], weight);
            } else if weight > 0.5 {
                (*depth, *valid) = (still.depths[source], still.valid[source]);
            }
        }
    }

    /// `scan` with these values.
    fn scan<'a>(&'a self, scan: &Scan<'a>) -> Scan<'a> {
        let colour = scan.colour.map(|_| self.colour.as_slice());
        let depth = scan.depth.map(|depth| Depth { depths: &self.depths, valid: &self.valid, ..depth });
        Scan { colour, depth }
    }
}

/// 1 where `is`, 0 elsewhere.
fn mask(cells: usize, is: impl Fn(usize) -> bool) -> Vec<f32> {
    (0..cells).map(|i| f32::from(u8::from(is(i)))).collect()
}

/// A number from 0 to 1.
fn share(draws: &mut Draws) -> f32 {
    0.5 * (draws.uniform(1, 1.0)[0] + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scans::Scale;

    const SIZE: usize = 32;
    const CELLS: usize = SIZE * SIZE;
    const SCALE: Scale = Scale { reach: 0.5, slope: 0.02, noise: 0.006 };

    /// A slope in colour and depth on a disc, without depths around it.
    fn row() -> Vec<f32> {
        let inside = |i: usize| {
            let [y, x] = [i / SIZE, i % SIZE].map(|p| p as f32 - 15.5);
            y * y + x * x < 120.0
        };
        let slope = |i: usize| (i % SIZE) as f32 / SIZE as f32;
        let colour = (0..3 * CELLS).map(|i| if inside(i % CELLS) { slope(i % CELLS) } else { 1.0 });
        let depth = (0..CELLS).map(|i| if inside(i) { slope(i) - 0.5 } else { 0.0 });
        let valid = (0..CELLS).map(|i| f32::from(u8::from(inside(i))));
        colour.chain(depth).chain(valid).collect()
    }

    #[test]
    fn displaced_cells_change_in_all_sensors_where_the_masks_say_and_nowhere_else() {
        let row = row();
        let scan = Shape { size: SIZE, colour: true, depth: true }.scan(&row, SCALE);
        let good = Example::good(&scan, SIZE);
        let mut draws = Draws::new(3);
        let mut found = 0;
        for n in 0..60 {
            let displacement = match n % 2 {
                0 => Displacement::bent(SIZE, &mut draws),
                _ => Displacement::elsewhere(SIZE, &mut draws),
            };
            let bad = Changed::displaced(&scan, displacement, SIZE, &mut draws).example(&scan);
            let apart = |sensor: usize, i: usize| (bad.pictures[sensor][i] - good.pictures[sensor][i]).abs();
            // The first plane of depth's picture is depth itself: twice the reach over 0.9.
            let least = 0.45 * SCALE.least() / SCALE.reach;
            let change = |sensor: usize, i: usize| match sensor {
                0 => (0..3).any(|c| apart(0, c * CELLS + i) > SEEN),
                _ => apart(1, i) > least - 1e-6,
            };
            for i in 0..CELLS {
                // Beside the part nothing is a defect.
                if bad.any[i] > 0.0 {
                    assert!(change(0, i) || change(1, i));
                }
                for (sensor, changed) in [&bad.alone, &bad.second].into_iter().enumerate() {
                    assert_eq!(changed[i] > 0.0, bad.any[i] > 0.0 && change(sensor, i));
                }
            }
            found += usize::from(bad.any.contains(&1.0));
        }
        assert!(found > 40, "{found} of 60");
    }

    #[test]
    fn defects_of_one_scan_lie_where_the_mask_says_and_leave_the_rest_of_the_part() {
        let row = row();
        let scan = Shape { size: SIZE, colour: true, depth: true }.scan(&row, SCALE);
        let (good, depth) = (Example::good(&scan, SIZE), scan.depth.unwrap());
        let mut draws = Draws::new(5);
        let (mut any, mut hidden) = (0, 0);
        for _ in 0..60 {
            let bad = Example::defective(&scan, DEFECTS, &[], SIZE, &mut draws);
            let apart = |sensor: usize, i: usize| (bad.pictures[sensor][i] - good.pictures[sensor][i]).abs();
            // Each defect may leave what is too small to count.
            let most = *DEFECTS.end() as f32;
            let least = 0.45 * most * SCALE.least() / SCALE.reach + 1e-5;
            let seen = |i: usize| (0..3).any(|c| apart(0, c * CELLS + i) > most * SEEN + 1e-5);
            for i in (0..CELLS).filter(|&i| depth.valid(i)) {
                assert!(bad.alone[i] > 0.0 || !seen(i));
                assert!(bad.any[i] > 0.0 || (!seen(i) && apart(1, i) <= least));
            }
            assert!((0..CELLS).all(|i| bad.alone[i].max(bad.second[i]) == bad.any[i]));
            any += usize::from(bad.any.contains(&1.0));
            hidden += usize::from(bad.alone != bad.any);
        }
        assert!(any > 50 && hidden > 15, "{any} {hidden} of 60");
    }

    #[test]
    fn bumps_are_torn_or_grow_from_their_edge_up_to_their_height() {
        let row = row();
        let depth = Shape { size: SIZE, colour: true, depth: true }.scan(&row, SCALE).depth.unwrap();
        let at = |heights: Heights, noise| heights.at(&depth, 0.1, noise, 0.8);
        assert_eq!(at(Heights::Grown(0.2), HILL), 0.1);
        assert!((at(Heights::Grown(-0.2), 0.65) - 0.0).abs() < 1e-6);
        assert!(
            (at(Heights::Grown(0.2), 0.8) - 0.3).abs() < 1e-6
                && (at(Heights::Step(0.2), 0.8) - 0.3).abs() < 1e-6
        );
        assert!(at(Heights::Step(0.2), HILL) > 0.2);
        // The paper's: the picture is the noise.
        assert!(
            (at(Heights::Noise, 0.55) - 0.0).abs() < 1e-6 && (at(Heights::Noise, 1.0) - 0.5).abs() < 1e-6
        );
        let mut draws = Draws::new(1);
        let mut kinds = [0; 3];
        for _ in 0..400 {
            let (kind, height) = match Heights::draw(&depth, &mut draws) {
                Heights::Noise => (0, 0.2),
                Heights::Step(height) => (1, height),
                Heights::Grown(height) => (2, height),
            };
            kinds[kind] += 1;
            assert!(
                (2.0 * SCALE.least() - 1e-6..0.9 * SCALE.reach + 1e-6).contains(&height.abs()),
                "{height}"
            );
        }
        assert!(kinds[0] > 30 && kinds[1] > 30 && kinds[2] > 260, "{kinds:?}");
    }

    #[test]
    fn textures_are_even_or_rise_from_their_edge_and_some_are_faint() {
        assert_eq!([HILL, 0.6, 0.8].map(|noise| Cover::Even(0.4).at(noise, 0.8)), [0.4; 3]);
        let rising = [HILL, 0.65, 0.8].map(|noise| Cover::Rising(0.4).at(noise, 0.8));
        assert!(rising[0] == 0.0 && (rising[1] - 0.2).abs() < 1e-6 && (rising[2] - 0.4).abs() < 1e-6);
        let mut draws = Draws::new(1);
        let drawn: Vec<Cover> = (0..400).map(|_| Cover::draw(&mut draws)).collect();
        let share = |cover: &Cover| match *cover {
            Cover::Even(share) | Cover::Rising(share) => share,
        };
        let (rising, even): (Vec<&Cover>, Vec<&Cover>) = drawn.iter().partition(|cover| cover.rises());
        assert!(rising.len() > 260 && even.len() > 70);
        assert!(even.iter().all(|cover| (1.0 - MOST_THROUGH..=1.0).contains(&share(cover))));
        // Half of a decade is what lies below its geometric mean.
        let faint = rising.iter().filter(|cover| share(cover) < FAINTEST.sqrt()).count();
        assert!((rising.len() / 3..2 * rising.len() / 3).contains(&faint), "{faint} of {}", rising.len());
    }

    #[test]
    fn depths_blend_where_both_cells_have_one_and_are_taken_or_left_where_one_has_none() {
        let mut values = Values {
            colour: vec![0.0, 1.0, 0.5, 0.5],
            depths: vec![2.0, 4.0, 0.0, 0.0],
            valid: vec![1.0, 1.0, 0.0, 0.0],
        };
        values.colour = values.colour.repeat(3);
        values.take(&[(0.25, 1), (0.75, 2), (0.75, 1), (0.25, 0)]);
        assert_eq!(values.colour, [0.25, 0.625, 0.875, 0.375].repeat(3));
        assert_eq!((values.depths, values.valid), (vec![2.5, 0.0, 4.0, 0.0], vec![1.0, 0.0, 1.0, 0.0]));
    }

    #[test]
    fn a_bent_surface_is_not_torn_and_a_blended_piece_fades_in_from_its_edge() {
        let at = |manner, row: usize, noise| {
            let displacement = Displacement { by: [8.0, 0.0], manner };
            displacement.source(row * SIZE + 5, noise, SIZE)
        };
        assert_eq!(at(Manner::Bent, 5, HILL), (0.0, 5 * SIZE + 5));
        assert_eq!(at(Manner::Bent, 5, 0.75), (1.0, 9 * SIZE + 5));
        assert_eq!(at(Manner::Bent, 30, 1.0), (1.0, 31 * SIZE + 5));
        assert_eq!(at(Manner::Torn, 5, 0.51), (1.0, 13 * SIZE + 5));
        let (weight, source) = at(Manner::Blended, 5, HILL + 0.05);
        assert!((weight - 0.25).abs() < 1e-6 && source == 13 * SIZE + 5, "{weight} {source}");
        assert_eq!(at(Manner::Blended, 5, 0.9), (1.0, 13 * SIZE + 5));
    }
}
