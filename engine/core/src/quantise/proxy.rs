//! How well two networks tell defects from good patches: distances to the nearest of some good patches, of each output.
//!
//! Every row and patch is drawn at the same place for both networks, so that what differs is the networks' doing. Scans are taken in
//! parallel, each into its own place, and sums run in one order: the same numbers at any count of threads.

use super::defects::{Kind, with_defect};
use super::{Looks, Pair, Seen, TapComparison, Turned};
use crate::error::{Error, Result};
use crate::prepare::on_cells;
use crate::steps::onnx::Network;
use crate::value::Value;
use assay_data::{Grid, Mask};
use assay_metrics::auroc;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rayon::prelude::*;

/// Good rows of an output, of all scans together.
const ROWS: usize = 1536;
/// Good patches of a held-out scan, for each output.
const GOOD_PATCHES: usize = 1024;
/// Defects of each kind, all held-out scans together, at least: of fewer scans each has more copies.
const DEFECTS: usize = 24;
/// Patches of one defect, for each output.
const DEFECT_PATCHES: usize = 64;

/// Ids of the scans shown and of those held out.
type Ids = (Vec<String>, Vec<String>);

/// Compares the float32 with the int8 network.
pub(super) fn compare(
    networks: [&Network; 2],
    shown: &[usize],
    held_out: &[usize],
    looks: &Looks<'_>,
) -> Result<(Vec<TapComparison>, Ids)> {
    let taps = networks[0].taps.len();
    let each = ROWS.div_ceil(shown.len().max(1));
    let drawn = for_each(&format!("good patches of {}", looks.step), shown, looks, |k, scan| {
        let look = (looks.see)(scan, Turned::By(k))?;
        let mut random = random(looks, scan, 0);
        let cells: Vec<Vec<usize>> = features(networks[0], &look, &look.value, looks)?
            .iter()
            .map(|grid| Ok(sample(scored(grid, &look)?, each, &mut random)))
            .collect::<Result<_>>()?;
        let rows: [Result<Vec<Vec<f32>>>; 2] = networks.map(|network| {
            let grids = features(network, &look, &look.value, looks)?;
            Ok(grids.iter().zip(&cells).map(|(grid, cells)| rows(grid, cells)).collect())
        });
        Ok((look.id, two(rows)?))
    })?;
    let mut ids = (Vec::new(), Vec::new());
    let mut banks = [vec![Vec::new(); taps], vec![Vec::new(); taps]];
    for (id, rows) in drawn {
        ids.0.push(id);
        for (bank, rows) in banks.iter_mut().zip(rows) {
            bank.iter_mut().zip(rows).for_each(|(bank, rows): (&mut Vec<f32>, Vec<f32>)| bank.extend(rows));
        }
    }
    let scored = for_each(&format!("int8 against f32 of {}", looks.step), held_out, looks, |_, scan| {
        let look = (looks.see)(scan, Turned::No)?;
        let copies = DEFECTS.div_ceil(held_out.len().max(1));
        let distances = distances(networks, &banks, &look, (scan, copies), looks)?;
        Ok((look.id, distances))
    })?;
    let mut all: Vec<[Vec<Distances>; 2]> = vec![Default::default(); taps];
    for (id, of_networks) in scored {
        ids.1.push(id);
        for (network, of_taps) in of_networks.into_iter().enumerate() {
            all.iter_mut().zip(of_taps).for_each(|(all, d)| all[network].push(d));
        }
    }
    let compared = networks[0].taps.iter().zip(&all).map(|(tap, [f32, int8])| {
        let pair = |of: fn(&[Distances]) -> f64| Pair { f32: of(f32), int8: of(int8) };
        TapComparison { tap: tap.clone(), good: pair(good_score), separation: pair(separation) }
    });
    Ok((compared.collect(), ids))
}

/// Distances of patches to the nearest good row.
#[derive(Debug, Clone, Default)]
struct Distances {
    good: Vec<f32>,
    defective: Vec<f32>,
}

