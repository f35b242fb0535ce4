//! Saved states.

use crate::drive::Life;
use crate::finding::{Outcome, Said};
use crate::scans::{Draws, Form, forms, scans};
use crate::streams::{Source, Target};
use crate::subject::Subject;

/// Places of a state that are damaged, one at a time.
const DAMAGED: usize = 64;

/// First bytes of a state, in which its version is.
const HEAD: usize = 64;

/// An instance that was fitted, and its state.
fn fitted(subject: &Subject) -> Result<Result<(Life, Vec<u8>), Said>, String> {
    if !subject.info().fitted {
        return Ok(Err(Said::skip("it has no state")));
    }
    let mut life = subject.ready(&subject.setting())?;
    let state = life.save()?;
    Ok(Ok((life, state)))
}

macro_rules! fitted {
    ($subject:expr) => {
        match fitted($subject)? {
            Ok(fitted) => fitted,
            Err(skipped) => return Ok(skipped),
        }
    };
}

pub(super) fn roundtrip(subject: &Subject) -> Outcome {
    let (mut life, state) = fitted!(subject);
    if life.save()? != state {
        return Err("it saves another state when it is saved again".into());
    }
    let scores = subject.scores(&life)?;
    let mut other = subject.planned(&subject.setting())?;
    other.load(&state)?;
    if subject.scores(&other)? != scores {
        return Err("what was loaded scores differently from what was saved".into());
    }
    if other.save()? != state {
        return Err("what was loaded is saved as another state".into());
    }
    subject.note("load into an instance that was fitted on other scans");
    let mut used = subject.planned(&subject.setting())?;
    used.fit(&scans(&subject.forms(), subject.seed.wrapping_add(5), 6))?;
    used.load(&state)?;
    if subject.scores(&used)? != scores {
        return Err("a state that is loaded over another one scores differently".into());
    }
    Ok(Said::pass())
}

pub(super) fn pieces(subject: &Subject) -> Outcome {
    let (life, state) = fitted!(subject);
    let scores = subject.scores(&life)?;
    for piece in [17, 1] {
        if piece == 1 && state.len() > 1 << 20 {
            continue;
        }
        subject.note(&format!("load in reads of {piece} bytes"));
        let mut other = subject.planned(&subject.setting())?;
        other
            .load_from(&mut Source::new(&state, piece))
            .map_err(|e| format!("in reads of {piece} bytes {e}: short reads are ordinary"))?;
        if subject.scores(&other)? != scores {
            return Err(format!("a state that is read {piece} bytes at a time scores differently"));
        }
    }
    Ok(Said::pass())
}

pub(super) fn streams(subject: &Subject) -> Outcome {
    let (mut life, state) = fitted!(subject);
    for share in [0, 1, 2] {
        let at = state.len() * share / 3;
        subject.note(&format!("save to a stream that fails after {at} bytes"));
        let mut target = Target { bytes: Vec::new(), full_at: Some(at) };
        if !state.is_empty() && life.save_to(&mut target).is_ok() {
            return Err(format!(
                "save succeeds though its stream failed after {at} of {} bytes",
                state.len()
            ));
        }
        subject.note(&format!("load from a stream that fails after {at} bytes"));
        let mut other = subject.planned(&subject.setting())?;
        let mut source = Source::new(&state, 17);
        source.broken_at = Some(state.len() - at);
        if other.load_from(&mut source).is_ok() {
            return Err(format!(
                "load succeeds though its stream failed after {at} of {} bytes",
                state.len()
            ));
        }
    }
    Ok(Said::pass())
}

pub(super) fn truncated(subject: &Subject) -> Outcome {
    let (_, state) = fitted!(subject);
    let n = state.len();
    let lengths = [0, 1, 7, 8, 16, n / 4, n / 2, n.saturating_sub(8), n.saturating_sub(1)];
    for len in lengths.into_iter().filter(|len| *len < n) {
        subject.note(&format!("load of the first {len} of {n} bytes"));
        let mut other = subject.planned(&subject.setting())?;
        match other.load(&state[..len]) {
            Ok(()) => return Err(format!("the first {len} of {n} bytes of a state are loaded as one")),
            Err(refusal) => {
                if let Some(complaint) = refusal.complaint {
                    return Err(format!("{len} of {n} bytes: {complaint}"));
                }
            }
        }
        subject.note("a whole state after one that was refused");
        other.load(&state)?;
    }
    subject.note("load of a state with more behind it");
    let mut other = subject.planned(&subject.setting())?;
    let longer = [state.as_slice(), b"more"].concat();
    Ok(match other.load(&longer) {
        Ok(()) => Said::warn(
            "a state with more bytes behind it is loaded: is it the whole state of another version?",
        ),
        Err(_) => Said::pass(),
    })
}

