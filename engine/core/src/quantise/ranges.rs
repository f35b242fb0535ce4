//! In which ranges the tensors of a network lie on training scans, and the int8 network that follows.

use super::{Looks, Turned};
use crate::error::{Error, Result};
use crate::plugin::Failure;
use crate::steps::onnx::Network;
use assay_onnx::quantise::{Observation, Plan, Quantised};
use ndarray::ArrayD;
use std::collections::HashMap;

/// Quantises a network by what it makes of these scans, each at another of the recipe's angles.
pub(super) fn quantise(network: &Network, scans: &[usize], looks: &Looks<'_>) -> Result<Quantised> {
    let refuse = |e: assay_onnx::Error| looks.fail("", e.to_string());
    let plan = Plan::of(&network.bytes).map_err(refuse)?;
    let observed = plan.observed().map_err(refuse)?;
    // One scan after the other on all threads: all tensors of a network are much larger than its features. The bits are the same.
    let session = looks.engine.session_cached(looks.step, &observed.into(), looks.services.threads())?;
    let mut seen: HashMap<String, Observation> = HashMap::new();
    let watch = &looks.services.watch;
    let what = format!("ranges of {}", looks.step);
    for (k, &scan) in scans.iter().enumerate() {
        if watch.cancelled() {
            return Err(Error::Cancelled);
        }
        watch.progress(&what, k as f64 / scans.len() as f64, &format!("{k}/{} scans", scans.len()));
        let look = (looks.see)(scan, Turned::By(k))?;
        let add = |input: ArrayD<f32>| {
            let outputs = session.run(&[(network.input(), input.view())]);
            let outputs = outputs.map_err(|e| Failure::about_input(&e.to_string()))?;
            let of = |name: &str| outputs.iter().find(|(n, _)| n == name).map(|(_, array)| array);
            for watched in plan.watched() {
                let own = (watched.name == network.input()).then_some(&input);
                let missing = || Failure::about_input(&format!("tensor `{}` cannot be seen", watched.name));
                let array = of(&watched.name).or(own).ok_or_else(missing)?;
                let values = array.as_standard_layout();
                let seen = seen.entry(watched.name.clone()).or_default();
                seen.add(&watched.name, watched.axis, array.shape(), values.as_slice().unwrap_or_default())
                    .map_err(|e| Failure::about_input(&e.to_string()))?;
            }
            Ok(())
        };
        let added = network.each_input(&look.value, looks.range, looks.planned, add);
        added.map_err(|f| looks.failure(&look.id, f))?;
    }
    watch.progress(&what, 1.0, "");
    plan.write(&seen).map_err(refuse)
}