/// Calls `body` with the place and the number of each scan, several at a time; what it returns is in the scans' order.
fn for_each<R: Send>(
    what: &str,
    scans: &[usize],
    looks: &Looks<'_>,
    body: impl Fn(usize, usize) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let watch = &looks.services.watch;
    watch.progress(what, 0.0, "");
    let one =
        |(k, &scan): (usize, &usize)| if watch.cancelled() { Err(Error::Cancelled) } else { body(k, scan) };
    let results = looks.services.pool.install(|| scans.par_iter().enumerate().map(one).collect());
    watch.progress(what, 1.0, "");
    results
}

/// Random numbers of one scan, for one purpose.
fn random(looks: &Looks<'_>, scan: usize, purpose: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(looks.seed);
    random.set_stream(scan as u64 * 4 + purpose + 1);
    random
}

fn two<T>(results: [Result<T>; 2]) -> Result<[T; 2]> {
    let [a, b] = results;
    Ok([a?, b?])
}

/// The outputs of a network on a value of a scan.
fn features(network: &Network, look: &Seen, value: &Value, looks: &Looks<'_>) -> Result<Vec<Grid>> {
    let made = network.extract(value, looks.range, looks.planned, look.native);
    let made = made.map_err(|f| looks.failure(&look.id, f))?;
    Ok(made.iter().filter_map(|v| v.grid().cloned()).collect())
}

/// The cells of a grid that detectors would score; all of them where that leaves none.
fn scored(grid: &Grid, look: &Seen) -> Result<Vec<usize>> {
    let part = look.scored.as_ref().map(|mask| on_cells(mask, grid.size())).transpose()?;
    let (rows, cols) = grid.size();
    let inside = |&cell: &usize| {
        let at = (cell / cols, cell % cols);
        grid.is_valid(at.0, at.1) && part.as_ref().is_none_or(|m| m[at])
    };
    let cells: Vec<usize> = (0..rows * cols).filter(inside).collect();
    Ok(if cells.is_empty() { (0..rows * cols).collect() } else { cells })
}

/// At most `most` of some cells, drawn without repetition.
fn sample(mut cells: Vec<usize>, most: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let n = cells.len();
    for i in 0..most.min(n) {
        cells.swap(i, i + (random.next_u64() % (n - i) as u64) as usize);
    }
    cells.truncate(most);
    cells
}

/// The features of some cells, one after the other.
fn rows(grid: &Grid, cells: &[usize]) -> Vec<f32> {
    let cols = grid.size().1;
    let channels = grid.channels();
    let feature = |&cell: &usize| (0..channels).map(move |c| grid.values[(c, cell / cols, cell % cols)]);
    cells.iter().flat_map(feature).collect()
}

/// Distances of patches of a held-out scan and of its copies (so many of a kind) with defects: of each network, of each output.
fn distances(
    networks: [&Network; 2],
    banks: &[Vec<Vec<f32>>; 2],
    look: &Seen,
    (scan, copies): (usize, usize),
    looks: &Looks<'_>,
) -> Result<[Vec<Distances>; 2]> {
    let mut all = [vec![], vec![]];
    let mut random = random(looks, scan, 1);
    let grids = two(networks.map(|n| features(n, look, &look.value, looks)))?;
    let mut places: Vec<Vec<usize>> = Vec::new();
    for grid in &grids[0] {
        places.push(sample(scored(grid, look)?, GOOD_PATCHES, &mut random));
    }
    for ((all, grids), banks) in all.iter_mut().zip(&grids).zip(banks) {
        for ((grid, cells), bank) in grids.iter().zip(&places).zip(banks) {
            all.push(Distances { good: nearest(grid, cells, bank), defective: Vec::new() });
        }
    }
    let size = match &look.value.data {
        crate::value::Data::Image(image) => image.size(),
        crate::value::Data::Grid(grid) => grid.size(),
        crate::value::Data::Cloud(_) => look.native,
    };
    let inside = look.scored.as_ref().map(|mask| on_cells(mask, size)).transpose()?;
    for kind in [Kind::Pasted, Kind::Blotched].repeat(copies) {
        let (value, covered) = with_defect(&look.value, inside.as_ref(), kind, &mut random)
            .map_err(|f| looks.failure(&look.id, f))?;
        let grids = two(networks.map(|n| features(n, look, &value, looks)))?;
        let mut places: Vec<Vec<usize>> = Vec::new();
        for grid in &grids[0] {
            places.push(sample(under(&covered, grid)?, DEFECT_PATCHES, &mut random));
        }
        for ((all, grids), banks) in all.iter_mut().zip(&grids).zip(banks) {
            for (((all, grid), cells), bank) in all.iter_mut().zip(grids).zip(&places).zip(banks) {
                all.defective.extend(nearest(grid, cells, bank));
            }
        }
    }
    Ok(all)
}

