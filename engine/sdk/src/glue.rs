//! The boundary: C functions around the safe trait. All of the SDK's trust in the host is here and in [`crate::host`].
#![allow(unsafe_code, reason = "the ABI")]

use crate::error::{Code, Error, Result};
use crate::host::Host;
use crate::method::{Fit, Method, Next};
use crate::params::{ParamInfo, ParamValue, Params};
use crate::value::{
    CloudView, Content, Data, Frame, GridView, Layout, OutputSpec, Outputs, Sample, Spec, Value,
};
use assay_abi as abi;
use std::ffi::{CStr, CString, c_char, c_void};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

// ---- errors and strings ----------------------------------------------------------------------------------------

pub(crate) fn empty_error() -> abi::Error {
    abi::Error {
        struct_size: abi::size_of::<abi::Error>(),
        code: abi::OK,
        subject: [0; 128],
        message: [0; 1024],
    }
}

/// The text without interior NULs, as a C string.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Copies `text` NUL-terminated, cut at a character boundary.
fn write_text(out: &mut [c_char], text: &str) {
    let mut len = text.len().min(out.len() - 1);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    for (to, &from) in out.iter_mut().zip(&text.as_bytes()[..len]) {
        *to = if from == 0 { b' ' as c_char } else { from as c_char };
    }
    out[len] = 0;
}

fn read_text(text: &[c_char]) -> String {
    let bytes: Vec<u8> = text.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The result that a status and its error struct stand for.
pub(crate) fn check(status: abi::Status, error: &abi::Error) -> Result<()> {
    if status == abi::OK {
        return Ok(());
    }
    Err(Error::new(Code::of(status), read_text(&error.subject), read_text(&error.message)))
}

/// Runs `body`, turning errors and panics into a status and the caller's error struct.
fn guard(error: *mut abi::Error, body: impl FnOnce() -> Result<()>) -> abi::Status {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return abi::OK,
        Ok(Err(e)) => e,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Error::internal(format!("the plugin panicked: {}", text.unwrap_or("no message")))
        }
    };
    let status = failure.code.status();
    // SAFETY: null, or the caller's error struct.
    if let Some(error) = unsafe { error.as_mut() } {
        error.code = status;
        write_text(&mut error.subject, &failure.subject);
        write_text(&mut error.message, &failure.message);
    }
    status
}

/// # Safety
/// `text` is null or NUL-terminated and lives for `'a`.
unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("(not UTF-8)")
}

/// # Safety
/// `pointers` holds `n` valid pointers that live for `'a`.
unsafe fn table<'a, T>(pointers: *const *const T, n: u32) -> Result<Vec<&'a T>> {
    if n == 0 {
        return Ok(Vec::new());
    }
    if pointers.is_null() {
        return Err(Error::internal("the host passed no array"));
    }
    // SAFETY: by the caller.
    let slice = unsafe { std::slice::from_raw_parts(pointers, n as usize) };
    // SAFETY: by the caller; null entries are refused.
    slice
        .iter()
        .map(|&p| unsafe { p.as_ref() }.ok_or_else(|| Error::internal("the host passed a null entry")))
        .collect()
}

// ---- tensors -----------------------------------------------------------------------------------------------------

pub(crate) fn tensor(dtype: u32, shape: &[i64], data: *const c_void) -> abi::Tensor {
    abi::Tensor {
        struct_size: abi::size_of::<abi::Tensor>(),
        dtype,
        device: abi::DEVICE_CPU,
        ndim: shape.len() as u32,
        shape: shape.as_ptr(),
        data,
    }
}

/// # Safety
/// The tensor describes memory that is valid for `'a`, and `T` is the type of `dtype`.
pub(crate) unsafe fn tensor_slice<'a, T>(t: &abi::Tensor, dtype: u32) -> Result<(Vec<usize>, &'a [T])> {
    if t.dtype != dtype || t.device != abi::DEVICE_CPU || t.ndim > 8 {
        return Err(Error::input(
            "",
            format!("a tensor of dtype {} on device {} was not expected", t.dtype, t.device),
        ));
    }
    let extents = match t.ndim {
        0 => &[][..],
        // SAFETY: `shape` holds `ndim` extents.
        n => unsafe { std::slice::from_raw_parts(t.shape, n as usize) },
    };
    let shape: Vec<usize> = extents
        .iter()
        .map(|&n| usize::try_from(n).map_err(|_| Error::input("", "a tensor has a negative extent")))
        .collect::<Result<_>>()?;
    let len = shape.iter().product::<usize>();
    if len == 0 {
        return Ok((shape, &[]));
    }
    if t.data.is_null() {
        return Err(Error::input("", "a tensor has no data"));
    }
    // SAFETY: by the caller.
    Ok((shape, unsafe { std::slice::from_raw_parts(t.data.cast(), len) }))
}

