//! Seeded choices: rows of a stream of unknown length, and some of many numbers.

use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::KernelError;
use crate::error::{area, expect};

/// Which `capacity` rows of a stream to keep, each set of that size equally likely (Vitter 1985, algorithm R).
///
/// The choice depends on the seed and on how many rows came before, never on their values.
#[derive(Debug, Clone)]
pub struct Draw {
    capacity: usize,
    held: usize,
    seen: u64,
    random: ChaCha8Rng,
}

impl Draw {
    /// Nothing drawn yet.
    ///
    /// # Errors
    /// A `capacity` of zero.
    pub fn new(capacity: usize, seed: u64) -> Result<Self, KernelError> {
        if capacity == 0 {
            return Err(KernelError::Range { what: "rows to draw", range: "at least 1" });
        }
        Ok(Self { capacity, held: 0, seen: 0, random: ChaCha8Rng::seed_from_u64(seed) })
    }

    /// The place, below `capacity`, that the next row of the stream takes, whoever had it before; `None` where it is not kept.
    pub fn next_place(&mut self) -> Option<usize> {
        self.seen += 1;
        if self.held < self.capacity {
            self.held += 1;
            return Some(self.held - 1);
        }
        let place = below(&mut self.random, self.seen);
        usize::try_from(place).ok().filter(|&place| place < self.capacity)
    }

    /// How many rows came so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How many rows are kept so far.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many of the next `rows` rows are certain to be kept.
    fn room(&self, rows: usize) -> usize {
        rows.min(self.capacity - self.held)
    }
}

/// The rows that a [`Draw`] keeps of a stream.
///
/// The choice does not depend on how the rows were split over calls. Memory grows with the rows offered, up to the capacity.
#[derive(Debug, Clone)]
pub struct Reservoir {
    dims: usize,
    draw: Draw,
    rows: Vec<f32>,
    /// The place in the stream of each row kept.
    order: Vec<u64>,
}

impl Reservoir {
    /// An empty choice of rows of `dims` columns.
    ///
    /// # Errors
    /// `capacity` or `dims` of zero, or so large that their product is no size.
    pub fn new(dims: usize, capacity: usize, seed: u64) -> Result<Self, KernelError> {
        if dims == 0 {
            return Err(KernelError::Range { what: "columns of a reservoir", range: "at least 1" });
        }
        area("reservoir", dims, capacity)?;
        Ok(Self { dims, draw: Draw::new(capacity, seed)?, rows: Vec::new(), order: Vec::new() })
    }

