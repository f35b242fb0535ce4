//! A camera's calibration file, and the camera that it makes.

use super::{KIB, json};
use crate::Target;
use assay_data::{Camera, Frame, Grid};
use ndarray::Array3;
use std::path::Path;

pub(super) const TARGET: Target = Target { name: "camera", read, seeds, words, memory: (64 * KIB, 512) };

fn words() -> Vec<&'static str> {
    let keys = [
        "\"camera_type\"",
        "\"area_scan_division\"",
        "\"focus\"",
        "\"kappa\"",
        "\"sx\"",
        "\"sy\"",
        "\"cx\"",
        "\"cy\"",
        "\"image_width\"",
        "\"image_height\"",
        "\"width\"",
        "\"height\"",
        "\"intrinsic_matrix\"",
    ];
    keys.into_iter().chain(json()).collect()
}

fn read(input: &[u8]) {
    let camera = match Camera::parse(Path::new("input"), input) {
        Ok(camera) => camera,
        Err(error) => return assert!(error.to_string().starts_with("input: "), "{error}"),
    };
    let (rows, columns) = camera.size.unwrap();
    assert!(rows.checked_mul(columns).is_some_and(|pixels| pixels > 0), "{rows} x {columns} pixels");
    let camera = camera.scaled((rows, columns), (4, 5));
    let depth = Grid { values: Array3::ones((1, 4, 5)), valid: None, frame: Frame::NATIVE };
    let points = camera.points(&depth);
    for ((_, i, j), v) in points.values.indexed_iter() {
        assert!(if points.is_valid(i, j) { v.is_finite() } else { *v == 0.0 });
    }
    if let Some((x, y)) = camera.project([0.1, -0.2, 1.0]) {
        assert!(x.is_finite() && y.is_finite());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let files = [
        r#"{"camera_type": "area_scan_division", "focus": 0.01, "kappa": -2000.0, "sx": 4e-6, "sy": 5e-6,
            "cx": 54.0, "cy": 196.0, "image_width": 400, "image_height": 300}"#,
        r#"{"width": 640, "height": 480, "intrinsic_matrix": [525.0, 0, 0, 0, 520.0, 0, 319.5, 239.5, 1]}"#,
    ];
    files.map(|file| file.as_bytes().to_vec()).to_vec()
}
