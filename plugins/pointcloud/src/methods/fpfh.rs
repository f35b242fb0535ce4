//! The method `fpfh`: point feature histograms, pooled to a grid.

use super::{POINTS, has_point, points};
use crate::fpfh::{Histogram, WIDTH, fpfh};
use crate::neighbours::{Neighbours, Search};
use crate::normals::of_cloud;
use crate::pool::{Pooling, pool};
use assay_sdk::{
    Content, Error, Frame, GridView, Host, Info, Layout, Method, OutputPort, OutputSpec, Outputs, Result,
    Sample, Spec, params,
};

params! {
    /// Parameters of `fpfh`.
    pub struct FpfhParams {
        /// Longer side of the grid that the points are sampled to by nearest before features are computed; a smaller
        /// scan stays as it is. Time grows with its square.
        size: i64 = 224, min = 3.0, max = 2048.0, unit = "px";
        /// Longer side of the output grid; the other keeps the aspect.
        cells: i64 = 28, min = 1.0, max = 512.0, unit = "cells";
        /// Nearest points that a surface normal is fitted to.
        normals_nn: i64 = 30, min = 3.0, max = 1000.0, unit = "points";
        /// Nearest points that a histogram is made from, the point itself counted.
        neighbours: i64 = 100, min = 2.0, max = 1000.0, unit = "points";
        /// Neighbours lie nearer than this, those of a normal too; 0 = no bound.
        radius: f64 = 0.25, min = 0.0, max = 1e6, unit = "m";
        /// How pixels without a point count in a cell: `btf` = as zeros, and every cell is valid, as in the paper;
        /// `valid` = not at all, and a cell without points is invalid.
        pooling: String = "btf".into(), choices = &["btf", "valid"];
    }
}

/// FPFH features of organised points.
pub struct Fpfh {
    params: FpfhParams,
    host: Host,
    plan: Plan,
}

/// Grid sizes as (rows, columns).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Plan {
    scan: (usize, usize),
    sampled: (usize, usize),
    cells: (usize, usize),
}

