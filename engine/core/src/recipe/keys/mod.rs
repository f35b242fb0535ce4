//! The table of a recipe's keys: types, ranges, choices and defaults stand here and nowhere else.

use super::area::Areas;
use super::domain::{Device, Flag, Format, Inputs, Integer, Maybe, Number, Section, Text, Texts, Word};
mod sensor;

pub use super::key::AnyKey;
use super::key::{
    Absent::{Is, Means, Wrong},
    Key,
};
use super::toml::{Node, Value};
use super::{Align, Background, OnTooFew, Statistic};
use assay_data::Limits;
use assay_data::prepare::Background as Plane;
use assay_inference::{Device as Processor, Runtime};
pub(super) use sensor::*;

/// What names of sensors and steps look like, as a regular expression.
pub const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Whether a sensor or step may be called this: what [`NAME`] says.
pub(super) fn is_name(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(fine)
}

/// All keys, in the order in which documents and resolved recipes list them.
pub static KEYS: &[&dyn AnyKey] = &[
    &FORMAT,
    &RECIPE,
    &RECIPE_NUMBER,
    &RECIPE_NAME,
    &STATION,
    &SEED,
    &ENGINE,
    &ENGINE_RUNTIME,
    &ENGINE_DEVICE,
    &ENGINE_PLUGIN_PATH,
    &LIMITS,
    &LIMITS_PIXELS,
    &LIMITS_POINTS,
    &LIMITS_FILE_BYTES,
    &SENSORS,
    &SENSOR,
    &SENSOR_FILES,
    &SENSOR_KIND,
    &SENSOR_UNIT,
    &SENSOR_SCALE,
    &SENSOR_OFFSET,
    &SENSOR_INVALID,
    &SENSOR_SATURATED,
    &SENSOR_MISSING,
    &SENSOR_POSE,
    &CAMERA,
    &CAMERA_FILE,
    &CAMERA_FX,
    &CAMERA_FY,
    &CAMERA_CX,
    &CAMERA_CY,
    &CAMERA_DIVISION,
    &CAMERA_BROWN,
    &CAMERA_SIZE,
    &PREPARE,
    &PREPARE_BACKGROUND,
    &PREPARE_MARGIN,
    &PREPARE_ROTATIONS,
    &PREPARE_ALIGN,
    &PREPARE_INSPECT,
    &PREPARE_IGNORE,
    &PREPARE_BORDER,
    &PREPARE_PLANE_DISTANCE,
    &PREPARE_PLANE_POINTS,
    &PREPARE_PLANE_ITERATIONS,
    &PREPARE_PLANE_SHARE,
    &PREPARE_REMOVAL_DISTANCE,
    &PREPARE_LINK_DISTANCE,
    &PREPARE_PIECE_POINTS,
    &PREPARE_PIECE_REACH,
    &STEPS,
    &STEP,
    &STEP_METHOD,
    &STEP_FROM,
    &STEP_RAW,
    &STEP_SHA256,
    &STEP_ISOLATION,
    &STEP_TIME_LIMIT,
    &MAP,
    &MAP_SIGMA,
    &MAP_SMALLEST_AREA,
    &MAP_SMALLEST_PIXELS,
    &DECIDE,
    &DECIDE_FALSE_REJECT_RATE,
    &DECIDE_CONFIDENCE,
    &DECIDE_ON_TOO_FEW,
    &DECIDE_REVIEW,
    &DECIDE_SCORE,
    &DECIDE_FOLDS,
];

/// The keys of the table at `path`; empty = the top.
pub fn keys_of(path: &str) -> impl Iterator<Item = &'static dyn AnyKey> {
    KEYS.iter().copied().filter(move |key| key.parent() == path)
}

const EMPTY: Node = Node { line: 1, value: Value::Table(Vec::new()) };

pub(super) static FORMAT: Key<Format> = Key {
    path: "format",
    takes: Format,
    absent: Is(1),
    unit: "",
    doc: "Version of the recipe format. Another one is refused instead of being misread.",
    example: "format = 1",
};

