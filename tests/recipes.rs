//! Recipes: what is resolved, the schemas, and docs/recipes.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use assay_core::recipe::keys::{AnyKey, KEYS, keys_of};
use jsonschema::Validator;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use support::{Category, assay, exit_with, json_lines, stderr, stdout, succeed};

/// A folder for recipes, with the things that some of them name: a folder of plugins, an ONNX file.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = support::plugin_folder();
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::rename(&path, plugins.join(path.file_name().unwrap())).unwrap();
            }
        }
        let backbone = support::root().join("engine/inference/backbone/efficientnet-lite0.onnx");
        std::fs::copy(backbone, folder.path().join("backbone.onnx")).unwrap();
        // A stand-in for the transformer that the recipe of M3DM's own extractors names.
        std::fs::write(folder.path().join("vit_base_patch8_224.dino.onnx"), support::patches(224, 8, 3))
            .unwrap();
        image::GrayImage::from_pixel(8, 6, image::Luma([255]))
            .save(folder.path().join("inspect.png"))
            .unwrap();
        Self { folder }
    }

    fn write(&self, recipe: &str) -> PathBuf {
        let path = self.folder.path().join("recipe.toml");
        std::fs::write(&path, recipe).unwrap();
        path
    }

    /// What `recipe check` says, or its error.
    fn check(&self, recipe: &str) -> Result<String, String> {
        let output =
            assay().args(["recipe", "check", "--runtime", "rten"]).arg(self.write(recipe)).output().unwrap();
        match output.status.code() {
            Some(0) => Ok(stdout(&output)),
            _ => Err(stderr(&output)),
        }
    }

    fn resolved(&self, recipe: &str) -> String {
        let path = self.write(recipe);
        stdout(&succeed(assay().args(["recipe", "check", "--resolved", "--runtime", "rten"]).arg(path)))
    }
}

fn configs() -> Vec<(String, String)> {
    let files = std::fs::read_dir(support::root().join("configs")).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|f| (name_of(f), std::fs::read_to_string(f).unwrap())).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A recipe that says everything, and what a simple way of writing it out would get wrong: a sensor called like the implied
/// step, steps before what they take, names with quotes, an output by name.
const EVERYTHING: &str = r#"
recipe = { number = 12, name = 'a "quoted" name \ with ü and	tab' }
station = "cell 3"
seed = 9007199254740993
[engine]
runtime = "rten"
device = "cpu"
plugin_path = ["plugins"]
[sensors]
fused = "rgb/{id}.png"
height = { files = "xyz/{id}.tiff", unit = "mm", invalid = -9999, pose = [1, 0, 0, 0.1, 0, 1, 0, 0, 0, 0, 1, 0] }
[sensors.laser]
files = "depth/{id}.png"
kind = "depth"
unit = "um"
scale = 0.1
offset = 250.0
invalid = 65535
missing = "degrade"
camera = { fx = 610, fy = 610.5, cx = 31.5, cy = 23.5, brown = [-0.21, 0.06, 2e-4, -4e-4, 0], size = [64, 48] }
[sensors.side]
files = "side/{id}.png"
saturated = "invalid"
camera = { fx = 610, fy = 610.5, cx = 31.5, cy = 23.5, division = -0.2359, size = [64, 48] }
[limits]
pixels = 200_000_000
points = 80_000_000
file_bytes = 4_000_000_000
[prepare]
background = "map"
margin = 0.1
rotations = 3
border = 11
plane_distance = 3e-9
plane_points = 40
plane_iterations = 400
plane_share = 0.1
removal_distance = 0.30000000000000004
link_distance = 1
piece_points = 7
piece_reach = 0
[steps]
b = { method = "patchcore", from = ["look.c3", "look.c2"], coreset = 1e-6, pool = 1 }
a = { method = "padim", from = { features = "look" }, epsilon = 0.1, raw = true }
look = { method = "onnx", from = "fused", model = "backbone.onnx", size = [64, 96], mean = [1, 2, 3], std = [0.1, 1e2, 3] }
shape = { method = "fpfh", from = "height" }
c = { method = "patchcore", from = "shape" }
[map]
sigma = 0
[decide]
false_reject_rate = 0.1
confidence = 0.9
on_too_few = "warn"
review = 0.30000000000000004
score = "image"
folds = 4
"#;

