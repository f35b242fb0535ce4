//! The trait that a method implements.

use crate::error::{Code, Error, Result};
use crate::host::Host;
use crate::params::Params;
use crate::value::{Content, Layout, OutputSpec, Outputs, Sample, Spec};
use std::io::{Read, Write};

/// An input of a method.
#[derive(Debug, Clone, Copy)]
pub struct InputPort {
    /// Name, as recipes bind it.
    pub name: &'static str,
    /// What it takes.
    pub doc: &'static str,
    /// The contents it accepts.
    pub content: &'static [Content],
    /// The layouts it accepts.
    pub layout: &'static [Layout],
    /// Fewest values bound here.
    pub min_count: u32,
    /// Most values bound here; 0 = any number.
    pub max_count: u32,
}

/// An output of a method.
#[derive(Debug, Clone, Copy)]
pub struct OutputPort {
    /// Name, as recipes refer to it (`step.name`).
    pub name: &'static str,
    /// What it makes.
    pub doc: &'static str,
    /// What it means.
    pub content: Content,
    /// The layouts it may have; `plan` decides.
    pub layout: &'static [Layout],
}

/// The descriptor of a method.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// What a recipe names: `[a-z0-9_-]+`.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Who makes the plugin.
    pub vendor: &'static str,
    /// Version of the method.
    pub version: &'static str,
    /// SPDX licence expression.
    pub licence: &'static str,
    /// Citation of the paper, or empty.
    pub paper: &'static str,
    /// How this differs from the paper, or empty.
    pub deviations: &'static str,
    /// Inputs.
    pub inputs: &'static [InputPort],
    /// Outputs.
    pub outputs: &'static [OutputPort],
    /// Whether it is fitted on good scans.
    pub fitted: bool,
    /// Whether same inputs, parameters and seed give the same bits at any thread count.
    pub deterministic: bool,
}

/// Which pass of which fit begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// 0, 1, ...
    pub pass: u32,
    /// 0 = all training scans; 1..=folds = the fit that leaves this fold out.
    pub fold: u32,
    /// Folds.
    pub folds: u32,
    /// Scans this pass will bring.
    pub samples: u64,
    /// First pass after an interrupted fit was loaded.
    pub resumed: bool,
}

/// What follows a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The method is fitted.
    Done,
    /// It wants to see the training scans once more.
    AnotherPass,
}

/// A method: an extractor (features), a detector (scores) or a fuser (scores from scores), as its output says.
///
/// Life: `create`, `plan`, then for a fitted method passes of `fit_begin`, `fit_add` for each scan, `fit_end` - or `load` -
/// then `score` from any number of threads. The host calls nothing else on the instance while it is fitted.
/// Panics become errors at the boundary.
pub trait Method: Send + Sync + Sized + 'static {
    /// Its parameters, declared by [`params!`](macro@crate::params), or `()`.
    type Params: Params;

    /// Its descriptor.
    const INFO: Info;

    /// Whether a fit takes so long that a detector is to be fitted once: without the scans of fold 1, whose scores set its scale and
    /// are what later steps learn from, or on all training scans where the step is `raw` and no other step takes its scores. Otherwise it is
    /// fitted on all training scans and once more for each fold.
    const ONE_FIT: bool = false;

    /// Whether it starts threads of its own, which may outlive its instances; others use [`for_each_chunk`](crate::for_each_chunk).
    const OWN_THREADS: bool = false;

    /// Makes an instance. Keep `host` for its services; it outlives the instance.
    ///
    /// # Errors
    /// Where parameters contradict each other or a service is missing.
    fn create(params: Self::Params, host: Host) -> Result<Self>;

    /// Learns the input shapes and promises the output shapes, one an output port.
    ///
    /// # Errors
    /// Where the inputs do not fit together.
    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>>;

    /// Scores (or extracts from) one scan.
    ///
    /// # Errors
    /// Where the method is not fitted or the input cannot be scored.
    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()>;

    /// Starts a pass over the training scans.
    ///
    /// # Errors
    /// As the method sees fit.
    fn fit_begin(&mut self, _fit: Fit) -> Result<()> {
        Err(not_fitted::<Self>())
    }

    /// Takes one training scan.
    ///
    /// # Errors
    /// As the method sees fit; [`Error::cancelled`] where the host asked to stop.
    fn fit_add(&mut self, _sample: &Sample<'_>) -> Result<()> {
        Err(not_fitted::<Self>())
    }

    /// Ends the pass.
    ///
    /// # Errors
    /// As the method sees fit; [`Error::cancelled`] where the host asked to stop.
    fn fit_end(&mut self) -> Result<Next> {
        Err(not_fitted::<Self>())
    }

    /// Writes the state: the same state gives the same bytes. See [`crate::state`] for helpers.
    ///
    /// # Errors
    /// Where the stream fails or there is no state.
    fn save(&self, _out: &mut dyn Write) -> Result<()> {
        Err(not_fitted::<Self>())
    }

    /// Reads a state; anything that `save` did not write is an error, found before memory is taken for it.
    ///
    /// # Errors
    /// A state error where the state is truncated, altered or another method's.
    fn load(&mut self, _input: &mut dyn Read) -> Result<()> {
        Err(not_fitted::<Self>())
    }
}

fn not_fitted<M: Method>() -> Error {
    Error::new(Code::Unsupported, M::INFO.id, "this method is not fitted and has no state")
}
