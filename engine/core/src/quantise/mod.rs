//! int8 networks: made while a recipe is fitted, and kept only if they see as well as the float32 ones.
//!
//! Training scans are parted by the recipe's seed. Some show in which ranges the network's tensors lie (`ranges`), and
//! the int8 network is written by that. The others, which it has not seen, say whether it will do: each is looked at as it is and with
//! made-up defects (`defects`), by either network, and each feature is compared with those of the first scans
//! (`proxy`). That is no method's own score, but what most of them rest on: how far a patch is from good ones. The
//! int8 network is kept if good scans score as before and defects stand out as before; else the float32 one stays. Calibration
//! scans have no part in it.

mod defects;
mod proxy;
mod ranges;
mod record;

pub use record::{Pair, Quantisation, TapComparison, Tolerance};

use crate::error::{Error, Result};
use crate::plugin::{Failure, Services};
use crate::steps::onnx::Network;
use crate::value::Value;
use assay_data::Mask;
use assay_inference::{Device, Engine};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::sync::Arc;

/// Scans that show ranges, at most: more hardly widen them.
const MOST_SHOWN: usize = 16;
/// Scans that are held out, at most.
const MOST_HELD_OUT: usize = 8;

/// What a network step sees of one training scan.
pub(crate) struct Seen {
    /// The scan's id.
    pub(crate) id: String,
    /// The step's input.
    pub(crate) value: Arc<Value>,
    /// `(rows, columns)` of the scan.
    pub(crate) native: (usize, usize),
    /// Pixels that detectors learn and score, native size; `None` = all.
    pub(crate) scored: Option<Mask>,
}

/// A network step at work while it is fitted.
pub(crate) struct Looks<'a> {
    /// Its name.
    pub(crate) step: &'a str,
    /// Guaranteed range of its input.
    pub(crate) range: Option<(f64, f64)>,
    /// Native size that it is planned for.
    pub(crate) planned: (usize, usize),
    pub(crate) engine: &'a Engine,
    pub(crate) services: &'a Services,
    pub(crate) seed: u64,
    /// What it sees of a training scan, as it lies or at one of the recipe's other angles.
    pub(crate) see: &'a (dyn Fn(usize, Turned) -> Result<Seen> + Sync),
}

/// How a scan is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// As it is.
    No,
    /// At the `n`-th angle that the recipe learns scans at, counted round.
    By(usize),
}

impl Looks<'_> {
    fn fail(&self, scan: &str, message: String) -> Error {
        Error::Step {
            step: self.step.into(),
            method: crate::steps::onnx::ID.into(),
            scan: scan.into(),
            message,
        }
    }

    fn failure(&self, scan: &str, f: Failure) -> Error {
        self.fail(scan, f.message)
    }
}

/// The network that a step of precision int8 gets, with the record of how both compared, for `n` training scans.
pub(crate) fn quantised(network: &Network, n: usize, looks: &Looks<'_>) -> Result<Network> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = ChaCha8Rng::seed_from_u64(looks.seed);
    for i in (1..n).rev() {
        order.swap(i, (random.next_u64() % (i as u64 + 1)) as usize);
    }
    // No library: rten. Neither it nor a GPU fuses what stands between the int8 layers.
    let runtime = looks.engine.describe();
    if runtime.library.is_none() || runtime.device != Device::Cpu {
        let message = format!(
            "int8 is for ONNX Runtime on a processor: on {} ({}) it takes longer than f32",
            runtime.name, runtime.device
        );
        looks.services.watch.log(looks.step, 2, &message);
    }
    let (held_out, shown) = order.split_at((n / 3).clamp(1, MOST_HELD_OUT).min(n));
    let shown = &shown[..shown.len().min(MOST_SHOWN)];
    let made = ranges::quantise(network, shown, looks)?;
    let int8 = network.with_file(looks.engine, made.onnx.into())?;
    let (compared, ids) = proxy::compare([network, &int8], shown, held_out, looks)?;
    let quantisation = Quantisation::decide(network.sha256.clone(), (made.layers, made.of), compared, ids);
    if let Some(reason) = quantisation.refusal() {
        let message = format!("{reason}; it stays at f32. precision = \"f32\" says so without the trial");
        looks.services.watch.log(looks.step, 2, &message);
    }
    let mut kept = if quantisation.kept { int8 } else { network.clone() };
    kept.quantisation = Some(quantisation);
    Ok(kept)
}
