//! What a process has: threads, open files, memory.
#![allow(unsafe_code, reason = "the C library's count of what is allocated")]

fn entries(folder: &str) -> Option<usize> {
    std::fs::read_dir(folder).ok().map(Iterator::count)
}

/// Threads of this process; none where they cannot be counted.
pub(crate) fn count_threads() -> Option<usize> {
    entries("/proc/self/task")
}

/// Open files of this process; none where they cannot be counted.
pub(crate) fn count_handles() -> Option<usize> {
    entries("/proc/self/fd")
}

/// Bytes that the C library has given out and not got back; none where it does not tell.
pub(crate) fn allocated() -> Option<usize> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: reads the allocator's counters.
        let told = unsafe { libc::mallinfo2() };
        Some(told.uordblks + told.hblkhd)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}
