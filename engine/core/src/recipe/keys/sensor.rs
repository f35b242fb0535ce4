//! Keys of a sensor: what its files hold, how lengths are stored, what counts as a measurement, where it stands.

use super::super::domain::{Maybe, Number, Numbers, SectionOr, Text, Word};
use super::super::key::{
    Absent::{Is, Means, Wrong},
    Key,
};
use super::EMPTY;
use assay_data::{Missing, SensorKind, Unit};

pub(in super::super) static SENSOR: Key<SectionOr> = Key {
    path: "sensors.<name>",
    takes: SectionOr("files"),
    absent: Is(EMPTY),
    unit: "",
    doc: "One sensor.",
    example: "height = { files = \"xyz/{id}.tiff\", kind = \"xyz\", unit = \"mm\" }",
};

pub(in super::super) static SENSOR_FILES: Key<Text> = Key {
    path: "sensors.<name>.files",
    takes: Text { pattern: Some(r"\{id\}") },
    absent: Wrong("is missing, for example \"rgb/{id}.png\""),
    unit: "",
    doc: "Where its files are, relative to a folder of scans. `{id}` stands for the scan's id, which joins the files of one scan; `.*` at the end for any ending that the kind knows.",
    example: "files = \"rgb/{id}.png\"",
};

pub(in super::super) static SENSOR_KIND: Key<Maybe<Word<SensorKind>>> = Key {
    path: "sensors.<name>.kind",
    takes: Maybe(Word(&[
        ("rgb", SensorKind::Rgb),
        ("gray", SensorKind::Gray),
        ("xyz", SensorKind::Xyz),
        ("depth", SensorKind::Depth),
        ("points", SensorKind::Points),
    ])),
    absent: Means(
        None,
        "by the ending: `rgb` for png, jpg, bmp and `.*`, `xyz` for tiff, `points` for ply and pcd",
    ),
    unit: "",
    doc: "What the files hold: a colour or grey image, x, y and z of every pixel, the depth of every pixel, or a cloud of points. A depth image with a `camera` becomes points: steps take it as `xyz`.",
    example: "kind = \"gray\"",
};

pub(in super::super) static SENSOR_UNIT: Key<Word<Unit>> = Key {
    path: "sensors.<name>.unit",
    takes: Word(&[("m", Unit::M), ("mm", Unit::Mm), ("um", Unit::Um)]),
    absent: Is(Unit::M),
    unit: "",
    doc: "The unit that lengths are stored in: metres, millimetres or micrometres. Images have none.",
    example: "unit = \"mm\"",
};

pub(in super::super) static SENSOR_SCALE: Key<Number> = Key {
    path: "sensors.<name>.scale",
    takes: Number { min: 1e-9, max: 1e9 },
    absent: Is(1.0),
    unit: "units a stored step",
    doc: "What one step of a stored length is worth, for cameras that store whole numbers.",
    example: "scale = 0.1",
};

pub(in super::super) static SENSOR_OFFSET: Key<Number> = Key {
    path: "sensors.<name>.offset",
    takes: Number { min: -1e9, max: 1e9 },
    absent: Is(0.0),
    unit: "units",
    doc: "Added to each depth after scaling: depth = stored * scale + offset.",
    example: "offset = 250.0",
};

pub(in super::super) static SENSOR_INVALID: Key<Maybe<Number>> = Key {
    path: "sensors.<name>.invalid",
    takes: Maybe(Number { min: -f32::MAX as f64, max: f32::MAX as f64 }),
    absent: Means(None, "none beside 0 and what is not finite"),
    unit: "as stored",
    doc: "A stored depth, or z, that means that nothing was measured. Zero (of points: 0, 0, 0), NaN and infinities always mean that.",
    example: "invalid = 65535",
};

pub(in super::super) static SENSOR_SATURATED: Key<Word<bool>> = Key {
    path: "sensors.<name>.saturated",
    takes: Word(&[("keep", false), ("invalid", true)]),
    absent: Is(false),
    unit: "",
    doc: "Whether pixels of an image of which any channel is at its highest value count as measured. `invalid`: they are neither learned nor scored.",
    example: "saturated = \"invalid\"",
};

pub(in super::super) static SENSOR_MISSING: Key<Word<Missing>> = Key {
    path: "sensors.<name>.missing",
    takes: Word(&[("refuse", Missing::Refuse), ("degrade", Missing::Degrade)]),
    absent: Is(Missing::Refuse),
    unit: "",
    doc: "What happens to a scan of which this sensor measured nothing. `refuse`: it is `invalid`; `degrade`: steps that need the sensor are left out, the rest is decided by thresholds of its own, and the result says so.",
    example: "missing = \"degrade\"",
};

