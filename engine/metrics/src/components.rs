//! Connected components of a boolean image.

use std::ops::Range;

use crate::error::{MetricError, check_pixels, filled, reserve};

/// Which pixels touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connectivity {
    /// Pixels that share an edge.
    Four,
    /// Pixels that share an edge or a corner: the official evaluation's regions.
    #[default]
    Eight,
}

/// One connected component.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Number of pixels, at least 1.
    pub area: usize,
    /// Rows of the bounding box, half-open.
    pub rows: Range<usize>,
    /// Columns of the bounding box, half-open.
    pub cols: Range<usize>,
    /// Mean (row, column) of the pixels' centres, where pixel (r, c) is centred at (r, c).
    pub centroid: (f64, f64),
}

/// An image's components and which pixel belongs to which.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelling {
    /// Row-major, one a pixel: 0 for background, `k + 1` for `components[k]`.
    pub labels: Vec<u32>,
    /// In raster order of their first pixel.
    pub components: Vec<Component>,
}

/// Finds the connected components of a row-major `rows` x `cols` image.
///
/// The two-pass algorithm of Rosenfeld and Pfaltz (1966) with a union-find forest; linear in the pixels. An
/// image without pixels has no components.
///
/// # Errors
/// [`MetricError::PixelCount`] when the image does not have rows x cols pixels, [`MetricError::TooLarge`]
/// above
/// `u32::MAX` pixels, [`MetricError::OutOfMemory`].
pub fn connected_components(
    image: &[bool],
    rows: usize,
    cols: usize,
    connectivity: Connectivity,
) -> Result<Labelling, MetricError> {
    let pixels = check_pixels(rows, cols, &[("image", image.len())])?;
    let mut labels = filled(0_u32, pixels)?;
    let mut forest = Forest::new()?;
    for (i, _) in image.iter().enumerate().filter(|(_, set)| **set) {
        // Background pixels and pixels beyond the border both read as label 0.
        let (not_first, not_last) = (i % cols > 0, i % cols + 1 < cols);
        let at = |inside: bool, back: usize| if inside && i >= back { labels[i - back] } else { 0 };
        let (west, north) = (at(not_first, 1), at(true, cols));
        let label = match connectivity {
            Connectivity::Four => forest.join(north, west),
            // North touches the three others, and west touches north-west: one union at most is left to make.
            Connectivity::Eight if north != 0 => north,
            Connectivity::Eight => {
                let left = if west != 0 { west } else { at(not_first, cols + 1) };
                forest.join(left, at(not_last, cols - 1))
            }
        };
        labels[i] = if label != 0 { label } else { forest.plant()? };
    }
    let count = forest.number_trees();
    let components = measure(&mut labels, cols, &forest, count)?;
    Ok(Labelling { labels, components })
}

/// Replaces provisional labels by final ones and measures the `count` components.
fn measure(
    labels: &mut [u32],
    cols: usize,
    forest: &Forest,
    count: usize,
) -> Result<Vec<Component>, MetricError> {
    let unseen = Component { area: 0, rows: 0..0, cols: 0..0, centroid: (0.0, 0.0) };
    let mut components = filled(unseen, count)?;
    for (i, label) in labels.iter_mut().enumerate().filter(|(_, label)| **label != 0) {
        *label = forest.parents[*label as usize];
        let (row, col) = (i / cols, i % cols);
        let component = &mut components[*label as usize - 1];
        if component.area == 0 {
            component.rows = row..row;
            component.cols = col..col;
        }
        component.area += 1;
        component.rows.end = row + 1;
        component.cols = component.cols.start.min(col)..component.cols.end.max(col + 1);
        // Sums of whole numbers: exact below 2^53.
        component.centroid.0 += row as f64;
        component.centroid.1 += col as f64;
    }
    for Component { area, centroid, .. } in &mut components {
        *centroid = (centroid.0 / *area as f64, centroid.1 / *area as f64);
    }
    Ok(components)
}

/// Union-find over provisional labels. A parent is never above its child, so that a root is its tree's first
/// label.
struct Forest {
    parents: Vec<u32>,
}

impl Forest {
    /// The background alone, label 0.
    fn new() -> Result<Self, MetricError> {
        Ok(Self { parents: filled(0, 1)? })
    }

    /// A new label, alone in its tree.
    fn plant(&mut self) -> Result<u32, MetricError> {
        let label = self.parents.len() as u32; // at most one label a pixel, at most u32::MAX pixels
        reserve(&mut self.parents, 1)?;
        self.parents.push(label);
        Ok(label)
    }

    fn root(&mut self, mut label: u32) -> u32 {
        while self.parents[label as usize] != label {
            let above = self.parents[self.parents[label as usize] as usize];
            self.parents[label as usize] = above;
            label = above;
        }
        label
    }

    /// Unites the trees of two labels and returns their root; with 0 (background), returns the other label.
    fn join(&mut self, a: u32, b: u32) -> u32 {
        if a == 0 || b == 0 || a == b {
            return a.max(b);
        }
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
        a.min(b)
    }

