//! What a method says of itself.

use crate::finding::{Outcome, Said};
use crate::subject::Subject;
use assay_abi as abi;
use assay_core::plugin::{ParamInfo, ParamValue};

/// Whether a recipe can name it without quotes.
fn is_bare(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

pub(super) fn texts(subject: &Subject) -> Outcome {
    let info = subject.info();
    let mut missing = Vec::new();
    let texts = [
        ("name", &info.name),
        ("summary", &info.summary),
        ("vendor", &info.vendor),
        ("version", &info.version),
        ("licence", &info.licence),
    ];
    for (what, text) in texts {
        if text.trim().is_empty() {
            missing.push(format!("it has no {what}"));
        } else if text.contains('\u{FFFD}') {
            return Err(format!("its {what} is not UTF-8"));
        }
    }
    if info.paper.is_empty() && !info.deviations.is_empty() {
        missing.push("it deviates from a paper that it does not name".into());
    }
    if !info.version.is_empty() && !info.version.starts_with(|c: char| c.is_ascii_digit()) {
        missing.push(format!("version `{}` does not begin with a number", info.version));
    }
    Ok(Said::warn_of(&missing))
}

pub(super) fn ports(subject: &Subject) -> Outcome {
    let info = subject.info();
    let mut missing = Vec::new();
    for (side, ports) in [("input", &info.inputs), ("output", &info.outputs)] {
        for (i, port) in ports.iter().enumerate() {
            if !is_bare(&port.name) {
                return Err(format!(
                    "{side} {i} is named `{}`, which is not made of a-z, 0-9, _ and -",
                    port.name
                ));
            }
            if ports[..i].iter().any(|p| p.name == port.name) {
                return Err(format!("two {side}s are named `{}`", port.name));
            }
            if port.max_count.is_some_and(|max| max < port.min_count) {
                return Err(format!(
                    "{side} `{}` takes at least {} values and at most fewer",
                    port.name, port.min_count
                ));
            }
            if side == "output" && (port.min_count, port.max_count) != (1, Some(1)) {
                missing.push(format!("output `{}` has counts, and an output is one value", port.name));
            }
            if port.doc.trim().is_empty() {
                missing.push(format!("{side} `{}` has no words about it", port.name));
            }
        }
    }
    if info.inputs.is_empty() {
        return Err("it has no input".into());
    }
    Ok(Said::warn_of(&missing))
}

/// Why a value is none of a parameter's.
fn why_not(p: &ParamInfo, value: &ParamValue) -> Option<String> {
    let number = |v: f64| {
        let inside = v.is_finite() && p.min.is_none_or(|min| v >= min) && p.max.is_none_or(|max| v <= max);
        (!inside).then(|| format!("{v} is out of its range"))
    };
    let word = |v: &String| {
        (!p.choices.is_empty() && !p.choices.contains(v)).then(|| format!("\"{v}\" is none of its choices"))
    };
    match value {
        ParamValue::Bool(_) => None,
        ParamValue::Int(v) => number(*v as f64),
        ParamValue::Float(v) => number(*v),
        ParamValue::String(v) => word(v),
        ParamValue::IntList(v) => v.iter().find_map(|v| number(*v as f64)),
        ParamValue::FloatList(v) => v.iter().find_map(|v| number(*v)),
        ParamValue::StringList(v) => v.iter().find_map(word),
    }
}

pub(super) fn parameters(subject: &Subject) -> Outcome {
    let params = &subject.info().params;
    let mut missing = Vec::new();
    for (i, p) in params.iter().enumerate() {
        if !is_bare(&p.name) {
            return Err(format!("parameter `{}` is not made of a-z, 0-9, _ and -", p.name));
        }
        if params[..i].iter().any(|q| q.name == p.name) {
            return Err(format!("two parameters are named `{}`", p.name));
        }
        // Keys of a step that are not the method's.
        if ["method", "from", "raw", "isolation", "plugin_sha256"].contains(&p.name.as_str()) {
            return Err(format!("parameter `{}` has the name of a key that every step has", p.name));
        }
        if p.min.zip(p.max).is_some_and(|(min, max)| min > max) {
            return Err(format!("parameter `{}` has an empty range", p.name));
        }
        if let Some(why) = why_not(p, &p.default) {
            return Err(format!("the default of `{}`: {why}", p.name));
        }
        if p.doc.trim().is_empty() {
            missing.push(format!("parameter `{}` has no words about it", p.name));
        }
    }
    Ok(Said::warn_of(&missing))
}

pub(super) fn functions(subject: &Subject) -> Outcome {
    let (info, table) = (subject.info(), subject.method.table());
    let known = abi::FLAG_FITTED
        | abi::FLAG_CONCURRENT_SCORE
        | abi::FLAG_DETERMINISTIC
        | abi::FLAG_OWN_THREADS
        | abi::FLAG_ONE_FIT;
    let mut odd = Vec::new();
    if table.flags & !known != 0 {
        odd.push(format!("flags {:#x} are unknown to this ABI version", table.flags & !known));
    }
    if info.one_fit && !info.fitted {
        odd.push("ONE_FIT is of fitted methods".into());
    }
    let fit = table.fit_begin.is_some() || table.fit_add.is_some() || table.fit_end.is_some();
    if !info.fitted && (fit || table.save.is_some() || table.load.is_some()) {
        odd.push("it has fit or state functions and is not flagged FITTED: they are never called".into());
    }
    Ok(Said::warn_of(&odd))
}
