//! A small host for unit tests: drives a method through the same C functions that the real host calls.
#![allow(unsafe_code, reason = "the ABI, from the host's side")]

use crate::error::{Error, Result};
use crate::glue;
use crate::method::Method;
use crate::params::{ParamValue, Params};
use crate::tables;
use crate::value::{Content, Frame, Layout};
use assay_abi as abi;
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_void};
use std::path::Path;

/// One input or output value, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct TestValue {
    /// Index into the method's inputs (or outputs).
    pub port: usize,
    /// What it means.
    pub content: Content,
    /// `[channels, rows, cols]` of a grid, `[points, channels]` of a cloud.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
    /// Validity, or all valid.
    pub valid: Option<Vec<u8>>,
    /// Positions of a cloud.
    pub positions: Option<Vec<f32>>,
    /// Where a grid lies.
    pub frame: Frame,
    /// Image score of scores; NaN otherwise.
    pub image_score: f64,
}

impl TestValue {
    /// A native grid on port 0, all valid.
    pub fn grid(content: Content, shape: [usize; 3], values: Vec<f32>) -> Self {
        Self {
            port: 0,
            content,
            shape: shape.to_vec(),
            values,
            valid: None,
            positions: None,
            frame: Frame::NATIVE,
            image_score: f64::NAN,
        }
    }

    /// A cloud on port 0, all valid: `positions` `[points, 3]` and `values` `[points, channels]`, which a sensor's cloud does
    /// not have (no channels).
    pub fn cloud(content: Content, positions: Vec<f32>, channels: usize, values: Vec<f32>) -> Self {
        Self {
            shape: vec![positions.len() / 3, channels],
            positions: Some(positions),
            ..Self::grid(content, [0; 3], values)
        }
    }

    /// The same with a validity mask.
    pub fn with_valid(self, valid: Vec<u8>) -> Self {
        Self { valid: Some(valid), ..self }
    }

    /// The same with another place.
    pub fn with_frame(self, frame: Frame) -> Self {
        Self { frame, ..self }
    }

    fn spec(&self, name: &CString) -> abi::Spec {
        let cloud = self.positions.is_some();
        let dim = |i: usize| self.shape.get(i).map_or(0, |&n| n as i64);
        abi::Spec {
            struct_size: abi::size_of::<abi::Spec>(),
            port: self.port as u32,
            content: self.content as u32,
            layout: if cloud { Layout::Cloud } else { Layout::Grid } as u32,
            channels: if cloud { dim(1) } else { dim(0) },
            rows: if cloud { -1 } else { dim(1) },
            cols: if cloud { 1 } else { dim(2) },
            native_rows: if cloud { 0 } else { dim(1) },
            native_cols: if cloud { 0 } else { dim(2) },
            value_min: f64::NAN,
            value_max: f64::NAN,
            frame: self.frame.to_abi(),
            name: name.as_ptr(),
        }
    }
}

/// Output memory of one score call.
#[derive(Default)]
struct Sink {
    parts: Vec<(u32, u32, Vec<usize>, Memory)>,
    image_scores: Vec<(u32, f64)>,
}

enum Memory {
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
}

unsafe extern "C" fn alloc(
    ctx: *mut c_void,
    port: u32,
    part: u32,
    dtype: u32,
    shape: *const i64,
    ndim: u32,
    data: *mut *mut c_void,
    _: *mut abi::Error,
) -> abi::Status {
    // SAFETY: `ctx` is the cell in `score`; `shape` and `data` are the method's.
    let (cell, shape) =
        unsafe { (&*ctx.cast::<RefCell<Sink>>(), std::slice::from_raw_parts(shape, ndim as usize)) };
    let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
    let len = shape.iter().product();
    let mut memory =
        if dtype == abi::F32 { Memory::Floats(vec![0.0; len]) } else { Memory::Bytes(vec![0; len]) };
    let pointer = match &mut memory {
        Memory::Floats(v) => v.as_mut_ptr().cast::<c_void>(),
        Memory::Bytes(v) => v.as_mut_ptr().cast(),
    };
    // SAFETY: as above; moving the vector into the list does not move its heap memory.
    unsafe { *data = pointer };
    cell.borrow_mut().parts.push((port, part, shape, memory));
    abi::OK
}