pub(super) static RECIPE: Key<Section> = Key {
    path: "recipe",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "What the recipe is called.",
    example: "recipe = { number = 3, name = \"cable gland, top\" }",
};

pub(super) static RECIPE_NUMBER: Key<Maybe<Integer>> = Key {
    path: "recipe.number",
    takes: Maybe(Integer { min: 0, max: i64::MAX }),
    absent: Means(None, "none"),
    unit: "",
    doc: "Number of the recipe on the line's selector. Each result carries it.",
    example: "number = 3",
};

pub(super) static RECIPE_NAME: Key<Text> = Key {
    path: "recipe.name",
    takes: Text { pattern: None },
    absent: Is(String::new()),
    unit: "",
    doc: "Name, for people.",
    example: "name = \"cable gland, top\"",
};

pub(super) static STATION: Key<Text> = Key {
    path: "station",
    takes: Text { pattern: None },
    absent: Is(String::new()),
    unit: "",
    doc: "The station that the recipe is for. Each result carries it.",
    example: "station = \"cell 3\"",
};

pub(super) static SEED: Key<Integer> = Key {
    path: "seed",
    takes: Integer { min: 0, max: i64::MAX },
    absent: Is(0),
    unit: "",
    doc: "Seed of everything random: folds, coresets, candidate planes. The same seed gives the same model.",
    example: "seed = 7",
};

pub(super) static ENGINE: Key<Section> = Key {
    path: "engine",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "Where networks run and where methods come from. The arguments of the same names go before these keys.",
    example: "engine = { device = \"cuda:0\" }",
};

pub(super) static ENGINE_RUNTIME: Key<Word<Runtime>> = Key {
    path: "engine.runtime",
    takes: Word(&[("auto", Runtime::Auto), ("onnxruntime", Runtime::OnnxRuntime), ("rten", Runtime::Rten)]),
    absent: Is(Runtime::Auto),
    unit: "",
    doc: "What runs networks: ONNX Runtime, which must be installed, or the built-in rten. `auto` takes ONNX Runtime where it is found.",
    example: "runtime = \"onnxruntime\"",
};

pub(super) static ENGINE_DEVICE: Key<Device> = Key {
    path: "engine.device",
    takes: Device,
    absent: Is(Processor::Cpu),
    unit: "",
    doc: "The device that networks run on. A GPU needs an ONNX Runtime with CUDA.",
    example: "device = \"cuda:0\"",
};

pub(super) static ENGINE_PLUGIN_PATH: Key<Texts> = Key {
    path: "engine.plugin_path",
    takes: Texts,
    absent: Is(Vec::new()),
    unit: "",
    doc: "Folders with plugins, relative to the recipe's own. They are searched before all others, and each must exist.",
    example: "plugin_path = [\"plugins\"]",
};

pub(super) static LIMITS: Key<Section> = Key {
    path: "limits",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "The largest files that are read. What asks for more is refused by its header, before memory is taken.",
    example: "limits = { pixels = 200_000_000 }",
};

pub(super) static LIMITS_PIXELS: Key<Integer> = Key {
    path: "limits.pixels",
    takes: Integer { min: 1, max: 1 << 32 },
    absent: Is(Limits::DEFAULT.max_pixels as i64),
    unit: "pixels",
    doc: "Rows times columns of an image, a grid, a mask or a map.",
    example: "pixels = 200_000_000",
};

pub(super) static LIMITS_POINTS: Key<Integer> = Key {
    path: "limits.points",
    takes: Integer { min: 1, max: 1 << 32 },
    absent: Is(Limits::DEFAULT.max_points as i64),
    unit: "points",
    doc: "Points of a cloud.",
    example: "points = 80_000_000",
};

