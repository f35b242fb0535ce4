//! Times kernels on matrices from files, for the side-by-side runs of `benches/peers`.
//!
//! `kernels nearest BANK QUERIES COLUMNS THREADS REPEATS OUT` and `kernels coreset ROWS COLUMNS COUNT THREADS REPEATS OUT`: matrices are
//! raw little-endian f32, row after row. Prints the milliseconds of each repeat and writes the rows found as u64.
#![allow(clippy::print_stdout, reason = "a program for a script")]

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use assay_kernels::bank::Bank;
use assay_kernels::coreset::greedy_k_centre;
use assay_sdk::Parallel;
use ndarray::Array2;
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
            let start = Instant::now();
            let bank = Bank::new(bank, &pool)?;
            println!("prepare {:.3}", start.elapsed().as_secs_f64() * 1e3);
            let found = timed(repeats, || Ok(bank.nearest(queries.view(), &pool)?))?;
            save(out, found.iter().map(|n| n.row))
        }
        ["coreset", rows, columns, count, threads, repeats, out] => {
            let (rows, pool) = (matrix(rows, columns)?, pool(threads)?);
            let count = count.parse()?;
            let found = timed(repeats, || Ok(greedy_k_centre(rows.view(), count, 0, &pool)?))?;
            save(out, found.picks.into_iter())
        }
        _ => bail!(
            "kernels nearest BANK QUERIES COLUMNS THREADS REPEATS OUT | kernels coreset ROWS COLUMNS COUNT THREADS REPEATS OUT"
        ),
    }
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

fn timed<T>(repeats: &str, mut run: impl FnMut() -> Result<T>) -> Result<T> {
    let mut result = run()?;
    for _ in 0..repeats.parse::<usize>()? {
        let start = Instant::now();
        result = run()?;
        println!("repeat {:.3}", start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(result)
}

fn save(out: &str, rows: impl Iterator<Item = usize>) -> Result<()> {
    let bytes: Vec<u8> = rows.flat_map(|row| (row as u64).to_le_bytes()).collect();
    std::fs::write(out, bytes).with_context(|| format!("writing {out}"))
}
