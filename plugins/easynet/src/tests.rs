//! Training, the file that comes of it, and the method without a host that runs networks.

use crate::EasyNet;
use crate::defects::{Changed, Example, Kind, SEEN};
use crate::fitted::{STATE_VERSION, sensors};
use crate::gate::Which;
use crate::network::probabilities;
use crate::scans::{Scale, Scan, Shape};
use crate::train::{Learned, Options, Scans, learn};
use crate::views::Views;
use crate::window::Window;
use assay_sdk::testing::{Runner, TestValue};
use assay_sdk::{Content, Data, Frame, GridView, ParamValue, Sample, Value};
use assay_training::burn::tensor::Device;
use assay_training::export::compare;
use assay_training::layers::Draws;
use assay_training::run::Progress;
use ndarray::Array2;
use rten_tensor::AsView as _;

const SIZE: usize = 32;
const SCALE: Scale = Scale { reach: 0.003, slope: 1e-4, noise: 2e-5 };
const BOTH: Shape = Shape { size: SIZE, colour: true, depth: true };

/// Striped parts on a plane without depths, shifted by a few pixels each.
fn rows(shape: Shape, n: usize, seed: u64) -> Array2<f32> {
    let mut draws = Draws::new(seed);
    let mut values = Vec::new();
    for _ in 0..n {
        let [dy, dx] = [(); 2].map(|()| draws.below(4));
        let part =
            |i: usize| (6 + dy..24 + dy).contains(&(i / SIZE)) && (6 + dx..24 + dx).contains(&(i % SIZE));
        let stripe = |i: usize| if ((i % SIZE + 4 - dx) / 4).is_multiple_of(2) { 0.7 } else { 0.4 };
        let colour = |c: usize, i: usize| if part(i) { stripe(i) * [1.0, 0.8, 0.6][c] } else { 0.1 };
        let cells = shape.cells();
        if shape.colour {
            (0..3 * cells).for_each(|i| values.push(colour(i / cells, i % cells)));
        }
        if shape.depth {
            let tilt = |i: usize| 1e-4 * (i / SIZE) as f32 - 0.002;
            (0..cells).for_each(|i| values.push(if part(i) { tilt(i) } else { 0.0 }));
            (0..cells).for_each(|i| values.push(f32::from(u8::from(part(i)))));
        }
    }
    Array2::from_shape_vec((n, shape.values()), values).unwrap()
}

fn scans(shape: Shape, rows: &Array2<f32>) -> Scans<'_> {
    Scans {
        shape,
        rows: rows.view(),
        scale: shape.scale(rows.rows().into_iter().filter_map(|r| r.to_slice())),
    }
}

fn options(steps: usize) -> Options {
    Options { width: 2, views: Views::new(1).unwrap(), steps, batch: 2, rate: 0.002, time: None, seed: 4 }
}

/// What is learned, and the criterion after each step.
fn learned(shape: Shape, steps: usize, threads: usize) -> (Learned, Vec<f64>) {
    learned_by(shape, &options(steps), threads)
}

fn learned_by(shape: Shape, options: &Options, threads: usize) -> (Learned, Vec<f64>) {
    let (learned, held) = (rows(shape, 8, 1), rows(shape, 3, 2));
    let mut told = Vec::new();
    let made = learn(
        scans(shape, &learned),
        scans(shape, &held),
        options,
        Device::flex(),
        threads,
        |p: &Progress| {
            told.push(p.best);
            Ok(())
        },
    );
    (made.unwrap(), told)
}

#[test]
fn the_network_learns_where_synthetic_defects_on_other_scans_lie() {
    let (_, told) = learned(BOTH, 120, 1);
    let (first, last) = (told[0], told[told.len() - 1]);
    assert!(last < 0.6 * first, "{first} {last}");
}

