use super::*;
use crate::{Cloud, Image, Lens, Mask, SensorKind};
use ndarray::Array2;

/// A plane z = 0.5 + 0.2 x in the world, painted with a smooth picture, as a pinhole camera at `pose` (camera -> world) sees it.
fn world(x: f64, y: f64) -> [u8; 3] {
    [127.0 + 100.0 * (40.0 * x).sin(), 127.0 + 100.0 * (35.0 * y).cos(), 90.0 + 400.0 * x].map(|v| v as u8)
}

fn camera(size: (usize, usize)) -> Camera {
    let f = 1.1 * size.1 as f64;
    Camera {
        fx: f,
        fy: f,
        cx: size.1 as f64 / 2.0 - 0.5,
        cy: size.0 as f64 / 2.0 - 0.5,
        lens: Lens::Pinhole,
        size: Some(size),
    }
}

/// The world point that a pixel of a camera sees.
fn hit(camera: &Camera, pose: &Pose, i: usize, j: usize) -> [f64; 3] {
    let (x, y) = camera.ray(j as f64, i as f64).unwrap();
    let origin = pose.apply([0.0; 3]);
    let through = pose.apply([x, y, 1.0]);
    let d: [f64; 3] = std::array::from_fn(|c| through[c] - origin[c]);
    // z = 0.5 + 0.2 x
    let t = (0.5 + 0.2 * origin[0] - origin[2]) / (d[2] - 0.2 * d[0]);
    std::array::from_fn(|c| origin[c] + t * d[c])
}

fn picture(camera: &Camera, pose: &Pose) -> Modality {
    let (rows, cols) = camera.size.unwrap();
    let mut pixels = Array3::zeros((rows, cols, 3));
    for i in 0..rows {
        for j in 0..cols {
            let p = hit(camera, pose, i, j);
            let colour = world(p[0], p[1]);
            (0..3).for_each(|c| pixels[(i, j, c)] = colour[c]);
        }
    }
    Modality::Image(Image::new(pixels))
}

fn points(camera: &Camera, pose: &Pose) -> Modality {
    let (rows, cols) = camera.size.unwrap();
    let mut values = Array3::zeros((3, rows, cols));
    for i in 0..rows {
        for j in 0..cols {
            let p = pose.inverse().apply(hit(camera, pose, i, j));
            (0..3).for_each(|c| values[(c, i, j)] = p[c] as f32);
        }
    }
    Modality::Organised(Grid { values, valid: None, frame: Frame::NATIVE })
}

fn aside() -> Pose {
    let r = nalgebra::Rotation3::from_euler_angles(0.05, -0.12, 0.03);
    let m = r.matrix();
    Pose::from_rows([
        m[(0, 0)],
        m[(0, 1)],
        m[(0, 2)],
        0.04,
        m[(1, 0)],
        m[(1, 1)],
        m[(1, 2)],
        -0.01,
        m[(2, 0)],
        m[(2, 1)],
        m[(2, 2)],
        0.005,
    ])
    .unwrap()
}

fn sensor(name: &str, kind: SensorKind, camera: Option<Camera>, pose: Option<Pose>) -> Sensor {
    Sensor { camera, pose, ..Sensor::new(name, "{id}.png", kind) }
}

fn placed<'a>(sensor: &'a Sensor, modality: Modality) -> Placed<'a> {
    Placed { sensor, path: Path::new("a file"), modality }
}

#[test]
fn sizes_of_one_aspect_are_one_view_and_others_are_not() {
    for (a, b) in [
        ((400, 400), (400, 400)),
        ((480, 640), (240, 320)),
        ((1200, 1600), (375, 500)),
        ((1080, 1920), (540, 960)),
        ((333, 500), (666, 1000)),
        ((334, 500), (667, 1000)),
    ] {
        assert!(same_view(a, b) && same_view(b, a), "{a:?} {b:?}");
    }
    for (a, b) in [
        ((480, 640), (640, 480)),
        ((400, 400), (400, 500)),
        ((1080, 1920), (480, 640)),
        ((720, 1280), (700, 1280)),
    ] {
        assert!(!same_view(a, b) && !same_view(b, a), "{a:?} {b:?}");
    }
}

