//! A model file of either format.
//!
//! Its checksums would end nearly every mutation at once: an input is the file's content without them. The first byte is
//! the format version; the manifest follows up to a NUL byte, then the sections.

use super::{KIB, json};
use crate::Target;
use assay_core::model::{Manifest, Model, NetworkRecord, PluginRecord, ScanRecord, VERSION, hex};
use assay_core::recipe::OnTooFew;
use assay_core::scale::Scales;
use assay_core::threshold::{Budget, Calibration, CalibrationScan, PartialCalibration};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

pub(super) const TARGET: Target =
    Target { name: "model", read, seeds, words: json, memory: (512 * KIB, 1024) };

fn read(input: &[u8]) {
    // Mostly refused by the first checksum that is read; what is before it counts.
    let _ = Model::from_bytes(input);
    let Ok(model) = Model::from_bytes(&with_checksums(input)) else { return };
    let _ = model.parse_recipe();
    for step in model.manifest.networks.keys() {
        // A folder that is not there: only what the model itself holds is found.
        let _ = model.network(step, "absent".as_ref());
    }
    if model.format == VERSION {
        let written = model.to_bytes().unwrap();
        let again = Model::from_bytes(&written).unwrap();
        assert_eq!(again.to_bytes().unwrap(), written);
    }
}

/// The file that an input stands for.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let (&version, rest) = input.split_first().unwrap_or((&2, &[]));
    let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    let (text, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let mut manifest = text.to_vec();
    if let Ok(mut value) = serde_json::from_slice::<Value>(text) {
        let mut left = body;
        for section in value.get_mut("sections").and_then(Value::as_array_mut).into_iter().flatten() {
            let length = section["length"].as_u64().map_or(0, |n| n.min(left.len() as u64) as usize);
            let (own, others) = left.split_at(length);
            left = others;
            if let Some(section) = section.as_object_mut() {
                section.insert("sha256".into(), hex(&Sha256::digest(own)).into());
            }
        }
        manifest = value.to_string().into_bytes();
    }
    let mut file = b"ASSAYMDL".to_vec();
    file.extend(u32::from(version).to_le_bytes());
    file.extend((manifest.len() as u64).to_le_bytes());
    file.extend(Sha256::digest(&manifest));
    file.extend(manifest);
    file.extend(body);
    file
}

/// The input that stands for a file.
fn without_checksums(file: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(file[12..20].try_into().unwrap()) as usize;
    [&file[8..9], &file[52..52 + length], &[0], &file[52 + length..]].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let model = model();
    let whole = without_checksums(&model.to_bytes().unwrap());
    let bare = Model { states: BTreeMap::new(), onnx: BTreeMap::new(), resolved: None, ..model };
    let old = [&[1], &serde_json::to_vec(&format1()).unwrap()[..], b"\0format = 1"].concat();
    vec![whole, without_checksums(&bare.to_bytes().unwrap()), old, bare.to_bytes().unwrap()]
}

fn model() -> Model {
    let budget = Budget {
        false_reject_rate: 0.25,
        confidence: Some(0.6),
        on_too_few: OnTooFew::Warn,
        review: Some(0.5),
    };
    let scans = (0..4).map(|i| CalibrationScan {
        id: format!("{i}"),
        sha256: "00".into(),
        score: Some(f64::from(i)),
        map_max: Some(2.0),
        steps: BTreeMap::new(),
    });
    let calibration = Calibration::new(budget, scans.collect()).unwrap();
    let recipe =
        "format = 1\n[sensors]\nc = \"{id}.png\"\n[steps]\na = { method = \"onnx-map\", from = \"c\" }\n";
    Model {
        format: VERSION,
        manifest: Manifest {
            program: "0.1.0".into(),
            recipe_file: "r.toml".into(),
            recipe_sha256: hex(&Sha256::digest(recipe)),
            seed: 7,
            runtime: "rten 0.27".into(),
            device: "cpu".into(),
            native: (40, 50),
            sensor_sizes: BTreeMap::from([("c".into(), (40, 50))]),
            plugins: vec![PluginRecord {
                method: "sum".into(),
                library: "lib.so".into(),
                version: "1".into(),
                sha256: "00".into(),
            }],
            networks: BTreeMap::from([(
                "a".into(),
                NetworkRecord {
                    file: "n.onnx".into(),
                    sha256: "ff".into(),
                    outputs: vec![[1, 2, 3]],
                    quantisation: None,
                },
            )]),
            training: vec![ScanRecord { id: "train/0".into(), sha256: "00".into() }],
            scales: BTreeMap::from([("a".into(), Scales::RAW)]),
            floor: -0.25,
            partial: vec![PartialCalibration { missing: vec!["c".into()], calibration: calibration.clone() }],
            calibration,
            sections: Vec::new(),
        },
        states: BTreeMap::from([("a".into(), vec![1, 2, 3].into())]),
        onnx: BTreeMap::from([("ff".into(), [9; 10].into())]),
        recipe: recipe.into(),
        resolved: Some(recipe.into()),
    }
}

/// A manifest of format 1.
fn format1() -> Value {
    let threshold = json!({ "value": 1.5, "rate": 0.25, "parts": 4 });
    json!({
        "program": "0.0.1", "recipe_file": "r.toml", "recipe_sha256": "00", "seed": 0, "runtime": "rten", "device": "cpu",
        "native": [4, 5], "plugins": [], "networks": { "a": ["n.onnx", "ff"] }, "training": [], "floor": 0.0,
        "calibration": [{ "id": "0", "sha256": "00" }], "scales": {}, "image_threshold": threshold,
        "pixel_threshold": threshold, "sections": [{ "name": "recipe", "length": 10, "sha256": "" }],
    })
}
