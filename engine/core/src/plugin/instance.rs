//! One instance of a method in this process: the safe side of the boundary. Everything a plugin returns is checked here.
#![allow(unsafe_code, reason = "the ABI: calling a plugin's functions")]

use super::descriptor::{MethodInfo, ParamValue};
use super::library::Method;
use super::raw_params::RawParams;
use super::services::{HostTable, Keep, Services, fill_error};
use crate::value::{Cloud, Content, Data, Spec, Value, planes};
use assay_abi as abi;
use assay_data::{Frame, Grid, Mask};
use ndarray::{Array2, Array3};
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Mutex;

/// Which pass of which fit begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitPass {
    /// 0, 1, ...
    pub pass: u32,
    /// 0 = all training scans; 1..=folds = the fit that leaves this fold out.
    pub fold: u32,
    /// Folds.
    pub folds: u32,
    /// Scans the pass will bring.
    pub samples: usize,
    /// First pass after an interrupted fit was loaded.
    pub resumed: bool,
}

/// Why a method did not do what it was asked: whether it was cancelled, what it is about, and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The host asked to stop.
    pub cancelled: bool,
    /// The parameter that is wrong, where it is one.
    pub parameter: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { cancelled: false, parameter: None, message: message.into() }
    }

    /// A failure of a built-in step: its input or its network does not fit.
    pub(crate) fn about_input(message: &str) -> Self {
        Self::new(message)
    }

    /// A failure of a built-in step by one of its parameters.
    pub(crate) fn about_parameter(name: &str, message: String) -> Self {
        Self { parameter: Some(name.to_owned()), ..Self::new(message) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

pub(super) type Outcome<T> = Result<T, Failure>;

/// One input of a step: its port and value.
pub type Bound<'a> = (usize, &'a Value);

/// A method at work in this process.
pub(super) struct Local {
    pub(super) method: Method,
    pub(super) handle: *mut c_void,
    outputs: Vec<Spec>,
    native: (usize, usize),
    /// Held during score where the method does not allow several calls at once.
    alone: Option<Mutex<()>>,
    host: Box<HostTable>,
}

// SAFETY: the ABI lets calls come from different threads; exclusive functions take `&mut self`, score is concurrent or locked.
unsafe impl Send for Local {}
// SAFETY: as above.
unsafe impl Sync for Local {}

/// Runs an ABI function with an error struct and turns its status into a result.
pub(super) fn call(f: impl FnOnce(*mut abi::Error) -> abi::Status) -> Outcome<()> {
    let mut error = abi::Error {
        struct_size: abi::size_of::<abi::Error>(),
        code: abi::OK,
        subject: [0; 128],
        message: [0; 1024],
    };
    let status = f(&mut error);
    if status == abi::OK {
        return Ok(());
    }
    let text = |chars: &[c_char]| {
        let bytes: Vec<u8> = chars.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (subject, mut message) = (text(&error.subject), text(&error.message));
    if message.is_empty() {
        message = format!("failed with status {status} and no message");
    }
    let parameter = (status == abi::ERR_PARAMETER && !subject.is_empty()).then_some(subject.clone());
    if !subject.is_empty() && parameter.is_none() {
        message = format!("{subject}: {message}");
    }
    Err(Failure { cancelled: status == abi::CANCELLED, parameter, message })
}

fn to_frame(f: Frame) -> abi::Frame {
    abi::Frame { offset_x: f.offset_x, offset_y: f.offset_y, stride_x: f.stride_x, stride_y: f.stride_y }
}

impl Local {
    /// Creates an instance of `method` with one value for each declared parameter, and plans it for `inputs`
    /// (with their ports) of scans of `native` size.
    ///
    /// # Errors
    /// What the method says of its parameters or inputs, or what it breaks of the ABI.
    pub(super) fn new(
        method: &Method,
        who: &str,
        seed: u64,
        services: &Services,
        params: &[ParamValue],
        inputs: &[(usize, Spec)],
        native: (usize, usize),
    ) -> Outcome<Self> {
        let host = HostTable::new(who, seed, services);
        let raw = RawParams::new(&method.info.params, params);
        let pointers = raw.pointers();
        let mut handle = std::ptr::null_mut();
        let create = method.table().create.ok_or_else(|| Failure::new("has no create function"))?;
        // SAFETY: all pointers are valid for the call; the host table is kept beside the instance.
        call(|e| unsafe {
            create(method.own_table(), &host.raw, pointers.as_ptr(), pointers.len() as u32, &mut handle, e)
        })?;
        if handle.is_null() {
            return Err(Failure::new("create returned no instance"));
        }
        let alone = (!method.info.concurrent).then(|| Mutex::new(()));
        let mut this = Self { method: method.clone(), handle, outputs: Vec::new(), native, alone, host };
        this.plan(inputs)?;
        Ok(this)
    }

    fn plan(&mut self, inputs: &[(usize, Spec)]) -> Outcome<()> {
        let names: Vec<CString> =
            inputs.iter().map(|(_, s)| CString::new(s.name.as_str()).unwrap_or_default()).collect();
        let native = (self.native.0 as i64, self.native.1 as i64);
        let specs: Vec<abi::Spec> =
            inputs.iter().zip(&names).map(|((port, s), name)| raw_spec(*port, s, native, name)).collect();
        let pointers: Vec<*const abi::Spec> = specs.iter().map(std::ptr::from_ref).collect();
        let blank = Spec {
            content: Content::Features,
            channels: 0,
            size: Some((0, 0)),
            frame: Frame::NATIVE,
            range: None,
            name: String::new(),
        };
        let mut outputs: Vec<abi::Spec> = (0..self.info().outputs.len())
            .map(|i| abi::Spec { name: std::ptr::null(), ..raw_spec(i, &blank, native, c"") })
            .collect();
        let out: Vec<*mut abi::Spec> = outputs.iter_mut().map(std::ptr::from_mut).collect();
        let plan = self.method.table().plan.ok_or_else(|| Failure::new("has no plan function"))?;
        // SAFETY: all pointers are valid for the call.
        call(|e| unsafe {
            plan(self.handle, pointers.as_ptr(), pointers.len() as u32, out.as_ptr(), out.len() as u32, e)
        })?;
        self.outputs = outputs
            .iter()
            .zip(&self.info().outputs)
            .map(|(raw, port)| planned(raw, port))
            .collect::<Outcome<_>>()?;
        Ok(())
    }

    fn info(&self) -> &MethodInfo {
        &self.method.info
    }

    /// The planned outputs.
    pub(super) fn outputs(&self) -> &[Spec] {
        &self.outputs
    }

    /// Where the passes to come keep what they have come to.
    pub(super) fn keep_in(&self, place: Option<Box<dyn Keep>>) {
        *self.host.place() = place;
    }

    /// Starts a pass.
    ///
    /// # Errors
    /// What the method says.
    pub(super) fn fit_begin(&mut self, fit: FitPass) -> Outcome<()> {
        let raw = abi::Fit {
            struct_size: abi::size_of::<abi::Fit>(),
            pass: fit.pass,
            fold: fit.fold,
            n_folds: fit.folds,
            n_samples: fit.samples as u64,
            resumed: u32::from(fit.resumed),
            reserved: 0,
        };
        let begin = self.method.table().fit_begin.ok_or_else(|| Failure::new("cannot be fitted"))?;
        // SAFETY: [exclusive] by `&mut self`.
        call(|e| unsafe { begin(self.handle, &raw, e) })
    }

    /// Brings one training scan.
    ///
    /// # Errors
    /// What the method says.
    pub(super) fn fit_add(&mut self, id: &str, index: usize, inputs: &[Bound<'_>]) -> Outcome<()> {
        let add = self.method.table().fit_add.ok_or_else(|| Failure::new("cannot be fitted"))?;
        let handle = self.handle;
        // SAFETY: [exclusive] by `&mut self`; the sample is valid for the call.
        with_sample(id, index, inputs, |sample| call(|e| unsafe { add(handle, sample, e) }))
    }

    /// Ends the pass; `true` = the method wants another one.
    ///
    /// # Errors
    /// What the method says.
    pub(super) fn fit_end(&mut self) -> Outcome<bool> {
        let end = self.method.table().fit_end.ok_or_else(|| Failure::new("cannot be fitted"))?;
        let mut next = abi::FIT_DONE;
        // SAFETY: [exclusive] by `&mut self`.
        call(|e| unsafe { end(self.handle, &mut next, e) })?;
        Ok(next == abi::FIT_ANOTHER_PASS)
    }

    /// Scores one scan of native size `native`.
    ///
    /// # Errors
    /// What the method says; an output that is missing, of another shape than planned, or not finite.
    pub(super) fn score(
        &self,
        id: &str,
        inputs: &[Bound<'_>],
        native: (usize, usize),
    ) -> Outcome<Vec<Value>> {
        let score = self.method.table().score.ok_or_else(|| Failure::new("has no score function"))?;
        let mut sink =
            Sink { specs: &self.outputs, ports: self.outputs.iter().map(|_| Parts::default()).collect() };
        let outputs = abi::Outputs {
            struct_size: abi::size_of::<abi::Outputs>(),
            n_outputs: self.outputs.len() as u32,
            ctx: (&raw mut sink).cast(),
            alloc: Some(alloc),
            set_image_score: Some(set_image_score),
        };
        let lock = self.alone.as_ref().map(|m| m.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        self.host.locked.store(lock.is_some(), std::sync::atomic::Ordering::Relaxed);
        with_sample(id, 0, inputs, |sample| {
            let (samples, sinks) = ([std::ptr::from_ref(sample)], [std::ptr::from_ref(&outputs)]);
            // SAFETY: [concurrent], or alone by the lock; all pointers are valid for the call.
            call(|e| unsafe { score(self.handle, samples.as_ptr(), sinks.as_ptr(), 1, e) })
        })?;
        drop(lock);
        let scale =
            (native.0 as f64 / self.native.0.max(1) as f64, native.1 as f64 / self.native.1.max(1) as f64);
        let ports = self.info().outputs.iter().zip(&self.outputs).zip(sink.ports);
        ports.map(|((port, spec), parts)| parts.into_value(&port.name, spec, scale)).collect()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(destroy) = self.method.table().destroy {
            // SAFETY: the handle came from create and is destroyed once.
            unsafe { destroy(self.handle) };
        }
    }
}

fn raw_spec(port: usize, s: &Spec, native: (i64, i64), name: &CStr) -> abi::Spec {
    let (min, max) = s.range.unwrap_or((f64::NAN, f64::NAN));
    abi::Spec {
        struct_size: abi::size_of::<abi::Spec>(),
        port: port as u32,
        content: s.content.bit(),
        layout: if s.size.is_some() { abi::LAYOUT_GRID } else { abi::LAYOUT_CLOUD },
        channels: s.channels as i64,
        rows: s.size.map_or(-1, |(r, _)| r as i64),
        cols: s.size.map_or(1, |(_, c)| c as i64),
        native_rows: native.0,
        native_cols: native.1,
        value_min: min,
        value_max: max,
        frame: to_frame(s.frame),
        name: name.as_ptr(),
    }
}

/// What the method planned for one output, checked.
fn planned(raw: &abi::Spec, port: &super::descriptor::PortInfo) -> Outcome<Spec> {
    const MOST_CELLS: i64 = 1 << 28;
    let bad = |what: &str| Failure::new(format!("planned output `{}` {what}", port.name));
    let cloud = raw.layout == abi::LAYOUT_CLOUD;
    if (cloud && !port.cloud) || (!cloud && !port.grid) {
        return Err(bad("in a layout that its descriptor excludes"));
    }
    let (rows, cols) = if cloud { (1, 1) } else { (raw.rows, raw.cols) };
    let cells = raw.channels.checked_mul(rows).and_then(|n| n.checked_mul(cols));
    if raw.channels < 1 || rows < 1 || cols < 1 || cells.is_none_or(|n| n > MOST_CELLS) {
        return Err(bad(&format!("with shape [{}, {}, {}]", raw.channels, raw.rows, raw.cols)));
    }
    let f = raw.frame;
    let frame =
        Frame { offset_x: f.offset_x, offset_y: f.offset_y, stride_x: f.stride_x, stride_y: f.stride_y };
    let finite = frame.offset_x.is_finite() && frame.offset_y.is_finite();
    let positive = |s: f64| s.is_finite() && s > 0.0;
    let somewhere = finite && positive(f.stride_x) && positive(f.stride_y);
    if !cloud && !somewhere {
        return Err(bad("in a place that is not finite"));
    }
    let content = port.content[0];
    if content == Content::Scores && raw.channels != 1 {
        return Err(bad(&format!("with {} channels; scores have one", raw.channels)));
    }
    Ok(Spec {
        content,
        channels: raw.channels as usize,
        size: (!cloud).then_some((raw.rows as usize, raw.cols as usize)),
        frame,
        range: (raw.value_min.is_finite() && raw.value_max > raw.value_min && raw.value_max.is_finite())
            .then_some((raw.value_min, raw.value_max)),
        name: port.name.clone(),
    })
}

/// Output memory of one score call.
struct Sink<'a> {
    specs: &'a [Spec],
    ports: Vec<Parts>,
}

#[derive(Default)]
struct Parts {
    values: Option<(Vec<usize>, Vec<f32>)>,
    valid: Option<Vec<u8>>,
    positions: Option<Vec<f32>>,
    image_score: Option<f64>,
}

impl Parts {
    /// The value, checked against what was planned; its frame scaled from the planned native size to this scan's.
    fn into_value(self, port: &str, spec: &Spec, (scale_y, scale_x): (f64, f64)) -> Outcome<Value> {
        let bad = |what: String| Failure::new(format!("output `{port}`: {what}"));
        let (shape, values) = self.values.ok_or_else(|| bad("was not written".into()))?;
        let cells = spec.size.map_or(shape[0], |(r, c)| r * c);
        if self.valid.as_ref().is_some_and(|v| v.len() != cells) {
            return Err(bad(format!("its validity mask is not of {cells} cells")));
        }
        let is_valid = |cell: usize| self.valid.as_ref().is_none_or(|v| v[cell] != 0);
        let cell_of = |i: usize| if spec.size.is_some() { i % cells } else { i / spec.channels };
        if let Some(i) = (0..values.len()).find(|&i| !values[i].is_finite() && is_valid(cell_of(i))) {
            return Err(bad(format!("cell {} is {} though it is marked valid", cell_of(i), values[i])));
        }
        let image_score = match (spec.content, self.image_score) {
            (Content::Scores, None) => return Err(bad("has no image score".into())),
            (_, score) => score.unwrap_or(f64::NAN),
        };
        let mut values = values;
        if self.valid.is_some() {
            // Where a score is not valid it is 0, whatever the method left there. Features may go on there, so that a network
            // that looks at them sees no specks.
            let kept = |v: f32| spec.content == Content::Features && v.is_finite();
            for i in 0..values.len() {
                if !is_valid(cell_of(i)) && !kept(values[i]) {
                    values[i] = 0.0;
                }
            }
        }
        let shape_error = |e: ndarray::ShapeError| bad(e.to_string());
        let data = if let Some((rows, cols)) = spec.size {
            let valid = self
                .valid
                .map(|v| Mask::from_shape_vec((rows, cols), v.into_iter().map(|b| b != 0).collect()));
            let f = spec.frame;
            Data::Grid(Grid {
                values: Array3::from_shape_vec((spec.channels, rows, cols), values).map_err(shape_error)?,
                valid: valid.transpose().map_err(shape_error)?,
                frame: Frame {
                    offset_x: f.offset_x * scale_x,
                    offset_y: f.offset_y * scale_y,
                    stride_x: f.stride_x * scale_x,
                    stride_y: f.stride_y * scale_y,
                },
            })
        } else {
            let positions = self.positions.ok_or_else(|| bad("has no positions".into()))?;
            if positions.len() != cells * 3 || positions.iter().any(|p| !p.is_finite()) {
                return Err(bad(format!("{} positions for {cells} points", positions.len() / 3)));
            }
            Data::Cloud(Cloud {
                positions: Array2::from_shape_vec((cells, 3), positions).map_err(shape_error)?,
                values: Array2::from_shape_vec((cells, spec.channels), values).map_err(shape_error)?,
                valid: self.valid.map(|v| v.into_iter().map(|b| b != 0).collect()),
            })
        };
        Ok(Value { content: spec.content, data, image_score })
    }
}

unsafe extern "C" fn alloc(
    ctx: *mut c_void,
    port: u32,
    part: u32,
    dtype: u32,
    shape: *const i64,
    ndim: u32,
    data: *mut *mut c_void,
    error: *mut abi::Error,
) -> abi::Status {
    const MOST_POINTS: i64 = 1 << 26;
    const MOST_VALUES: i64 = 1 << 30;
    if shape.is_null() || data.is_null() {
        // SAFETY: the method's error struct.
        return unsafe {
            fill_error(
                error,
                abi::ERR_INPUT,
                "",
                "alloc was called without a shape or a place for its memory",
            )
        };
    }
    // SAFETY: `ctx` is the sink in `score`; the method passes `ndim` extents.
    let (sink, shape) =
        unsafe { (&mut *ctx.cast::<Sink<'_>>(), std::slice::from_raw_parts(shape, ndim.min(8) as usize)) };
    // SAFETY: the method's error struct.
    let refuse = |message: &str| unsafe { fill_error(error, abi::ERR_INPUT, "", message) };
    let Some((spec, parts)) = sink.specs.get(port as usize).zip(sink.ports.get_mut(port as usize)) else {
        return refuse(&format!("there is no output {port}"));
    };
    let channels = spec.channels as i64;
    let cells: Vec<i64> = match spec.size {
        Some((r, c)) => vec![r as i64, c as i64],
        None => match shape.first() {
            Some(&n) if (0..=MOST_POINTS).contains(&n) => vec![n],
            _ => return refuse("a cloud's shape starts with its number of points"),
        },
    };
    let (expected, wanted_dtype) = match (part, spec.size) {
        (abi::PART_VALUES, Some(_)) => ([vec![channels], cells].concat(), abi::F32),
        (abi::PART_VALUES, None) => ([cells, vec![channels]].concat(), abi::F32),
        (abi::PART_VALID, _) => (cells, abi::U8),
        (abi::PART_POSITIONS, None) => ([cells, vec![3]].concat(), abi::F32),
        _ => return refuse(&format!("output {port} has no part {part}")),
    };
    if shape != expected || dtype != wanted_dtype {
        return refuse(&format!(
            "output {port}, part {part}: shape {shape:?} was asked for, {expected:?} was planned"
        ));
    }
    let taken = match part {
        abi::PART_VALUES => parts.values.is_some(),
        abi::PART_VALID => parts.valid.is_some(),
        _ => parts.positions.is_some(),
    };
    if taken {
        return refuse(&format!("output {port}, part {part} was allocated before"));
    }
    let Some(len) = expected.iter().try_fold(1i64, |n, &e| n.checked_mul(e)).filter(|&n| n <= MOST_VALUES)
    else {
        return refuse(&format!("output {port}, part {part}: {expected:?} is more than this host gives"));
    };
    fn zeroed<T: Clone + Default>(len: usize) -> Option<Vec<T>> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(len).ok()?;
        memory.resize(len, T::default());
        Some(memory)
    }
    let len = len as usize;
    let pointer: Option<*mut c_void> = match part {
        abi::PART_VALUES => zeroed(len).map(|memory| {
            let shape = expected.iter().map(|&n| n as usize).collect();
            parts.values.insert((shape, memory)).1.as_mut_ptr().cast()
        }),
        abi::PART_VALID => zeroed(len).map(|memory| parts.valid.insert(memory).as_mut_ptr().cast()),
        _ => zeroed(len).map(|memory| parts.positions.insert(memory).as_mut_ptr().cast()),
    };
    let Some(pointer) = pointer else {
        // SAFETY: the method's error struct.
        return unsafe { fill_error(error, abi::ERR_RESOURCE, "", &format!("no memory for {len} values")) };
    };
    // SAFETY: the method's place for the pointer.
    unsafe { *data = pointer };
    abi::OK
}

unsafe extern "C" fn set_image_score(
    ctx: *mut c_void,
    port: u32,
    score: f64,
    error: *mut abi::Error,
) -> abi::Status {
    // SAFETY: `ctx` is the sink in `score`.
    let sink = unsafe { &mut *ctx.cast::<Sink<'_>>() };
    match sink.ports.get_mut(port as usize) {
        Some(parts) if score.is_finite() => {
            parts.image_score = Some(score);
            abi::OK
        }
        // SAFETY: the method's error struct.
        _ => unsafe {
            fill_error(error, abi::ERR_INPUT, "", &format!("image score {score} of output {port}"))
        },
    }
}

/// An input in the form the ABI passes: planes for an image, everything else as it is.
enum Prepared<'a> {
    Grid(Cow<'a, Grid>),
    Cloud(&'a Cloud),
}

/// Calls `body` with the inputs as the ABI wants them.
fn with_sample<T>(id: &str, index: usize, inputs: &[Bound<'_>], body: impl FnOnce(&abi::Sample) -> T) -> T {
    let prepared: Vec<Prepared<'_>> = inputs
        .iter()
        .map(|(_, v)| match &v.data {
            Data::Image(image) => Prepared::Grid(Cow::Owned(planes(image))),
            Data::Grid(g) if g.values.is_standard_layout() => Prepared::Grid(Cow::Borrowed(g)),
            Data::Grid(g) => Prepared::Grid(Cow::Owned(Grid {
                values: g.values.as_standard_layout().into_owned(),
                ..g.clone()
            })),
            Data::Cloud(c) => Prepared::Cloud(c),
        })
        .collect();
    // Shapes and tensors live in vectors that do not grow any more once pointers into them are taken.
    let shapes: Vec<[Vec<i64>; 3]> = prepared
        .iter()
        .map(|p| match p {
            Prepared::Grid(g) => {
                let (c, h, w) = g.values.dim();
                [vec![c as i64, h as i64, w as i64], vec![h as i64, w as i64], Vec::new()]
            }
            Prepared::Cloud(c) => {
                let (n, columns) = (c.positions.nrows() as i64, c.values.ncols() as i64);
                [vec![n, columns], vec![n], vec![n, 3]]
            }
        })
        .collect();
    let tensor = |dtype, shape: &[i64], data: *const c_void| abi::Tensor {
        struct_size: abi::size_of::<abi::Tensor>(),
        dtype,
        device: abi::DEVICE_CPU,
        ndim: shape.len() as u32,
        shape: shape.as_ptr(),
        data,
    };
    // Values, validity (a bool is one byte, 0 or 1), positions.
    let tensors: Vec<(abi::Tensor, Option<abi::Tensor>, Option<abi::Tensor>)> = prepared
        .iter()
        .zip(&shapes)
        .map(|(p, s)| match p {
            Prepared::Grid(g) => (
                tensor(abi::F32, &s[0], g.values.as_ptr().cast()),
                g.valid.as_ref().map(|m| tensor(abi::U8, &s[1], m.as_ptr().cast())),
                None,
            ),
            Prepared::Cloud(c) => (
                tensor(abi::F32, &s[0], c.values.as_ptr().cast()),
                c.valid.as_ref().map(|m| tensor(abi::U8, &s[1], m.as_ptr().cast())),
                Some(tensor(abi::F32, &s[2], c.positions.as_ptr().cast())),
            ),
        })
        .collect();
    let optional = |t: &Option<abi::Tensor>| t.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let values: Vec<abi::Value> = inputs
        .iter()
        .zip(&prepared)
        .zip(&tensors)
        .map(|(((port, v), p), (main, valid, positions))| abi::Value {
            struct_size: abi::size_of::<abi::Value>(),
            port: *port as u32,
            content: v.content.bit(),
            layout: if positions.is_some() { abi::LAYOUT_CLOUD } else { abi::LAYOUT_GRID },
            values: main,
            valid: optional(valid),
            positions: optional(positions),
            frame: to_frame(if let Prepared::Grid(g) = p { g.frame } else { Frame::NATIVE }),
            image_score: v.image_score,
        })
        .collect();
    let pointers: Vec<*const abi::Value> = values.iter().map(std::ptr::from_ref).collect();
    let id = CString::new(id.replace('\0', " ")).unwrap_or_default();
    body(&abi::Sample {
        struct_size: abi::size_of::<abi::Sample>(),
        n_inputs: pointers.len() as u32,
        index: index as u64,
        id: id.as_ptr(),
        inputs: pointers.as_ptr(),
    })
}
