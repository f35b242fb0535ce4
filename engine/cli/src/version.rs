//! Which build of the program this is.

/// The version and, where the build knew it, the git revision.
pub(crate) const LONG: &str = match REVISION {
    Some(_) => concat!(env!("CARGO_PKG_VERSION"), " (", env!("ASSAY_BUILD_REVISION"), ")"),
    None => env!("CARGO_PKG_VERSION"),
};

/// The git revision of the sources, shortened; `None` where the build did not know it.
pub(crate) const REVISION: Option<&str> =
    if env!("ASSAY_BUILD_REVISION").is_empty() { None } else { Some(env!("ASSAY_BUILD_REVISION")) };
