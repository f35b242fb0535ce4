//! Wrong models and wrong inputs: each is one error that says what to do, in both runtimes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // It is a test.

mod common;

use std::sync::Arc;

use assay_inference::{DEFAULT_BACKBONE, ElementType, Engine, InferenceError, Options, Runtime};
use common::{engines, image, onnx};
use ndarray::{ArrayD, ArrayViewD};
use proptest::prelude::*;

/// The nodes lie at the start of the file, before the weights.
const GRAPH_BYTES: usize = 8400;

/// A model of one node with the input `x` and the output `y`.
fn one_node(op: &str, input_type: u64) -> Vec<u8> {
    onnx::model(
        &[onnx::node(op, "x", "y", None)],
        &[onnx::tensor("x", input_type)],
        &[onnx::tensor("y", input_type)],
    )
}

fn vector(values: &[f32]) -> ArrayD<f32> {
    ArrayViewD::from_shape(vec![values.len()], values).unwrap().to_owned()
}

#[test]
fn content_that_is_no_model_is_an_error_that_names_it() {
    let half = &DEFAULT_BACKBONE[..DEFAULT_BACKBONE.len() / 2];
    for engine in engines() {
        for content in
            [&b""[..], b"\0", b"not a model at all", &[0xff; 4096], half, b"RTEN\x02\0\0\0\0\0\0\0"]
        {
            let error = engine.session("look.onnx", content, 1).unwrap_err();
            assert!(matches!(&error, InferenceError::Load { model, .. } if model == "look.onnx"), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_truncated_model_is_an_error(length in 0..DEFAULT_BACKBONE.len() - 100) {
        for engine in engines() {
            let error = engine.session("cut", &DEFAULT_BACKBONE[..length], 1).unwrap_err();
            prop_assert!(matches!(error, InferenceError::Load { .. }), "{}", error);
        }
    }

    #[test]
    fn a_damaged_graph_never_panics(damage in prop::collection::vec((0..GRAPH_BYTES, any::<u8>()), 1..4)) {
        let mut content = DEFAULT_BACKBONE.to_vec();
        for (at, value) in damage {
            content[at] = value;
        }
        for engine in engines() {
            let _ = engine.session("damaged", &content, 1);
        }
    }
}

#[test]
fn an_operator_that_is_not_known_is_named() {
    for engine in engines() {
        let error = engine.session("odd", &one_node("Frobnicate", onnx::FLOAT), 1).unwrap_err().to_string();
        assert!(error.contains("`odd`") && error.contains("Frobnicate"), "{error}");
    }
}

#[test]
fn inputs_are_float32_and_other_outputs_are_left_out() {
    for engine in engines() {
        let error = engine.session("tokens", &one_node("Identity", onnx::INT64), 1).unwrap_err();
        assert!(matches!(&error, InferenceError::InputType { input, .. } if input == "x"), "{error}");

        let two = onnx::model(
            &[onnx::node("Cast", "x", "label", Some(onnx::INT64)), onnx::node("Relu", "x", "y", None)],
            &[onnx::tensor("x", onnx::FLOAT)],
            &[onnx::tensor("label", onnx::INT64), onnx::tensor("y", onnx::FLOAT)],
        );
        let session = engine.session("two", &two, 1).unwrap();
        let types: Vec<bool> =
            session.outputs().iter().map(|output| output.dtype == ElementType::F32).collect();
        assert_eq!(types, [false, true]);
        let outputs = session.run(&[("x", vector(&[-1.0, 2.0]).view())]).unwrap();
        assert_eq!(outputs, [("y".to_owned(), vector(&[0.0, 2.0]))]);
    }
}

#[test]
fn a_value_that_is_not_finite_is_an_error_going_in_and_coming_out() {
    for engine in engines() {
        let session = engine.session("root", &one_node("Sqrt", onnx::FLOAT), 1).unwrap();
        assert_eq!(session.run(&[("x", vector(&[4.0]).view())]).unwrap()[0].1, vector(&[2.0]));
        for (value, tensor) in [(-1.0, "output `y`"), (f32::NAN, "input `x`"), (f32::INFINITY, "input `x`")] {
            let error = session.run(&[("x", vector(&[1.0, value, 1.0]).view())]).unwrap_err();
            assert!(matches!(&error, InferenceError::NotFinite { tensor: t, .. } if t == tensor), "{error}");
        }
    }
}

#[test]
fn wrong_inputs_are_errors_that_name_the_right_ones() {
    let good = image([1, 3, 32, 32], 1);
    for engine in engines() {
        let session = engine.session("look", DEFAULT_BACKBONE, 1).unwrap();
        let names = |inputs: &[(&str, ArrayViewD<'_, f32>)]| session.run(inputs).unwrap_err().to_string();
        let unknown = names(&[("picture", good.view())]);
        assert!(
            unknown.contains("no input `picture`") && unknown.ends_with("its inputs are: image"),
            "{unknown}"
        );
        assert!(names(&[]).contains("input `image` is missing"));
        assert!(names(&[("image", good.view()), ("image", good.view())]).contains("given twice"));
        for shape in [vec![1, 4, 32, 32], vec![3, 32, 32], vec![1, 3, 0, 32], vec![0, 3, 32, 32], vec![]] {
            let input = ArrayD::zeros(shape.clone());
            let error = session.run(&[("image", input.view())]).unwrap_err();
            assert!(matches!(&error, InferenceError::InputShape { given, .. } if *given == shape), "{error}");
            assert!(error.to_string().contains("[?, 3, ?, ?]"), "{error}");
        }
        // And the session still works.
        assert!(session.run(&[("image", good.view())]).is_ok());
    }
}

#[test]
fn the_memory_layout_of_an_input_does_not_matter() {
    let input = image([1, 3, 40, 56], 9);
    let channels_last = input.view().permuted_axes(vec![0, 2, 3, 1]).as_standard_layout().into_owned();
    for engine in engines() {
        let session = engine.session("look", DEFAULT_BACKBONE, 1).unwrap();
        let strided = session.run(&[("image", channels_last.view().permuted_axes(vec![0, 3, 1, 2]))]);
        assert_eq!(strided, session.run(&[("image", input.view())]));
    }
}

#[test]
fn equal_models_on_equal_threads_share_a_session_while_it_is_held() {
    for engine in engines() {
        let first = engine.session_cached("a", &DEFAULT_BACKBONE.into(), 1).unwrap();
        assert!(Arc::ptr_eq(&first, &engine.session_cached("b", &DEFAULT_BACKBONE.into(), 1).unwrap()));
        assert!(!Arc::ptr_eq(&first, &engine.session_cached("b", &DEFAULT_BACKBONE.into(), 2).unwrap()));
        assert_eq!((first.model(), first.threads()), ("a", 1));
        drop(first);
        assert_eq!(engine.session_cached("b", &DEFAULT_BACKBONE.into(), 1).unwrap().model(), "b");
    }
}

#[test]
fn too_many_threads_are_refused() {
    for engine in engines() {
        let error = engine.session("look", DEFAULT_BACKBONE, 100_000).unwrap_err();
        assert!(matches!(error, InferenceError::Options { .. }), "{error}");
        assert!(engine.session_cached("look", &DEFAULT_BACKBONE.into(), 100_000).is_err());
    }
}

#[test]
fn a_second_engine_shares_the_library_and_another_library_is_refused() {
    let engines = engines();
    let Some(library) = engines.last().and_then(|engine| engine.describe().library.clone()) else { return };
    let open = |runtime_path| {
        Engine::open(&Options { runtime: Runtime::OnnxRuntime, runtime_path, ..Options::default() })
    };
    for same in [None, Some(library.clone()), library.parent().map(Into::into)] {
        assert_eq!(open(same).unwrap().describe().library.as_ref(), Some(&library));
    }
    let error = open(Some("/elsewhere/libonnxruntime.so".into())).unwrap_err();
    assert!(matches!(error, InferenceError::RuntimeAlreadyLoaded { .. }), "{error}");
}
