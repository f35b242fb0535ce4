//! Greedy k-centre as it is written down, to compare with: after each pick every row is compared with it. Vectors as
//! wide as the processor has them, all threads, and the distances of a block are used while they are in cache.

use anyhow::{Result, ensure};
use assay_kernels::coreset::Coreset;
use assay_kernels::distance::squared_distances;
use assay_sdk::{Parallel, for_each_chunk};
use ndarray::ArrayView2;

/// Rows whose distances are computed at a time.
const BLOCK: usize = 512;

/// Parts a thread: none waits long for the last.
const PARTS: usize = 4;

/// Some rows, each with the squared distance of its nearest pick.
struct Part<'a> {
    first: usize,
    rows: &'a [f32],
    nearest: Vec<f32>,
    /// The greatest of `nearest` and its row, the lowest of equals.
    farthest: (f32, usize),
}

impl Part<'_> {
    fn add(&mut self, pick: &[f32]) {
        let mut distances = [0f32; BLOCK];
        self.farthest = (-1.0, self.first);
        let rows = self.rows.chunks(BLOCK * pick.len());
        for (block, (nearest, rows)) in self.nearest.chunks_mut(BLOCK).zip(rows).enumerate() {
            let distances = &mut distances[..nearest.len()];
            squared_distances(pick, rows, distances);
            for (nearest, distance) in nearest.iter_mut().zip(&*distances) {
                *nearest = if *distance < *nearest { *distance } else { *nearest };
            }
            for (i, &nearest) in nearest.iter().enumerate() {
                if nearest > self.farthest.0 {
                    self.farthest = (nearest, self.first + block * BLOCK + i);
                }
            }
        }
    }
}

/// Up to `count` of `rows`, and the picks and radii of [`assay_kernels::coreset::greedy_k_centre`].
pub(crate) fn greedy_k_centre(
    rows: ArrayView2<f32>,
    count: usize,
    start: usize,
    par: &dyn Parallel,
) -> Result<Coreset> {
    let (n, dims) = rows.dim();
    ensure!(start < n && dims > 0, "row {start} of {n} rows cannot be the first pick");
    let Some(values) = rows.to_slice() else { anyhow::bail!("the rows do not follow one another") };
    let size = n.div_ceil(par.threads() * PARTS);
    let mut parts: Vec<Part> = values
        .chunks(size * dims)
        .enumerate()
        .map(|(i, rows)| Part {
            first: i * size,
            rows,
            nearest: vec![f32::INFINITY; rows.len() / dims],
            farthest: (-1.0, 0),
        })
        .collect();
    let mut coreset = Coreset { picks: vec![start], radii: vec![f32::INFINITY] };
    let mut pick = start;
    while coreset.picks.len() < count {
        let row = &values[pick * dims..][..dims];
        for_each_chunk(par, &mut parts, 1, &|_, part| part[0].add(row));
        let farther = |a: (f32, usize), b: (f32, usize)| if b.0 > a.0 { b } else { a };
        let (squared, farthest) = parts.iter().map(|part| part.farthest).fold((-1.0, 0), farther);
        if squared == 0.0 {
            break;
        }
        coreset.picks.push(farthest);
        coreset.radii.push(squared.sqrt());
        pick = farthest;
    }
    Ok(coreset)
}