#[test]
fn one_view_in_two_resolutions_keeps_both_and_their_frames() {
    let (rgb, xyz) = (sensor("c", SensorKind::Rgb, None, None), sensor("h", SensorKind::Xyz, None, None));
    let (large, small) = (camera((80, 120)), camera((40, 60)));
    let mut scan =
        [placed(&rgb, picture(&large, &Pose::identity())), placed(&xyz, points(&small, &Pose::identity()))];
    assert_eq!(register(&mut scan).unwrap(), (80, 120));
    let Modality::Organised(grid) = &scan[1].modality else { panic!("a grid") };
    assert_eq!((grid.size(), grid.frame.stride_x, grid.frame.native_x(0.0)), ((40, 60), 2.0, 0.5));
}

#[test]
fn points_of_another_place_are_seen_by_the_camera_of_the_first_sensor() {
    let (near, far) = (camera((60, 80)), camera((100, 140)));
    let (rgb, xyz) = (
        sensor("c", SensorKind::Rgb, Some(near), None),
        sensor("h", SensorKind::Xyz, Some(far), Some(aside())),
    );
    let mut scan = [placed(&rgb, picture(&near, &Pose::identity())), placed(&xyz, points(&far, &aside()))];
    assert_eq!(register(&mut scan).unwrap(), (60, 80));
    let Modality::Organised(grid) = &scan[1].modality else { panic!("a grid") };
    let mut seen = 0;
    for i in 0..60 {
        for j in (0..80).filter(|&j| grid.is_valid(i, j)) {
            let expected = hit(&near, &Pose::identity(), i, j);
            let off =
                (0..3).map(|c| (f64::from(grid.values[(c, i, j)]) - expected[c]).abs()).fold(0.0, f64::max);
            assert!(off < 1e-5, "{i} {j}: {off}");
            seen += 1;
        }
    }
    assert!(seen > 60 * 80 / 2, "{seen}");
}

#[test]
fn an_image_from_another_place_is_looked_up_where_the_points_are_seen() {
    let (grid, lens) = (camera((60, 80)), camera((150, 200)));
    for depth_first in [true, false] {
        // The first sensor: points, or an image whose pixels get points from a third sensor.
        let xyz = sensor("h", SensorKind::Xyz, Some(grid), None);
        let other = sensor("c", SensorKind::Rgb, Some(lens), Some(aside()));
        let first = sensor("a", SensorKind::Rgb, Some(grid), None);
        let at = Pose::identity();
        let mut scan = vec![placed(&xyz, points(&grid, &at)), placed(&other, picture(&lens, &aside()))];
        if !depth_first {
            scan.insert(0, placed(&first, picture(&grid, &at)));
        }
        assert_eq!(register(&mut scan).unwrap(), (60, 80));
        let Some(Placed { modality: Modality::Image(image), .. }) = scan.last() else { panic!("an image") };
        assert_eq!(image.size(), (60, 80));
        let mut worst = 0;
        for i in 0..60 {
            for j in (0..80).filter(|&j| image.is_valid(i, j)) {
                let p = hit(&grid, &at, i, j);
                let expected = world(p[0], p[1]);
                worst = (0..3).map(|c| image.pixels[(i, j, c)].abs_diff(expected[c])).fold(worst, u8::max);
            }
        }
        // Half a pixel beyond the outermost centres the outermost colour is taken.
        assert!(worst <= 6, "{worst}");
        assert!(image.valid.as_ref().is_some_and(|m| m.iter().filter(|v| **v).count() > 2000));
    }
}

#[test]
fn one_optical_centre_needs_no_points() {
    let (here, there) = (camera((60, 80)), Camera { cx: 100.0, cy: 60.0, ..camera((150, 220)) });
    let (a, b) =
        (sensor("a", SensorKind::Rgb, Some(here), None), sensor("b", SensorKind::Gray, Some(there), None));
    let at = Pose::identity();
    let mut scan = [placed(&a, picture(&here, &at)), placed(&b, picture(&there, &at))];
    register(&mut scan).unwrap();
    let Modality::Image(image) = &scan[1].modality else { panic!("an image") };
    for (i, j) in [(10, 10), (30, 40), (50, 70)] {
        let p = hit(&here, &at, i, j);
        assert!(image.pixels[(i, j, 0)].abs_diff(world(p[0], p[1])[0]) <= 3);
    }
}