pub(super) fn random(subject: &Subject) -> Outcome {
    let (_, state) = fitted!(subject);
    let mut draws = Draws::new(subject.seed);
    let mut candidates: Vec<Vec<u8>> = (0..24).map(|i| draws.bytes(1 << (i / 2))).collect();
    candidates.extend([vec![0; state.len()], vec![0xFF; state.len()], draws.bytes(state.len())]);
    for bytes in candidates {
        subject.note(&format!(
            "load of {} bytes that are no state, {:02x?} ...",
            bytes.len(),
            &bytes[..bytes.len().min(4)]
        ));
        let mut other = subject.planned(&subject.setting())?;
        if bytes != state && other.load(&bytes).is_ok() {
            return Err(format!("{} bytes that are no state are loaded as one", bytes.len()));
        }
    }
    Ok(Said::pass())
}

/// Loads a state that was changed: refused, or scores that are sound or refused.
fn harmless(subject: &Subject, state: &[u8]) -> Result<bool, String> {
    let mut other = subject.planned(&subject.setting())?;
    if other.load(state).is_err() {
        return Ok(false);
    }
    for scan in &subject.scored()[..1] {
        if let Ok(mut made) = other.score(&[scan]) {
            made.iter_mut().try_for_each(|m| m.sound(subject.info()))?;
        }
    }
    Ok(true)
}

pub(super) fn damaged(subject: &Subject) -> Outcome {
    let (_, state) = fitted!(subject);
    let mut draws = Draws::new(subject.seed);
    for _ in 0..DAMAGED.min(4 * state.len()) {
        let mut other = state.clone();
        let (at, byte) = (draws.below(state.len()), draws.below(255) as u8 + 1);
        other[at] ^= byte;
        subject.note(&format!(
            "a state in which byte {at} of {} is {} instead of {}",
            state.len(),
            other[at],
            state[at]
        ));
        harmless(subject, &other)
            .map_err(|e| format!("with byte {at} of {} changed to {}: {e}", state.len(), other[at]))?;
    }
    Ok(Said::pass())
}

pub(super) fn version(subject: &Subject) -> Outcome {
    let (_, state) = fitted!(subject);
    let mut refused = false;
    for at in 0..HEAD.min(state.len()) {
        for change in [1u8, 0x80] {
            let mut other = state.clone();
            other[at] = other[at].wrapping_add(change);
            subject.note(&format!("a state in which byte {at} is {} instead of {}", other[at], state[at]));
            refused |= !harmless(subject, &other).map_err(|e| format!("with byte {at} changed: {e}"))?;
        }
    }
    let wider: Vec<Form> = forms(subject.info(), subject.choice)
        .into_iter()
        .map(|f| Form {
            rows: 2 * f.rows,
            cols: if f.grid { 2 * f.cols } else { 1 },
            stride: 0.5 * f.stride,
            ..f
        })
        .collect();
    subject.note("a state that was saved for inputs of another size");
    let mut other = Life::create(&subject.method, &subject.setting())?;
    if other.plan(&wider).is_ok() && other.load(&state).is_ok() {
        let mut made = other.score(&[&crate::scans::scan(&wider, subject.seed, 3)]).unwrap_or_default();
        made.iter_mut()
            .try_for_each(|m| m.sound(subject.info()))
            .map_err(|e| format!("loaded for another size: {e}"))?;
    }
    Ok(match refused {
        true => Said::pass(),
        false => Said::fail(format!(
            "no change of the first {} bytes is noticed: a state begins with what tells it and its version from others",
            HEAD.min(state.len())
        )),
    })
}
