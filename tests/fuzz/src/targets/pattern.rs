//! A sensor's file pattern, and a file's name taken apart by it.
//!
//! An input is a byte for the sensor's kind, the pattern, a line end, and the file's path.

use super::KIB;
use crate::Target;
use assay_data::layout::id_of;
use assay_data::{Sensor, SensorKind};
use std::path::Path;

pub(super) const TARGET: Target = Target {
    name: "pattern",
    read,
    seeds,
    words: || vec!["{id}", ".*", "/", "..", ".png", "*"],
    memory: (16 * KIB, 64),
};

fn read(input: &[u8]) {
    let Some((kind, Ok(text))) = input.split_first().map(|(kind, rest)| (kind, str::from_utf8(rest))) else {
        return;
    };
    let (pattern, file) = text.split_once('\n').unwrap_or((text, ""));
    let kinds = [SensorKind::Rgb, SensorKind::Gray, SensorKind::Xyz, SensorKind::Depth, SensorKind::Points];
    let kind = kinds[usize::from(*kind) % kinds.len()];
    let sensor = Sensor::new("camera", pattern, kind);
    let checked = sensor.check();
    match id_of(Path::new(file), &[sensor]) {
        Ok(id) => {
            assert!(checked.is_ok());
            assert!(id.is_none_or(|id| !id.is_empty() && file.contains(&id)));
        }
        Err(_) => assert!(checked.is_err()),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "0rgb/{id}.png\nscans/rgb/003.png",
        "1{id}.*\n003.JPG",
        "2scans/{id}/xyz.tiff\ndata/scans/x 1/xyz.tiff",
        "3s_{id}_d/a/depth.*\ns_7_d/a/depth.png",
        "4{id}.ply\n.ply",
    ];
    seeds.map(|seed| seed.as_bytes().to_vec()).to_vec()
}