#[test]
fn what_cannot_be_related_says_what_is_missing() {
    let (here, there) = (camera((60, 80)), camera((90, 90)));
    let at = Pose::identity();
    let fail = |a: &Sensor, x: Modality, b: &Sensor, y: Modality| {
        register(&mut [placed(a, x), placed(b, y)]).unwrap_err().to_string()
    };
    let plain = |name: &str, kind| sensor(name, kind, None, None);
    let (rgb, xyz) = (plain("c", SensorKind::Rgb), plain("h", SensorKind::Xyz));
    let sizes = fail(&rgb, picture(&here, &at), &xyz, points(&there, &at));
    assert!(sizes.contains("60 x 80") && sizes.contains("90 x 90") && sizes.contains("`camera`"), "{sizes}");
    let moved = sensor("h", SensorKind::Xyz, None, Some(aside()));
    let message = fail(&rgb, picture(&here, &at), &moved, points(&here, &at));
    assert!(message.contains("`h`") && message.contains("`c`") && message.contains("`camera`"), "{message}");
    let (a, b) = (
        sensor("a", SensorKind::Rgb, Some(here), None),
        sensor("b", SensorKind::Rgb, Some(here), Some(aside())),
    );
    let message = fail(&a, picture(&here, &at), &b, picture(&here, &aside()));
    assert!(message.contains("no xyz or depth sensor"), "{message}");
}

#[test]
fn a_jump_in_depth_is_a_gap_and_the_nearer_surface_hides_the_farther() {
    let camera = camera((40, 60));
    let mut values = Array3::zeros((3, 40, 60));
    for ((c, i, j), v) in values.indexed_iter_mut() {
        let z = if j < 30 { 0.5 } else { 1.0 };
        let (x, y) = camera.ray(j as f64, i as f64).unwrap();
        *v = [x * z, y * z, z][c] as f32;
    }
    let two = Grid { values, valid: None, frame: Frame::NATIVE };
    let from_the_right =
        Pose::from_rows([1.0, 0.0, 0.0, -0.1, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
    let seen = rasterise(&two, &from_the_right, &camera, (40, 60));
    let row: Vec<Option<f32>> =
        (0..60).map(|j| seen.is_valid(20, j).then(|| seen.values[(2, 20, j)])).collect();
    assert!(row.iter().flatten().all(|z| (z - 0.5).abs() < 1e-6 || (z - 1.0).abs() < 1e-6), "{row:?}");
    assert!(row.iter().any(|z| z.is_none()) && row.contains(&Some(1.0)));
    let from_the_left =
        Pose::from_rows([1.0, 0.0, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
    let seen = rasterise(&two, &from_the_left, &camera, (40, 60));
    // The near half moved right by more than the far one: it covers what lies behind.
    assert!((seen.values[(2, 20, 35)] - 0.5).abs() < 1e-6 && seen.is_valid(20, 35));
}

#[test]
fn a_cloud_moves_into_the_frame_of_the_first_sensor() {
    let rgb = sensor("c", SensorKind::Rgb, None, None);
    let cloud = sensor("p", SensorKind::Points, None, Some(aside()));
    let positions = Array2::from_shape_vec((2, 3), vec![0.1, 0.2, 0.3, 0.0, 0.0, 0.0]).unwrap();
    let there = Modality::Points(Cloud { positions, valid: Some(vec![true, false]) });
    let mut scan = [placed(&rgb, picture(&camera((4, 4)), &Pose::identity())), placed(&cloud, there)];
    register(&mut scan).unwrap();
    let Modality::Points(moved) = &scan[1].modality else { panic!("a cloud") };
    let expected = aside().apply([0.1, 0.2, 0.3]);
    assert!((0..3).all(|c| (f64::from(moved.positions[(0, c)]) - expected[c]).abs() < 1e-6));
    assert_eq!(moved.positions.row(1).to_vec(), [0.0; 3]);
}

#[test]
fn pixels_out_of_the_cameras_view_are_no_measurement() {
    let (grid, lens) = (camera((60, 80)), Camera { cx: 20.0, ..camera((60, 80)) });
    let (xyz, rgb) =
        (sensor("h", SensorKind::Xyz, Some(grid), None), sensor("c", SensorKind::Rgb, Some(lens), None));
    let at = Pose::identity();
    let mut scan = [placed(&xyz, points(&grid, &at)), placed(&rgb, picture(&lens, &at))];
    register(&mut scan).unwrap();
    let Modality::Image(image) = &scan[1].modality else { panic!("an image") };
    let valid: &Mask = image.valid.as_ref().unwrap();
    assert!(!valid[(30, 5)] && valid[(30, 60)]);
}