unsafe extern "C" fn set_image_score(
    ctx: *mut c_void,
    port: u32,
    score: f64,
    _: *mut abi::Error,
) -> abi::Status {
    // SAFETY: `ctx` is the cell in `score`.
    unsafe { &*ctx.cast::<RefCell<Sink>>() }.borrow_mut().image_scores.push((port, score));
    abi::OK
}

/// What the host's functions find at their `ctx`.
#[derive(Default)]
struct Services {
    scratch: CString,
    threads: usize,
    kept: RefCell<Option<Vec<u8>>>,
}

/// The loop over `Services::threads` threads, each of which takes every so many-th index.
unsafe extern "C" fn parallel_for(ctx: *mut c_void, n: u64, body: Option<abi::LoopBody>, arg: *mut c_void) {
    /// The argument of a loop's body, which is for all threads by the ABI.
    #[derive(Clone, Copy)]
    struct Shared(*mut c_void);
    // SAFETY: the ABI has bodies called from several threads at once.
    unsafe impl Send for Shared {}
    impl Shared {
        fn get(self) -> *mut c_void {
            self.0
        }
    }
    // SAFETY: `ctx` is the runner's, which outlives its instance.
    let threads = unsafe { &*ctx.cast::<Services>() }.threads;
    let (Some(body), arg) = (body, Shared(arg)) else { return };
    std::thread::scope(|scope| {
        for first in 0..threads as u64 {
            // SAFETY: each index once, and the loop's caller waits for all of them.
            scope.spawn(move || (first..n).step_by(threads).for_each(|i| unsafe { body(arg.get(), i) }));
        }
    });
}

unsafe extern "C" fn keep(
    ctx: *mut c_void,
    data: *const c_void,
    len: usize,
    _: *mut abi::Error,
) -> abi::Status {
    let bytes = if len == 0 {
        Vec::new()
    } else {
        // SAFETY: the method's bytes, valid for the call.
        unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) }.to_vec()
    };
    // SAFETY: `ctx` is the runner's, which outlives its instance.
    *unsafe { &*ctx.cast::<Services>() }.kept.borrow_mut() = Some(bytes);
    abi::OK
}

unsafe extern "C" fn kept(
    ctx: *mut c_void,
    emit: Option<abi::EmitBytesFn>,
    emit_ctx: *mut c_void,
    _: *mut abi::Error,
) -> abi::Status {
    // SAFETY: `ctx` is the runner's, which outlives its instance.
    let bytes = unsafe { &*ctx.cast::<Services>() }.kept.borrow().clone();
    if let (Some(emit), Some(bytes)) = (emit, bytes) {
        // SAFETY: the bytes live for the call.
        unsafe { emit(emit_ctx, bytes.as_ptr().cast(), bytes.len()) };
    }
    abi::OK
}

/// A method under test.
pub struct Runner {
    table: abi::Method,
    instance: *mut c_void,
    planned: Vec<abi::Spec>,
    host: Box<abi::Host>,
    services: Box<Services>,
}

impl Runner {
    /// Makes an instance of `M` with defaults but for `params`, and seed 0.
    ///
    /// # Errors
    /// As the method's `create`; a parameter error for an undeclared name.
    pub fn new<M: Method>(params: &[(&str, ParamValue)]) -> Result<Self> {
        Self::with_seed::<M>(params, 0)
    }

