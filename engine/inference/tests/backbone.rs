//! The default backbone in both runtimes: right values, the same bits every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // It is a test.

mod common;

use assay_inference::{DEFAULT_BACKBONE, NamedArray, Session};
use common::{engines, image, relative_error, run, shared};
use ndarray::{ArrayD, Axis, IxDyn, concatenate};
use safetensors::SafeTensors;

fn array(file: &SafeTensors<'_>, name: &str) -> ArrayD<f32> {
    let tensor = file.tensor(name).unwrap();
    let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    ArrayD::from_shape_vec(IxDyn(tensor.shape()), values).unwrap()
}

fn bits(outputs: &[NamedArray]) -> Vec<Vec<u32>> {
    outputs.iter().map(|(_, array)| array.iter().map(|v| v.to_bits()).collect()).collect()
}

#[test]
fn its_taps_agree_with_the_golden_file() {
    let Some(path) = shared("golden/backbone.safetensors") else { return };
    let content = std::fs::read(path).unwrap();
    let golden = SafeTensors::deserialize(&content).unwrap();
    // The file states [3, 224, 224] for `input0`, but its values lie as [224, 224, 3]: it was saved from a
    // transposed view.
    let rows_first = array(&golden, "input0").into_shape_with_order(vec![224, 224, 3]).unwrap();
    let input = rows_first.permuted_axes(vec![2, 0, 1]).insert_axis(Axis(0));
    let first = |name| array(&golden, name).index_axis_move(Axis(0), 0);
    let expected = [array(&golden, "c2_0"), first("c3"), first("c4")];
    for engine in engines() {
        let session = engine.session("backbone", DEFAULT_BACKBONE, 1).unwrap();
        for ((name, tap), expected) in run(&session, &input).into_iter().zip(&expected) {
            let error = relative_error(&tap.index_axis_move(Axis(0), 0), expected);
            eprintln!("{} {name}: relative error {error:.1e}", engine.describe().name);
            assert!(error < 1e-4);
        }
    }
}

#[test]
fn it_agrees_with_the_shared_backbone() {
    let Some(path) = shared("backbones/efficientnet-lite0.onnx") else { return };
    let reference = std::fs::read(path).unwrap();
    for engine in engines() {
        let own = engine.session("own", DEFAULT_BACKBONE, 1).unwrap();
        let theirs = engine.session("theirs", &reference, 1).unwrap();
        for shape in [[1, 3, 224, 224], [1, 3, 223, 301]] {
            let input = image(shape, 5);
            for ((name, tap), (_, expected)) in run(&own, &input).iter().zip(run(&theirs, &input)) {
                let error = relative_error(tap, &expected);
                eprintln!("{} {name} at {shape:?}: relative error {error:.1e}", engine.describe().name);
                assert!(error < 1e-5);
            }
        }
    }
}

#[test]
fn the_runtimes_agree_with_each_other() {
    let sessions: Vec<Session> =
        engines().iter().map(|e| e.session("backbone", DEFAULT_BACKBONE, 2).unwrap()).collect();
    let [rten, onnx_runtime] = &sessions[..] else { return };
    let input = image([1, 3, 320, 416], 3);
    for ((_, a), (_, b)) in run(rten, &input).iter().zip(run(onnx_runtime, &input)) {
        assert!(relative_error(a, &b) < 1e-5);
    }
}

#[test]
fn any_size_goes_through_and_taps_round_up() {
    for engine in engines() {
        let session = engine.session("backbone", DEFAULT_BACKBONE, 1).unwrap();
        for (h, w) in [(224, 224), (320, 320), (320, 416), (223, 65), (1, 1)] {
            let taps = run(&session, &image([1, 3, h, w], 1));
            let shapes: Vec<_> =
                taps.iter().map(|(name, tap)| (name.as_str(), tap.shape().to_vec())).collect();
            let at = |channels, stride| vec![1, channels, h.div_ceil(stride), w.div_ceil(stride)];
            assert_eq!(shapes, [("c2", at(24, 4)), ("c3", at(40, 8)), ("c4", at(112, 16))]);
        }
    }
}

