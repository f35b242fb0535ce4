//! The method `normals`: an image of surface normals.

use super::sampled::Sampled;
use super::{POINTS, points};
use crate::fill::fill;
use crate::gaps::gaps;
use crate::normals::{Normals, Scan, of_scan};
use assay_sdk::{
    Content, Host, Info, Layout, Method, OutputPort, OutputSpec, Outputs, Result, Sample, Spec, params,
};

params! {
    /// Parameters of `normals`.
    pub struct NormalParams {
        /// Longer side of the grid that the points are sampled to by nearest first; 0 and a smaller scan: as they are. Time grows
        /// with its square.
        size: i64 = 0, min = 0.0, max = 16_384.0, unit = "px";
        /// Radius of the window whose pixels a plane is fitted to: 4 takes 9 x 9 pixels, counted after sampling. Larger is smoother.
        window: i64 = 4, min = 1.0, max = 32.0, unit = "px";
        /// Whether pixels without a normal get a smooth continuation of their surroundings, so that a backbone sees no
        /// black specks; they stay invalid. Otherwise they are 0, 0, 0.
        fill: bool = true;
        /// How far into a gap that points enclose what is filled in has faded to 1/e, so that missing depth shows; 0 = it does not fade.
        /// For parts whose good scans have few gaps: of those that have many it costs accuracy.
        fade: f64 = 0.0, min = 0.0, max = 16_384.0, unit = "px";
    }
}

/// Surface normals of organised points.
pub struct NormalImage {
    params: NormalParams,
    host: Host,
}

