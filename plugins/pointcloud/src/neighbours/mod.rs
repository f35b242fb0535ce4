//! The nearest neighbours of every point of a cloud.
//!
//! One interface, [`Neighbours::search`], over two exact indices: a [grid of cubic cells](cells) where points
//! are spread evenly, as on scanned surfaces, and a [k-d tree](tree) elsewhere. Both give the same answer,
//! ordered by (distance, index), so the choice between them changes the time and nothing else.

mod cells;
mod nearest;
mod tree;

use assay_sdk::{Parallel, for_each_chunk};
use cells::Cells;
use tree::Tree;

/// Most entries (points x neighbours) of a table: 2 GiB.
const MAX_ENTRIES: usize = 1 << 28;

/// Points whose neighbours one task finds.
const CHUNK: usize = 256;

/// A cloud whose neighbours cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// A coordinate is NaN, infinite or so large that its square is.
    #[error(
        "point {0} has a coordinate that is not finite or beyond 1e15: mark it invalid before the search"
    )]
    NotFinite(usize),
    /// The table would not fit.
    #[error(
        "{points} points with {k} neighbours each are more than a search holds: use a smaller `size` of a scan, a larger `voxel` of a cloud, or fewer neighbours"
    )]
    TooMany {
        /// Points of the cloud.
        points: usize,
        /// Neighbours asked for.
        k: usize,
    },
    /// The k-d tree could not be built.
    #[error("the k-d tree of the points could not be built: {0}")]
    Tree(String),
}

/// Which neighbours are wanted: the `k` nearest, and of them those nearer than `radius`.
///
/// A point is its own neighbour at distance 0 and counts towards `k`, as in Open3D.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Search {
    /// Most neighbours of a point.
    pub(crate) k: usize,
    /// Strict upper bound of the distance in the unit of the points; infinite = none.
    pub(crate) radius: f32,
}

impl Search {
    /// The `k` nearest, however far.
    #[cfg(test)]
    pub(crate) fn nearest(k: usize) -> Self {
        Self { k, radius: f32::INFINITY }
    }
}

/// A neighbour: the bits of the squared distance above the index, so that integers order as (distance, index).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Key {
    fn new(squared: f32, index: u32) -> Self {
        // The bits of non-negative floats order as the floats do.
        Self(u64::from(squared.to_bits()) << 32 | u64::from(index))
    }

    fn index(self) -> u32 {
        self.0 as u32
    }

    fn squared(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32)
    }
}

/// Squared distance, in the one order of operations that every index here uses.
#[inline]
fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    let [dx, dy, dz] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    dx * dx + dy * dy + dz * dz
}

/// The first point that cannot be searched for.
fn not_searchable(points: &[[f32; 3]]) -> Option<usize> {
    points.iter().position(|p| !p.iter().all(|v| v.abs() <= 1e15))
}

/// The points' indices, those of one region of space after each other; `None` where they come like that already, as those of a
/// scan do, where they are spread so unevenly that it gains nothing, or where one is not finite.
pub(crate) fn spatial_order(points: &[[f32; 3]], k: usize) -> Option<Vec<u32>> {
    let k = k.min(points.len());
    if k == 0 || not_searchable(points).is_some() {
        return None;
    }
    let cells = Cells::build(points, k)?;
    (!cells.in_order(points)).then(|| cells.into_order())
}

/// The neighbours of every point, each list ordered by (distance, index) and beginning with the nearest,
/// which is the point itself or a duplicate of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Neighbours {
    k: usize,
    counts: Vec<u32>,
    keys: Vec<Key>,
}

