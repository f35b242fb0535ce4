//! A short run of every target: its seeds, cut and mutated, the same at every run.
#![allow(clippy::panic, reason = "a test")]

use assay_fuzz::mutation::Mutator;
use assay_fuzz::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Mutations of each target.
const MUTATIONS: usize = 20_000;
/// Bytes of the longest mutated input.
const LONGEST: usize = 1 << 16;

/// Checks an input; a failure shows it.
fn check(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target.check(input))).is_err() {
        panic!("{}: failed on \"{}\"", target.name, input.escape_ascii());
    }
}

#[test]
fn every_target_holds_on_its_seeds_cut_and_mutated() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        let mut mutator = Mutator::new(0, (target.words)(), LONGEST);
        check(target, &[]);
        for seed in &seeds {
            check(target, seed);
            // Every length of a small file, some of a larger one.
            for length in (0..seed.len()).step_by(1 + seed.len() / 256) {
                check(target, &seed[..length]);
            }
        }
        let mut inputs = seeds;
        for n in 0..MUTATIONS {
            let (one, other) = (mutator.below(inputs.len()), mutator.below(inputs.len()));
            let input = mutator.mutated(&inputs[one], &inputs[other]);
            check(target, &input);
            // Some are mutated further.
            if n % 16 == 0 && input.len() < LONGEST / 16 {
                inputs.push(input);
            }
        }
    }
}
