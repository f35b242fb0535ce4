//! The method through the C functions that the host calls.

mod coreset;
mod naive;

use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Code, Content, ParamValue};

use crate::Fapm;

const PLAIN: &[(&str, ParamValue)] =
    &[("coreset", ParamValue::Float(1.0)), ("pool", ParamValue::Int(1)), ("neighbours", ParamValue::Int(1))];

/// Bytes that the SDK writes before the method's own: its mark, the method's id with its length, one flag.
const HEADER: usize = 8 + 8 + "fapm".len() + 1;

fn grid(shape: [usize; 3], values: &[f32]) -> TestValue {
    TestValue::grid(Content::Features, shape, values.to_vec())
}

/// A grid over the part of the picture that `rows` x `cols` native pixels cover.
fn over((rows, cols): (usize, usize), shape: [usize; 3], values: &[f32]) -> TestValue {
    let mut value = grid(shape, values);
    value.frame = value.frame.resized((rows, cols), (shape[1], shape[2]));
    value
}

/// Features that differ a little from scan to scan: two layers whose sizes no number of regions divides.
fn good(seed: usize) -> Vec<TestValue> {
    let wave = |n: usize| (0..n).map(|i| ((i * 37 + seed * 11) % 19) as f32 * 0.1).collect::<Vec<_>>();
    vec![over((8, 7), [3, 8, 7], &wave(168)), over((8, 7), [5, 4, 3], &wave(60))]
}

