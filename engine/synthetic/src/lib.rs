//! A synthetic category of scans: a bearing cover under a structured-light sensor, with defects whose place is known.
//!
//! `assay demo` and the end-to-end tests need scans that anyone may have. Each scan is modelled in 3D: a height field
//! of the part lies on a belt 0.4 m below a pinhole camera; rays give colour (Lambert, Blinn-Phong highlights, cast
//! shadows, procedural grain) and an organised point grid with the gaps and noise of structured light. Dents and
//! bumps show in 3D alone, stains in colour alone, holes in both.
//!
//! Inside the crate lengths are millimetres; the written points are metres.
//!
//! ```no_run
//! let summary = assay_synthetic::generate("demo".as_ref(), &assay_synthetic::Spec::default())?;
//! println!("{} scans to learn from", summary.train);
//! # Ok::<(), assay_synthetic::SyntheticError>(())
//! ```

mod appearance;
mod camera;
mod category;
mod defect;
mod error;
mod part;
mod random;
mod raster;
mod relief;
mod sensor;
mod texture;
mod vector;
mod writer;

pub use category::{DefectRecord, Spec, Summary, generate};
pub use defect::DefectKind;
pub use error::SyntheticError;
