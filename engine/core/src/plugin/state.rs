//! The state of an instance, to a stream and from one.
#![allow(unsafe_code, reason = "the ABI: a plugin's save and load, and the streams they are given")]

use super::instance::{Failure, Local, Outcome, call};
use assay_abi as abi;
use std::ffi::c_void;
use std::io::{Read, Write};

impl Local {
    /// Writes the state to `out`, as the method saves it.
    ///
    /// # Errors
    /// What the method says; what is wrong with `out`.
    pub(super) fn save(&mut self, out: &mut dyn Write) -> Outcome<()> {
        struct Target<'a> {
            out: &'a mut dyn Write,
            failed: Option<std::io::Error>,
        }
        unsafe extern "C" fn write(ctx: *mut c_void, data: *const c_void, len: usize) -> abi::Status {
            if len == 0 {
                return abi::OK;
            }
            if data.is_null() {
                return abi::ERR_STATE;
            }
            // SAFETY: `ctx` is the target below; the method passes `len` readable bytes.
            let (target, data) =
                unsafe { (&mut *ctx.cast::<Target<'_>>(), std::slice::from_raw_parts(data.cast(), len)) };
            match target.out.write_all(data) {
                Ok(()) => abi::OK,
                Err(e) => {
                    target.failed = Some(e);
                    abi::ERR_RESOURCE
                }
            }
        }
        let mut target = Target { out, failed: None };
        let writer = abi::Writer {
            struct_size: abi::size_of::<abi::Writer>(),
            reserved: 0,
            ctx: (&raw mut target).cast(),
            write: Some(write),
        };
        let save = self.method.table().save.ok_or_else(|| Failure::new("has no state"))?;
        // SAFETY: all pointers are valid for the call.
        let saved = call(|e| unsafe { save(self.handle, &writer, e) });
        match target.failed {
            Some(e) => Err(Failure::new(format!("its state cannot be written: {e}"))),
            None => saved,
        }
    }

    /// Loads a state.
    ///
    /// # Errors
    /// What the method says of it; what is wrong with `state`.
    pub(super) fn load(&mut self, state: &mut dyn Read) -> Outcome<()> {
        struct From<'a> {
            state: &'a mut dyn Read,
            failed: Option<std::io::Error>,
        }
        unsafe extern "C" fn read(ctx: *mut c_void, data: *mut c_void, len: usize) -> i64 {
            if len == 0 || data.is_null() {
                return 0;
            }
            // SAFETY: `ctx` is the source below; the method has room for `len` bytes, which hold something from here on.
            let (from, data) = unsafe {
                data.cast::<u8>().write_bytes(0, len);
                (&mut *ctx.cast::<From<'_>>(), std::slice::from_raw_parts_mut(data.cast(), len))
            };
            match from.state.read(data) {
                Ok(n) => n as i64,
                Err(e) => {
                    from.failed = Some(e);
                    -1
                }
            }
        }
        let mut from = From { state, failed: None };
        let reader = abi::Reader {
            struct_size: abi::size_of::<abi::Reader>(),
            reserved: 0,
            ctx: (&raw mut from).cast(),
            read: Some(read),
        };
        let load = self.method.table().load.ok_or_else(|| Failure::new("has no state"))?;
        // SAFETY: [exclusive] by `&mut self`; all pointers are valid for the call.
        let loaded = call(|e| unsafe { load(self.handle, &reader, e) });
        match from.failed {
            Some(e) => Err(Failure::new(format!("it cannot be read: {e}"))),
            None => loaded,
        }
    }
}