fn with(change: &[(&'static str, ParamValue)]) -> Vec<(&'static str, ParamValue)> {
    let kept = PLAIN.iter().filter(|(name, _)| change.iter().all(|(other, _)| other != name));
    kept.chain(change).cloned().collect()
}

#[test]
fn a_patch_is_compared_with_its_own_region_alone() {
    let mut runner = Runner::new::<Fapm>(&with(&[("cells", ParamValue::Int(2))])).unwrap();
    runner.fit(&[vec![grid([1, 1, 4], &[1.0, 2.0, 10.0, 20.0])]]).unwrap();
    let out = runner.score(&[grid([1, 1, 4], &[10.0, 1.0, 1.0, 20.5])]).unwrap().remove(0);
    assert_eq!(out.values, [8.0, 0.0, 9.0, 0.5]);
    assert_eq!(out.valid, Some(vec![1; 4]));
    assert_eq!(out.image_score, 9.0);
}

#[test]
fn layers_are_searched_apart_and_added_on_the_finest_grid() {
    let mut runner = Runner::new::<Fapm>(PLAIN).unwrap();
    let scan = |fine: &[f32], coarse: &[f32]| {
        // In this order, so that the finest grid is not the first.
        vec![over((1, 4), [1, 1, 2], coarse), over((1, 4), [1, 1, 4], fine)]
    };
    runner.fit(&[scan(&[0.0; 4], &[5.0, 6.0])]).unwrap();
    assert_eq!(runner.plan(&scan(&[0.0; 4], &[0.0; 2])).unwrap(), [(1, 1, 4)]);
    let out = runner.score(&scan(&[1.0, 2.0, 3.0, 4.0], &[5.5, 8.0])).unwrap().remove(0);
    assert_eq!(out.values, [1.5, 2.5, 5.0, 6.0]);
}

#[test]
fn there_are_no_more_regions_than_the_coarsest_input_has_cells() {
    let mut runner = Runner::new::<Fapm>(PLAIN).unwrap();
    runner.fit(&[good(0)]).unwrap();
    let state = runner.save().unwrap();
    let number = |i: usize| u64::from_le_bytes(state[HEADER + 8 * i..][..8].try_into().unwrap());
    // Version, layers, regions down and across, then rows, columns and channels of each layer.
    assert_eq!((0..10).map(number).collect::<Vec<_>>(), [1, 2, 4, 3, 8, 7, 3, 4, 3, 5]);
    // Columns 0..2, 2..4, 4..7 of two rows of the finer layer.
    assert_eq!((10..13).map(number).collect::<Vec<_>>(), [4, 4, 6]);
}

#[test]
fn masked_cells_are_neither_learnt_nor_scored() {
    let mut runner = Runner::new::<Fapm>(&with(&[("cells", ParamValue::Int(1))])).unwrap();
    runner.fit(&[vec![grid([1, 1, 2], &[1.0, 100.0]).with_valid(vec![1, 0])]]).unwrap();
    let out = runner.score(&[grid([1, 1, 2], &[100.0, 1.0])]).unwrap().remove(0);
    assert_eq!(out.values, [99.0, 0.0]);
    let out = runner.score(&[grid([1, 1, 2], &[100.0, 2.0]).with_valid(vec![0, 1])]).unwrap().remove(0);
    assert_eq!((out.values, out.valid, out.image_score), (vec![0.0, 1.0], Some(vec![0, 1]), 1.0));
}

#[test]
fn a_cell_is_valid_where_it_is_in_every_layer() {
    let mut runner = Runner::new::<Fapm>(&with(&[("cells", ParamValue::Int(1))])).unwrap();
    let scan = |valid: Vec<u8>| {
        let fine = over((1, 4), [1, 1, 4], &[0.0, 1.0, 2.0, 3.0]).with_valid(valid);
        vec![fine, over((1, 4), [1, 1, 2], &[7.0, 9.0])]
    };
    // Both cells under the second coarse one are masked, so it is not learnt either: its distance is 9 - 7.
    runner.fit(&[scan(vec![1, 1, 0, 0])]).unwrap();
    let out = runner.score(&scan(vec![1, 0, 0, 1])).unwrap().remove(0);
    assert_eq!((out.values, out.valid), (vec![0.0, 0.0, 0.0, 4.0], Some(vec![1, 0, 0, 1])));
}

#[test]
fn a_region_that_learnt_nothing_uses_the_nearest_that_did() {
    let mut runner = Runner::new::<Fapm>(PLAIN).unwrap();
    let values = [1.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0];
    runner.fit(&[vec![grid([1, 1, 7], &values).with_valid(vec![1, 0, 1, 0, 0, 1, 0])]]).unwrap();
    let out = runner.score(&[grid([1, 1, 7], &[10.0; 7])]).unwrap().remove(0);
    assert_eq!(out.values, [9.0, 9.0, 7.0, 7.0, 4.0, 4.0, 4.0]);
    assert_eq!(out.valid, Some(vec![1; 7]));
}

#[test]
fn a_scan_or_a_training_set_without_a_valid_cell_is_an_error() {
    let mut runner = Runner::new::<Fapm>(PLAIN).unwrap();
    let blank = grid([1, 1, 2], &[0.0, 0.0]).with_valid(vec![0, 0]);
    assert_eq!(runner.fit(&[vec![blank.clone()]]).unwrap_err().code, Code::Input);
    runner.fit(&[vec![grid([1, 1, 2], &[1.0, 2.0])]]).unwrap();
    assert_eq!(runner.score(&[blank]).unwrap_err().code, Code::Input);
}

#[test]
fn saved_banks_score_the_same_bits() {
    let params = [("coreset", ParamValue::Float(0.3)), ("cells", ParamValue::Int(3))];
    let fit = |seed| {
        let mut runner = Runner::with_seed::<Fapm>(&params, seed).unwrap();
        runner.fit(&[good(1), good(2), good(3)]).unwrap();
        runner
    };
    let runner = fit(3);
    let state = runner.save().unwrap();
    assert_eq!(state, fit(3).save().unwrap());
    let mut loaded = Runner::with_seed::<Fapm>(&params, 99).unwrap();
    let scan = good(5);
    loaded.plan(&scan).unwrap();
    loaded.load(&state).unwrap();
    assert_eq!(loaded.save().unwrap(), state);
    assert_eq!(loaded.score(&scan).unwrap(), runner.score(&scan).unwrap());
}

#[test]
fn a_broken_state_is_an_error() {
    let mut runner = Runner::new::<Fapm>(&with(&[("cells", ParamValue::Int(1))])).unwrap();
    runner.fit(&[vec![grid([1, 1, 2], &[1.0, 5.0])]]).unwrap();
    let state = runner.save().unwrap();
    for length in 0..state.len() {
        assert_eq!(runner.load(&state[..length]).unwrap_err().code, Code::State, "{length} bytes");
    }
    let altered = |at: usize, value: u8| {
        let mut bytes = state.clone();
        bytes[at] = value;
        bytes
    };
    // Version, layers, regions down and across, rows, columns and channels; then a count of rows beyond `max_bank`,
    // one near 2^64, and none at all.
    let numbers = (0..7).map(|i| altered(HEADER + 8 * i, 9));
    let counts = [altered(HEADER + 59, 0x7f), altered(HEADER + 63, 0xff), altered(HEADER + 56, 0)];
    let end = state.len() - 1;
    let mut nan = altered(end, 0x7f);
    nan[end - 1] = 0xc0;
    for (i, bytes) in numbers.chain(counts).chain([nan]).enumerate() {
        assert_eq!(runner.load(&bytes).unwrap_err().code, Code::State, "change {i}");
    }
}

#[test]
fn banks_of_other_layers_are_refused() {
    let mut runner = Runner::new::<Fapm>(PLAIN).unwrap();
    runner.fit(&[good(0)]).unwrap();
    let state = runner.save().unwrap();
    runner.plan(&good(0)[..1]).unwrap();
    let error = runner.load(&state).unwrap_err();
    assert!(error.code == Code::State && error.message.contains("2 layers"), "{error}");
}

#[test]
fn wrong_parameters_are_named() {
    let error = Runner::new::<Fapm>(&[("pool", ParamValue::Int(4))]).err().unwrap();
    assert_eq!((error.code, error.subject.as_str()), (Code::Parameter, "pool"));
    assert!(Runner::new::<Fapm>(&[("coreset", ParamValue::Float(1.5))]).is_err());
    for name in ["max_rows", "max_bank"] {
        // 4 x 3 regions of two layers.
        let mut runner = Runner::new::<Fapm>(&with(&[(name, ParamValue::Int(23))])).unwrap();
        let error = runner.plan(&good(0)).unwrap_err();
        assert_eq!((error.code, error.subject.as_str()), (Code::Parameter, name));
        let mut runner = Runner::new::<Fapm>(&with(&[(name, ParamValue::Int(24))])).unwrap();
        runner.fit(&[good(0), good(1)]).unwrap();
        assert!(runner.score(&good(2)).unwrap()[0].image_score > 0.0);
    }
}

#[test]
fn scoring_before_fitting_is_an_error() {
    let mut runner = Runner::new::<Fapm>(&[]).unwrap();
    let scan = good(1);
    runner.plan(&scan).unwrap();
    assert_eq!(runner.score(&scan).unwrap_err().code, Code::State);
    assert_eq!(runner.save().unwrap_err().code, Code::State);
}
