//! Scenes whose answer is known, and the shared scans.

use std::fs;

use ndarray::Array3;

use super::*;
use crate::decode::{self, Encoded, Stored};
use crate::{Frame, Limits, shared_scans};

/// `size` cells of 1 mm; `height` (metres above a table 0.6 m away) a cell, `None` where nothing is measured.
fn scene(size: (usize, usize), height: impl Fn(usize, usize) -> Option<f64>) -> Grid {
    let valid = Mask::from_shape_fn(size, |(i, j)| height(i, j).is_some());
    let values = Array3::from_shape_fn((3, size.0, size.1), |(c, i, j)| {
        height(i, j).map_or(0.0, |h| [j as f64 * 1e-3, i as f64 * 1e-3, 0.6 - h][c]) as f32
    });
    Grid { values, valid: Some(valid), frame: Frame::NATIVE }
}

fn block(i: usize, j: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> bool {
    rows.contains(&i) && columns.contains(&j)
}

fn count(mask: &Mask) -> usize {
    mask.iter().filter(|&&set| set).count()
}

#[test]
fn a_block_on_a_table_is_the_part() {
    let on = |i, j| block(i, j, 40..60, 70..120);
    let points = scene((90, 200), |i, j| Some(if on(i, j) { 0.03 } else { 0.0 }));
    let found = Background::default().remove(&points).unwrap();
    assert_eq!(found.mask, Mask::from_shape_fn((90, 200), |(i, j)| on(i, j)));
    let plane = found.plane.unwrap();
    assert!((plane.offset - 0.6).abs() < 1e-6 && (plane.normal[2] + 1.0).abs() < 1e-9, "{plane:?}");
}

#[test]
fn a_part_over_the_border_is_kept_up_to_it() {
    let on = |i, j| block(i, j, 30..60, 0..200);
    let points = scene((90, 200), |i, j| Some(if on(i, j) { 0.03 } else { 0.0 }));
    let found = Background::default().remove(&points).unwrap();
    assert_eq!(found.mask, Mask::from_shape_fn((90, 200), |(i, j)| on(i, j)));
}

#[test]
fn a_table_alone_holds_no_part() {
    let found = Background::default().remove(&scene((50, 60), |_, _| Some(0.0))).unwrap();
    assert_eq!((count(&found.mask), found.plane.is_some()), (0, true));
}

#[test]
fn without_a_plane_in_view_nothing_is_removed() {
    // Nothing is measured around the part.
    let on = |i, j| block(i, j, 20..40, 20..40);
    let points = scene((60, 60), |i, j| on(i, j).then_some(0.0));
    let found = Background::default().remove(&points).unwrap();
    assert_eq!((count(&found.mask), found.plane), (400, None));
    // A bowl: no plane holds three tenths of its rim.
    let bowl = |i: usize, j: usize| {
        let (y, x) = (i as f64 - 150.0, j as f64 - 150.0);
        Some(4e-3 * (x * x + y * y) / 300.0)
    };
    let found =
        Background { plane_distance: 0.0005, ..Default::default() }.remove(&scene((300, 300), bowl)).unwrap();
    assert_eq!(found.plane, None);
}

#[test]
fn nothing_measured_is_an_empty_mask() {
    let found = Background::default().remove(&scene((30, 40), |_, _| None)).unwrap();
    assert_eq!((count(&found.mask), found.plane), (0, None));
}

#[test]
fn near_pieces_stay_and_specks_and_far_things_go() {
    let part = |i, j| block(i, j, 30..60, 30..60);
    let piece = |i, j| block(i, j, 40..45, 72..76);
    let speck = |i, j| block(i, j, 40..42, 15..17);
    let far = |i, j| block(i, j, 30..60, 120..140);
    let points = scene((90, 160), |i, j| {
        let stands = part(i, j) || piece(i, j) || speck(i, j) || far(i, j);
        Some(if stands { 0.03 } else { 0.0 })
    });
    let found = Background::default().remove(&points).unwrap();
    assert_eq!(found.mask, Mask::from_shape_fn((90, 160), |(i, j)| part(i, j) || piece(i, j)));
    let strict = Background { piece_reach: 0.0, ..Default::default() }.remove(&points).unwrap();
    assert_eq!(count(&strict.mask), 900);
}

#[test]
fn settings_out_of_range_are_refused() {
    let points = scene((30, 30), |_, _| Some(0.0));
    for settings in [
        Background { link_distance: 0.0, ..Default::default() },
        Background { plane_distance: f64::NAN, ..Default::default() },
        Background { sample_points: 2, ..Default::default() },
    ] {
        assert!(matches!(settings.remove(&points), Err(DataError::BadArgument { .. })));
    }
    let depth = Grid { values: Array3::zeros((1, 4, 4)), valid: None, frame: Frame::NATIVE };
    assert!(Background::default().remove(&depth).is_err());
}

#[test]
fn cutting_out_leaves_the_part_alone_valid() {
    let points = scene((60, 60), |i, j| Some(if block(i, j, 20..40, 20..40) { 0.03 } else { 0.0 }));
    let found = Background::default().remove(&points).unwrap();
    let part = found.cut_out(&points).unwrap();
    assert_eq!(part.valid.as_ref(), Some(&found.mask));
    assert!(
        part.values
            .index_axis(ndarray::Axis(0), 2)
            .indexed_iter()
            .all(|(at, &z)| (z != 0.0) == found.mask[at])
    );
}

#[test]
fn real_parts_are_kept_whole_with_their_defects() {
    let Some(category) = shared_scans::cable_gland() else { return };
    let limits = Limits::default();
    for defect in ["bent", "cut", "good"] {
        for entry in fs::read_dir(category.join("test").join(defect).join("xyz")).unwrap() {
            let path = entry.unwrap().path();
            let points =
                decode::xyz(&Encoded::read(&path, &limits).unwrap(), &Stored::default(), &limits).unwrap();
            let found = Background::default().remove(&points).unwrap();
            let cells = count(&found.mask);
            assert!((20_000..30_000).contains(&cells), "{}: {cells}", path.display());
            // The defect, where it was measured above the plane, is in the mask.
            let name = path.file_stem().unwrap().to_str().unwrap();
            let truth = category.join("test").join(defect).join("gt").join(format!("{name}.png"));
            let truth = decode::mask(&Encoded::read(&truth, &limits).unwrap(), &limits).unwrap();
            let plane = found.plane.unwrap();
            let mut lost = 0;
            for ((i, j), part) in found.mask.indexed_iter() {
                let p = [0, 1, 2].map(|c| f64::from(points.values[(c, i, j)]));
                let stands = points.is_valid(i, j) && plane.distance(p).abs() >= 0.005;
                lost += usize::from(truth[(i, j)] && stands && !part);
            }
            // Single stray points may lie within a hand-drawn outline.
            assert!(lost <= 5, "{} loses {lost} defective points", path.display());
        }
    }
}

#[test]
fn the_plane_is_that_of_the_strips_whose_points_count_once_where_strips_meet() {
    // Strips of 10 cells: all of a grid of 15 columns; of one of 40 all but the middle, which lies deeper.
    for (columns, inside) in [(15, 0..0), (40, 10..30)] {
        let middle = |i: usize, j: usize| block(i, j, 10..20, inside.clone());
        let points = scene((30, columns), |i, j| Some(if middle(i, j) { 0.05 } else { 0.0 }));
        let settings =
            Background { sample_points: 30 * columns - 10 * inside.len(), ..Background::default() };
        let plane = settings.remove(&points).unwrap().plane.unwrap();
        assert!((plane.offset - 0.6).abs() < 1e-6, "{plane:?}");
        // One more than there are.
        let more = Background { sample_points: settings.sample_points + 1, ..settings };
        assert_eq!(more.remove(&points).unwrap().plane, None);
    }
}

/// The valid points of a scene in an order that says nothing.
fn cloud_of(points: &Grid) -> (Cloud, Vec<(usize, usize)>) {
    let (rows, columns) = points.size();
    let mut cells: Vec<(usize, usize)> = (0..rows * columns)
        .map(|k| k * 7919 % (rows * columns))
        .map(|k| (k / columns, k % columns))
        .filter(|&(i, j)| points.is_valid(i, j))
        .collect();
    cells.dedup();
    let positions =
        ndarray::Array2::from_shape_fn((cells.len(), 3), |(n, c)| points.values[(c, cells[n].0, cells[n].1)]);
    (Cloud { positions, valid: None }, cells)
}

#[test]
fn of_a_cloud_the_part_is_what_it_is_of_the_same_scan_with_pixels_and_noise_never_wins() {
    let on = |i, j| block(i, j, 40..60, 70..120);
    // Specks 50 mm above the table: more of them than the part has points, each alone.
    let height = |i: usize, j: usize| match (on(i, j), i % 8 == 1 && j % 8 == 1) {
        (true, _) => Some(0.03),
        (false, true) => Some(0.05 + 0.001 * ((i + j) % 5) as f64),
        _ => Some(0.0),
    };
    let (cloud, cells) = cloud_of(&scene((90, 200), height));
    let settings = Background { piece_reach: 0.0, ..Background::default() };
    let (part, plane) = settings.remove_from_cloud(&cloud).unwrap();
    let expected: Vec<bool> = cells.iter().map(|&(i, j)| on(i, j)).collect();
    assert_eq!(part, expected);
    assert!((plane.unwrap().offset - 0.6).abs() < 1e-6);
}

#[test]
fn of_a_cloud_points_that_were_not_measured_are_no_part_and_a_table_alone_holds_none() {
    let (mut cloud, _) = cloud_of(&scene((50, 60), |_, _| Some(0.0)));
    let (part, plane) = Background::default().remove_from_cloud(&cloud).unwrap();
    assert!(!part.contains(&true) && plane.is_some());
    cloud.valid = Some(vec![false; cloud.len()]);
    let (part, plane) = Background::default().remove_from_cloud(&cloud).unwrap();
    assert!(!part.contains(&true) && plane.is_none());
}
