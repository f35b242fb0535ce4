//! Writes the category of `assay demo` with as many test scans as wanted: `category DIR SEED SCANS [SIDE]`, so many good ones and so many of
//! each kind of defect, of `SIDE` x `SIDE` pixels in place of the demonstration's. Its good scans to learn from are those of `assay demo` with the same seed.

#![allow(clippy::print_stdout, reason = "a program for measurements")]

use assay_synthetic::{Spec, generate};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, seed, scans, side) = match arguments.as_slice() {
        [dir, seed, scans] => (dir, seed, scans, None),
        [dir, seed, scans, side] => (dir, seed, scans, Some(side)),
        _ => return Err("usage: category DIR SEED SCANS [SIDE]".into()),
    };
    let scans = scans.parse()?;
    let mut spec = Spec { test_good: scans, defects_per_kind: scans, ..Spec::demonstration(seed.parse()?) };
    if let Some(side) = side {
        let side = side.parse()?;
        spec.size = (side, side);
    }
    let made = generate(Path::new(dir), &spec)?;
    println!("{} scans to learn from, {} to test", made.train, made.test_good + made.defects.len());
    Ok(())
}
