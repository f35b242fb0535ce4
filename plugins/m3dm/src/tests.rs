//! The method without a host that runs networks.

use crate::M3dm;
use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Content, Frame, ParamValue};

const WITHOUT: &[(&str, ParamValue)] = &[("uff", ParamValue::Bool(false)), ("pool", ParamValue::Int(1))];

/// Colour on 2 x 2 cells in two layers, of which the coarser has one cell, and 3D on 4 x 4 cells, over 8 x 8 pixels.
fn scan(shift: f32) -> Vec<TestValue> {
    let grid = |port: usize, channels: usize, side: usize, level: f32| {
        let values = (0..channels * side * side).map(|i| level * (i as f32 + shift)).collect();
        let stride = 8.0 / side as f64;
        let frame = Frame { stride_x: stride, stride_y: stride, ..Frame::NATIVE };
        let mut value = TestValue::grid(Content::Features, [channels, side, side], values).with_frame(frame);
        value.port = port;
        value
    };
    vec![grid(0, 2, 2, 1.0), grid(0, 1, 1, 100.0), grid(1, 1, 4, 0.01)]
}

fn fitted() -> Runner {
    let mut runner = Runner::new::<M3dm>(WITHOUT).unwrap();
    runner.plan(&scan(0.0)).unwrap();
    runner.fit(&[scan(0.0), scan(1.0), scan(2.0), scan(3.0)]).unwrap();
    runner
}

#[test]
fn patches_of_each_modality_keep_their_grid_and_fused_ones_are_paired_where_they_lie() {
    let out = fitted().score(&scan(1.0)).unwrap();
    let shapes: Vec<Vec<usize>> = out.iter().map(|o| o.shape.clone()).collect();
    assert_eq!(shapes, [vec![3, 2, 2], vec![1, 4, 4], vec![4, 4, 4]]);
    // A fused plane of colour is the colour's own, each cell four times, up to the scale of all that is fused.
    let (colour, fused) = (&out[0].values, &out[2].values);
    let expand = |cell: usize| colour[cell / 8 * 2 + cell % 4 / 2];
    let line = |a: usize, b: usize| (fused[a] - fused[b]) / (expand(a) - expand(b));
    let slope = line(0, 15);
    for cell in 1..15 {
        let apart = (fused[cell] - fused[0]) - slope * (expand(cell) - expand(0));
        assert!(apart.abs() < 1e-4, "{cell}: {apart}");
    }
}

#[test]
fn every_input_is_on_one_scale_however_large_its_values_are() {
    let runner = fitted();
    let outputs: Vec<Vec<TestValue>> =
        [0.0, 1.0, 2.0].map(|shift| runner.score(&scan(shift)).unwrap()).into();
    let spread = |port: usize, channels: std::ops::Range<usize>, cells: usize| {
        let values: Vec<f32> = outputs
            .iter()
            .flat_map(|out| out[port].values[channels.start * cells..channels.end * cells].to_vec())
            .collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    };
    for (port, channels, cells) in [(0, 0..2, 4), (0, 2..3, 4), (1, 0..1, 16)] {
        let spread = spread(port, channels.clone(), cells);
        assert!((spread - 1.0).abs() < 0.05, "port {port}, channels {channels:?}: {spread}");
    }
}

#[test]
fn a_cell_is_fused_where_both_modalities_have_it() {
    let runner = fitted();
    let mut bare = scan(1.0);
    bare[0].valid = Some(vec![1, 0, 1, 1]);
    bare[2].valid = Some((0..16).map(|i| u8::from(i != 15)).collect());
    let out = runner.score(&bare).unwrap();
    assert_eq!(out[0].valid, Some(vec![1, 0, 1, 1]));
    assert_eq!(out[1].valid.as_ref().unwrap().iter().filter(|v| **v == 0).count(), 1);
    let missing: Vec<usize> = (0..16).filter(|&i| out[2].valid.as_ref().unwrap()[i] == 0).collect();
    assert_eq!(missing, [2, 3, 6, 7, 15]);
}

#[test]
fn a_state_comes_back_and_a_broken_one_is_refused() {
    let runner = fitted();
    let state = runner.save().unwrap();
    let mut other = Runner::new::<M3dm>(WITHOUT).unwrap();
    other.plan(&scan(0.0)).unwrap();
    for cut in 0..state.len() {
        assert!(other.load(&state[..cut]).is_err(), "{cut}");
    }
    other.load(&state).unwrap();
    assert_eq!(other.save().unwrap(), state);
    let values = |runner: &Runner| runner.score(&scan(0.5)).unwrap().remove(2).values;
    assert_eq!(values(&other), values(&runner));
    let mut narrow = Runner::new::<M3dm>(WITHOUT).unwrap();
    narrow.plan(&[scan(0.0).remove(0), scan(0.0).remove(2)]).unwrap();
    assert!(narrow.load(&state).unwrap_err().message.contains("fit again"));
}

#[test]
fn what_cannot_be_fused_is_refused_with_a_word_about_it() {
    let even = [("pool", ParamValue::Int(2))];
    assert_eq!(Runner::new::<M3dm>(&even).err().unwrap().subject, "pool");
    let mut elsewhere = scan(0.0);
    elsewhere[2] = elsewhere[2].clone().with_frame(Frame { offset_x: 100.0, ..Frame::NATIVE });
    let refused = Runner::new::<M3dm>(WITHOUT).unwrap().plan(&elsewhere).unwrap_err();
    assert!(refused.message.contains("different parts"), "{}", refused.message);
    // Training takes a host that runs networks.
    let mut runner =
        Runner::new::<M3dm>(&[("batch", ParamValue::Int(8)), ("pool", ParamValue::Int(1))]).unwrap();
    runner.plan(&scan(0.0)).unwrap();
    let error = runner.fit(&[scan(0.0), scan(1.0), scan(2.0)]).unwrap_err();
    assert!(error.message.contains("inference"), "{}", error.message);
    let mut nothing = scan(0.0);
    nothing[0].valid = Some(vec![0; 4]);
    let error = runner.fit(&[nothing.clone(), nothing]).unwrap_err();
    assert!(error.message.contains("valid in colour and in 3D"), "{}", error.message);
}
