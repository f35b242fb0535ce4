//! A scan at quarter turns: the network looks at each, and what it sees is averaged, for what it makes of one picture depends on chance.

use crate::scans::{Shape, opposite};

/// At how many quarter turns a scan is looked at: 1, 2 or 4, evenly around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Views(usize);

impl Views {
    /// None where there are no such views.
    pub(crate) fn new(count: usize) -> Option<Self> {
        [1, 2, 4].contains(&count).then_some(Self(count))
    }

    pub(crate) fn count(self) -> usize {
        self.0
    }

    /// The quarter turns of a view.
    pub(crate) fn quarters(self, view: usize) -> usize {
        view * 4 / self.0
    }

    /// The pictures of each sensor at all views, one view after the other.
    pub(crate) fn pictures(self, pictures: &[Vec<f32>], shape: Shape) -> Vec<Vec<f32>> {
        let mut all: Vec<Vec<f32>> = pictures.to_vec();
        for view in 1..self.0 {
            let turned = turned_pictures(pictures, shape, self.quarters(view));
            all.iter_mut().zip(turned).for_each(|(all, turned)| all.extend(turned));
        }
        all
    }

    /// The mean of the maps of all views, each turned back.
    pub(crate) fn merged(self, maps: Vec<f32>, size: usize) -> Vec<f32> {
        let mut views = maps.chunks_exact((size * size).max(1)).enumerate();
        let Some((_, first)) = views.next() else { return maps };
        let mut sum = first.to_vec();
        for (view, map) in views {
            let back = turned(map, size, 4 - self.quarters(view));
            sum.iter_mut().zip(back).for_each(|(sum, v)| *sum += v);
        }
        sum.iter_mut().for_each(|v| *v /= self.0 as f32);
        sum
    }
}

/// A square plane, so many quarters turned against the clock.
pub(crate) fn turned(plane: &[f32], size: usize, quarters: usize) -> Vec<f32> {
    let last = size.saturating_sub(1);
    let from = |y: usize, x: usize| match quarters % 4 {
        0 => (y, x),
        1 => (x, last - y),
        2 => (last - y, last - x),
        _ => (last - x, y),
    };
    (0..plane.len())
        .map(|i| {
            let (y, x) = from(i / size, i % size);
            plane[y * size + x]
        })
        .collect()
}

/// The pictures of a scan that is so many quarters turned: planes are, and slopes down and across become one another, with the other sign where they
/// rise the other way.
pub(crate) fn turned_pictures(pictures: &[Vec<f32>], shape: Shape, quarters: usize) -> Vec<Vec<f32>> {
    let (size, cells) = (shape.size, shape.cells());
    let planes = |picture: &[f32], order: [usize; 3]| -> Vec<f32> {
        order.iter().flat_map(|&p| turned(&picture[p * cells..(p + 1) * cells], size, quarters)).collect()
    };
    let mut sensors = pictures.iter();
    let mut all = Vec::with_capacity(pictures.len());
    if shape.colour {
        all.extend(sensors.next().map(|picture| planes(picture, [0, 1, 2])));
    }
    if let Some(picture) = sensors.next() {
        let order = if quarters.is_multiple_of(2) { [0, 1, 2] } else { [0, 2, 1] };
        let mut depth = planes(picture, order);
        let (_, slopes) = depth.split_at_mut(cells);
        let (down, across) = slopes.split_at_mut(cells);
        if matches!(quarters % 4, 1 | 2) {
            down.iter_mut().for_each(|v| *v = opposite(*v));
        }
        if matches!(quarters % 4, 2 | 3) {
            across.iter_mut().for_each(|v| *v = opposite(*v));
        }
        all.push(depth);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scans::Scale;
    use proptest::prelude::*;

    const SIZE: usize = 5;
    const CELLS: usize = SIZE * SIZE;

    #[test]
    fn a_plane_is_turned_against_the_clock_and_four_quarters_leave_it() {
        let plane = [1.0, 2.0, 3.0, 4.0];
        let turns = [0, 1, 2, 3, 4].map(|quarters| turned(&plane, 2, quarters));
        assert_eq!(turns[1], [2.0, 4.0, 1.0, 3.0]);
        assert_eq!(turns[2], [4.0, 3.0, 2.0, 1.0]);
        assert_eq!(turns[3], [3.0, 1.0, 4.0, 2.0]);
        assert!(turns[0] == plane && turns[4] == plane);
    }

    #[test]
    fn there_are_one_two_or_four_views_evenly_around() {
        let quarters = |count: usize| {
            Views::new(count).map(|views| (0..views.count()).map(|v| views.quarters(v)).collect::<Vec<_>>())
        };
        assert_eq!([1, 2, 4].map(quarters), [vec![0], vec![0, 2], vec![0, 1, 2, 3]].map(Some));
        assert_eq!([0, 3, 5].map(quarters), [None, None, None]);
    }

    proptest! {
        #[test]
        fn turned_pictures_are_those_of_the_turned_scan(
            values in prop::collection::vec(-1.0..1.0f32, 5 * CELLS),
            missing in prop::collection::vec(0..4u8, CELLS),
            quarters in 0..4usize,
            sensors in 1..4u8,
        ) {
            let shape = Shape { size: SIZE, colour: sensors & 1 > 0, depth: sensors & 2 > 0 };
            let scale = Scale { reach: 0.7, slope: 0.2, noise: 0.1 };
            let mut row: Vec<f32> = values[..shape.values()].to_vec();
            if shape.depth {
                let valid = row.len() - CELLS;
                for (i, missing) in missing.iter().enumerate() {
                    row[valid + i] = f32::from(u8::from(*missing > 0));
                }
            }
            let all: Vec<f32> = row.chunks_exact(CELLS).flat_map(|plane| turned(plane, SIZE, quarters)).collect();
            let expected = shape.scan(&all, scale).pictures();
            let found = turned_pictures(&shape.scan(&row, scale).pictures(), shape, quarters);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
            }
            prop_assert_eq!(found.len(), expected.len());
        }

        #[test]
        fn maps_of_the_views_come_back_to_one_place(
            map in prop::collection::vec(0.0..1.0f32, CELLS),
            count in prop::sample::select(vec![1usize, 2, 4]),
        ) {
            let views = Views::new(count).unwrap();
            let maps: Vec<f32> = (0..count).flat_map(|v| turned(&map, SIZE, views.quarters(v))).collect();
            let merged = views.merged(maps, SIZE);
            prop_assert!(merged.iter().zip(&map).all(|(a, b)| (a - b).abs() < 1e-6));
            // One view sees something at its own corner.
            let mut maps = vec![0.0; count * CELLS];
            maps[(count - 1) * CELLS] = 1.0;
            let merged = views.merged(maps, SIZE);
            let corner = match count {
                1 => 0,
                2 => CELLS - 1,
                _ => CELLS - SIZE,
            };
            prop_assert!((merged[corner] - 1.0 / count as f32).abs() < 1e-6);
            prop_assert!((merged.iter().sum::<f32>() - 1.0 / count as f32).abs() < 1e-6);
        }
    }
}