/// # Safety
/// The sample and all it points to are valid for `'a`.
unsafe fn sample<'a>(raw: &'a abi::Sample) -> Result<Sample<'a>> {
    // SAFETY: by the caller.
    let values = unsafe { table(raw.inputs, raw.n_inputs) }?;
    // SAFETY: by the caller.
    let inputs = values.into_iter().map(|v| unsafe { value(v) }).collect::<Result<Vec<_>>>()?;
    // SAFETY: by the caller.
    Ok(Sample { id: unsafe { text(raw.id) }, index: raw.index, inputs })
}

/// # Safety
/// The value and all it points to are valid for `'a`.
unsafe fn value<'a>(v: &'a abi::Value) -> Result<Value<'a>> {
    let content =
        Content::of(v.content).ok_or_else(|| Error::input("", format!("unknown content {}", v.content)))?;
    // SAFETY: by the caller.
    let optional = |t: *const abi::Tensor| unsafe { t.as_ref() };
    // SAFETY: by the caller.
    let valid =
        optional(v.valid).map(|t| unsafe { tensor_slice::<u8>(t, abi::U8) }).transpose()?.map(|(_, d)| d);
    // SAFETY: by the caller.
    let floats = |t: &'a abi::Tensor| unsafe { tensor_slice::<f32>(t, abi::F32) };
    let values = optional(v.values).map(floats).transpose()?;
    let data = if v.layout == abi::LAYOUT_CLOUD {
        let (_, positions) = optional(v.positions).map(floats).transpose()?.unwrap_or_default();
        let points = positions.len() / 3;
        let (shape, values) = values.unwrap_or_default();
        let channels = shape.get(1).copied().unwrap_or(0);
        let whole = positions.len() == 3 * points && values.len() == channels * points;
        if !whole || valid.is_some_and(|v| v.len() != points) {
            return Err(Error::input("", "a cloud's values or its validity mask do not match its positions"));
        }
        Data::Cloud(CloudView { values, channels, positions, points, valid })
    } else {
        let (shape, values) = values.ok_or_else(|| Error::input("", "a grid has no values"))?;
        let &[channels, rows, cols] = shape.as_slice() else {
            return Err(Error::input(
                "",
                format!("a grid has shape {shape:?}, not [channels, rows, columns]"),
            ));
        };
        if valid.is_some_and(|v| v.len() != rows * cols) {
            return Err(Error::input("", "a validity mask does not match its grid"));
        }
        Data::Grid(GridView { values, channels, rows, cols, valid, frame: Frame::from_abi(v.frame) })
    };
    Ok(Value { port: v.port as usize, content, data, image_score: v.image_score })
}

fn spec(raw: &abi::Spec) -> Result<Spec> {
    let bad = || Error::input("", "the host planned an input that this SDK does not know");
    let extent = |n: i64| usize::try_from(n).unwrap_or(0);
    let finite = raw.value_min.is_finite() && raw.value_max.is_finite();
    Ok(Spec {
        port: raw.port as usize,
        content: Content::of(raw.content).ok_or_else(bad)?,
        layout: if raw.layout == abi::LAYOUT_CLOUD { Layout::Cloud } else { Layout::Grid },
        channels: extent(raw.channels),
        rows: extent(raw.rows),
        cols: extent(raw.cols),
        native: (extent(raw.native_rows), extent(raw.native_cols)),
        frame: Frame::from_abi(raw.frame),
        range: finite.then_some((raw.value_min, raw.value_max)),
        // SAFETY: NUL-terminated or null, as the ABI demands; copied at once.
        name: unsafe { text(raw.name) }.to_owned(),
    })
}

// ---- streams -----------------------------------------------------------------------------------------------------

struct HostWriter<'a>(&'a abi::Writer);

