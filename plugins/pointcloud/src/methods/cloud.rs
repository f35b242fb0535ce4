//! FPFH of a cloud: thinned by cubes, one histogram a point that is left.

use super::POINTS;
use super::fpfh::FpfhParams;
use crate::plane::Facing;
use crate::voxel::down_sample;
use assay_sdk::{CloudView, Error, Host, Outputs, Result, Sample};

/// Fewest points that a surface goes through.
const FEWEST: usize = 3;

/// Writes the features of the valid points of a cloud, thinned by `voxel`, with their positions.
///
/// # Errors
/// A cloud of which fewer than three points are left, or that is too large to search.
pub(super) fn score(
    sample: &Sample<'_>,
    params: &FpfhParams,
    host: &Host,
    out: &mut Outputs<'_>,
) -> Result<()> {
    let input = sample.inputs.first().ok_or_else(|| Error::input(POINTS.name, "the scan has no points"))?;
    let points = thinned(&input.cloud()?, params.voxel)?;
    let facing = if params.orient == "outward" { Facing::outward(&points) } else { Facing::Camera };
    let features = params.features(&points, facing, host)?;
    let (values, positions) = out.cloud(0, points.len())?;
    values.copy_from_slice(features.as_flattened());
    positions.copy_from_slice(points.as_flattened());
    Ok(())
}