    /// The same with a seed.
    ///
    /// # Errors
    /// As [`Runner::new`].
    pub fn with_seed<M: Method>(params: &[(&str, ParamValue)], seed: u64) -> Result<Self> {
        let host = Box::new(abi::Host {
            struct_size: abi::size_of::<abi::Host>(),
            abi_major: abi::ABI_MAJOR,
            abi_minor: abi::ABI_MINOR,
            threads: 1,
            seed,
            name: c"test".as_ptr(),
            version: c"0".as_ptr(),
            ctx: std::ptr::null_mut(),
            get_extension: None,
            log: None,
            parallel_for: None,
            progress: None,
            scratch: None,
            inference: std::ptr::null(),
            keep: Some(keep),
            kept: Some(kept),
        });
        let table = tables::method_table::<M>();
        let mut values: Vec<ParamValue> = M::Params::describe().into_iter().map(|p| p.default).collect();
        for (name, value) in params {
            let at = M::Params::describe().iter().position(|p| p.name == *name);
            values[at.ok_or_else(|| Error::parameter(name, "is not declared"))?] = value.clone();
        }
        let raw: Vec<*const abi::ParamValue> =
            values.iter().map(|v| std::ptr::from_ref(tables::leak_value(None, v))).collect();
        let (mut instance, mut error) = (std::ptr::null_mut(), glue::empty_error());
        let create = table.create.ok_or_else(|| Error::internal("no create"))?;
        // SAFETY: all pointers are valid; the host is kept beside the instance.
        let status =
            unsafe { create(&table, &*host, raw.as_ptr(), raw.len() as u32, &mut instance, &mut error) };
        glue::check(status, &error)?;
        let mut runner = Self { table, instance, planned: Vec::new(), host, services: Box::default() };
        runner.host.ctx = (&raw mut *runner.services).cast();
        Ok(runner)
    }

    /// The same with `folder` as the host's scratch folder; by default there is none.
    ///
    /// # Errors
    /// A path that is not UTF-8, or that holds a zero byte.
    pub fn with_scratch(mut self, folder: &Path) -> Result<Self> {
        unsafe extern "C" fn scratch(ctx: *mut c_void) -> *const c_char {
            // SAFETY: `ctx` is the runner's, which outlives its instance.
            unsafe { &*ctx.cast::<Services>() }.scratch.as_ptr()
        }
        let text = folder.to_str().and_then(|text| CString::new(text).ok());
        self.services.scratch =
            text.ok_or_else(|| Error::internal("the scratch folder has no name in UTF-8"))?;
        self.host.scratch = Some(scratch);
        Ok(self)
    }

    /// What the method had the host keep in its last fit.
    pub fn kept(&self) -> Option<Vec<u8>> {
        self.services.kept.borrow().clone()
    }

    /// The same as after an interrupted fit that had kept `bytes`.
    pub fn with_kept(self, bytes: Vec<u8>) -> Self {
        *self.services.kept.borrow_mut() = Some(bytes);
        self
    }

