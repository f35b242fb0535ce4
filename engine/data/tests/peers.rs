//! What other programs wrote reads as those programs read it: the files of `tests/peers/scans.py`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use assay_data::Limits;
use assay_data::decode::{self, Encoded, Stored};
use serde_json::Value;

#[test]
fn files_of_other_programs_read_as_those_programs_read_them() {
    let Some(folder) = std::env::var_os("ASSAY_PEER_SCANS").map(PathBuf::from) else {
        eprintln!("skipped: ASSAY_PEER_SCANS names no folder made by tests/peers/scans.py");
        return;
    };
    let manifest = fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if let Err(why) = check(&folder, &case) {
            wrong.push(format!("{} as {}: {why}", case["file"], case["kind"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), manifest.lines().count(), wrong.join("\n"));
}

fn check(folder: &Path, case: &Value) -> Result<(), String> {
    let read = read(&folder.join(case["file"].as_str().unwrap()), case["kind"].as_str().unwrap());
    if case["refused"] == true {
        return read.map_or(Ok(()), |(shape, _)| Err(format!("it was read, as {shape:?}")));
    }
    let (shape, values) = match read {
        Err(why) if case["may_refuse"] == true => {
            eprintln!("refused: {why}");
            return Ok(());
        }
        read => read?,
    };
    if serde_json::json!(shape) != case["shape"] {
        return Err(format!("{shape:?}, expected {}", case["shape"]));
    }
    let bytes = fs::read(folder.join(case["expected"].as_str().unwrap())).unwrap();
    let expected: Vec<f32> = if bytes.len() == values.len() {
        bytes.into_iter().map(f32::from).collect()
    } else {
        bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    };
    // Of levels for pictures, else a share of the number.
    let tolerance = case["tolerance"].as_f64().unwrap() as f32;
    let scale = |b: f32| if case["kind"] == "rgb" { 1.0 } else { b.abs().max(1.0) };
    let off = |(a, b): &(&f32, &f32)| (*a - *b).abs() > tolerance * scale(**b);
    let count = values.iter().zip(&expected).filter(off).count();
    let worst = values.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if count == 0 {
        Ok(())
    } else {
        Err(format!("{count} of {} values differ, by up to {worst}", values.len()))
    }
}

fn read(path: &Path, kind: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let (limits, stored) = (Limits::default(), Stored::default());
    let file = Encoded::read(path, &limits).map_err(|e| e.to_string())?;
    let look = decode::look(&file, &limits).map_err(|e| format!("its header: {e}"));
    let (shape, values) = match kind {
        "rgb" => decode::image(&file, &limits)
            .map(|a| (a.shape().to_vec(), a.mapv(f32::from).into_raw_vec_and_offset().0)),
        "xyz" => decode::xyz(&file, &stored, &limits)
            .map(|g| (g.values.shape().to_vec(), g.values.iter().copied().collect())),
        "depth" => decode::depth(&file, &stored, &limits)
            .map(|g| (g.values.shape().to_vec(), g.values.iter().copied().collect())),
        "points" => decode::points(&file, &stored, &limits)
            .map(|c| (c.positions.shape().to_vec(), c.positions.iter().copied().collect())),
        other => panic!("no kind {other}"),
    }
    .map_err(|e| e.to_string())?;
    look?;
    Ok((shape, values))
}
