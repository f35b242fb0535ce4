//! The method `gaps`: missing depth as a defect.

use super::{POINTS, has_point, points};
use crate::gaps::gaps;
use assay_sdk::{
    Content, Host, Info, Layout, Method, OutputPort, OutputSpec, Outputs, Result, Sample, Spec, params,
};

params! {
    /// Parameters of `gaps`.
    pub struct GapParams {}
}

/// Gaps in organised points.
pub struct Gaps;

impl Method for Gaps {
    type Params = GapParams;
    const INFO: Info = Info {
        id: "gaps",
        name: "Gaps in the points",
        summary: "How far each place inside the part without a point is from the nearest point: holes, and surfaces that the sensor cannot see.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "",
        deviations: "",
        inputs: &[POINTS],
        outputs: &[OutputPort {
            name: "scores",
            doc: "Distance to the nearest point in pixels where points enclose the pixel, else 0; every pixel is valid. The image score \
                  is the greatest.",
            content: Content::Scores,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(_: GapParams, _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        Ok(vec![OutputSpec::grid_like(&inputs[0], 1)])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let grid = points(sample)?;
        let measured: Vec<bool> = (0..grid.rows * grid.cols).map(|i| has_point(&grid, i)).collect();
        let found = gaps(&measured, grid.rows, grid.cols);
        out.grid(0)?.copy_from_slice(&found);
        out.image_score(0, f64::from(found.iter().copied().fold(0.0, f32::max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::testing::{Runner, TestValue};

    #[test]
    fn a_hole_scores_its_depth_and_a_scan_without_points_nothing() {
        let hole = |i: usize| (30..33).contains(&(i / 40)) && (10..13).contains(&(i % 40));
        let scan =
            |valid: Vec<u8>| TestValue::grid(Content::Xyz, [3, 40, 40], vec![0.3; 4800]).with_valid(valid);
        let mut runner = Runner::new::<Gaps>(&[]).unwrap();
        let whole = scan((0..1600).map(|i| u8::from(!hole(i))).collect());
        runner.plan(std::slice::from_ref(&whole)).unwrap();
        let out = runner.score(&[whole]).unwrap().remove(0);
        assert_eq!((out.values[31 * 40 + 11], out.image_score), (2.0, 2.0));
        assert_eq!(out.values.iter().filter(|v| **v > 0.0).count(), 9);
        let none = runner.score(&[scan(vec![0; 1600])]).unwrap().remove(0);
        assert_eq!(none.image_score, 0.0);
    }
}
