//! Calls a method as a host does, with memory that notices where it writes.
#![allow(unsafe_code, reason = "the ABI: a plugin's functions and the tables they are given")]

use crate::memory::{Buffer, Guard};
use crate::scans::{Form, NATIVE, Scan};
use crate::streams::{Source, Target};
use assay_abi as abi;
use assay_core::plugin::{HostTable, Method, ParamValue, RawParams, Services};
use std::ffi::{CString, c_char, c_void};
use std::sync::{Mutex, PoisonError};

/// More passes than a fit may take.
const MOST_PASSES: u32 = 64;

/// The optional services of a host, in the order of [`Setting::without`].
pub(crate) const SERVICES: [&str; 7] =
    ["get_extension", "log", "parallel_for", "progress", "scratch", "inference", "keep and kept"];

/// Which of [`SERVICES`] runs networks.
pub(crate) const INFERENCE: usize = 5;

/// What an instance is made with.
#[derive(Clone)]
pub(crate) struct Setting {
    /// Values of the first parameters; of all of them, except where a check leaves some out.
    pub(crate) params: Vec<ParamValue>,
    pub(crate) seed: u64,
    pub(crate) services: Services,
    /// Which of [`SERVICES`] the host does not offer.
    pub(crate) without: [bool; SERVICES.len()],
    pub(crate) guard: Guard,
}

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The function.
    pub(crate) call: &'static str,
    pub(crate) status: abi::Status,
    pub(crate) subject: String,
    pub(crate) message: String,
    /// What is wrong with the error itself.
    pub(crate) complaint: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = if self.subject.is_empty() { String::new() } else { format!("{}: ", self.subject) };
        write!(f, "{} said \"{about}{}\" (status {})", self.call, self.message, self.status)
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}

pub(crate) type Answer<T> = Result<T, Refusal>;

/// A method at work.
pub(crate) struct Life {
    method: Method,
    handle: *mut c_void,
    planned: Vec<abi::Spec>,
    guard: Guard,
    /// What it did to memory that is not its own.
    complaints: Mutex<Vec<String>>,
    // The plugin's host table, and what its pointers lead into.
    _raw: Box<abi::Host>,
    _host: Box<HostTable>,
}

// SAFETY: only `score` of a method that is flagged concurrent is called from several threads at once.
unsafe impl Sync for Life {}
// SAFETY: calls may come from different threads.
unsafe impl Send for Life {}

fn call(name: &'static str, f: impl FnOnce(*mut abi::Error) -> abi::Status) -> Answer<()> {
    crate::notes::call(name);
    // Text that was never written is seen; the host's own errors begin empty.
    let mut error = abi::Error {
        struct_size: abi::size_of::<abi::Error>(),
        code: -1,
        subject: [0; 128],
        message: [0; 1024],
    };
    let status = f(&mut error);
    if status == abi::OK {
        return Ok(());
    }
    let text = |chars: &[c_char]| {
        let bytes: Vec<u8> = chars.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
        (bytes.len() == chars.len(), String::from_utf8(bytes))
    };
    let ((endless_subject, subject), (endless, message)) = (text(&error.subject), text(&error.message));
    let complaint = if endless || endless_subject {
        Some("the error's text does not end: a NUL belongs behind it".to_owned())
    } else if subject.is_err() || message.is_err() {
        Some("the error's text is not UTF-8".to_owned())
    } else if message.as_ref().is_ok_and(String::is_empty) {
        Some("the error has no message".to_owned())
    } else if error.code != status {
        Some(format!("the error's code is {}, the returned status {status}", error.code))
    } else if !(abi::OK..=abi::CANCELLED).contains(&status) {
        Some(format!("{status} is no status of the ABI"))
    } else {
        None
    };
    let lossy = |t: Result<String, std::string::FromUtf8Error>| {
        t.unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    };
    Err(Refusal { call: name, status, subject: lossy(subject), message: lossy(message), complaint })
}

/// A function that the descriptor was seen to have.
fn there<T>(function: Option<T>, name: &'static str) -> Answer<T> {
    function.ok_or_else(|| Refusal {
        call: name,
        status: abi::ERR_UNSUPPORTED,
        subject: String::new(),
        message: "the function is missing".into(),
        complaint: None,
    })
}

