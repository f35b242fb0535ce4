//! Parts scanned as clouds, without any image, through the built program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use assay_data::Limits;
use assay_data::decode::{self, Encoded, Stored, Vertex, write_ply};
use std::path::Path;
use std::process::Output;
use support::{Category, assay, json_lines, root, stderr, stdout, succeed};

/// The points of a synthetic category's scans, as PLY: every second one along both sides; with the table or without.
fn clouds(to: &Path, with_table: bool) {
    let category = Category::small();
    let limits = Limits::default();
    for split in ["train/good", "validation/good", "test/good", "test/dent", "test/hole"] {
        let folder = category.scans().join(split).join("xyz");
        std::fs::create_dir_all(to.join(split)).unwrap();
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let grid =
                decode::xyz(&Encoded::read(&file, &limits).unwrap(), &Stored::default(), &limits).unwrap();
            let (rows, columns) = grid.size();
            let cells = (0..rows).step_by(2).flat_map(|i| (0..columns).step_by(2).map(move |j| (i, j)));
            let points = cells.filter(|&(i, j)| grid.is_valid(i, j)).map(|(i, j)| Vertex {
                position: [0, 1, 2].map(|c| grid.values[(c, i, j)]),
                colour: [0; 3],
                score: 0.0,
                defect: 0,
            });
            let points: Vec<Vertex> = points.collect();
            let table = points.iter().map(|p| p.position[2]).fold(f32::MIN, f32::max);
            let part: Vec<Vertex> =
                points.into_iter().filter(|p| with_table || p.position[2] < table - 3e-3).collect();
            assert!(part.len() > 500, "{} points", part.len());
            write_ply(&to.join(split).join(file.file_stem().unwrap()).with_extension("ply"), &part).unwrap();
        }
    }
}

fn run(arguments: &[&str], paths: &[&Path]) -> Output {
    assay().args(arguments).args(paths).output().unwrap()
}

/// Positions of a written cloud, and how many of its points belong to a defect.
fn written(path: &Path) -> (Vec<[f32; 3]>, usize) {
    let limits = Limits::default();
    let cloud = decode::points(&Encoded::read(path, &limits).unwrap(), &Stored::default(), &limits).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let body = &bytes[bytes.len() - 23 * cloud.len()..];
    let marked = body.chunks(23).filter(|v| v[19..] != [0; 4]).count();
    (cloud.positions.rows().into_iter().map(|p| [p[0], p[1], p[2]]).collect(), marked)
}

#[test]
fn a_cloud_alone_is_inspected_by_the_shipped_recipe_and_its_points_get_scores() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("part");
    clouds(&data, false);
    let shipped = std::fs::read_to_string(root().join("configs/points.toml")).unwrap();
    let recipe = folder.path().join("points.toml");
    let text = shipped.replace("voxel = 0.0005", "voxel = 0.001").replace("_rate = 0.05", "_rate = 0.2");
    for align in ["off", "principal"] {
        std::fs::write(&recipe, format!("{text}\n[prepare]\nalign = \"{align}\"\n")).unwrap();
        let model = folder.path().join("part.assay");
        succeed(assay().arg("fit").arg(&recipe).arg("--data").arg(&data).arg("-o").arg(&model));
        let out = folder.path().join(align);
        let output = assay()
            .arg("score")
            .arg(&model)
            .arg(data.join("test"))
            .arg("--clouds")
            .arg(&out)
            .output()
            .unwrap();
        let lines = json_lines(&output);
        assert_eq!(lines.len(), 7, "{}", stderr(&output));
        for line in &lines {
            let id = line["id"].as_str().unwrap();
            let defects = line["defects"].as_array().unwrap();
            let (positions, marked) = written(&out.join(format!("{id}.ply")));
            let counted: u64 = defects.iter().map(|d| d["points"].as_u64().unwrap()).sum();
            assert_eq!(marked as u64, counted, "{id}");
            // However the steps saw it, the points are written where the sensor had them.
            let limits = Limits::default();
            let own = data.join("test").join(format!("{id}.ply"));
            let own =
                decode::points(&Encoded::read(&own, &limits).unwrap(), &Stored::default(), &limits).unwrap();
            let apart = own
                .positions
                .rows()
                .into_iter()
                .zip(&positions)
                .map(|(a, b)| (0..3).map(|c| (a[c] - b[c]).abs()).fold(0.0, f32::max));
            assert!(apart.fold(0.0, f32::max) < 1e-6 && own.len() == positions.len(), "{id}");
            for defect in defects {
                assert!(
                    defect["area_mm2"].as_f64().unwrap() > 0.0 && defect.get("bbox").is_none(),
                    "{defect}"
                );
                assert_eq!(
                    (&defect["seen_by"], &defect["steps"][0]),
                    (&"geometry".into(), &"surface".into())
                );
            }
        }
        let hole = lines.iter().find(|l| l["id"] == "hole/000").unwrap();
        assert_eq!(hole["verdict"], "ng", "{hole}");
    }
}

