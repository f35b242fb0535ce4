//! The C ABI between the Assay host and its method plugins, as Rust types.
//!
//! The header `include/assay/assay.h` is the reference: it documents every field, the conventions and the threading
//! rules. The types here have the same names without the `assay_` prefix and the same layout, which a test proves by
//! compiling the header against these offsets.
#![no_std]

use core::ffi::{c_char, c_void};

/// Major version of the ABI: what a plugin was built for keeps working in every host of the same one.
pub const ABI_MAJOR: u32 = 1;
/// Minor version of the ABI: fields were added at the ends of tables.
pub const ABI_MINOR: u32 = 0;
/// Whether this host loads a plugin that was built for version `major.minor`: of its own major version, and of no newer minor one, whose
/// fields it would not fill.
#[allow(clippy::absurd_extreme_comparisons, reason = "of minor version 0 there is no older one")]
pub const fn speaks(major: u32, minor: u32) -> bool {
    major == ABI_MAJOR && minor <= ABI_MINOR
}
/// The one exported symbol of a plugin library, an [`EntryTable`].
pub const ENTRY_SYMBOL: &str = "assay_entry";

/// What a fallible function returns; [`OK`] or one of the codes below.
pub type Status = i32;
/// Done.
pub const OK: Status = 0;
/// A parameter is wrong; subject = parameter.
pub const ERR_PARAMETER: Status = 1;
/// An input does not fit; subject = port.
pub const ERR_INPUT: Status = 2;
/// Called out of order, or a saved state that is not this method's.
pub const ERR_STATE: Status = 3;
/// Memory, disk, or a host service that is not there.
pub const ERR_RESOURCE: Status = 4;
/// A defect of the plugin.
pub const ERR_INTERNAL: Status = 5;
/// A valid request that this method does not offer.
pub const ERR_UNSUPPORTED: Status = 6;
/// Stopped because the host asked.
pub const CANCELLED: Status = 7;

/// Element type: f32.
pub const F32: u32 = 1;
/// Element type: f64.
pub const F64: u32 = 2;
/// Element type: u8.
pub const U8: u32 = 3;
/// Element type: i64.
pub const I64: u32 = 4;
/// CPU memory, the value DLPack uses.
pub const DEVICE_CPU: u32 = 1;

/// Content: `[3,h,w]`, 0..255.
pub const RGB: u32 = 1;
/// Content: `[1,h,w]`, 0..255.
pub const GRAY: u32 = 2;
/// Content: `[3,h,w]`, metres.
pub const XYZ: u32 = 4;
/// Content: `[1,h,w]`, metres.
pub const DEPTH: u32 = 8;
/// Content: positions `[N,3]`, metres.
pub const POINTS: u32 = 16;
/// Content: `[C,h,w]` or `[N,C]`.
pub const FEATURES: u32 = 32;
/// Content: `[1,h,w]` or `[N,1]`, higher = more anomalous.
pub const SCORES: u32 = 64;
/// Layout: values `[C,h,w]`.
pub const LAYOUT_GRID: u32 = 1;
/// Layout: values `[N,C]` with positions.
pub const LAYOUT_CLOUD: u32 = 2;

/// Part of an output: its values.
pub const PART_VALUES: u32 = 0;
/// Part of an output: its validity mask.
pub const PART_VALID: u32 = 1;
/// Part of an output: positions of a cloud.
pub const PART_POSITIONS: u32 = 2;

/// Log level: error.
pub const LOG_ERROR: u32 = 1;
/// Log level: warning.
pub const LOG_WARN: u32 = 2;
/// Log level: information.
pub const LOG_INFO: u32 = 3;
/// Log level: debugging.
pub const LOG_DEBUG: u32 = 4;

/// Parameter type: boolean.
pub const BOOL: u32 = 1;
/// Parameter type: i64.
pub const INT: u32 = 2;
/// Parameter type: f64.
pub const FLOAT: u32 = 3;
/// Parameter type: string.
pub const STRING: u32 = 4;
/// Parameter type: `LIST | T`, a list of `T`.
pub const LIST: u32 = 0x100;

