//! Scans: decoding, sensors, data-set layouts, preparation.
//!
//! The way of a scan through this crate: [`layout`] finds its files, [`scan::load`] decodes them
//! ([`mod@decode`]) into the modalities of its sensors, and [`prepare`] brings those to the size and the part
//! that a method works on. Files are untrusted: every size is checked against [`Limits`] before memory is
//! taken, and every failure is a [`DataError`] that names the file and what to do.

pub mod atomic;
pub mod camera;
pub mod decode;
pub mod error;
pub mod grid;
pub mod layout;
pub mod limits;
pub mod pose;
pub mod prepare;
mod register;
pub mod scan;
pub mod survey;

pub use camera::{Camera, Lens};
pub use decode::Cloud;
pub use error::DataError;
pub use grid::{Frame, Grid, Image, Mask, nearest_index};
pub use layout::{Dataset, Layout};
pub use limits::Limits;
pub use pose::Pose;
pub use scan::{Missing, Modality, Scan, ScanFiles, Sensor, SensorKind, Unit, load};
pub use survey::Survey;

#[cfg(test)]
pub(crate) mod shared_scans;
