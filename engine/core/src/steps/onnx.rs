//! `onnx`: taps of a network as feature grids.

use super::picture::{Channels, Picture, measured};
use super::tiles::{self, Joined, Tile, Tiles, Tiling};
use crate::error::Result;
use crate::graph::{NetworkFile, OnnxFiles};
use crate::plugin::{Failure, MethodInfo, ParamInfo, ParamKind, ParamValue, PortInfo};
use crate::quantise::Quantisation;
use crate::recipe::{Recipe, StepDecl};
use crate::value::{Content, Data, Spec, Value};
use assay_data::{Frame, Grid};
use assay_inference::{Engine, Session, sha256_hex};
use ndarray::{Array3, ArrayD, Axis, Ix3};
use std::sync::Arc;

/// Id of the method.
pub const ID: &str = "onnx";

/// The images a network takes.
pub(super) fn image_port() -> PortInfo {
    PortInfo {
        name: "image".into(),
        doc: "A colour or grey image, or features of three channels or one with a known range (such as normals or heights)."
            .into(),
        content: vec![Content::Rgb, Content::Gray, Content::Features],
        grid: true,
        cloud: false,
        min_count: 1,
        max_count: Some(1),
    }
}

/// A parameter without a range or choices.
pub(super) fn param(name: &str, kind: ParamKind, default: ParamValue, doc: &str) -> ParamInfo {
    ParamInfo {
        name: name.into(),
        doc: doc.into(),
        unit: String::new(),
        kind,
        default,
        min: None,
        max: None,
        choices: Vec::new(),
    }
}

/// The parameters that every network step has.
pub(super) fn network_params() -> Vec<ParamInfo> {
    let text = |name: &str, default: &str, doc: &str| {
        param(name, ParamKind::String, ParamValue::String(default.into()), doc)
    };
    let list = |name: &str, default: Vec<f64>, doc: &str| {
        param(name, ParamKind::FloatList, ParamValue::FloatList(default), doc)
    };
    let choices = |info: ParamInfo, choices: &[&str]| ParamInfo {
        choices: choices.iter().map(|c| (*c).into()).collect(),
        ..info
    };
    vec![
        text("model", "", "ONNX file, relative to the recipe; empty = the built-in EfficientNet-Lite0."),
        text("sha256", "", "SHA-256 that the ONNX file must have; empty = any."),
        ParamInfo {
            min: Some(16.0),
            max: Some(4096.0),
            unit: "pixels".into(),
            ..param(
                "size",
                ParamKind::IntList,
                ParamValue::IntList(vec![320]),
                "Size of the network's input: one number = the scan's shorter side (the other follows, rounded to 32), or [rows, columns]; empty = the scan's own size, rounded to 32.",
            )
        },
        text("input", "", "The network's image input; empty = its only one."),
        choices(text("layout", "nchw", "Order of the input's axes."), &["nchw", "nhwc"]),
        choices(text("channels", "rgb", "Order of the input's colours."), &["rgb", "bgr"]),
        list("range", vec![0.0, 255.0], "The values that black and white have before `mean` and `std`."),
        list(
            "mean",
            Vec::new(),
            "Subtracted from each channel; empty = nothing (the network normalises itself).",
        ),
        list("std", Vec::new(), "Divides each channel; empty = nothing."),
    ]
}

/// The method's descriptor.
pub fn info() -> MethodInfo {
    let mut params = network_params();
    params.extend(tiles::params());
    params.push(ParamInfo {
        choices: ["f32", "int8"].map(String::from).to_vec(),
        ..param(
            "precision",
            ParamKind::String,
            ParamValue::String("f32".into()),
            "What the network computes in. int8: fitting writes an int8 network by what training scans show, and keeps it if held-out ones are told from defects as well as by f32. For processors with ONNX Runtime.",
        )
    });
    params.push(param(
        "taps",
        ParamKind::StringList,
        ParamValue::StringList(Vec::new()),
        "The network's outputs to use, in this order; empty = all that are feature grids.",
    ));
    MethodInfo {
        id: ID.into(),
        name: "ONNX backbone".into(),
        summary: "Feature grids from the named outputs of an ONNX network, on the scan resized to `size`."
            .into(),
        vendor: "Assay".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        licence: "MIT OR Apache-2.0".into(),
        paper: String::new(),
        deviations: String::new(),
        fitted: false,
        concurrent: true,
        deterministic: true,
        one_fit: false,
        own_threads: false,
        inputs: vec![image_port()],
        outputs: vec![PortInfo {
            name: "taps".into(),
            doc: "One output a tap, named as the network names it.".into(),
            content: vec![Content::Features],
            grid: true,
            cloud: false,
            min_count: 1,
            max_count: None,
        }],
        params,
    }
}