/// Method flag: must be fitted or loaded before score.
pub const FLAG_FITTED: u32 = 1;
/// Method flag: score may be called from several threads at once.
pub const FLAG_CONCURRENT_SCORE: u32 = 2;
/// Method flag: same inputs, parameters and seed give the same bits at any thread count.
pub const FLAG_DETERMINISTIC: u32 = 4;
/// Method flag: starts threads of its own.
pub const FLAG_OWN_THREADS: u32 = 8;
/// Method flag: fits for long and is fitted once, without fold 1.
pub const FLAG_ONE_FIT: u32 = 16;

/// `fit_end`: the method is fitted.
pub const FIT_DONE: u32 = 0;
/// `fit_end`: the method wants to see the training scans once more.
pub const FIT_ANOTHER_PASS: u32 = 1;

/// Defines a `repr(C)` struct whose fields are documented in the header.
macro_rules! c_struct {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        #[allow(missing_docs, reason = "each field is documented in assay.h")]
        pub struct $name { $(pub $field: $ty),* }
    };
}

c_struct! {
    /// `assay_error`: caller-owned, filled by the callee.
    Error { struct_size: u32, code: i32, subject: [c_char; 128], message: [c_char; 1024] }
}
c_struct! {
    /// `assay_tensor`: a borrowed view.
    Tensor { struct_size: u32, dtype: u32, device: u32, ndim: u32, shape: *const i64, data: *const c_void }
}
c_struct! {
    /// `assay_frame`: where a grid lies in native pixels.
    Frame { offset_x: f64, offset_y: f64, stride_x: f64, stride_y: f64 }
}
c_struct! {
    /// `assay_spec`: the shape of a value before there is one.
    Spec {
        struct_size: u32, port: u32, content: u32, layout: u32, channels: i64, rows: i64, cols: i64,
        native_rows: i64, native_cols: i64, value_min: f64, value_max: f64, frame: Frame, name: *const c_char,
    }
}
c_struct! {
    /// `assay_value`: one value of one scan.
    Value {
        struct_size: u32, port: u32, content: u32, layout: u32, values: *const Tensor, valid: *const Tensor,
        positions: *const Tensor, frame: Frame, image_score: f64,
    }
}
c_struct! {
    /// `assay_sample`: one scan as a step sees it.
    Sample { struct_size: u32, n_inputs: u32, index: u64, id: *const c_char, inputs: *const *const Value }
}
c_struct! {
    /// `assay_outputs`: where a step puts its results for one scan.
    Outputs {
        struct_size: u32, n_outputs: u32, ctx: *mut c_void,
        alloc: Option<unsafe extern "C" fn(ctx: *mut c_void, port: u32, part: u32, dtype: u32, shape: *const i64,
            ndim: u32, data: *mut *mut c_void, error: *mut Error) -> Status>,
        set_image_score: Option<unsafe extern "C" fn(ctx: *mut c_void, port: u32, score: f64, error: *mut Error) -> Status>,
    }
}
c_struct! {
    /// `assay_writer`: a stream to save to.
    Writer {
        struct_size: u32, reserved: u32, ctx: *mut c_void,
        write: Option<unsafe extern "C" fn(ctx: *mut c_void, data: *const c_void, len: usize) -> Status>,
    }
}
c_struct! {
    /// `assay_reader`: a stream to load from.
    Reader {
        struct_size: u32, reserved: u32, ctx: *mut c_void,
        read: Option<unsafe extern "C" fn(ctx: *mut c_void, data: *mut c_void, len: usize) -> i64>,
    }
}
c_struct! {
    /// `assay_named_tensor`: an input of an ONNX model.
    NamedTensor { struct_size: u32, reserved: u32, name: *const c_char, tensor: *const Tensor }
}

