//! Writes a category with as many test scans as wanted: `category DIR SEED SCANS`, so many good ones and so many of each kind of defect.
//! Its size and its good scans are those of `assay demo` with the same seed.

#![allow(clippy::print_stdout, reason = "a program for measurements")]

use assay_synthetic::{Spec, generate};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, seed, scans] = arguments.as_slice() else {
        return Err("usage: category DIR SEED SCANS".into());
    };
    let scans = scans.parse()?;
    let spec = Spec {
        size: (400, 400),
        validation: 20,
        test_good: scans,
        defects_per_kind: scans,
        seed: seed.parse()?,
        ..Spec::default()
    };
    let made = generate(Path::new(dir), &spec)?;
    println!("{} scans to learn from, {} to test", made.train, made.test_good + made.defects.len());
    Ok(())
}
