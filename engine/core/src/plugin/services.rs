//! The host's services for one instance: the C table that its plugin calls.
#![allow(unsafe_code, reason = "the ABI: functions that plugins call")]

use assay_abi as abi;
use assay_inference::{Engine, Session};
use ndarray::ArrayViewD;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the caller of a long piece of work sees of it, and how it stops it.
pub trait Watch: Send + Sync {
    /// A log line of level 1 (error) to 4 (debug) from `who`.
    fn log(&self, who: &str, level: u32, message: &str);
    /// Progress of `who`: a fraction, or negative where unknown.
    fn progress(&self, who: &str, fraction: f64, message: &str);
    /// Whether the work should stop.
    fn cancelled(&self) -> bool;
}

/// Nobody watches, nothing stops.
impl Watch for () {
    fn log(&self, _: &str, _: u32, _: &str) {}
    fn progress(&self, _: &str, _: f64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// Where an instance keeps what a long pass has come to.
pub(crate) trait Keep: Send {
    /// Replaces what was kept.
    fn write(&self, bytes: &[u8]) -> Result<(), String>;
    /// What was kept, if anything.
    fn read(&self) -> Result<Option<Vec<u8>>, String>;
}

/// What instances are made with: threads, inference, scratch folder, watcher.
#[derive(Clone)]
pub struct Services {
    /// The pool that `parallel_for` runs on.
    pub pool: Arc<rayon::ThreadPool>,
    /// ONNX inference, where there is one.
    pub inference: Option<Arc<Engine>>,
    /// Folder for temporary files.
    pub scratch: Option<PathBuf>,
    /// Folder in which an interrupted fit leaves what it has come to, and finds it again; see [`crate::unfinished`].
    pub unfinished: Option<PathBuf>,
    /// How a process of its own is started for a step that asks for one; none where this program cannot.
    pub launcher: Option<Launcher>,
    /// Who watches.
    pub watch: Arc<dyn Watch>,
}

/// The command of a process that calls [`serve`](super::serve) on its standard streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// What it is told.
    pub arguments: Vec<String>,
}

impl Services {
    /// Services with a pool of `threads` threads (0 = all cores) and nothing else.
    ///
    /// # Errors
    /// Where the threads cannot be started.
    pub fn new(threads: usize) -> crate::error::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("assay-{i}"))
            .build()
            .map_err(|e| crate::error::Error::Request(format!("cannot start {threads} threads: {e}")))?;
        Ok(Self {
            pool: Arc::new(pool),
            inference: None,
            scratch: None,
            unfinished: None,
            launcher: None,
            watch: Arc::new(()),
        })
    }

    /// Threads of the pool.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }
}

/// The C table of one instance and what it points to. Must not move while the instance lives: keep it boxed.
pub struct HostTable {
    pub(super) raw: abi::Host,
    inference: abi::Inference,
    who: String,
    services: Services,
    scratch: Option<CString>,
    /// Where the running pass keeps what it has come to.
    pub(super) place: Mutex<Option<Box<dyn Keep>>>,
    sessions: Mutex<HashMap<usize, Arc<Session>>>,
    opened: AtomicUsize,
    /// Loops run on the calling thread while the instance is locked: a thread that waits for a loop may take up other
    /// work, and would wait for its own lock.
    pub(super) locked: AtomicBool,
}

// SAFETY: the table's pointers lead into the box itself or to statics, and all of its functions are concurrent.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

