//! Defects of made-up scans.

use super::*;
use crate::value::Value;
use assay_data::{Frame, Grid};
use ndarray::Array3;
use std::sync::Arc;

const FLAT: f64 = 0.3;

/// A plate 0.3 m away, pixels of 0.5 mm, with a pit of 2 mm and a hole in which nothing was measured.
fn plate() -> Grid {
    let values = Array3::from_shape_fn((3, 60, 80), |(c, i, j)| {
        let pit = (20..30).contains(&i) && (20..30).contains(&j);
        let hole = (20..30).contains(&i) && (50..60).contains(&j);
        let z = if pit { FLAT + 2e-3 } else { FLAT };
        let p = [(j as f64 - 40.0) * 5e-4, (i as f64 - 30.0) * 5e-4, z];
        if hole { 0.0 } else { p[c] as f32 }
    });
    let valid = Mask::from_shape_fn((60, 80), |at| values[(2, at.0, at.1)] != 0.0);
    Grid { values, valid: Some(valid), frame: Frame::NATIVE }
}

#[test]
fn the_height_is_told_where_two_thirds_of_the_core_were_measured_and_not_below() {
    // Rows of the hole of which the sensor saw the ground, 3 mm down.
    for (seen, told) in [(6, false), (7, true)] {
        let mut points = plate();
        for (i, j) in (20..20 + seen).flat_map(|i| (50..60).map(move |j| (i, j))) {
            let p = [(j as f64 - 40.0) * 5e-4, (i as f64 - 30.0) * 5e-4, FLAT + 3e-3];
            p.iter().enumerate().for_each(|(c, &v)| points.values[(c, i, j)] = v as f32);
            points.valid.as_mut().unwrap()[(i, j)] = true;
        }
        let (defects, _) = found(&scan(Some(points)), &[]);
        let hole = &defects[0];
        assert_eq!(hole.height_mm.map(|h| (h + 3.0).abs() < 0.1), told.then_some(true), "{hole:?}");
    }
}

fn scan(points: Option<Grid>) -> Prepared {
    let value = |grid| Value { content: Content::Xyz, data: Data::Grid(grid), image_score: f64::NAN };
    Prepared::whole("a".into(), (60, 80), vec![points.map(|grid| Arc::new(value(grid)))])
}

fn map() -> Array2<f32> {
    Array2::from_shape_fn((60, 80), |(i, j)| match (i, j) {
        (20..30, 20..30) => 3.0,
        (20..30, 50..60) => 5.0,
        _ => 0.0,
    })
}

fn found(scan: &Prepared, seen: &[Seen]) -> (Vec<Defect>, Vec<u32>) {
    let (map, levels) = (map(), Levels { threshold: 2.0, floor: -1.0 });
    defects(&map, regions(&map, levels.threshold), levels, scan, seen)
}

#[test]
fn a_pit_and_a_hole_have_their_size_place_and_depth() {
    let (defects, labels) = found(&scan(Some(plate())), &[]);
    let [hole, pit] = &defects[..] else { panic!("{defects:?}") };
    assert_eq!((hole.bbox, hole.peak, hole.area_px), (Some([50, 20, 10, 10]), 5.0, Some(100)));
    assert_eq!((hole.severity, pit.severity), (2.5, 1.5));
    for defect in [hole, pit] {
        assert!((defect.area_mm2.unwrap() - 25.0).abs() < 0.02, "{defect:?}");
        assert_eq!(defect.contour.len(), 4);
    }
    assert_eq!((hole.height_mm, hole.unmeasured), (None, Some(1.0)));
    assert!((pit.height_mm.unwrap() + 2.0).abs() < 0.01, "{pit:?}");
    assert_eq!(pit.unmeasured, Some(0.0));
    let [x, y, z] = pit.position_mm.unwrap();
    assert!((x + 7.75).abs() < 0.01 && (y + 2.75).abs() < 0.01 && (z - 300.0).abs() < 0.01, "{pit:?}");
    assert_eq!((labels[25 * 80 + 55], labels[25 * 80 + 25], labels[0]), (1, 2, 0));
}

#[test]
fn a_contour_goes_around_the_pixels_of_its_region() {
    let (defects, _) = found(&scan(None), &[]);
    assert_eq!(defects[0].contour, [[59.5, 19.5], [59.5, 29.5], [49.5, 29.5], [49.5, 19.5]]);
    assert_eq!((defects[0].area_mm2, defects[0].position_mm, defects[0].height_mm), (None, None, None));
}

#[test]
fn steps_above_their_own_threshold_are_credited_and_else_the_nearest() {
    let seen = |name: &str, by, at_pit: f32, at_hole: f32| Seen {
        name: name.into(),
        by: Some(by),
        map: map().mapv(|v| {
            if v == 3.0 {
                at_pit
            } else if v == 5.0 {
                at_hole
            } else {
                0.0
            }
        }),
        threshold: 1.0,
    };
    let steps = [
        seen("look", SeenBy::Colour, 0.3, 1.2),
        seen("shape", SeenBy::Geometry, 0.9, 1.1),
        seen("form", SeenBy::Geometry, 0.8, 0.2),
    ];
    let (defects, _) = found(&scan(None), &steps);
    assert_eq!(
        (defects[0].steps.as_slice(), defects[0].seen_by),
        (&["look".to_owned(), "shape".into()][..], Some(SeenBy::Both))
    );
    assert_eq!(
        (defects[1].steps.as_slice(), defects[1].seen_by),
        (&["shape".to_owned(), "form".into()][..], Some(SeenBy::Geometry))
    );
}

#[test]
fn points_of_half_the_resolution_give_the_same_sizes() {
    let coarse = plate();
    let values = Array3::from_shape_fn((3, 30, 40), |(c, i, j)| coarse.values[(c, 2 * i, 2 * j)]);
    let valid = Mask::from_shape_fn((30, 40), |at| values[(2, at.0, at.1)] != 0.0);
    let frame = Frame::NATIVE.resized((60, 80), (30, 40));
    let (defects, _) = found(&scan(Some(Grid { values, valid: Some(valid), frame })), &[]);
    assert!((defects[1].area_mm2.unwrap() - 25.0).abs() < 0.02, "{:?}", defects[1]);
    assert!((defects[1].height_mm.unwrap() + 2.0).abs() < 0.01, "{:?}", defects[1]);
}
