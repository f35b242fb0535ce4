//! Rows and their nearest picks, kept up to date as picks are added.
//!
//! A new pick is compared with few rows. Each row belongs to its nearest pick, and is passed over where one of two proofs
//! shows that the new pick is not nearer:
//!
//! - the new pick lies at least twice as far from the row's pick as the row does (triangle inequality; for
//!   a whole cluster at once by its farthest row);
//! - the distance of a few principal coordinates ([`crate::sketch`]) is already as great.
//!
//! Both allow for rounding, so canonical distances never decrease where a comparison is skipped.

use assay_sdk::{Parallel, for_each_chunk};
use pulp::{Arch, Simd, WithSimd};

use crate::KernelError;
use crate::distance::{canonical, relative_error, squared_distances};
use crate::error::filled;
use crate::sketch::{Sketch, sketch_distance};

/// Members looked at in one parallel index: less is not worth a thread's attention.
const MEMBERS: usize = 4096;

/// A row and its canonical squared distance from its pick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Member {
    pub(crate) row: usize,
    pub(crate) squared: f32,
    /// A sketch distance from here on proves that a pick is not nearer.
    proof: f32,
}

impl Member {
    fn farther_than(&self, other: &Self) -> bool {
        self.squared > other.squared || (self.squared == other.squared && self.row < other.row)
    }
}

/// The rows nearest to one pick.
struct Cluster {
    members: Vec<Member>,
    farthest: Member,
    /// A sketch distance of two picks from here on proves that this cluster has no row for the other.
    proof: f32,
}

/// A member that a new pick takes over.
struct Move {
    cluster: usize,
    member: usize,
    squared: f32,
}

/// All rows, each with its nearest pick.
pub(crate) struct Cover<'a> {
    values: &'a [f32],
    dims: usize,
    sketch: Sketch,
    clusters: Vec<Cluster>,
    picks: Vec<usize>,
    /// A squared distance this many times another is at least twice as far, rounding included.
    twice: f32,
}

impl<'a> Cover<'a> {
    /// All of `values` [n, dims] belonging to row `start`.
    pub(crate) fn from_start(
        values: &'a [f32],
        dims: usize,
        start: usize,
        par: &dyn Parallel,
    ) -> Result<Self, KernelError> {
        let sketch = Sketch::new(values, dims, par)?;
        // With d the relative error of a squared distance: if D2 >= 4 (1 + 8d) d2 for canonical values, then the true
        // distances D and s obey (D - s)^2 >= (1 + 12d) d2: the new canonical distance is not below the old one.
        let twice = (4.0 * (1.0 + 8.0 * relative_error(dims))) as f32;
        let mut cover = Self { values, dims, sketch, clusters: Vec::new(), picks: vec![start], twice };
        let mut squared = filled("distances", values.len() / dims, 0f32)?;
        for_each_chunk(par, &mut squared, MEMBERS, &|i, out| {
            squared_distances(cover.row(start), &values[i * MEMBERS * dims..], out);
        });
        let members =
            squared.into_iter().enumerate().map(|(row, squared)| cover.member(row, squared)).collect();
        let cluster = cover.cluster(members);
        cover.clusters.push(cluster);
        Ok(cover)
    }

    /// The row farthest from its pick, the lowest of equals.
    pub(crate) fn farthest(&self) -> Member {
        let mut farthest = self.clusters[0].farthest;
        for cluster in &self.clusters[1..] {
            if cluster.farthest.farther_than(&farthest) {
                farthest = cluster.farthest;
            }
        }
        farthest
    }

    /// Makes `row` a pick: rows nearer to it than to their own pick move over.
    pub(crate) fn add(&mut self, row: usize, par: &dyn Parallel) {
        let mut jobs = self.jobs(row, par.threads() > 1);
        for_each_chunk(par, &mut jobs, 1, &|_, job| {
            for job in job {
                Arch::new().dispatch(Compare { cover: self, new: row, job });
            }
        });
        let mut members = Vec::new();
        for step in jobs.iter().flat_map(|job| job.moves.chunk_by(|a, b| a.cluster == b.cluster)) {
            let mut left = std::mem::take(&mut self.clusters[step[0].cluster].members);
            // From the back, so that the places still to come stay true.
            for m in step.iter().rev() {
                members.push(self.member(left.swap_remove(m.member).row, m.squared));
            }
            self.clusters[step[0].cluster] = self.cluster(left);
        }
        self.clusters.push(self.cluster(members));
        self.picks.push(row);
    }

    /// The clusters that may hold rows for the new pick, in portions for a thread.
    fn jobs(&self, new: usize, split: bool) -> Vec<Job> {
        let mut jobs = vec![Job::default()];
        Arch::new().dispatch(Reachable { cover: self, new, split, jobs: &mut jobs });
        jobs
    }

    fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dims..][..self.dims]
    }

    fn member(&self, row: usize, squared: f32) -> Member {
        Member { row, squared, proof: self.sketch.proof(squared) }
    }

    /// Of members of which a pick is always one: it never leaves its own cluster.
    fn cluster(&self, members: Vec<Member>) -> Cluster {
        let mut farthest = Member { row: usize::MAX, squared: 0.0, proof: 0.0 };
        for member in &members {
            if member.farther_than(&farthest) {
                farthest = *member;
            }
        }
        Cluster { members, farthest, proof: self.sketch.proof(self.twice_as_far(farthest.squared)) }
    }

    /// The squared distance of two picks from which on the triangle inequality holds a row at `squared` back.
    #[inline(always)]
    fn twice_as_far(&self, squared: f32) -> f32 {
        // The least normal number covers underflow in either distance.
        self.twice * squared + f32::MIN_POSITIVE
    }
}

/// Clusters that one index of the parallel loop compares with the new pick.
#[derive(Default)]
struct Job {
    /// The cluster, and the squared distance of its pick from the new one.
    clusters: Vec<(usize, f32)>,
    members: usize,
    moves: Vec<Move>,
}

struct Reachable<'a> {
    cover: &'a Cover<'a>,
    new: usize,
    split: bool,
    jobs: &'a mut Vec<Job>,
}

impl WithSimd for Reachable<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Reachable { cover, new, split, jobs } = self;
        let (row, sketch) = (cover.row(new), cover.sketch.row(new));
        for (i, (cluster, &pick)) in cover.clusters.iter().zip(&cover.picks).enumerate() {
            if sketch_distance(sketch, cover.sketch.row(pick)) >= cluster.proof {
                continue;
            }
            let apart = canonical(row, cover.row(pick));
            if apart >= cover.twice_as_far(cluster.farthest.squared) {
                continue;
            }
            if split && jobs.last().is_some_and(|job| job.members >= MEMBERS) {
                jobs.push(Job::default());
            }
            if let Some(job) = jobs.last_mut() {
                job.clusters.push((i, apart));
                job.members += cluster.members.len();
            }
        }
    }
}

struct Compare<'a> {
    cover: &'a Cover<'a>,
    new: usize,
    job: &'a mut Job,
}

impl WithSimd for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Compare { cover, new, job } = self;
        let (row, sketch) = (cover.row(new), cover.sketch.row(new));
        for &(cluster, apart) in &job.clusters {
            for (member, m) in cover.clusters[cluster].members.iter().enumerate() {
                if apart >= cover.twice_as_far(m.squared)
                    || sketch_distance(sketch, cover.sketch.row(m.row)) >= m.proof
                {
                    continue;
                }
                let squared = canonical(row, cover.row(m.row));
                if squared < m.squared {
                    job.moves.push(Move { cluster, member, squared });
                }
            }
        }
    }
}