impl HostTable {
    /// The services of the instance `who`.
    pub fn new(who: &str, seed: u64, services: &Services) -> Box<Self> {
        let path_text = |p: &Path| p.to_str().and_then(|s| CString::new(s).ok());
        let mut table = Box::new(Self {
            raw: abi::Host {
                struct_size: abi::size_of::<abi::Host>(),
                abi_major: abi::ABI_MAJOR,
                abi_minor: abi::ABI_MINOR,
                threads: services.threads() as u32,
                seed,
                name: c"assay".as_ptr(),
                version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
                ctx: std::ptr::null_mut(),
                get_extension: Some(get_extension),
                log: Some(log),
                parallel_for: Some(parallel_for),
                progress: Some(progress),
                scratch: Some(scratch),
                inference: std::ptr::null(),
                keep: Some(keep),
                kept: Some(kept),
            },
            inference: abi::Inference {
                struct_size: abi::size_of::<abi::Inference>(),
                reserved: 0,
                ctx: std::ptr::null_mut(),
                open: Some(open),
                run: Some(run),
                close: Some(close),
            },
            who: who.into(),
            scratch: services.scratch.as_deref().and_then(path_text),
            services: services.clone(),
            place: Mutex::default(),
            sessions: Mutex::default(),
            opened: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
        });
        let ctx = std::ptr::from_mut(&mut *table).cast::<c_void>();
        table.raw.ctx = ctx;
        table.inference.ctx = ctx;
        if table.services.inference.is_some() {
            table.raw.inference = &raw const table.inference;
        }
        table
    }
}

impl HostTable {
    /// The table itself, whose pointers lead into this box.
    pub fn table(&self) -> &abi::Host {
        &self.raw
    }

