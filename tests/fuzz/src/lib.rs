//! Fuzz targets: what Assay reads from files and streams that it did not write.
//!
//! A [`Target`] feeds bytes to one reader and panics where it breaks a promise: a panic of its own, a result that
//! contradicts itself, or more memory than its limits allow. The same targets are driven in two ways: `tests/smoke.rs`
//! with some thousand mutations of the seeds, and `examples/libfuzzer.rs` with libFuzzer for as long as one likes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target panics on what it finds, and on what its own setting-up lacks"
)]

mod memory;
pub mod mutation;
mod onnx;
mod targets;

pub use targets::TARGETS;

/// One reader under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of inputs.
    pub name: &'static str,
    /// Reads an input; panics where the reader breaks a promise.
    pub read: fn(&[u8]),
    /// Small well-formed inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What inputs are made of, for mutations.
    pub words: fn() -> Vec<&'static str>,
    /// Bytes of memory that reading may take at a time: so many, and so many more for each byte of the input.
    pub memory: (usize, usize),
}

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Reads an input and holds the reader to its memory.
    ///
    /// # Panics
    /// Where the reader breaks a promise.
    pub fn check(&self, input: &[u8]) {
        let (base, each) = self.memory;
        let allowed = base + each * input.len();
        let mut taken = memory::peak_of(|| (self.read)(input));
        if taken > allowed {
            // What is made once, by whichever input comes first, is not that input's.
            taken = memory::peak_of(|| (self.read)(input));
        }
        assert!(
            taken <= allowed,
            "{}: an input of {} bytes took {taken} bytes of memory, {allowed} are allowed",
            self.name,
            input.len()
        );
    }
}
