//! The method `point-mae`: features of a point transformer on groups of points, brought back to the picture.

use crate::groups::{NEAREST, Point, farthest, groups, shares};
use assay_kernels::adaptive::runs;
use assay_sdk::state::{read_count, read_u8s, read_u64, write_u8s, write_u64};
use assay_sdk::{
    Content, Error, Fit, Frame, GridView, Host, Info, InputPort, Layout, Method, Next, OnnxSession,
    OutputPort, OutputSpec, Outputs, Parallel, Result, Sample, Spec, for_each_chunk,
};
use std::io::{Read, Write};

assay_sdk::params! {
    /// Parameters of `point-mae`.
    pub struct PointMaeSettings {
        /// ONNX file of the transformer, relative to the recipe's folder: inputs `groups` [1, centres, group, 3] and `centres` [1, centres, 3], output
        /// `features` [1, centres, channels]. The model keeps a copy.
        file: String = String::new(), unit = "path";
        /// Longer side of the grid that the points are sampled to by nearest first.
        size: i64 = 224, min = 8.0, max = 4096.0, unit = "px";
        /// Groups of points, whose centres are as far from each other as can be.
        centres: i64 = 1024, min = 3.0, max = 16_384.0;
        /// Points of a group.
        group: i64 = 128, min = 1.0, max = 4096.0;
        /// Values of a feature that the network gives.
        channels: i64 = 1152, min = 1.0, max = 65_536.0;
        /// Longer side of the grid of features.
        cells: i64 = 56, min = 1.0, max = 1024.0, unit = "cells";
    }
}

/// Changes with the layout of the saved state.
const STATE_VERSION: u64 = 1;

/// Most bytes of a network.
const MOST_BYTES: usize = 1 << 31;

/// Names in the ONNX file.
const GROUPS: &str = "groups";
const CENTRES: &str = "centres";
const FEATURES: &str = "features";

/// Features of a point transformer.
pub struct PointMae {
    settings: PointMaeSettings,
    host: Host,
    plan: Option<Plan>,
    network: Option<Network>,
}

/// Grid sizes as (rows, columns).
#[derive(Debug, Clone, Copy)]
struct Plan {
    scan: (usize, usize),
    sampled: (usize, usize),
    cells: (usize, usize),
}

struct Network {
    onnx: Vec<u8>,
    session: OnnxSession,
}

/// `(rows, columns)` brought to a longer side of `longer`, no larger than they are.
fn resized((rows, cols): (usize, usize), longer: usize) -> (usize, usize) {
    let most = rows.max(cols);
    if longer >= most {
        return (rows, cols);
    }
    let side = |n: usize| (n * longer).div_ceil(most).max(1);
    (side(rows), side(cols))
}

impl PointMae {
    fn network(&self) -> Result<&Network> {
        self.network.as_ref().ok_or_else(|| Error::state("point-mae is not fitted"))
    }

    fn plan(&self) -> Result<Plan> {
        self.plan.ok_or_else(|| Error::state("point-mae was not planned"))
    }

    /// The valid points of a scan that is sampled by nearest, and the number of each pixel's.
    fn cloud(&self, grid: &GridView<'_>) -> Result<(Vec<Point>, Vec<Option<u32>>)> {
        let Plan { scan, sampled: (rows, cols), .. } = self.plan()?;
        if (grid.rows, grid.cols) != scan {
            let message = format!("the scan is {} x {} pixels, planned were {scan:?}", grid.rows, grid.cols);
            return Err(Error::input("points", message));
        }
        let planes = [0, 1, 2].map(|c| grid.plane(c));
        let (mut points, mut at) = (Vec::new(), Vec::with_capacity(rows * cols));
        for i in
            (0..rows).flat_map(|r| (0..cols).map(move |c| r * scan.0 / rows * scan.1 + c * scan.1 / cols))
        {
            at.push(grid.is_valid(i).then_some(points.len() as u32));
            if grid.is_valid(i) {
                points.push(planes.map(|plane| plane[i]));
            }
        }
        if points.is_empty() {
            return Err(Error::input(
                "points",
                "the scan has no valid point: check the sensor and the preparation",
            ));
        }
        Ok((points, at))
    }

