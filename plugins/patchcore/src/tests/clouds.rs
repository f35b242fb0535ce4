//! The method on clouds of points.

use super::*;

/// A cloud whose features follow from its positions, which have `columns` columns.
fn cloud(columns: usize, points: usize, seed: usize) -> TestValue {
    let number = |i: usize, of: usize| ((i * 7919 + seed * 104_729 + of * 31) % 1009) as f32 * 1e-3;
    let positions: Vec<f32> = (0..3 * points).map(|i| number(i, 1)).collect();
    let values = (0..points * columns).map(|i| number(i, 2) + 0.1 * positions[3 * (i / columns)]).collect();
    TestValue::cloud(Content::Features, positions, columns, values)
}

/// A cloud on a line, of one column.
fn line(values: &[f32]) -> TestValue {
    let positions = (0..values.len()).flat_map(|i| [i as f32, 0.0, 1.0]).collect();
    TestValue::cloud(Content::Features, positions, 1, values.to_vec())
}

fn fitted(params: &[(&str, ParamValue)], scans: &[Vec<TestValue>]) -> Runner {
    let mut runner = Runner::new::<PatchCore>(params).unwrap();
    runner.fit(scans).unwrap();
    runner
}

fn bank_rows(runner: &Runner) -> u64 {
    u64::from_le_bytes(runner.save().unwrap()[HEADER + 16..][..8].try_into().unwrap())
}

#[test]
fn each_point_is_scored_where_it_lies() {
    let mut runner = fitted(PLAIN, &[vec![line(&[1.0, 5.0])]]);
    let scan = line(&[1.5, 9.0, 5.0]);
    assert_eq!(runner.plan(std::slice::from_ref(&scan)).unwrap(), [(1, -1, 1)]);
    let out = runner.score(std::slice::from_ref(&scan)).unwrap().remove(0);
    assert_eq!((out.shape, out.values), (vec![3, 1], vec![0.5, 4.0, 0.0]));
    assert_eq!((out.valid, out.positions), (Some(vec![1, 1, 1]), scan.positions));
    assert_eq!(out.image_score, 4.0);
}

#[test]
fn a_point_unlike_all_good_ones_has_the_greatest_score() {
    let scans: Vec<_> = (0..6).map(|i| vec![cloud(33, 150 + 20 * i, i)]).collect();
    let runner = fitted(&[("coreset", ParamValue::Float(0.5))], &scans);
    let mut scan = cloud(33, 140, 9);
    let good = runner.score(std::slice::from_ref(&scan)).unwrap().remove(0);
    scan.values[77 * 33..][..33].fill(3.0);
    let out = runner.score(&[scan]).unwrap().remove(0);
    let worst = (0..140).max_by(|&a, &b| out.values[a].total_cmp(&out.values[b]));
    assert_eq!(worst, Some(77));
    assert!(out.image_score > 2.0 * good.image_score, "{} {}", out.image_score, good.image_score);
    // A point is a patch of its own: the others' scores do not move.
    assert!((0..140).filter(|&i| i != 77).all(|i| out.values[i] == good.values[i]));
}

#[test]
fn the_score_of_a_cloud_is_that_of_a_grid_of_the_same_patches() {
    let as_grid = |cloud: &TestValue| {
        let (n, c) = (cloud.shape[0], cloud.shape[1]);
        let planes = (0..c * n).map(|i| cloud.values[i % n * c + i / n]).collect::<Vec<_>>();
        vec![grid([c, 1, n], &planes)]
    };
    let clouds: Vec<_> = (0..3).map(|i| cloud(8, 60, i)).collect();
    let params = [("pool", ParamValue::Int(1)), ("coreset", ParamValue::Float(0.4))];
    let grids: Vec<_> = clouds.iter().map(as_grid).collect();
    let clouds: Vec<_> = clouds.into_iter().map(|cloud| vec![cloud]).collect();
    let (a, b) = (fitted(&params, &clouds[..2]), fitted(&params, &grids[..2]));
    assert!(a.save().unwrap() == b.save().unwrap());
    let (a, b) = (a.score(&clouds[2]).unwrap().remove(0), b.score(&grids[2]).unwrap().remove(0));
    assert_eq!((a.values, a.image_score), (b.values, b.image_score));
}

#[test]
fn masked_points_are_neither_learnt_nor_scored() {
    let mut runner = fitted(PLAIN, &[vec![line(&[1.0, 100.0]).with_valid(vec![1, 0])]]);
    let mut scan = line(&[100.0, 2.0, f32::NAN]).with_valid(vec![1, 1, 0]);
    scan.positions.as_mut().unwrap()[6] = f32::NAN;
    runner.plan(std::slice::from_ref(&scan)).unwrap();
    let out = runner.score(&[scan]).unwrap().remove(0);
    assert_eq!((out.values, out.valid), (vec![99.0, 1.0, 0.0], Some(vec![1, 1, 0])));
    assert!(out.positions.unwrap().iter().all(|v| v.is_finite()));
}

#[test]
fn what_is_for_grids_changes_nothing() {
    let scans: Vec<_> = (0..2).map(|i| vec![cloud(5, 40, i)]).collect();
    let for_grids = [
        ("pool", ParamValue::Int(7)),
        ("embedding", ParamValue::String("joint".into())),
        ("width", ParamValue::Int(2)),
    ];
    assert!(fitted(&for_grids, &scans).save().unwrap() == fitted(&[], &scans).save().unwrap());
}

