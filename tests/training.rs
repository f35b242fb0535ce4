//! Methods that train a network: fitted, scored and repeated by the built program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

/// M3DM's three banks and decision layer on one tap of each modality.
const M3DM: &str = r#"
format = 1
recipe = { number = 9, name = "m3dm, small" }
[engine]
runtime = "rten"
[sensors]
colour = "rgb/{id}.png"
height = "xyz/{id}.tiff"
[steps]
look    = { method = "onnx", from = "colour", size = 128, taps = ["c3"] }
normals = { method = "normals", from = "height", window = 2 }
relief  = { method = "onnx", from = "normals", size = 128, taps = ["c3"] }
shape   = { method = "fpfh", from = "height", size = 64, cells = 16 }
fusion  = { method = "m3dm", from = { rgb = "look", xyz = ["relief", "shape"] }, epochs = 2, batch = 256, max_rows = 2000, hidden = 2 }
colour_bank = { method = "patchcore", from = "fusion.rgb", pool = 1, max_bank = 500, raw = true }
height_bank = { method = "patchcore", from = "fusion.xyz", pool = 1, max_bank = 500, raw = true }
fused_bank  = { method = "patchcore", from = "fusion.fused", pool = 1, max_bank = 500, raw = true }
found       = { method = "one-class-svm", from = ["colour_bank", "height_bank", "fused_bank"] }
[decide]
false_reject_rate = 0.2
"#;

/// EasyNet by itself: the probabilities are the scores.
const EASYNET: &str = r#"
format = 1
recipe = { number = 10, name = "easynet, small" }
[engine]
runtime = "rten"
[sensors]
colour = "rgb/{id}.png"
height = "xyz/{id}.tiff"
[steps]
found = { method = "easynet", from = { colour = "colour", depth = "height" }, size = 64, width = 4, steps = 60, raw = true }
[decide]
false_reject_rate = 0.2
"#;

/// What `fit` says of a recipe; it fits.
fn told(category: &Category, model: &Path) -> String {
    // For the plugins to be built; what is told is wanted, so that the program is not quiet.
    assay();
    let mut fit = std::process::Command::new(env!("CARGO_BIN_EXE_assay"));
    fit.env_remove("ASSAY_PLUGIN_PATH").arg("fit").arg(category.path("recipe.toml"));
    fit.arg("--data").arg(category.scans()).arg("-o").arg(model);
    stderr(&exit_with(&mut fit, 0))
}

/// A point transformer by itself: a matrix over the greatest coordinates of each group and its centre.
const POINTS: &str = r#"
format = 1
recipe = { number = 11, name = "points, small" }
[engine]
runtime = "rten"
[sensors]
height = "xyz/{id}.tiff"
[steps]
shape = { method = "point-mae", from = "height", file = "points.onnx", size = 64, centres = 60, group = 16, channels = 8, cells = 16 }
bank  = { method = "patchcore", from = "shape", max_bank = 500 }
[decide]
false_reject_rate = 0.2
"#;

fn category(recipe: &str) -> Category {
    let category = Category::small();
    std::fs::write(category.path("recipe.toml"), recipe).unwrap();
    category
}

fn scores(model: &Path, scans: &Path) -> Vec<String> {
    let output = assay().arg("score").arg(model).arg(scans).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
    json_lines(&output).iter().map(|line| line["score"].to_string()).collect()
}

#[test]
fn m3dm_trains_its_fusion_and_finds_what_changes_the_surface_the_same_at_any_number_of_threads() {
    let category = category(M3DM);
    let model = category.fit("one.assay", &["--threads", "1"]);
    let again = category.fit("two.assay", &["--threads", "2"]);
    assert!(std::fs::read(&model).unwrap() == std::fs::read(&again).unwrap());
    let eval = succeed(assay().arg("eval").arg(&model).arg("--json").arg("--data").arg(category.scans()));
    let eval = &json_lines(&eval)[0];
    for (figure, least) in [("image_auroc", 0.9), ("au_pro_30", 0.75)] {
        assert!(eval[figure].as_f64().unwrap() > least, "{figure}: {eval}");
    }
    let shown = stdout(&succeed(assay().arg("show").arg(&model)));
    assert!(shown.contains("m3dm"), "{shown}");
    // Another seed trains another network.
    let seeded = format!("seed = 8\n{M3DM}");
    std::fs::write(category.path("recipe.toml"), seeded).unwrap();
    let other = category.fit("three.assay", &[]);
    let good = category.scans().join("test/good");
    assert_ne!(scores(&model, &good), scores(&other, &good));
}

