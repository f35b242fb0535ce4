//! The manifest as format 1 wrote it, and what it says in today's terms.

use super::{Manifest, NetworkRecord, PluginRecord, ScanRecord, Section};
use crate::recipe::OnTooFew;
use crate::scale::Scales;
use crate::threshold::{self, Budget, Calibration, CalibrationScan};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The manifest of format 1.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest1 {
    program: String,
    recipe_file: String,
    recipe_sha256: String,
    seed: u64,
    runtime: String,
    device: String,
    native: (usize, usize),
    plugins: Vec<PluginRecord>,
    networks: BTreeMap<String, (String, String)>,
    training: Vec<ScanRecord>,
    calibration: Vec<ScanRecord>,
    scales: BTreeMap<String, Scales>,
    floor: f32,
    image_threshold: Threshold1,
    pixel_threshold: Threshold1,
    sections: Vec<Section>,
}

/// A threshold of format 1: always on average, and the best that the parts could give where they were too few.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Threshold1 {
    value: f64,
    rate: f64,
    parts: usize,
}

impl From<Threshold1> for threshold::Threshold {
    fn from(old: Threshold1) -> Self {
        let rank = threshold::rank(old.parts.max(1), old.rate, None);
        Self {
            value: old.value,
            rate: old.rate,
            confidence: None,
            parts: old.parts,
            rank,
            bound: threshold::bound(old.parts.max(1), rank),
        }
    }
}

impl From<Manifest1> for Manifest {
    fn from(old: Manifest1) -> Self {
        let networks = old.networks.into_iter();
        let scans = old.calibration.into_iter();
        Self {
            program: old.program,
            recipe_file: old.recipe_file,
            recipe_sha256: old.recipe_sha256,
            seed: old.seed,
            runtime: old.runtime,
            device: old.device,
            native: old.native,
            sensor_sizes: BTreeMap::new(),
            partial: Vec::new(),
            plugins: old.plugins,
            networks: networks
                .map(|(step, (file, sha256))| {
                    (step, NetworkRecord { file, sha256, outputs: Vec::new(), quantisation: None })
                })
                .collect(),
            training: old.training,
            scales: old.scales,
            floor: old.floor,
            calibration: Calibration {
                budget: Budget {
                    false_reject_rate: old.image_threshold.rate,
                    confidence: None,
                    on_too_few: OnTooFew::Warn,
                    review: None,
                },
                image: old.image_threshold.into(),
                review: None,
                pixel: old.pixel_threshold.into(),
                scans: scans
                    .map(|s| CalibrationScan {
                        id: s.id,
                        sha256: s.sha256,
                        score: None,
                        map_max: None,
                        steps: BTreeMap::new(),
                    })
                    .collect(),
            },
            sections: old.sections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_parts_that_nobody_has_is_read_as_it_stands() {
        let old = Threshold1 { value: 1.0, rate: 0.05, parts: usize::MAX };
        let threshold = threshold::Threshold::from(old);
        assert_eq!(threshold.parts, usize::MAX);
        assert!((0.0..=1.0).contains(&threshold.bound));
    }
}
