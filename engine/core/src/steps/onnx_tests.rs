//! Networks on whole pictures and on their tiles.

use super::*;
use assay_inference::{Options, Runtime};
use ndarray::s;

/// A message's field that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

fn tensor(name: &str) -> Vec<u8> {
    let axis = |axis: &str| field(1, &field(2, axis.as_bytes()));
    let shape =
        [field(1, &[8, 1]), field(1, &[8, 3]), axis(&format!("{name}_h")), axis(&format!("{name}_w"))];
    let kind = field(1, &[vec![8, 1], field(2, &shape.concat())].concat());
    [field(1, name.as_bytes()), field(2, &kind)].concat()
}

/// A network of two outputs: means of blocks of 4 x 4 and of 16 x 16 pixels.
fn pools() -> Vec<u8> {
    let ints = |name: &str, value: u8| {
        field(5, &[field(1, name.as_bytes()), vec![0x40, value, 0x40, value, 0xa0, 1, 7]].concat())
    };
    let node = |output: &str, side: u8| {
        let names = [field(1, b"image"), field(2, output.as_bytes()), field(4, b"AveragePool")];
        field(1, &[names.concat(), ints("kernel_shape", side), ints("strides", side)].concat())
    };
    let ends = [field(11, &tensor("image")), field(12, &tensor("fine")), field(12, &tensor("coarse"))];
    let graph = [node("fine", 4), node("coarse", 16), field(2, b"graph"), ends.concat()].concat();
    [vec![8, 8], field(7, &graph), field(8, &[16, 13])].concat()
}

fn network(bytes: &[u8], set: &[(&str, ParamValue)]) -> Result<Network> {
    let text = "[sensors]\ncolour = \"{id}.png\"\n[steps]\nlook = { method = \"onnx\", from = \"colour\" }\n";
    let recipe = Recipe::parse("r.toml", text)?;
    let info = info();
    let value = |p: &ParamInfo| {
        set.iter().find(|(n, _)| p.name == *n).map_or_else(|| p.default.clone(), |(_, v)| v.clone())
    };
    let params: Vec<ParamValue> = info.params.iter().map(value).collect();
    let engine = Engine::open(&Options { runtime: Runtime::Rten, ..Options::default() })?;
    Network::open(&recipe, &recipe.steps[0], &info, &params, &engine, &|_, _| Ok(bytes.to_vec().into()))
}

fn tiled(tiling: &str, size: &[i64], tile: i64, overlap: i64) -> Vec<(&'static str, ParamValue)> {
    vec![
        ("tiling", ParamValue::String(tiling.into())),
        ("size", ParamValue::IntList(size.to_vec())),
        ("tile", ParamValue::Int(tile)),
        ("overlap", ParamValue::Int(overlap)),
    ]
}

fn image(rows: usize, cols: usize) -> Value {
    let pixel = |(i, j, k): (usize, usize, usize)| ((i * i / 7 + j * 13 + k * 50 + i * j / 31) % 256) as u8;
    let mut image = assay_data::Image::new(Array3::from_shape_fn((rows, cols, 3), pixel));
    image.valid = Some(assay_data::Mask::from_shape_fn((rows, cols), |(i, j)| i > 40 || j > 40));
    Value { content: Content::Rgb, data: Data::Image(image), image_score: f64::NAN }
}

fn grids(network: &Network, scan: &Value, planned: (usize, usize), native: (usize, usize)) -> Vec<Grid> {
    let values = network.extract(scan, Some((0.0, 255.0)), planned, native).unwrap();
    values.iter().map(|v| v.grid().unwrap().clone()).collect()
}

fn spec(native: (usize, usize)) -> Spec {
    Spec {
        content: Content::Rgb,
        channels: 3,
        size: Some(native),
        frame: Frame::NATIVE,
        range: Some((0.0, 255.0)),
        name: "colour".into(),
    }
}

