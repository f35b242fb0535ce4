//! How instances behave.

use crate::drive::{Answer, Life, Refusal, SERVICES};
use crate::finding::{Outcome, Said};
use crate::made::{places_that_are_odd, plan_faults};
use crate::scans::{Scan, scans};
use crate::subject::Subject;
use assay_abi as abi;

/// Calls that tell progress and may come too late for a stop.
const LATE: i64 = 2;

/// Calls that tell progress after which a stop is asked for.
const STOPS: [i64; 4] = [0, 1, 2, 5];

pub(super) fn life(subject: &Subject) -> Outcome {
    let setting = subject.setting();
    subject.note("create, destroy");
    drop(Life::create(&subject.method, &setting)?);
    subject.note("create, plan, destroy");
    drop(subject.planned(&setting)?);
    if subject.info().fitted {
        subject.note("create, plan, fit_begin, destroy");
        let mut life = subject.planned(&setting)?;
        life.fit_begin(0, 2)?;
        drop(life);
        subject.note("create, plan, fit_begin, fit_add, destroy");
        let mut life = subject.planned(&setting)?;
        life.fit_begin(0, 2)?;
        life.fit_add(0, &subject.training()[0])?;
        drop(life);
        subject.note("create, plan, a load that fails, destroy");
        let mut life = subject.planned(&setting)?;
        let _ = life.load(b"no state");
        drop(life);
    }
    subject.note("create, a plan that fails, destroy");
    let mut life = Life::create(&subject.method, &setting)?;
    let _ = life.plan(&[]);
    drop(life);
    Ok(Said::pass())
}

pub(super) fn quiet(subject: &Subject) -> Outcome {
    subject.live(&subject.setting())?;
    // Whoever started this process looks at what was printed.
    Ok(Said::pass())
}

pub(super) fn outputs(subject: &Subject) -> Outcome {
    let life = subject.ready(&subject.setting())?;
    if let Some(fault) = plan_faults(subject.info(), life.planned()).first() {
        return Err(fault.clone());
    }
    subject.scores(&life)?;
    for scan in &subject.scored() {
        let mut made = life.score(&[scan])?;
        made.iter_mut().try_for_each(|m| m.in_range(subject.info(), life.planned()))?;
    }
    Ok(Said::warn_of(&places_that_are_odd(subject.info(), life.planned())))
}

pub(super) fn repeatable(subject: &Subject) -> Outcome {
    let (one, two) = (subject.live(&subject.setting())?, subject.live(&subject.setting())?);
    Ok(match (one.differs(&two), subject.info().deterministic) {
        (None, true) => Said::pass(),
        (None, false) => Said::warn("two lives came to the same bits: is it DETERMINISTIC?"),
        (Some(how), true) => Said::fail(format!(
            "{how} between two lives with the same scans and seed, and it is flagged DETERMINISTIC"
        )),
        (Some(_), false) => Said::skip("it is not flagged DETERMINISTIC"),
    })
}

pub(super) fn interleaved(subject: &Subject) -> Outcome {
    if !subject.info().deterministic {
        return Ok(Said::skip("it is not flagged DETERMINISTIC"));
    }
    let alone = subject.live(&subject.setting())?;
    let setting = subject.setting();
    let (mut one, mut two) = (subject.planned(&setting)?, subject.planned(&setting)?);
    let others = scans(&subject.forms(), subject.seed.wrapping_add(1000), 6);
    if subject.info().fitted {
        // Pass by pass and scan by scan, each after the other's.
        let training = subject.training();
        let (mut more, mut others_more) = (true, true);
        for pass in 0..64 {
            for (life, scans, more) in [(&mut one, &training, more), (&mut two, &others, others_more)] {
                if more {
                    life.fit_begin(pass, scans.len())?;
                }
            }
            for i in 0..training.len() {
                for (life, scans, more) in [(&mut one, &training, more), (&mut two, &others, others_more)] {
                    if more {
                        life.fit_add(i, &scans[i])?;
                    }
                }
            }
            if more {
                more = one.fit_end()?;
            }
            if others_more {
                others_more = two.fit_end()?;
            }
            if !more && !others_more {
                break;
            }
        }
    }
    let mut scores = Vec::new();
    for (scan, other) in subject.scored().iter().zip(&others) {
        subject.score(&two, other)?;
        scores.push(subject.score(&one, scan)?);
        subject.score(&two, scan)?;
    }
    let state = subject.state(&mut one)?;
    let together = crate::subject::Came { scores, state };
    Ok(match together.differs(&alone) {
        None => Said::pass(),
        Some(how) => Said::fail(format!(
            "{how} when another instance works between its calls: do they share variables?"
        )),
    })
}

