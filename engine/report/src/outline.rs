//! Outlines of pixel regions.

use ndarray::{Array2, ArrayView2, ArrayViewMut3};

use crate::colour::Rgb;

/// Paints the pixels of `region` within `width` of its edge.
pub(crate) fn inner(
    picture: &mut ArrayViewMut3<'_, u8>,
    region: ArrayView2<'_, bool>,
    width: usize,
    ink: Rgb,
) {
    let outside = grown(&region.map(|&inside| !inside), width);
    paint(picture, &outside, |at| region[at], ink);
}

/// Paints the pixels around `region` up to `width` from it, so that what lies inside stays visible.
pub(crate) fn outer(
    picture: &mut ArrayViewMut3<'_, u8>,
    region: ArrayView2<'_, bool>,
    width: usize,
    ink: Rgb,
) {
    let around = grown(&region.to_owned(), width);
    paint(picture, &around, |at| !region[at], ink);
}

fn paint(
    picture: &mut ArrayViewMut3<'_, u8>,
    ring: &Array2<bool>,
    also: impl Fn((usize, usize)) -> bool,
    ink: Rgb,
) {
    for (at, &on_ring) in ring.indexed_iter() {
        if on_ring && also(at) {
            for k in 0..3 {
                picture[(at.0, at.1, k)] = ink[k];
            }
        }
    }
}

/// The region and its 4-neighbours, `times` over.
fn grown(region: &Array2<bool>, times: usize) -> Array2<bool> {
    let (rows, columns) = region.dim();
    let mut current = region.clone();
    for _ in 0..times {
        let before = current.clone();
        for ((row, column), &set) in before.indexed_iter() {
            if !set {
                continue;
            }
            let neighbours = [
                (row.saturating_sub(1), column),
                ((row + 1).min(rows - 1), column),
                (row, column.saturating_sub(1)),
                (row, (column + 1).min(columns - 1)),
            ];
            for at in neighbours {
                current[at] = true;
            }
        }
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use proptest::prelude::*;

    const INK: Rgb = [9, 8, 7];

    fn painted(draw: impl Fn(&mut ArrayViewMut3<'_, u8>), shape: (usize, usize)) -> Array2<bool> {
        let mut picture = Array3::zeros((shape.0, shape.1, 3));
        draw(&mut picture.view_mut());
        Array2::from_shape_fn(shape, |(r, c)| picture[(r, c, 0)] == INK[0])
    }

    proptest! {
        #[test]
        fn outlines_are_the_pixels_with_a_neighbour_across_the_edge(
            cells in prop::collection::vec(any::<bool>(), 7 * 9),
        ) {
            let region = Array2::from_shape_vec((7, 9), cells).unwrap();
            let across = |(r, c): (usize, usize)| {
                let here = region[(r, c)];
                let differs = |dr: isize, dc: isize| {
                    let at = (r.wrapping_add_signed(dr), c.wrapping_add_signed(dc));
                    region.get(at).is_some_and(|&other| other != here)
                };
                differs(-1, 0) || differs(1, 0) || differs(0, -1) || differs(0, 1)
            };
            let inside = painted(|p| inner(p, region.view(), 1, INK), region.dim());
            let around = painted(|p| outer(p, region.view(), 1, INK), region.dim());
            for (at, &set) in region.indexed_iter() {
                prop_assert_eq!(inside[at], set && across(at));
                prop_assert_eq!(around[at], !set && across(at));
            }
        }
    }
}
