//! The method `height`: an image of heights above a plane.

use super::sampled::Sampled;
use super::{POINTS, points};
use crate::fill::fill;
use crate::height::heights;
use assay_sdk::{
    Content, Host, Info, Layout, Method, OutputPort, OutputSpec, Outputs, Result, Sample, Spec, params,
};

params! {
    /// Parameters of `height`.
    pub struct HeightParams {
        /// Longer side of the grid that the points are sampled to by nearest first; 0 and a smaller scan: as they are.
        size: i64 = 0, min = 0.0, max = 16_384.0, unit = "px";
        /// Height that is white and depth that is black; what is beyond is cut. The plane itself is in the middle.
        range: f64 = 0.02, min = 1e-6, max = 1e6, unit = "m";
        /// Whether pixels without a point get a smooth continuation of their surroundings, so that a backbone sees no
        /// specks; they stay invalid. Otherwise they are 0.
        fill: bool = true;
    }
}

/// Heights of organised points.
pub struct HeightImage {
    params: HeightParams,
    host: Host,
}

impl Method for HeightImage {
    type Params = HeightParams;
    const INFO: Info = Info {
        id: "height",
        name: "Height above the fitted plane",
        summary: "How far each point lies above the plane that fits most of them, as a grey image that a backbone can look at.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "",
        deviations: "",
        inputs: &[POINTS],
        outputs: &[OutputPort {
            name: "heights",
            doc: "Metres above the plane towards the camera, [1, h, w], at most `range` either way; valid where there is a point.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(params: HeightParams, host: Host) -> Result<Self> {
        Ok(Self { params, host })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let output = super::sampled::output(&inputs[0], self.params.size, 1);
        Ok(vec![OutputSpec { range: Some((-self.params.range, self.params.range)), ..output }])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let grid = points(sample)?;
        let scan = Sampled::of(&grid, self.params.size);
        let range = self.params.range as f32;
        let found: Vec<Option<[f32; 3]>> = heights(scan.planes(), &scan.valid)
            .into_iter()
            .map(|height| height.map(|h| [h.clamp(-range, range), 0.0, 0.0]))
            .collect();
        for (valid, height) in out.grid_valid(0)?.iter_mut().zip(&found) {
            *valid = u8::from(height.is_some());
        }
        let image = if self.params.fill {
            fill(&found, scan.rows, scan.cols, &self.host)
        } else {
            found.into_iter().map(Option::unwrap_or_default).collect()
        };
        out.grid(0)?.iter_mut().zip(&image).for_each(|(v, height)| *v = height[0]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    /// A plane of 12 x 16 pixels, on it a block of 3 x 3 pixels that is 4 mm high with one point missing, and 25 mm high in its middle.
    fn block() -> TestValue {
        let (rows, cols) = (12, 16);
        let lift = |i: usize| match (i / cols, i % cols) {
            (5, 5) => 0.025,
            (4..7, 4..7) => 0.004,
            _ => 0.0,
        };
        let x = (0..rows * cols).map(|i| 0.001 * (i % cols) as f32);
        let y = (0..rows * cols).map(|i| 0.001 * (i / cols) as f32);
        let z = (0..rows * cols).map(|i| 0.4 - lift(i));
        let values = x.chain(y).chain(z).collect();
        let valid = (0..rows * cols).map(|i| u8::from(i != 4 * cols + 4)).collect();
        TestValue::grid(Content::Xyz, [3, rows, cols], values).with_valid(valid)
    }

    fn run(params: &[(&str, ParamValue)]) -> TestValue {
        let mut runner = Runner::new::<HeightImage>(params).unwrap();
        runner.plan(&[block()]).unwrap();
        runner.score(&[block()]).unwrap().remove(0)
    }

    #[test]
    fn heights_are_metres_cut_at_the_range_and_missing_points_are_filled_but_stay_invalid() {
        let out = run(&[]);
        assert_eq!(out.shape, [1, 12, 16]);
        assert_eq!(out.valid, block().valid);
        let at = |row: usize, col: usize| out.values[row * 16 + col];
        assert_eq!(at(5, 5), 0.02);
        assert!((at(6, 6) - 0.004).abs() < 1e-5 && at(0, 0).abs() < 1e-5, "{} {}", at(6, 6), at(0, 0));
        assert!(at(4, 4) > 1e-4);
        let bare = run(&[("fill", ParamValue::Bool(false)), ("range", ParamValue::Float(0.001))]);
        assert_eq!((bare.values[4 * 16 + 4], bare.values[6 * 16 + 6]), (0.0, 0.001));
    }

    #[test]
    fn a_sampled_scan_covers_the_same_view_with_fewer_pixels() {
        let out = run(&[("size", ParamValue::Int(8))]);
        assert_eq!((out.shape.as_slice(), out.frame.stride_x), (&[1, 6, 8][..], 2.0));
    }
}
