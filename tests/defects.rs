//! Defects as the built program reports them, and the recipe's keys that say what counts as one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use assay_data::decode::{self, Encoded, Stored};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use support::{Category, assay, json_lines, stderr, succeed};

/// The lines of all test scans, by id.
fn lines(category: &Category, model: &Path, extra: &[&str]) -> BTreeMap<String, Value> {
    let output =
        assay().arg("score").arg(model).arg(category.scans().join("test")).args(extra).output().unwrap();
    let lines = json_lines(&output).into_iter().map(|line| (line["id"].as_str().unwrap().to_owned(), line));
    let lines: BTreeMap<_, _> = lines.collect();
    assert!(lines.len() > 8, "{}", stderr(&output));
    lines
}

/// The middle of the ground truth, in pixels, and its bounds `[left, top, right, bottom]`.
fn truth(category: &Category, id: &str) -> ([f64; 2], [f64; 4]) {
    let (defect, number) = id.split_once('/').unwrap();
    let path = category.scans().join("test").join(defect).join("gt").join(format!("{number}.png"));
    let mask = image::open(path).unwrap().into_luma8();
    let set: Vec<_> = mask
        .enumerate_pixels()
        .filter(|(.., p)| p.0[0] > 0)
        .map(|(x, y, _)| [f64::from(x), f64::from(y)])
        .collect();
    let mean = |k: usize| set.iter().map(|p| p[k]).sum::<f64>() / set.len() as f64;
    let (low, high) = (
        |k: usize| set.iter().map(|p| p[k]).fold(f64::MAX, f64::min),
        |k: usize| set.iter().map(|p| p[k]).fold(0.0, f64::max),
    );
    ([mean(0), mean(1)], [low(0), low(1), high(0), high(1)])
}

/// The defect of a line that covers a place, as far as its box tells, where one of a size worth the name does.
fn over(line: &Value, [x, y]: [f64; 2]) -> Option<&Value> {
    let covers = |d: &&Value| {
        let [left, top, width, height] = [0, 1, 2, 3].map(|k| d["bbox"][k].as_f64().unwrap());
        (left..left + width).contains(&x) && (top..top + height).contains(&y)
    };
    line["defects"].as_array().unwrap().iter().filter(covers).find(|d| d["area_px"].as_u64().unwrap() >= 20)
}

#[test]
fn dents_lie_below_the_surface_and_bumps_above_and_geometry_sees_them() {
    let (category, model) = Category::fitted();
    let lines = lines(category, model, &[]);
    let mut found = 0;
    for (kind, sign) in [("dent", -1.0), ("bump", 1.0)] {
        for id in (0..2).map(|number| format!("{kind}/00{number}")) {
            // A recipe this small misses some.
            let Some(defect) = over(&lines[&id], truth(category, &id).0) else { continue };
            found += 1;
            let height = defect["height_mm"].as_f64().unwrap();
            assert!((0.3..3.0).contains(&(sign * height)), "{id}: {defect}");
            assert!(["geometry", "both"].contains(&defect["seen_by"].as_str().unwrap()), "{id}: {defect}");
            assert!(defect["steps"].as_array().unwrap().contains(&"geometry".into()), "{id}: {defect}");
            let area = defect["area_mm2"].as_f64().unwrap();
            assert!((5.0..4000.0).contains(&area), "{id}: {defect}");
            assert!(defect["severity"].as_f64().unwrap() > 1.0);
            for key in ["position_mm", "part_position_mm"] {
                let place = defect[key].as_array().unwrap();
                assert!(place.iter().all(|v| v.as_f64().unwrap().abs() < 1000.0), "{id}: {defect}");
            }
        }
    }
    assert!(found >= 2, "{found} of 4 dents and bumps were found");
}

#[test]
fn a_cloud_holds_every_measured_point_with_its_colour_score_and_defect() {
    let (category, model) = Category::fitted();
    let folder = tempfile::tempdir().unwrap();
    let lines = lines(category, model, &["--clouds", folder.path().to_str().unwrap()]);
    let bytes = std::fs::read(folder.path().join("bump/000.ply")).unwrap();
    let end = bytes.windows(11).position(|w| w == b"end_header\n").unwrap() + 11;
    let header = std::str::from_utf8(&bytes[..end]).unwrap();
    let count: usize =
        header.lines().find_map(|l| l.strip_prefix("element vertex ")).unwrap().parse().unwrap();
    let body = &bytes[end..];
    assert_eq!(body.len(), count * 23);
    let in_defect = body.chunks(23).filter(|v| v[19..] != [0; 4]).count();
    let threshold = lines["bump/000"]["pixel_threshold"].as_f64().unwrap();
    let above =
        body.chunks(23).filter(|v| f64::from(f32::from_le_bytes(v[15..19].try_into().unwrap())) > threshold);
    assert_eq!(above.count(), in_defect);
    assert!(in_defect > 20, "{header}");
}