pub(super) fn threads(subject: &Subject) -> Outcome {
    if !subject.info().deterministic {
        return Ok(Said::skip("it is not flagged DETERMINISTIC"));
    }
    let (one, three) = (subject.live(&subject.with_threads(1)?)?, subject.live(&subject.with_threads(3)?)?);
    Ok(match one.differs(&three) {
        None => Said::pass(),
        Some(how) => {
            Said::fail(format!("{how} between one thread and three, and it is flagged DETERMINISTIC"))
        }
    })
}

pub(super) fn batches(subject: &Subject) -> Outcome {
    let life = subject.ready(&subject.setting())?;
    let scored = subject.scored();
    let alone = subject.scores(&life)?;
    let orders: [&[usize]; 3] = [&[0, 1, 2], &[2, 1, 0], &[1, 1]];
    for order in orders {
        subject.note(&format!("score in one call: scans {order:?}"));
        let batch: Vec<&Scan> = order.iter().map(|&i| &scored[i]).collect();
        let mut made = life.score(&batch)?;
        for (at, (made, &i)) in made.iter_mut().zip(order).enumerate() {
            made.sound(subject.info()).map_err(|e| format!("scan {at} of a batch: {e}"))?;
            if made.bits(subject.info()) != alone[i] {
                return Err(format!(
                    "scan {i} scores differently at place {at} of a batch of {}",
                    order.len()
                ));
            }
        }
    }
    subject.note("score of no scan");
    life.score(&[])?;
    Ok(Said::pass())
}

pub(super) fn concurrent(subject: &Subject) -> Outcome {
    if !subject.info().concurrent {
        return Ok(Said::skip("it is not flagged CONCURRENT_SCORE"));
    }
    let life = subject.ready(&subject.setting())?;
    let scored = subject.scored();
    let alone = subject.scores(&life)?;
    let work = |first: usize| -> Result<(), String> {
        for i in 0..40 {
            let scan = (first + i) % scored.len();
            if subject.score(&life, &scored[scan])? != alone[scan] {
                return Err(format!(
                    "scan {scan} scores differently while others are scored, and it is flagged CONCURRENT_SCORE"
                ));
            }
        }
        Ok(())
    };
    std::thread::scope(|s| {
        let work = &work;
        let running: Vec<_> = (0..4).map(|first| s.spawn(move || work(first))).collect();
        running
            .into_iter()
            .try_for_each(|r| r.join().map_err(|_| "a thread of the validator ended".to_owned())?)
    })?;
    Ok(Said::pass())
}

/// What is wrong with a refusal of a call that came too early.
fn early(answer: Answer<()>, what: &str) -> Result<Option<String>, String> {
    match answer {
        Ok(()) => Err(format!("{what} succeeds")),
        Err(Refusal { complaint: Some(complaint), .. }) => Ok(Some(format!("{what}: {complaint}"))),
        Err(refusal) if refusal.status != abi::ERR_STATE => {
            Ok(Some(format!("{what}: {refusal}, where status {} is for calls out of order", abi::ERR_STATE)))
        }
        Err(_) => Ok(None),
    }
}

pub(super) fn order(subject: &Subject) -> Outcome {
    if !subject.info().fitted {
        return Ok(Said::skip("it is not fitted"));
    }
    let scored = subject.scored();
    let mut odd = Vec::new();
    subject.note("score before fit");
    let life = subject.planned(&subject.setting())?;
    odd.extend(early(life.score(&[&scored[0]]).map(drop), "score before fit")?);
    subject.note("fit_add before fit_begin");
    let mut life = subject.planned(&subject.setting())?;
    odd.extend(early(life.fit_add(0, &scored[0]), "fit_add before fit_begin")?);
    subject.note("fit_end before fit_begin");
    let mut life = subject.planned(&subject.setting())?;
    odd.extend(early(life.fit_end().map(drop), "fit_end before fit_begin")?);
    subject.note("save before fit");
    let mut life = subject.planned(&subject.setting())?;
    odd.extend(early(life.save().map(drop), "save before fit")?);
    subject.note("score in the middle of a fit");
    let mut life = subject.planned(&subject.setting())?;
    life.fit_begin(0, 2)?;
    odd.extend(early(life.score(&[&scored[0]]).map(drop), "score in the middle of a fit")?);
    Ok(Said::warn_of(&odd))
}

