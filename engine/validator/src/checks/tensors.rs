//! Memory, and what is in it.

use crate::drive::{Life, Refusal};
use crate::finding::{Outcome, Said};
use crate::memory::Guard;
use crate::scans::{Form, Scan, forms, other_contents, scan, scans};
use crate::subject::Subject;

/// Cells from the edge of what is valid to where no method looks.
const DEEP: usize = 4;

/// Values that measure how a method holds up.
const EXTREMES: [f32; 8] =
    [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -0.0, 1e30];

pub(super) fn canaries(subject: &Subject) -> Outcome {
    let mut life = subject.ready(&subject.setting())?;
    let scored = subject.scored();
    let batch: Vec<&Scan> = scored.iter().collect();
    let mut past = life.score(&batch)?;
    if !past.iter_mut().all(crate::drive::Made::is_intact) {
        return Err("it wrote beside an output".into());
    }
    let before: Vec<Vec<u8>> = past.iter_mut().map(|made| made.bits(subject.info())).collect();
    subject.scores(&life)?;
    subject.state(&mut life)?;
    life.fit(&subject.training())?;
    let complaints = life.complaints();
    drop(life);
    for (i, (made, before)) in past.iter_mut().zip(&before).enumerate() {
        if made.bits(subject.info()) != *before || !made.is_intact() {
            return Err(format!("it wrote to the outputs of scan {i} after that call had returned"));
        }
    }
    Ok(complaints.first().map_or_else(Said::pass, |c| Said::fail(format!("{c}; inputs are read-only"))))
}

pub(super) fn pages(subject: &Subject) -> Outcome {
    if cfg!(not(unix)) {
        return Ok(Said::skip("this system has no pages that can be guarded"));
    }
    for (guard, side) in [(Guard::PageBehind, "behind"), (Guard::PageBefore, "before")] {
        let setting = crate::drive::Setting { guard, ..subject.setting() };
        subject.note(&format!("a life in which the memory {side} each tensor is not to be touched, and inputs are not to be written"));
        let mut life = subject.ready(&setting)?;
        let mut past = Vec::new();
        for scan in &subject.scored() {
            let mut made = life.score(&[scan])?;
            made.iter_mut().try_for_each(crate::drive::Made::seal)?;
            past.push(made);
        }
        subject.note("a fit after outputs were given back");
        life.fit(&subject.training())?;
    }
    Ok(Said::pass())
}

pub(super) fn mask(subject: &Subject) -> Outcome {
    if !subject.info().deterministic {
        return Ok(Said::skip("it is not flagged DETERMINISTIC"));
    }
    // A block without measurement. Around its edge a method may look beyond what is valid: what differs lies deeper.
    let masked = |mut scan: Scan, inside: f32| {
        for sheet in &mut scan.sheets {
            let Form { rows, cols, .. } = sheet.form;
            let cells = sheet.form.cells();
            let beyond = |cell: usize, depth: usize| {
                let cloud = !sheet.form.grid && cell >= rows / 2;
                cloud || (cell / cols >= rows / 2 + depth && cell % cols >= cols / 2 + depth)
            };
            let hidden = |cell: usize| beyond(cell, 0);
            let valid = |cell: usize| sheet.valid.as_ref().is_none_or(|v| v[cell] != 0) && !hidden(cell);
            let mask: Vec<u8> = (0..cells).map(|cell| u8::from(valid(cell))).collect();
            let channels = sheet.form.channels;
            for (i, v) in sheet.values.iter_mut().enumerate() {
                let cell = if sheet.form.grid { i % cells } else { i / channels };
                if beyond(cell, DEEP) {
                    *v = inside;
                } else if mask[cell] == 0 {
                    *v = 0.0;
                }
            }
            sheet.valid = Some(mask);
        }
        scan
    };
    let lived = |inside: f32| -> Result<Vec<Vec<u8>>, String> {
        subject.note(&format!("a life on scans that hold {inside} where they are not valid"));
        let mut life = subject.planned(&subject.setting())?;
        let training: Vec<Scan> = subject.training().into_iter().map(|s| masked(s, inside)).collect();
        life.fit(&training)?;
        let bits = |scan: Scan| -> Result<Vec<u8>, String> {
            let mut made = life.score(&[&masked(scan, inside)])?;
            let made = made.first_mut().ok_or("nothing was made")?;
            made.sound(subject.info())?;
            // A feature may go on where it is not valid.
            Ok(made.valid_bits(subject.info()))
        };
        subject.scored().into_iter().map(bits).collect()
    };
    let (one, other) = (lived(0.0)?, lived(0.5)?);
    Ok(match one == other {
        true => Said::pass(),
        false => Said::warn(
            "its outputs change with what stands in cells that are not valid: does it look at the masks of its inputs?",
        ),
    })
}

pub(super) fn contents(subject: &Subject) -> Outcome {
    let mut refused = Vec::new();
    for choice in other_contents(subject.info(), subject.choice) {
        let forms = forms(subject.info(), choice);
        let names: Vec<&str> = forms.iter().map(|f| f.content.name()).collect();
        let names = names.join(" and ");
        subject.note(&format!("a life on {names}"));
        let mut life = Life::create(&subject.method, &subject.setting())?;
        let lived = life.plan(&forms).and_then(|()| life.fit(&scans(&forms, subject.seed, 6)));
        match lived {
            Ok(()) => drop(
                subject
                    .score(&life, &scan(&forms, subject.seed, 9))
                    .map_err(|e| format!("of {names}: {e}"))?,
            ),
            Err(Refusal { complaint: Some(complaint), .. }) => return Err(complaint),
            // A port that takes features of one channel alone cannot say so: a refusal is an answer.
            Err(refusal) => refused.push(format!("{names}: {refusal}")),
        }
    }
    Ok(Said { message: refused.join("; "), ..Said::pass() })
}

