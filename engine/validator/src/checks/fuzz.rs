//! Calls in any order with anything, by a seed.

use crate::drive::{Life, Refusal};
use crate::scans::{Draws, Form, Scan, choices, forms, scan, scans};
use crate::subject::Subject;
use assay_core::plugin::{ParamKind, ParamValue};

/// The name of the check.
pub(crate) const FUZZ: &str = "fuzz/calls";

/// Calls of a round.
const CALLS: usize = 24;

/// Numbers that parameters are drawn up to: larger ones ask for more memory and time than a test has.
const MOST: f64 = 64.0;

/// One round: an instance with drawn parameters and shapes, and calls in a drawn order.
///
/// # Errors
/// What a host would refuse the plugin for.
pub(crate) fn round(subject: &Subject, seed: u64) -> Result<(), String> {
    let mut draws = Draws::new(seed);
    let mut setting = subject.setting();
    setting.seed = seed;
    for (value, p) in setting.params.iter_mut().zip(&subject.info().params) {
        if draws.below(3) > 0 {
            continue;
        }
        let low = p.min.unwrap_or(-MOST).max(-MOST);
        let high = p.max.unwrap_or(MOST).min(low.abs().max(MOST));
        let number = low + draws.unit() * (high - low).max(0.0);
        match (p.kind, &*value) {
            (ParamKind::Bool, _) => *value = ParamValue::Bool(draws.below(2) == 1),
            // Never more work than the value that was asked for.
            (ParamKind::Int, ParamValue::Int(most)) => {
                *value = ParamValue::Int((number as i64).min((*most).max(low as i64)))
            }
            (ParamKind::Float, _) => *value = ParamValue::Float(number),
            (ParamKind::String, _) if !p.choices.is_empty() => {
                *value = ParamValue::String(p.choices[draws.below(p.choices.len())].clone());
            }
            _ => {}
        }
    }
    let told: Vec<String> =
        subject.info().params.iter().zip(&setting.params).map(|(p, v)| format!("{} = {v}", p.name)).collect();
    subject.note(&format!("seed {seed}: create with {}", told.join(", ")));
    let answered = |answer: Result<(), Refusal>| match answer {
        Err(Refusal { complaint: Some(complaint), .. }) => Err(complaint),
        answer => Ok(answer.is_ok()),
    };
    let mut life = match Life::create(&subject.method, &setting) {
        Ok(life) => life,
        Err(refusal) => return answered(Err(refusal)).map(drop),
    };
    let sides = [1, 2, 3, 5, 8, 13, 24];
    let mut side = || sides[draws.below(sides.len())];
    let common = (side(), side());
    // Most methods take inputs of one size only.
    let alike = draws.below(4) > 0;
    let choice = draws.below(choices(subject.info()));
    let mut shapes = forms(subject.info(), choice);
    for f in &mut shapes {
        let mut side = || sides[draws.below(sides.len())];
        let (rows, cols) = if alike { common } else { (side(), side()) };
        (f.rows, f.cols) = if f.grid { (rows, cols) } else { (rows * cols, 1) };
    }
    subject.note(&format!("seed {seed}: plan {shapes:?}"));
    if !answered(life.plan(&shapes))? {
        return Ok(());
    }
    let mut state: Option<Vec<u8>> = None;
    for n in 0..CALLS {
        let any = spoiled(&shapes, &mut draws, n);
        let what = draws.below(9);
        let names = [
            "fit_begin",
            "fit_add",
            "fit_add",
            "fit_end",
            "a whole fit",
            "score",
            "score of two",
            "save",
            "load",
        ];
        subject.note(&format!("seed {seed}: call {n}, {}", names[what]));
        if what < 5 && !subject.info().fitted {
            continue;
        }
        match what {
            0 => drop(answered(life.fit_begin(draws.below(2) as u32, 3))?),
            1 | 2 => drop(answered(life.fit_add(n, &any))?),
            3 => drop(answered(life.fit_end().map(drop))?),
            4 => drop(answered(life.fit(&scans(&shapes, seed, 3)))?),
            5 | 6 => {
                let other = scan(&shapes, seed, n);
                let batch: Vec<&Scan> = if what == 5 { vec![&any] } else { vec![&any, &other] };
                match life.score(&batch) {
                    Ok(mut made) => {
                        made.iter_mut().try_for_each(|m| m.sound(subject.info()))?;
                        if !made.iter_mut().all(crate::drive::Made::is_intact) {
                            return Err("it wrote beside an output".into());
                        }
                    }
                    Err(refusal) => drop(answered(Err(refusal))?),
                }
            }
            7 if subject.info().fitted => match life.save() {
                Ok(bytes) => state = Some(bytes),
                Err(refusal) => drop(answered(Err(refusal))?),
            },
            8 if subject.info().fitted => {
                if let Some(bytes) = &state {
                    let mut bytes = bytes.clone();
                    for _ in 0..draws.below(4) {
                        if !bytes.is_empty() {
                            let at = draws.below(bytes.len());
                            bytes[at] ^= draws.below(256) as u8;
                        }
                    }
                    if draws.below(4) == 0 {
                        bytes.truncate(draws.below(bytes.len().max(1)));
                    }
                    answered(life.load(&bytes))?;
                }
            }
            _ => {}
        }
    }
    life.complaints().first().map_or(Ok(()), |c| Err(c.clone()))
}

/// A scan in which some values and cells are not what a scan has.
fn spoiled(forms: &[Form], draws: &mut Draws, n: usize) -> Scan {
    let mut any = scan(forms, draws.below(1000) as u64, n);
    for sheet in &mut any.sheets {
        if draws.below(3) == 0 {
            sheet.valid = Some((0..sheet.form.cells()).map(|_| draws.below(2) as u8).collect());
        }
        if draws.below(3) == 0 && !sheet.values.is_empty() {
            let value = [f32::NAN, f32::INFINITY, -1e30, 0.0, 1e-40][draws.below(5)];
            for _ in 0..draws.below(8) {
                let at = draws.below(sheet.values.len());
                sheet.values[at] = value;
            }
        }
    }
    any
}
