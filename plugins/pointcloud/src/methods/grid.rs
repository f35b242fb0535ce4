//! FPFH of organised points: sampled by nearest, pooled to the cells of a coarser grid.

use super::fpfh::FpfhParams;
use super::{POINTS, has_point, points, resized, sampled_pixels};
use crate::fpfh::WIDTH;
use crate::neighbours::Neighbours;
use crate::plane::Facing;
use crate::pool::{Pooling, pool};
use assay_sdk::{Error, Frame, GridView, Host, Layout, OutputSpec, Outputs, Result, Sample, Spec};

/// Grid sizes as (rows, columns).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GridPlan {
    scan: (usize, usize),
    sampled: (usize, usize),
    cells: (usize, usize),
}

impl GridPlan {
    /// The plan for points like `spec`, and what it makes of them.
    ///
    /// # Errors
    /// A scan that leaves nothing to pool, or a search too large.
    pub(super) fn new(spec: &Spec, params: &FpfhParams) -> Result<(Self, OutputSpec)> {
        let scan = (spec.rows, spec.cols);
        let sampled = resized(scan, params.size as usize);
        let cells = resized(sampled, params.cells as usize);
        if sampled.0 < 3 || sampled.1 < 3 {
            let problem =
                format!("{} x {} points are sampled to {} x {}", scan.0, scan.1, sampled.0, sampled.1);
            return Err(Error::input(POINTS.name, format!("{problem}; pooling takes at least 3 x 3")));
        }
        Neighbours::check_size(sampled.0 * sampled.1, params.surroundings().most())
            .map_err(|e| Error::parameter("size", e.to_string()))?;
        // The first average leaves out half of the outermost pixels' surroundings: a border of one pixel.
        let pixel = spec.frame.resized(scan, sampled);
        let inner = Frame {
            offset_x: pixel.offset_x + pixel.stride_x,
            offset_y: pixel.offset_y + pixel.stride_y,
            ..pixel
        };
        let output = OutputSpec {
            layout: Layout::Grid,
            channels: WIDTH,
            rows: cells.0,
            cols: cells.1,
            frame: inner.resized((sampled.0 - 2, sampled.1 - 2), cells),
            range: None,
        };
        Ok((Self { scan, sampled, cells }, output))
    }

    /// Writes the pooled features of a scan.
    ///
    /// # Errors
    /// A scan of another size, or without a valid point.
    pub(super) fn score(
        &self,
        sample: &Sample<'_>,
        params: &FpfhParams,
        host: &Host,
        out: &mut Outputs<'_>,
    ) -> Result<()> {
        let grid = points(sample)?;
        if (grid.rows, grid.cols) != self.scan {
            let (got, planned) = ((grid.rows, grid.cols), self.scan);
            return Err(Error::input(
                POINTS.name,
                format!("the scan is {got:?} pixels, planned were {planned:?}"),
            ));
        }
        let (cloud, at) = sampled_cloud(&grid, self.sampled);
        if cloud.is_empty() {
            return Err(Error::input(
                POINTS.name,
                "the scan has no valid point: check the sensor and the preparation",
            ));
        }
        let features = params.features(&cloud, Facing::Camera, host)?;
        let pooling = if params.pooling == "btf" { Pooling::Zeros } else { Pooling::Valid };
        let means = pool(&features, &at, self.sampled, self.cells, pooling, host);
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

/// The valid points of a grid sampled by nearest, and the index of
/// each sampled pixel's point.
fn sampled_cloud(grid: &GridView<'_>, (rows, cols): (usize, usize)) -> (Vec<[f32; 3]>, Vec<Option<u32>>) {
    let planes = [0, 1, 2].map(|c| grid.plane(c));
    let mut cloud = Vec::with_capacity(rows * cols);
    let mut at = Vec::with_capacity(rows * cols);
    for i in sampled_pixels((grid.rows, grid.cols), (rows, cols)) {
        at.push(has_point(grid, i).then_some(cloud.len() as u32));
        if has_point(grid, i) {
            cloud.push(planes.map(|plane| plane[i]));
        }
    }
    (cloud, at)
}

#[cfg(test)]
mod tests {
    use crate::Fpfh;
    use crate::fixtures::wavy_scan;
    use assay_sdk::testing::{Runner, TestValue};
    use assay_sdk::{Content, ParamValue};

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
}