/// The callback that takes one output of an ONNX model.
pub type EmitFn = unsafe extern "C" fn(emit_ctx: *mut c_void, name: *const c_char, tensor: *const Tensor);
/// The callback that takes what a pass had kept.
pub type EmitBytesFn = unsafe extern "C" fn(emit_ctx: *mut c_void, data: *const c_void, len: usize);
/// The body of a parallel loop.
pub type LoopBody = unsafe extern "C" fn(arg: *mut c_void, i: u64);

c_struct! {
    /// `assay_inference`: ONNX inference on the host's one runtime.
    Inference {
        struct_size: u32, reserved: u32, ctx: *mut c_void,
        open: Option<unsafe extern "C" fn(ctx: *mut c_void, onnx: *const c_void, len: usize, label: *const c_char,
            session: *mut *mut c_void, error: *mut Error) -> Status>,
        run: Option<unsafe extern "C" fn(ctx: *mut c_void, session: *mut c_void, inputs: *const *const NamedTensor,
            n_inputs: u32, emit: Option<EmitFn>, emit_ctx: *mut c_void, error: *mut Error) -> Status>,
        close: Option<unsafe extern "C" fn(ctx: *mut c_void, session: *mut c_void)>,
    }
}
c_struct! {
    /// `assay_host`: what the host offers one instance.
    Host {
        struct_size: u32, abi_major: u32, abi_minor: u32, threads: u32, seed: u64,
        name: *const c_char, version: *const c_char, ctx: *mut c_void,
        get_extension: Option<unsafe extern "C" fn(host: *const Host, id: *const c_char) -> *const c_void>,
        log: Option<unsafe extern "C" fn(ctx: *mut c_void, level: u32, message: *const c_char)>,
        parallel_for: Option<unsafe extern "C" fn(ctx: *mut c_void, n: u64, body: Option<LoopBody>, arg: *mut c_void)>,
        progress: Option<unsafe extern "C" fn(ctx: *mut c_void, fraction: f64, message: *const c_char) -> i32>,
        scratch: Option<unsafe extern "C" fn(ctx: *mut c_void) -> *const c_char>,
        inference: *const Inference,
        keep: Option<unsafe extern "C" fn(ctx: *mut c_void, data: *const c_void, len: usize, error: *mut Error) -> Status>,
        kept: Option<unsafe extern "C" fn(ctx: *mut c_void, emit: Option<EmitBytesFn>, emit_ctx: *mut c_void,
            error: *mut Error) -> Status>,
    }
}
c_struct! {
    /// `assay_port`: an input or output of a method.
    Port {
        struct_size: u32, content: u32, layout: u32, min_count: u32, max_count: u32, reserved: u32,
        name: *const c_char, doc: *const c_char,
    }
}
c_struct! {
    /// `assay_param_value`: the value of a parameter.
    ParamValue {
        struct_size: u32, type_: u32, name: *const c_char, i: i64, f: f64, s: *const c_char,
        items: *const *const ParamValue, n_items: u64,
    }
}
c_struct! {
    /// `assay_param`: the declaration of a parameter.
    Param {
        struct_size: u32, type_: u32, name: *const c_char, doc: *const c_char, unit: *const c_char,
        default_value: *const ParamValue, min: f64, max: f64, choices: *const *const c_char, n_choices: u64,
    }
}
c_struct! {
    /// `assay_fit`: which pass of which fit begins.
    Fit { struct_size: u32, pass: u32, fold: u32, n_folds: u32, n_samples: u64, resumed: u32, reserved: u32 }
}
c_struct! {
    /// `assay_method`: descriptor and functions of a method.
    Method {
        struct_size: u32, flags: u32, id: *const c_char, name: *const c_char, summary: *const c_char,
        vendor: *const c_char, version: *const c_char, licence: *const c_char, paper: *const c_char,
        deviations: *const c_char, n_inputs: u32, n_outputs: u32, n_params: u32, reserved: u32,
        inputs: *const *const Port, outputs: *const *const Port, params: *const *const Param,
        create: Option<unsafe extern "C" fn(method: *const Method, host: *const Host, params: *const *const ParamValue,
            n_params: u32, instance: *mut *mut c_void, error: *mut Error) -> Status>,
        plan: Option<unsafe extern "C" fn(instance: *mut c_void, inputs: *const *const Spec, n_inputs: u32,
            outputs: *const *mut Spec, n_outputs: u32, error: *mut Error) -> Status>,
        fit_begin: Option<unsafe extern "C" fn(instance: *mut c_void, fit: *const Fit, error: *mut Error) -> Status>,
        fit_add: Option<unsafe extern "C" fn(instance: *mut c_void, sample: *const Sample, error: *mut Error) -> Status>,
        fit_end: Option<unsafe extern "C" fn(instance: *mut c_void, next: *mut u32, error: *mut Error) -> Status>,
        score: Option<unsafe extern "C" fn(instance: *const c_void, samples: *const *const Sample,
            outputs: *const *const Outputs, n: u32, error: *mut Error) -> Status>,
        save: Option<unsafe extern "C" fn(instance: *const c_void, writer: *const Writer, error: *mut Error) -> Status>,
        load: Option<unsafe extern "C" fn(instance: *mut c_void, reader: *const Reader, error: *mut Error) -> Status>,
        destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
        get_extension: Option<unsafe extern "C" fn(method: *const Method, id: *const c_char) -> *const c_void>,
    }
}
c_struct! {
    /// `assay_plugin`: what a library offers.
    Plugin {
        struct_size: u32, n_methods: u32, name: *const c_char, version: *const c_char, methods: *const *const Method,
        get_extension: Option<unsafe extern "C" fn(plugin: *const Plugin, id: *const c_char) -> *const c_void>,
    }
}
c_struct! {
    /// `assay_entry_table`: the exported symbol.
    EntryTable {
        struct_size: u32, abi_major: u32, abi_minor: u32, reserved: u32,
        plugin: Option<unsafe extern "C" fn() -> *const Plugin>,
    }
}