#[test]
fn what_takes_pixels_says_so_and_figures_of_images_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("part");
    clouds(&data, false);
    let recipe = folder.path().join("points.toml");
    let text = "[sensors]\ncloud = \"{id}.ply\"\n[steps]\nshape = { method = \"fpfh\", from = \"cloud\", voxel = 0.0015 }\n\
                surface = { method = \"patchcore\", from = \"shape\" }\n[decide]\nfalse_reject_rate = 0.2\n";
    std::fs::write(&recipe, text).unwrap();
    let model = folder.path().join("part.assay");
    succeed(assay().arg("fit").arg(&recipe).arg("--data").arg(&data).arg("-o").arg(&model));
    let output = assay().arg("eval").arg(&model).arg("--data").arg(&data).arg("--json").output().unwrap();
    let figures: serde_json::Value =
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    assert!(figures["image_auroc"].as_f64().unwrap() > 0.5, "{figures}");
    assert!(figures["au_pro_30"].is_null());
    let maps = folder.path().join("maps");
    let scan = data.join("test/good/000.ply");
    for (flag, says) in [("--maps", "has no map"), ("--pictures", "has no picture")] {
        let output = run(&["score", model.to_str().unwrap(), flag], &[&maps, &scan]);
        assert_eq!(output.status.code(), Some(2));
        assert!((stdout(&output) + &stderr(&output)).contains(says), "{}", stderr(&output));
    }
    // A cloud in which nothing was measured is invalid, and so is one of two points.
    let point = |x: f32| Vertex { position: [x, x, x], colour: [0; 3], score: 0.0, defect: 0 };
    for (name, points) in [("empty", vec![]), ("two", vec![point(0.1), point(0.2)])] {
        let path = folder.path().join(format!("{name}.ply"));
        write_ply(&path, &points).unwrap();
        let output = run(&["score", model.to_str().unwrap()], &[&path]);
        assert_eq!(json_lines(&output)[0]["verdict"], "invalid");
    }
    std::fs::write(&recipe, format!("{text}[prepare]\nignore = [[0, 0], [9, 0], [9, 9]]\n")).unwrap();
    let output =
        assay().arg("fit").arg(&recipe).arg("--data").arg(&data).arg("-o").arg(&model).output().unwrap();
    assert!(stderr(&output).contains("areas of pixels"), "{}", stderr(&output));
}

#[test]
fn the_table_under_a_part_goes_where_the_recipe_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("part");
    clouds(&data, true);
    let shipped = std::fs::read_to_string(root().join("configs/points.toml")).unwrap();
    let recipe = folder.path().join("points.toml");
    let text = shipped.replace("voxel = 0.0005", "voxel = 0.001").replace("_rate = 0.05", "_rate = 0.2");
    std::fs::write(&recipe, format!("{text}\n[prepare]\nbackground = \"input\"\n")).unwrap();
    let model = folder.path().join("part.assay");
    succeed(assay().arg("fit").arg(&recipe).arg("--data").arg(&data).arg("-o").arg(&model));
    let output = assay()
        .arg("score")
        .arg(&model)
        .arg(data.join("test"))
        .args(["--dump", "shape", "--dump-to"])
        .arg(folder.path().join("dump"))
        .output()
        .unwrap();
    assert_eq!(json_lines(&output).len(), 7, "{}", stderr(&output));
    let bytes = std::fs::read(folder.path().join("dump/test/good/000.safetensors"))
        .or_else(|_| std::fs::read(folder.path().join("dump/good/000.safetensors")))
        .unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let positions = file.tensor("features.positions").unwrap();
    let z: Vec<f32> =
        positions.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).skip(2).step_by(3).collect();
    let limits = Limits::default();
    let own = data.join("test/good/000.ply");
    let own = decode::points(&Encoded::read(&own, &limits).unwrap(), &Stored::default(), &limits).unwrap();
    let table = own.positions.column(2).iter().copied().fold(f32::MIN, f32::max);
    assert!(z.len() > 100 && z.iter().all(|&z| z < table - 3e-3), "{} points, table {table}", z.len());
}
