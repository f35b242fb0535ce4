//! Memory that a training takes and gives back at every step.

/// While it lives, the C library keeps what is freed. The tensors of a step are as large as those of the step before, and pages that go back to the system
/// after each come from it again, filled with zeros: of a small EasyNet's steps that took a seventh of the processors' time.
///
/// Where the library is not glibc, it does nothing.
pub(crate) struct KeptPages(());

impl KeptPages {
    pub(crate) fn new() -> Self {
        set(1 << 30, i32::MAX, 64 << 20);
        Self(())
    }
}

impl Drop for KeptPages {
    fn drop(&mut self) {
        // What glibc comes to by itself in a process that frees much, and begins with.
        set(MOST_OF_OLD, 64 << 20, 128 << 10);
        give_back();
    }
}

/// The most that glibc up to 2.34 takes as the first of the values below.
const MOST_OF_OLD: i32 = 32 << 20;

/// From `map` bytes on a piece of memory is the system's own; from `trim` bytes on what is free at a heap's end goes back to it; `pad` bytes are taken with
/// what a heap lacks, and a heap of a thread, of 64 MiB at most, goes back as a whole when it is free and the one before it has more room than that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a C function is called")]
fn set(map: i32, trim: i32, pad: i32) {
    // SAFETY: it takes no pointer, and may be called at any time from any thread. A value that it refuses, for which it gives 0, changes nothing.
    unsafe {
        if libc::mallopt(libc::M_MMAP_THRESHOLD, map) == 0 {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MOST_OF_OLD);
        }
        libc::mallopt(libc::M_TRIM_THRESHOLD, trim);
        libc::mallopt(libc::M_TOP_PAD, pad);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a C function is called")]
fn give_back() {
    // SAFETY: as above.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_map: i32, _trim: i32, _pad: i32) {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}