#[test]
fn m3dm_without_its_training_puts_the_patches_side_by_side() {
    let trained = M3DM.replace("epochs = 2", "epochs = 1");
    let category = category(&trained);
    let good = category.scans().join("test/good");
    let [trained, plain] = [trained.clone(), trained.replace("epochs = 1", "uff = false")].map(|recipe| {
        std::fs::write(category.path("recipe.toml"), recipe).unwrap();
        let model = category.path("m.assay");
        let told = told(&category, &model);
        (told.contains("the fusion of patches: loss"), scores(&model, &good))
    });
    assert!(trained.0 && !plain.0);
    assert_eq!(plain.1.len(), 3);
    assert_ne!(trained.1, plain.1);
}

#[test]
fn a_wrong_parameter_of_a_training_is_found_before_anything_is_read() {
    let category = category(&M3DM.replace("epochs = 2", "epochs = 0"));
    let output = exit_with(assay().args(["recipe", "check"]).arg(category.path("recipe.toml")), 2);
    assert!(stderr(&output).contains("epochs"), "{}", stderr(&output));
}

#[test]
fn a_device_that_this_build_cannot_train_on_is_refused_with_what_to_do() {
    let category = category(&EASYNET.replace("steps = 60", "steps = 1, device = \"cuda\""));
    let mut fit = assay();
    fit.arg("fit").arg(category.path("recipe.toml")).arg("--data").arg(category.scans());
    let refused = stderr(&exit_with(fit.arg("-o").arg(category.path("m.assay")), 2));
    assert!(refused.contains("steps.found") || refused.contains("device"), "{refused}");
    assert!(refused.contains("CUDA") || refused.contains("--features cuda"), "{refused}");
}

#[test]
fn easynet_is_fitted_once_gives_probabilities_and_the_same_file_at_any_number_of_threads() {
    let category = category(&EASYNET.replace("raw = true", "views = 2, align = true, raw = true"));
    let one = category.fit("one.assay", &["--threads", "1"]);
    let two = category.fit("two.assay", &["--threads", "2"]);
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap());
    let scans = category.scans().join("test/good");
    let found = scores(&one, &scans);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|s| (0.0..=1.0).contains(&s.parse::<f64>().unwrap())), "{found:?}");
    let size = std::fs::metadata(&one).unwrap().len();
    assert!(size < 2 << 20, "{size} bytes");
}

/// How many scans EasyNet learned from and judged by, as the fit told.
fn learned(told: &str) -> usize {
    let line = told.lines().find(|line| line.contains("scans learned")).unwrap_or_else(|| panic!("{told}"));
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
    numbers.take(2).map(|n| n.parse::<usize>().unwrap()).sum()
}

#[test]
fn what_follows_a_method_that_is_fitted_once_learns_from_scans_that_it_did_not_see() {
    let fused = EASYNET.replace("raw = true }\n", "raw = true }\nshape = { method = \"fpfh\", from = \"height\", size = 64, cells = 16 }\nbank = { method = \"patchcore\", from = \"shape\", max_bank = 500, raw = true }\nboth = { method = \"one-class-svm\", from = [\"found\", \"bank\"] }\n").replace("steps = 60", "steps = 10");
    let category = category(&fused);
    let model = category.path("both.assay");
    // A third of the 24 is left for the machine.
    assert_eq!(learned(&told(&category, &model)), 16);
    let found = scores(&model, &category.scans().join("test/good"));
    assert!(found.len() == 3 && found.iter().all(|s| s.parse::<f64>().is_ok()), "{found:?}");
}

