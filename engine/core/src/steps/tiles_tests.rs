//! Tiles cover the picture and meet; joined features are those of the whole picture.

use super::*;
use proptest::prelude::*;

fn tiling(tile: usize, overlap: usize) -> Tiling {
    Tiling { when: When::On, tile, overlap }
}

/// Means of blocks of `stride` x `stride`: what they give does not depend on where a tile lies.
fn pool(picture: &Array3<f32>, stride: usize) -> Array3<f32> {
    let (c, h, w) = picture.dim();
    Array3::from_shape_fn((c, h / stride, w / stride), |(k, i, j)| {
        let block = s![k, i * stride..(i + 1) * stride, j * stride..(j + 1) * stride];
        picture.slice(block).iter().sum::<f32>() / (stride * stride) as f32
    })
}

/// A picture of many different values.
fn picture(rows: usize, cols: usize) -> Array3<f32> {
    let value = |(k, i, j): (usize, usize, usize)| ((i * 7919 + j * 104_729 + k * 31) % 1009) as f32 * 0.37;
    Array3::from_shape_fn((2, rows, cols), value)
}

/// `network` on the tiles of a picture, joined.
fn joined(
    tiles: &Tiles,
    picture: &Array3<f32>,
    network: impl Fn(&Array3<f32>) -> Array3<f32>,
) -> Array3<f32> {
    let mut joined: Option<Joined> = None;
    for tile in tiles.iter() {
        let part = picture.slice(s![.., tile.rows.clone(), tile.cols.clone()]).to_owned();
        let features = network(&part);
        let joined = joined.get_or_insert_with(|| Joined::new(tiles, "tap", features.dim()).unwrap());
        joined.add(&tile, &features).unwrap();
    }
    joined.unwrap().finish()
}

#[test]
fn tiles_start_at_every_step_and_the_last_ends_at_the_edge() {
    let tiles = tiling(320, 32).cut((512, 1248)).unwrap();
    assert_eq!(tiles.size(), (320, 320));
    assert_eq!(tiles.rows.starts, [0, 192]);
    assert_eq!(tiles.cols.starts, [0, 288, 576, 864, 928]);
    let exact = tiling(320, 32).cut((320, 608)).unwrap();
    assert_eq!((exact.rows.starts, exact.cols.starts), (vec![0], vec![0, 288]));
    // A side shorter than a tile is taken as it is.
    assert_eq!(tiling(320, 32).cut((100, 608)).unwrap().size(), (100, 320));
}

#[test]
fn what_is_no_larger_than_a_tile_or_not_large_enough_is_not_cut() {
    assert!(tiling(320, 32).cut((320, 320)).is_none());
    assert!(tiling(320, 32).cut((320, 336)).is_some());
    assert!(Tiling { when: When::Auto, ..tiling(320, 32) }.cut((640, 640)).is_none());
    assert!(Tiling { when: When::Auto, ..tiling(320, 32) }.cut((320, 656)).is_some());
    assert!(Tiling { when: When::Off, ..tiling(320, 32) }.cut((4096, 4096)).is_none());
}

#[test]
fn shares_are_linear_where_two_tiles_overlap_by_what_was_asked_for() {
    let tiles = tiling(64, 32).cut((64, 96)).unwrap();
    let shares = tiles.cols.shares("tap", 16).unwrap();
    for cell in 0..8 {
        assert_eq!(shares.own[1][cell], (cell as f64 + 0.5) / 8.0);
        assert_eq!(shares.own[0][8 + cell], 1.0 - shares.own[1][cell]);
    }
    assert!(shares.own[0][..8].iter().chain(&shares.own[1][8..]).all(|&s| s == 1.0));
}

#[test]
fn a_cell_is_the_weighted_mean_of_its_tiles() {
    let tiles = tiling(64, 32).cut((112, 144)).unwrap();
    // Each tile gives its own number and place.
    let count = tiles.iter().count();
    let feature = |at: usize, i: usize, j: usize| (at * 1000 + i * 40 + j) as f32;
    let mut all = Joined::new(&tiles, "tap", (1, 8, 8)).unwrap();
    for (at, tile) in tiles.iter().enumerate() {
        all.add(&tile, &Array3::from_shape_fn((1, 8, 8), |(_, i, j)| feature(at, i, j))).unwrap();
    }
    let (rows, cols) = (tiles.rows.shares("tap", 8).unwrap(), tiles.cols.shares("tap", 8).unwrap());
    let values = all.finish();
    assert_eq!((count, values.dim()), (12, (1, 14, 18)));
    for ((_, i, j), &value) in values.indexed_iter() {
        let (mut mean, mut sum) = (0.0, 0.0);
        for (at, tile) in tiles.iter().enumerate() {
            let (a, b) = tile.at;
            let (Some(y), Some(x)) = (i.checked_sub(rows.starts[a]), j.checked_sub(cols.starts[b])) else {
                continue;
            };
            if y < 8 && x < 8 {
                let share = rows.own[a][y] * cols.own[b][x];
                mean += share * f64::from(feature(at, y, x));
                sum += share;
            }
        }
        assert!((sum - 1.0_f64).abs() < 1e-12 && (f64::from(value) - mean).abs() < 1e-2, "{i} {j}");
    }
}