/// The cells of a grid that see covered pixels.
fn under(covered: &Mask, grid: &Grid) -> Result<Vec<usize>> {
    let covered = on_cells(covered, grid.size())?;
    Ok(covered.iter().enumerate().filter(|(_, c)| **c).map(|(cell, _)| cell).collect())
}

/// Distance of each cell to the nearest row.
fn nearest(grid: &Grid, cells: &[usize], bank: &[f32]) -> Vec<f32> {
    let channels = grid.channels().max(1);
    let patches = rows(grid, cells);
    let one = |patch: &[f32]| {
        let squares = bank.chunks_exact(channels).map(|row| squared_distance(patch, row));
        squares.fold(f32::INFINITY, f32::min).sqrt()
    };
    patches.chunks_exact(channels).map(one).collect()
}

/// In eight sums, which are the lanes of a vector.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for k in 0..8 {
            let d = a[k] - b[k];
            sums[k] += d * d;
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Mean over scans of the mean of the highest hundredth of distances.
fn good_score(scans: &[Distances]) -> f64 {
    let score = |d: &Distances| {
        let mut sorted = d.good.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let top = &sorted[..sorted.len().div_ceil(100)];
        top.iter().map(|&v| f64::from(v)).sum::<f64>() / top.len().max(1) as f64
    };
    scans.iter().map(score).sum::<f64>() / scans.len().max(1) as f64
}

/// AUROC of all defective against all good patches; a half where there are none.
fn separation(scans: &[Distances]) -> f64 {
    let of = |pick: fn(&Distances) -> &Vec<f32>| scans.iter().flat_map(pick).copied();
    let scores: Vec<f32> = of(|d| &d.good).chain(of(|d| &d.defective)).collect();
    let good = scans.iter().map(|d| d.good.len()).sum::<usize>();
    let labels: Vec<bool> = (0..scores.len()).map(|i| i >= good).collect();
    auroc(&scores, &labels).unwrap_or(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_data::Frame;
    use ndarray::Array3;

    #[test]
    fn a_patch_is_as_far_as_its_nearest_row() {
        let values = Array3::from_shape_vec((9, 1, 2), (0..18).map(|i| i as f32).collect()).unwrap();
        let grid = Grid { values, valid: None, frame: Frame::NATIVE };
        let bank: Vec<f32> =
            [0.0_f32, 3.0].iter().flat_map(|d| rows(&grid, &[1]).into_iter().map(move |v| v + d)).collect();
        let found = nearest(&grid, &[0, 1], &bank);
        // Cell 0 differs from cell 1 by 1 in each of 9 channels.
        assert_eq!(found, [3.0, 0.0]);
    }

    #[test]
    fn patches_that_stand_out_separate_and_others_do_not() {
        let scan =
            |defective: Vec<f32>| Distances { good: (0..200).map(|i| i as f32 / 200.0).collect(), defective };
        assert_eq!(separation(&[scan(vec![2.0, 3.0])]), 1.0);
        assert!((separation(&[scan(vec![0.0; 5]), scan(vec![5.0; 5])]) - 0.5).abs() < 0.01);
        assert_eq!(separation(&[]), 0.5);
        assert!((good_score(&[scan(Vec::new())]) - (0.995 + 0.990) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn cells_are_drawn_once_each() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = sample((0..50).collect(), 20, &mut random);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 20);
        assert_eq!(sample(vec![4, 5], 20, &mut random).len(), 2);
    }
}