impl Method for Fpfh {
    type Params = FpfhParams;
    const INFO: Info = Info {
        id: "fpfh",
        name: "Fast point feature histograms",
        summary: "FPFH of organised points, pooled to a grid of 33 channels: how the surface bends around each cell.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Rusu, Blodow and Beetz, Fast Point Feature Histograms for 3D registration (ICRA 2009), as used by \
                Horwitz and Hoshen, Back to the Feature (2022)",
        deviations: "As Open3D and BTF compute them: neighbours weigh 1/distance^2, not 1/distance. One radius serves normals \
                     and histograms (BTF: 0.1 and 0.25 m, neither binds on its scans); a point whose neighbours span no \
                     plane takes the direction to the camera as normal (Open3D: the z axis). The preprocessing of BTF \
                     (plane removal, clustering) is not part of this method.",
        inputs: &[POINTS],
        outputs: &[OutputPort {
            name: "features",
            doc: "FPFH, [33, h, w]: 11 bins each of theta, alpha and phi.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(params: FpfhParams, host: Host) -> Result<Self> {
        Ok(Self { params, host, plan: Plan::default() })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let spec = &inputs[0];
        let scan = (spec.rows, spec.cols);
        let sampled = resized(scan, self.params.size as usize);
        let cells = resized(sampled, self.params.cells as usize);
        if sampled.0 < 3 || sampled.1 < 3 {
            let problem =
                format!("{} x {} points are sampled to {} x {}", scan.0, scan.1, sampled.0, sampled.1);
            return Err(Error::input(POINTS.name, format!("{problem}; pooling takes at least 3 x 3")));
        }
        Neighbours::check_size(sampled.0 * sampled.1, self.params.most())
            .map_err(|e| Error::parameter("size", e.to_string()))?;
        self.plan = Plan { scan, sampled, cells };
        // The first average leaves out half of the outermost pixels' surroundings: a border of one pixel.
        let pixel = spec.frame.resized(scan, sampled);
        let inner = Frame {
            offset_x: pixel.offset_x + pixel.stride_x,
            offset_y: pixel.offset_y + pixel.stride_y,
            ..pixel
        };
        let frame = inner.resized((sampled.0 - 2, sampled.1 - 2), cells);
        Ok(vec![OutputSpec {
            layout: Layout::Grid,
            channels: WIDTH,
            rows: cells.0,
            cols: cells.1,
            frame,
            range: Some((0.0, 200.0)),
        }])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let grid = points(sample)?;
        if (grid.rows, grid.cols) != self.plan.scan {
            let (got, planned) = ((grid.rows, grid.cols), self.plan.scan);
            return Err(Error::input(
                POINTS.name,
                format!("the scan is {got:?} pixels, planned were {planned:?}"),
            ));
        }
        let (cloud, at) = sampled_cloud(&grid, self.plan.sampled);
        if cloud.is_empty() {
            return Err(Error::input(
                POINTS.name,
                "the scan has no valid point: check the sensor and the preparation",
            ));
        }
        let features = self.params.features(&cloud, &self.host)?;
        let pooling = if self.params.pooling == "btf" { Pooling::Zeros } else { Pooling::Valid };
        let means = pool(&features, &at, self.plan.sampled, self.plan.cells, pooling, &self.host);
        if pooling == Pooling::Valid {
            for (valid, (_, share)) in out.grid_valid(0)?.iter_mut().zip(&means) {
                *valid = u8::from(*share > 0.0);
            }
        }
        for (c, plane) in out.grid(0)?.chunks_exact_mut(means.len()).enumerate() {
            plane.iter_mut().zip(&means).for_each(|(v, (mean, _))| *v = mean[c]);
        }
        Ok(())
    }
}

impl FpfhParams {
    /// Neighbours to search for.
    fn most(&self) -> usize {
        self.neighbours.max(self.normals_nn) as usize
    }

    /// The features of a cloud.
    fn features(&self, cloud: &[[f32; 3]], host: &Host) -> Result<Vec<Histogram>> {
        let radius = if self.radius > 0.0 { self.radius as f32 } else { f32::INFINITY };
        let mut table = Neighbours::search(cloud, Search { k: self.most(), radius }, host)
            .map_err(|e| Error::input(POINTS.name, e.to_string()))?;
        let normals: Vec<[f32; 3]> = of_cloud(cloud, &table, self.normals_nn as usize, host)
            .into_iter()
            .zip(cloud)
            .map(|(normal, &point)| normal.unwrap_or_else(|| to_camera(point)))
            .collect();
        table.truncate(self.neighbours as usize);
        Ok(fpfh(cloud, &normals, &table, host))
    }
}

/// The direction from a point to the camera at the origin.
fn to_camera(point: [f32; 3]) -> [f32; 3] {
    let length = point.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 { point.map(|v| (-f64::from(v) / length) as f32) } else { [0.0, 0.0, -1.0] }
}

/// (rows, columns) shrunk so that the longer side is `longest`, at least one each; a smaller grid stays as it is.
fn resized((rows, cols): (usize, usize), longest: usize) -> (usize, usize) {
    let side = rows.max(cols);
    if side <= longest {
        return (rows, cols);
    }
    let scaled = |n: usize| ((n * longest + side / 2) / side).max(1);
    (scaled(rows), scaled(cols))
}

/// The valid points of a grid sampled by nearest (as PyTorch does: pixel floor(i * size / sampled)), and the index of
/// each sampled pixel's point.
fn sampled_cloud(grid: &GridView<'_>, (rows, cols): (usize, usize)) -> (Vec<[f32; 3]>, Vec<Option<u32>>) {
    let planes = [0, 1, 2].map(|c| grid.plane(c));
    let mut cloud = Vec::with_capacity(rows * cols);
    let mut at = Vec::with_capacity(rows * cols);
    for row in 0..rows {
        for col in 0..cols {
            let i = row * grid.rows / rows * grid.cols + col * grid.cols / cols;
            at.push(has_point(grid, i).then_some(cloud.len() as u32));
            if has_point(grid, i) {
                cloud.push(planes.map(|plane| plane[i]));
            }
        }
    }
    (cloud, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::wavy_scan;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    fn wavy(rows: usize, cols: usize) -> TestValue {
        TestValue::grid(Content::Xyz, [3, rows, cols], wavy_scan(rows, cols))
    }

    fn text(value: &str) -> ParamValue {
        ParamValue::String(value.into())
    }

    #[test]
    fn the_output_keeps_the_aspect_and_lies_inside_the_border_that_pooling_loses() {
        let mut runner =
            Runner::new::<Fpfh>(&[("size", ParamValue::Int(50)), ("cells", ParamValue::Int(12))]).unwrap();
        assert_eq!(runner.plan(&[wavy(60, 100)]).unwrap(), [(33, 7, 12)]);
        let out = runner.score(&[wavy(60, 100)]).unwrap().remove(0);
        assert_eq!((out.shape.as_slice(), out.valid), (&[33, 7, 12][..], None));
        assert_eq!((out.frame.offset_x, out.frame.stride_x), (2.0, 8.0));
        assert_eq!((out.frame.offset_y, out.frame.stride_y), (2.0, 8.0));
        let sums: Vec<f32> = (0..84).map(|i| out.values.iter().skip(i).step_by(84).sum()).collect();
        assert!(sums.iter().all(|s| (s - 600.0).abs() < 0.1), "{sums:?}");
    }

    #[test]
    fn missing_points_weigh_as_zeros_or_not_at_all() {
        let valid: Vec<u8> = (0..1600).map(|i| u8::from(i % 40 < 20)).collect();
        let scan = wavy(40, 40).with_valid(valid);
        let pooled = |pooling: &str| {
            let mut runner =
                Runner::new::<Fpfh>(&[("cells", ParamValue::Int(4)), ("pooling", text(pooling))]).unwrap();
            runner.plan(std::slice::from_ref(&scan)).unwrap();
            runner.score(std::slice::from_ref(&scan)).unwrap().remove(0)
        };
        let sum = |out: &TestValue, cell: usize| out.values.iter().skip(cell).step_by(16).sum::<f32>();
        let (btf, valid) = (pooled("btf"), pooled("valid"));
        assert_eq!(btf.valid, None);
        assert_eq!(valid.valid.as_deref(), Some(&[1, 1, 1, 0].repeat(4)[..]));
        assert!((sum(&valid, 2) - 600.0).abs() < 0.1);
        assert!(sum(&btf, 2) < 100.0);
        assert_eq!((sum(&btf, 3), sum(&valid, 3)), (0.0, 0.0));
    }

    #[test]
    fn a_scan_without_points_and_a_plan_too_large_are_errors_that_say_so() {
        let mut runner = Runner::new::<Fpfh>(&[]).unwrap();
        let empty = wavy(9, 9).with_valid(vec![0; 81]);
        runner.plan(std::slice::from_ref(&empty)).unwrap();
        assert!(runner.score(&[empty]).unwrap_err().message.contains("no valid point"));
        let huge = [("size", ParamValue::Int(2048)), ("neighbours", ParamValue::Int(1000))];
        let error = Runner::new::<Fpfh>(&huge).unwrap().plan(&[wavy(1000, 1000)]).unwrap_err();
        assert_eq!(error.subject, "size");
        assert!(Runner::new::<Fpfh>(&[]).unwrap().plan(&[wavy(2, 500)]).is_err());
        assert!(Runner::new::<Fpfh>(&[("pooling", text("mean"))]).is_err());
    }

    #[test]
    fn more_normal_points_than_neighbours_give_histograms_of_the_neighbours_alone() {
        let cloud = crate::fixtures::wavy_cloud(500, 4);
        let host = Host::none();
        let params = FpfhParams { normals_nn: 60, neighbours: 20, ..FpfhParams::default() };
        let wide = Neighbours::search(&cloud, Search::nearest(60), &host).unwrap();
        let normals: Vec<_> = of_cloud(&cloud, &wide, 60, &host).into_iter().flatten().collect();
        let near = Neighbours::search(&cloud, Search::nearest(20), &host).unwrap();
        assert_eq!(params.features(&cloud, &host).unwrap(), fpfh(&cloud, &normals, &near, &host));
    }

    #[test]
    fn a_binding_radius_leaves_no_point_without_a_normal() {
        let params = FpfhParams { radius: 1e-5, ..FpfhParams::default() };
        let features = params.features(&crate::fixtures::wavy_cloud(300, 5), &Host::none()).unwrap();
        assert!(features.iter().flatten().all(|v| v.is_finite()));
    }
}
