//! Maps without peaks that are too small: area openings (Vincent 1993), by union and find (Meijster and Wilkinson 2002).

use ndarray::Array2;

/// Lowers every peak of `map` to the highest level at which the 8-connected region of pixels that reach it weighs `least` or more in
/// all; `weight` is that of a pixel. Where even the whole map weighs less, it becomes flat at its lowest value.
///
/// What is then above any threshold has regions of at least that weight, and its maximum is a score in which smaller ones do not count.
pub(crate) fn open(map: &mut Array2<f32>, weight: impl Fn(usize) -> f64, least: f64) {
    let (rows, columns) = map.dim();
    let values: Vec<f32> = map.iter().copied().collect();
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]).then(a.cmp(&b)));
    /// Not reached yet.
    const NONE: u32 = u32::MAX;
    let mut parent = vec![NONE; values.len()];
    // Of roots.
    let mut weights = vec![0f64; values.len()];
    for &pixel in &order {
        let at = pixel as usize;
        (parent[at], weights[at]) = (pixel, weight(at));
        let (i, j) = (at / columns, at % columns);
        for y in i.saturating_sub(1)..(i + 2).min(rows) {
            for x in j.saturating_sub(1)..(j + 2).min(columns) {
                if parent[y * columns + x] == NONE {
                    continue;
                }
                let root = find(&mut parent, (y * columns + x) as u32) as usize;
                if root == at {
                    continue;
                }
                // A peak that is large enough keeps its level; what is below it is large enough with it.
                if values[root] == values[at] || weights[root] < least {
                    weights[at] += weights[root];
                    parent[root] = pixel;
                } else {
                    weights[at] = weights[at].max(least);
                }
            }
        }
    }
    if let Some(out) = map.as_slice_mut() {
        // Each pixel comes after the one that it hangs from.
        for &pixel in order.iter().rev() {
            let above = parent[pixel as usize];
            out[pixel as usize] = if above == pixel { values[pixel as usize] } else { out[above as usize] };
        }
    }
}

/// The root of a pixel, with half of the way to it cut off.
fn find(parent: &mut [u32], mut at: u32) -> u32 {
    while parent[at as usize] != at {
        let next = parent[parent[at as usize] as usize];
        parent[at as usize] = next;
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_metrics::{Connectivity, connected_components};
    use proptest::prelude::*;

    /// By the definition: for each pixel the highest level at which its region is large enough.
    fn naive(map: &Array2<f32>, weight: &dyn Fn(usize) -> f64, least: f64) -> Array2<f32> {
        let lowest = map.iter().copied().fold(f32::INFINITY, f32::min);
        let mut opened = Array2::from_elem(map.dim(), lowest);
        for &level in map {
            let above: Vec<bool> = map.iter().map(|&v| v >= level).collect();
            let found = connected_components(&above, map.nrows(), map.ncols(), Connectivity::Eight).unwrap();
            for label in 1..=found.components.len() as u32 {
                let inside = || found.labels.iter().enumerate().filter(|(_, l)| **l == label).map(|(i, _)| i);
                if inside().map(weight).sum::<f64>() >= least {
                    let out = opened.as_slice_mut().unwrap();
                    inside().for_each(|i| out[i] = out[i].max(level));
                }
            }
        }
        opened
    }

    proptest! {
        #[test]
        fn a_peak_falls_to_the_level_at_which_its_region_is_large_enough(
            (rows, columns, values) in (1usize..8, 1usize..8).prop_flat_map(|(r, c)| (Just(r), Just(c), proptest::collection::vec(0u8..6, r * c))),
            least in 0u8..40, heavy in 1usize..4,
        ) {
            let map = Array2::from_shape_vec((rows, columns), values.iter().map(|&v| f32::from(v)).collect()).unwrap();
            let weight = |i: usize| if i.is_multiple_of(heavy) { 1.5 } else { 0.5 };
            let mut opened = map.clone();
            open(&mut opened, weight, f64::from(least));
            prop_assert_eq!(opened, naive(&map, &weight, f64::from(least)));
        }
    }

    #[test]
    fn a_peak_of_one_pixel_does_not_count_where_three_are_asked_for() {
        let mut map = Array2::zeros((5, 9));
        map[(2, 2)] = 9.0;
        for j in 5..8 {
            map[(2, j)] = 4.0;
        }
        open(&mut map, |_| 1.0, 3.0);
        assert_eq!((map[(2, 2)], map[(2, 6)]), (0.0, 4.0));
    }
}