    /// The same with loops over `threads` threads, at least 1; by default they run on the caller's alone.
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.services.threads = threads.max(1);
        self.host.threads = u32::try_from(threads.max(1)).unwrap_or(u32::MAX);
        self.host.parallel_for = Some(parallel_for);
        self
    }

    /// Plans for inputs shaped like `inputs`; returns `(channels, rows, cols)` of each output, `(channels, -1, 1)` of a cloud.
    ///
    /// # Errors
    /// As the method's `plan`.
    pub fn plan(&mut self, inputs: &[TestValue]) -> Result<Vec<(i64, i64, i64)>> {
        let name = CString::from(c"test");
        let specs: Vec<abi::Spec> = inputs.iter().map(|v| v.spec(&name)).collect();
        let pointers: Vec<*const abi::Spec> = specs.iter().map(std::ptr::from_ref).collect();
        let blank = TestValue::grid(Content::Features, [0, 0, 0], Vec::new()).spec(&name);
        let mut outputs = vec![blank; self.table.n_outputs as usize];
        for (i, o) in outputs.iter_mut().enumerate() {
            o.port = i as u32;
        }
        let out: Vec<*mut abi::Spec> = outputs.iter_mut().map(std::ptr::from_mut).collect();
        let mut error = glue::empty_error();
        let plan = self.table.plan.ok_or_else(|| Error::internal("no plan"))?;
        // SAFETY: all pointers are valid for the call.
        let status = unsafe {
            plan(
                self.instance,
                pointers.as_ptr(),
                pointers.len() as u32,
                out.as_ptr(),
                out.len() as u32,
                &mut error,
            )
        };
        glue::check(status, &error)?;
        self.planned = outputs;
        Ok(self.planned.iter().map(|o| (o.channels, o.rows, o.cols)).collect())
    }

    /// Plans, then fits on `scans` (each a list of inputs), with as many passes as the method asks for.
    ///
    /// # Errors
    /// As the method's functions.
    pub fn fit(&mut self, scans: &[Vec<TestValue>]) -> Result<()> {
        self.plan(scans.first().map_or(&[][..], Vec::as_slice))?;
        let missing = || Error::state("the method has no fit functions");
        let (begin, add, end) = (
            self.table.fit_begin.ok_or_else(missing)?,
            self.table.fit_add.ok_or_else(missing)?,
            self.table.fit_end.ok_or_else(missing)?,
        );
        for pass in 0.. {
            let fit = abi::Fit {
                struct_size: abi::size_of::<abi::Fit>(),
                pass,
                fold: 0,
                n_folds: 0,
                n_samples: scans.len() as u64,
                resumed: 0,
                reserved: 0,
            };
            let mut error = glue::empty_error();
            // SAFETY: all pointers are valid for the call.
            glue::check(unsafe { begin(self.instance, &fit, &mut error) }, &error)?;
            for (i, scan) in scans.iter().enumerate() {
                with_sample(scan, i, |s| {
                    let mut error = glue::empty_error();
                    // SAFETY: the sample is valid for the call.
                    glue::check(unsafe { add(self.instance, s, &mut error) }, &error)
                })?;
            }
            let mut next = abi::FIT_DONE;
            // SAFETY: as above.
            glue::check(unsafe { end(self.instance, &mut next, &mut error) }, &error)?;
            if next == abi::FIT_DONE {
                break;
            }
        }
        Ok(())
    }

    /// Scores one scan.
    ///
    /// # Errors
    /// As the method's `score`; an internal error where an output was not written.
    pub fn score(&self, scan: &[TestValue]) -> Result<Vec<TestValue>> {
        let score = self.table.score.ok_or_else(|| Error::internal("no score"))?;
        let sink = RefCell::new(Sink::default());
        let outputs = abi::Outputs {
            struct_size: abi::size_of::<abi::Outputs>(),
            n_outputs: self.table.n_outputs,
            ctx: (&raw const sink).cast_mut().cast(),
            alloc: Some(alloc),
            set_image_score: Some(set_image_score),
        };
        with_sample(scan, 0, |s| {
            let (samples, sinks) = ([std::ptr::from_ref(s)], [std::ptr::from_ref(&outputs)]);
            let mut error = glue::empty_error();
            // SAFETY: all pointers are valid for the call.
            glue::check(
                unsafe { score(self.instance, samples.as_ptr(), sinks.as_ptr(), 1, &mut error) },
                &error,
            )
        })?;
        let sink = sink.into_inner();
        let mut values: Vec<TestValue> = Vec::new();
        for (port, spec) in self.planned.iter().enumerate() {
            let content =
                Content::of(spec.content).ok_or_else(|| Error::internal("unknown output content"))?;
            let mut value =
                TestValue::grid(content, [0, 0, 0], Vec::new()).with_frame(Frame::from_abi(spec.frame));
            value.port = port;
            value.image_score = sink
                .image_scores
                .iter()
                .find(|(p, _)| *p == port as u32)
                .map_or(f64::NAN, |&(_, score)| score);
            values.push(value);
        }
        for (port, part, shape, memory) in sink.parts {
            let value = values
                .get_mut(port as usize)
                .ok_or_else(|| Error::internal("an unknown output was written"))?;
            match (part, memory) {
                (abi::PART_VALUES, Memory::Floats(v)) => (value.shape, value.values) = (shape, v),
                (abi::PART_POSITIONS, Memory::Floats(v)) => value.positions = Some(v),
                (_, Memory::Bytes(v)) => value.valid = Some(v),
                _ => return Err(Error::internal("an output part has the wrong type")),
            }
        }
        Ok(values)
    }

    /// The saved state.
    ///
    /// # Errors
    /// As the method's `save`.
    pub fn save(&self) -> Result<Vec<u8>> {
        unsafe extern "C" fn write(ctx: *mut c_void, data: *const c_void, len: usize) -> abi::Status {
            // SAFETY: `ctx` is the vector below, `data` holds `len` bytes.
            unsafe {
                (*ctx.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(data.cast(), len))
            };
            abi::OK
        }
        let mut bytes = Vec::<u8>::new();
        let writer = abi::Writer {
            struct_size: abi::size_of::<abi::Writer>(),
            reserved: 0,
            ctx: (&raw mut bytes).cast(),
            write: Some(write),
        };
        let mut error = glue::empty_error();
        let save = self.table.save.ok_or_else(|| Error::state("the method has no state"))?;
        // SAFETY: all pointers are valid for the call.
        glue::check(unsafe { save(self.instance, &writer, &mut error) }, &error)?;
        Ok(bytes)
    }

    /// Loads a saved state, in pieces of 17 bytes; plan first.
    ///
    /// # Errors
    /// As the method's `load`.
    pub fn load(&mut self, state: &[u8]) -> Result<()> {
        unsafe extern "C" fn read(ctx: *mut c_void, data: *mut c_void, len: usize) -> i64 {
            // SAFETY: `ctx` is the slice below, `data` has room for `len` bytes.
            unsafe {
                let rest = &mut *ctx.cast::<&[u8]>();
                let n = len.min(rest.len()).min(17);
                std::ptr::copy_nonoverlapping(rest.as_ptr(), data.cast(), n);
                *rest = &rest[n..];
                n as i64
            }
        }
        let mut rest = state;
        let reader = abi::Reader {
            struct_size: abi::size_of::<abi::Reader>(),
            reserved: 0,
            ctx: (&raw mut rest).cast(),
            read: Some(read),
        };
        let mut error = glue::empty_error();
        let load = self.table.load.ok_or_else(|| Error::state("the method has no state"))?;
        // SAFETY: all pointers are valid for the call.
        glue::check(unsafe { load(self.instance, &reader, &mut error) }, &error)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(destroy) = self.table.destroy {
            // SAFETY: the instance came from `create` and is destroyed once.
            unsafe { destroy(self.instance) };
        }
    }
}

