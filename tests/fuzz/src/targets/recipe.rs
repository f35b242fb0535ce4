//! A recipe: reading it, its defaults, its steps with the methods that the engine has itself, and writing it out resolved.

use super::KIB;
use crate::Target;
use crate::onnx;
use assay_core::Error;
use assay_core::graph::{Graph, builtin_methods};
use assay_core::plugin::Registry;
use assay_core::recipe::keys::KEYS;
use assay_core::recipe::{Recipe, resolved, schema::schema};
use assay_inference::{Engine, Options, Runtime, Session};
use jsonschema::Validator;
use std::sync::{Arc, LazyLock};

pub(super) const TARGET: Target = Target { name: "recipe", read, seeds, words, memory: (512 * KIB, 1024) };

/// An example of every key, and what TOML makes of values.
fn words() -> Vec<&'static str> {
    let mut words = vec![
        "{id}",
        ".*",
        "\"onnx\"",
        "\"onnx-map\"",
        "model = \"\"
",
        "taps = \"map\"
",
        "size = [64, 96]
",
        "mean = [1, 2, 3]
",
        "std = [1, 1, 1]
",
        "layout = \"nhwc\"
",
        "range = [0, 1]
",
        "input = \"image\"
",
        "[[",
        "]]",
        "{ ",
        " }",
        "\'\'\'",
        "\"\"\"",
        "inf",
        "-nan",
        "0x",
        "1e999",
        "9223372036854775808",
        "1979-05-27T07:32:00Z",
    ];
    words.extend(KEYS.iter().flat_map(|key| [key.example(), key.name()]));
    words
}

/// What recipes are resolved against: no plugin, and one network for each file that a step may name.
struct Station {
    registry: Registry,
    engine: Engine,
    network: Vec<u8>,
    schema: Validator,
    /// Held so that the engine need not load it again.
    _session: Arc<Session>,
}

static STATION: LazyLock<Station> = LazyLock::new(|| {
    let engine = Engine::open(&Options { runtime: Runtime::Rten, threads: 1, ..Options::default() }).unwrap();
    let network = onnx::model();
    let methods = builtin_methods();
    Station {
        registry: Registry::default(),
        schema: jsonschema::validator_for(&schema(&methods.iter().collect::<Vec<_>>())).unwrap(),
        _session: engine.session_cached("network", &network.as_slice().into(), 1).unwrap(),
        engine,
        network,
    }
});

fn read(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let station = &*STATION;
    let resolve = |recipe: &Recipe| {
        Graph::resolve(recipe, &station.registry, &station.engine, &|_, _| Ok(station.network.clone().into()))
    };
    let read = Recipe::parse("recipe.toml", text).and_then(|recipe| Ok((resolve(&recipe)?, recipe)));
    let (graph, recipe) = match read {
        Ok(read) => read,
        Err(Error::Recipe { line, .. }) => {
            let lines = 1 + text.bytes().filter(|&b| b == b'\n').count();
            return assert!((1..=lines).contains(&line), "an error at line {line} of {lines}");
        }
        Err(error) => panic!("an error that names no line: {error}"),
    };
    let valid = |text: &str| {
        // Infinities have no JSON.
        let Ok(value) = toml::from_str::<serde_json::Value>(text) else { return };
        station.schema.validate(&value).unwrap_or_else(|e| panic!("the schema refuses it: {e} in\n{text}"));
    };
    valid(text);
    let written = resolved(&recipe, &graph);
    valid(&written);
    let again = Recipe::parse("resolved.toml", &written).unwrap_or_else(|e| panic!("{e} in\n{written}"));
    let graph = resolve(&again).unwrap_or_else(|e| panic!("{e} in\n{written}"));
    assert_eq!(resolved(&again, &graph), written);
}

fn seeds() -> Vec<Vec<u8>> {
    const SHORT: &str = "format = 1\n[sensors]\ncolour = \"rgb/{id}.png\"\n[steps]\n";
    let ways = [
        "a = { method = \"onnx-map\", from = \"colour\" }\n".to_owned(),
        "look = { method = \"onnx\", from = \"colour\", size = [64, 96], taps = \"map\", mean = [1, 2, 3.5] }\n\
         found = { method = \"onnx-map\", from = { image = \"look.map\" }, raw = true, model = \"a.onnx\" }\n"
            .to_owned(),
        "[steps.a]\nmethod = 'onnx-map'\nfrom = [\"colour\"]\n[decide]\nfalse_reject_rate = 0.01\nconfidence = 0.9\n\
         review = 0.2\non_too_few = \"warn\"\nscore = \"image\"\nfolds = 3\n"
            .to_owned(),
        "found = { method = \"onnx-map\", from = \"colour\" }\n[sensors.deep]\nfiles = \"{id}/depth.png\"\nkind = \"depth\"\n\
         unit = \"mm\"\nscale = 0.1\noffset = 250\ninvalid = 65535\nmissing = \"degrade\"\n\
         pose = [1, 0, 0, 0.1, 0, 1, 0, 0, 0, 0, 1, 0]\n\
         camera = { fx = 610, fy = 610, cx = 320, cy = 240.5, division = -0.2, size = [640, 480] }\n\
         [limits]\npixels = 1000000\n"
            .to_owned(),
    ];
    let mut seeds: Vec<Vec<u8>> = ways.iter().map(|steps| format!("{SHORT}{steps}").into_bytes()).collect();
    let shipped = [
        include_str!("../../../../configs/mvtec3d.toml"),
        include_str!("../../../../configs/fixture3d.toml"),
        include_str!("../../../../configs/colour.toml"),
        include_str!("../../../../configs/mvtec-highres.toml"),
    ];
    seeds.extend(shipped.map(|text| text.as_bytes().to_vec()));
    seeds
}