    /// Offers the `rows` `[n, c]` for which `keep` `[n]` is true, in order.
    ///
    /// # Errors
    /// Another width, another number of flags, a value that is not finite in a row to keep; no memory.
    pub fn offer(&mut self, rows: ArrayView2<f32>, keep: &[bool]) -> Result<(), KernelError> {
        expect("columns of the rows offered", self.dims, rows.ncols())?;
        let kept = offered(rows, keep)?;
        let room = self.draw.room(kept.len());
        let memory =
            KernelError::Memory { what: "reservoir", elements: room * self.dims, size: size_of::<f32>() };
        self.rows.try_reserve(room * self.dims).map_err(|_| memory.clone())?;
        self.order.try_reserve(room).map_err(|_| memory)?;
        for row in kept {
            let stream = self.draw.seen();
            let Some(place) = self.draw.next_place() else { continue };
            if place == self.order.len() {
                self.order.push(stream);
                self.rows.extend(rows.row(row));
            } else {
                self.order[place] = stream;
                let to = &mut self.rows[place * self.dims..][..self.dims];
                to.iter_mut().zip(rows.row(row)).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    /// How many rows were offered so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.draw.seen()
    }

    /// How many rows are kept so far.
    #[must_use]
    pub fn held(&self) -> usize {
        self.draw.held()
    }

    /// The rows kept [n, c], in the order of the stream.
    #[must_use]
    pub fn into_rows(mut self) -> Array2<f32> {
        let dims = self.dims;
        // Selection by cycles, in place: a second copy of the rows could be all the memory there is.
        let mut wanted: Vec<usize> = (0..self.order.len()).collect();
        wanted.sort_unstable_by_key(|&i| self.order[i]);
        let mut held = vec![0f32; dims];
        for start in 0..wanted.len() {
            if wanted[start] == start {
                continue;
            }
            held.copy_from_slice(&self.rows[start * dims..][..dims]);
            let mut to = start;
            loop {
                let from = std::mem::replace(&mut wanted[to], to);
                if from == start {
                    break;
                }
                self.rows.copy_within(from * dims..(from + 1) * dims, to * dims);
                to = from;
            }
            self.rows[to * dims..][..dims].copy_from_slice(&held);
        }
        let count = self.order.len();
        Array2::from_shape_vec((count, dims), self.rows).unwrap_or_else(|_| Array2::zeros((0, dims)))
    }
}

/// The numbers of the `rows` `[n, c]` for which `keep` `[n]` is true.
///
/// # Errors
/// Another number of flags, a value that is not finite in such a row.
pub fn offered(rows: ArrayView2<f32>, keep: &[bool]) -> Result<Vec<usize>, KernelError> {
    expect("validity of the rows offered", rows.nrows(), keep.len())?;
    let kept: Vec<usize> = (0..keep.len()).filter(|&row| keep[row]).collect();
    match kept.iter().find(|&&row| rows.row(row).iter().any(|x| !x.is_finite())) {
        Some(&row) => Err(KernelError::NotFinite { what: "rows offered", row }),
        None => Ok(kept),
    }
}

/// `count` different numbers below `n`, ascending, each set equally likely; all of them where `count` is `n` or more.
#[must_use]
pub fn choose(n: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut wanted = count.min(n);
    let mut chosen = Vec::with_capacity(wanted);
    // Selection sampling: each number is taken with the share still wanted of those still to come.
    for i in 0..n {
        if below(&mut random, (n - i) as u64) < wanted as u64 {
            chosen.push(i);
            wanted -= 1;
        }
    }
    chosen
}

/// A number below `n`; uneven by less than `n` parts in 2^64.
fn below(random: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(random.next_u64()) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(range: std::ops::Range<usize>) -> Array2<f32> {
        Array2::from_shape_fn((range.len(), 2), |(i, j)| (2 * (range.start + i) + j) as f32)
    }

    #[test]
    fn all_rows_stay_while_there_is_room() {
        let mut reservoir = Reservoir::new(2, 10, 7).unwrap();
        reservoir.offer(numbered(0..4).view(), &[true, false, true, true]).unwrap();
        assert_eq!(reservoir.held(), 3);
        assert_eq!(reservoir.into_rows().column(0).to_vec(), [0.0, 4.0, 6.0]);
    }

    #[test]
    fn each_row_is_as_likely_as_any() {
        let mut hits = [0u32; 40];
        for seed in 0..4000 {
            let mut reservoir = Reservoir::new(2, 10, seed).unwrap();
            reservoir.offer(numbered(0..40).view(), &[true; 40]).unwrap();
            reservoir.into_rows().column(0).iter().for_each(|&x| hits[x as usize / 2] += 1);
        }
        assert!(hits.iter().all(|&n| (900..1100).contains(&n)), "{hits:?}");
    }

    #[test]
    fn a_bad_value_is_refused_only_where_it_would_be_kept() {
        let mut reservoir = Reservoir::new(1, 3, 0).unwrap();
        let rows = ndarray::array![[1.0], [f32::NAN]];
        assert!(matches!(
            reservoir.offer(rows.view(), &[true, true]),
            Err(KernelError::NotFinite { row: 1, .. })
        ));
        assert_eq!(reservoir.seen(), 0);
        reservoir.offer(rows.view(), &[true, false]).unwrap();
        assert_eq!(reservoir.seen(), 1);
    }

    #[test]
    fn each_number_is_chosen_as_often() {
        let mut hits = [0u32; 10];
        for seed in 0..4000 {
            let chosen = choose(10, 3, seed);
            assert!(chosen.len() == 3 && chosen.windows(2).all(|w| w[0] < w[1]));
            chosen.iter().for_each(|&i| hits[i] += 1);
        }
        assert!(hits.iter().all(|&n| (1080..1320).contains(&n)), "{hits:?}");
        assert_eq!(choose(3, 9, 1), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn the_choice_is_ordered_and_does_not_depend_on_the_calls(n in 1usize..200, cap in 1usize..50, cut in 0usize..200, seed in 0u64..100) {
            let cut = cut.min(n);
            let mut whole = Reservoir::new(2, cap, seed).unwrap();
            whole.offer(numbered(0..n).view(), &vec![true; n]).unwrap();
            let mut parts = Reservoir::new(2, cap, seed).unwrap();
            parts.offer(numbered(0..cut).view(), &vec![true; cut]).unwrap();
            parts.offer(numbered(cut..n).view(), &vec![true; n - cut]).unwrap();
            let rows = whole.into_rows();
            prop_assert_eq!(&rows, &parts.into_rows());
            prop_assert_eq!(rows.nrows(), cap.min(n));
            let first = rows.column(0).to_vec();
            prop_assert!(first.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(rows.outer_iter().all(|r| r[1] == r[0] + 1.0));
        }
    }
}