impl Method for NormalImage {
    type Params = NormalParams;
    const INFO: Info = Info {
        id: "normals",
        name: "Surface normals",
        summary: "The surface normal of each pixel of organised points, as an image that a backbone can look at.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Liu et al., crossmodal reverse distillation (arXiv 2412.08949): normal images through image backbones; \
                Hoppe et al., Surface reconstruction from unorganized points (SIGGRAPH 1992): normals by planes of least squares",
        deviations: "TRD takes Sobel gradients of the depth image and maps normals to 0..1; here planes are fitted to the \
                     points themselves, pixels across a depth step are left out, and values are -1..1 with z towards the \
                     camera negative. The background plane is not removed here.",
        inputs: &[POINTS],
        outputs: &[OutputPort {
            name: "normals",
            doc: "Unit normals towards the camera, [3, h, w], -1..1, at the size of the points; valid where a normal exists.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(params: NormalParams, host: Host) -> Result<Self> {
        Ok(Self { params, host })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let output = super::sampled::output(&inputs[0], self.params.size, 3);
        Ok(vec![OutputSpec { range: Some((-1.0, 1.0)), ..output }])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let grid = points(sample)?;
        let sampled = Sampled::of(&grid, self.params.size);
        let (rows, cols) = (sampled.rows, sampled.cols);
        let scan = Scan { planes: sampled.planes(), valid: &sampled.valid, rows, cols };
        let normals = of_scan(&scan, self.params.window as usize, &self.host);
        for (valid, normal) in out.grid_valid(0)?.iter_mut().zip(&normals) {
            *valid = u8::from(normal.is_some());
        }
        let image = if self.params.fill {
            let filled: Vec<_> = fill(&normals, rows, cols, &self.host).into_iter().map(unit).collect();
            if self.params.fade > 0.0 {
                faded(filled, &normals, (rows, cols), self.params.fade)
            } else {
                filled
            }
        } else {
            normals.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()
        };
        let values = out.grid(0)?;
        for (c, plane) in values.chunks_exact_mut((rows * cols).max(1)).enumerate() {
            plane.iter_mut().zip(&image).for_each(|(v, normal)| *v = normal[c]);
        }
        Ok(())
    }
}

/// The image with what lies deep in gaps shortened.
fn faded(
    filled: Vec<[f32; 3]>,
    normals: &Normals,
    (rows, cols): (usize, usize),
    reach: f64,
) -> Vec<[f32; 3]> {
    let known: Vec<bool> = normals.iter().map(Option::is_some).collect();
    let share = |depth: f32| (-(depth / reach as f32).powi(2)).exp();
    filled.into_iter().zip(gaps(&known, rows, cols)).map(|(n, depth)| n.map(|v| v * share(depth))).collect()
}

/// A mean of normals, of length 1 again; zero stays zero.
fn unit(v: [f32; 3]) -> [f32; 3] {
    let length = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt();
    if length > 0.0 { v.map(|c| (c / length).clamp(-1.0, 1.0)) } else { v }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    /// A tilted plane, 12 x 16 pixels of 0.25 mm, with a hole.
    fn tilted() -> TestValue {
        let (rows, cols) = (12, 16);
        let at = |i: usize| (0.000_25 * (i % cols) as f32 - 0.002, 0.000_25 * (i / cols) as f32 - 0.0015);
        let x = (0..rows * cols).map(|i| at(i).0);
        let y = (0..rows * cols).map(|i| at(i).1);
        let z = (0..rows * cols).map(|i| 0.4 + 0.5 * at(i).0);
        let values = x.chain(y).chain(z).collect();
        let valid = (0..rows * cols).map(|i| u8::from(![84, 85, 100].contains(&i))).collect();
        TestValue::grid(Content::Xyz, [3, rows, cols], values).with_valid(valid)
    }

    fn run(params: &[(&str, ParamValue)]) -> TestValue {
        let mut runner = Runner::new::<NormalImage>(params).unwrap();
        assert_eq!(runner.plan(&[tilted()]).unwrap(), [(3, 12, 16)]);
        runner.score(&[tilted()]).unwrap().remove(0)
    }

    #[test]
    fn a_plane_has_one_normal_and_holes_are_filled_but_stay_invalid() {
        let out = run(&[]);
        let length = 1.25f32.sqrt();
        for (plane, expected) in out.values.chunks(12 * 16).zip([0.5 / length, 0.0, -1.0 / length]) {
            assert!(plane.iter().all(|v| (v - expected).abs() < 1e-3), "{plane:?}");
        }
        assert_eq!(out.valid, tilted().valid);
        assert_eq!(out.frame, assay_sdk::Frame::NATIVE);
    }

    #[test]
    fn a_sampled_scan_covers_the_same_view_with_fewer_pixels() {
        let mut runner =
            Runner::new::<NormalImage>(&[("size", ParamValue::Int(8)), ("window", ParamValue::Int(2))])
                .unwrap();
        assert_eq!(runner.plan(&[tilted()]).unwrap(), [(3, 6, 8)]);
        let out = runner.score(&[tilted()]).unwrap().remove(0);
        assert_eq!((out.frame.stride_x, out.frame.offset_x), (2.0, 0.0));
        assert!(out.values[..48].iter().all(|v| (v - 0.5 / 1.25f32.sqrt()).abs() < 1e-3), "{:?}", out.values);
        // Pixel (5, 4) of the scan has no point, nor has its sample.
        let valid = out.valid.unwrap();
        assert_eq!((valid[2 * 8 + 2], valid[3 * 8 + 2]), (1, 0));
    }

    #[test]
    fn without_fill_holes_are_zero() {
        let out = run(&[("fill", ParamValue::Bool(false)), ("window", ParamValue::Int(1))]);
        assert_eq!([0, 1, 2].map(|c| out.values[c * 192 + 84]), [0.0; 3]);
        assert!(out.values[2 * 192 + 3] < -0.8);
    }

    #[test]
    fn what_is_filled_in_fades_with_the_depth_of_the_gap() {
        let mut scan = tilted();
        let gap = |i: usize| (3..10).contains(&(i / 16)) && (4..11).contains(&(i % 16));
        scan.valid = Some((0..192).map(|i| u8::from(!gap(i))).collect());
        let length = |fade: f64| {
            let mut runner = Runner::new::<NormalImage>(&[
                ("fade", ParamValue::Float(fade)),
                ("window", ParamValue::Int(2)),
            ])
            .unwrap();
            runner.plan(std::slice::from_ref(&scan)).unwrap();
            let out = runner.score(std::slice::from_ref(&scan)).unwrap().remove(0);
            let at = |row: usize, col: usize| {
                [0, 1, 2]
                    .map(|c| out.values[c * 192 + row * 16 + col])
                    .iter()
                    .map(|v| v * v)
                    .sum::<f32>()
                    .sqrt()
            };
            // Beside the gap, at its rim, and in its middle, four pixels from the nearest point.
            [at(2, 7), at(3, 7), at(6, 7)]
        };
        let expected = |fade: f32| [1.0, (-1.0 / (fade * fade)).exp(), (-16.0 / (fade * fade)).exp()];
        for (found, expected) in [(length(0.0), [1.0; 3]), (length(4.0), expected(4.0))] {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
        }
    }

    #[test]
    fn a_scan_without_points_is_invalid_everywhere() {
        let mut runner = Runner::new::<NormalImage>(&[]).unwrap();
        let empty = TestValue::grid(Content::Xyz, [3, 4, 5], vec![0.0; 60]).with_valid(vec![0; 20]);
        runner.plan(std::slice::from_ref(&empty)).unwrap();
        let out = runner.score(&[empty]).unwrap().remove(0);
        assert_eq!((out.values, out.valid), (vec![0.0; 60], Some(vec![0; 20])));
    }
}