    pub(super) fn place(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn Keep>>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Safety
/// `ctx` is the `ctx` of a live host table.
unsafe fn this<'a>(ctx: *mut c_void) -> &'a HostTable {
    // SAFETY: by the caller.
    unsafe { &*ctx.cast::<HostTable>() }
}

/// # Safety
/// `text` is null or NUL-terminated.
unsafe fn lossy(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Fills a caller-owned error.
///
/// # Safety
/// `error` is null or valid.
pub(super) unsafe fn fill_error(
    error: *mut abi::Error,
    code: abi::Status,
    subject: &str,
    message: &str,
) -> abi::Status {
    // SAFETY: by the caller.
    if let Some(error) = unsafe { error.as_mut() } {
        error.code = code;
        for (to, text) in [(&mut error.subject[..], subject), (&mut error.message[..], message)] {
            let mut len = text.len().min(to.len() - 1);
            while !text.is_char_boundary(len) {
                len -= 1;
            }
            for (to, &from) in to.iter_mut().zip(&text.as_bytes()[..len]) {
                *to = if from == 0 { b' ' as c_char } else { from as c_char };
            }
            to[len] = 0;
        }
    }
    code
}

unsafe extern "C" fn get_extension(_: *const abi::Host, _: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, message: *const c_char) {
    // SAFETY: called by the plugin with its host's ctx.
    let (this, message) = unsafe { (this(ctx), lossy(message)) };
    let _ = catch_unwind(AssertUnwindSafe(|| this.services.watch.log(&this.who, level, &message)));
}

unsafe extern "C" fn progress(ctx: *mut c_void, fraction: f64, message: *const c_char) -> i32 {
    // SAFETY: called by the plugin with its host's ctx.
    let (this, message) = unsafe { (this(ctx), lossy(message)) };
    let watch = &this.services.watch;
    catch_unwind(AssertUnwindSafe(|| {
        watch.progress(&this.who, fraction, &message);
        i32::from(watch.cancelled())
    }))
    .unwrap_or(1)
}

unsafe extern "C" fn scratch(ctx: *mut c_void) -> *const c_char {
    // SAFETY: called by the plugin with its host's ctx.
    unsafe { this(ctx) }.scratch.as_ref().map_or(std::ptr::null(), |s| s.as_ptr())
}

unsafe extern "C" fn keep(
    ctx: *mut c_void,
    data: *const c_void,
    len: usize,
    error: *mut abi::Error,
) -> abi::Status {
    if data.is_null() && len > 0 {
        // SAFETY: the plugin's error struct.
        return unsafe { fill_error(error, abi::ERR_INPUT, "", "keep was called without bytes") };
    }
    // SAFETY: called by the plugin with its host's ctx; `data` holds `len` bytes.
    let (this, bytes) = unsafe {
        (this(ctx), if len == 0 { &[][..] } else { std::slice::from_raw_parts(data.cast::<u8>(), len) })
    };
    let written = catch_unwind(AssertUnwindSafe(|| this.place().as_ref().map_or(Ok(()), |p| p.write(bytes))));
    // SAFETY: the plugin's error struct.
    unsafe { said(written, error) }.map_or_else(|status| status, |()| abi::OK)
}

unsafe extern "C" fn kept(
    ctx: *mut c_void,
    emit: Option<abi::EmitBytesFn>,
    emit_ctx: *mut c_void,
    error: *mut abi::Error,
) -> abi::Status {
    // SAFETY: called by the plugin with its host's ctx.
    let this = unsafe { this(ctx) };
    let read = catch_unwind(AssertUnwindSafe(|| this.place().as_ref().map_or(Ok(None), |p| p.read())));
    // SAFETY: the plugin's error struct.
    match unsafe { said(read, error) } {
        Ok(bytes) => {
            if let (Some(emit), Some(bytes)) = (emit, bytes) {
                // SAFETY: the plugin's function; the bytes live for the call.
                unsafe { emit(emit_ctx, bytes.as_ptr().cast(), bytes.len()) };
            }
            abi::OK
        }
        Err(status) => status,
    }
}

/// What a service gave, or the status of the error that it filled.
///
/// # Safety
/// `error` is null or valid.
unsafe fn said<T>(
    given: std::thread::Result<Result<T, String>>,
    error: *mut abi::Error,
) -> Result<T, abi::Status> {
    given
        .unwrap_or_else(|_| Err("the host failed".into()))
        // SAFETY: by the caller.
        .map_err(|message| unsafe { fill_error(error, abi::ERR_RESOURCE, "", &message) })
}

unsafe extern "C" fn parallel_for(ctx: *mut c_void, n: u64, body: Option<abi::LoopBody>, arg: *mut c_void) {
    struct Arg(*mut c_void);
    // SAFETY: the plugin promises that its body may run on several threads at once.
    unsafe impl Sync for Arg {}
    let Some(body) = body else { return };
    // SAFETY: called by the plugin with its host's ctx.
    let this = unsafe { this(ctx) };
    let arg = Arg(arg);
    // SAFETY: `arg` is what the plugin passed for its body.
    let call = |i: u64| unsafe { body({ &arg }.0, i) };
    if n <= 1 || this.services.threads() == 1 || this.locked.load(Ordering::Relaxed) {
        (0..n).for_each(call);
        return;
    }
    use rayon::prelude::*;
    this.services.pool.install(|| (0..n).into_par_iter().for_each(call));
}

unsafe extern "C" fn open(
    ctx: *mut c_void,
    onnx: *const c_void,
    len: usize,
    label: *const c_char,
    session: *mut *mut c_void,
    error: *mut abi::Error,
) -> abi::Status {
    if onnx.is_null() || len == 0 || session.is_null() {
        // SAFETY: the plugin's error struct.
        return unsafe {
            fill_error(error, abi::ERR_INPUT, "", "open was called without a model or a place for the handle")
        };
    }
    // SAFETY: called by the plugin with its host's ctx; `onnx` holds `len` bytes.
    let (this, label, bytes) =
        unsafe { (this(ctx), lossy(label), std::slice::from_raw_parts(onnx.cast::<u8>(), len)) };
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let engine = this.services.inference.as_ref().ok_or("this host offers no inference")?;
        engine.session_cached(&label, &bytes.into(), this.services.threads()).map_err(|e| e.to_string())
    }));
    match opened.unwrap_or_else(|_| Err("the runtime failed".into())) {
        Ok(s) => {
            // Two openings of one model are two handles, each closed on its own.
            let key = this.opened.fetch_add(1, Ordering::Relaxed) + 1;
            this.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(key, s);
            // SAFETY: the plugin's place for the handle.
            unsafe { *session = key as *mut c_void };
            abi::OK
        }
        // SAFETY: the plugin's error struct.
        Err(message) => unsafe { fill_error(error, abi::ERR_RESOURCE, &label, &message) },
    }
}