#[test]
fn clouds_of_the_same_points_are_put_side_by_side_and_others_refused() {
    let scan = |i| {
        let (a, mut b) = (cloud(2, 30, i), cloud(3, 30, i));
        b.valid = Some((0..30).map(|j| u8::from(j != 4)).collect());
        vec![a, b]
    };
    let mut runner = fitted(PLAIN, &[scan(0), scan(1)]);
    assert_eq!(bank_rows(&runner), 58);
    let out = runner.score(&scan(1)).unwrap().remove(0);
    assert_eq!(out.valid.unwrap()[3..6], [1, 0, 1]);
    assert_eq!(out.image_score, 0.0);
    let message = |runner: &Runner, scan: &[TestValue]| runner.score(scan).unwrap_err().message;
    let mut shorter = scan(1);
    shorter[1] = cloud(3, 29, 1);
    assert!(message(&runner, &shorter).contains("30 and 29 points"));
    let mut moved = scan(1);
    moved[1].positions.as_mut().unwrap()[20] += 0.5;
    assert!(message(&runner, &moved).starts_with("point 6 lies at"));
    let mixed = [cloud(2, 4, 0), grid([1, 2, 2], &[0.0; 4])];
    assert!(runner.plan(&mixed).unwrap_err().message.contains("is a grid and"));
    let bare = TestValue::cloud(Content::Features, vec![0.0; 9], 0, Vec::new());
    assert!(runner.plan(&[bare]).unwrap_err().message.contains("no features"));
}

#[test]
fn clouds_without_a_valid_point_are_errors() {
    let mut runner = Runner::new::<PatchCore>(PLAIN).unwrap();
    let masked = line(&[1.0, 2.0]).with_valid(vec![0, 0]);
    for nothing in [line(&[]), masked] {
        assert_eq!(runner.fit(&[vec![nothing.clone()]]).unwrap_err().code, Code::Input);
        runner.fit(&[vec![line(&[1.0])], vec![nothing.clone()]]).unwrap();
        let error = runner.score(&[nothing]).unwrap_err();
        assert_eq!((error.code, error.subject.as_str()), (Code::Input, "features"));
    }
    let mut wider = line(&[1.0, 2.0]);
    (wider.shape, wider.positions) = (vec![1, 2], Some(vec![0.0; 3]));
    assert_eq!(runner.score(&[wider]).unwrap_err().code, Code::Input);
    assert_eq!(runner.score(&[line(&[f32::NAN])]).unwrap_err().code, Code::Input);
    assert_eq!(runner.score(&[grid([1, 1, 1], &[1.0])]).unwrap_err().code, Code::Input);
}

#[test]
fn the_memory_limit_holds_however_many_points_come() {
    let scans: Vec<_> = (0..30).map(|i| vec![cloud(200, 10 + (i * 53) % 260, i)]).collect();
    let params = [("memory_limit", ParamValue::Int(1)), ("coreset", ParamValue::Float(1.0))];
    // As for grids: a MiB over the bytes of a patch, of what is compared, and of its part in the selection.
    assert_eq!(bank_rows(&fitted(&params, &scans)), (1 << 20) / (200 * 4 + 128 * 4 + 450));
    // Fewer points than the limit are all kept.
    assert_eq!(bank_rows(&fitted(&params, &scans[..2])), 10 + 63);
}

#[test]
fn patches_in_the_scratch_folder_make_the_same_bank() {
    let folder = tempfile::tempdir().unwrap();
    let scans: Vec<_> = (0..25).map(|i| vec![cloud(200, 60 + (i * 37) % 90, i)]).collect();
    assert!(scans.iter().map(|scan| scan[0].shape[0]).sum::<usize>() > 2000);
    for excess in ["draw", "parts"] {
        let params = [
            ("max_rows", ParamValue::Int(1500)),
            ("coreset", ParamValue::Float(40.0)),
            ("projection", ParamValue::Int(16)),
            ("excess", ParamValue::String(excess.into())),
            ("memory_limit", ParamValue::Int(256)),
        ];
        // A MiB holds 798 patches with what is compared of them, or 2040 without themselves: fewer than 1500 would be another bank.
        let mut spilled = params.clone();
        spilled[4].1 = ParamValue::Int(1);
        let bank = |params: &[_]| {
            let mut runner = Runner::new::<PatchCore>(params).unwrap().with_scratch(folder.path()).unwrap();
            runner.fit(&scans).unwrap();
            runner.save().unwrap()
        };
        let kept = bank(&params);
        assert!(kept == bank(&spilled), "{excess}");
    }
}

#[test]
fn threads_do_not_change_a_bit_and_a_saved_bank_scores_the_same() {
    let scans: Vec<_> = (0..4).map(|i| vec![cloud(33, 300 + i, i)]).collect();
    let scan = [cloud(33, 500, 7)];
    let run = |threads| {
        let mut runner = Runner::new::<PatchCore>(&[]).unwrap().with_threads(threads);
        runner.fit(&scans).unwrap();
        (runner.save().unwrap(), runner.score(&scan).unwrap().remove(0))
    };
    let (state, out) = run(1);
    assert!((&state, &out) == (&run(3).0, &run(3).1));
    let mut loaded = Runner::with_seed::<PatchCore>(&[], 99).unwrap();
    loaded.plan(&scan).unwrap();
    loaded.load(&state).unwrap();
    assert!(loaded.score(&scan).unwrap()[0] == out);
    loaded.plan(&[cloud(32, 5, 0)]).unwrap();
    assert_eq!(loaded.load(&state).unwrap_err().code, Code::State);
}