#[test]
fn no_angle_of_a_scan_that_is_held_out_is_learned() {
    let turned =
        EASYNET.replace("[steps]", "[prepare]\nrotations = 4\n[steps]").replace("steps = 60", "steps = 1");
    let category = category(&turned);
    // Of 24 scans the last two.
    let told = told(&category, &category.path("m.assay"));
    assert!(told.contains("88 scans learned, 8 held out, each angle counted"), "{told}");
}

#[test]
fn a_limit_of_time_ends_a_training_with_the_best_network_so_far() {
    let endless = EASYNET.replace("steps = 60", "steps = 1000000, max_minutes = 0.02");
    let category = category(&endless);
    let model = category.path("m.assay");
    let told = told(&category, &model);
    assert!(told.contains("of 1000000 steps, ended by `max_minutes`"), "{told}");
    assert_eq!(scores(&model, &category.scans().join("test/good")).len(), 3);
}

#[test]
fn a_method_that_is_fitted_once_learns_from_all_scans_where_nothing_is_set_by_its_scores() {
    let short = EASYNET.replace("steps = 60", "steps = 2");
    let bounded = short.replace(", raw = true }", " }");
    let followed =
        short.replace("raw = true }\n", "raw = true }\nfused = { method = \"sum\", from = [\"found\"] }\n");
    let scans = [short, bounded, followed].map(|recipe| {
        let category = category(&recipe);
        learned(&told(&category, &category.path("m.assay")))
    });
    // Of 24; a third is left out for the scale, or for what comes after.
    assert_eq!(scans, [24, 16, 16]);
}

#[test]
fn easynet_takes_colour_alone_or_depth_alone() {
    for only in ["{ colour = \"colour\" }", "{ depth = \"height\" }"] {
        let from = EASYNET.replace("{ colour = \"colour\", depth = \"height\" }", only);
        assert_ne!(from, EASYNET);
        let (unused, folder) = if only.contains("depth") {
            ("colour = \"rgb/{id}.png\"\n", "rgb")
        } else {
            ("height = \"xyz/{id}.tiff\"\n", "xyz")
        };
        let category = category(&from.replace(unused, "").replace("steps = 60", "views = 4, steps = 5"));
        // The other sensor's files are not there at all.
        for group in ["train/good", "validation/good", "test/good"] {
            std::fs::remove_dir_all(category.scans().join(group).join(folder)).unwrap();
        }
        let model = category.fit("one.assay", &[]);
        let found = scores(&model, &category.scans().join("test/good"));
        assert!(found.len() == 3 && found.iter().all(|s| s.parse::<f64>().is_ok()), "{found:?}");
    }
}

#[test]
fn easynet_finds_defects_that_it_was_not_trained_with() {
    let longer = "width = 8, steps = 600, learning_rate = 0.01";
    let category = category(&EASYNET.replace("width = 4, steps = 60", longer));
    let model = category.fit("one.assay", &[]);
    let eval = succeed(assay().arg("eval").arg(&model).arg("--json").arg("--data").arg(category.scans()));
    let eval = &json_lines(&eval)[0];
    let hole = &eval["by_defect"]["hole"]["au_pro_30"];
    for (figure, least) in [(&eval["au_pro_30"], 0.5), (hole, 0.8)] {
        assert!(figure.as_f64().unwrap() > least, "{eval}");
    }
}

#[test]
fn the_paper_s_recipe_runs_with_networks_of_the_paper_s_shapes() {
    let recipe = std::fs::read_to_string(support::root().join("configs/mvtec3d-m3dm-paper.toml")).unwrap();
    // Random weights, and so little learned that it takes seconds.
    let short = recipe
        .replace("[sensors]", "[engine]\nruntime = \"rten\"\n[sensors]")
        .replace("pool = 1 }", "pool = 1, max_rows = 2000, batch = 500, epochs = 1, hidden = 1 }")
        .replace("max_bank = 70000", "max_bank = 200")
        .replace("false_reject_rate = 0.05", "false_reject_rate = 0.2");
    assert_eq!(short.matches("max_bank = 200").count(), 3);
    let category = category(&short);
    std::fs::write(category.path("vit_base_patch8_224.dino.onnx"), support::patches(224, 8, 768)).unwrap();
    std::fs::write(category.path("point_mae.onnx"), support::transformer(1024, 128, 1152)).unwrap();
    for (folder, ending) in [("rgb", "png"), ("xyz", "tiff")] {
        for scan in 8..24 {
            std::fs::remove_file(category.scans().join(format!("train/good/{folder}/{scan:03}.{ending}")))
                .unwrap();
        }
    }
    let model = category.path("m.assay");
    let told = told(&category, &model);
    assert!(told.contains("the fusion of patches: loss"), "{told}");
    // Random networks find nothing; they tell scans apart.
    let found: Vec<f64> =
        scores(&model, &category.scans().join("test/good")).iter().map(|s| s.parse().unwrap()).collect();
    assert!(found.len() == 3 && found[0] != found[1] && found[1] != found[2], "{found:?}");
}

