//! Where tests find the scans that developers share; they are never part of the product.

use std::path::PathBuf;

/// The shared `data` folder, or `None` (with a line on stderr) where there is none.
pub(crate) fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("ASSAY_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let data = shared.join("data");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("skipped: {} not present: shared scans not found", data.display());
    None
}

/// The MVTec 3D-AD category among the shared scans.
pub(crate) fn cable_gland() -> Option<PathBuf> {
    folder().map(|data| data.join("mvtec3d/cable_gland"))
}
