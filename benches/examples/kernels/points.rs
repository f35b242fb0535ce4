//! The features of a cloud by the functions that the method `fpfh` consists of.

use anyhow::{Context, Result, ensure};
use assay_pointcloud::{Facing, Histogram, Neighbours, Search, fpfh, normals_of_cloud};
use assay_sdk::Parallel;

/// What a cloud became, a row a point.
pub(crate) struct Features {
    normals: Vec<[f32; 3]>,
    histograms: Vec<Histogram>,
}

impl Features {
    /// Writes both matrices.
    pub(crate) fn save(&self, out: &str) -> Result<()> {
        let (normals, histograms) = (self.normals.as_flattened(), self.histograms.as_flattened());
        for (ending, values) in [("normals", normals), ("features", histograms)] {
            let file = format!("{out}.{ending}");
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(&file, bytes).with_context(|| format!("writing {file}"))?;
        }
        Ok(())
    }
}

/// The features of `points` from the `given` normals, or from normals of `count` nearest points that face the camera.
pub(crate) fn features(
    points: &[[f32; 3]],
    given: Option<&[[f32; 3]]>,
    count: usize,
    neighbours: usize,
    par: &dyn Parallel,
) -> Result<Features> {
    // One search serves both, as in the method.
    let mut table = Neighbours::search(points, Search::nearest(count.max(neighbours)), par)?;
    let normals = match given {
        Some(given) => given.to_vec(),
        None => normals_of_cloud(points, &table, count, Facing::Camera, par)
            .into_iter()
            .zip(points)
            .map(|(normal, &point)| normal.unwrap_or_else(|| Facing::Camera.at(point)))
            .collect(),
    };
    ensure!(normals.len() == points.len(), "{} normals for {} points", normals.len(), points.len());
    table.truncate(neighbours);
    let histograms = fpfh(points, &normals, &table, par);
    Ok(Features { normals, histograms })
}

/// The rows of a matrix of three columns.
pub(crate) fn read(file: &str) -> Result<Vec<[f32; 3]>> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {file}"))?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let (rows, rest) = values.as_chunks();
    ensure!(rest.is_empty(), "{file} is not a matrix of 3 columns");
    Ok(rows.to_vec())
}
