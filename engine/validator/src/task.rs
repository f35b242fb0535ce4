//! One check of one method: what a child process is asked to do, and does.

use crate::checks::{CHECKS, FUZZ, Run, round};
use crate::finding::{Outcome, Said, Status};
use crate::notes;
use crate::subject::Subject;
use assay_core::plugin::{Method, MethodInfo, ParamInfo, ParamKind, ParamValue, Services, load};
use assay_inference::{Engine, Options, Runtime};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The task that lists the methods instead of a check.
pub(crate) const METHODS: &str = "methods";

/// Threads of the pool that methods are offered.
const THREADS: usize = 2;

/// A value that a parameter is tested with, instead of its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// The method; all that have such a parameter if none.
    pub method: Option<String>,
    /// The parameter.
    pub key: String,
    /// Its value as in a recipe; a text needs no quotes.
    pub value: String,
}

impl std::str::FromStr for Param {
    type Err = String;

    /// `[METHOD.]KEY=VALUE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("it takes the form [METHOD.]KEY=VALUE")?;
        let (method, key) = match name.split_once('.') {
            Some((method, key)) => (Some(method.trim().to_owned()), key),
            None => (None, name),
        };
        Ok(Self { method, key: key.trim().into(), value: value.trim().into() })
    }
}

/// What a child process does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub(crate) library: PathBuf,
    pub(crate) check: String,
    pub(crate) method: Option<String>,
    pub(crate) params: Vec<Param>,
    pub(crate) seed: u64,
    /// Rounds of the fuzzer.
    pub(crate) rounds: u64,
    /// Where the answer goes.
    pub(crate) answer: PathBuf,
    /// Where a word goes of what comes next.
    pub(crate) notes: PathBuf,
}

/// What a child process says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) message: String,
    /// Of [`METHODS`].
    pub(crate) methods: Vec<String>,
}

impl Task {
    /// Does it and leaves the answer where it was asked for.
    ///
    /// # Errors
    /// Where the answer cannot be written.
    pub fn answer(&self) -> std::io::Result<()> {
        notes::leave_in(&self.notes);
        let answer = self.run();
        let text = serde_json::to_vec(&answer).map_err(std::io::Error::other)?;
        std::fs::write(&self.answer, text)
    }

    /// Does it here.
    pub(crate) fn run(&self) -> Answer {
        if self.check == METHODS {
            return match self.methods() {
                Ok(methods) => Answer { status: Status::Pass, message: String::new(), methods },
                Err(message) => Answer { status: Status::Fail, message, methods: Vec::new() },
            };
        }
        let Said { status, message } = self.said().unwrap_or_else(Said::fail);
        Answer { status, message, methods: Vec::new() }
    }

    fn load(&self) -> Result<Vec<Method>, String> {
        load(&self.library).map_err(|e| e.to_string())
    }

    /// The methods' ids, where the parameters are theirs.
    fn methods(&self) -> Result<Vec<String>, String> {
        let methods = self.load()?;
        for param in &self.params {
            let named = |m: &&Method| param.method.as_ref().is_none_or(|id| *id == m.info.id);
            let has = |m: &Method| m.info.params.iter().any(|p| p.name == param.key);
            if !methods.iter().filter(named).any(has) {
                return Err(format!("no method has the parameter `{}` that --param gives", param.key));
            }
        }
        methods.iter().try_for_each(|m| self.params_of(&m.info).map(drop))?;
        Ok(methods.iter().map(|m| m.info.id.clone()).collect())
    }

    /// A value for each parameter.
    fn params_of(&self, info: &MethodInfo) -> Result<Vec<ParamValue>, String> {
        let given = |p: &ParamInfo| {
            let fits = |g: &&Param| g.key == p.name && g.method.as_ref().is_none_or(|id| *id == info.id);
            self.params.iter().rev().find(fits)
        };
        info.params
            .iter()
            .map(|p| match given(p) {
                None => Ok(p.default.clone()),
                Some(given) => value(p, &given.value).ok_or_else(|| {
                    format!("`{}` of --param {} is not {}", given.value, p.name, p.kind.name())
                }),
            })
            .collect()
    }

    fn said(&self) -> Outcome {
        let run = CHECKS.iter().find(|c| c.id == self.check).map(|c| &c.run);
        match run {
            Some(Run::Library(check)) => check(&self.library),
            Some(Run::Method(check)) => check(&self.subject()?),
            None if self.check == FUZZ => {
                let mut subject = self.subject()?;
                let first = subject.seed;
                // The same scans and host in every round; what differs comes from the round's seed.
                subject.seed = 1;
                for seed in (0..self.rounds).map(|n| first.wrapping_add(n)) {
                    round(&subject, seed).map_err(|e| format!("seed {seed}: {e}"))?;
                }
                Ok(Said::pass())
            }
            None => Err(format!("there is no check `{}`", self.check)),
        }
    }

    fn subject(&self) -> Result<Subject, String> {
        let methods = self.load()?;
        let method = methods.into_iter().find(|m| Some(&m.info.id) == self.method.as_ref());
        let method = method.ok_or("the method is gone")?;
        let params = self.params_of(&method.info)?;
        let mut services = Services::new(THREADS).map_err(|e| e.to_string())?;
        // The runtime that is always there, so that a finding is the same on any machine.
        let options = Options { runtime: Runtime::Rten, ..Options::default() };
        services.inference = Engine::open(&options).ok().map(Arc::new);
        services.scratch = self.notes.parent().map(Path::to_path_buf);
        let mut subject = Subject::new(method, params, self.seed, services);
        // A port may take one of its contents only in some form: the first that is planned.
        let all = crate::scans::choices(subject.info());
        for choice in 0..all {
            subject.choice = choice;
            if subject.planned(&subject.setting()).is_ok() {
                return Ok(subject);
            }
        }
        subject.choice = 0;
        Ok(subject)
    }
}

/// A parameter's value from text.
fn value(p: &ParamInfo, text: &str) -> Option<ParamValue> {
    let parsed = || format!("v = {text}").parse::<toml::Table>().ok()?.remove("v");
    let float = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    match p.kind {
        ParamKind::Bool => parsed()?.as_bool().map(ParamValue::Bool),
        ParamKind::Int => parsed()?.as_integer().map(ParamValue::Int),
        ParamKind::Float => float(&parsed()?).map(ParamValue::Float),
        ParamKind::String => {
            let quoted = parsed().and_then(|v| v.as_str().map(str::to_owned));
            Some(ParamValue::String(quoted.unwrap_or_else(|| text.to_owned())))
        }
        ParamKind::IntList => parsed()?
            .as_array()?
            .iter()
            .map(toml::Value::as_integer)
            .collect::<Option<_>>()
            .map(ParamValue::IntList),
        ParamKind::FloatList => {
            parsed()?.as_array()?.iter().map(float).collect::<Option<_>>().map(ParamValue::FloatList)
        }
        ParamKind::StringList => {
            let texts = parsed()?;
            let texts = texts.as_array()?.iter().map(|v| v.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(ParamValue::StringList)
        }
    }
}