/// A life on other shapes or values: scores that are sound, or a refusal.
fn sound_or_refused(
    subject: &Subject,
    forms: &[Form],
    training: &[Scan],
    scored: &[Scan],
) -> Result<(), String> {
    let mut life = Life::create(&subject.method, &subject.setting())?;
    let told = |refusal: Refusal| refusal.complaint.map_or(Ok(()), Err);
    if let Err(refusal) = life.plan(forms) {
        return told(refusal);
    }
    if let Err(refusal) = life.fit(training) {
        return told(refusal);
    }
    for scan in scored {
        match life.score(&[scan]) {
            Ok(mut made) => made.iter_mut().try_for_each(|m| m.sound(subject.info()))?,
            Err(refusal) => told(refusal)?,
        }
    }
    Ok(())
}

pub(super) fn one_cell(subject: &Subject) -> Outcome {
    for (rows, cols) in [(1, 1), (1, 7), (7, 1), (2, 2)] {
        subject.note(&format!("a life on grids of {rows} x {cols} cells, or clouds of {rows} points"));
        let forms: Vec<Form> = subject
            .forms()
            .into_iter()
            .map(|f| Form { rows, cols: if f.grid { cols } else { 1 }, ..f })
            .collect();
        sound_or_refused(
            subject,
            &forms,
            &scans(&forms, subject.seed, 4),
            &scans(&forms, subject.seed + 9, 1),
        )
        .map_err(|e| format!("on {rows} x {cols} cells: {e}"))?;
    }
    Ok(Said::pass())
}

/// A scan without a valid cell.
fn invalid(mut scan: Scan) -> Scan {
    for sheet in &mut scan.sheets {
        sheet.valid = Some(vec![0; sheet.form.cells()]);
        sheet.values.fill(0.0);
    }
    scan
}

pub(super) fn empty(subject: &Subject) -> Outcome {
    let forms = subject.forms();
    let none: Vec<Scan> = subject.scored().into_iter().map(invalid).collect();
    subject.note("scores of scans without a valid cell");
    sound_or_refused(subject, &forms, &subject.training(), &none)
        .map_err(|e| format!("without a valid cell: {e}"))?;
    subject.note("a fit on scans without a valid cell");
    let training: Vec<Scan> = subject.training().into_iter().map(invalid).collect();
    sound_or_refused(subject, &forms, &training, &subject.scored())
        .map_err(|e| format!("fitted on scans without a valid cell: {e}"))?;
    subject.note("scans in which only some inputs have a valid cell");
    let mut some = subject.scored();
    for scan in &mut some {
        if let Some(sheet) = scan.sheets.first_mut() {
            sheet.valid = Some((0..sheet.form.cells()).map(|cell| u8::from(cell == 0)).collect());
        }
    }
    sound_or_refused(subject, &forms, &subject.training(), &some)
        .map_err(|e| format!("with one valid cell: {e}"))?;
    if forms.iter().any(|f| !f.grid) {
        subject.note("clouds without points");
        let bare: Vec<Form> =
            forms.iter().map(|f| if f.grid { *f } else { Form { rows: 0, ..*f } }).collect();
        sound_or_refused(subject, &forms, &subject.training(), &scans(&bare, subject.seed, 1))
            .map_err(|e| format!("of a cloud without points: {e}"))?;
        sound_or_refused(subject, &forms, &scans(&bare, subject.seed, 3), &subject.scored())
            .map_err(|e| format!("fitted on clouds without points: {e}"))?;
    }
    Ok(Said::pass())
}

pub(super) fn extremes(subject: &Subject) -> Outcome {
    let forms = subject.forms();
    let spoil = |scan: &Scan, value: f32, every: usize| {
        let mut scan = scan.clone();
        for sheet in &mut scan.sheets {
            sheet.values.iter_mut().step_by(every).for_each(|v| *v = value);
            if let Some(positions) = &mut sheet.positions {
                positions.iter_mut().step_by(every).for_each(|v| *v = value);
            }
        }
        scan
    };
    for value in EXTREMES {
        for every in [1, 13] {
            subject.note(&format!("scores of scans with {value:e} in every {every}. value"));
            let scored: Vec<Scan> = subject.scored().iter().map(|s| spoil(s, value, every)).collect();
            sound_or_refused(subject, &forms, &subject.training(), &scored[..1])
                .map_err(|e| format!("scored with {value:e} in every {every}. value: {e}"))?;
            subject.note(&format!("a fit on scans with {value:e} in every {every}. value"));
            let training: Vec<Scan> = subject.training().iter().map(|s| spoil(s, value, every)).collect();
            sound_or_refused(subject, &forms, &training, &subject.scored()[..1])
                .map_err(|e| format!("fitted with {value:e} in every {every}. value: {e}"))?;
        }
    }
    Ok(Said::pass())
}