impl Life {
    /// Creates an instance; what it was told of its parameters is gone when this returns.
    pub(crate) fn create(method: &Method, setting: &Setting) -> Answer<Self> {
        let host = HostTable::new("validator", setting.seed, &setting.services);
        let mut raw = Box::new(*host.table());
        for (i, _) in setting.without.iter().enumerate().filter(|(_, absent)| **absent) {
            match i {
                0 => raw.get_extension = None,
                1 => raw.log = None,
                2 => raw.parallel_for = None,
                3 => raw.progress = None,
                4 => raw.scratch = None,
                INFERENCE => raw.inference = std::ptr::null(),
                _ => (raw.keep, raw.kept) = (None, None),
            }
        }
        let params = RawParams::new(&method.info.params, &setting.params);
        let pointers = params.pointers();
        let create = there(method.table().create, "create")?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call; the host's table is kept beside the instance.
        call("create", |e| unsafe {
            create(method.own_table(), &*raw, pointers.as_ptr(), pointers.len() as u32, &mut handle, e)
        })?;
        if handle.is_null() {
            let message = "it returned no instance and no error".to_owned();
            let (status, subject) = (abi::ERR_INTERNAL, String::new());
            return Err(Refusal { call: "create", status, subject, message, complaint: None });
        }
        Ok(Self {
            method: method.clone(),
            handle,
            planned: Vec::new(),
            guard: setting.guard,
            complaints: Mutex::default(),
            _raw: raw,
            _host: host,
        })
    }

    /// Plans for `forms`.
    pub(crate) fn plan(&mut self, forms: &[Form]) -> Answer<()> {
        let blank = |port: usize| abi::Spec {
            struct_size: abi::size_of::<abi::Spec>(),
            port: port as u32,
            content: 0,
            layout: 0,
            channels: 0,
            rows: 0,
            cols: 0,
            native_rows: NATIVE.0 as i64,
            native_cols: NATIVE.1 as i64,
            value_min: f64::NAN,
            value_max: f64::NAN,
            frame: frame(1.0),
            name: std::ptr::null(),
        };
        let names: Vec<CString> =
            (0..forms.len()).map(|i| CString::new(format!("input {i}")).unwrap_or_default()).collect();
        let specs: Vec<abi::Spec> = forms
            .iter()
            .zip(&names)
            .map(|(f, name)| abi::Spec {
                content: f.content.bit(),
                layout: if f.grid { abi::LAYOUT_GRID } else { abi::LAYOUT_CLOUD },
                channels: f.channels as i64,
                rows: if f.grid { f.rows as i64 } else { -1 },
                cols: f.cols as i64,
                frame: frame(f.stride),
                name: name.as_ptr(),
                ..blank(f.port as usize)
            })
            .collect();
        let inputs: Vec<*const abi::Spec> = specs.iter().map(std::ptr::from_ref).collect();
        let mut planned: Vec<abi::Spec> = (0..self.method.info.outputs.len()).map(blank).collect();
        let outputs: Vec<*mut abi::Spec> = planned.iter_mut().map(std::ptr::from_mut).collect();
        let plan = there(self.method.table().plan, "plan")?;
        // SAFETY: all pointers are valid for the call.
        call("plan", |e| unsafe {
            plan(self.handle, inputs.as_ptr(), inputs.len() as u32, outputs.as_ptr(), outputs.len() as u32, e)
        })?;
        self.planned = planned;
        Ok(())
    }

    /// The planned outputs.
    pub(crate) fn planned(&self) -> &[abi::Spec] {
        &self.planned
    }

    /// Starts pass `pass` of `scans` scans.
    pub(crate) fn fit_begin(&mut self, pass: u32, scans: usize) -> Answer<()> {
        let fit = abi::Fit {
            struct_size: abi::size_of::<abi::Fit>(),
            pass,
            fold: 0,
            n_folds: 1,
            n_samples: scans as u64,
            resumed: 0,
            reserved: 0,
        };
        let begin = there(self.method.table().fit_begin, "fit_begin")?;
        // SAFETY: [exclusive] by `&mut self`.
        call("fit_begin", |e| unsafe { begin(self.handle, &fit, e) })
    }

    /// Brings training scan `index`.
    pub(crate) fn fit_add(&mut self, index: usize, scan: &Scan) -> Answer<()> {
        let add = there(self.method.table().fit_add, "fit_add")?;
        self.placed(&[scan], index, |samples| {
            // SAFETY: [exclusive] by `&mut self`; the sample is valid for the call.
            call("fit_add", |e| unsafe { add(self.handle, samples[0], e) })
        })
    }

    /// Ends the pass; whether another one is wanted.
    pub(crate) fn fit_end(&mut self) -> Answer<bool> {
        let end = there(self.method.table().fit_end, "fit_end")?;
        let mut next = abi::FIT_DONE;
        // SAFETY: [exclusive] by `&mut self`.
        call("fit_end", |e| unsafe { end(self.handle, &mut next, e) })?;
        Ok(next == abi::FIT_ANOTHER_PASS)
    }

