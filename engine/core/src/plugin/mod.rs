//! The plugin host: finds libraries, loads them, reads their descriptors, drives their instances.
//!
//! Everything that trusts a plugin's memory is in this module.

mod apart;
mod descriptor;
mod discovery;
mod instance;
mod library;
mod raw_params;
mod services;
mod state;
mod worker;

pub use apart::serve;
pub use descriptor::{MethodInfo, ParamInfo, ParamKind, ParamValue, PortInfo};
pub use discovery::{Registry, SearchPath};
pub use instance::{Bound, Failure, FitPass};
pub use library::{Library, Method, check_library, load};
pub use raw_params::RawParams;
pub(crate) use services::Keep;
pub use services::{HostTable, Launcher, Services, Watch};
pub use worker::{Instance, Isolation};
