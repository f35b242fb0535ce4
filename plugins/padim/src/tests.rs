//! The method through the C functions that the host calls.

use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Code, Content, ParamValue};

use crate::Padim;

/// One channel on a row of cells.
fn line(values: &[f32]) -> Vec<TestValue> {
    vec![TestValue::grid(Content::Features, [1, 1, values.len()], values.to_vec())]
}

fn masked(values: &[f32], valid: &[u8]) -> Vec<TestValue> {
    line(values).into_iter().map(|v| v.with_valid(valid.to_vec())).collect()
}

/// Two taps of 3 and 2 channels, the second half as fine.
fn taps(seed: usize) -> Vec<TestValue> {
    let wave = |n: usize| (0..n).map(|i| ((i * 37 + seed * 11) % 19) as f32 * 0.1).collect::<Vec<_>>();
    let mut coarse = TestValue::grid(Content::Features, [2, 2, 2], wave(8));
    coarse.frame = coarse.frame.resized((4, 4), (2, 2));
    vec![TestValue::grid(Content::Features, [3, 4, 4], wave(48)), coarse]
}

fn fitted(params: &[(&str, ParamValue)], seed: u64) -> Runner {
    let mut runner = Runner::with_seed::<Padim>(params, seed).unwrap();
    runner.fit(&(0..4).map(taps).collect::<Vec<_>>()).unwrap();
    runner
}

#[test]
fn scores_are_deviations_in_units_of_the_training_spread() {
    let mut runner = Runner::new::<Padim>(&[("epsilon", ParamValue::Float(1.0))]).unwrap();
    runner.fit(&[line(&[1.0, 0.0]), line(&[3.0, 0.0]), line(&[5.0, 0.0])]).unwrap();
    let out = runner.score(&line(&[6.0, -2.0])).unwrap().remove(0);
    // Mean 3 and variance 4 + 1; mean 0 and variance 0 + 1.
    assert!((out.values[0] - 3.0 / 5f32.sqrt()).abs() < 1e-6 && (out.values[1] - 2.0).abs() < 1e-6);
    assert!((out.image_score - 2.0).abs() < 1e-6);
}

#[test]
fn a_position_learnt_from_fewer_than_two_cells_is_invalid() {
    let mut runner = Runner::new::<Padim>(&[]).unwrap();
    runner.fit(&[masked(&[1.0, 0.0], &[1, 1]), masked(&[2.0, 0.0], &[1, 0])]).unwrap();
    let out = runner.score(&line(&[1.5, 9.0])).unwrap().remove(0);
    assert_eq!((out.values, out.valid, out.image_score), (vec![0.0, 0.0], Some(vec![1, 0]), 0.0));
    let nothing = runner.score(&masked(&[1.5, 9.0], &[0, 1])).unwrap_err();
    assert_eq!(nothing.code, Code::Input);
}

#[test]
fn one_training_scan_is_too_few() {
    let mut runner = Runner::new::<Padim>(&[]).unwrap();
    assert_eq!(runner.fit(&[line(&[1.0])]).unwrap_err().code, Code::Input);
}

#[test]
fn fewer_scans_than_channels_still_give_finite_scores() {
    let runner = fitted(&[("channels", ParamValue::Int(0))], 0);
    let out = runner.score(&taps(9)).unwrap().remove(0);
    assert_eq!(out.values.len(), 16);
    assert!(out.values.iter().all(|s| s.is_finite()) && out.image_score > 0.0);
}

#[test]
fn a_saved_model_scores_the_same_bits_whatever_the_seed_of_its_loader() {
    let params = [("channels", ParamValue::Int(2))];
    let runner = fitted(&params, 1);
    let state = runner.save().unwrap();
    assert_eq!(state, fitted(&params, 1).save().unwrap());
    assert!(
        (2..20).any(|seed| fitted(&params, seed).save().unwrap() != state),
        "the seed draws the channels"
    );
    let mut loaded = Runner::with_seed::<Padim>(&params, 77).unwrap();
    loaded.plan(&taps(0)).unwrap();
    loaded.load(&state).unwrap();
    assert_eq!(loaded.score(&taps(8)).unwrap(), runner.score(&taps(8)).unwrap());
}

