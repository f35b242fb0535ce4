//! Growing a mask.

use ndarray::{ArrayViewMut1, Axis};

use crate::Mask;

/// Grows a mask by `cells` in all eight directions: a cell is set where any cell of the square of side
/// `2 * cells + 1` around it is. Linear in the mask's size, whatever `cells` is.
pub fn dilate(mask: &Mask, cells: usize) -> Mask {
    let mut grown = mask.clone();
    let mut set = Vec::new();
    for axis in [Axis(1), Axis(0)] {
        for lane in grown.lanes_mut(axis) {
            dilate_lane(lane, cells, &mut set);
        }
    }
    grown
}

/// `set` is room for the indices of the cells that are set.
fn dilate_lane(mut lane: ArrayViewMut1<'_, bool>, cells: usize, set: &mut Vec<usize>) {
    set.clear();
    set.extend(lane.indexed_iter().filter(|(_, set)| **set).map(|(k, _)| k));
    let mut done = 0;
    for &k in set.iter() {
        let end = k.saturating_add(cells).saturating_add(1).min(lane.len());
        for j in k.saturating_sub(cells).max(done)..end {
            lane[j] = true;
        }
        done = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cell_is_set_where_one_lies_in_its_square(
            rows in 1usize..12, columns in 1usize..12, cells in 0usize..5,
            seed in proptest::collection::vec(proptest::bool::weighted(0.1), 144),
        ) {
            let mask = Mask::from_shape_fn((rows, columns), |(i, j)| seed[i * columns + j]);
            let near = |(i, j): (usize, usize)| {
                mask.indexed_iter().any(|((k, l), &set)| set && i.abs_diff(k) <= cells && j.abs_diff(l) <= cells)
            };
            prop_assert_eq!(dilate(&mask, cells), Mask::from_shape_fn((rows, columns), near));
        }
    }

    #[test]
    fn growth_stops_at_the_borders() {
        let mut mask = Mask::from_elem((3, 4), false);
        assert_eq!(dilate(&mask, usize::MAX), mask);
        mask[(1, 1)] = true;
        assert!(dilate(&mask, usize::MAX).iter().all(|&set| set));
    }
}
