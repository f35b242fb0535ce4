//! libFuzzer on the target that `ASSAY_FUZZ_TARGET` names; `scripts/fuzz` builds and runs it.
#![no_main]
#![allow(missing_docs, reason = "the macro makes the functions that libFuzzer calls")]

use assay_fuzz::Target;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("ASSAY_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("ASSAY_FUZZ_TARGET: there is no target `{name}`"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.check(input));