    /// A whole fit, where the method has one.
    pub(crate) fn fit(&mut self, scans: &[Scan]) -> Answer<()> {
        if !self.method.info.fitted {
            return Ok(());
        }
        for pass in 0..MOST_PASSES {
            self.fit_begin(pass, scans.len())?;
            for (i, scan) in scans.iter().enumerate() {
                self.fit_add(i, scan)?;
            }
            if !self.fit_end()? {
                return Ok(());
            }
        }
        let message = format!("wants another pass after {MOST_PASSES}");
        Err(Refusal {
            call: "fit_end",
            status: abi::ERR_INTERNAL,
            subject: String::new(),
            message,
            complaint: None,
        })
    }

    /// Scores scans in one call.
    pub(crate) fn score(&self, scans: &[&Scan]) -> Answer<Vec<Made>> {
        let score = there(self.method.table().score, "score")?;
        let sink = || Sink {
            planned: &self.planned,
            guard: self.guard,
            ports: self.planned.iter().map(|_| Parts::default()).collect(),
            complaints: Vec::new(),
        };
        let mut sinks: Vec<Sink<'_>> = scans.iter().map(|_| sink()).collect();
        let tables: Vec<abi::Outputs> = sinks
            .iter_mut()
            .map(|sink| abi::Outputs {
                struct_size: abi::size_of::<abi::Outputs>(),
                n_outputs: self.planned.len() as u32,
                ctx: std::ptr::from_mut(sink).cast(),
                alloc: Some(alloc),
                set_image_score: Some(set_image_score),
            })
            .collect();
        let outputs: Vec<*const abi::Outputs> = tables.iter().map(std::ptr::from_ref).collect();
        self.placed(scans, 0, |samples| {
            // SAFETY: [concurrent], or nothing else runs; all pointers are valid for the call.
            call("score", |e| unsafe {
                score(self.handle, samples.as_ptr(), outputs.as_ptr(), samples.len() as u32, e)
            })
        })?;
        Ok(sinks.into_iter().map(|sink| Made { ports: sink.ports, complaints: sink.complaints }).collect())
    }

    /// The state, written to `target`.
    pub(crate) fn save_to(&mut self, target: &mut Target) -> Answer<()> {
        let save = there(self.method.table().save, "save")?;
        let writer = target.table();
        // SAFETY: [exclusive] by `&mut self`; all pointers are valid for the call.
        call("save", |e| unsafe { save(self.handle, &writer, e) })
    }

    /// The state.
    pub(crate) fn save(&mut self) -> Answer<Vec<u8>> {
        let mut target = Target::default();
        self.save_to(&mut target)?;
        Ok(target.bytes)
    }

    /// Loads a state from `source`.
    pub(crate) fn load_from(&mut self, source: &mut Source<'_>) -> Answer<()> {
        let load = there(self.method.table().load, "load")?;
        let reader = source.table();
        // SAFETY: [exclusive] by `&mut self`; all pointers are valid for the call.
        call("load", |e| unsafe { load(self.handle, &reader, e) })
    }

    /// Loads a state.
    pub(crate) fn load(&mut self, state: &[u8]) -> Answer<()> {
        self.load_from(&mut Source::new(state, usize::MAX))
    }