/// The valid points of a cloud, those in each cube of side `voxel` as one; all where that is zero.
fn thinned(cloud: &CloudView<'_>, voxel: f64) -> Result<Vec<[f32; 3]>> {
    let wrong = |message: String| Err(Error::input(POINTS.name, message));
    let valid: Vec<[f32; 3]> = (0..cloud.points)
        .filter(|&i| cloud.is_valid(i))
        .map(|i| cloud.position(i))
        .filter(|point| point.iter().all(|v| v.is_finite()))
        .collect();
    if valid.len() < FEWEST {
        return wrong(format!(
            "{} of the cloud's {} points are valid, a surface takes {FEWEST}: check the sensor and the preparation",
            valid.len(),
            cloud.points
        ));
    }
    if voxel == 0.0 {
        return Ok(valid);
    }
    let thinned = down_sample(&valid, voxel).or_else(|e| wrong(e.to_string()))?;
    if thinned.len() < FEWEST {
        return wrong(format!(
            "`voxel` = {voxel} m leaves {} of {} points, a surface takes {FEWEST}: make it smaller",
            thinned.len(),
            valid.len()
        ));
    }
    Ok(thinned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fpfh;
    use crate::fixtures::{golden, wavy_cloud};
    use crate::fpfh::WIDTH;
    use assay_sdk::testing::{Runner, TestValue};
    use assay_sdk::{Code, Content, ParamValue};

    fn cloud(points: &[[f32; 3]]) -> TestValue {
        TestValue::cloud(Content::Points, points.as_flattened().to_vec(), 0, Vec::new())
    }

    fn voxel(side: f64) -> (&'static str, ParamValue) {
        ("voxel", ParamValue::Float(side))
    }

    fn run(params: &[(&str, ParamValue)], input: &TestValue, threads: usize) -> Result<TestValue> {
        let mut runner = Runner::new::<Fpfh>(params)?.with_threads(threads);
        assert_eq!(runner.plan(std::slice::from_ref(input))?, [(33, -1, 1)]);
        let out = runner.score(std::slice::from_ref(input))?.remove(0);
        // Features have none, and NaN equals nothing.
        Ok(TestValue { image_score: 0.0, ..out })
    }

    #[test]
    fn each_point_gets_the_histogram_of_its_neighbours() {
        let points = wavy_cloud(700, 1);
        let out = run(&[], &cloud(&points), 1).unwrap();
        let expected =
            FpfhParams::default().features(&points, Facing::Camera, &Host::none()).unwrap().into_flattened();
        assert_eq!((out.shape.as_slice(), out.valid), (&[700, 33][..], None));
        assert_eq!(out.values, expected);
        assert_eq!(out.positions.unwrap(), points.into_flattened());
    }

    #[test]
    fn invalid_points_are_left_out_as_if_they_were_not_there() {
        let mut points = wavy_cloud(500, 2);
        let expected = run(&[], &cloud(&points), 1).unwrap();
        points.insert(250, [0.01, 0.01, 0.4]);
        points.insert(3, [f32::NAN, 0.0, 0.4]);
        let mut valid = vec![1; 502];
        (valid[3], valid[251]) = (0, 0);
        assert!(run(&[], &cloud(&points).with_valid(valid), 1).unwrap() == expected);
        // What no sensor measures is left out, whatever the mask says.
        points.remove(251);
        assert!(run(&[], &cloud(&points), 1).unwrap() == expected);
    }

    #[test]
    fn cubes_of_points_are_one_point_of_the_output() {
        let points = wavy_cloud(4000, 3);
        let out = run(&[voxel(0.004)], &cloud(&points), 1).unwrap();
        let expected = down_sample(&points, 0.004).unwrap();
        assert!(expected.len() < 1500);
        assert_eq!(out.shape, [expected.len(), 33]);
        assert_eq!(out.positions.as_deref(), Some(expected.as_flattened()));
        assert_eq!(out.values, run(&[], &cloud(&expected), 1).unwrap().values);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let points = cloud(&wavy_cloud(3000, 4));
        for params in [&[][..], &[voxel(0.002), ("orient", ParamValue::String("outward".into()))]] {
            let on = |threads| run(params, &points, threads).unwrap();
            assert!(on(1) == on(3));
        }
    }

    #[test]
    fn outward_normals_make_the_features_of_a_ball_the_same_all_around() {
        // Seen from one side, the normals of a ball's rim turn round where the camera's rays graze it.
        let points: Vec<[f32; 3]> = (0..2000)
            .map(|i| {
                let z = 1.0 - (2.0 * i as f64 + 1.0) / 2000.0;
                let (turn, r) = (i as f64 * 2.399_963_229_728_653, (1.0 - z * z).sqrt());
                [0.05 * r * turn.cos(), 0.05 * r * turn.sin(), 0.3 + 0.05 * z].map(|v| v as f32)
            })
            .collect();
        let spread = |orient: &str| {
            let params = [("orient", ParamValue::String(orient.into())), ("neighbours", ParamValue::Int(40))];
            let out = run(&params, &cloud(&points), 1).unwrap();
            let rows: Vec<&[f32]> = out.values.chunks(33).collect();
            let mean: Vec<f32> =
                (0..33).map(|c| rows.iter().map(|r| r[c]).sum::<f32>() / rows.len() as f32).collect();
            let apart = |r: &[f32]| r.iter().zip(&mean).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            rows.iter().map(|r| apart(r)).fold(0.0, f32::max)
        };
        let (camera, outward) = (spread("camera"), spread("outward"));
        assert!(camera > 3.0 * outward, "{camera} {outward}");
    }

    #[test]
    fn clouds_without_enough_points_are_errors_that_say_why() {
        let message = |params: &[_], input: TestValue| {
            let error = run(params, &input, 1).unwrap_err();
            assert_eq!((error.code, error.subject.as_str()), (Code::Input, "points"));
            error.message
        };
        let points = wavy_cloud(50, 5);
        assert!(message(&[], cloud(&[])).starts_with("0 of the cloud's 0 points are valid"));
        assert!(message(&[], cloud(&points).with_valid(vec![0; 50])).starts_with("0 of the cloud's 50"));
        assert!(message(&[], cloud(&points[..2])).starts_with("2 of the cloud's 2"));
        assert!(message(&[voxel(1.0)], cloud(&points)).contains("leaves 1 of 50 points"));
        assert!(message(&[voxel(1e-12)], cloud(&points)).contains("make `voxel` larger"));
        let many = vec![[0.5, 0.5, 0.5]; 3_000_000];
        assert!(message(&[], cloud(&many)).contains("a larger `voxel`"));
    }

    #[test]
    fn points_on_a_line_and_at_one_place_have_finite_features() {
        let line: Vec<[f32; 3]> = (0..60u8).map(|i| [0.001 * f32::from(i), 0.0, 0.4]).collect();
        for points in [line, vec![[0.1, 0.2, 0.3]; 20]] {
            for orient in ["camera", "outward"] {
                let out = run(&[("orient", ParamValue::String(orient.into()))], &cloud(&points), 1).unwrap();
                assert!(out.values.iter().all(|v| (0.0..=200.01).contains(v)));
            }
        }
    }

    #[test]
    fn features_agree_with_open3d() {
        let Some(points) = golden::<3>("points") else { return };
        let points: Vec<_> = points.iter().map(|p| p.map(|v| v as f32)).collect();
        let expected = golden::<WIDTH>("fpfh_knn100").unwrap();
        let out = run(&[("radius", ParamValue::Float(0.0))], &cloud(&points), 1).unwrap();
        let near = |(row, expected): (&[f32], &[f64; WIDTH])| {
            let norm = expected.iter().map(|v| v * v).sum::<f64>().sqrt();
            let apart =
                row.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum::<f64>().sqrt();
            apart < 1e-3 * norm
        };
        let agree = out.values.chunks(WIDTH).zip(&expected).filter(|&pair| near(pair)).count();
        eprintln!("{agree} of {} rows within 1e-3", expected.len());
        assert!(agree as f64 >= 0.995 * expected.len() as f64, "{agree} of {}", expected.len());
    }
}
