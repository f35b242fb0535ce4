//! A method at work in one step: in this process, or in one of its own.

use super::apart::Apart;
use super::descriptor::{MethodInfo, ParamValue};
use super::instance::{Bound, FitPass, Local, Outcome};
use super::library::Method;
use super::services::{Keep, Services};
use crate::unfinished::Place;
use crate::value::{Spec, Value};
use std::io::{Read, Write};
use std::time::Duration;

/// Where a step's plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// In this process: nothing between the engine and the method.
    #[default]
    None,
    /// In a process of its own, which is started again when it ends or does not answer a call other than those of a fit in time.
    Process {
        /// The longest that it may take to answer.
        patience: Duration,
    },
}

/// A method at work in one step.
pub struct Instance {
    info: std::sync::Arc<MethodInfo>,
    body: Body,
}

enum Body {
    Here(Local),
    Apart(Box<Apart>),
}

impl Instance {
    /// Creates an instance of `method` with one value for each declared parameter, and plans it for `inputs`
    /// (with their ports) of scans of `native` size.
    ///
    /// # Errors
    /// What the method says of its parameters or inputs, or what it breaks of the ABI; a process that cannot be started.
    pub fn new(
        method: &Method,
        isolation: Isolation,
        who: &str,
        seed: u64,
        services: &Services,
        params: &[ParamValue],
        inputs: &[(usize, Spec)],
        native: (usize, usize),
    ) -> Outcome<Self> {
        let body = match isolation {
            Isolation::None => Body::Here(Local::new(method, who, seed, services, params, inputs, native)?),
            Isolation::Process { patience } => Body::Apart(Box::new(Apart::new(
                method, patience, who, seed, services, params, inputs, native,
            )?)),
        };
        Ok(Self { info: method.info.clone(), body })
    }

    /// The method's descriptor.
    pub fn info(&self) -> &MethodInfo {
        &self.info
    }

    /// The planned outputs.
    pub fn outputs(&self) -> &[Spec] {
        match &self.body {
            Body::Here(local) => local.outputs(),
            Body::Apart(apart) => apart.outputs(),
        }
    }

    /// Where the passes to come keep what they have come to.
    pub(crate) fn keep_in(&self, place: Option<Place>) {
        let place = place.map(|p| Box::new(p) as Box<dyn Keep>);
        match &self.body {
            Body::Here(local) => local.keep_in(place),
            Body::Apart(apart) => apart.keep_in(place),
        }
    }

    /// Starts a pass.
    ///
    /// # Errors
    /// What the method says.
    pub fn fit_begin(&mut self, fit: FitPass) -> Outcome<()> {
        match &mut self.body {
            Body::Here(local) => local.fit_begin(fit),
            Body::Apart(apart) => apart.fit_begin(fit),
        }
    }

    /// Brings one training scan.
    ///
    /// # Errors
    /// What the method says.
    pub fn fit_add(&mut self, id: &str, index: usize, inputs: &[Bound<'_>]) -> Outcome<()> {
        match &mut self.body {
            Body::Here(local) => local.fit_add(id, index, inputs),
            Body::Apart(apart) => apart.fit_add(id, index, inputs),
        }
    }

    /// Ends the pass; `true` = the method wants another one.
    ///
    /// # Errors
    /// What the method says.
    pub fn fit_end(&mut self) -> Outcome<bool> {
        match &mut self.body {
            Body::Here(local) => local.fit_end(),
            Body::Apart(apart) => apart.fit_end(),
        }
    }

    /// Scores one scan of native size `native`.
    ///
    /// # Errors
    /// What the method says; an output that is missing, of another shape than planned, or not finite.
    pub fn score(&self, id: &str, inputs: &[Bound<'_>], native: (usize, usize)) -> Outcome<Vec<Value>> {
        match &self.body {
            Body::Here(local) => local.score(id, inputs, native),
            Body::Apart(apart) => apart.score(id, inputs, native),
        }
    }

    /// Writes the state to `out`, as the method saves it.
    ///
    /// # Errors
    /// What the method says; what is wrong with `out`.
    pub fn save(&mut self, out: &mut dyn Write) -> Outcome<()> {
        match &mut self.body {
            Body::Here(local) => local.save(out),
            Body::Apart(apart) => apart.save(out),
        }
    }

    /// Loads a state.
    ///
    /// # Errors
    /// What the method says of it; what is wrong with `state`.
    pub fn load(&mut self, state: &mut dyn Read) -> Outcome<()> {
        match &mut self.body {
            Body::Here(local) => local.load(state),
            Body::Apart(apart) => apart.load(state),
        }
    }
}
