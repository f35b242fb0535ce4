//! The host's services as a method sees them. Each may be missing; the methods here then do the next best thing or say so.
#![allow(unsafe_code, reason = "the ABI: services are C functions of the host")]

use crate::error::{Error, Result};
use crate::glue;
use crate::parallel::Parallel;
use assay_abi as abi;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::PathBuf;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = abi::LOG_ERROR,
    /// Something is not as it should be.
    Warn = abi::LOG_WARN,
    /// Worth knowing.
    Info = abi::LOG_INFO,
    /// For debugging.
    Debug = abi::LOG_DEBUG,
}

/// The host of one instance.
#[derive(Clone, Copy)]
pub struct Host {
    raw: *const abi::Host,
}

// SAFETY: the host promises that its table outlives the instance and that all of its functions are concurrent.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// # Safety
    /// `raw` is null or points to a table that outlives every copy of the result.
    pub(crate) unsafe fn from_raw(raw: *const abi::Host) -> Self {
        Self { raw }
    }

    /// A host that offers nothing: serial loops, seed 0. For unit tests.
    pub fn none() -> Self {
        Self { raw: std::ptr::null() }
    }

    fn table(&self) -> Option<&abi::Host> {
        // SAFETY: null, or valid as `from_raw` demands.
        unsafe { self.raw.as_ref() }
    }

    /// The only source of randomness a deterministic method has.
    pub fn seed(&self) -> u64 {
        self.table().map_or(0, |h| h.seed)
    }

    /// Writes a log line.
    pub fn log(&self, level: Level, message: &str) {
        if let Some((h, log)) = self.table().and_then(|h| Some((h, h.log?))) {
            let text = glue::c_string(message);
            // SAFETY: the string lives for the call.
            unsafe { log(h.ctx, level as u32, text.as_ptr()) };
        }
    }

    /// Reports progress, `fraction` in 0..=1 of the running pass or call.
    ///
    /// # Errors
    /// [`Error::cancelled`] where the host wants the work to stop: pass it on with `?`.
    pub fn progress(&self, fraction: f64, message: &str) -> Result<()> {
        let Some((h, progress)) = self.table().and_then(|h| Some((h, h.progress?))) else { return Ok(()) };
        let text = glue::c_string(message);
        // SAFETY: the string lives for the call.
        let stop = unsafe { progress(h.ctx, fraction, text.as_ptr()) };
        if stop == 0 { Ok(()) } else { Err(Error::cancelled()) }
    }

    /// A folder for temporary files, which the host removes.
    pub fn scratch(&self) -> Option<PathBuf> {
        let h = self.table()?;
        // SAFETY: the host's function; its string is copied at once.
        let text = unsafe { (h.scratch?)(h.ctx) };
        if text.is_null() {
            return None;
        }
        // SAFETY: NUL-terminated, as the ABI demands.
        Some(PathBuf::from(unsafe { CStr::from_ptr(text) }.to_str().ok()?))
    }

    /// Has the host keep what the running pass has come to, in the place of what it kept before: an interrupted fit then finds it with
    /// [`Host::kept`]. In `fit_end` only. Whether the host has a place to keep it.
    ///
    /// # Errors
    /// Where it cannot be written; the fit may go on.
    pub fn keep(&self, bytes: &[u8]) -> Result<bool> {
        let Some((h, keep)) = self.table().and_then(|h| Some((h, h.keep?))) else { return Ok(false) };
        let mut error = glue::empty_error();
        // SAFETY: the bytes live for the call.
        let status = unsafe { keep(h.ctx, bytes.as_ptr().cast(), bytes.len(), &mut error) };
        glue::check(status, &error).map(|()| true)
    }

    /// What the same pass kept in an earlier run of the same fit, of the same recipe, seed, scans and libraries. In `fit_end` only.
    ///
    /// # Errors
    /// Where it cannot be read; the pass may begin anew.
    pub fn kept(&self) -> Result<Option<Vec<u8>>> {
        unsafe extern "C" fn emit(ctx: *mut c_void, data: *const c_void, len: usize) {
            if len == 0 || data.is_null() {
                return;
            }
            // SAFETY: `ctx` is the place below, and the host's bytes are valid for the call.
            unsafe {
                *ctx.cast::<Option<Vec<u8>>>() =
                    Some(std::slice::from_raw_parts(data.cast::<u8>(), len).to_vec());
            }
        }
        let Some((h, kept)) = self.table().and_then(|h| Some((h, h.kept?))) else { return Ok(None) };
        let (mut bytes, mut error) = (None::<Vec<u8>>, glue::empty_error());
        // SAFETY: the place for the bytes lives for the call.
        let status = unsafe { kept(h.ctx, Some(emit), (&raw mut bytes).cast(), &mut error) };
        glue::check(status, &error).map(|()| bytes)
    }

    /// Loads an ONNX model on the host's runtime; `label` names it in messages.
    ///
    /// # Errors
    /// Where the host has no inference or the model does not load.
    pub fn open_onnx(&self, onnx: &[u8], label: &str) -> Result<OnnxSession> {
        let missing = || Error::resource("the host offers no ONNX inference");
        let service = self.table().map_or(std::ptr::null(), |h| h.inference);
        // SAFETY: null, or a table that outlives the instance.
        let table = unsafe { service.as_ref() }.ok_or_else(missing)?;
        let open = table.open.ok_or_else(missing)?;
        let label = glue::c_string(label);
        let (mut session, mut error) = (std::ptr::null_mut(), glue::empty_error());
        // SAFETY: all pointers are valid for the call.
        let status = unsafe {
            open(table.ctx, onnx.as_ptr().cast(), onnx.len(), label.as_ptr(), &mut session, &mut error)
        };
        glue::check(status, &error)?;
        Ok(OnnxSession { service, session })
    }
}