/// A table that a plugin makes and a host reads. It may be of an earlier minor version, and shorter than this host's type.
///
/// # Safety
/// The type is `repr(C)`, begins with `struct_size: u32`, and is valid where all its bytes are 0.
#[allow(unsafe_code, reason = "the ABI")]
pub unsafe trait Table: Copy {
    /// Its size in version 1.0: no plugin has a smaller one.
    const SIZE_1_0: u32;
}
macro_rules! tables {
    ($($name:ident: $size:literal),* $(,)?) => {$(
        #[allow(unsafe_code, reason = "the ABI")]
        // SAFETY: made by `c_struct` of integers, pointers and optional functions, `struct_size` first.
        unsafe impl Table for $name {
            const SIZE_1_0: u32 = $size;
        }
        // Tables grow at their ends and never shrink.
        const _: () = assert!(size_of::<$name>() >= $size);
    )*};
}
// On systems with pointers of 64 bits, which are the ones that Assay runs on.
tables!(Port: 40, ParamValue: 56, Param: 72, Method: 192, Plugin: 40, EntryTable: 24);

/// Marks tables that are immutable after construction and whose pointers live as long as the library.
macro_rules! shared_table {
    ($($name:ident),*) => {$(
        #[allow(unsafe_code, reason = "the ABI: descriptors are immutable")]
        // SAFETY: descriptor tables are never written after they were made, and what they point to outlives them.
        unsafe impl Sync for $name {}
        #[allow(unsafe_code, reason = "the ABI: descriptors are immutable")]
        // SAFETY: as above; nothing in them belongs to a thread.
        unsafe impl Send for $name {}
    )*};
}
shared_table!(Port, ParamValue, Param, Method, Plugin, EntryTable);

/// The `struct_size` of a table.
pub const fn size_of<T>() -> u32 {
    core::mem::size_of::<T>() as u32
}