pub(super) static LIMITS_FILE_BYTES: Key<Integer> = Key {
    path: "limits.file_bytes",
    takes: Integer { min: 1, max: 1 << 40 },
    absent: Is(Limits::DEFAULT.max_file_bytes as i64),
    unit: "bytes",
    doc: "Size of a file.",
    example: "file_bytes = 4_000_000_000",
};

pub(super) static SENSORS: Key<Section> = Key {
    path: "sensors",
    takes: Section,
    absent: Wrong("a recipe names its sensors, for example `colour = \"rgb/{id}.png\"`"),
    unit: "",
    doc: "What a scan consists of: one file of each sensor. Names are made of letters, digits, `_` and `-`.",
    example: "sensors = { colour = \"rgb/{id}.png\" }",
};

pub(super) static PREPARE: Key<Section> = Key {
    path: "prepare",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "Which pixels belong to the part, and how training scans are turned. The part is found in the first `xyz` sensor: the surface that it lies on is removed, and the largest piece of what is left is the part. Without such a sensor all pixels are the part.",
    example: "prepare = { background = \"input\", rotations = 12 }",
};

pub(super) static PREPARE_BACKGROUND: Key<Word<Background>> = Key {
    path: "prepare.background",
    takes: Word(&[
        ("off", Background::Off),
        ("input", Background::Input),
        ("features", Background::Features),
        ("points", Background::Points),
        ("map", Background::Map),
    ]),
    absent: Is(Background::Features),
    unit: "",
    doc: "What happens to pixels that are not the part. `off`: they are inspected too; `input`: they are blanked before any step; `features`: steps see them, but they are neither learned nor scored; `points`: the same, but what is not the part has no points, not even within the margin, for methods that would learn how the surface under it is measured; `map`: they are left out of the map only. Where there are clouds and no organised points, `input` takes what the part lies on out of the clouds, and the others do nothing.",
    example: "background = \"input\"",
};

pub(super) static PREPARE_MARGIN: Key<Number> = Key {
    path: "prepare.margin",
    takes: Number { min: 0.0, max: 1.0 },
    absent: Is(0.05),
    unit: "share of the scan's shorter side",
    doc: "How far beyond its outline the part reaches, so that what sticks out of it is inspected.",
    example: "margin = 0.02",
};

pub(super) static PREPARE_ROTATIONS: Key<Integer> = Key {
    path: "prepare.rotations",
    takes: Integer { min: 1, max: 360 },
    absent: Is(1),
    unit: "angles",
    doc: "Each training scan is learned at this many angles, evenly around the circle. For parts that lie at any angle; 1 learns them as they lie.",
    example: "rotations = 12",
};

pub(super) static PREPARE_ALIGN: Key<Word<Align>> = Key {
    path: "prepare.align",
    takes: Word(&[("off", Align::Off), ("centre", Align::Centre), ("principal", Align::Principal)]),
    absent: Is(Align::Off),
    unit: "",
    doc: "Whether clouds of `points` are brought into one pose before the steps see them. `off`: they stay as they were scanned; `centre`: their middles are brought together; `principal`: their principal axes, too. For methods that look at where points are: a point feature histogram hardly depends on it.",
    example: "align = \"principal\"",
};

pub(super) static PREPARE_INSPECT: Key<Areas> = Key {
    path: "prepare.inspect",
    takes: Areas,
    absent: Means(Vec::new(), "all of the view"),
    unit: "",
    doc: "The areas that are inspected: nothing else is learned, scored or counted. An image of the scan's size, relative to the recipe's folder, counts where it is not black; a polygon is a list of corners [x, y] in pixels, the centre of the first pixel being [0, 0]. A model keeps what the image says.",
    example: "inspect = [[40, 40], [360, 40], [360, 360], [40, 360]]",
};

pub(super) static PREPARE_IGNORE: Key<Areas> = Key {
    path: "prepare.ignore",
    takes: Areas,
    absent: Means(Vec::new(), "none"),
    unit: "",
    doc: "Areas that are not inspected, such as a printed date or a fixture; written as `inspect`, and taken out of it.",
    example: "ignore = [[[10, 10], [90, 10], [90, 30]], [[200, 0], [399, 0], [399, 20]]]",
};