/// Rewrites the depth of a scan as if the sensor had seen nothing within `radius` pixels of a place.
fn blacken(xyz: &Path, (row, column): (usize, usize), radius: usize) {
    let limits = assay_data::Limits::default();
    let read = Encoded::read(xyz, &limits).unwrap();
    let grid = decode::xyz(&read, &Stored::default(), &limits).unwrap();
    let (rows, columns) = grid.size();
    let seen = |i: usize, j: usize| {
        grid.is_valid(i, j) && i.abs_diff(row).pow(2) + j.abs_diff(column).pow(2) > radius * radius
    };
    let cells = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
    let values: Vec<f32> = cells
        .flat_map(|(i, j)| [0, 1, 2].map(|c| if seen(i, j) { grid.values[(c, i, j)] } else { 0.0 }))
        .collect();
    let mut encoder = tiff::encoder::TiffEncoder::new(std::fs::File::create(xyz).unwrap()).unwrap();
    encoder
        .write_image::<tiff::encoder::colortype::RGB32Float>(columns as u32, rows as u32, &values)
        .unwrap();
}

/// A good scan before and after `change` of its colour or depth, with the defect that is then seen at `[x, y]`.
fn changed(
    (category, model): (&Category, &Path),
    at: [u32; 2],
    change: impl FnOnce(&Path),
) -> (Value, Value, Value) {
    let from = category.scans().join("test/good");
    let folder = tempfile::tempdir().unwrap();
    for kind in ["rgb/000.png", "xyz/000.tiff"] {
        std::fs::create_dir_all(folder.path().join(kind).parent().unwrap()).unwrap();
        std::fs::copy(from.join(kind), folder.path().join(kind)).unwrap();
    }
    let score =
        || json_lines(&assay().arg("score").arg(model).arg(folder.path()).output().unwrap()).remove(0);
    let before = score();
    change(folder.path());
    let after = score();
    let defect = over(&after, at.map(f64::from)).unwrap_or_else(|| panic!("{after}")).clone();
    (before, after, defect)
}

/// On the ring between the hub and the rim of the synthetic part.
const PLACE: [u32; 2] = [132, 96];

#[test]
fn a_place_that_turns_black_to_the_depth_sensor_raises_the_score_and_geometry_is_credited() {
    let blacken =
        |folder: &Path| blacken(&folder.join("xyz/000.tiff"), (PLACE[1] as usize, PLACE[0] as usize), 7);
    let (before, after, defect) = changed(Category::fitted(), PLACE, blacken);
    assert!(
        after["score"].as_f64() > before["score"].as_f64() && after["verdict"] == "ng",
        "{before}\n{after}"
    );
    assert_eq!(defect["seen_by"], "geometry", "{defect}");
    assert!(defect["unmeasured"].as_f64().unwrap() > 0.1, "{defect}");
}

#[test]
fn a_spot_of_paint_is_credited_to_colour() {
    let paint = |folder: &Path| {
        let path = folder.join("rgb/000.png");
        let mut picture = image::open(&path).unwrap().into_rgb8();
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            if x.abs_diff(PLACE[0]).pow(2) + y.abs_diff(PLACE[1]).pow(2) <= 49 {
                *pixel = image::Rgb([255, 255, 255]);
            }
        }
        picture.save(path).unwrap();
    };
    // A Gaussian a position makes more of the part's play than of paint.
    let category = Category::small();
    let recipe = std::fs::read_to_string(category.path("recipe.toml")).unwrap();
    let recipe = recipe.replace(
        "\"padim\", from = [\"look.c2\", \"look.c3\"], channels = 20",
        "\"patchcore\", from = \"look\", max_bank = 2000",
    );
    std::fs::write(category.path("recipe.toml"), recipe).unwrap();
    let model = category.fit("part.assay", &[]);
    let (_, after, defect) = changed((&category, &model), PLACE, paint);
    assert_eq!((&after["verdict"], &defect["seen_by"]), (&"ng".into(), &"colour".into()), "{defect}");
    assert_eq!(defect["steps"], serde_json::json!(["appearance"]));
}

/// A fitted model of the small recipe with more keys.
fn with(keys: &str) -> (Category, std::path::PathBuf) {
    let category = Category::small();
    let recipe = std::fs::read_to_string(category.path("recipe.toml")).unwrap();
    std::fs::write(category.path("recipe.toml"), format!("{recipe}{keys}")).unwrap();
    let model = category.fit("part.assay", &[]);
    (category, model)
}