/// A loaded network with the step's settings.
#[derive(Clone)]
pub struct Network {
    session: Arc<Session>,
    /// Names of the outputs in use.
    pub taps: Vec<String>,
    /// The ONNX file's bytes, for the model.
    pub bytes: Arc<[u8]>,
    /// Their SHA-256.
    pub sha256: String,
    /// What the recipe calls it; empty for the built-in one.
    pub file: String,
    size: Vec<i64>,
    input: String,
    nhwc: bool,
    channels: Channels,
    tiling: Tiling,
    /// The recipe asks for int8.
    pub(crate) int8: bool,
    /// How int8 compared with f32, where it was tried.
    pub(crate) quantisation: Option<Quantisation>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("file", &self.file)
            .field("sha256", &self.sha256)
            .field("taps", &self.taps)
            .finish()
    }
}

impl Network {
    /// Reads, checks and loads the network of a step.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] for parameters that do not fit together, taps that the network does not have or a hash that
    /// differs, an ONNX file that cannot be read or that the runtime cannot load.
    pub fn open(
        recipe: &Recipe,
        decl: &StepDecl,
        info: &MethodInfo,
        params: &[ParamValue],
        engine: &Engine,
        files: OnnxFiles<'_>,
    ) -> Result<Self> {
        let get = |name: &str| info.params.iter().position(|p| p.name == name).map(|i| &params[i]);
        let text = |name| if let Some(ParamValue::String(s)) = get(name) { s.clone() } else { String::new() };
        let floats =
            |name| if let Some(ParamValue::FloatList(v)) = get(name) { v.clone() } else { Vec::new() };
        let line =
            |name: &str| decl.params.iter().find(|(k, _)| k == name).map_or(decl.line, |(_, n)| n.line);
        let fail = |key: &str, message: String| {
            recipe.source().error(line(key), format!("steps.{}.{key}", decl.name), message)
        };
        let file = text("model");
        let NetworkFile { bytes, quantisation } =
            files(&decl.name, &file).map_err(|e| fail("model", e.to_string()))?;
        let (sha256, expected) = (sha256_hex(&bytes), text("sha256"));
        // The recipe knows the file that an int8 network was made of.
        let named = quantisation.as_ref().map_or(&sha256, |q| &q.source_sha256);
        if !expected.is_empty() && !expected.eq_ignore_ascii_case(named) {
            return Err(fail(
                "sha256",
                format!("the ONNX file has {named}: it is not the one that this recipe was written for"),
            ));
        }
        let label = if file.is_empty() { "the built-in backbone" } else { &file };
        let session = engine.session_cached(label, &bytes, 1).map_err(|e| fail("model", e.to_string()))?;
        let int8 = text("precision") == "int8";
        if int8 && quantisation.is_none() {
            // Before a fit learns anything; after the runtime has found the file to be sound.
            assay_onnx::quantise::Plan::of(&bytes).map_err(|e| fail("precision", e.to_string()))?;
        }
        let inputs: Vec<&str> = session.inputs().iter().map(|t| t.name.as_str()).collect();
        let input = match (text("input"), inputs.as_slice()) {
            (name, names) if names.contains(&name.as_str()) => name,
            (name, [only]) if name.is_empty() => (*only).to_owned(),
            (_, names) => {
                return Err(fail("input", format!("name one of the network's inputs: {}", names.join(", "))));
            }
        };
        let size = if let Some(ParamValue::IntList(v)) = get("size") { v.clone() } else { Vec::new() };
        if size.len() > 2 {
            return Err(fail(
                "size",
                "give one number, [rows, columns], or [] for the scan's own size".into(),
            ));
        }
        let tiling = Tiling::read(info, params).map_err(|(key, message)| fail(key, message))?;
        let (mean, std) = (floats("mean"), floats("std"));
        for (key, values) in [("mean", &mean), ("std", &std)] {
            if !values.is_empty() && values.len() != 3 {
                return Err(fail(key, format!("give three values (red, green, blue), not {}", values.len())));
            }
        }
        if std.iter().any(|&s| s <= 0.0) {
            return Err(fail("std", "must be greater than 0".into()));
        }
        let range: [f64; 2] = floats("range")
            .try_into()
            .map_err(|_| fail("range", "give two values: black and white".into()))?;
        let all: Vec<&str> = session.outputs().iter().map(|t| t.name.as_str()).collect();
        let wanted = match get("taps") {
            Some(ParamValue::StringList(v)) => v.clone(),
            _ => Vec::new(),
        };
        if let Some(missing) = wanted.iter().find(|t| !all.contains(&t.as_str())) {
            let hint = crate::error::nearest(missing, all.iter().copied());
            return Err(fail(
                "taps",
                format!("the network has no output `{missing}`{hint} It has {}", all.join(", ")),
            ));
        }
        if let Some((_, twice)) = wanted.iter().enumerate().find(|(i, tap)| wanted[..*i].contains(tap)) {
            return Err(fail("taps", format!("`{twice}` is named twice")));
        }
        let taps = if wanted.is_empty() {
            let grid = |t: &&assay_inference::TensorInfo| t.shape.len() == 4;
            session.outputs().iter().filter(grid).map(|t| t.name.clone()).collect()
        } else {
            wanted
        };
        if taps.is_empty() && info.id == ID {
            return Err(fail(
                "taps",
                format!("no output of the network is a feature grid [N,C,h,w]; it has {}", all.join(", ")),
            ));
        }
        Ok(Self {
            session,
            taps,
            bytes,
            sha256,
            file,
            size,
            input,
            nhwc: text("layout") == "nhwc",
            channels: Channels { bgr: text("channels") == "bgr", range, mean, std },
            tiling,
            int8,
            quantisation,
        })
    }

