//! Neighbours by a k-d tree: for clouds of any shape.

use super::nearest::Nearest;
use super::{Key, Search, SearchError, squared_distance};
use kiddo::{ImmutableKdTree, SquaredEuclidean};
use std::num::NonZeroUsize;
use std::ops::Range;

/// Covers the last bits by which the tree's own distances may differ from [`squared_distance`].
const ROUNDING: f32 = 1.0 + 1e-5;

/// A k-d tree over the cloud.
pub(super) struct Tree(ImmutableKdTree<f32, 3>);

impl Tree {
    /// Builds the tree.
    ///
    /// # Errors
    /// Where the tree refuses the points.
    pub(super) fn build(points: &[[f32; 3]]) -> Result<Self, SearchError> {
        ImmutableKdTree::new_from_slice(points).map(Self).map_err(|e| SearchError::Tree(format!("{e:?}")))
    }

    /// Hands the neighbours of each point of `range` to `row`.
    pub(super) fn find(
        &self,
        points: &[[f32; 3]],
        range: Range<usize>,
        search: Search,
        row: &mut dyn FnMut(usize, &[Key]),
    ) {
        let Some(k) = NonZeroUsize::new(search.k) else { return };
        let mut keys: Vec<Key> = Vec::with_capacity(2 * search.k);
        let mut order = Nearest::default();
        for i in range {
            let p = points[i];
            let nearest = self.0.query(&p).nearest_n::<SquaredEuclidean<f32>>(k).execute();
            let reach = nearest.iter().fold(0.0f32, |a, found| a.max(found.distance));
            // The tree breaks ties at the k-th distance in an order of its own: all points up to it are
            // compared again.
            let all = self.0.query(&p).within::<SquaredEuclidean<f32>>(reach * ROUNDING).unsorted().execute();
            keys.clear();
            for found in all {
                let squared = squared_distance(p, points[found.item as usize]);
                if squared < search.radius * search.radius {
                    keys.push(Key::new(squared, found.item));
                }
            }
            order.keep(&mut keys, search.k);
            row(i, &keys);
        }
    }
}
