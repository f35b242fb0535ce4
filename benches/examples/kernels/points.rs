//! Clouds and their features as files.

use anyhow::{Context, Result, ensure};
use assay_pointcloud::Features;

/// Writes both matrices.
pub(crate) fn save(features: &Features, out: &str) -> Result<()> {
    let (normals, histograms) = (features.normals.as_flattened(), features.histograms.as_flattened());
    for (ending, values) in [("normals", normals), ("features", histograms)] {
        let file = format!("{out}.{ending}");
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&file, bytes).with_context(|| format!("writing {file}"))?;
    }
    Ok(())
}

/// The rows of a matrix of three columns.
pub(crate) fn read(file: &str) -> Result<Vec<[f32; 3]>> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {file}"))?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let (rows, rest) = values.as_chunks();
    ensure!(rest.is_empty(), "{file} is not a matrix of 3 columns");
    Ok(rows.to_vec())
}