/// Calls `body` with the scan as the ABI wants it.
fn with_sample<T>(scan: &[TestValue], index: usize, body: impl FnOnce(&abi::Sample) -> T) -> T {
    let extents = |shape: &[usize]| shape.iter().map(|&n| n as i64).collect::<Vec<i64>>();
    let shapes: Vec<[Vec<i64>; 3]> = scan
        .iter()
        .map(|v| {
            // Of a cloud each part says its own length, so that a test may pass parts that do not match.
            let cells = match (&v.positions, &v.valid) {
                (Some(_), Some(valid)) => vec![valid.len() as i64],
                _ => extents(&v.shape[1..]),
            };
            let points = v.positions.as_ref().map_or(0, |p| p.len() / 3);
            [extents(&v.shape), cells, vec![points as i64, 3]]
        })
        .collect();
    let tensors: Vec<[abi::Tensor; 3]> = scan
        .iter()
        .zip(&shapes)
        .map(|(v, s)| {
            let bytes = v.valid.as_ref().map_or(std::ptr::null(), |m| m.as_ptr().cast());
            let positions = v.positions.as_ref().map_or(std::ptr::null(), |p| p.as_ptr().cast());
            [
                glue::tensor(abi::F32, &s[0], v.values.as_ptr().cast()),
                glue::tensor(abi::U8, &s[1], bytes),
                glue::tensor(abi::F32, &s[2], positions),
            ]
        })
        .collect();
    let values: Vec<abi::Value> = scan
        .iter()
        .zip(&tensors)
        .map(|(v, t)| abi::Value {
            struct_size: abi::size_of::<abi::Value>(),
            port: v.port as u32,
            content: v.content as u32,
            layout: if v.positions.is_some() { Layout::Cloud } else { Layout::Grid } as u32,
            values: &t[0],
            valid: if v.valid.is_some() { &t[1] } else { std::ptr::null() },
            positions: if v.positions.is_some() { &t[2] } else { std::ptr::null() },
            frame: v.frame.to_abi(),
            image_score: v.image_score,
        })
        .collect();
    let pointers: Vec<*const abi::Value> = values.iter().map(std::ptr::from_ref).collect();
    let id = CString::new(format!("scan {index}")).unwrap_or_default();
    body(&abi::Sample {
        struct_size: abi::size_of::<abi::Sample>(),
        n_inputs: pointers.len() as u32,
        index: index as u64,
        id: id.as_ptr(),
        inputs: pointers.as_ptr(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Host, Info, InputPort, Layout, OutputPort, OutputSpec, Outputs, Parallel, Sample, Spec,
        for_each_chunk,
    };

    /// Sums the columns of each point, on the host's threads.
    struct RowSums(Host);

    impl Method for RowSums {
        type Params = ();
        const INFO: Info = Info {
            id: "row-sums",
            name: "Row sums",
            summary: "",
            vendor: "test",
            version: "0",
            licence: "",
            paper: "",
            deviations: "",
            inputs: &[InputPort {
                name: "cloud",
                doc: "",
                content: &[Content::Features],
                layout: &[Layout::Cloud],
                min_count: 1,
                max_count: 1,
            }],
            outputs: &[OutputPort {
                name: "sums",
                doc: "",
                content: Content::Features,
                layout: &[Layout::Cloud],
            }],
            fitted: false,
            deterministic: true,
        };

        fn create((): (), host: Host) -> Result<Self> {
            Ok(Self(host))
        }

        fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
            assert_eq!((inputs[0].layout, inputs[0].rows, inputs[0].channels), (Layout::Cloud, 0, 2));
            Ok(vec![OutputSpec::cloud(1)])
        }

        fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
            let cloud = sample.clouds()?[0];
            let (sums, positions) = out.cloud(0, cloud.points)?;
            for_each_chunk(&self.0, sums, 1, &|i, sum| sum[0] = cloud.row(i).iter().sum());
            positions.copy_from_slice(cloud.positions);
            for (i, valid) in out.cloud_valid(0, cloud.points)?.iter_mut().enumerate() {
                *valid = u8::from(cloud.is_valid(i) && cloud.position(i)[2] > 0.0);
            }
            assert!(self.0.threads() <= 3);
            Ok(())
        }
    }

    fn cloud(points: usize) -> TestValue {
        let positions = (0..3 * points).map(|i| i as f32 - 2.0).collect();
        TestValue::cloud(Content::Features, positions, 2, (0..2 * points).map(|i| i as f32).collect())
    }

    #[test]
    fn a_cloud_goes_through_a_method_and_back_on_any_number_of_threads() {
        for threads in [1, 3] {
            let mut runner = Runner::new::<RowSums>(&[]).unwrap().with_threads(threads);
            let input = cloud(3).with_valid(vec![1, 1, 0]);
            assert_eq!(runner.plan(std::slice::from_ref(&input)).unwrap(), [(1, -1, 1)]);
            let out = runner.score(std::slice::from_ref(&input)).unwrap().remove(0);
            assert_eq!((out.shape, out.values), (vec![3, 1], vec![1.0, 5.0, 9.0]));
            assert_eq!((out.positions, out.valid), (input.positions, Some(vec![0, 1, 0])));
        }
    }

    #[test]
    fn a_cloud_whose_parts_do_not_match_is_refused_before_the_method_sees_it() {
        let mut runner = Runner::new::<RowSums>(&[]).unwrap();
        runner.plan(&[cloud(3)]).unwrap();
        for broken in [
            TestValue { shape: vec![2, 2], ..cloud(3) },
            TestValue { positions: Some(vec![0.0; 6]), ..cloud(3) },
            cloud(3).with_valid(vec![1, 1]),
        ] {
            assert_eq!(runner.score(&[broken]).unwrap_err().code, crate::Code::Input);
        }
    }
}