#[test]
fn the_recipes_of_m3dm_score_as_the_paper() {
    let bench = Bench::new();
    for (name, recipe) in configs().into_iter().filter(|(name, _)| name.contains("m3dm")) {
        let resolved = json(&bench.resolved(&recipe));
        let steps = &resolved["steps"];
        for bank in ["colour_bank", "height_bank", "fused_bank"] {
            // Three neighbours, weighed as in Back to the Feature.
            assert_eq!(
                (&steps[bank]["neighbours"], &steps[bank]["weighting"]),
                (&3.into(), &"btf".into()),
                "{name}"
            );
        }
        // The lambdas of colour, of 3D and of both in the published code.
        assert_eq!(steps["found"]["factors"], serde_json::json!([0.1, 1.0, 1.0]), "{name}");
        assert_eq!(resolved["decide"]["score"], "image", "{name}");
        assert_eq!(
            steps["found"]["from"],
            serde_json::json!(["colour_bank.scores", "height_bank.scores", "fused_bank.scores"]),
            "{name}"
        );
    }
}

#[test]
fn a_resolved_recipe_does_the_same_and_resolves_to_itself() {
    let bench = Bench::new();
    let mut recipes = configs();
    recipes.push(("everything".into(), EVERYTHING.into()));
    for (name, recipe) in recipes {
        let once = bench.resolved(&recipe);
        assert_eq!(bench.resolved(&once), once, "{name}");
        // Written out, the implied step is not implied any more, and says that its scores stay as they are.
        let explained = |recipe: &str| {
            let lines = bench.check(recipe).unwrap();
            let last = |l: &str| l.replace(", implied)", ")").replace(" -> scores; raw = true", " -> scores");
            lines.lines().map(last).collect::<Vec<_>>()
        };
        assert_eq!(explained(&once), explained(&recipe), "{name}");
        assert!(schema().is_valid(&json(&once)), "{name}:\n{once}");
    }
}

#[test]
fn a_resolved_recipe_holds_every_key_and_parameter() {
    let bench = Bench::new();
    let text = bench.resolved(EVERYTHING);
    let resolved = json(&text);
    // What a camera's file says stands in its place; a library's hash is that of what was built (tests/plugins.rs pins one).
    let elsewhere = [
        "sensors.<name>.camera.file",
        "steps.<name>.plugin_sha256",
        "steps.<name>.isolation",
        "steps.<name>.time_limit",
    ];
    let written = |path: &str| keys_of(path).next().is_none() && !elsewhere.contains(&path);
    for key in KEYS.iter().filter(|k| written(k.path())) {
        let mut tables = vec![&resolved];
        let mut parts: Vec<&str> = key.path().split('.').collect();
        let last = parts.pop().unwrap();
        for part in parts {
            tables = tables
                .iter()
                .flat_map(|t| match part {
                    "<name>" => t.as_object().unwrap().values().collect(),
                    part => vec![&t[part]],
                })
                .collect();
        }
        assert!(tables.iter().any(|t| t.get(last).is_some()), "{}:\n{text}", key.path());
    }
    let steps = resolved["steps"].as_object().unwrap();
    assert_eq!(steps.keys().collect::<Vec<_>>(), ["look", "b", "a", "shape", "c", "fused_"]);
    assert_eq!(steps["a"]["from"], serde_json::json!(["look.c2", "look.c3", "look.c4"]));
    assert_eq!(steps["fused_"]["from"], serde_json::json!(["b.scores", "a.scores", "c.scores"]));
    assert_eq!(steps["b"]["max_bank"], 10000);
    assert_eq!(steps["look"]["model"], "backbone.onnx");
    insta::assert_snapshot!(text);
}

/// The schema of recipes with the bundled plugins.
fn schema() -> &'static Validator {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let text = stdout(&succeed(assay().args(["schema", "recipe"])));
        jsonschema::draft202012::new(&serde_json::from_str(&text).unwrap()).unwrap()
    })
}

/// A recipe as JSON.
fn json(recipe: &str) -> serde_json::Value {
    serde_json::to_value(toml::from_str::<toml::Table>(recipe).unwrap()).unwrap()
}