impl Write for HostWriter<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let write =
            self.0.write.ok_or_else(|| std::io::Error::other("the host's stream cannot be written"))?;
        // SAFETY: the host's function for `ctx`; `data` is valid for the call.
        match unsafe { write(self.0.ctx, data.as_ptr().cast(), data.len()) } {
            abi::OK => Ok(data.len()),
            _ => Err(std::io::Error::other("the host could not write the state")),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct HostReader<'a>(&'a abi::Reader);

impl Read for HostReader<'_> {
    fn read(&mut self, data: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read.ok_or_else(|| std::io::Error::other("the host's stream cannot be read"))?;
        // SAFETY: the host's function for `ctx`; `data` is valid for the call.
        let n = unsafe { read(self.0.ctx, data.as_mut_ptr().cast(), data.len()) };
        usize::try_from(n)
            .ok()
            .filter(|&n| n <= data.len())
            .ok_or_else(|| std::io::Error::other("the host could not read the state"))
    }
}

// ---- the instance and its functions ------------------------------------------------------------------------------

/// An instance as the host holds it: the method, what it planned, and how far it is.
struct Instance<M> {
    method: M,
    outputs: Vec<OutputSpec>,
    inputs: usize,
    /// A pass has begun and not ended.
    fitting: bool,
    /// A pass has ended, or a state was loaded: there is something to save.
    learned: bool,
    ready: bool,
}

const STATE_MAGIC: &[u8; 8] = b"assayst1";

/// # Safety
/// The value and all it points to are valid.
unsafe fn param_value(info: &ParamInfo, raw: &abi::ParamValue) -> Result<ParamValue> {
    // SAFETY: by the caller.
    let items = || unsafe { table(raw.items, u32::try_from(raw.n_items).unwrap_or(0)) };
    // SAFETY: by the caller.
    let string = |v: &abi::ParamValue| unsafe { text(v.s) }.to_owned();
    Ok(match (raw.type_, &info.default) {
        (abi::BOOL, ParamValue::Bool(_)) => ParamValue::Bool(raw.i != 0),
        (abi::INT, ParamValue::Int(_)) => ParamValue::Int(raw.i),
        (abi::FLOAT, ParamValue::Float(_)) => ParamValue::Float(raw.f),
        (abi::INT, ParamValue::Float(_)) => ParamValue::Float(raw.i as f64),
        (abi::STRING, ParamValue::String(_)) => ParamValue::String(string(raw)),
        (t, ParamValue::IntList(_)) if t & abi::LIST != 0 => {
            ParamValue::IntList(items()?.iter().map(|v| v.i).collect())
        }
        (t, ParamValue::FloatList(_)) if t & abi::LIST != 0 => ParamValue::FloatList(
            items()?.iter().map(|v| if v.type_ == abi::INT { v.i as f64 } else { v.f }).collect(),
        ),
        (t, ParamValue::StringList(_)) if t & abi::LIST != 0 => {
            ParamValue::StringList(items()?.iter().map(|v| string(v)).collect())
        }
        (t, _) => return Err(Error::parameter(info.name, format!("a value of type {t} does not fit"))),
    })
}

pub(crate) unsafe extern "C" fn create<M: Method>(
    _method: *const abi::Method,
    host: *const abi::Host,
    params: *const *const abi::ParamValue,
    n_params: u32,
    instance: *mut *mut c_void,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        let infos = M::Params::describe();
        // SAFETY: the host passes `n_params` valid values.
        let raw = unsafe { table(params, n_params) }?;
        if raw.len() != infos.len() {
            return Err(Error::internal(format!(
                "{} parameters were given, {} are declared",
                raw.len(),
                infos.len()
            )));
        }
        // SAFETY: as above.
        let values =
            infos.iter().zip(raw).map(|(i, v)| unsafe { param_value(i, v) }).collect::<Result<Vec<_>>>()?;
        // SAFETY: the host's table outlives the instance.
        let method = M::create(M::Params::from_values(&values)?, unsafe { Host::from_raw(host) })?;
        let boxed = Box::new(Instance {
            method,
            outputs: Vec::new(),
            inputs: 0,
            fitting: false,
            learned: false,
            ready: !M::INFO.fitted,
        });
        // SAFETY: `instance` is the host's place for the pointer.
        unsafe { *instance = Box::into_raw(boxed).cast() };
        Ok(())
    })
}