    /// The features of the centres of points, `[centres, channels]`, and the centres.
    fn transformed(&self, network: &Network, points: &[Point]) -> Result<(Vec<f32>, Vec<Point>)> {
        let PointMaeSettings { centres: n, group, channels, .. } = self.settings;
        let (n, group, channels) = (n as usize, group as usize, channels as usize);
        let centres = farthest(points, n);
        let grouped = groups(points, &centres, group, &self.host);
        let centres: Vec<Point> = centres.iter().map(|&i| points[i]).collect();
        let inputs: [(&str, &[usize], &[f32]); 2] =
            [(GROUPS, &[1, n, group, 3], &grouped), (CENTRES, &[1, n, 3], centres.as_flattened())];
        let outputs = network.session.run(&inputs)?;
        let features = outputs.into_iter().find(|t| t.name == FEATURES);
        match features {
            Some(f) if f.shape == [1, n, channels] && f.data.iter().all(|v| v.is_finite()) => {
                Ok((f.data, centres))
            }
            Some(f) => {
                let message =
                    format!("the network gives `{FEATURES}` {:?}, not finite [1, {n}, {channels}]", f.shape);
                Err(Error::parameter("channels", message))
            }
            None => Err(Error::parameter("file", format!("the network has no output `{FEATURES}`"))),
        }
    }
}

/// The features of the points averaged to cells, `[cells, channels]`, and which cells have a point: 3 x 3 pixels, then adaptive, pixels without
/// a point as zeros. Averages are linear: each cell is a sum of few centres' `features`, which spares one of all pixels'.
fn averaged(
    (features, channels): (&[f32], usize),
    shares: &[[(u32, f32); NEAREST]],
    at: &[Option<u32>],
    plan: Plan,
    par: &dyn Parallel,
) -> (Vec<f32>, Vec<bool>) {
    let (down, across) = (runs(plan.sampled.0, plan.cells.0), runs(plan.sampled.1, plan.cells.1));
    let n = plan.cells.0 * plan.cells.1;
    let mut cells = vec![0.0f32; n * channels];
    let mut covered = vec![false; n];
    let mut rows: Vec<_> =
        cells.chunks_mut(plan.cells.1 * channels).zip(covered.chunks_mut(plan.cells.1)).collect();
    for_each_chunk(par, &mut rows, 1, &|row, part| {
        let mut weights = vec![0.0f32; features.len() / channels];
        for (values, covered) in part {
            for ((cell, covered), across) in values.chunks_mut(channels).zip(covered.iter_mut()).zip(&across)
            {
                weights.fill(0.0);
                for (y, wy) in (down[row].first..).zip(&down[row].weights) {
                    for (x, wx) in (across.first..).zip(&across.weights) {
                        if let Some(i) = at[y * plan.sampled.1 + x] {
                            *covered = true;
                            for (c, share) in shares[i as usize] {
                                weights[c as usize] += wy * wx * share;
                            }
                        }
                    }
                }
                for (weight, feature) in weights.iter().zip(features.chunks_exact(channels)) {
                    if *weight > 0.0 {
                        cell.iter_mut().zip(feature).for_each(|(sum, v)| *sum += weight * v);
                    }
                }
            }
        }
    });
    (cells, covered)
}