pub(super) static PREPARE_BORDER: Key<Integer> = Key {
    path: "prepare.border",
    takes: Integer { min: 1, max: 1000 },
    absent: Is(Plane::DEFAULT.border as i64),
    unit: "pixels",
    doc: "Width of the strips along the four borders of the scan in which the surface under the part is looked for.",
    example: "border = 20",
};

pub(super) static PREPARE_PLANE_DISTANCE: Key<Number> = Key {
    path: "prepare.plane_distance",
    takes: Number { min: 1e-9, max: 1e6 },
    absent: Is(Plane::DEFAULT.plane_distance),
    unit: "metres",
    doc: "Farthest that a point of the surface lies from the plane fitted to it.",
    example: "plane_distance = 0.002",
};

pub(super) static PREPARE_PLANE_POINTS: Key<Integer> = Key {
    path: "prepare.plane_points",
    takes: Integer { min: 3, max: 10_000 },
    absent: Is(Plane::DEFAULT.sample_points as i64),
    unit: "points",
    doc: "Points that each candidate plane is fitted to.",
    example: "plane_points = 30",
};

pub(super) static PREPARE_PLANE_ITERATIONS: Key<Integer> = Key {
    path: "prepare.plane_iterations",
    takes: Integer { min: 1, max: 100_000 },
    absent: Is(Plane::DEFAULT.iterations as i64),
    unit: "planes",
    doc: "Candidate planes at most.",
    example: "plane_iterations = 500",
};

pub(super) static PREPARE_PLANE_SHARE: Key<Number> = Key {
    path: "prepare.plane_share",
    takes: Number { min: 0.0, max: 1.0 },
    absent: Is(Plane::DEFAULT.least_share),
    unit: "share of the border's points",
    doc: "How much of the border must lie on the plane. With less there is no surface, and nothing is removed.",
    example: "plane_share = 0.5",
};

pub(super) static PREPARE_REMOVAL_DISTANCE: Key<Number> = Key {
    path: "prepare.removal_distance",
    takes: Number { min: 1e-9, max: 1e6 },
    absent: Is(Plane::DEFAULT.removal_distance),
    unit: "metres",
    doc: "Points nearer to the plane than this are background. Less than the part's least height.",
    example: "removal_distance = 0.001",
};

pub(super) static PREPARE_LINK_DISTANCE: Key<Number> = Key {
    path: "prepare.link_distance",
    takes: Number { min: 1e-9, max: 1e6 },
    absent: Is(Plane::DEFAULT.link_distance),
    unit: "metres",
    doc: "Points nearer to each other than this belong to one piece. A few times the distance of neighbouring pixels.",
    example: "link_distance = 0.002",
};

pub(super) static PREPARE_PIECE_POINTS: Key<Integer> = Key {
    path: "prepare.piece_points",
    takes: Integer { min: 1, max: 1_000_000_000 },
    absent: Is(Plane::DEFAULT.piece_points as i64),
    unit: "points",
    doc: "Detached pieces of at least this many points stay with the part where they are near it.",
    example: "piece_points = 50",
};

pub(super) static PREPARE_PIECE_REACH: Key<Number> = Key {
    path: "prepare.piece_reach",
    takes: Number { min: 0.0, max: 1e6 },
    absent: Is(Plane::DEFAULT.piece_reach),
    unit: "metres",
    doc: "How near to the part such a piece lies; 0 keeps the largest piece alone.",
    example: "piece_reach = 0.005",
};

pub(super) static STEPS: Key<Section> = Key {
    path: "steps",
    takes: Section,
    absent: Wrong("a recipe has steps, for example `look = { method = \"onnx\", from = \"colour\" }`"),
    unit: "",
    doc: "What is done with the sensors, in any order: a step runs as soon as what it takes is there. Scores that no step takes are added by an implied last step `fused`.",
    example: "steps = { look = { method = \"onnx\", from = \"colour\" }, found = { method = \"patchcore\", from = \"look\" } }",
};

