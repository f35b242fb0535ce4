//! Rows and the distances of their nearest picks, kept up to date as late as possible.
//!
//! Distances only fall as picks are added, so an old distance is an upper bound (the idea of Minoux 1978, Accelerated
//! greedy algorithms). The rows of greatest distance are the *front*; it alone is compared with each new pick, and its
//! farthest row is the farthest of all as long as it is farther than any row outside was when the front was formed. Once
//! it is not, the picks that piled up are compared with all rows together, and a new front is formed.
//!
//! A comparison is skipped where the distance of a few principal coordinates ([`crate::sketch`]) proves that the pick is
//! not nearer, rounding included; all others are of canonical distances. So each pick and each distance is that of the
//! plain algorithm, which compares every pick with every row at once.

mod block;
mod order;

use assay_sdk::{Parallel, for_each_chunk};

use block::{Block, LANES, Member, Space, compare};

use crate::KernelError;
use crate::error::filled;
use crate::sketch::Sketch;

/// One row of so many is in the front: it lasts for many picks, and costs little beside what they cost the other rows.
const FRONT_PART: usize = 64;

/// The least rows of a front.
const LEAST_FRONT: usize = 512;

/// Blocks in one index of the parallel loop.
const BLOCKS: usize = 16;

/// All rows, each with the distance of its nearest pick.
pub(crate) struct Cover<'a> {
    space: Space<'a>,
    /// All rows, compared with all picks but the `pending`.
    blocks: Vec<Block>,
    pending: Vec<usize>,
    /// The rows that were farthest when the front was formed, compared with all picks.
    front: Vec<Block>,
    /// The farthest row outside the front when it was formed.
    rest: Option<Member>,
    /// Room to form a front in.
    members: Vec<Member>,
}

impl<'a> Cover<'a> {
    /// All of `values` [n, dims], n at least 1, with row `start` as the only pick.
    pub(crate) fn from_start(
        values: &'a [f32],
        dims: usize,
        start: usize,
        par: &dyn Parallel,
    ) -> Result<Self, KernelError> {
        let space = Space { values, dims, sketch: Sketch::new(values, dims, par)? };
        let unknown = Member { row: 0, squared: f32::INFINITY };
        let mut members = filled("rows to cover", space.sketch.len(), unknown)?;
        for (member, row) in members.iter_mut().zip(order::spatial(&space.sketch)?) {
            member.row = row;
        }
        let (what, elements) = ("blocks of rows", members.len().div_ceil(LANES));
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(elements).map_err(|_| KernelError::Memory {
            what,
            elements,
            size: size_of::<Block>(),
        })?;
        blocks.extend(members.chunks(LANES).map(|members| Block::new(members, &space.sketch)));
        let mut cover = Self { space, blocks, pending: vec![start], front: Vec::new(), rest: None, members };
        cover.advance(par);
        Ok(cover)
    }

    /// The row farthest from its pick, the lowest of equals.
    pub(crate) fn farthest(&mut self, par: &dyn Parallel) -> Member {
        let farthest = self.farthest_of_front();
        if self.rest.is_none_or(|rest| farthest.farther_than(&rest)) {
            return farthest;
        }
        self.advance(par);
        self.farthest_of_front()
    }

    /// Makes `row` a pick.
    pub(crate) fn add(&mut self, row: usize) {
        compare(&mut self.front, &[row], &self.space);
        self.pending.push(row);
    }

    fn farthest_of_front(&self) -> Member {
        let farther = |a: Member, b: Member| if b.farther_than(&a) { b } else { a };
        self.front.iter().map(Block::farthest).fold(Member::NONE, farther)
    }

    /// Compares all rows with the pending picks and forms a new front.
    fn advance(&mut self, par: &dyn Parallel) {
        for_each_chunk(par, &mut self.blocks, BLOCKS, &|_, blocks| {
            compare(blocks, &self.pending, &self.space);
        });
        self.pending.clear();

        self.members.clear();
        self.members.extend(self.blocks.iter().flat_map(Block::members));
        let size = LEAST_FRONT.max(self.members.len() / FRONT_PART);
        self.rest = (size < self.members.len())
            .then(|| *self.members.select_nth_unstable_by(size, Member::farthest_first).1);

        // Gathered anew rather than taken from the selection: in the order of the blocks, neighbours stay together.
        let rest = self.rest;
        let in_front = |member: &Member| rest.is_none_or(|rest| member.farther_than(&rest));
        self.members.clear();
        self.members.extend(self.blocks.iter().flat_map(Block::members).filter(in_front));
        self.front.clear();
        self.front.extend(self.members.chunks(LANES).map(|members| Block::new(members, &self.space.sketch)));
    }
}
