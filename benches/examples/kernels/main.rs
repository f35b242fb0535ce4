//! Times kernels on matrices from files, for the side-by-side runs of `benches/peers`.
//!
//! ```text
//! kernels nearest BANK QUERIES COLUMNS THREADS REPEATS OUT
//! kernels coreset ROWS COLUMNS COUNT START THREADS REPEATS OUT
//! kernels brute ROWS COLUMNS COUNT START THREADS REPEATS OUT
//! kernels fpfh POINTS NORMALS NORMALS_NN NEIGHBOURS THREADS REPEATS OUT
//! kernels padim SAMPLES SCAN POSITIONS CHANNELS EPSILON STORAGE THREADS REPEATS OUT
//! ```
//!
//! Matrices are raw little-endian f32, row after row; SAMPLES holds the rows of one good scan after the other; STORAGE is f32
//! or f16. Prints the milliseconds of each repeat, after one that does not count. What was found goes to OUT.rows (u64) and OUT.distances
//! (f32): nearest rows with their distances, picks with the radii, or the positions with theirs. `fpfh` writes OUT.normals (f32, 3
//! columns) and OUT.features (f32, 33 columns); NORMALS is a matrix to make features from alone, or - for their own.
#![allow(clippy::print_stdout, reason = "a program for a script")]

mod brute;
mod points;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use assay_kernels::bank::{Bank, Neighbour};
use assay_kernels::coreset::{Coreset, greedy_k_centre};
use assay_kernels::gaussian::{Gaussians, Moments, Storage};
use assay_pointcloud::{Facing, Features, Surroundings};
use assay_sdk::Parallel;
use ndarray::{Array2, Axis};
use rayon::prelude::*;

/// The host's loop, on a pool of a given size.
struct Pool(rayon::ThreadPool);

impl Parallel for Pool {
    fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
        self.0.install(|| (0..n).into_par_iter().with_max_len(1).for_each(body));
    }

    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["nearest", bank, queries, columns, threads, repeats, out] => {
            let (bank, queries) = (matrix(bank, columns)?, matrix(queries, columns)?);
            let pool = pool(threads)?;
            let bank = prepared(|| Ok(Bank::new(bank, &pool)?))?;
            let found = timed(repeats, || Ok(bank.nearest(queries.view(), &pool)?))?;
            save(out, found.iter().map(|n| n.row), found.iter().map(Neighbour::distance))
        }
        [how @ ("coreset" | "brute"), rows, columns, count, start, threads, repeats, out] => {
            let (rows, pool) = (matrix(rows, columns)?, pool(threads)?);
            let (count, start) = (count.parse()?, start.parse()?);
            let Coreset { picks, radii } = timed(repeats, || match *how {
                "brute" => brute::greedy_k_centre(rows.view(), count, start, &pool),
                _ => Ok(greedy_k_centre(rows.view(), count, start, &pool)?),
            })?;
            save(out, picks.into_iter(), radii.into_iter())
        }
        ["padim", samples, scan, positions, channels, epsilon, storage, threads, repeats, out] => {
            let (samples, scan) = (matrix(samples, channels)?, matrix(scan, channels)?);
            let (positions, epsilon) = (positions.parse()?, epsilon.parse()?);
            let storage = match *storage {
                "f32" => Storage::Single,
                "f16" => Storage::Half,
                other => bail!("{other} is no storage: write f32 or f16"),
            };
            let pool = pool(threads)?;
            let model = prepared(|| gaussians(&samples, positions, epsilon, storage, &pool))?;
            let valid = vec![true; positions];
            let found = timed(repeats, || Ok(model.distances(scan.view(), &valid, &pool)?))?;
            save(out, 0..found.len(), found.iter().copied())
        }
        ["fpfh", cloud, normals, count, neighbours, threads, repeats, out] => {
            let (cloud, pool) = (points::read(cloud)?, pool(threads)?);
            let from = Surroundings {
                normals: count.parse()?,
                histograms: neighbours.parse()?,
                radius: f32::INFINITY,
            };
            let given = if *normals == "-" { None } else { Some(points::read(normals)?) };
            let given = given.as_deref();
            ensure!(given.is_none_or(|g| g.len() == cloud.len()), "other numbers of points and normals");
            let found = timed(repeats, || Ok(Features::of(&cloud, given, from, Facing::Camera, &pool)?))?;
            points::save(&found, out)
        }
        _ => {
            bail!(
                "kernels nearest | coreset | brute | fpfh | padim, and their arguments: see the top of the source"
            )
        }
    }
}

/// The Gaussians of `samples`, which hold `positions` rows each.
fn gaussians(
    samples: &Array2<f32>,
    positions: usize,
    epsilon: f64,
    storage: Storage,
    pool: &Pool,
) -> Result<Gaussians> {
    let dims = samples.ncols();
    let mut moments = Moments::new(positions, dims)?;
    for sample in samples.axis_chunks_iter(Axis(0), positions) {
        moments.add(sample, &vec![true; positions], pool)?;
    }
    let mut gaussians = Gaussians::none(dims, positions, storage)?;
    moments.finish_into(&mut gaussians, epsilon, pool)?;
    Ok(gaussians)
}

fn pool(threads: &str) -> Result<Pool> {
    Ok(Pool(rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?))
}

fn matrix(file: &str, columns: &str) -> Result<Array2<f32>> {
    let columns: usize = columns.parse()?;
    let bytes = std::fs::read(file).with_context(|| format!("reading {file}"))?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    ensure!(
        columns > 0 && values.len().is_multiple_of(columns),
        "{file} is not a matrix of {columns} columns"
    );
    Ok(Array2::from_shape_vec((values.len() / columns, columns), values)?)
}

/// What is made once, before anything is asked of it; prints how long that took.
fn prepared<T>(make: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let made = make()?;
    println!("prepare {:.3}", milliseconds(start));
    Ok(made)
}

fn timed<T>(repeats: &str, mut run: impl FnMut() -> Result<T>) -> Result<T> {
    let mut result = run()?;
    for _ in 0..repeats.parse::<usize>()? {
        let start = Instant::now();
        result = run()?;
        println!("repeat {:.3}", milliseconds(start));
    }
    Ok(result)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn save(out: &str, rows: impl Iterator<Item = usize>, distances: impl Iterator<Item = f32>) -> Result<()> {
    let rows: Vec<u8> = rows.flat_map(|row| (row as u64).to_le_bytes()).collect();
    let distances: Vec<u8> = distances.flat_map(f32::to_le_bytes).collect();
    for (ending, bytes) in [("rows", rows), ("distances", distances)] {
        let file = format!("{out}.{ending}");
        std::fs::write(&file, bytes).with_context(|| format!("writing {file}"))?;
    }
    Ok(())
}