#[test]
fn what_is_ignored_is_no_defect_whether_a_polygon_or_a_mask_says_so() {
    let (plain, model) = Category::fitted();
    let [left, top, right, bottom] = truth(plain, "hole/000").1.map(f64::round);
    let (left, top, right, bottom) = (left - 25.0, top - 25.0, right + 25.0, bottom + 25.0);
    let before = lines(plain, model, &[]);
    let inside = |d: &Value| {
        let c = d["centroid"].as_array().unwrap();
        (left..right).contains(&c[0].as_f64().unwrap()) && (top..bottom).contains(&c[1].as_f64().unwrap())
    };
    let found = |lines: &BTreeMap<String, Value>| {
        lines["hole/000"]["defects"].as_array().unwrap().iter().filter(|d| inside(d)).count()
    };
    assert!(found(&before) > 0, "{}", before["hole/000"]);
    let polygon = format!("[[{left}, {top}], [{right}, {top}], [{right}, {bottom}], [{left}, {bottom}]]");
    let (category, model) = with(&format!("[prepare]\nignore = {polygon}\n"));
    let ignored = lines(&category, &model, &[]);
    assert_eq!(found(&ignored), 0, "{}", ignored["hole/000"]);
    // The same from a file, and as an area to inspect: the rest of the view.
    let covered = |x: u32, y: u32| {
        let (x, y) = (f64::from(x), f64::from(y));
        x >= left && x < right && y >= top && y < bottom
    };
    let recipe = std::fs::read_to_string(plain.path("recipe.toml")).unwrap();
    for (key, white) in [("ignore", true), ("inspect", false)] {
        let mask = image::GrayImage::from_fn(192, 192, |x, y| {
            image::Luma([if covered(x, y) == white { 255 } else { 0 }])
        });
        mask.save(category.path("mask.png")).unwrap();
        std::fs::write(category.path("recipe.toml"), format!("{recipe}[prepare]\n{key} = \"mask.png\"\n"))
            .unwrap();
        let model = category.fit("masked.assay", &[]);
        std::fs::remove_file(category.path("mask.png")).unwrap();
        let masked = lines(&category, &model, &[]);
        for (id, line) in &ignored {
            assert_eq!(
                (&masked[id]["score"], &masked[id]["defects"]),
                (&line["score"], &line["defects"]),
                "{id}"
            );
        }
    }
}

#[test]
fn what_is_smaller_than_the_smallest_defect_does_not_count() {
    let (plain, model) = Category::fitted();
    let before = lines(plain, model, &[]);
    let (category, model) = with("[map]\nsmallest_area = 40.0\nsmallest_pixels = 30\n");
    let after = lines(&category, &model, &[]);
    let mut smaller = 0;
    for (id, line) in &after {
        for defect in line["defects"].as_array().unwrap() {
            assert!(defect["area_px"].as_u64().unwrap() >= 30, "{id}: {defect}");
            // Measured on the surface that goes on below a defect; counted on what is there.
            assert!(defect["area_mm2"].as_f64().unwrap() > 30.0, "{id}: {defect}");
        }
        assert!(line["score"].as_f64().unwrap() <= before[id]["score"].as_f64().unwrap() + 1e-9, "{id}");
        smaller +=
            usize::from(line["score"].as_f64().unwrap() < before[id]["score"].as_f64().unwrap() - 1e-9);
    }
    assert!(smaller > 5, "{smaller}");
    assert!(after["hole/000"]["verdict"] == "ng");
}

#[test]
fn a_mask_that_does_not_fit_or_leaves_nothing_is_refused_by_name() {
    let category = Category::small();
    let recipe = std::fs::read_to_string(category.path("recipe.toml")).unwrap();
    image::GrayImage::from_pixel(100, 192, image::Luma([255])).save(category.path("narrow.png")).unwrap();
    for (keys, says) in [
        ("inspect = \"narrow.png\"", "192 x 100 pixels, the scan 192 x 192"),
        ("inspect = \"absent.png\"", "absent.png"),
        ("ignore = [[-1, -1], [200, -1], [200, 200], [-1, 200]]", "leave no pixel"),
        ("ignore = [[1, 1], [2, 2]]", "at least 3 corners"),
    ] {
        std::fs::write(category.path("recipe.toml"), format!("{recipe}[prepare]\n{keys}\n")).unwrap();
        let mut fit = assay();
        fit.arg("fit")
            .arg(category.path("recipe.toml"))
            .arg("--data")
            .arg(category.scans())
            .arg("-o")
            .arg(category.path("m.assay"));
        let output = fit.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{keys}");
        assert!(stderr(&output).contains(says), "{keys}: {}", stderr(&output));
    }
    let colour = recipe
        .replace("height = \"xyz/{id}.tiff\"\n", "")
        .replace("normals    = { method = \"normals\", from = \"height\", window = 2 }\n", "");
    let colour = colour.replace("relief     = { method = \"onnx\", from = \"normals\", size = 192 }\n", "");
    let colour: String =
        colour.lines().filter(|l| !l.starts_with("geometry")).map(|l| format!("{l}\n")).collect();
    std::fs::write(category.path("recipe.toml"), format!("{colour}[map]\nsmallest_area = 1\n")).unwrap();
    let output = assay().args(["recipe", "check"]).arg(category.path("recipe.toml")).output().unwrap();
    assert!(stderr(&output).contains("smallest_pixels"), "{}", stderr(&output));
    std::fs::write(category.path("recipe.toml"), colour).unwrap();
    succeed(assay().args(["recipe", "check"]).arg(category.path("recipe.toml")));
}