unsafe extern "C" fn run(
    ctx: *mut c_void,
    session: *mut c_void,
    inputs: *const *const abi::NamedTensor,
    n_inputs: u32,
    emit: Option<abi::EmitFn>,
    emit_ctx: *mut c_void,
    error: *mut abi::Error,
) -> abi::Status {
    // SAFETY: called by the plugin with its host's ctx and `n_inputs` valid inputs.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe {
        let this = this(ctx);
        let sessions = this.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(&(session as usize)).cloned().ok_or("the session is not open")?;
        drop(sessions);
        let mut named = Vec::with_capacity(n_inputs as usize);
        for i in 0..n_inputs as usize {
            let input = &**inputs.add(i);
            let tensor = &*input.tensor;
            if tensor.dtype != abi::F32 || tensor.device != abi::DEVICE_CPU || !(1..=8).contains(&tensor.ndim)
            {
                return Err(
                    "inputs of ONNX models are f32 tensors of 1 to 8 dimensions in CPU memory".to_owned()
                );
            }
            let extents = std::slice::from_raw_parts(tensor.shape, tensor.ndim as usize);
            let shape: Option<Vec<usize>> = extents.iter().map(|&n| usize::try_from(n).ok()).collect();
            let shape = shape.ok_or("an input has a negative extent")?;
            let len = shape
                .iter()
                .try_fold(1usize, |n, &e| n.checked_mul(e))
                .filter(|&n| n <= isize::MAX as usize / 4);
            let len = len.ok_or("an input is larger than memory can be")?;
            let data = match len {
                0 => &[][..],
                _ if tensor.data.is_null() => return Err("an input has no data".to_owned()),
                _ => std::slice::from_raw_parts(tensor.data.cast::<f32>(), len),
            };
            let view = ArrayViewD::from_shape(shape, data).map_err(|e| e.to_string())?;
            named.push((lossy(input.name), view));
        }
        let refs: Vec<(&str, ArrayViewD<'_, f32>)> =
            named.iter().map(|(n, v)| (n.as_str(), v.view())).collect();
        let run = || session.run(&refs).map_err(|e| e.to_string());
        let outputs = if this.locked.load(Ordering::Relaxed) {
            // A thread of the pool that waits for the runtime may take up other work, and would wait for its own lock.
            std::thread::scope(|s| s.spawn(run).join()).map_err(|_| "the runtime failed".to_owned())??
        } else {
            run()?
        };
        if let Some(emit) = emit {
            for (name, array) in &outputs {
                let name = CString::new(name.as_str()).unwrap_or_default();
                let array = array.as_standard_layout();
                let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
                let tensor = abi::Tensor {
                    struct_size: abi::size_of::<abi::Tensor>(),
                    dtype: abi::F32,
                    device: abi::DEVICE_CPU,
                    ndim: shape.len() as u32,
                    shape: shape.as_ptr(),
                    data: array.as_ptr().cast(),
                };
                emit(emit_ctx, name.as_ptr(), &tensor);
            }
        }
        Ok(())
    }));
    match outcome.unwrap_or_else(|_| Err("the runtime failed".into())) {
        Ok(()) => abi::OK,
        // SAFETY: the plugin's error struct.
        Err(message) => unsafe { fill_error(error, abi::ERR_RESOURCE, "", &message) },
    }
}

unsafe extern "C" fn close(ctx: *mut c_void, session: *mut c_void) {
    // SAFETY: called by the plugin with its host's ctx.
    let this = unsafe { this(ctx) };
    this.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&(session as usize));
}
