//! The method beside a plain one, which knows no banks: it compares each cell with each training cell of its region.

use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Content, ParamValue};

use super::over;
use crate::Fapm;

/// Numbers that look random, from 0 to 1.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..n).map(|_| next()).collect()
}

const FINE: [usize; 3] = [4, 9, 10];
const COARSE: [usize; 3] = [6, 4, 5];

fn scan(seed: u64) -> Vec<TestValue> {
    let layer =
        |shape: [usize; 3], salt| over((9, 10), shape, &noise(seed * 2 + salt, shape.iter().product()));
    vec![layer(FINE, 0), layer(COARSE, 1)]
}

/// A cell's mean over 3 x 3 cells, those beyond the border as zeros.
fn pooled(value: &TestValue, y: usize, x: usize) -> Vec<f64> {
    let [channels, rows, cols] = [value.shape[0], value.shape[1], value.shape[2]];
    let mean = |c: usize| {
        let mut sum = 0.0;
        for yy in y.saturating_sub(1)..(y + 2).min(rows) {
            for xx in x.saturating_sub(1)..(x + 2).min(cols) {
                sum += f64::from(value.values[(c * rows + yy) * cols + xx]);
            }
        }
        sum / 9.0
    };
    (0..channels).map(mean).collect()
}

/// The region of a place along one axis.
fn part(place: usize, parts: usize, whole: usize) -> usize {
    (0..parts).rev().find(|i| i * whole / parts <= place).unwrap()
}

/// Distances of a cell to all training cells of its region and layer, ascending.
fn distances(
    training: &[Vec<TestValue>],
    scan: &TestValue,
    layer: usize,
    y: usize,
    x: usize,
    cells: usize,
) -> Vec<f64> {
    let (rows, cols) = (scan.shape[1], scan.shape[2]);
    let region = |y, x| (part(y, cells, rows), part(x, cells, cols));
    let query = pooled(scan, y, x);
    let mut all = Vec::new();
    for other in training {
        for yy in 0..rows {
            for xx in (0..cols).filter(|&xx| region(yy, xx) == region(y, x)) {
                let row = pooled(&other[layer], yy, xx);
                let squared: f64 = query.iter().zip(&row).map(|(a, b)| (a - b) * (a - b)).sum();
                all.push(squared.sqrt());
            }
        }
    }
    all.sort_by(f64::total_cmp);
    all
}

#[test]
fn scores_are_those_of_comparing_each_cell_with_its_region() {
    let training: Vec<_> = (0..3).map(scan).collect();
    let test = scan(40);
    for (cells, neighbours) in [(3, 4), (4, 2), (1, 5), (2, 1), (4, 9)] {
        let params = [
            ("cells", ParamValue::Int(cells as i64)),
            ("neighbours", ParamValue::Int(neighbours as i64)),
            ("coreset", ParamValue::Float(1.0)),
        ];
        let mut runner = Runner::new::<Fapm>(&params).unwrap();
        runner.fit(&training).unwrap();
        let out = runner.score(&test).unwrap().remove(0);

        let mut ranks = Vec::new();
        for y in 0..9 {
            for x in 0..10 {
                let fine = distances(&training, &test[0], 0, y, x, cells);
                let (cy, cx) = (((2 * y + 1) * 4) / 18, ((2 * x + 1) * 5) / 20);
                let coarse = distances(&training, &test[1], 1, cy, cx, cells);
                let rank = |all: &[f64], k: usize| all[k.min(all.len() - 1)];
                ranks.push((0..neighbours).map(|k| rank(&fine, k) + rank(&coarse, k)).collect::<Vec<_>>());
            }
        }
        for (got, expected) in out.values.iter().zip(&ranks) {
            assert!((f64::from(*got) - expected[0]).abs() < 1e-5, "{got} {expected:?}");
        }
        let worst = ranks.iter().reduce(|a, b| if b[0] > a[0] { b } else { a }).unwrap();
        let greatest = worst[neighbours - 1];
        let softmax = greatest.exp() / worst.iter().map(|d| d.exp()).sum::<f64>();
        let image = if neighbours < 2 { greatest } else { (1.0 - softmax) * greatest };
        assert!((out.image_score - image).abs() < 1e-4, "{} {image}", out.image_score);
    }
}

#[test]
fn a_bank_with_fewer_rows_repeats_its_farthest() {
    let params = [("pool", ParamValue::Int(1)), ("coreset", ParamValue::Float(1.0))];
    let mut runner = Runner::new::<Fapm>(&params).unwrap();
    let one = |x: f32| vec![TestValue::grid(Content::Features, [1, 1, 1], vec![x])];
    runner.fit(&[one(0.0), one(1.0)]).unwrap();
    let out = runner.score(&one(3.0)).unwrap().remove(0);
    // The vector is (2, 3, 3, 3).
    let weight = 1.0 - 3f64.exp() / (2f64.exp() + 3.0 * 3f64.exp());
    assert_eq!(out.values, [2.0]);
    assert!((out.image_score - weight * 3.0).abs() < 1e-6);
}