#[test]
fn features_that_do_not_depend_on_the_place_are_joined_to_the_bit() {
    for (rows, cols, tile, overlap) in
        [(64, 160, 64, 32), (112, 144, 64, 16), (208, 80, 64, 0), (96, 96, 80, 16), (48, 400, 64, 16)]
    {
        let picture = picture(rows, cols);
        let tiles = tiling(tile, overlap).cut((rows, cols)).unwrap();
        for stride in [4, 8, 16] {
            let whole = pool(&picture, stride);
            assert_eq!(joined(&tiles, &picture, |p| pool(p, stride)), whole, "{rows}x{cols} by {stride}");
            let (c, h, w) = pool(&Array3::zeros((2, tiles.size().0, tiles.size().1)), stride).dim();
            assert_eq!(
                tiles.joined_shapes(&[("tap", [c, h, w])]).unwrap(),
                [<[usize; 3]>::from(whole.dim())]
            );
        }
    }
}

#[test]
fn sizes_that_do_not_go_with_the_strides_are_refused_by_name() {
    let parameter = |tile, overlap, size, cells| {
        let failure =
            tiling(tile, overlap).cut(size).unwrap().joined_shapes(&[("c4", [1, cells, cells])]).unwrap_err();
        assert!(failure.message.contains("`c4`"), "{failure}");
        failure.parameter.unwrap()
    };
    assert_eq!(parameter(72, 8, (320, 320), 5), "tile");
    assert_eq!(parameter(64, 24, (320, 320), 4), "overlap");
    assert_eq!(parameter(64, 16, (320, 330), 4), "size");
    assert_eq!(parameter(64, 16, (320, 320), 0), "tile");
    // 72 pixels are 4 cells of 16 and a rest: not 4 of 18.
    let rounded =
        tiling(72, 36).cut((324, 324)).unwrap().joined_shapes(&[("c2", [1, 18, 18]), ("c4", [1, 4, 4])]);
    assert_eq!(rounded.unwrap_err().parameter.unwrap(), "tile");
    // One tile alone along a side meets no other.
    assert_eq!(
        tiling(64, 16).cut((50, 320)).unwrap().joined_shapes(&[("c4", [1, 4, 4])]).unwrap(),
        [[1, 4, 20]]
    );
}

#[test]
fn a_network_whose_grids_change_size_is_an_error() {
    let tiles = tiling(64, 16).cut((64, 112)).unwrap();
    let mut all = Joined::new(&tiles, "tap", (1, 4, 4)).unwrap();
    let tile = tiles.iter().next().unwrap();
    assert!(all.add(&tile, &Array3::zeros((1, 4, 5))).unwrap_err().message.contains("another"));
}

proptest! {
    #[test]
    fn tiles_cover_every_cell_with_shares_that_sum_to_one(
        stride in 1usize..40, length in 1usize..60, tile in 1usize..20, overlap in 0usize..10,
    ) {
        let (length, tile, overlap) = (length * stride, tile * stride, overlap.min(tile / 2) * stride);
        let side = Side::cut(length, tile, overlap);
        prop_assert_eq!(*side.starts.last().unwrap() + side.tile, length);
        prop_assert!(side.starts.windows(2).all(|w| w[0] < w[1] && w[1] + overlap <= w[0] + tile));
        let shares = side.shares("tap", side.tile / stride).unwrap();
        let mut sum = vec![0.0; shares.length];
        for (own, &start) in shares.own.iter().zip(&shares.starts) {
            prop_assert!(own.iter().all(|&s| s > 0.0));
            own.iter().zip(&mut sum[start..]).for_each(|(own, sum)| *sum += own);
        }
        prop_assert_eq!(shares.length * stride, length);
        prop_assert!(sum.iter().all(|&s: &f64| (s - 1.0).abs() < 1e-12));
    }
}
