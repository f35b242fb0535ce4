//! Agreement with metrics computed by scikit-learn, scipy and numpy on the shared maps.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test throughout

use std::path::{Path, PathBuf};

use assay_metrics::MapSet;
use safetensors::SafeTensors;

const TOLERANCE: f64 = 1e-9;

fn golden_folder() -> Option<PathBuf> {
    let shared = std::env::var_os("ASSAY_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let golden = shared.join("golden");
    golden.join("metrics.json").is_file().then_some(golden)
}

fn check(name: &str) {
    let Some(golden) = golden_folder() else {
        eprintln!("skipped: golden metrics, shared scans not found");
        return;
    };
    let json = std::fs::read_to_string(golden.join("metrics.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&json).unwrap();
    let bytes = std::fs::read(golden.join("metrics.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (maps, masks) = (tensors.tensor(name).unwrap(), tensors.tensor("masks").unwrap());
    let &[_, rows, cols] = maps.shape() else { panic!("maps are [n, rows, cols]") };
    let values: Vec<f32> = maps.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let defective: Vec<bool> = masks.data().iter().map(|class| *class > 0).collect();

    let mut set = MapSet::new();
    for (map, mask) in values.chunks(rows * cols).zip(defective.chunks(rows * cols)) {
        set.add(map, mask, rows, cols).unwrap();
    }
    let image_auroc = set.image_auroc().unwrap();
    let ranked = set.rank().unwrap();
    let curve = ranked.pro_curve().unwrap();
    let expected = expected[name].as_object().unwrap();
    for (key, value) in expected {
        let found = match key.as_str() {
            "image_auroc" => image_auroc,
            "pixel_auroc" => ranked.pixel_auroc(),
            _ => {
                let percent: f64 = key.strip_prefix("au_pro_").unwrap().parse().unwrap();
                curve.au_pro(percent / 100.0).unwrap()
            }
        };
        let difference = (found - value.as_f64().unwrap()).abs();
        assert!(difference <= TOLERANCE, "{name}: {key} is {found}, not {value}");
        println!("{name} {key}: {found}, off by {difference:.1e}");
    }
    assert_eq!(expected.len(), 6);
}

#[test]
fn metrics_of_distinct_scores_agree_with_the_reference() {
    check("maps");
}

#[test]
fn metrics_of_tied_scores_agree_with_the_reference() {
    check("tied");
}