#[test]
fn a_broken_state_is_an_error() {
    let mut runner = fitted(&[("channels", ParamValue::Int(2))], 1);
    let state = runner.save().unwrap();
    for length in (0..state.len()).step_by(3) {
        assert_eq!(runner.load(&state[..length]).unwrap_err().code, Code::State, "{length} bytes");
    }
    // The SDK's mark, id and flag come first; then version, rows, columns, channels there, channels kept, their numbers, the mask.
    let own = 8 + 8 + "padim".len() + 1;
    for at in [own, own + 8, own + 16, own + 24, own + 39, own + 43, own + 48] {
        let mut altered = state.clone();
        altered[at] = 0xee;
        assert_eq!(runner.load(&altered).unwrap_err().code, Code::State, "byte {at}");
    }
}

#[test]
fn a_fit_beyond_its_memory_is_refused_when_planned() {
    let params = [("channels", ParamValue::Int(0)), ("memory_limit", ParamValue::Int(1))];
    let mut runner = Runner::new::<Padim>(&params).unwrap();
    let wide = vec![TestValue::grid(Content::Features, [500, 4, 4], vec![0.0; 8000])];
    let error = runner.plan(&wide).unwrap_err();
    assert_eq!((error.code, error.subject.as_str()), (Code::Parameter, "channels"));
    assert!(error.message.contains("MiB"), "{error}");
}

#[test]
fn a_fit_in_bands_is_that_in_one_pass() {
    let fit = |memory_limit: i64, storage: &str| {
        let params = [
            ("channels", ParamValue::Int(0)),
            ("memory_limit", ParamValue::Int(memory_limit)),
            ("storage", ParamValue::String(storage.into())),
        ];
        let mut runner = Runner::new::<Padim>(&params).unwrap();
        let scan = |seed: usize| {
            let values = (0..120 * 36).map(|i| ((i * 37 + seed * 1013) % 101) as f32 * 0.1).collect();
            vec![TestValue::grid(Content::Features, [120, 6, 6], values)]
        };
        runner.fit(&(0..5).map(scan).collect::<Vec<_>>()).unwrap();
        (runner.save().unwrap(), runner.score(&scan(9)).unwrap().remove(0).values)
    };
    // 36 positions of 7380 values: 1.01 MiB of f32 are kept, and 0.09 MB more are summed for each position of a band.
    let (whole, scores) = fit(1000, "f32");
    assert_eq!(fit(2, "f32"), (whole.clone(), scores.clone()));
    let (small, halves) = fit(2, "f16");
    assert!(small.len() < whole.len() * 6 / 10);
    for (a, b) in scores.iter().zip(halves) {
        assert!((a - b).abs() < 2e-3 * a, "{a} {b}");
    }
}

/// The layout of saved models, which older ones share: means, then for each position the columns of its factor.
#[test]
fn a_saved_factor_is_a_packed_triangle_that_solves_to_the_score() {
    let (dims, positions) = (5, 16);
    for (storage, bytes) in [("f32", 4), ("f16", 2)] {
        let params = [("channels", ParamValue::Int(0)), ("storage", ParamValue::String(storage.into()))];
        let runner = fitted(&params, 0);
        let state = runner.save().unwrap();
        let triangles = &state[state.len() - positions * 15 * bytes..];
        let means = &state[..state.len() - triangles.len()];
        let means = &means[means.len() - positions * dims * 4..];
        let single = |b: &[u8]| f64::from(f32::from_le_bytes(b.try_into().unwrap()));
        let value = |b: &[u8]| match bytes {
            4 => single(b),
            _ => half::f16::from_le_bytes(b.try_into().unwrap()).to_f64(),
        };
        let scan = taps(9);
        let scores = runner.score(&scan).unwrap().remove(0).values;
        for (cell, triangle) in triangles.chunks(15 * bytes).enumerate() {
            // A coarse cell covers 2 x 2 of the fine ones.
            let coarse = cell / 8 * 2 + cell % 4 / 2;
            let sample = (0..3)
                .map(|c| scan[0].values[16 * c + cell])
                .chain((0..2).map(|c| scan[1].values[4 * c + coarse]));
            let mut z: Vec<f64> = sample
                .zip(means[cell * dims * 4..].chunks(4))
                .map(|(x, mean)| f64::from(x) - single(mean))
                .collect();
            let mut values = triangle.chunks(bytes).map(value);
            for j in 0..dims {
                z[j] *= values.next().unwrap();
                for i in j + 1..dims {
                    z[i] -= z[j] * values.next().unwrap();
                }
            }
            let expected = z.iter().map(|z| z * z).sum::<f64>().sqrt();
            assert!((f64::from(scores[cell]) - expected).abs() < 1e-4 * expected, "{expected}");
        }
    }
}