#[test]
fn pairs_of_few_scans_are_many_all_different_and_the_same_for_a_seed() {
    let rows = rows(BOTH, 3, 1);
    let scans = scans(BOTH, &rows);
    let pairs = scans.pairs(1..=1, 8, 5);
    assert_eq!((pairs.len(), scans.pairs(1..=1, 2, 5).len()), (18, 6));
    assert!(pairs == scans.pairs(1..=1, 8, 5) && pairs != scans.pairs(1..=1, 8, 6));
    for (i, pair) in pairs.chunks(2).enumerate() {
        assert!(!pair[0].any.contains(&1.0));
        let own = BOTH.scan(rows.row(i % 3).to_slice().unwrap(), scans.scale).pictures();
        assert_eq!(pair[0].pictures == own, i < 3, "the first of each scan is the scan as it is");
        assert!(pairs[..2 * i].chunks(2).all(|before| before[0].pictures != pair[0].pictures));
    }
}

#[test]
fn scans_of_a_kind_have_one_defect_of_it_and_good_ones_none() {
    for (colour, depth) in [(true, true), (true, false), (false, true)] {
        let shape = Shape { size: SIZE, colour, depth };
        let rows = rows(shape, 3, 1);
        let scans = scans(shape, &rows);
        let good = scans.of_kind(None, 6, 5);
        assert!(good.len() == 6 && good.iter().all(|e| !e.any.contains(&1.0)));
        let kinds = Kind::all(shape);
        assert_eq!(kinds.len(), 2 + shape.sensors());
        for (kind, _) in kinds {
            let made = scans.of_kind(Some(kind), 24, 5);
            assert!(made == scans.of_kind(Some(kind), 24, 5));
            let with =
                |mask: fn(&Example) -> &Vec<f32>| made.iter().filter(|e| mask(e).contains(&1.0)).count();
            // Noise is not high on the part each time, and little may be bent too little.
            assert!(with(|e| &e.any) > 6, "{kind:?}: {}", with(|e| &e.any));
            if let (true, true, Kind::Textured(Some([colour, _]))) = (shape.colour, shape.depth, kind) {
                let (first, second) = (with(|e| &e.alone), with(|e| &e.second));
                assert!(if colour { second == 0 } else { first == 0 }, "{kind:?}: {first} {second}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_file_at_any_number_of_threads() {
    let (one, three) = (learned(BOTH, 3, 1).0, learned(BOTH, 3, 3).0);
    let file = |made: &Learned| made.onnx(Which::Both).unwrap();
    assert!(file(&one) == file(&three));
}

#[test]
fn the_file_gives_the_maps_that_the_network_gave_whichever_sensors_and_views_there_are() {
    for (colour, depth, views) in [(true, true, 1), (true, false, 2), (false, true, 4), (true, true, 2)] {
        let shape = Shape { size: SIZE, colour, depth };
        let views = Views::new(views).unwrap();
        let (made, _) = learned_by(shape, &Options { views, ..options(4) }, 2);
        let pictures = views.pictures(&made.example.pictures, shape);
        let run = |which: Which, name: &str| -> Option<Vec<f32>> {
            let model = rten::Model::load(made.onnx(which).unwrap()).unwrap();
            let output = model.node_id(name).ok()?;
            let inputs = sensors(shape).into_iter().zip(&pictures).filter_map(|(name, values)| {
                let value = rten::Value::from_shape(&[views.count(), 3, SIZE, SIZE], values.clone()).unwrap();
                Some((model.node_id(name).ok()?, value.into()))
            });
            let mut outputs = model.run(inputs.collect(), &[output], None).unwrap();
            let found = outputs.remove(0).into_tensor::<f32>().unwrap().to_vec();
            Some(if name.starts_with("seen") { found } else { views.merged(probabilities(found), SIZE) })
        };
        let both = shape.sensors() == 2;
        // What a gate that always decides alike does not need is left out of its file.
        for (which, alone, together) in
            [(Which::Both, true, both), (Which::Together, !both, both), (Which::Alone, true, false)]
        {
            let found = run(which, "alone");
            assert_eq!(found.is_some(), alone);
            found.map_or(Ok(()), |found| compare(&found, &made.alone)).unwrap();
            let found = run(which, "together");
            assert_eq!(found.is_some(), together);
            found.map_or(Ok(()), |found| compare(&found, made.together.as_ref().unwrap())).unwrap();
        }
        if both {
            let length = |name: &str| run(Which::Both, name).unwrap().len();
            assert_eq!(
                (length("seen_alone"), length("seen_together")),
                (16 * views.count(), 32 * views.count())
            );
        }
    }
}

/// What a defect changes.
struct Apart {
    /// Whether the change of colour, and that of depth, can be seen.
    seen: [bool; 2],
    /// Whether colours change beyond the mask, where nothing of it can be seen.
    fades: bool,
}

/// Cells change on the part alone, and where a change can be seen the masks say so.
fn apart(scan: &Scan<'_>, example: Changed) -> Apart {
    let (good, example) = (scan.pictures(), example.example(scan));
    let apart = |sensor: usize, i: usize| (example.pictures[sensor][i] - good[sensor][i]).abs();
    let cells = SIZE * SIZE;
    let coloured = |least: f32| -> Vec<usize> {
        (0..cells).filter(|&i| (0..3).any(|c| apart(0, c * cells + i) > least)).collect()
    };
    // Depth itself: its slopes change around a defect, too.
    let least = 0.45 * SCALE.least() / SCALE.reach + 1e-6;
    let depth: Vec<usize> = (0..cells).filter(|&i| apart(1, i) > least).collect();
    let (changed, colour) = (coloured(0.0), coloured(SEEN));
    assert!(changed.iter().chain(&depth).all(|&i| scan.is_part(i)));
    assert!(colour.iter().all(|&i| example.alone[i] == 1.0));
    assert!(colour.iter().chain(&depth).all(|&i| example.any[i] == 1.0));
    let fades = changed.iter().any(|&i| example.alone[i] == 0.0);
    Apart { seen: [!colour.is_empty(), !depth.is_empty()], fades }
}

#[test]
fn defects_lie_on_the_part_and_show_in_both_sensors_or_in_one() {
    let rows = rows(BOTH, 1, 3);
    let scan = BOTH.scan(rows.row(0).to_slice().unwrap(), SCALE);
    let mut draws = Draws::new(9);
    let (mut kinds, mut whole) = ([0; 4], 0);
    for _ in 0..100 {
        let example = Changed::of(Kind::Textured(None), &scan, &[], SIZE, &mut draws);
        let masked = example.alone.contains(&1.0);
        let Apart { seen: [colour, depth], fades } = apart(&scan, example);
        assert_eq!(masked, colour);
        kinds[usize::from(colour) + 2 * usize::from(depth)] += 1;
        whole += usize::from(colour && !fades);
    }
    // None where no noise was high on the part; otherwise a third each.
    assert!(kinds[0] < 15 && kinds[1..].iter().all(|&n| n > 20), "{kinds:?}");
    // The paper's, which are a quarter of those in colour, change nothing beyond their mask.
    assert!(6 * whole > kinds[1] + kinds[3], "{whole} of {kinds:?}");
}

#[test]
fn slopes_show_a_low_bump_beside_a_high_edge() {
    let step = |i: usize| if i % SIZE < 8 { 0.01 } else { 0.0 };
    let slope = |i: usize| 1e-4 * (i / SIZE) as f32;
    let bump = |i: usize| if i == 20 * SIZE + 20 { 1e-3 } else { 0.0 };
    let mut row: Vec<f32> = (0..SIZE * SIZE).map(|i| step(i) + slope(i) + bump(i)).collect();
    row.extend((0..SIZE * SIZE).map(|i| f32::from(u8::from(i != 5 * SIZE + 20 && i != 5 * SIZE + 22))));
    let shape = Shape { size: SIZE, colour: false, depth: true };
    let scale = Scale { reach: 0.012, slope: 2e-4, noise: 1e-5 };
    let picture = shape.scan(&row, scale).pictures().remove(0);
    let at = |plane: usize, y: usize, x: usize| picture[(plane * SIZE + y) * SIZE + x];
    let shown = |slope: f32| 0.55 + 0.45 * slope / (slope.abs() + 2e-4);
    let is = |plane: usize, y: usize, x: usize, slope: f32| {
        let (found, expected) = (at(plane, y, x), shown(slope));
        assert!((found - expected).abs() < 1e-4, "{plane} {y} {x}: {found} {expected}");
    };
    // The bump is a hundredth of depth's range, and more than a third of the slopes'.
    assert!((at(0, 20, 20) - at(0, 20, 21) - 0.45 * 1e-3 / 0.012).abs() < 1e-5);
    is(2, 20, 19, 5e-4);
    is(2, 20, 20, 0.0);
    is(2, 20, 21, -5e-4);
    is(1, 19, 20, 6e-4);
    is(1, 21, 20, -4e-4);
    // The slope and the edge; the picture's sides take what is inside.
    for y in [0, 12, SIZE - 1] {
        is(1, y, 16, 1e-4);
        is(2, y, 7, -5e-3);
        is(2, y, 9, 0.0);
    }
    is(2, 12, SIZE - 1, 0.0);
    // No depth, beside it, and alone between two that have none.
    assert_eq!((at(1, 5, 20), at(2, 5, 20)), (0.0, 0.0));
    is(1, 4, 20, 1e-4);
    is(2, 5, 21, 0.0);
    let scale = shape.scale([row.as_slice()].into_iter());
    assert!((0.0125..0.0132).contains(&scale.reach), "{scale:?}");
    // Slopes down are the plane's, those across nothing but at the edge.
    assert!((scale.slope - 1e-4).abs() < 1e-7, "{scale:?}");
}

/// A grid as a value of a port.
fn value<'a>(port: usize, content: Content, values: &'a [f32], valid: Option<&'a [u8]>) -> Value<'a> {
    let grid =
        GridView { values, channels: values.len() / 4096, rows: 64, cols: 64, valid, frame: Frame::NATIVE };
    Value { port, content, data: Data::Grid(grid), image_score: f64::NAN }
}

#[test]
fn a_scan_becomes_means_of_its_pixels_and_depths_around_their_median() {
    let colour: Vec<f32> = (0..3 * 64 * 64).map(|i| if i % 2 == 0 { 255.0 } else { 0.0 }).collect();
    let depth: Vec<f32> = (0..64 * 64).map(|i| 0.5 + 0.001 * (i / 64 / 2) as f32).collect();
    let valid: Vec<u8> = (0..64 * 64).map(|i| u8::from(i % 64 >= 2)).collect();
    let inputs = vec![value(0, Content::Rgb, &colour, None), value(1, Content::Depth, &depth, Some(&valid))];
    let row = BOTH.row(&Sample { id: "one", index: 0, inputs }, &Window::WHOLE).unwrap();
    assert!(row[..3 * 1024].iter().all(|v| (v - 0.5).abs() < 1e-6));
    let (depths, valid) = row[3 * 1024..].split_at(1024);
    assert!(
        (depths[1] + 0.016).abs() < 1e-6 && (depths[1023] - 0.015).abs() < 1e-6,
        "{} {}",
        depths[1],
        depths[1023]
    );
    assert_eq!((depths[0], valid[0], valid[1]), (0.0, 0.0, 1.0));
}

#[test]
fn a_long_part_is_seen_alike_however_it_lies() {
    // A wedge whose colour and depth change along it and across, in a picture of 64 x 64.
    let row = |degrees: f64, aligned: bool| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let place = |i: usize| {
            let [y, x] = [i / 64, i % 64].map(|p| p as f64 - 31.5);
            (cos * x + sin * y, cos * y - sin * x)
        };
        let inside = |i: usize| {
            let (along, beside) = place(i);
            (-12.0..18.0).contains(&along) && beside.abs() < 0.4 * (19.0 - along)
        };
        let valid: Vec<u8> = (0..4096).map(|i| u8::from(inside(i))).collect();
        let colour: Vec<f32> = (0..3 * 4096)
            .map(|i| {
                let (along, beside) = place(i % 4096);
                127.5 + [4.0 * along, 5.0 * beside, 0.0][i / 4096] as f32
            })
            .collect();
        let depth: Vec<f32> = (0..4096)
            .map(|i| if inside(i) { 0.5 + 1e-3 * (place(i).0 + 2.0 * place(i).1) as f32 } else { f32::NAN })
            .collect();
        let inputs =
            vec![value(0, Content::Rgb, &colour, None), value(1, Content::Depth, &depth, Some(&valid))];
        let sample = Sample { id: "one", index: 0, inputs };
        let window = BOTH.window(&sample, aligned).unwrap();
        BOTH.row(&sample, &window).unwrap()
    };
    let cells = SIZE * SIZE;
    let first = row(0.0, true);
    // The mean change of the first two colours and of depths, where both have one.
    let apart = |other: &[f32]| {
        let both = |i: usize| first[4 * cells + i] > 0.0 && other[4 * cells + i] > 0.0;
        let part: Vec<usize> = (0..cells).filter(|&i| both(i)).collect();
        assert!(part.len() > 150, "{}", part.len());
        let mean = |plane: usize| {
            let change = |&i: &usize| f64::from((other[plane * cells + i] - first[plane * cells + i]).abs());
            part.iter().map(change).sum::<f64>() / part.len() as f64
        };
        [mean(0), mean(1), mean(3)]
    };
    for degrees in [17.0, 90.0, 141.0, 180.0, 266.0] {
        // A cell is a pixel or two: 0.016 to 0.04 of a colour, and 1 to 4 mm.
        let [along, beside, depth] = apart(&row(degrees, true));
        assert!(along < 0.01 && beside < 0.012 && depth < 1e-3, "{degrees}: {along} {beside} {depth}");
    }
    let [along, ..] = apart(&row(180.0, false));
    assert!(along > 0.1, "{along}");
}

#[test]
fn gaps_of_depth_close_by_two_cells_and_neither_a_bore_nor_what_is_beside_the_part_does() {
    let at = |y: usize, x: usize| y * 64 + x;
    let depth: Vec<f32> = (0..64 * 64).map(|i| 0.5 + 0.001 * (i / 64) as f32).collect();
    let mut valid: Vec<u8> = (0..64 * 64).map(|i| u8::from((16..56).contains(&(i % 64)))).collect();
    // Two columns of a cell, and a square of ten cells; cells are two pixels.
    let mut miss = |rows: std::ops::Range<usize>, cols: std::ops::Range<usize>| {
        rows.flat_map(|y| cols.clone().map(move |x| at(y, x))).for_each(|i| valid[i] = 0);
    };
    miss(0..64, 20..22);
    miss(20..40, 30..50);
    let inputs = vec![value(1, Content::Depth, &depth, Some(&valid))];
    let shape = Shape { size: SIZE, colour: false, depth: true };
    let row = shape.row(&Sample { id: "one", index: 0, inputs }, &Window::WHOLE).unwrap();
    let (depths, valid) = row.split_at(SIZE * SIZE);
    let found = |y: usize, x: usize| (valid[y * SIZE + x] > 0.0).then_some(depths[y * SIZE + x]);
    let slope = found(16, 12).unwrap() - found(15, 12).unwrap();
    assert!((slope - 0.002).abs() < 1e-6, "{slope}");
    let (gap, beside) = (found(16, 10).unwrap(), found(16, 9).unwrap());
    assert!((gap - beside).abs() < 1e-6, "{gap} {beside}");
    // The middle of the bore stays open.
    assert!((13..17).all(|y| (18..22).all(|x| found(y, x).is_none())));
    // Beside a straight edge nothing grows.
    assert!((4..28).all(|y| found(y, 7).is_none() && found(y, 28).is_none()));
}

#[test]
fn what_cannot_be_learned_from_is_refused_with_a_word_about_it() {
    assert_eq!(Runner::new::<EasyNet>(&[("size", ParamValue::Int(40))]).err().unwrap().subject, "size");
    let refused = Runner::new::<EasyNet>(&[("views", ParamValue::Int(3))]).err().unwrap();
    assert!(refused.subject == "views" && refused.message.contains("1, 2 and 4"), "{}", refused.message);
    let whole = [("align", ParamValue::Bool(true)), ("crop", ParamValue::Bool(false))];
    let refused = Runner::new::<EasyNet>(&whole).err().unwrap();
    assert!(refused.subject == "align" && refused.message.contains("crop"), "{}", refused.message);
    let mut features = TestValue::grid(Content::Features, [3, 32, 32], vec![0.0; 3 * 1024]);
    features.port = 1;
    let refused = Runner::new::<EasyNet>(&[]).unwrap().plan(&[features]).unwrap_err();
    assert!(refused.message.contains("depths have one"), "{}", refused.message);
    // A window is a share of the picture, of both sensors alike.
    let colour = TestValue::grid(Content::Rgb, [3, 64, 64], vec![0.0; 3 * 4096]);
    let mut depth = TestValue::grid(Content::Depth, [1, 32, 32], vec![0.0; 1024]);
    depth.port = 1;
    let half = Frame { stride_x: 2.0, stride_y: 2.0, ..Frame::NATIVE };
    let planned =
        |frame| Runner::new::<EasyNet>(&[]).unwrap().plan(&[colour.clone(), depth.clone().with_frame(frame)]);
    planned(half).unwrap();
    let refused = planned(Frame { offset_x: 8.0, ..half }).unwrap_err();
    assert!(refused.message.contains("different parts"), "{}", refused.message);
}

#[test]
fn a_state_that_is_cut_or_of_something_else_is_refused_with_a_word_about_it() {
    let size = [("size", ParamValue::Int(SIZE as i64))];
    let mut runner = Runner::new::<EasyNet>(&size).unwrap();
    let depth = TestValue::grid(Content::Depth, [1, SIZE, SIZE], vec![0.0; SIZE * SIZE]);
    runner.plan(&[TestValue { port: 1, ..depth }]).unwrap();
    let state_of = |views: u64, version: u64, size: u64, reach: f64, bytes: u64| -> Vec<u8> {
        let numbers = [version, size, 0, 1, views].map(u64::to_le_bytes).concat();
        let scale = [reach, 1e-4, 1e-5, 9.0].map(f64::to_le_bytes).concat();
        // What the SDK puts before it: its mark, the method, and that it is fitted.
        let frame = [b"assayst1".as_slice(), &7u64.to_le_bytes(), b"easynet", &[1]].concat();
        [frame, numbers, scale, bytes.to_le_bytes().to_vec(), vec![7; 40]].concat()
    };
    let state = |version, size, reach, bytes| state_of(1, version, size, reach, bytes);
    let whole = state(STATE_VERSION, SIZE as u64, 0.1, 40);
    // A state as good as its network, which the host of this test does not run.
    let refused = |state: &[u8], why: &str, runner: &mut Runner| {
        let message = runner.load(state).unwrap_err().message;
        assert!(message.contains(why), "{message}");
    };
    refused(&whole, "inference", &mut runner);
    for cut in 0..whole.len() {
        assert!(!runner.load(&whole[..cut]).unwrap_err().message.contains("inference"), "{cut}");
    }
    for (spoilt, why) in [
        (state(STATE_VERSION - 1, SIZE as u64, 0.1, 40), "fit again"),
        (state(STATE_VERSION, 64, 0.1, 40), "fit again"),
        (state(STATE_VERSION, SIZE as u64, f64::NAN, 40), "not finite"),
        (state(STATE_VERSION, SIZE as u64, 0.0, 40), "scale of depths"),
        (state(STATE_VERSION, SIZE as u64, 0.1, u64::MAX), "bytes of a network"),
        (state_of(4, STATE_VERSION, SIZE as u64, 0.1, 40), "fit again"),
    ] {
        refused(&spoilt, why, &mut runner);
    }
}