    /// What it did to memory that is not its own, so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls `body` with samples in guarded memory, and looks at that memory afterwards.
    fn placed<T>(
        &self,
        scans: &[&Scan],
        index: usize,
        body: impl FnOnce(&[*const abi::Sample]) -> Answer<T>,
    ) -> Answer<T> {
        let mut placed: Vec<Vec<Placed>> = Vec::new();
        for scan in scans {
            let sheets: Result<Vec<Placed>, String> =
                scan.sheets.iter().map(|sheet| Placed::new(sheet, self.guard)).collect();
            let refusal = |message| Refusal {
                call: "score",
                status: abi::ERR_RESOURCE,
                subject: String::new(),
                message,
                complaint: None,
            };
            placed.push(sheets.map_err(refusal)?);
        }
        // Nothing moves from here on: pointers lead into these.
        let tensors: Vec<Vec<Tensors>> =
            placed.iter_mut().map(|sheets| sheets.iter_mut().map(Placed::tensors).collect()).collect();
        let values: Vec<Vec<abi::Value>> = tensors
            .iter()
            .zip(scans)
            .map(|(tensors, scan)| tensors.iter().zip(&scan.sheets).map(|(t, s)| t.value(s)).collect())
            .collect();
        let pointers: Vec<Vec<*const abi::Value>> =
            values.iter().map(|values| values.iter().map(std::ptr::from_ref).collect()).collect();
        let ids: Vec<CString> =
            scans.iter().map(|scan| CString::new(scan.id.as_str()).unwrap_or_default()).collect();
        let samples: Vec<abi::Sample> = pointers
            .iter()
            .zip(&ids)
            .enumerate()
            .map(|(i, (inputs, id))| abi::Sample {
                struct_size: abi::size_of::<abi::Sample>(),
                n_inputs: inputs.len() as u32,
                index: (index + i) as u64,
                id: id.as_ptr(),
                inputs: inputs.as_ptr(),
            })
            .collect();
        let raw: Vec<*const abi::Sample> = samples.iter().map(std::ptr::from_ref).collect();
        let answer = body(&raw);
        for (scan, sheets) in scans.iter().zip(&mut placed) {
            for (n, (sheet, placed)) in scan.sheets.iter().zip(sheets).enumerate() {
                let found = placed.complaint(sheet).map(|what| format!("it wrote {what} of input {n}"));
                self.complaints.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            }
        }
        answer
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(destroy) = self.method.table().destroy {
            crate::notes::call("destroy");
            // SAFETY: the handle came from create and is destroyed once.
            unsafe { destroy(self.handle) };
        }
    }
}

fn frame(stride: f64) -> abi::Frame {
    abi::Frame { offset_x: 0.0, offset_y: 0.0, stride_x: stride, stride_y: stride }
}

/// The bytes of numbers.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

/// An input in guarded memory.
struct Placed {
    values: Buffer,
    valid: Option<Buffer>,
    positions: Option<Buffer>,
    shapes: [Vec<i64>; 3],
}

struct Tensors {
    values: abi::Tensor,
    valid: Option<abi::Tensor>,
    positions: Option<abi::Tensor>,
}

impl Placed {
    fn new(sheet: &crate::scans::Sheet, guard: Guard) -> Result<Self, String> {
        let place = |bytes: &[u8]| -> Result<Buffer, String> {
            let mut buffer = Buffer::new(bytes.len(), guard)?;
            buffer.fill(bytes);
            buffer.seal()?;
            Ok(buffer)
        };
        let form = sheet.form;
        let (c, h, w) = (form.channels as i64, form.rows as i64, form.cols as i64);
        let shapes = if form.grid {
            [vec![c, h, w], vec![h, w], Vec::new()]
        } else {
            [vec![h, c], vec![h], vec![h, 3]]
        };
        Ok(Self {
            values: place(&bytes_of(&sheet.values))?,
            valid: sheet.valid.as_deref().map(place).transpose()?,
            positions: sheet.positions.as_deref().map(|p| place(&bytes_of(p))).transpose()?,
            shapes,
        })
    }

    fn tensors(&mut self) -> Tensors {
        let tensor = |dtype, shape: &[i64], buffer: &mut Buffer| abi::Tensor {
            struct_size: abi::size_of::<abi::Tensor>(),
            dtype,
            device: abi::DEVICE_CPU,
            ndim: shape.len() as u32,
            shape: shape.as_ptr(),
            data: buffer.pointer().cast_const().cast(),
        };
        Tensors {
            values: tensor(abi::F32, &self.shapes[0], &mut self.values),
            valid: self.valid.as_mut().map(|b| tensor(abi::U8, &self.shapes[1], b)),
            positions: self.positions.as_mut().map(|b| tensor(abi::F32, &self.shapes[2], b)),
        }
    }

    /// Where something was written.
    fn complaint(&mut self, sheet: &crate::scans::Sheet) -> Option<&'static str> {
        let values = bytes_of(&sheet.values);
        let positions = sheet.positions.as_deref().map(bytes_of);
        if self.values.bytes() != values {
            return Some("to the values");
        }
        if self.valid.as_mut().map(Buffer::bytes) != sheet.valid.as_deref() {
            return Some("to the mask");
        }
        if self.positions.as_mut().map(Buffer::bytes) != positions.as_deref() {
            return Some("to the positions");
        }
        let mut all =
            [Some(&mut self.values), self.valid.as_mut(), self.positions.as_mut()].into_iter().flatten();
        (!all.all(Buffer::is_intact)).then_some("beside the memory")
    }
}