#[test]
fn features_of_a_point_transformer_come_from_the_file_beside_the_recipe_and_go_with_the_model() {
    let category = category(POINTS);
    let file = category.path("points.onnx");
    let refused = |why: &str| {
        let output = assay()
            .arg("fit")
            .arg(category.path("recipe.toml"))
            .arg("--data")
            .arg(category.scans())
            .arg("-o")
            .arg(category.path("no.assay"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    };
    refused("points.onnx");
    std::fs::write(&file, support::transformer(60, 16, 5)).unwrap();
    refused("[1, 60, 8]");
    std::fs::write(&file, support::transformer(60, 16, 8)).unwrap();
    let one = category.fit("one.assay", &["--threads", "1"]);
    let two = category.fit("two.assay", &["--threads", "2"]);
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(scores(&one, &category.scans().join("test/good")).len(), 3);
}

/// Interrupts `command` as Ctrl-C does once it has said `line`, and returns all that it said.
#[cfg(unix)]
fn interrupted_after(line: &str, command: &mut std::process::Command) -> String {
    use std::io::{BufRead as _, BufReader};
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for heard in BufReader::new(child.stderr.take().unwrap()).lines() {
        let heard = heard.unwrap();
        if heard.contains(line) {
            // In the middle of what comes next.
            std::thread::sleep(std::time::Duration::from_millis(500));
            let id = child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        }
        said += &heard;
        said.push('\n');
    }
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
    said
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_is_kept_and_the_same_command_ends_it_as_if_nothing_had_been() {
    // Long enough to be interrupted.
    let long = EASYNET.replace("size = 64, width = 4, steps = 60", "size = 32, width = 2, steps = 400");
    assert_ne!(long, EASYNET);
    let category = category(&long);
    let model = category.fit("whole.assay", &[]);
    let part = category.path("part.assay");
    let fit = |more: &[&str]| {
        // Not quiet.
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_assay"));
        command.env_remove("ASSAY_PLUGIN_PATH");
        command.arg("fit").arg(category.path("recipe.toml")).arg("--data").arg(category.scans());
        command.arg("-o").arg(&part).args(more);
        command
    };
    let said = interrupted_after("features for found", &mut fit(&[]));
    let kept = category.path("part.assay.unfinished");
    assert!(
        said.contains("the same command goes on with it") && said.contains("part.assay.unfinished"),
        "{said}"
    );
    assert!(kept.is_dir() && !part.exists());
    let first_step = |output: &std::process::Output| {
        let text = stderr(output);
        text.contains("goes on where the interrupted fit was")
    };
    // Other threads: the bits do not depend on them.
    assert!(first_step(&succeed(&mut fit(&["--threads", "1"]))));
    assert!(std::fs::read(&model).unwrap() == std::fs::read(&part).unwrap());
    assert!(!kept.exists());

    // What is left is dropped where it is not of this fit, or not wanted.
    interrupted_after("features for found", &mut fit(&["--seed", "5"]));
    let other = succeed(&mut fit(&[]));
    assert!(!first_step(&other) && stderr(&other).contains("another recipe"), "{}", stderr(&other));
    assert!(std::fs::read(&model).unwrap() == std::fs::read(&part).unwrap());
    interrupted_after("features for found", &mut fit(&[]));
    assert!(kept.exists());
    assert!(!first_step(&succeed(&mut fit(&["--fresh"]))));
    assert!(!kept.exists());
}