/// # Safety
/// `instance` came from `create::<M>` and nothing else uses it now.
unsafe fn exclusive<'a, M>(instance: *mut c_void) -> Result<&'a mut Instance<M>> {
    // SAFETY: by the caller.
    unsafe { instance.cast::<Instance<M>>().as_mut() }.ok_or_else(|| Error::state("there is no instance"))
}

/// # Safety
/// `instance` came from `create::<M>` and nothing changes it now.
unsafe fn shared<'a, M>(instance: *const c_void) -> Result<&'a Instance<M>> {
    // SAFETY: by the caller.
    unsafe { instance.cast::<Instance<M>>().as_ref() }.ok_or_else(|| Error::state("there is no instance"))
}

pub(crate) unsafe extern "C" fn plan<M: Method>(
    instance: *mut c_void,
    inputs: *const *const abi::Spec,
    n_inputs: u32,
    outputs: *const *mut abi::Spec,
    n_outputs: u32,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [exclusive].
        let this = unsafe { exclusive::<M>(instance) }?;
        // SAFETY: the host passes `n_inputs` valid specs.
        let specs = unsafe { table(inputs, n_inputs) }?.into_iter().map(spec).collect::<Result<Vec<_>>>()?;
        let planned = this.method.plan(&specs)?;
        if planned.len() != M::INFO.outputs.len() || planned.len() != n_outputs as usize {
            return Err(Error::internal(format!(
                "planned {} outputs of {}",
                planned.len(),
                M::INFO.outputs.len()
            )));
        }
        // SAFETY: the host passes `n_outputs` writable specs.
        let raw = unsafe { std::slice::from_raw_parts(outputs, planned.len()) };
        for ((p, port), &out) in planned.iter().zip(M::INFO.outputs).zip(raw) {
            // SAFETY: as above.
            let out = unsafe { &mut *out };
            let grid = p.layout == Layout::Grid;
            out.content = port.content as u32;
            out.layout = p.layout as u32;
            out.channels = p.channels as i64;
            out.rows = if grid { p.rows as i64 } else { -1 };
            out.cols = if grid { p.cols as i64 } else { 1 };
            (out.value_min, out.value_max) = p.range.unwrap_or((f64::NAN, f64::NAN));
            out.frame = p.frame.to_abi();
        }
        this.outputs = planned;
        this.inputs = specs.len();
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn fit_begin<M: Method>(
    instance: *mut c_void,
    fit: *const abi::Fit,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [exclusive], and `fit` is valid.
        let (this, fit) = unsafe { (exclusive::<M>(instance)?, &*fit) };
        if this.outputs.is_empty() {
            return Err(Error::state("fit before plan"));
        }
        (this.ready, this.fitting, this.learned) = (false, false, false);
        this.method.fit_begin(Fit {
            pass: fit.pass,
            fold: fit.fold,
            folds: fit.n_folds,
            samples: fit.n_samples,
            resumed: fit.resumed != 0,
        })?;
        this.fitting = true;
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn fit_add<M: Method>(
    instance: *mut c_void,
    raw: *const abi::Sample,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [exclusive], and the sample is valid for the call.
        let (this, raw) = unsafe { (exclusive::<M>(instance)?, &*raw) };
        if !this.fitting {
            return Err(Error::state("a scan to learn from before a pass of the fit has begun"));
        }
        // SAFETY: as above.
        let sample = unsafe { sample(raw) }?;
        if sample.inputs.len() != this.inputs {
            return Err(Error::input(
                "",
                format!("{} inputs were given, {} were planned", sample.inputs.len(), this.inputs),
            ));
        }
        this.method.fit_add(&sample)
    })
}

