//! The method through the C functions that the host calls.

mod clouds;

use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Code, Content, ParamValue};
use safetensors::SafeTensors;

use crate::PatchCore;

const PLAIN: &[(&str, ParamValue)] =
    &[("coreset", ParamValue::Float(1.0)), ("pool", ParamValue::Int(1)), ("neighbours", ParamValue::Int(0))];

/// Bytes that the SDK writes before the method's own: its mark, the method's id with its length, one flag. Version,
/// channels and rows follow, 8 bytes each.
const HEADER: usize = 8 + 8 + "patchcore".len() + 1;

fn grid(shape: [usize; 3], values: &[f32]) -> TestValue {
    TestValue::grid(Content::Features, shape, values.to_vec())
}

/// Features that differ a little from scan to scan.
fn good(seed: usize) -> Vec<TestValue> {
    let wave = |n: usize| (0..n).map(|i| ((i * 37 + seed * 11) % 19) as f32 * 0.1).collect::<Vec<_>>();
    vec![grid([3, 4, 4], &wave(48)), grid([2, 2, 2], &wave(8))]
}

#[test]
fn scores_are_distances_to_the_nearest_training_patch() {
    let mut runner = Runner::new::<PatchCore>(PLAIN).unwrap();
    runner.fit(&[vec![grid([1, 1, 2], &[1.0, 5.0])]]).unwrap();
    let out = runner.score(&[grid([1, 1, 2], &[1.5, 9.0])]).unwrap().remove(0);
    assert_eq!(out.values, [0.5, 4.0]);
    assert_eq!(out.valid, Some(vec![1, 1]));
    assert_eq!(out.image_score, 4.0);
}

#[test]
fn scores_lie_on_the_finest_grid() {
    let mut runner = Runner::new::<PatchCore>(&[]).unwrap();
    let mut swapped = good(0);
    swapped.reverse();
    // The coarse grid's cells are twice as large over the same picture.
    let place = |v: &mut TestValue| v.frame = v.frame.resized((4, 4), (2, 2));
    place(&mut swapped[0]);
    assert_eq!(runner.plan(&swapped).unwrap(), [(1, 4, 4)]);
}

#[test]
fn masked_cells_are_neither_learnt_nor_scored() {
    let mut runner = Runner::new::<PatchCore>(PLAIN).unwrap();
    runner.fit(&[vec![grid([1, 1, 2], &[1.0, 100.0]).with_valid(vec![1, 0])]]).unwrap();
    let out = runner.score(&[grid([1, 1, 2], &[100.0, 1.0])]).unwrap().remove(0);
    assert_eq!(out.values, [99.0, 0.0]);
    let out = runner.score(&[grid([1, 1, 2], &[100.0, 2.0]).with_valid(vec![0, 1])]).unwrap().remove(0);
    assert_eq!((out.values, out.valid, out.image_score), (vec![0.0, 1.0], Some(vec![0, 1]), 1.0));
}

#[test]
fn a_scan_or_a_training_set_without_a_valid_cell_is_an_error() {
    let mut runner = Runner::new::<PatchCore>(PLAIN).unwrap();
    let blank = grid([1, 1, 2], &[0.0, 0.0]).with_valid(vec![0, 0]);
    assert_eq!(runner.fit(&[vec![blank.clone()]]).unwrap_err().code, Code::Input);
    runner.fit(&[vec![grid([1, 1, 2], &[1.0, 2.0])]]).unwrap();
    assert_eq!(runner.score(&[blank]).unwrap_err().code, Code::Input);
}

#[test]
fn the_bank_has_the_size_asked_for() {
    let size = |params: &[(&str, ParamValue)]| {
        let mut runner = Runner::new::<PatchCore>(params).unwrap();
        let scans: Vec<_> = (0..5).map(|seed| vec![good(seed).remove(0)]).collect();
        runner.fit(&scans).unwrap();
        let state = runner.save().unwrap();
        u64::from_le_bytes(state[HEADER + 16..][..8].try_into().unwrap())
    };
    let (float, int) = (ParamValue::Float, ParamValue::Int);
    assert_eq!(size(&[("coreset", float(0.25))]), 20);
    assert_eq!(size(&[("coreset", float(7.0))]), 7);
    assert_eq!(size(&[("coreset", float(1.0)), ("max_bank", int(12))]), 12);
    assert_eq!(size(&[("coreset", float(0.25)), ("max_rows", int(30))]), 20);
    assert_eq!(size(&[("coreset", float(1.0)), ("max_rows", int(30))]), 30);
    assert_eq!(size(&[("coreset", float(0.1)), ("projection", int(2))]), 8);
}

