//! Says of a method plugin what is wrong with it, before a station finds out.
//!
//! [`validate`] tries a library check by check ([`CHECKS`]); each runs in a process of its own with a limit of time, so that a
//! crash or a hang is one more finding and not the end of the report. Methods are driven as a host drives them, on small
//! made-up scans, in memory that notices who writes beside it. `docs/plugin-validator.md` explains every check.

mod checks;
mod drive;
mod finding;
mod made;
mod memory;
mod notes;
mod process;
mod run;
mod scans;
mod streams;
mod subject;
mod task;

pub use checks::{CHECKS, Check};
pub use finding::{Finding, Status};
pub use run::{Error, Options, validate};
pub use task::{Param, Task};