    /// The same settings with another file, of the same inputs and outputs.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn with_file(&self, engine: &Engine, bytes: Arc<[u8]>) -> Result<Self> {
        let session = engine.session_cached(self.session.model(), &bytes, 1)?;
        Ok(Self { session, sha256: sha256_hex(&bytes), bytes, ..self.clone() })
    }

    /// The name of the network's image input.
    pub(crate) fn input(&self) -> &str {
        &self.input
    }

    /// Calls `body` with every array that the network would be run on for a value: one, or one a tile.
    ///
    /// # Errors
    /// Those of resizing and of `body`.
    pub(crate) fn each_input(
        &self,
        value: &Value,
        range: Option<(f64, f64)>,
        planned: (usize, usize),
        mut body: impl FnMut(ArrayD<f32>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let size = self.input_size(planned);
        let picture = Picture::of(value, size)?;
        let part = |rows, cols| self.batch(&picture.part(rows, cols, &self.channels, range));
        match self.tiling.cut(size) {
            None => body(part(0..size.0, 0..size.1)),
            Some(tiles) => tiles.iter().try_for_each(|t| body(part(t.rows, t.cols))),
        }
    }

    /// Runs on so many threads from now on; the results have the same bits.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn use_threads(&mut self, engine: &Engine, threads: usize) -> Result<()> {
        self.session = engine.session_cached(self.session.model(), &self.bytes, threads)?;
        Ok(())
    }

    /// Rows and columns of the network's input for scans of `native` size. It is fixed when the recipe is fitted; a scan
    /// of a slightly different size is brought to it, and its grids lie accordingly.
    pub fn input_size(&self, (rows, cols): (usize, usize)) -> (usize, usize) {
        let whole = |side: usize| ((side as f64 / 32.0).round() as usize).max(1) * 32;
        let short = match self.size[..] {
            [] => return (whole(rows), whole(cols)),
            [short] => short as usize,
            [rows, cols, ..] => return (rows as usize, cols as usize),
        };
        let long = |l: usize, s: usize| {
            let exact = short as f64 * l as f64 / s.max(1) as f64;
            if l == s { short } else { (((exact / 32.0).round() as usize) * 32).max(short) }
        };
        if rows <= cols { (short, long(cols, rows)) } else { (long(rows, cols), short) }
    }

    /// The specs of the taps: of the shapes `[C, h, w]` that are known, or found by running the network once on a blank image
    /// or, where scans are cut into tiles, on a blank tile.
    ///
    /// # Errors
    /// An input that is no image, a tile or a size that does not go with the network's strides, what the runtime says.
    pub fn plan(
        &self,
        input: &Spec,
        native: (usize, usize),
        known: Option<&Vec<[usize; 3]>>,
    ) -> Result<Vec<Spec>, Failure> {
        if input.content == Content::Features && (![1, 3].contains(&input.channels) || input.range.is_none())
        {
            return Err(Failure::about_input(&format!(
                "`{}` has {} channels{}; a network takes images: three channels or one with a known range",
                input.name,
                input.channels,
                if input.range.is_none() { " and no known range" } else { "" }
            )));
        }
        let found;
        let shapes = match known {
            Some(known) if known.len() == self.taps.len() => known,
            _ => {
                let size = self.input_size(native);
                let tiles = self.tiling.cut(size);
                let (rows, cols) = tiles.as_ref().map_or(size, Tiles::size);
                let taps = self.run(&Array3::zeros((3, rows, cols)))?;
                let shape = |(name, tap): (_, &Array3<f32>)| (name, tap.dim().into());
                let shapes: Vec<(&str, [usize; 3])> =
                    self.taps.iter().map(String::as_str).zip(&taps).map(shape).collect();
                found = match tiles {
                    None => shapes.into_iter().map(|(_, shape)| shape).collect(),
                    Some(tiles) => tiles.joined_shapes(&shapes)?,
                };
                &found
            }
        };
        let spec = |(name, &[channels, h, w]): (&String, &[usize; 3])| Spec {
            content: Content::Features,
            channels,
            size: Some((h, w)),
            frame: Frame::NATIVE.resized(native, (h, w)),
            range: None,
            name: name.clone(),
        };
        Ok(self.taps.iter().zip(shapes).map(spec).collect())
    }

    /// The image of a value as the network wants it: `[3, rows, cols]`.
    pub(super) fn image(
        &self,
        value: &Value,
        range: Option<(f64, f64)>,
        size: (usize, usize),
    ) -> Result<Array3<f32>, Failure> {
        Ok(Picture::of(value, size)?.part(0..size.0, 0..size.1, &self.channels, range))
    }

    /// All outputs by name.
    pub(super) fn outputs(&self, image: &Array3<f32>) -> Result<Vec<(String, ArrayD<f32>)>, Failure> {
        self.session
            .run(&[(&self.input, self.batch(image).view())])
            .map_err(|e| Failure::about_input(&e.to_string()))
    }

    /// An image `[3, rows, cols]` as the network's input.
    fn batch(&self, image: &Array3<f32>) -> ArrayD<f32> {
        let image = image.view();
        let image = if self.nhwc { image.permuted_axes([1, 2, 0]) } else { image };
        image.as_standard_layout().into_owned().insert_axis(Axis(0)).into_dyn()
    }

    /// The taps as `[C, h, w]`.
    fn run(&self, image: &Array3<f32>) -> Result<Vec<Array3<f32>>, Failure> {
        let mut outputs = self.outputs(image)?;
        self.taps
            .iter()
            .map(|tap| {
                let at = outputs.iter().position(|(n, _)| n == tap);
                let (_, array) = at.map(|i| outputs.swap_remove(i)).ok_or_else(|| {
                    Failure::about_input(&format!("output `{tap}` is not made of 32-bit floats"))
                })?;
                let shape = array.shape().to_vec();
                let grid = array.index_axis_move(Axis(0), 0).into_dimensionality::<Ix3>();
                grid.map_err(|_| {
                    Failure::about_input(&format!("output `{tap}` has shape {shape:?}, not [1, C, h, w]"))
                })
            })
            .collect()
    }

    /// The taps of a picture that is cut, each as `[C, rows, columns]`. One tile at a time is in memory beside the taps.
    fn run_tiles(
        &self,
        tiles: &Tiles,
        part: impl Fn(&Tile) -> Array3<f32>,
    ) -> Result<Vec<Array3<f32>>, Failure> {
        let mut joined: Vec<Joined> = Vec::with_capacity(self.taps.len());
        for tile in tiles.iter() {
            let taps = self.run(&part(&tile))?;
            if joined.is_empty() {
                let new = |(name, tap): (&String, &Array3<f32>)| Joined::new(tiles, name, tap.dim());
                joined = self.taps.iter().zip(&taps).map(new).collect::<Result<_, Failure>>()?;
            }
            joined.iter_mut().zip(&taps).try_for_each(|(joined, tap)| joined.add(&tile, tap))?;
        }
        Ok(joined.into_iter().map(Joined::finish).collect())
    }

    /// The taps of one scan.
    ///
    /// # Errors
    /// What the runtime or the resizing says.
    pub fn extract(
        &self,
        value: &Value,
        range: Option<(f64, f64)>,
        planned: (usize, usize),
        native: (usize, usize),
    ) -> Result<Vec<Value>, Failure> {
        let size = self.input_size(planned);
        let taps = match self.tiling.cut(size) {
            None => self.run(&self.image(value, range, size)?)?,
            Some(tiles) => {
                let picture = Picture::of(value, size)?;
                self.run_tiles(&tiles, |tile| {
                    picture.part(tile.rows.clone(), tile.cols.clone(), &self.channels, range)
                })?
            }
        };
        taps.into_iter()
            .map(|values| {
                let size = (values.dim().1, values.dim().2);
                let frame = Frame::NATIVE.resized(native, size);
                let grid = Grid { values, valid: measured(value, size)?, frame };
                Ok(Value { content: Content::Features, data: Data::Grid(grid), image_score: f64::NAN })
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