pub(in super::super) static SENSOR_POSE: Key<Maybe<Numbers>> = Key {
    path: "sensors.<name>.pose",
    takes: Maybe(Numbers { count: 12 }),
    absent: Means(None, "the station's frame"),
    unit: "translations in metres",
    doc: "Where the sensor stands: the three rows of [R | t], one after the other, which take a point from the sensor's frame into the station's. Sensors with one pose share a view.",
    example: "pose = [1, 0, 0, 0.1, 0, 1, 0, 0, 0, 0, 1, 0]",
};

pub(in super::super) static CAMERA: Key<Maybe<SectionOr>> = Key {
    path: "sensors.<name>.camera",
    takes: Maybe(SectionOr("file")),
    absent: Means(None, "not known"),
    unit: "",
    doc: "The sensor's intrinsics: a calibration file, or fx, fy, cx, cy and the lens. Needed to make points of a depth image, and to relate sensors that do not share a field of view.",
    example: "camera = { fx = 610.0, fy = 610.0, cx = 319.5, cy = 239.5 }",
};

pub(in super::super) static CAMERA_FILE: Key<Maybe<Text>> = Key {
    path: "sensors.<name>.camera.file",
    takes: Maybe(Text { pattern: None }),
    absent: Means(None, "none"),
    unit: "",
    doc: "A calibration file, relative to the recipe's folder: JSON as MVTec 3D-AD has it (HALCON's area-scan camera with the division model) or as Open3D writes a pinhole camera. A model keeps what it says.",
    example: "file = \"camera_parameters.json\"",
};

const FOCAL: Maybe<Number> = Maybe(Number { min: 1e-6, max: 1e9 });
const CENTRE: Maybe<Number> = Maybe(Number { min: -1e9, max: 1e9 });

pub(in super::super) static CAMERA_FX: Key<Maybe<Number>> = Key {
    path: "sensors.<name>.camera.fx",
    takes: FOCAL,
    absent: Means(None, "as in `file`"),
    unit: "pixels",
    doc: "Focal length in pixel widths.",
    example: "fx = 610.0",
};

pub(in super::super) static CAMERA_FY: Key<Maybe<Number>> = Key {
    path: "sensors.<name>.camera.fy",
    takes: FOCAL,
    absent: Means(None, "as in `file`"),
    unit: "pixels",
    doc: "Focal length in pixel heights.",
    example: "fy = 610.0",
};

pub(in super::super) static CAMERA_CX: Key<Maybe<Number>> = Key {
    path: "sensors.<name>.camera.cx",
    takes: CENTRE,
    absent: Means(None, "as in `file`"),
    unit: "pixels",
    doc: "Column of the principal point; the centre of the first pixel is 0.",
    example: "cx = 319.5",
};

pub(in super::super) static CAMERA_CY: Key<Maybe<Number>> = Key {
    path: "sensors.<name>.camera.cy",
    takes: CENTRE,
    absent: Means(None, "as in `file`"),
    unit: "pixels",
    doc: "Row of the principal point; the centre of the first pixel is 0.",
    example: "cy = 239.5",
};

pub(in super::super) static CAMERA_DIVISION: Key<Maybe<Number>> = Key {
    path: "sensors.<name>.camera.division",
    takes: Maybe(Number { min: -1e6, max: 1e6 }),
    absent: Means(None, "no distortion"),
    unit: "",
    doc: "Distortion by the division model, in normalised coordinates: HALCON's kappa times the squared focal length, both in metres.",
    example: "division = -0.2359",
};

pub(in super::super) static CAMERA_BROWN: Key<Maybe<Numbers>> = Key {
    path: "sensors.<name>.camera.brown",
    takes: Maybe(Numbers { count: 5 }),
    absent: Means(None, "no distortion"),
    unit: "",
    doc: "Distortion by Brown's model, as OpenCV has it: k1, k2, p1, p2, k3.",
    example: "brown = [-0.21, 0.06, 0.0002, -0.0004, 0.0]",
};

pub(in super::super) static CAMERA_SIZE: Key<Maybe<Numbers>> = Key {
    path: "sensors.<name>.camera.size",
    takes: Maybe(Numbers { count: 2 }),
    absent: Means(None, "that of the sensor's files"),
    unit: "pixels",
    doc: "Width and height of the pictures that the camera was calibrated for. Files of another resolution of the same view are allowed for.",
    example: "size = [640, 480]",
};
