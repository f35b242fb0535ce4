//! Reports of an inspection: the anomaly map over its scan, a picture of a height grid, and an HTML page of all scans.
//!
//! Pictures are `[rows, columns, 3]` arrays of 8-bit sRGB; encoding them is the caller's. [`html`] refers to them by
//! relative paths and needs neither scripts nor a network.

mod caption;
mod colour;
mod error;
mod font;
mod height;
mod html;
mod number;
mod outline;
mod overlay;
mod scale;
mod strip;

pub use caption::{Caption, captioned};
pub use colour::{ColourMap, Rgb};
pub use error::ReportError;
pub use height::height_picture;
pub use html::{Metrics, Page, Picture, ScanCard, Verdict, html};
pub use overlay::{overlay, shade};
pub use scale::Scale;