pub(crate) unsafe extern "C" fn fit_end<M: Method>(
    instance: *mut c_void,
    next: *mut u32,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [exclusive].
        let this = unsafe { exclusive::<M>(instance) }?;
        if !std::mem::take(&mut this.fitting) {
            return Err(Error::state("the end of a pass before it has begun"));
        }
        let what = this.method.fit_end()?;
        (this.ready, this.learned) = (what == Next::Done, true);
        // SAFETY: the host's place for the answer.
        unsafe { *next = if this.ready { abi::FIT_DONE } else { abi::FIT_ANOTHER_PASS } };
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn score<M: Method>(
    instance: *const c_void,
    samples: *const *const abi::Sample,
    outputs: *const *const abi::Outputs,
    n: u32,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [concurrent] and Method is Sync.
        let this = unsafe { shared::<M>(instance) }?;
        if this.outputs.is_empty() || !this.ready {
            return Err(Error::state("score before the method was planned and fitted"));
        }
        // SAFETY: the host passes `n` valid samples and sinks.
        let (samples, sinks) = unsafe { (table(samples, n)?, table(outputs, n)?) };
        for (raw, sink) in samples.into_iter().zip(sinks) {
            // SAFETY: as above.
            let sample = unsafe { sample(raw) }?;
            if sample.inputs.len() != this.inputs {
                return Err(Error::input(
                    "",
                    format!("{} inputs were given, {} were planned", sample.inputs.len(), this.inputs),
                ));
            }
            let mut outputs = Outputs::new(sink, &this.outputs);
            this.method.score(&sample, &mut outputs)?;
            outputs.check()?;
        }
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn save<M: Method>(
    instance: *const c_void,
    writer: *const abi::Writer,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [exclusive], and the writer is valid for the call.
        let (this, writer) = unsafe { (shared::<M>(instance)?, &*writer) };
        if !this.learned {
            return Err(Error::state("save before a pass of the fit has ended"));
        }
        let mut out = std::io::BufWriter::with_capacity(1 << 16, HostWriter(writer));
        out.write_all(STATE_MAGIC)?;
        crate::state::write_text(&mut out, M::INFO.id)?;
        out.write_all(&[u8::from(this.ready)])?;
        this.method.save(&mut out)?;
        out.flush()?;
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn load<M: Method>(
    instance: *mut c_void,
    reader: *const abi::Reader,
    error: *mut abi::Error,
) -> abi::Status {
    guard(error, || {
        // SAFETY: [exclusive], and the reader is valid for the call.
        let (this, reader) = unsafe { (exclusive::<M>(instance)?, &*reader) };
        if this.outputs.is_empty() {
            return Err(Error::state("load before plan"));
        }
        (this.ready, this.fitting, this.learned) = (false, false, false);
        let mut input = std::io::BufReader::with_capacity(1 << 16, HostReader(reader));
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if &magic != STATE_MAGIC {
            return Err(Error::state("this is not the saved state of a method"));
        }
        let id = crate::state::read_text(&mut input)?;
        if id != M::INFO.id {
            return Err(Error::state(format!("the saved state is of method `{id}`, not `{}`", M::INFO.id)));
        }
        let mut ready = [0];
        input.read_exact(&mut ready)?;
        this.method.load(&mut input)?;
        if input.read(&mut [0])? != 0 {
            return Err(Error::state("the saved state is longer than it should be"));
        }
        (this.ready, this.learned) = (ready == [1], true);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn destroy<M: Method>(instance: *mut c_void) {
    if !instance.is_null() {
        // A panic in a destructor must not cross the boundary, and there is nobody to tell.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the pointer came from `create` and is destroyed once.
            drop(unsafe { Box::from_raw(instance.cast::<Instance<M>>()) });
        }));
    }
}

/// Exports methods as a plugin library: the one symbol `assay_entry`.
///
/// ```ignore
/// assay_sdk::export!(PatchCore, Padim);
/// ```
#[macro_export]
macro_rules! export {
    ($($method:ty),+ $(,)?) => {
        /// The plugin's entry, which the host reads.
        #[allow(unsafe_code, non_upper_case_globals, reason = "the ABI names its symbol")]
        #[unsafe(no_mangle)]
        pub static assay_entry: $crate::abi::EntryTable = {
            extern "C" fn plugin() -> *const $crate::abi::Plugin {
                static PLUGIN: std::sync::OnceLock<&'static $crate::abi::Plugin> = std::sync::OnceLock::new();
                // A descriptor that panics is a plugin that cannot work: the ABI's word for it is null.
                std::panic::catch_unwind(|| {
                    *PLUGIN.get_or_init(|| $crate::tables::plugin_table(
                        env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), vec![$($crate::tables::method_table::<$method>()),+]))
                }).map_or(std::ptr::null(), std::ptr::from_ref)
            }
            $crate::abi::EntryTable {
                struct_size: $crate::abi::size_of::<$crate::abi::EntryTable>(),
                abi_major: $crate::abi::ABI_MAJOR,
                abi_minor: $crate::abi::ABI_MINOR,
                reserved: 0,
                plugin: Some(plugin),
            }
        };
    };
}
