//! What the author of an Assay method plugin imports.
//!
//! A method is a struct, a set of parameters declared by [`params!`], and an implementation of [`Method`]; [`export!`]
//! makes the library. The crate depends on nothing but the ABI. See `plugins/fusion` for a small complete plugin.
//!
//! ```
//! use assay_sdk::*;
//!
//! params! {
//!     /// Parameters.
//!     pub struct Settings {
//!         /// Grey value of a good part.
//!         expected: f64 = 128.0, min = 0.0, max = 255.0;
//!     }
//! }
//!
//! /// Scores each pixel by its distance from the expected grey value.
//! struct Deviation(Settings);
//!
//! impl Method for Deviation {
//!     type Params = Settings;
//!     const INFO: Info = Info {
//!         id: "deviation", name: "Deviation", summary: "Distance from an expected grey value.",
//!         vendor: "example", version: "1.0.0", licence: "MIT", paper: "", deviations: "",
//!         inputs: &[InputPort { name: "image", doc: "grey image", content: &[Content::Gray], layout: &[Layout::Grid], min_count: 1, max_count: 1 }],
//!         outputs: &[OutputPort { name: "scores", doc: "distance", content: Content::Scores, layout: &[Layout::Grid] }],
//!         fitted: false, deterministic: true,
//!     };
//!
//!     fn create(params: Settings, _host: Host) -> Result<Self> {
//!         Ok(Self(params))
//!     }
//!
//!     fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
//!         Ok(vec![OutputSpec::grid_like(&inputs[0], 1)])
//!     }
//!
//!     fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
//!         let image = sample.inputs[0].grid()?;
//!         let scores = out.grid(0)?;
//!         for (s, v) in scores.iter_mut().zip(image.values) {
//!             *s = (v - self.0.expected as f32).abs();
//!         }
//!         out.image_score(0, f64::from(scores.iter().copied().fold(0.0, f32::max)))
//!     }
//! }
//!
//! let mut runner = testing::Runner::new::<Deviation>(&[("expected", ParamValue::Float(100.0))])?;
//! let image = testing::TestValue::grid(Content::Gray, [1, 1, 2], vec![100.0, 90.0]);
//! runner.plan(std::slice::from_ref(&image))?;
//! assert_eq!(runner.score(&[image])?[0].values, [0.0, 10.0]);
//! # Ok::<(), Error>(())
//! ```

pub mod error;
#[doc(hidden)]
pub mod glue;
pub mod host;
pub mod method;
pub mod parallel;
pub mod params;
pub mod state;
#[doc(hidden)]
pub mod tables;
pub mod testing;
pub mod value;

pub use assay_abi as abi;
pub use error::{Code, Error, Result};
pub use host::{Host, Level, NamedTensor, OnnxSession};
pub use method::{Fit, Info, InputPort, Method, Next, OutputPort};
pub use parallel::{Parallel, Serial, for_each_chunk};
pub use params::{ParamInfo, ParamType, ParamValue, Params};
pub use value::{
    CloudView, Content, Data, Frame, GridView, Layout, OutputSpec, Outputs, Sample, Spec, Value,
};
