//! Streams for states: in pieces, and such that fail.
#![allow(unsafe_code, reason = "the ABI: streams that a plugin calls")]

use assay_abi as abi;
use std::ffi::c_void;

/// More bytes than a state of a small scan may have.
const MOST_BYTES: usize = 1 << 30;

/// Takes a state.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub(crate) bytes: Vec<u8>,
    /// Fails once so many bytes were taken.
    pub(crate) full_at: Option<usize>,
}

unsafe extern "C" fn write(ctx: *mut c_void, data: *const c_void, len: usize) -> abi::Status {
    // SAFETY: `ctx` is the target that gave the table, which lives for the call.
    let target = unsafe { &mut *ctx.cast::<Target>() };
    if len == 0 {
        return abi::OK;
    }
    let room = target.full_at.unwrap_or(MOST_BYTES).saturating_sub(target.bytes.len());
    if data.is_null() || len > room {
        return abi::ERR_RESOURCE;
    }
    // SAFETY: the method passes `len` readable bytes.
    target.bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(data.cast(), len) });
    abi::OK
}

impl Target {
    pub(crate) fn table(&mut self) -> abi::Writer {
        abi::Writer {
            struct_size: abi::size_of::<abi::Writer>(),
            reserved: 0,
            ctx: std::ptr::from_mut(self).cast(),
            write: Some(write),
        }
    }
}

/// Gives a state.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    rest: &'a [u8],
    /// Most bytes of a read.
    piece: usize,
    /// Fails when so many bytes are left.
    pub(crate) broken_at: Option<usize>,
}

unsafe extern "C" fn read(ctx: *mut c_void, data: *mut c_void, len: usize) -> i64 {
    // SAFETY: `ctx` is the source that gave the table, which lives for the call.
    let source = unsafe { &mut *ctx.cast::<Source<'_>>() };
    if source.broken_at.is_some_and(|left| source.rest.len() <= left) {
        return -1;
    }
    let n = len.min(source.piece).min(source.rest.len());
    if n == 0 || data.is_null() {
        return 0;
    }
    let (now, later) = source.rest.split_at(n);
    // SAFETY: the method has room for `len` bytes.
    unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), data.cast(), n) };
    source.rest = later;
    n as i64
}

impl<'a> Source<'a> {
    /// `state` in reads of at most `piece` bytes.
    pub(crate) fn new(state: &'a [u8], piece: usize) -> Self {
        Self { rest: state, piece, broken_at: None }
    }

    pub(crate) fn table(&mut self) -> abi::Reader {
        abi::Reader {
            struct_size: abi::size_of::<abi::Reader>(),
            reserved: 0,
            ctx: std::ptr::from_mut(self).cast(),
            read: Some(read),
        }
    }
}
