//! The Assay engine: recipe, plugin host, routing, calibration, fusion, verdicts, model files, reports.

mod align;
mod blur;
pub mod calibrate;
mod check;
pub mod cloud;
mod decide;
pub mod defect;
pub mod dump;
pub mod error;
pub mod evaluate;
pub mod fit;
pub mod graph;
pub mod inspect;
pub mod map;
pub mod model;
mod opening;
pub mod partial;
pub mod pipeline;
pub mod plugin;
pub mod prepare;
pub mod quantise;
pub mod recipe;
pub mod report;
pub mod result;
mod sample;
pub mod scale;
pub mod scratch;
pub mod station;
pub mod steps;
pub mod store;
pub mod threshold;
pub mod unfinished;
pub mod value;

pub use error::{Error, Result};
