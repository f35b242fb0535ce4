//! Some rows side by side, each with the distance of its nearest pick.

use std::cmp::Ordering;

use pulp::{Arch, Simd, WithSimd};

use crate::distance::canonical;
use crate::sketch::{Sketch, WIDTH};

/// Rows of a block: two vectors of the widest machine, so that their sums stay in registers.
pub(super) const LANES: usize = 32;

/// Sketch columns added up between two looks at whether any row is still in doubt.
const GROUP: usize = 8;

/// Rows, their sketches, and what it takes to compare two of them.
pub(super) struct Space<'a> {
    pub(super) values: &'a [f32],
    pub(super) dims: usize,
    pub(super) sketch: Sketch,
}

impl Space<'_> {
    #[inline(always)]
    fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dims..][..self.dims]
    }
}

/// A row and its canonical squared distance from the nearest pick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Member {
    pub(crate) row: usize,
    pub(crate) squared: f32,
}

impl Member {
    /// No row: every member is farther.
    pub(super) const NONE: Self = Self { row: usize::MAX, squared: 0.0 };

    /// The order of picking: by distance, the lowest row of equals first.
    pub(super) fn farthest_first(&self, other: &Self) -> Ordering {
        other.squared.total_cmp(&self.squared).then(self.row.cmp(&other.row))
    }

    /// Whether this member is to be picked before the other.
    pub(super) fn farther_than(&self, other: &Self) -> bool {
        self.farthest_first(other) == Ordering::Less
    }
}

/// Up to [`LANES`] rows; a lane without a row has a distance and a proof of zero, so nothing is nearer.
pub(super) struct Block {
    /// Column by column of the sketches.
    sketches: [[f32; LANES]; WIDTH],
    squared: [f32; LANES],
    /// A sketch distance from here on proves that a pick is not nearer.
    proofs: [f32; LANES],
    rows: [usize; LANES],
    len: usize,
    farthest: Member,
}

impl Block {
    /// Of the first [`LANES`] of `members`.
    pub(super) fn new(members: &[Member], sketch: &Sketch) -> Self {
        let len = members.len().min(LANES);
        let none = Member::NONE;
        let mut block = Self {
            sketches: [[0.0; LANES]; WIDTH],
            squared: [none.squared; LANES],
            proofs: [0.0; LANES],
            rows: [none.row; LANES],
            len,
            farthest: none,
        };
        for (lane, member) in members[..len].iter().enumerate() {
            for (column, &x) in block.sketches.iter_mut().zip(sketch.row(member.row)) {
                column[lane] = x;
            }
            block.squared[lane] = member.squared;
            block.proofs[lane] = sketch.proof(member.squared);
            block.rows[lane] = member.row;
        }
        block.find_farthest();
        block
    }

    /// The rows and their distances, lane by lane.
    pub(super) fn members(&self) -> impl Iterator<Item = Member> {
        let members = self.rows.iter().zip(&self.squared).take(self.len);
        members.map(|(&row, &squared)| Member { row, squared })
    }

    /// The member farthest from its pick.
    pub(super) fn farthest(&self) -> Member {
        self.farthest
    }

    fn find_farthest(&mut self) {
        let mut farthest = Member::NONE;
        for member in self.members() {
            if member.farther_than(&farthest) {
                farthest = member;
            }
        }
        self.farthest = farthest;
    }

    /// Makes row `pick` a pick; whether any distance changed.
    #[inline(always)]
    fn compare(&mut self, pick: usize, space: &Space) -> bool {
        let sketch = space.sketch.row(pick);
        let mut sums = [0f32; LANES];
        // Sums only grow, so one that has reached its proof need not be finished.
        for (columns, xs) in self.sketches.as_chunks::<GROUP>().0.iter().zip(sketch.as_chunks::<GROUP>().0) {
            for (column, &x) in columns.iter().zip(xs) {
                for l in 0..LANES {
                    let d = column[l] - x;
                    sums[l] += d * d;
                }
            }
            let mut doubt = false;
            for l in 0..LANES {
                doubt |= sums[l] < self.proofs[l];
            }
            if !doubt {
                return false;
            }
        }
        let mut changed = false;
        for l in 0..LANES {
            if sums[l] < self.proofs[l] {
                let squared = canonical(space.row(pick), space.row(self.rows[l]));
                if squared < self.squared[l] {
                    self.squared[l] = squared;
                    self.proofs[l] = space.sketch.proof(squared);
                    changed = true;
                }
            }
        }
        changed
    }
}

/// Makes each of `picks` a pick for the rows of `blocks`.
pub(super) fn compare(blocks: &mut [Block], picks: &[usize], space: &Space) {
    Arch::new().dispatch(Compare { blocks, picks, space });
}

struct Compare<'a> {
    blocks: &'a mut [Block],
    picks: &'a [usize],
    space: &'a Space<'a>,
}

impl WithSimd for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for block in self.blocks {
            let mut changed = false;
            for &pick in self.picks {
                changed |= block.compare(pick, self.space);
            }
            if changed {
                block.find_farthest();
            }
        }
    }
}
