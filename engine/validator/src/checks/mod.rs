//! The checks, in the order in which they are made.

mod behaviour;
mod descriptor;
mod fuzz;
mod loading;
mod parameters;
mod resources;
mod state;
mod tensors;

use crate::finding::Outcome;
use crate::subject::Subject;
use std::path::Path;

pub(crate) use fuzz::{FUZZ, round};

/// What a check is of.
pub(crate) enum Run {
    /// A library that is not yet loaded.
    Library(fn(&Path) -> Outcome),
    /// One of its methods.
    Method(fn(&Subject) -> Outcome),
}

/// One check; `docs/plugin-validator.md` explains each.
pub struct Check {
    /// `group/name`.
    pub id: &'static str,
    /// What it makes sure of.
    pub promise: &'static str,
    pub(crate) run: Run,
}

/// The check without which no other one of a method can be made.
pub(crate) const FIRST: &str = "parameters/defaults";

const fn library(id: &'static str, promise: &'static str, run: fn(&Path) -> Outcome) -> Check {
    Check { id, promise, run: Run::Library(run) }
}

const fn method(id: &'static str, promise: &'static str, run: fn(&Subject) -> Outcome) -> Check {
    Check { id, promise, run: Run::Method(run) }
}

/// All checks.
pub static CHECKS: &[Check] = &[
    library(
        "loading/library",
        "a complete library for this machine that exports assay_entry alone",
        loading::library,
    ),
    library("loading/entry", "built for this ABI, with tables that can be read", loading::entry),
    library("loading/repeat", "the same tables on every call", loading::repeat),
    library("loading/time", "loaded in no time", loading::time),
    library("loading/quiet", "nothing is printed while it is loaded", loading::quiet),
    library("loading/threads", "no thread is started by loading it", loading::threads),
    method("descriptor/texts", "ids, names, versions and words that a user can read", descriptor::texts),
    method("descriptor/ports", "ports with names of their own, contents and counts", descriptor::ports),
    method("descriptor/parameters", "parameters whose defaults are what they allow", descriptor::parameters),
    method("descriptor/functions", "the functions and flags that belong together", descriptor::functions),
    method(FIRST, "the defaults make an instance that can be fitted and scores", parameters::defaults),
    method(
        "parameters/explicit",
        "a parameter that is left out is refused or has its default",
        parameters::explicit,
    ),
    method("parameters/range", "what is out of range or no choice is refused by name", parameters::range),
    method(
        "parameters/choices",
        "every choice works, and every bound is taken or refused",
        parameters::choices,
    ),
    method("behaviour/life", "an instance can be destroyed after any call", behaviour::life),
    method("behaviour/quiet", "nothing is printed in a whole life", behaviour::quiet),
    method(
        "behaviour/outputs",
        "outputs are planned, whole, finite, and have their image score",
        behaviour::outputs,
    ),
    method("behaviour/repeatable", "two lives come to the same bits", behaviour::repeatable),
    method("behaviour/interleaved", "instances do not know of each other", behaviour::interleaved),
    method("behaviour/threads", "the same bits at any number of threads", behaviour::threads),
    method("behaviour/batches", "outputs do not depend on batches or their order", behaviour::batches),
    method(
        "behaviour/concurrent",
        "scans that are scored at the same time do not disturb each other",
        behaviour::concurrent,
    ),
    method("behaviour/order", "calls out of order are errors", behaviour::order),
    method("behaviour/second-fit", "a fit leaves nothing of the one before", behaviour::second_fit),
    method("behaviour/few-scans", "a fit on no scan or on one is fitted or refused", behaviour::few_scans),
    method("behaviour/cancel", "a stop that the host asks for is one", behaviour::cancel),
    method(
        "behaviour/services",
        "it does without the host's optional services, or says that it cannot",
        behaviour::services,
    ),
    method(
        "tensors/canaries",
        "inputs and past outputs are left alone, and nothing beside them is written",
        tensors::canaries,
    ),
    method("tensors/pages", "nothing beside tensors is read or written", tensors::pages),
    method("tensors/mask", "cells that are not valid are neither learned nor scored", tensors::mask),
    method("tensors/contents", "every content and layout that a port accepts works", tensors::contents),
    method("tensors/one-cell", "the smallest inputs are scored or refused", tensors::one_cell),
    method(
        "tensors/empty",
        "clouds without points and scans without a valid cell do no harm",
        tensors::empty,
    ),
    method("tensors/extremes", "no value of an input brings a number that is not finite", tensors::extremes),
    method("state/roundtrip", "a loaded state scores as the fitted one and is saved alike", state::roundtrip),
    method("state/pieces", "states are read in pieces of any size", state::pieces),
    method("state/streams", "streams that fail are errors", state::streams),
    method("state/truncated", "what is left of a state is refused", state::truncated),
    method("state/random", "what is no state is refused", state::random),
    method("state/damaged", "a changed state is refused or does no harm", state::damaged),
    method("state/version", "a state of another version or shape is refused", state::version),
    method("resources/memory", "memory is given back", resources::memory),
    method("resources/threads", "no thread outlives its instance", resources::threads),
    method("resources/handles", "no file stays open", resources::handles),
];