pub(super) fn second_fit(subject: &Subject) -> Outcome {
    if !subject.info().fitted {
        return Ok(Said::skip("it is not fitted"));
    }
    if !subject.info().deterministic {
        return Ok(Said::skip("it is not flagged DETERMINISTIC"));
    }
    let fresh = subject.live(&subject.setting())?;
    let mut life = subject.planned(&subject.setting())?;
    subject.note("a fit, and another one on other scans before it");
    life.fit(&scans(&subject.forms(), subject.seed.wrapping_add(5), 6))?;
    life.fit(&subject.training())?;
    let again = crate::subject::Came { scores: subject.scores(&life)?, state: subject.state(&mut life)? };
    if let Some(how) = again.differs(&fresh) {
        return Err(format!(
            "{how} after a second fit on the same instance: fit_begin of pass 0 begins anew"
        ));
    }
    subject.note("a fit after one that was broken off");
    life.fit_begin(0, 6)?;
    life.fit_add(0, &subject.scored()[0])?;
    life.fit(&subject.training())?;
    let again = crate::subject::Came { scores: subject.scores(&life)?, state: subject.state(&mut life)? };
    Ok(match again.differs(&fresh) {
        None => Said::pass(),
        Some(how) => {
            Said::fail(format!("{how} after a fit that was broken off: fit_begin of pass 0 begins anew"))
        }
    })
}

pub(super) fn few_scans(subject: &Subject) -> Outcome {
    if !subject.info().fitted {
        return Ok(Said::skip("it is not fitted"));
    }
    for n in [0, 1] {
        subject.note(&format!("a fit on {n} scans"));
        let mut life = subject.planned(&subject.setting())?;
        match life.fit(&subject.training()[..n]) {
            Ok(()) => drop(subject.scores(&life).map_err(|e| format!("after a fit on {n} scans: {e}"))?),
            Err(refusal) => {
                if let Some(complaint) = refusal.complaint {
                    return Err(complaint);
                }
            }
        }
    }
    Ok(Said::pass())
}

pub(super) fn cancel(subject: &Subject) -> Outcome {
    for calls in STOPS {
        subject.note(&format!("a life in which the host asks to stop from progress call {calls} on"));
        let (setting, stopping) = subject.stopping(calls);
        let mut life = subject.planned(&setting)?;
        let fitted = life.fit(&subject.training());
        let scored =
            fitted.and_then(|()| subject.scored().iter().try_for_each(|s| life.score(&[s]).map(drop)));
        match scored {
            Err(refusal) if refusal.status != abi::CANCELLED => {
                return Err(format!(
                    "asked to stop, {refusal}, where status {} says that it did",
                    abi::CANCELLED
                ));
            }
            Ok(()) if stopping.ignored() > LATE => {
                return Err(format!(
                    "it goes on to the end though it was asked to stop, and tells its progress {} times more",
                    stopping.ignored()
                ));
            }
            _ => {}
        }
        subject.note("the same instance once more, with a host that lets it work");
        stopping.end();
        life.fit(&subject.training())?;
        subject.scores(&life)?;
    }
    Ok(Said::pass())
}

pub(super) fn services(subject: &Subject) -> Outcome {
    let mut needs = Vec::new();
    let absences = (0..SERVICES.len()).map(|i| (SERVICES[i].to_owned(), [i].to_vec()));
    let all = ("any service".to_owned(), (0..SERVICES.len()).collect::<Vec<_>>());
    for (what, absent) in absences.chain([all]) {
        subject.note(&format!("a life without {what}"));
        let mut setting = subject.setting();
        absent.iter().for_each(|&i| setting.without[i] = true);
        match subject.ready(&setting) {
            Ok(life) => drop(subject.scores(&life).map_err(|e| format!("without {what}: {e}"))?),
            Err(refusal) => {
                if let Some(complaint) = refusal.complaint {
                    return Err(format!("without {what}: {complaint}"));
                }
                if refusal.status != abi::ERR_RESOURCE && refusal.status != abi::ERR_UNSUPPORTED {
                    return Err(format!(
                        "without {what}, {refusal}, where status {} is for what is not there",
                        abi::ERR_RESOURCE
                    ));
                }
                needs.push(what);
            }
        }
    }
    needs.retain(|what| what != "any service");
    // A method may need a service, and says so; others do without.
    Ok(if needs.is_empty() {
        Said::pass()
    } else {
        Said { message: format!("it needs {}", needs.join(" and ")), ..Said::pass() }
    })
}