impl Tensors {
    fn value(&self, sheet: &crate::scans::Sheet) -> abi::Value {
        let optional = |t: &Option<abi::Tensor>| t.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        abi::Value {
            struct_size: abi::size_of::<abi::Value>(),
            port: sheet.form.port,
            content: sheet.form.content.bit(),
            layout: if sheet.form.grid { abi::LAYOUT_GRID } else { abi::LAYOUT_CLOUD },
            values: &raw const self.values,
            valid: optional(&self.valid),
            positions: optional(&self.positions),
            frame: frame(sheet.form.stride),
            image_score: sheet.image_score,
        }
    }
}

/// Where the outputs of one scan go.
struct Sink<'a> {
    planned: &'a [abi::Spec],
    guard: Guard,
    ports: Vec<Parts>,
    complaints: Vec<String>,
}

/// The parts of one output.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) shape: Vec<i64>,
    pub(crate) values: Option<Buffer>,
    pub(crate) valid: Option<Buffer>,
    pub(crate) positions: Option<Buffer>,
    pub(crate) image_score: Option<f64>,
}

/// What a method made of one scan.
pub(crate) struct Made {
    pub(crate) ports: Vec<Parts>,
    /// What it asked of the host that no host gives.
    pub(crate) complaints: Vec<String>,
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
    // SAFETY: `ctx` is the sink in `score`.
    let sink = unsafe { &mut *ctx.cast::<Sink<'_>>() };
    let shape = match ndim {
        _ if shape.is_null() => &[],
        // SAFETY: the method passes `ndim` extents.
        n => unsafe { std::slice::from_raw_parts(shape, n.min(8) as usize) },
    };
    match sink.give(port, part, dtype, shape) {
        // SAFETY: the method's place for the pointer.
        Ok(pointer) => match unsafe { data.as_mut() } {
            Some(data) => {
                *data = pointer;
                abi::OK
            }
            None => abi::ERR_INPUT,
        },
        // SAFETY: the method's error struct.
        Err(message) => unsafe { sink.refuse(error, message) },
    }
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
        _ => unsafe { sink.refuse(error, format!("image score {score} of output {port}")) },
    }
}

impl Sink<'_> {
    fn give(&mut self, port: u32, part: u32, dtype: u32, shape: &[i64]) -> Result<*mut c_void, String> {
        const MOST_POINTS: i64 = 1 << 26;
        let spec = self.planned.get(port as usize).ok_or_else(|| format!("there is no output {port}"))?;
        let cloud = spec.layout == abi::LAYOUT_CLOUD;
        let cells = match cloud {
            false => vec![spec.rows, spec.cols],
            true => vec![shape.first().copied().filter(|n| (0..=MOST_POINTS).contains(n)).unwrap_or(0)],
        };
        let (expected, wanted, bytes) = match (part, cloud) {
            (abi::PART_VALUES, false) => ([vec![spec.channels], cells].concat(), abi::F32, 4),
            (abi::PART_VALUES, true) => ([cells, vec![spec.channels]].concat(), abi::F32, 4),
            (abi::PART_VALID, _) => (cells, abi::U8, 1),
            (abi::PART_POSITIONS, true) => ([cells, vec![3]].concat(), abi::F32, 4),
            _ => return Err(format!("output {port} has no part {part}")),
        };
        if shape != expected || dtype != wanted {
            return Err(format!(
                "output {port}, part {part}: {shape:?} was asked for, {expected:?} was planned"
            ));
        }
        let parts = self.ports.get_mut(port as usize).ok_or("no such output")?;
        let slot = match part {
            abi::PART_VALUES => &mut parts.values,
            abi::PART_VALID => &mut parts.valid,
            _ => &mut parts.positions,
        };
        if slot.is_some() {
            return Err(format!("output {port}, part {part} was allocated before"));
        }
        let len: i64 = expected.iter().product();
        let buffer = slot.insert(Buffer::new(bytes * len as usize, self.guard)?);
        let pointer = buffer.pointer().cast();
        if part == abi::PART_VALUES {
            parts.shape = expected;
        }
        Ok(pointer)
    }

    /// # Safety
    /// `error` is null or valid.
    unsafe fn refuse(&mut self, error: *mut abi::Error, message: String) -> abi::Status {
        // SAFETY: by the caller.
        if let Some(error) = unsafe { error.as_mut() } {
            error.code = abi::ERR_INPUT;
            for (to, from) in error.message.iter_mut().zip(message.bytes().take(1000).chain([0])) {
                *to = from as c_char;
            }
        }
        self.complaints.push(message);
        abi::ERR_INPUT
    }
}
