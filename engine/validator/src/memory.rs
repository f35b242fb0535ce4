//! Memory that notices who writes beside it.
#![allow(unsafe_code, reason = "pages with other rights, and raw views of what a plugin was given")]

/// Bytes of a canary on either side.
const ZONE: usize = 64;

/// What a canary holds.
const CANARY: u8 = 0xA5;

/// How a tensor's memory is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Bytes on both sides, looked at afterwards: a write beside the tensor is found and does no harm.
    Canary,
    /// The byte behind the tensor lies in a page that nobody may touch: a read or a write there ends the process.
    PageBehind,
    /// The same before it.
    PageBefore,
}

/// The memory of one tensor, zeroed.
#[derive(Debug)]
pub(crate) struct Buffer {
    place: Place,
    start: usize,
    len: usize,
}

#[derive(Debug)]
enum Place {
    Heap(Vec<u64>),
    #[cfg(unix)]
    Pages(Pages),
}

impl Buffer {
    /// `len` bytes, aligned for any number; with a page in front or behind aligned for its elements, of which `len` is a multiple.
    ///
    /// # Errors
    /// Where the system gives no pages.
    pub(crate) fn new(len: usize, guard: Guard) -> Result<Self, String> {
        if guard == Guard::Canary {
            let mut words = vec![u64::from_ne_bytes([CANARY; 8]); len.div_ceil(8) + 2 * ZONE / 8];
            words[ZONE / 8..ZONE / 8 + len.div_ceil(8)].fill(0);
            let mut buffer = Self { place: Place::Heap(words), start: ZONE, len };
            // The bytes between the end and the next word belong to the canary.
            let tail = len..len.next_multiple_of(8);
            buffer.whole_mut()[ZONE + tail.start..ZONE + tail.end].fill(CANARY);
            return Ok(buffer);
        }
        #[cfg(unix)]
        {
            let pages = Pages::new(len)?;
            let start = if guard == Guard::PageBehind { pages.end() - len } else { pages.begin() };
            Ok(Self { place: Place::Pages(pages), start, len })
        }
        #[cfg(not(unix))]
        Err("this system has no pages that can be guarded".into())
    }

    fn whole_mut(&mut self) -> &mut [u8] {
        match &mut self.place {
            Place::Heap(words) => {
                let bytes = 8 * words.len();
                // SAFETY: the words' memory as bytes.
                unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), bytes) }
            }
            #[cfg(unix)]
            Place::Pages(pages) => pages.bytes(),
        }
    }

    /// Where it begins; valid for its length while the buffer lives.
    pub(crate) fn pointer(&mut self) -> *mut u8 {
        match &mut self.place {
            Place::Heap(words) => words.as_mut_ptr().cast::<u8>().wrapping_add(self.start),
            #[cfg(unix)]
            Place::Pages(pages) => pages.base.cast::<u8>().wrapping_add(self.start),
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        let (pointer, len) = (self.pointer(), self.len);
        // SAFETY: readable for `len` bytes whatever the rights are.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }

    /// Writes its bytes, before it is sealed.
    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        let (pointer, len) = (self.pointer(), self.len.min(bytes.len()));
        // SAFETY: writable until sealed; not overlapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, len) };
    }

    /// From now on a write to guarded pages ends the process.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn seal(&mut self) -> Result<(), String> {
        match &mut self.place {
            Place::Heap(_) => Ok(()),
            #[cfg(unix)]
            Place::Pages(pages) => pages.seal(),
        }
    }

    /// Whether nothing was written beside it.
    pub(crate) fn is_intact(&mut self) -> bool {
        let (start, end) = (self.start, self.start + self.len);
        match &mut self.place {
            Place::Heap(_) => {
                let whole = self.whole_mut();
                whole[..start].iter().chain(&whole[end..]).all(|b| *b == CANARY)
            }
            #[cfg(unix)]
            Place::Pages(_) => true,
        }
    }
}

/// Pages with one that nobody may touch on either side.
#[cfg(unix)]
#[derive(Debug)]
struct Pages {
    base: *mut std::ffi::c_void,
    page: usize,
    all: usize,
}

#[cfg(unix)]
impl Pages {
    fn new(len: usize) -> Result<Self, String> {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let failed = |e: rustix::io::Errno| format!("no guarded pages: {e}");
        let page = rustix::param::page_size();
        let all = len.div_ceil(page).max(1) * page + 2 * page;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place of the system's choice.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), all, rights, MapFlags::PRIVATE) }
            .map_err(failed)?;
        let pages = Self { base, page, all };
        for at in [0, all - page] {
            // SAFETY: the first and the last page of this mapping, which nothing refers to.
            unsafe { mprotect(base.wrapping_byte_add(at), page, MprotectFlags::empty()) }.map_err(failed)?;
        }
        Ok(pages)
    }

    fn begin(&self) -> usize {
        self.page
    }

    fn end(&self) -> usize {
        self.all - self.page
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the pages between the guards; only called before they are sealed.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.base.wrapping_byte_add(self.page).cast(),
                self.end() - self.begin(),
            )
        }
    }

    fn seal(&mut self) -> Result<(), String> {
        use rustix::mm::{MprotectFlags, mprotect};
        let (from, len) = (self.base.wrapping_byte_add(self.page), self.end() - self.begin());
        // SAFETY: pages of this mapping; nobody holds a mutable reference to them.
        unsafe { mprotect(from, len, MprotectFlags::READ) }
            .map_err(|e| format!("pages cannot be sealed: {e}"))
    }
}

#[cfg(unix)]
impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the whole of this mapping, which nothing refers to any more.
        let _ = unsafe { rustix::mm::munmap(self.base, self.all) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_notices_a_byte_on_either_side_and_none_inside() {
        for len in [0, 1, 7, 8, 100] {
            for (at, noticed) in [(-1, true), (len as isize, true), (0, len == 0)] {
                let mut buffer = Buffer::new(len, Guard::Canary).unwrap();
                assert!(buffer.is_intact() && buffer.bytes().iter().all(|b| *b == 0));
                // SAFETY: within the canaries.
                unsafe { *buffer.pointer().offset(at) = 1 };
                assert_eq!(!buffer.is_intact(), noticed, "{len} bytes, byte {at}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn guarded_pages_lie_right_behind_or_right_before_the_tensor() {
        let page = rustix::param::page_size();
        for (guard, len) in [
            (Guard::PageBehind, 12),
            (Guard::PageBefore, 12),
            (Guard::PageBehind, page),
            (Guard::PageBehind, 0),
        ] {
            let mut buffer = Buffer::new(len, guard).unwrap();
            let start = buffer.pointer() as usize;
            let edge = if guard == Guard::PageBehind { start + len } else { start };
            assert_eq!(edge % page, 0);
            buffer.fill(&vec![3; len]);
            buffer.seal().unwrap();
            assert!(buffer.bytes().iter().all(|b| *b == 3));
        }
    }
}
