//! How many rows each bank keeps, and which.

use assay_kernels::choice::Reservoir;
use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Parallel, ParamValue, Serial};
use ndarray::Array2;

use super::{HEADER, good, grid, with};
use crate::Fapm;
use crate::thin::{Thinning, shares};

fn float(name: &'static str, x: f64) -> (&'static str, ParamValue) {
    (name, ParamValue::Float(x))
}

fn int(name: &'static str, x: i64) -> (&'static str, ParamValue) {
    (name, ParamValue::Int(x))
}

/// Rows of each bank of a single layer of 1 x 4 cells.
fn sizes(scans: &[Vec<TestValue>], change: &[(&'static str, ParamValue)]) -> Vec<u64> {
    let mut runner = Runner::new::<Fapm>(&with(change)).unwrap();
    runner.fit(scans).unwrap();
    let state = runner.save().unwrap();
    let counts = &state[HEADER + 56..][..32];
    counts.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect()
}

/// Twenty scans of 1 x 4 cells; the second varies ten times as much as the others.
fn uneven() -> Vec<Vec<TestValue>> {
    let value =
        |seed: usize, cell: usize| ((seed * 7 + cell) % 20) as f32 * if cell == 1 { 1.0 } else { 0.1 };
    (0..20)
        .map(|seed| vec![grid([1, 1, 4], &(0..4).map(|cell| value(seed, cell)).collect::<Vec<_>>())])
        .collect()
}

#[test]
fn a_large_region_keeps_more_rows() {
    let share = float("coreset", 0.2);
    assert_eq!(sizes(&uneven(), std::slice::from_ref(&share)), [4, 8, 4, 4]);
    assert_eq!(sizes(&uneven(), &[share.clone(), float("adaptive", 3.0)]), [4, 12, 4, 4]);
    assert_eq!(sizes(&uneven(), &[share.clone(), float("adaptive", 1.0)]), [4; 4]);
    assert_eq!(sizes(&uneven(), &[share.clone(), float("adaptive", 100.0)]), [4, 20, 4, 4]);
    assert_eq!(sizes(&uneven(), &[share.clone(), float("large", 5.0)]), [4; 4]);
    assert_eq!(sizes(&uneven(), &[share, float("large", 0.0)]), [8; 4]);
}

#[test]
fn the_limits_hold() {
    assert_eq!(sizes(&uneven(), &[float("coreset", 1.0)]), [20; 4]);
    assert_eq!(sizes(&uneven(), &[float("coreset", 1e-6)]), [1, 2, 1, 1]);
    // The share is of all patches seen, the rows are taken of those held.
    assert_eq!(sizes(&uneven(), &[float("coreset", 0.5), int("max_rows", 24)]), [6; 4]);
    assert_eq!(
        sizes(&uneven(), &[float("coreset", 1.0), int("max_bank", 16), float("adaptive", 1.0)]),
        [4; 4]
    );
    // Large regions keep their advantage.
    let limited = sizes(&uneven(), &[float("coreset", 0.2), int("max_bank", 15)]);
    assert!(limited.iter().sum::<u64>() <= 15 && limited[1] > limited[0], "{limited:?}");
    assert_eq!(shares(&[5, 0, 15], 23), [6, 1, 16]);
}

#[test]
fn a_bank_covers_its_region() {
    let fine = |share| {
        let mut runner = Runner::new::<Fapm>(&with(&[float("coreset", share), int("cells", 3)])).unwrap();
        runner.fit(&(0..19).map(good).collect::<Vec<_>>()).unwrap();
        // All values of the training scans recur, so whatever a bank leaves out is what is missing to zero.
        (0..19).map(|seed| runner.score(&good(seed)).unwrap()[0].image_score).fold(0.0, f64::max)
    };
    let (few, more, all) = (fine(0.05), fine(0.4), fine(1.0));
    assert!(few > more && more > all && all == 0.0, "{few} {more} {all}");
}

/// Indices handed out from the last to the first, as a pool of three threads might.
struct Backwards;
impl Parallel for Backwards {
    fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..n).rev().for_each(body);
    }
    fn threads(&self) -> usize {
        3
    }
}

#[test]
fn the_choice_does_not_depend_on_the_threads() {
    let how = Thinning { coreset: 0.2, adaptive: 2.0, large: 1.0, max_bank: 100, seed: 5 };
    let chosen = |banks: usize, par: &dyn Parallel| {
        let gathered: Vec<Reservoir> = (0..banks)
            .map(|bank| {
                let mut reservoir = Reservoir::new(3, 50, 0).unwrap();
                let rows = Array2::from_shape_fn((50, 3), |(i, c)| ((i * 13 + c * 5 + bank) % 17) as f32);
                reservoir.offer(rows.view(), &[true; 50]).unwrap();
                reservoir
            })
            .collect();
        let usual = how.usual(&gathered);
        how.keep(how.order(gathered, &usual, 0, par).unwrap(), banks)
    };
    // Fewer banks than threads, and more.
    for banks in [2, 5] {
        assert_eq!(chosen(banks, &Backwards), chosen(banks, &Serial));
    }
}
