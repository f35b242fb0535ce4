//! The plugin host: finds libraries, loads them, reads their descriptors, drives their instances.
//!
//! Everything that trusts a plugin's memory is in this module.

mod descriptor;
mod discovery;
mod instance;
mod library;
mod raw_params;
mod services;
mod state;

pub use descriptor::{MethodInfo, ParamInfo, ParamKind, ParamValue, PortInfo};
pub use discovery::{Registry, SearchPath};
pub use instance::{Bound, Failure, FitPass, Instance};
pub use library::{Library, Method, check_library, load};
pub use raw_params::RawParams;
pub use services::{HostTable, Services, Watch};
