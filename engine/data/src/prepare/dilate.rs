//! Growing a mask.

use ndarray::s;

use crate::Mask;

/// Grows a mask by `cells` in all eight directions: a cell is set where any cell of the square of side
/// `2 * cells + 1` around it is.
pub fn dilate(mask: &Mask, cells: usize) -> Mask {
    let (rows, columns) = mask.dim();
    let (down, across) = (cells.min(rows), cells.min(columns));
    let wide = framed(mask, (0, across));
    let wide = any_of_next(wide, 2 * across + 1, 1);
    let tall = framed(&wide.slice(s![.., ..columns]).to_owned(), (down, 0));
    any_of_next(tall, 2 * down + 1, columns).slice(s![..rows, ..]).to_owned()
}

/// The mask with so many rows and columns around it on either side that are not set.
fn framed(mask: &Mask, (down, across): (usize, usize)) -> Mask {
    let (rows, columns) = mask.dim();
    let mut framed = Mask::from_elem((rows + 2 * down, columns + 2 * across), false);
    framed.slice_mut(s![down..down + rows, across..across + columns]).assign(mask);
    framed
}

/// For each flag whether any of `length` flags is set, which are `step` apart and the first of which it is: of twice as many from pass to pass.
fn any_of_next(mask: Mask, length: usize, step: usize) -> Mask {
    let (size, mut flags) = (mask.dim(), mask.into_raw_vec_and_offset().0);
    let mut seen = 1;
    while seen < length {
        let further = seen.min(length - seen);
        let ahead = flags.get(further * step..).unwrap_or_default();
        let mut next: Vec<bool> = flags.iter().zip(ahead).map(|(here, ahead)| here | ahead).collect();
        next.extend_from_slice(&flags[ahead.len()..]);
        (flags, seen) = (next, seen + further);
    }
    // As many as there were.
    Mask::from_shape_vec(size, flags).unwrap_or_default()
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