#[test]
fn the_bits_are_the_same_at_any_count_of_threads_and_in_any_batch() {
    for engine in engines() {
        for (h, w) in [(224, 224), (320, 416), (97, 130)] {
            let (a, b) = (image([1, 3, h, w], 1), image([1, 3, h, w], 2));
            let both = concatenate(Axis(0), &[a.view(), b.view()]).unwrap();
            let one = engine.session("backbone", DEFAULT_BACKBONE, 1).unwrap();
            let (run_a, run_b) = (run(&one, &a), run(&one, &b));
            for threads in [1, 2, 3] {
                let session = engine.session("backbone", DEFAULT_BACKBONE, threads).unwrap();
                assert_eq!(bits(&run(&session, &a)), bits(&run_a), "{threads} threads");
                let batch = run(&session, &both);
                for (item, single) in [&run_a, &run_b].into_iter().enumerate() {
                    let of_batch = |(name, tap): &NamedArray| {
                        (name.clone(), tap.index_axis(Axis(0), item).insert_axis(Axis(0)).to_owned())
                    };
                    let of_batch: Vec<NamedArray> = batch.iter().map(of_batch).collect();
                    assert_eq!(bits(&of_batch), bits(single), "item {item}, {threads} threads");
                }
            }
        }
    }
}

#[test]
fn a_batch_of_any_length_gives_the_bits_of_one_by_one() {
    for engine in engines() {
        let session = engine.session("backbone", DEFAULT_BACKBONE, 2).unwrap();
        let inputs: Vec<_> = (0..7).map(|seed| image([1, 3, 96, 128], seed)).collect();
        let single: Vec<_> = inputs.iter().map(|input| run(&session, input)).collect();
        for length in 1..=inputs.len() {
            let views: Vec<_> = inputs[..length].iter().map(|input| input.view()).collect();
            let batch = run(&session, &concatenate(Axis(0), &views).unwrap());
            for (tap, (name, values)) in batch.iter().enumerate() {
                assert_eq!(values.len_of(Axis(0)), length, "{name}");
                for (item, values) in values.axis_iter(Axis(0)).enumerate() {
                    let alone = single[item][tap].1.index_axis(Axis(0), 0);
                    let same = values.iter().zip(alone).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{name} of item {item} of {length} on {}", engine.describe().name);
                }
            }
        }
    }
}

#[test]
fn concurrent_runs_give_the_bits_of_single_ones() {
    for engine in engines() {
        let session = engine.session("backbone", DEFAULT_BACKBONE, 1).unwrap();
        let inputs: Vec<_> = (0..4).map(|seed| image([1, 3, 128, 96], seed)).collect();
        let single: Vec<_> = inputs.iter().map(|input| bits(&run(&session, input))).collect();
        let session = &session;
        std::thread::scope(|scope| {
            for (input, expected) in inputs.iter().zip(&single) {
                scope.spawn(move || (0..5).for_each(|_| assert_eq!(&bits(&run(session, input)), expected)));
            }
        });
    }
}

#[test]
fn weights_that_the_graph_casts_from_float16_load_in_both_runtimes() {
    let Some(path) = shared("backbones/resnet50-fp16weights.onnx") else { return };
    let onnx = std::fs::read(path).unwrap();
    let input = image([1, 3, 224, 224], 4);
    let taps: Vec<_> =
        engines().iter().map(|engine| run(&engine.session("resnet50", &onnx, 2).unwrap(), &input)).collect();
    assert_eq!(taps[0].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["c2", "c3", "c4"]);
    assert_eq!(taps[0][2].1.shape(), [1, 1024, 14, 14]);
    if let [rten, onnx_runtime] = &taps[..] {
        for ((name, a), (_, b)) in rten.iter().zip(onnx_runtime) {
            let error = relative_error(a, b);
            eprintln!("resnet50 {name}: rten and ONNX Runtime differ by {error:.1e}");
            assert!(error < 1e-4);
        }
    }
}