/// Many patches of wide vectors: scans of 64 cells.
fn many(scans: usize) -> Vec<Vec<TestValue>> {
    let value = |i: usize, seed: usize| ((i * 7919 + seed * 104_729) % 1009) as f32 * 0.01;
    let scan = |seed| vec![grid([200, 8, 8], &(0..12_800).map(|i| value(i, seed)).collect::<Vec<_>>())];
    (0..scans).map(scan).collect()
}

#[test]
fn patches_in_the_scratch_folder_make_the_same_bank() {
    let folder = tempfile::tempdir().unwrap();
    for excess in ["draw", "parts"] {
        let params = [
            ("max_rows", ParamValue::Int(1500)),
            ("coreset", ParamValue::Float(40.0)),
            ("projection", ParamValue::Int(16)),
            ("excess", ParamValue::String(excess.into())),
        ];
        let mut spilled = params.to_vec();
        // A MiB holds 798 patches with what is compared of them, or 2040 without themselves: fewer than 1500 would be another bank.
        spilled.push(("memory_limit", ParamValue::Int(1)));
        let mut bank = Vec::new();
        for (params, scans) in [(&params[..], many(40)), (&spilled, many(40))] {
            let mut runner = Runner::new::<PatchCore>(params).unwrap().with_scratch(folder.path()).unwrap();
            runner.fit(&scans).unwrap();
            bank.push(runner.save().unwrap());
        }
        assert!(bank[0] == bank[1], "{excess}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn parts_keep_a_rare_patch_that_a_draw_would_likely_miss() {
    let mut scans = many(40);
    // One patch of 2560 lies far from all others.
    (0..200).for_each(|c| scans[17][0].values[c * 64 + 5] = 500.0);
    let nearest = |excess: &str| {
        let params = [
            ("max_rows", ParamValue::Int(256)),
            ("coreset", ParamValue::Float(20.0)),
            ("projection", ParamValue::Int(32)),
            ("neighbours", ParamValue::Int(0)),
            ("pool", ParamValue::Int(1)),
            ("excess", ParamValue::String(excess.into())),
        ];
        let mut runner = Runner::new::<PatchCore>(&params).unwrap();
        runner.fit(&scans).unwrap();
        runner.score(&scans[17]).unwrap().remove(0).values[5]
    };
    assert_eq!(nearest("parts"), 0.0);
    assert!(nearest("draw") > 1000.0);
}

#[test]
fn a_limit_below_the_patches_bounds_how_many_are_compared() {
    let params = [("memory_limit", ParamValue::Int(1)), ("coreset", ParamValue::Float(1.0))];
    let mut runner = Runner::new::<PatchCore>(&params).unwrap();
    runner.fit(&many(60)).unwrap();
    let rows = u64::from_le_bytes(runner.save().unwrap()[HEADER + 16..][..8].try_into().unwrap());
    // A MiB over the bytes of a patch, of what is compared, and of its part in the selection.
    assert_eq!(rows, (1 << 20) / (200 * 4 + 128 * 4 + 450));
}

#[test]
fn a_saved_bank_scores_the_same_bits() {
    let fit = |seed| {
        let mut runner =
            Runner::with_seed::<PatchCore>(&[("coreset", ParamValue::Float(0.3))], seed).unwrap();
        runner.fit(&[vec![good(1).remove(0)], vec![good(2).remove(0)]]).unwrap();
        runner
    };
    let runner = fit(3);
    let state = runner.save().unwrap();
    assert_eq!(state, fit(3).save().unwrap());
    let mut loaded = Runner::with_seed::<PatchCore>(&[], 99).unwrap();
    let scan = vec![good(5).remove(0)];
    loaded.plan(&scan).unwrap();
    loaded.load(&state).unwrap();
    assert_eq!(loaded.score(&scan).unwrap(), runner.score(&scan).unwrap());
}

#[test]
fn a_broken_state_is_an_error() {
    let mut runner = Runner::new::<PatchCore>(PLAIN).unwrap();
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
    // Version, channels, a row count near 2^64, a value that is NaN.
    let end = state.len() - 1;
    let mut nan = altered(end, 0x7f);
    nan[end - 1] = 0xc0;
    for bytes in [altered(HEADER, 9), altered(HEADER + 8, 3), altered(HEADER + 23, 0xff), nan] {
        assert_eq!(runner.load(&bytes).unwrap_err().code, Code::State);
    }
}

#[test]
fn wide_layers_are_pooled_as_in_the_paper_and_narrow_ones_put_side_by_side() {
    let dims = |params: &[(&str, ParamValue)]| {
        let mut runner = Runner::new::<PatchCore>(params).unwrap();
        runner.fit(&[vec![good(0).remove(0)]]).unwrap();
        u64::from_le_bytes(runner.save().unwrap()[HEADER + 8..][..8].try_into().unwrap())
    };
    let (int, word) = (ParamValue::Int, |w: &str| ParamValue::String(w.into()));
    assert_eq!(dims(&[]), 3);
    assert_eq!(dims(&[("width", int(2))]), 2);
    assert_eq!(dims(&[("width", int(2)), ("embedding", word("concat"))]), 3);
    assert_eq!(dims(&[("embedding", word("joint"))]), 1024);
}

#[test]
fn wrong_parameters_are_named() {
    let error = Runner::new::<PatchCore>(&[("pool", ParamValue::Int(4))]).err().unwrap();
    assert_eq!((error.code, error.subject.as_str()), (Code::Parameter, "pool"));
    assert!(Runner::new::<PatchCore>(&[("coreset", ParamValue::Float(0.0))]).is_err());
}

#[test]
fn scoring_before_fitting_is_an_error() {
    let mut runner = Runner::new::<PatchCore>(&[]).unwrap();
    let scan = vec![good(1).remove(0)];
    runner.plan(&scan).unwrap();
    assert_eq!(runner.score(&scan).unwrap_err().code, Code::State);
    assert_eq!(runner.save().unwrap_err().code, Code::State);
}

#[test]
fn golden_maps_and_image_scores() {
    let shared = std::env::var_os("ASSAY_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        std::path::PathBuf::from,
    );
    let read = |name| std::fs::read(shared.join("golden").join(name));
    let (Ok(backbone), Ok(expected)) = (read("backbone.safetensors"), read("patchcore.safetensors")) else {
        eprintln!("skipped: golden_maps_and_image_scores: shared scans not found");
        return;
    };
    let (backbone, expected) =
        (SafeTensors::deserialize(&backbone).unwrap(), SafeTensors::deserialize(&expected).unwrap());
    let doubles = |name: &str| -> Vec<f64> {
        expected.tensor(name).unwrap().data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect()
    };
    let taps = ["c3", "c4"].map(|name| backbone.tensor(name).unwrap());
    let scan = |i: usize| -> Vec<TestValue> {
        let tap = |t: &safetensors::tensor::TensorView<'_>| {
            let shape = [t.shape()[1], t.shape()[2], t.shape()[3]];
            let size = shape.iter().product::<usize>();
            let values =
                t.data()[i * size * 4..][..size * 4].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
            let mut value = TestValue::grid(Content::Features, shape, values.collect());
            value.frame = value.frame.resized((224, 224), (shape[1], shape[2]));
            value
        };
        taps.iter().map(tap).collect()
    };
    let mut runner = Runner::new::<PatchCore>(&[("coreset", ParamValue::Float(1.0))]).unwrap();
    runner.fit(&(0..10).map(scan).collect::<Vec<_>>()).unwrap();
    let (maps, images) = (doubles("patch_distance"), doubles("image_score_b9"));
    for i in 0..4 {
        let out = runner.score(&scan(10 + i)).unwrap().remove(0);
        for (got, expected) in out.values.iter().zip(&maps[784 * i..]) {
            assert!((f64::from(*got) - expected).abs() < 1e-4 * expected.max(1.0));
        }
        assert!((out.image_score - images[i]).abs() < 1e-4 * images[i]);
    }
}