    /// Makes `parents` map every label to its tree's number, 1, 2, ... by first label; returns how many there
    /// are.
    fn number_trees(&mut self) -> usize {
        let mut trees = 0;
        for label in 1..self.parents.len() {
            let parent = self.parents[label] as usize;
            self.parents[label] = if parent == label {
                trees += 1;
                trees
            } else {
                self.parents[parent] // already a number, as the parent comes first
            };
        }
        trees as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(rows: &[&str]) -> (Vec<bool>, usize, usize) {
        (rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect(), rows.len(), rows[0].len())
    }

    /// Flood fill from each unlabelled pixel in raster order.
    fn flood(image: &[bool], rows: usize, cols: usize, connectivity: Connectivity) -> Vec<u32> {
        let mut labels = vec![0; image.len()];
        let mut next = 0;
        for start in 0..image.len() {
            if !image[start] || labels[start] != 0 {
                continue;
            }
            next += 1;
            labels[start] = next;
            let mut open = vec![start];
            while let Some(i) = open.pop() {
                for j in 0..image.len() {
                    let (down, across) = ((i / cols).abs_diff(j / cols), (i % cols).abs_diff(j % cols));
                    let touch = match connectivity {
                        Connectivity::Four => down + across == 1,
                        Connectivity::Eight => down.max(across) == 1,
                    };
                    if touch && image[j] && labels[j] == 0 {
                        labels[j] = next;
                        open.push(j);
                    }
                }
            }
        }
        assert_eq!(labels.len(), rows * cols);
        labels
    }

    #[test]
    fn corners_join_regions_only_under_eight_connectivity() {
        let (pixels, rows, cols) = image(&["#..", ".#.", "..#"]);
        let count = |c| connected_components(&pixels, rows, cols, c).unwrap().components.len();
        assert_eq!(count(Connectivity::Eight), 1);
        assert_eq!(count(Connectivity::Four), 3);
    }

    #[test]
    fn regions_do_not_wrap_around_the_border() {
        let (pixels, rows, cols) = image(&["..#", "#..", "..#"]);
        let found = connected_components(&pixels, rows, cols, Connectivity::Eight).unwrap();
        assert_eq!(found.labels, [0, 0, 1, 2, 0, 0, 0, 0, 3]);
    }

    #[test]
    fn a_spiral_is_one_region_with_its_box_and_centroid() {
        let (pixels, rows, cols) = image(&["......", ".####.", ".#..#.", ".#.##.", ".#....", ".####."]);
        for connectivity in [Connectivity::Four, Connectivity::Eight] {
            let found = connected_components(&pixels, rows, cols, connectivity).unwrap();
            let expected =
                Component { area: 14, rows: 1..6, cols: 1..5, centroid: (41.0 / 14.0, 34.0 / 14.0) };
            assert_eq!(found.components, [expected]);
        }
    }

    #[test]
    fn an_empty_image_has_no_regions() {
        let found = connected_components(&[], 0, 7, Connectivity::Eight).unwrap();
        assert!(found.labels.is_empty() && found.components.is_empty());
    }

    #[test]
    fn a_wrong_size_is_named_before_anything_is_allocated() {
        let error = |rows, cols| connected_components(&[true], rows, cols, Connectivity::Eight).err();
        let count = MetricError::PixelCount { what: "image", rows: 1, cols: 2, expected: 2, found: 1 };
        assert_eq!(error(1, 2), Some(count));
        let large = MetricError::TooLarge { rows: usize::MAX, cols: 2 };
        assert_eq!(error(usize::MAX, 2), Some(large));
        assert!(matches!(error(1 << 16, 1 << 16), Some(MetricError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn labels_and_measures_agree_with_a_flood_fill(
            (pixels, rows, cols) in (1_usize..12, 1_usize..12)
                .prop_flat_map(|(r, c)| (prop::collection::vec(any::<bool>(), r * c), Just(r), Just(c))),
            four in any::<bool>(),
        ) {
            let connectivity = if four { Connectivity::Four } else { Connectivity::Eight };
            let found = connected_components(&pixels, rows, cols, connectivity).unwrap();
            prop_assert_eq!(&found.labels, &flood(&pixels, rows, cols, connectivity));
            prop_assert_eq!(found.components.len(), *found.labels.iter().max().unwrap() as usize);
            for (k, component) in found.components.iter().enumerate() {
                let own: Vec<(usize, usize)> = (0..pixels.len())
                    .filter(|i| found.labels[*i] as usize == k + 1)
                    .map(|i| (i / cols, i % cols))
                    .collect();
                let span = |v: Vec<usize>| *v.iter().min().unwrap()..v.iter().max().unwrap() + 1;
                let mean = |v: Vec<usize>| v.iter().sum::<usize>() as f64 / v.len() as f64;
                let (r, c): (Vec<usize>, Vec<usize>) = own.iter().copied().unzip();
                prop_assert_eq!(component.area, own.len());
                prop_assert_eq!((&component.rows, &component.cols), (&span(r.clone()), &span(c.clone())));
                prop_assert_eq!(component.centroid, (mean(r), mean(c)));
            }
        }
    }
}