pub(super) static STEP: Key<Section> = Key {
    path: "steps.<name>",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "One step. Its name is made of letters, digits, `_` and `-`, and no sensor has it. Keys beside those below are parameters of its method, which `assay plugin info METHOD` lists.",
    example: "appearance = { method = \"patchcore\", from = \"look\", coreset = 0.05 }",
};

pub(super) static STEP_METHOD: Key<Text> = Key {
    path: "steps.<name>.method",
    takes: Text { pattern: None },
    absent: Wrong("is missing; `assay plugin list` shows them"),
    unit: "",
    doc: "The method; `assay plugin list` shows which there are.",
    example: "method = \"patchcore\"",
};

pub(super) static STEP_FROM: Key<Inputs> = Key {
    path: "steps.<name>.from",
    takes: Inputs,
    absent: Wrong("is missing: name a sensor or an earlier step"),
    unit: "",
    doc: "What the step takes: sensors, steps (all their outputs) or single outputs, as in `look.c3`. A list is bound to the method's inputs in their order, a table by their names.",
    example: "from = [\"look.c2\", \"look.c3\"]",
};

pub(super) static STEP_RAW: Key<Flag> = Key {
    path: "steps.<name>.raw",
    takes: Flag,
    absent: Is(false),
    unit: "",
    doc: "Whether the step's scores stay as the method made them, instead of being put on the common scale: (s - median) / (q99 - median) of good scans that were not learned.",
    example: "raw = true",
};

pub(super) static STEP_SHA256: Key<Maybe<Text>> = Key {
    path: "steps.<name>.plugin_sha256",
    takes: Maybe(Text { pattern: Some("^[0-9a-f]{64}$") }),
    absent: Means(None, "none: whichever library offers the method"),
    unit: "",
    doc: "The SHA-256 of the plugin library that the method must be from, as `assay plugin info` shows it; any other is refused.",
    example: "plugin_sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
};

pub(super) static STEP_ISOLATION: Key<Maybe<Word<bool>>> = Key {
    path: "steps.<name>.isolation",
    takes: Maybe(Word(&[("none", false), ("process", true)])),
    absent: Means(None, "`none`: in the program itself"),
    unit: "",
    doc: "Where the step's plugin runs. With `process` it runs in a process of its own: when it crashes or hangs, the scan at hand is `invalid` and says why, and the process is started again for the next one.",
    example: "isolation = \"process\"",
};

pub(super) static STEP_TIME_LIMIT: Key<Maybe<Number>> = Key {
    path: "steps.<name>.time_limit",
    takes: Maybe(Number { min: 0.01, max: 86_400.0 }),
    absent: Means(None, "60 with `isolation = \"process\"`, without end otherwise"),
    unit: "s",
    doc: "The longest that a plugin in a process of its own may take for one scan, or to start; then it is ended. The learning of a fit has no limit.",
    example: "time_limit = 5",
};

pub(super) static MAP: Key<Section> = Key {
    path: "map",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "From the last step's scores to the anomaly map.",
    example: "map = { sigma = 0.01 }",
};

pub(super) static MAP_SIGMA: Key<Number> = Key {
    path: "map.sigma",
    takes: Number { min: 0.0, max: 0.25 },
    // The papers blur with sigma 4 at 224 pixels.
    absent: Means(4.0 / 224.0, "4/224"),
    unit: "share of the scan's shorter side",
    doc: "Sigma of the Gaussian that smooths the map; 0 leaves it as it is.",
    example: "sigma = 0.01",
};

pub(super) static MAP_SMALLEST_AREA: Key<Number> = Key {
    path: "map.smallest_area",
    takes: Number { min: 0.0, max: 1e12 },
    absent: Is(0.0),
    unit: "mm^2",
    doc: "The smallest defect that counts, as area of the surface: a peak of the map counts from the level at which the region around it is this large. Takes organised points.",
    example: "smallest_area = 0.5",
};