impl Neighbours {
    /// Finds the neighbours of every point of `points`.
    ///
    /// # Errors
    /// Where a coordinate is not finite or the table would be too large.
    pub(crate) fn search(
        points: &[[f32; 3]],
        search: Search,
        par: &dyn Parallel,
    ) -> Result<Self, SearchError> {
        if let Some(i) = not_searchable(points) {
            return Err(SearchError::NotFinite(i));
        }
        let search = Search { k: search.k.min(points.len()), ..search };
        Self::check_size(points.len(), search.k)?;
        let (n, k) = (points.len(), search.k);
        if k == 0 {
            return Ok(Self { k, counts: vec![0; n], keys: Vec::new() });
        }
        // A constant scan: comparing all with all would find what is known.
        if points.iter().all(|&p| p == points[0]) {
            let first: Vec<Key> =
                (0..k as u32).map(|i| Key::new(0.0, i)).take_while(|_| search.radius > 0.0).collect();
            return Ok(Self::fill(n, k, par, &|range, row| range.for_each(|i| row(i, &first))));
        }
        if let Some(cells) = Cells::build(points, k) {
            return Ok(Self::fill(n, k, par, &|range, row| cells.find(points, range, search, row)));
        }
        let tree = Tree::build(points)?;
        Ok(Self::fill(n, k, par, &|range, row| tree.find(points, range, search, row)))
    }

    /// Whether a search for `k` neighbours of each of `points` points is allowed.
    ///
    /// # Errors
    /// Where its table would take more than 2 GiB.
    pub(crate) fn check_size(points: usize, k: usize) -> Result<(), SearchError> {
        let allowed = points.checked_mul(k.min(points)).is_some_and(|entries| entries <= MAX_ENTRIES);
        if allowed { Ok(()) } else { Err(SearchError::TooMany { points, k }) }
    }

    /// Fills the table by `find`, which gets a range of points and a function that takes each one's keys in turn.
    fn fill(n: usize, k: usize, par: &dyn Parallel, find: &Find<'_>) -> Self {
        let mut table = Self { k, counts: vec![0; n], keys: vec![Key(0); n * k] };
        let mut rows: Vec<_> = table.keys.chunks_mut(CHUNK * k).zip(table.counts.chunks_mut(CHUNK)).collect();
        for_each_chunk(par, &mut rows, 1, &|chunk, part| {
            for (keys, counts) in part {
                let first = chunk * CHUNK;
                find(first..first + counts.len(), &mut |i, found| {
                    counts[i - first] = found.len() as u32;
                    keys[(i - first) * k..][..found.len()].copy_from_slice(found);
                });
            }
        });
        table
    }

    /// Points of the cloud.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Forgets all but the `k` nearest of each point.
    pub(crate) fn truncate(&mut self, k: usize) {
        self.counts.iter_mut().for_each(|count| *count = (*count).min(k as u32));
    }

    /// The neighbours of point `i` as (index, squared distance), nearest first.
    ///
    /// # Panics
    /// Where there is no such point.
    pub(crate) fn of(&self, i: usize) -> impl ExactSizeIterator<Item = (usize, f32)> {
        self.keys[i * self.k..][..self.counts[i] as usize]
            .iter()
            .map(|key| (key.index() as usize, key.squared()))
    }
}