#[test]
fn schemas_are_valid_schemas() {
    for of in ["recipe", "result"] {
        let text = stdout(&succeed(assay().args(["schema", of])));
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|e| panic!("{of}: {e}"));
    }
}

#[test]
fn the_schema_accepts_what_the_program_accepts() {
    for (name, recipe) in configs() {
        let errors: Vec<String> = schema().iter_errors(&json(&recipe)).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    assert!(schema().is_valid(&json(EVERYTHING)));
}

#[test]
fn the_schema_and_the_program_refuse_the_same_recipes() {
    let bench = Bench::new();
    let good = "format = 1\n[sensors]\ncolour = \"rgb/{id}.png\"\n[steps]\n\
                look = { method = \"onnx\", from = \"colour\", size = 64 }\n\
                find = { method = \"patchcore\", from = \"look\" }\n";
    assert!(bench.check(good).is_ok() && schema().is_valid(&json(good)));
    let wrong = [
        good.replace("format = 1", "format = 2"),
        good.replace("format = 1", "formt = 1"),
        "[steps]\na = { method = \"onnx-map\", from = \"b\" }\n".to_owned(),
        "[sensors]\ncolour = \"{id}.png\"\n".to_owned(),
        good.replace("colour = ", "\"the colour\" = "),
        good.replace("rgb/{id}.png", "rgb/id.png"),
        good.replace("\"rgb/{id}.png\"", "{ files = \"rgb/{id}.png\", kind = \"rbg\" }"),
        good.replace("\"rgb/{id}.png\"", "{ files = \"rgb/{id}.png\", units = \"m\" }"),
        good.replace("\"rgb/{id}.png\"", "3"),
        good.replace("patchcore", "pachcore"),
        good.replace("method = \"patchcore\", ", ""),
        good.replace(", from = \"look\"", ""),
        good.replace("from = \"look\"", "from = 3"),
        good.replace("from = \"look\"", "from = { feature = \"look\" }"),
        good.replace("from = \"look\"", "from = \"look\", corset = 0.1"),
        good.replace("from = \"look\"", "from = \"look\", coreset = \"big\""),
        good.replace("from = \"look\"", "from = \"look\", raw = 1"),
        good.replace("from = \"look\"", "from = \"look\", neighbours = 1.5"),
        good.replace("size = 64", "size = 8"),
        good.replace("size = 64", "size = [64, 5000]"),
        good.replace("size = 64", "layout = \"nhcw\""),
        format!("{good}[decide]\nfalse_reject_rate = 2\n"),
        format!("{good}[decide]\nconfidence = 0.2\n"),
        format!("{good}[decide]\non_too_few = \"stop\"\n"),
        format!("{good}[decide]\nfolds = 1\n"),
        format!("{good}[prepare]\nbackground = \"feature\"\n"),
        format!("{good}[engine]\ndevice = \"gpu\"\n"),
        format!("{good}[engine]\nplugin_path = \"plugins\"\n"),
        format!("recipe = {{ number = -1 }}\n{good}"),
        format!("seed = \"one\"\n{good}"),
        format!("map = 3\n{good}"),
    ];
    for recipe in wrong {
        let error = bench.check(&recipe).expect_err(&recipe);
        assert!(error.contains("recipe.toml:"), "{error}");
        assert!(
            !schema().is_valid(&json(&recipe)),
            "the schema accepts what the program refuses: {error}{recipe}"
        );
    }
}

#[test]
fn result_lines_obey_their_schema() {
    let (category, model) = Category::fitted();
    let text = stdout(&succeed(assay().args(["schema", "result"])));
    let schema = jsonschema::draft202012::new(&serde_json::from_str(&text).unwrap()).unwrap();
    let scans = category.path("scans");
    for sensor in ["rgb", "xyz"] {
        let (from, to) = (category.scans().join("test/hole").join(sensor), scans.join(sensor));
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let file = entry.unwrap().path();
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    std::fs::write(scans.join("rgb/001.png"), b"not a picture").unwrap();
    let lines = json_lines(&exit_with(assay().arg("score").arg(model).arg(&scans), 2));
    assert!(lines.len() >= 2 && lines.iter().any(|l| l["verdict"] == "invalid"));
    for line in lines {
        let errors: Vec<String> = schema.iter_errors(&line).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{line}");
    }
    assert!(!schema.is_valid(&serde_json::json!({ "id": "a", "verdict": "fine" })));
}

fn document() -> (PathBuf, String) {
    let path = support::root().join("docs/recipes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The TOML blocks of the document, each completed: the tables of a fragment replace those of the example before which the
/// document says so, the one with a recipe number.
fn blocks(document: &str) -> Vec<(String, String)> {
    let blocks: Vec<&str> = document
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block ends").0)
        .collect();
    let base: toml::Table = toml::from_str(blocks.iter().find(|b| b.contains("number = ")).unwrap()).unwrap();
    let complete = |block: &str| {
        let mut recipe = if block.starts_with("# fragment\n") { base.clone() } else { toml::Table::new() };
        recipe.extend(toml::from_str::<toml::Table>(block).unwrap());
        recipe.to_string()
    };
    blocks.iter().map(|b| ((*b).to_owned(), complete(b))).collect()
}

#[test]
fn every_recipe_of_the_page_on_data_is_right() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(support::root().join("docs/data.md")).unwrap();
    let mut blocks = 0;
    for block in text.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0) {
        if let Err(error) = bench.check(block) {
            panic!("{error}\n{block}");
        }
        blocks += 1;
    }
    assert!(blocks >= 2);
}

#[test]
fn every_recipe_of_the_document_is_right() {
    let bench = Bench::new();
    let (_, text) = document();
    let blocks = blocks(&text);
    assert!(blocks.len() > 5);
    for (block, recipe) in blocks {
        if let Err(error) = bench.check(&recipe) {
            panic!("{error}\n{block}");
        }
        assert!(schema().is_valid(&json(&recipe)), "{block}");
    }
    let needed = "299 calibration scans";
    let verdict = text.split("## The verdict").nth(1).unwrap();
    let (_, recipe) = &blocks_of(verdict, &text)[0];
    assert!(verdict.contains(needed) && bench.check(recipe).unwrap().contains(needed));
}

/// The completed blocks of a part of the document.
fn blocks_of(part: &str, document: &str) -> Vec<(String, String)> {
    blocks(document).into_iter().filter(|(block, _)| part.contains(block.as_str())).collect()
}

/// The reference of all keys, as Markdown.
fn reference() -> String {
    let mut text = String::new();
    for table in KEYS.iter().filter(|k| keys_of(k.path()).next().is_some()) {
        if table.parent().is_empty() && table.path() == "recipe" {
            text += &section("The top", "Keys before the first table.", "", |k| {
                keys_of(k.path()).next().is_none()
            });
        }
        text += &section(&format!("`[{}]`", table.path()), table.doc(), table.path(), |k| {
            keys_of(k.path()).next().is_none()
        });
    }
    text
}

fn section(title: &str, doc: &str, path: &str, listed: impl Fn(&dyn AnyKey) -> bool) -> String {
    let mut text = format!("### {title}\n\n{doc}\n");
    let mut keys = keys_of(path).filter(|k| listed(*k)).peekable();
    if keys.peek().is_some() {
        text += "\n| key | takes | without it | |\n|---|---|---|---|\n";
    }
    for key in keys {
        let absent = match key.absent() {
            None => "an error".into(),
            Some(value)
                if value.starts_with(['"', '[']) || value == "false" || value.parse::<f64>().is_ok() =>
            {
                format!("`{value}`")
            }
            Some(words) => words,
        };
        let unit = if key.unit().is_empty() { String::new() } else { format!("; {}", key.unit()) };
        text += &format!(
            "| `{}` | {}{unit} | {absent} | {} `{}` |\n",
            key.name(),
            key.takes(),
            key.doc(),
            key.example()
        );
    }
    text + "\n"
}

#[test]
fn the_reference_of_keys_is_the_programs_own() {
    let (path, text) = document();
    let (before, rest) = text.split_once("<!-- keys: ").unwrap();
    let (note, rest) = rest.split_once("-->\n").unwrap();
    let (_, after) = rest.split_once("<!-- keys end -->").unwrap();
    let fresh = format!("{before}<!-- keys: {note}-->\n\n{}<!-- keys end -->{after}", reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    } else {
        assert!(text == fresh, "docs/recipes.md is stale: UPDATE_DOCS=1 cargo test -p assay --test recipes");
    }
}
