//! The targets.

mod camera;
mod journal;
mod library;
mod model;
mod network;
mod pattern;
mod quantise;
mod readers;
mod recipe;
mod request;

use crate::Target;
use assay_data::{Sensor, SensorKind};

/// All targets.
pub const TARGETS: &[Target] = &[
    recipe::TARGET,
    model::TARGET,
    request::TARGET,
    journal::TARGET,
    network::TARGET,
    quantise::TARGET,
    library::TARGET,
    pattern::TARGET,
    camera::TARGET,
    readers::IMAGE,
    readers::GRAY,
    readers::XYZ,
    readers::DEPTH,
    readers::POINTS,
    readers::MASK,
    readers::MAP,
    readers::LOOK,
];

const KIB: usize = 1 << 10;

/// What a JSON reader is made to stumble over.
fn json() -> Vec<&'static str> {
    vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"\"",
        "null",
        "true",
        "1e999",
        "-0",
        "\\u0000",
        "\\ud800",
        "18446744073709551616",
        "18446744073709551615",
        "\n",
    ]
}

/// The sensors of a station with one camera and one scanner.
fn sensors() -> [Sensor; 2] {
    [
        Sensor::new("colour", "rgb/{id}.png", SensorKind::Rgb),
        Sensor::new("height", "{id}_xyz.tiff", SensorKind::Xyz),
    ]
}