impl Method for PointMae {
    type Params = PointMaeSettings;
    const INFO: Info = Info {
        id: "point-mae",
        name: "Point transformer",
        summary: "Features of a point transformer such as Point-MAE, an ONNX file: groups of points around centres that are far apart, brought back to the points and averaged to a grid, as M3DM does.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Wang, Peng, Zhang, Yi, Xie, Wang, Wang: Multimodal Industrial Anomaly Detection via Hybrid Fusion (CVPR 2023); \
                Pang, Wang, Tay, Liu, Tian, Yuan: Masked Autoencoders for Point Cloud Self-supervised Learning (ECCV 2022)",
        deviations: "Cells without a point are invalid, not features of zeros.",
        inputs: &[InputPort {
            name: "points",
            doc: "Organised points.",
            content: &[Content::Xyz],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 1,
        }],
        outputs: &[OutputPort {
            name: "features",
            doc: "Mean features of the points of each cell, those of pixels without a point counted as zeros.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: true,
        deterministic: true,
    };

    fn create(settings: PointMaeSettings, host: Host) -> Result<Self> {
        Ok(Self { settings, host, plan: None, network: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let spec = inputs.first().ok_or_else(|| Error::input("points", "no points are bound"))?;
        let scan = (spec.rows, spec.cols);
        let sampled = resized(scan, self.settings.size as usize);
        if sampled.0 < 3 || sampled.1 < 3 {
            let message = format!("{scan:?} points are sampled to {sampled:?}; pooling takes at least 3 x 3");
            return Err(Error::input("points", message));
        }
        let cells = resized(sampled, self.settings.cells as usize);
        self.plan = Some(Plan { scan, sampled, cells });
        // The first average leaves out half of the outermost pixels' surroundings: a border of one pixel.
        let pixel = spec.frame.resized(scan, sampled);
        let inner = Frame {
            offset_x: pixel.offset_x + pixel.stride_x,
            offset_y: pixel.offset_y + pixel.stride_y,
            ..pixel
        };
        Ok(vec![OutputSpec {
            layout: Layout::Grid,
            channels: self.settings.channels as usize,
            rows: cells.0,
            cols: cells.1,
            frame: inner.resized((sampled.0 - 2, sampled.1 - 2), cells),
            range: None,
        }])
    }

    /// The network is read here: what is learned is the file.
    fn fit_begin(&mut self, _fit: Fit) -> Result<()> {
        let file = &self.settings.file;
        if file.is_empty() {
            return Err(Error::parameter("file", "name the ONNX file of a point transformer"));
        }
        let unreadable = |e: std::io::Error| Error::parameter("file", format!("{file}: {e}"));
        let mut onnx = Vec::new();
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        opened.take(MOST_BYTES as u64 + 1).read_to_end(&mut onnx).map_err(unreadable)?;
        if onnx.len() > MOST_BYTES {
            return Err(Error::parameter("file", format!("{file}: more than {MOST_BYTES} bytes")));
        }
        let session = self.host.open_onnx(&onnx, file)?;
        self.network = Some(Network { onnx, session });
        Ok(())
    }

    fn fit_add(&mut self, _sample: &Sample<'_>) -> Result<()> {
        Ok(())
    }

    fn fit_end(&mut self) -> Result<Next> {
        // Before other steps learn anything: whether the network gives what was planned.
        let n = self.settings.centres as usize;
        let points: Vec<Point> = (0..n).map(|i| [i as f32 / n as f32, (i % 7) as f32 / 7.0, 0.5]).collect();
        self.transformed(self.network()?, &points)?;
        Ok(Next::Done)
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let plan = self.plan()?;
        let grid = match sample.inputs.first() {
            Some(value) => value.grid()?,
            None => return Err(Error::input("points", "no points are bound")),
        };
        let (points, at) = self.cloud(&grid)?;
        let (features, centres) = self.transformed(self.network()?, &points)?;
        let shares = shares(&points, &centres, &self.host);
        let channels = self.settings.channels as usize;
        let n = plan.cells.0 * plan.cells.1;
        let (cells, covered) = averaged((&features, channels), &shares, &at, plan, &self.host);
        let planes = out.grid(0)?;
        for (i, value) in cells.iter().enumerate() {
            planes[i % channels * n + i / channels] = *value;
        }
        out.grid_valid(0)?.iter_mut().zip(&covered).for_each(|(to, &c)| *to = u8::from(c));
        Ok(())
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let network = self.network()?;
        write_u64(out, STATE_VERSION)?;
        write_u64(out, network.onnx.len() as u64)?;
        write_u8s(out, &network.onnx)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            let message = format!("the saved network has version {version}, not {STATE_VERSION}; fit again");
            return Err(Error::state(message));
        }
        let bytes = read_count(input, MOST_BYTES, "bytes of a network")?;
        let onnx = read_u8s(input, bytes)?;
        let session = self.host.open_onnx(&onnx, "point transformer")?;
        self.network = Some(Network { onnx, session });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_kernels::adaptive::average;
    use assay_sdk::Serial;

    #[test]
    fn cells_are_the_averages_of_a_picture_of_all_points_features() {
        let plan = Plan { scan: (12, 17), sampled: (12, 17), cells: (4, 5) };
        let at: Vec<Option<u32>> = (0..12 * 17)
            .scan(0, |n, i| {
                Some((i % 17 > 5 && i % 5 > 0).then(|| {
                    *n += 1;
                    *n - 1
                }))
            })
            .collect();
        let points: Vec<Point> =
            at.iter().flatten().map(|&i| [(i as f32 * 0.7).sin(), (i as f32 * 0.3).cos(), 0.1]).collect();
        let centres: Vec<Point> = farthest(&points, 6).into_iter().map(|i| points[i]).collect();
        let shares = shares(&points, &centres, &Serial);
        let features: Vec<f32> = (0..6 * 2).map(|i| (i as f32 * 1.3).sin()).collect();
        let (cells, covered) = averaged((&features, 2), &shares, &at, plan, &Serial);
        for c in 0..2 {
            let feature = |i: u32| {
                shares[i as usize].iter().map(|(k, w)| w * features[*k as usize * 2 + c]).sum::<f32>()
            };
            let plane: Vec<f32> = at.iter().map(|i| i.map_or(0.0, feature)).collect();
            let mut expected = vec![0.0; 20];
            average(&plane, 17, &runs(12, 4), &runs(17, 5), &mut [0.0; 17], &mut expected);
            for (cell, expected) in expected.iter().enumerate() {
                assert!((cells[cell * 2 + c] - expected).abs() < 1e-6);
            }
        }
        assert_eq!(covered.iter().filter(|c| !**c).count(), 4);
    }
}
