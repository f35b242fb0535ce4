//! What is left of instances.

use crate::drive::INFERENCE;
use crate::finding::{Outcome, Said};
use crate::process::{allocated, count_handles, count_threads};
use crate::subject::Subject;
use assay_inference::DEFAULT_BACKBONE;
use ndarray::ArrayD;
use std::time::Duration;

/// Lives before something is measured: what is made once for all of them is made then.
const WARM: usize = 3;

/// Lives that are measured.
const LIVES: usize = 8;

/// Bytes that a life may keep.
const SLACK: usize = 64;

/// The same where threads are started or networks run: libraries keep something for each that there ever was.
const SLACK_OF_OTHERS: usize = 1 << 16;

/// The least of what each of some lives leaves behind; none where it cannot be counted.
fn least(subject: &Subject, count: impl Fn() -> Option<usize>) -> Result<Option<usize>, String> {
    // One thread: pools keep memory of their own.
    let setting = subject.with_threads(1)?;
    let mut left = Vec::new();
    for life in 0..WARM + LIVES {
        let before = count();
        let mut once = subject.ready(&setting)?;
        subject.scores(&once)?;
        let state = subject.state(&mut once)?;
        if subject.info().fitted {
            let mut other = subject.planned(&setting)?;
            other.load(&state)?;
            subject.scores(&other)?;
        }
        drop((once, state));
        let after = count();
        if life >= WARM {
            match before.zip(after) {
                Some((before, after)) => left.push(after.saturating_sub(before)),
                None => return Ok(None),
            }
        }
    }
    Ok(left.into_iter().min())
}

pub(super) fn memory(subject: &Subject) -> Outcome {
    // The host's runtime keeps something of each network that it ran, too.
    let mut without = subject.with_threads(1)?;
    without.without[INFERENCE] = true;
    let runs_networks = subject.ready(&without).is_err();
    let slack = if subject.info().own_threads || runs_networks { SLACK_OF_OTHERS } else { SLACK };
    Ok(match least(subject, allocated)? {
        None => Said::skip("allocations cannot be counted on this system"),
        Some(left) if left > slack => Said::fail(format!(
            "each life leaves at least {left} bytes allocated: destroy frees all that an instance has"
        )),
        Some(_) => Said::pass(),
    })
}

/// Runs a network of the host's, whose runtime starts its threads then: they are not the plugin's.
fn start_runtime(subject: &Subject) -> Result<(), String> {
    if let Some(engine) = &subject.services.inference {
        let session = engine.session("backbone", DEFAULT_BACKBONE, 0).map_err(|e| e.to_string())?;
        let image = ArrayD::<f32>::zeros(vec![1, 3, 64, 64]);
        session.run(&[("image", image.view())]).map_err(|e| e.to_string())?;
    }
    Ok(())
}

pub(super) fn threads(subject: &Subject) -> Outcome {
    start_runtime(subject)?;
    let Some(before) = count_threads() else {
        return Ok(Said::skip("threads cannot be counted on this system"));
    };
    for _ in 0..3 {
        subject.live(&subject.setting())?;
    }
    // A thread that was joined may still be ending.
    let mut after = before;
    for _ in 0..50 {
        after = count_threads().unwrap_or(before);
        if after <= before {
            return Ok(Said::pass());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let message = format!("{} threads are left after three instances were destroyed", after - before);
    Ok(if subject.info().own_threads {
        Said { message, ..Said::pass() }
    } else {
        Said::fail(format!("{message}, and it is not flagged OWN_THREADS"))
    })
}

pub(super) fn handles(subject: &Subject) -> Outcome {
    Ok(match least(subject, count_handles)? {
        None => Said::skip("open files cannot be counted on this system"),
        Some(0) => Said::pass(),
        Some(left) => Said::fail(format!("each life leaves {left} files open")),
    })
}
