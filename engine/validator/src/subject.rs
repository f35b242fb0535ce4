//! A method under test.

use crate::drive::{Answer, Life, Made, SERVICES, Setting};
use crate::memory::Guard;
use crate::scans::{Form, Scan, forms, scans};
use assay_core::plugin::{Method, MethodInfo, ParamValue, Services, Watch};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Scans of a fit.
const FITTED_ON: usize = 6;

/// Scans that are scored.
const SCORED: usize = 3;

/// A method, the parameters that it is tested with, and small scans for it.
pub(crate) struct Subject {
    pub(crate) method: Method,
    /// A value for each of its parameters.
    pub(crate) params: Vec<ParamValue>,
    pub(crate) seed: u64,
    pub(crate) services: Services,
    /// Which of the port's contents the scans have; see [`forms`].
    pub(crate) choice: usize,
}

/// Where a method is stopped: at the progress that it tells after so many.
pub(crate) struct Stopping(AtomicI64);

impl Stopping {
    /// From now on no stop is asked for.
    pub(crate) fn end(&self) {
        self.0.store(i64::MAX, Ordering::Relaxed);
    }

    /// How often progress was told once a stop was asked for.
    pub(crate) fn ignored(&self) -> i64 {
        // The first of these is how the method hears of it.
        (-self.0.load(Ordering::Relaxed) - 1).max(0)
    }
}

impl Watch for Stopping {
    fn log(&self, _: &str, _: u32, _: &str) {}

    fn progress(&self, _: &str, _: f64, _: &str) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }
}

/// What became of a whole life: outputs of each scored scan, and the state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Came {
    pub(crate) scores: Vec<Vec<u8>>,
    pub(crate) state: Vec<u8>,
}

impl Subject {
    /// A method with a value for each parameter, on the first kind of scans.
    pub(crate) fn new(method: Method, params: Vec<ParamValue>, seed: u64, services: Services) -> Self {
        Self { method, params, seed, services, choice: 0 }
    }

    pub(crate) fn info(&self) -> &MethodInfo {
        &self.method.info
    }

    /// Leaves a word of what comes next, which stands in the finding if it does not come back.
    pub(crate) fn note(&self, what: &str) {
        crate::notes::step(what);
    }

    /// Shapes of the scans.
    pub(crate) fn forms(&self) -> Vec<Form> {
        forms(self.info(), self.choice)
    }

    pub(crate) fn setting(&self) -> Setting {
        Setting {
            params: self.params.clone(),
            seed: self.seed,
            services: self.services.clone(),
            without: [false; SERVICES.len()],
            guard: Guard::Canary,
        }
    }

    /// A setting whose host asks to stop when the method tells its progress for time `calls` (from 0), and what counts how often it
    /// did so afterwards.
    pub(crate) fn stopping(&self, calls: i64) -> (Setting, Arc<Stopping>) {
        let mut setting = self.setting();
        let stopping = Arc::new(Stopping(AtomicI64::new(calls)));
        setting.services.watch = stopping.clone();
        (setting, stopping)
    }

    /// A setting with a pool of `threads` threads.
    ///
    /// # Errors
    /// Where the machine gives none.
    pub(crate) fn with_threads(&self, threads: usize) -> Result<Setting, String> {
        let mut setting = self.setting();
        setting.services.pool = Services::new(threads).map_err(|e| e.to_string())?.pool;
        Ok(setting)
    }

    /// Scans to fit on.
    pub(crate) fn training(&self) -> Vec<Scan> {
        scans(&self.forms(), self.seed, FITTED_ON)
    }

    /// Other scans to score.
    pub(crate) fn scored(&self) -> Vec<Scan> {
        scans(&self.forms(), self.seed.wrapping_add(77), SCORED)
    }

    /// An instance that is planned.
    pub(crate) fn planned(&self, setting: &Setting) -> Answer<Life> {
        let mut life = Life::create(&self.method, setting)?;
        life.plan(&self.forms())?;
        Ok(life)
    }

    /// An instance that is ready to score.
    pub(crate) fn ready(&self, setting: &Setting) -> Answer<Life> {
        let mut life = self.planned(setting)?;
        life.fit(&self.training())?;
        Ok(life)
    }

    /// Outputs of one scan, looked at.
    ///
    /// # Errors
    /// A refusal, or outputs that a host would refuse.
    pub(crate) fn score(&self, life: &Life, scan: &Scan) -> Result<Vec<u8>, String> {
        let mut made = life.score(&[scan])?;
        let made: &mut Made = made.first_mut().ok_or("nothing was made")?;
        made.sound(self.info())?;
        Ok(made.bits(self.info()))
    }

    /// Outputs of the scored scans.
    ///
    /// # Errors
    /// As [`Subject::score`].
    pub(crate) fn scores(&self, life: &Life) -> Result<Vec<Vec<u8>>, String> {
        self.scored().iter().map(|scan| self.score(life, scan)).collect()
    }

    /// The state of a fitted method; nothing of one that is not.
    pub(crate) fn state(&self, life: &mut Life) -> Answer<Vec<u8>> {
        if self.info().fitted { life.save() } else { Ok(Vec::new()) }
    }

    /// What becomes of a whole life.
    ///
    /// # Errors
    /// As [`Subject::score`].
    pub(crate) fn live(&self, setting: &Setting) -> Result<Came, String> {
        let mut life = self.ready(setting)?;
        Ok(Came { scores: self.scores(&life)?, state: self.state(&mut life)? })
    }
}

impl Came {
    /// In what two lives differ.
    pub(crate) fn differs(&self, other: &Self) -> Option<String> {
        if let Some(scan) = self.scores.iter().zip(&other.scores).position(|(a, b)| a != b) {
            return Some(format!("the outputs of scan {scan} differ"));
        }
        (self.state != other.state).then(|| {
            let at = self.state.iter().zip(&other.state).position(|(a, b)| a != b);
            match at {
                Some(at) => format!("the saved states differ from byte {at} on"),
                None => format!("the saved states have {} and {} bytes", self.state.len(), other.state.len()),
            }
        })
    }
}