/// Finds the neighbours of a range of points and hands each point's keys, sorted, to the function.
type Find<'a> = dyn Fn(std::ops::Range<usize>, &mut dyn FnMut(usize, &[Key])) + Sync + 'a;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Threads, uniform, wavy_cloud};
    use assay_sdk::Serial;
    use proptest::prelude::*;

    fn naive(points: &[[f32; 3]], search: Search) -> Vec<Vec<(usize, f32)>> {
        let one = |&p: &[f32; 3]| {
            let mut all: Vec<_> =
                points.iter().enumerate().map(|(j, &q)| (j, squared_distance(p, q))).collect();
            all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            all.truncate(search.k);
            all.retain(|&(_, d)| d < search.radius * search.radius);
            all
        };
        points.iter().map(one).collect()
    }

    fn lists(table: &Neighbours) -> Vec<Vec<(usize, f32)>> {
        (0..table.len()).map(|i| table.of(i).collect()).collect()
    }

    fn by_tree(points: &[[f32; 3]], search: Search) -> Neighbours {
        let search = Search { k: search.k.min(points.len()), ..search };
        let tree = Tree::build(points).unwrap();
        Neighbours::fill(points.len(), search.k, &Serial, &|range, row| tree.find(points, range, search, row))
    }

    /// Clouds with duplicates, exact ties, flat and stretched shapes.
    fn clouds() -> impl Strategy<Value = Vec<[f32; 3]>> {
        let lattice = prop::collection::vec([0..6i32, 0..6i32, 0..3i32], 1..200)
            .prop_map(|v| v.into_iter().map(|p| p.map(|c| c as f32 * 0.25)).collect());
        let spread = (1..400usize, any::<u64>(), [0.0..1.0f64, 0.0..1.0f64, 0.0..1.0f64]).prop_map(
            |(n, seed, size)| {
                let mut next = uniform(seed);
                (0..n).map(|_| size.map(|s| (s * next()) as f32)).collect()
            },
        );
        let surface = (1..1500usize, any::<u64>()).prop_map(|(n, seed)| wavy_cloud(n, seed));
        prop_oneof![lattice, spread, surface]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn cells_and_tree_agree_with_sorting_all_distances(points in clouds(), k in 1..60usize, near in prop::option::of(0.001..0.5f32)) {
            let search = Search { k, radius: near.unwrap_or(f32::INFINITY) };
            let expected = naive(&points, search);
            prop_assert_eq!(&lists(&Neighbours::search(&points, search, &Serial).unwrap()), &expected);
            prop_assert_eq!(&lists(&by_tree(&points, search)), &expected);
        }
    }

    #[test]
    fn scanned_surfaces_are_searched_by_cells_and_skewed_clouds_by_the_tree() {
        let mut points = wavy_cloud(2000, 1);
        points.extend([[900.0, 900.0, 900.0], [-900.0, 3.0, 900.0], [0.0, 0.0, 0.5]]);
        assert!(Cells::build(&points, 30).is_some());
        let search = Search::nearest(30);
        assert_eq!(lists(&Neighbours::search(&points, search, &Serial).unwrap()), naive(&points, search));
        points.extend(wavy_cloud(1000, 2).iter().map(|p| p.map(|v| 100.0 * v)));
        assert!(Cells::build(&points, 30).is_none());
        assert_eq!(lists(&Neighbours::search(&points, search, &Serial).unwrap()), naive(&points, search));
    }

    #[test]
    fn threads_do_not_change_the_table() {
        let points = wavy_cloud(3000, 2);
        let search = Search::nearest(40);
        let one = Neighbours::search(&points, search, &Serial).unwrap();
        assert_eq!(one, Neighbours::search(&points, search, &Threads(3)).unwrap());
    }

    #[test]
    fn points_at_one_place_are_answered_without_comparing_them_all() {
        let table = Neighbours::search(&vec![[1.0, 2.0, 3.0]; 200_000], Search::nearest(5), &Serial).unwrap();
        assert_eq!(table.of(199_999).collect::<Vec<_>>(), (0..5).map(|i| (i, 0.0)).collect::<Vec<_>>());
    }

    #[test]
    fn many_duplicates_among_other_points_are_found_in_the_order_of_their_indices() {
        let mut points = wavy_cloud(300, 6);
        points.extend(vec![points[7]; 3000]);
        let search = Search::nearest(10);
        assert_eq!(lists(&Neighbours::search(&points, search, &Serial).unwrap()), naive(&points, search));
    }

    #[test]
    fn no_points_and_fewer_points_than_neighbours_are_answered() {
        assert_eq!(Neighbours::search(&[], Search::nearest(5), &Serial).unwrap().len(), 0);
        let table = Neighbours::search(&[[0.0; 3], [1.0, 0.0, 0.0]], Search::nearest(5), &Serial).unwrap();
        assert_eq!(table.of(1).collect::<Vec<_>>(), [(1, 0.0), (0, 1.0)]);
    }

    #[test]
    fn points_that_are_not_finite_and_tables_without_bound_are_errors() {
        let points = [[0.0; 3], [0.0, f32::NAN, 0.0]];
        assert_eq!(Neighbours::search(&points, Search::nearest(2), &Serial), Err(SearchError::NotFinite(1)));
        let points = vec![[0.0; 3]; 20_000];
        let error = Neighbours::search(&points, Search::nearest(20_000), &Serial).unwrap_err();
        assert_eq!(error, SearchError::TooMany { points: 20_000, k: 20_000 });
    }
}