pub(super) static MAP_SMALLEST_PIXELS: Key<Integer> = Key {
    path: "map.smallest_pixels",
    takes: Integer { min: 0, max: 1 << 32 },
    absent: Is(0),
    unit: "pixels",
    doc: "The same in pixels of the scan. Where both are given, both must be reached.",
    example: "smallest_pixels = 12",
};

pub(super) static DECIDE: Key<Section> = Key {
    path: "decide",
    takes: Section,
    absent: Is(EMPTY),
    unit: "",
    doc: "From score to verdict.",
    example: "decide = { false_reject_rate = 0.01, confidence = 0.95 }",
};

pub(super) static DECIDE_FALSE_REJECT_RATE: Key<Number> = Key {
    path: "decide.false_reject_rate",
    takes: Number { min: 1e-6, max: 0.5 },
    absent: Is(0.05),
    unit: "share of good parts",
    doc: "The largest share of good parts that may be rejected. A rate a takes at least 1/a - 1 calibration scans: 19 for 0.05, 99 for 0.01.",
    example: "false_reject_rate = 0.01",
};

pub(super) static DECIDE_CONFIDENCE: Key<Maybe<Number>> = Key {
    path: "decide.confidence",
    takes: Maybe(Number { min: 0.5, max: 0.999_999 }),
    absent: Means(None, "none: the rate holds on average over draws of the calibration scans"),
    unit: "probability",
    doc: "The rate is to hold with this confidence, and not on average only. That takes more calibration scans: at 0.95, 59 for a rate of 0.05 and 299 for 0.01.",
    example: "confidence = 0.95",
};

pub(super) static DECIDE_ON_TOO_FEW: Key<Word<OnTooFew>> = Key {
    path: "decide.on_too_few",
    takes: Word(&[("error", OnTooFew::Error), ("warn", OnTooFew::Warn)]),
    absent: Is(OnTooFew::Error),
    unit: "",
    doc: "What happens where the calibration scans are too few for the rate. `error`: there is no model; `warn`: the best rate that they can hold is taken instead, and recorded.",
    example: "on_too_few = \"warn\"",
};

pub(super) static DECIDE_REVIEW: Key<Maybe<Number>> = Key {
    path: "decide.review",
    takes: Maybe(Number { min: 1e-6, max: 0.9 }),
    absent: Means(None, "none: a part is `ok` or `ng`"),
    unit: "share of good parts",
    doc: "A second rate, greater than `false_reject_rate`: parts between the two thresholds get the verdict `review`, for a person to look at.",
    example: "review = 0.2",
};

/// Bounds of `false_reject_rate`, `confidence` and `review`, for budgets that are given on the command line.
pub(crate) fn budget_bounds() -> [std::ops::RangeInclusive<f64>; 3] {
    let of = |n: &Number| n.min..=n.max;
    [of(&DECIDE_FALSE_REJECT_RATE.takes), of(&DECIDE_CONFIDENCE.takes.0), of(&DECIDE_REVIEW.takes.0)]
}

pub(super) static DECIDE_SCORE: Key<Word<Statistic>> = Key {
    path: "decide.score",
    takes: Word(&[("map", Statistic::Map), ("image", Statistic::Image)]),
    absent: Is(Statistic::Map),
    unit: "",
    doc: "The number that the verdict follows from: the maximum of the anomaly map, or the last step's own image score, as some papers define one.",
    example: "score = \"image\"",
};

pub(super) static DECIDE_FOLDS: Key<Integer> = Key {
    path: "decide.folds",
    takes: Integer { min: 2, max: 20 },
    absent: Is(3),
    unit: "folds",
    doc: "Each detector is fitted this many times more, each time without a part of the training scans: their scores set the common scale. More folds take longer and are nearer to the model that runs.",
    example: "folds = 5",
};