impl Parallel for Host {
    fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
        let Some((h, parallel_for)) = self.table().and_then(|h| Some((h, h.parallel_for?))) else {
            return (0..n).for_each(body);
        };
        struct Loop<'a> {
            body: &'a (dyn Fn(usize) + Sync),
            panicked: std::sync::Mutex<Option<Box<dyn std::any::Any + Send>>>,
        }
        unsafe extern "C" fn call(arg: *mut c_void, i: u64) {
            // SAFETY: `arg` is the `Loop` below, alive until `parallel_for` returns, and shared read-only.
            let l = unsafe { &*arg.cast::<Loop<'_>>() };
            // A panic must not cross the host's frames: it is carried to the caller instead.
            if let Err(p) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (l.body)(i as usize))) {
                *l.panicked.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(p);
            }
        }
        let state = Loop { body, panicked: std::sync::Mutex::new(None) };
        // SAFETY: `call` only reads `state`, which outlives the call; the body is Sync.
        unsafe { parallel_for(h.ctx, n as u64, Some(call), (&raw const state).cast_mut().cast()) };
        if let Some(p) = state.panicked.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            std::panic::resume_unwind(p);
        }
    }

    fn threads(&self) -> usize {
        self.table().map_or(1, |h| h.threads.max(1) as usize)
    }
}

/// An ONNX model on the host's runtime.
pub struct OnnxSession {
    service: *const abi::Inference,
    session: *mut c_void,
}

// SAFETY: the service's `run` is concurrent and its table outlives the instance that owns this session.
unsafe impl Send for OnnxSession {}
// SAFETY: as above.
unsafe impl Sync for OnnxSession {}

/// A named f32 tensor, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// The model's name for it.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub data: Vec<f32>,
}

impl OnnxSession {
    /// Runs the model on `(name, shape, values)` inputs; returns all of its outputs.
    ///
    /// # Errors
    /// Where a shape does not match its values, or the runtime fails.
    pub fn run(&self, inputs: &[(&str, &[usize], &[f32])]) -> Result<Vec<NamedTensor>> {
        // SAFETY: the table outlives the session.
        let table = unsafe { &*self.service };
        let run = table.run.ok_or_else(|| Error::resource("the host cannot run ONNX models"))?;
        let names: Vec<CString> = inputs.iter().map(|(n, ..)| glue::c_string(n)).collect();
        let shapes: Vec<Vec<i64>> =
            inputs.iter().map(|(_, s, _)| s.iter().map(|&n| n as i64).collect()).collect();
        let mut tensors = Vec::with_capacity(inputs.len());
        for ((name, shape, data), extents) in inputs.iter().zip(&shapes) {
            if shape.iter().product::<usize>() != data.len() {
                return Err(Error::internal(format!(
                    "input {name}: {shape:?} does not describe {} values",
                    data.len()
                )));
            }
            tensors.push(glue::tensor(abi::F32, extents, data.as_ptr().cast()));
        }
        let named: Vec<abi::NamedTensor> = names
            .iter()
            .zip(&tensors)
            .map(|(name, tensor)| abi::NamedTensor {
                struct_size: abi::size_of::<abi::NamedTensor>(),
                reserved: 0,
                name: name.as_ptr(),
                tensor,
            })
            .collect();
        let pointers: Vec<*const abi::NamedTensor> = named.iter().map(std::ptr::from_ref).collect();

        unsafe extern "C" fn emit(ctx: *mut c_void, name: *const c_char, tensor: *const abi::Tensor) {
            // SAFETY: `ctx` is the vector below; the host calls this on the calling thread with valid pointers.
            let (out, name, tensor) =
                unsafe { (&mut *ctx.cast::<Vec<Result<NamedTensor>>>(), CStr::from_ptr(name), &*tensor) };
            let name = name.to_string_lossy().into_owned();
            // SAFETY: the tensor is borrowed and valid for this call.
            let view = unsafe { glue::tensor_slice::<f32>(tensor, abi::F32) };
            out.push(view.map(|(shape, data)| NamedTensor { name, shape, data: data.to_vec() }));
        }
        let (mut out, mut error) = (Vec::<Result<NamedTensor>>::new(), glue::empty_error());
        // SAFETY: all pointers are valid for the call, and `emit` matches `out`.
        let status = unsafe {
            run(
                table.ctx,
                self.session,
                pointers.as_ptr(),
                pointers.len() as u32,
                Some(emit),
                (&raw mut out).cast(),
                &mut error,
            )
        };
        glue::check(status, &error)?;
        out.into_iter().collect()
    }
}

impl Drop for OnnxSession {
    fn drop(&mut self) {
        // SAFETY: the table outlives the session, which is closed once.
        unsafe {
            let table = &*self.service;
            if let Some(close) = table.close {
                close(table.ctx, self.session);
            }
        }
    }
}
