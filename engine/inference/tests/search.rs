//! Which runtime a process gets. A process loads at most one, so each case runs in a process of its own: this
//! test program starts itself again with the variables set and the test named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // It is a test.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use assay_inference::{DEFAULT_BACKBONE, Device, Engine, Options, Runtime};

/// Options, written into this variable as `runtime device path`, make the test program open an engine.
const CASE: &str = "ASSAY_TEST_CASE";

/// Not a test of its own: what the started program does.
#[test]
fn open_the_case() {
    let Ok(case) = std::env::var(CASE) else { return };
    let words: Vec<&str> = case.split(' ').collect();
    let options = Options {
        runtime: words[0].parse().unwrap(),
        device: words[1].parse().unwrap(),
        runtime_path: words.get(2).map(PathBuf::from),
        threads: 1,
    };
    match Engine::open(&options) {
        Ok(engine) => println!("OPENED {:?}", engine.describe()),
        Err(error) => println!("REFUSED {error}"),
    }
}

/// What opening gives in a process without any variable that names a runtime but `variables`.
fn open(case: &str, variables: &[(&str, &Path)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["open_the_case", "--exact", "--nocapture"])
        .env_remove("ASSAY_ONNXRUNTIME")
        .env_remove("ORT_DYLIB_PATH")
        .env(CASE, case)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let start = text.find("OPENED").or_else(|| text.find("REFUSED")).expect("an answer");
    text[start..].to_owned()
}

/// A library that says that it is an ONNX Runtime of this version, or `None` without a Rust compiler.
fn fake_runtime(folder: &Path, version: &str) -> Option<PathBuf> {
    let source = format!(
        "#[repr(C)] pub struct Base {{ api: extern \"C\" fn(u32) -> usize, version: extern \"C\" fn() -> usize }}
         static BASE: Base = Base {{ api, version }};
         extern \"C\" fn api(_: u32) -> usize {{ 0 }}
         extern \"C\" fn version() -> usize {{ c\"{version}\".as_ptr() as usize }}
         #[unsafe(no_mangle)] pub extern \"C\" fn OrtGetApiBase() -> *const Base {{ &BASE }}"
    );
    let file = folder.join("fake.rs");
    std::fs::write(&file, source).unwrap();
    let library =
        folder.join(format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let built = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=cdylib", "-o"])
        .args([&library, &file])
        .output()
        .is_ok_and(|output| output.status.success());
    if !built {
        eprintln!("skipped: no Rust compiler to build a library with");
    }
    built.then_some(library)
}

/// The ONNX Runtime of this machine, if the tests find one.
fn real_runtime() -> Option<PathBuf> {
    common::engines().last()?.describe().library.clone()
}

#[test]
fn an_old_runtime_is_refused_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = fake_runtime(folder.path(), "1.23.2") else { return };
    for case in ["auto cpu", "onnxruntime cpu"] {
        let answer = open(&format!("{case} {}", library.display()), &[]);
        assert!(answer.starts_with("REFUSED") && answer.contains("the runtime path"), "{answer}");
        assert!(answer.contains("is version 1.23.2; Assay needs 1.24 or newer"), "{answer}");
        let answer = open(case, &[("ASSAY_ONNXRUNTIME", folder.path())]);
        assert!(answer.starts_with("REFUSED") && answer.contains("ASSAY_ONNXRUNTIME"), "{answer}");
    }
    // A variable that other programs read too is no demand: the search goes on and the refusal is kept.
    let answer = open("auto cpu", &[("ORT_DYLIB_PATH", &library)]);
    assert!(answer.starts_with("OPENED") && answer.contains("is version 1.23.2"), "{answer}");
}

#[test]
fn a_runtime_without_the_interface_of_1_24_is_refused_though_it_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = fake_runtime(folder.path(), "2.0.0") else { return };
    let answer = open(&format!("auto cpu {}", library.display()), &[]);
    assert!(answer.starts_with("REFUSED") && answer.contains("no longer has the C API of 1.24"), "{answer}");
}

#[test]
fn a_named_runtime_that_is_missing_is_an_error_and_never_a_fallback() {
    for case in ["auto cpu /no/such/place", "onnxruntime cpu /no/such/place"] {
        let answer = open(case, &[]);
        assert!(answer.starts_with("REFUSED") && answer.contains("/no/such/place"), "{answer}");
    }
    let answer = open("auto cpu", &[("ASSAY_ONNXRUNTIME", Path::new("/no/such/place"))]);
    assert!(answer.starts_with("REFUSED") && answer.contains("ASSAY_ONNXRUNTIME"), "{answer}");
}

#[test]
fn a_runtime_in_a_python_environment_is_taken_with_a_notice() {
    let Some(library) = real_runtime() else { return };
    let Some(environment) = library.ancestors().find(|folder| folder.join("pyvenv.cfg").is_file()) else {
        return;
    };
    let answer = open("onnxruntime cpu", &[("VIRTUAL_ENV", environment), ("LD_LIBRARY_PATH", Path::new(""))]);
    assert!(answer.starts_with("OPENED") && answer.contains("Python installation"), "{answer}");
}

#[test]
fn cuda_is_never_replaced_by_the_processor() {
    for case in ["auto cuda:4000", "onnxruntime cuda:4000"] {
        let answer = open(case, &[]);
        assert!(answer.starts_with("REFUSED") && answer.contains("cuda:4000"), "{answer}");
    }
    let Some(library) = real_runtime() else { return };
    let answer = open(&format!("auto cuda:4000 {}", library.display()), &[]);
    assert!(answer.starts_with("REFUSED") && answer.contains("CUDA"), "{answer}");
    // Neither in a process whose runtime is loaded already.
    let gpu = Options { runtime: Runtime::OnnxRuntime, device: Device::Cuda(4000), ..Options::default() };
    let error = Engine::open(&gpu).unwrap_err().to_string();
    assert!(error.contains("cuda:4000") && error.contains("the one this process runs"), "{error}");
}

#[test]
fn rten_needs_no_library_and_says_what_it_is() {
    let engine = Engine::open(&Options { runtime: Runtime::Rten, ..Options::default() }).unwrap();
    let info = engine.describe();
    assert_eq!((info.name, info.device, &info.library, &info.notice), ("rten", Device::Cpu, &None, &None));
    assert!(engine.session("backbone", DEFAULT_BACKBONE, 0).unwrap().threads() >= 1);
}