#[test]
fn tiles_give_the_grids_frames_and_masks_of_the_whole_picture() {
    let net = pools();
    // Sizes of scans that are no multiples of anything; a scan that differs from the planned size; a side of one tile.
    for (size, tile, overlap, planned, native) in [
        (&[][..], 96, 32, (200, 331), (200, 331)),
        (&[128][..], 64, 16, (200, 331), (203, 330)),
        (&[96][..], 96, 48, (331, 97), (331, 97)),
        (&[160, 112][..], 64, 0, (200, 331), (200, 331)),
    ] {
        let whole = network(&net, &tiled("off", size, tile, overlap)).unwrap();
        let cut = network(&net, &tiled("on", size, tile, overlap)).unwrap();
        let scan = image(native.0, native.1);
        let (expected, got) = (grids(&whole, &scan, planned, native), grids(&cut, &scan, planned, native));
        assert!(cut.tiling.cut(cut.input_size(planned)).is_some());
        assert_eq!(got, expected, "{size:?} {tile} {overlap}");
        let input = cut.input_size(planned);
        for (grid, stride) in got.iter().zip([4, 16]) {
            assert_eq!(grid.size(), (input.0 / stride, input.1 / stride));
            assert_eq!(grid.frame.stride_x * grid.size().1 as f64, native.1 as f64);
            assert_eq!(grid.frame.native_x(-0.5), -0.5);
        }
        // What is planned is what comes; a plan that is known is taken as it is.
        let specs = cut.plan(&spec(planned), planned, None).unwrap();
        assert_eq!(specs, whole.plan(&spec(planned), planned, None).unwrap());
        let shapes: Vec<[usize; 3]> = got.iter().map(|g| g.values.dim().into()).collect();
        assert_eq!(specs, cut.plan(&spec(planned), planned, Some(&shapes)).unwrap());
    }
}

#[test]
fn a_picture_of_one_tile_has_the_bits_of_tiling_off() {
    let scan = image(128, 200);
    let backbone = assay_inference::DEFAULT_BACKBONE;
    let off = network(backbone, &tiled("off", &[128], 320, 32)).unwrap();
    for tiling in ["on", "auto"] {
        let on = network(backbone, &tiled(tiling, &[128], 320, 32)).unwrap();
        assert_eq!(grids(&on, &scan, (128, 200), (128, 200)), grids(&off, &scan, (128, 200), (128, 200)));
    }
}

#[test]
fn the_backbone_sees_about_the_same_through_tiles() {
    let (backbone, native) = (assay_inference::DEFAULT_BACKBONE, (160, 352));
    let scan = image(native.0, native.1);
    let [whole, cut] = ["off", "on"].map(|tiling| {
        let network = network(backbone, &tiled(tiling, &[], 160, 64)).unwrap();
        grids(&network, &scan, native, native)
    });
    for (whole, cut) in whole.iter().zip(&cut) {
        assert_eq!((whole.size(), whole.frame, &whole.valid), (cut.size(), cut.frame, &cut.valid));
    }
    // The finest output sees few pixels: far from the tiles' edges it is the whole picture's, on the left and on the right.
    let (whole, cut) = (&whole[0].values, &cut[0].values);
    let largest = whole.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    for columns in [0..16, 72..88] {
        let part = s![.., .., columns];
        let differ = &whole.slice(part) - &cut.slice(part);
        assert!(differ.iter().all(|d| d.abs() < 1e-4 * largest));
    }
}

#[test]
fn the_scans_own_size_is_rounded_to_32() {
    let native = network(&pools(), &tiled("off", &[], 320, 32)).unwrap();
    assert_eq!(native.input_size((500, 1250)), (512, 1248));
    assert_eq!(native.input_size((10, 640)), (32, 640));
    let short = network(&pools(), &tiled("off", &[320], 320, 32)).unwrap();
    assert_eq!(short.input_size((500, 1250)), (320, 800));
}

#[test]
fn wrong_sizes_are_errors_with_the_recipes_key() {
    let error = |set: &[(&str, ParamValue)]| network(&pools(), set).unwrap_err().to_string();
    let overlap = error(&tiled("auto", &[320], 64, 48));
    assert!(overlap.contains("steps.look.overlap") && overlap.contains("32"), "{overlap}");
    assert!(error(&tiled("off", &[1, 2, 3], 64, 16)).contains("steps.look.size"));
    let plan = |size: i64, tile, overlap| {
        let network = network(&pools(), &tiled("on", &[size], tile, overlap)).unwrap();
        network.plan(&spec((300, 700)), (300, 700), None).unwrap_err().parameter.unwrap()
    };
    assert_eq!(plan(320, 72, 16), "tile");
    assert_eq!(plan(320, 64, 8), "overlap");
    assert_eq!(plan(300, 64, 16), "size");
    // Of what is not cut nothing is asked.
    assert!(network(&pools(), &tiled("off", &[320], 64, 48)).is_ok());
}
