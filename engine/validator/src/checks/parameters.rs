//! Parameters.

use crate::drive::{Life, Refusal};
use crate::finding::{Outcome, Said};
use crate::subject::Subject;
use assay_abi as abi;
use assay_core::plugin::{ParamInfo, ParamKind, ParamValue};

pub(super) fn defaults(subject: &Subject) -> Outcome {
    let scored = |life: &Life| life.score(&[&subject.scored()[0]]).map(drop);
    match subject.ready(&subject.setting()).and_then(|life| scored(&life)) {
        Ok(()) => Ok(Said::pass()),
        Err(refusal) if refusal.status == abi::ERR_PARAMETER => {
            let param = subject.info().params.iter().find(|p| p.name == refusal.subject);
            // An empty text or list stands for a value that only a recipe knows.
            let needs = param.is_some_and(|p| match &p.default {
                ParamValue::String(v) => v.is_empty(),
                ParamValue::IntList(v) => v.is_empty(),
                ParamValue::FloatList(v) => v.is_empty(),
                ParamValue::StringList(v) => v.is_empty(),
                _ => false,
            });
            let message = format!("{refusal}; `--param {}=...` gives a value", refusal.subject);
            Ok(if needs { Said::skip(message) } else { Said::fail(message) })
        }
        Err(refusal) => Err(refusal.into()),
    }
}

pub(super) fn explicit(subject: &Subject) -> Outcome {
    let n = subject.params.len();
    if n == 0 {
        return Ok(Said::skip("it has no parameters"));
    }
    for given in [n - 1, 0] {
        subject.note(&format!("create with {given} of {n} parameters"));
        let mut setting = subject.setting();
        setting.params.truncate(given);
        let Ok(life) = Life::create(&subject.method, &setting) else { continue };
        drop(life);
        let mut whole = subject.setting();
        let defaults = subject.info().params.iter().map(|p| p.default.clone());
        whole.params = setting.params.iter().cloned().chain(defaults.skip(given)).collect();
        if subject.info().deterministic
            && let Some(how) = subject.live(&setting)?.differs(&subject.live(&whole)?)
        {
            return Err(format!(
                "with {given} of {n} parameters {how}: what is left out has not its default"
            ));
        }
    }
    Ok(Said::pass())
}

/// Values that a parameter does not allow.
fn wrong(p: &ParamInfo) -> Vec<ParamValue> {
    let beyond: Vec<f64> = [p.min.map(|min| min - 1.0 - min.abs()), p.max.map(|max| max + 1.0 + max.abs())]
        .into_iter()
        .flatten()
        .collect();
    let whole: Vec<i64> = beyond.iter().map(|v| *v as i64).collect();
    // A bound beyond the integers has nothing beyond it.
    let whole: Vec<i64> = whole
        .into_iter()
        .filter(|v| p.min.is_some_and(|min| (*v as f64) < min) || p.max.is_some_and(|max| *v as f64 > max))
        .collect();
    let none = "no-such-choice".to_owned();
    match p.kind {
        ParamKind::Bool => Vec::new(),
        ParamKind::Int => whole.into_iter().map(ParamValue::Int).collect(),
        ParamKind::Float => beyond.into_iter().chain([f64::NAN]).map(ParamValue::Float).collect(),
        ParamKind::IntList => whole.into_iter().map(|v| ParamValue::IntList(vec![v])).collect(),
        ParamKind::FloatList => beyond.into_iter().map(|v| ParamValue::FloatList(vec![v])).collect(),
        ParamKind::String if p.choices.is_empty() => Vec::new(),
        ParamKind::String => vec![ParamValue::String(none)],
        ParamKind::StringList if p.choices.is_empty() => Vec::new(),
        ParamKind::StringList => vec![ParamValue::StringList(vec![none])],
    }
}

pub(super) fn range(subject: &Subject) -> Outcome {
    let mut odd = Vec::new();
    for (i, p) in subject.info().params.iter().enumerate() {
        for value in wrong(p) {
            subject.note(&format!("create with {} = {value}", p.name));
            let mut setting = subject.setting();
            setting.params[i] = value.clone();
            match Life::create(&subject.method, &setting) {
                Ok(_) => return Err(format!("{} = {value} is taken, which its descriptor excludes", p.name)),
                Err(refusal) => odd.extend(why_odd(&refusal, &p.name)),
            }
        }
    }
    Ok(Said::warn_of(&odd))
}

/// What is wrong with a refusal of a parameter.
fn why_odd(refusal: &Refusal, name: &str) -> Option<String> {
    if let Some(complaint) = &refusal.complaint {
        return Some(complaint.clone());
    }
    let blamed = refusal.status == abi::ERR_PARAMETER && refusal.subject == name;
    (!blamed).then(|| format!("{refusal} does not blame parameter `{name}`, which is wrong"))
}

pub(super) fn choices(subject: &Subject) -> Outcome {
    let mut refused = Vec::new();
    for (i, p) in subject.info().params.iter().enumerate() {
        let chosen: Vec<ParamValue> = match p.kind {
            ParamKind::Bool => [true, false].map(ParamValue::Bool).to_vec(),
            ParamKind::String => p.choices.iter().map(|c| ParamValue::String(c.clone())).collect(),
            _ => Vec::new(),
        };
        for value in chosen {
            subject.note(&format!("a life with {} = {value}", p.name));
            let mut setting = subject.setting();
            setting.params[i] = value.clone();
            match Life::create(&subject.method, &setting) {
                Err(refusal) => refused.push(format!("{} = {value}: {refusal}", p.name)),
                Ok(life) => {
                    drop(life);
                    // A choice may not go with the other parameters, or the scans; it must not do harm.
                    let _ = subject
                        .ready(&setting)
                        .map(|life| subject.scores(&life))
                        .map(|made| made.map_err(|why| refused.push(format!("{} = {value}: {why}", p.name))));
                }
            }
        }
        for bound in [p.min, p.max].into_iter().flatten() {
            let value = match p.kind {
                ParamKind::Int => ParamValue::Int(bound as i64),
                ParamKind::Float => ParamValue::Float(bound),
                _ => continue,
            };
            subject.note(&format!("create with {} = {value}", p.name));
            let mut setting = subject.setting();
            setting.params[i] = value.clone();
            if let Err(refusal) = Life::create(&subject.method, &setting)
                && let Some(odd) = why_odd(&refusal, &p.name)
            {
                refused.push(odd);
            }
        }
    }
    Ok(Said::warn_of(&refused))
}
