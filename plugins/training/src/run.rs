//! The loop of a training.

use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// Something that is trained step by step.
pub trait Training {
    /// What is kept of the best step.
    type Network;

    /// Does step `step`, counted from 0, and returns its loss.
    ///
    /// # Errors
    /// As the training sees fit.
    fn step(&mut self, step: usize) -> Result<f64>;

    /// How good the network is as it stands, lower is better. It may see neither a label nor a scan that sets thresholds: scans that
    /// the training holds out are what it is for.
    ///
    /// # Errors
    /// As the training sees fit.
    fn criterion(&mut self) -> Result<f64>;

    /// The network as it stands.
    ///
    /// # Errors
    /// As the training sees fit.
    fn network(&self) -> Result<Self::Network>;
}

/// How long a training goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Steps in all.
    pub steps: usize,
    /// Steps between two looks at the criterion.
    pub check_every: usize,
    /// A time after which the best so far is taken; such a training is not repeatable.
    pub time: Option<Duration>,
}

/// Where a training stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The last step's loss.
    pub loss: f64,
    /// The best criterion so far.
    pub best: f64,
    /// The time that the steps to come, or the limit, will take.
    pub left: Duration,
}

impl Progress {
    /// The share that is done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.step as f64 / self.steps.max(1) as f64
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, steps, loss, best, left } = self;
        let left = left.as_secs();
        write!(f, "step {step}/{steps}, loss {loss:.4}, best held out {best:.4}, ")?;
        if left >= 60 {
            write!(f, "{} min {:02} s left", left / 60, left % 60)
        } else {
            write!(f, "{left} s left")
        }
    }
}

/// What a training came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Best<N> {
    /// The network that the criterion prefers.
    pub network: N,
    /// Steps that it had been trained for.
    pub step: usize,
    /// Its criterion.
    pub criterion: f64,
    /// The criterion before the first step.
    pub untrained: f64,
    /// Whether the limit of time ended the training.
    pub out_of_time: bool,
}

/// Trains: the network of the best criterion is kept. `tell` hears of every step and may end the training with an error.
///
/// # Errors
/// Those of the training and of `tell`; [`Error::Diverged`] where the loss or the criterion is no number.
pub fn run<T: Training>(
    training: &mut T,
    limits: Limits,
    tell: &mut dyn FnMut(&Progress) -> Result<()>,
) -> Result<Best<T::Network>> {
    let begun = Instant::now();
    let untrained = finite("criterion", training.criterion()?, 0)?;
    let mut best =
        Best { network: training.network()?, step: 0, criterion: untrained, untrained, out_of_time: false };
    for step in 0..limits.steps {
        let loss = finite("loss", training.step(step)?, step)?;
        let done = step + 1;
        let spent = begun.elapsed();
        best.out_of_time = done < limits.steps && limits.time.is_some_and(|limit| spent >= limit);
        let last = done == limits.steps || best.out_of_time;
        if last || done.is_multiple_of(limits.check_every.max(1)) {
            let criterion = finite("criterion", training.criterion()?, done)?;
            if criterion < best.criterion {
                best = Best { network: training.network()?, step: done, criterion, ..best };
            }
        }
        let to_come = spent.mul_f64((limits.steps - done) as f64 / done as f64);
        let left = limits.time.map_or(to_come, |limit| to_come.min(limit.saturating_sub(spent)));
        tell(&Progress { step: done, steps: limits.steps, loss, best: best.criterion, left })?;
        if last {
            break;
        }
    }
    Ok(best)
}

fn finite(what: &'static str, value: f64, step: usize) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Diverged { what, value, step }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A "network" that is the number of its steps; the criterion is best after three.
    struct Counter(usize, f64);

    impl Training for Counter {
        type Network = usize;

        fn step(&mut self, step: usize) -> Result<f64> {
            assert_eq!(step, self.0);
            self.0 += 1;
            Ok(if self.0 as f64 > self.1 { f64::NAN } else { 1.0 })
        }

        fn criterion(&mut self) -> Result<f64> {
            Ok((self.0 as f64 - 3.0).abs())
        }

        fn network(&self) -> Result<usize> {
            Ok(self.0)
        }
    }

    const LIMITS: Limits = Limits { steps: 8, check_every: 1, time: None };

    #[test]
    fn the_network_of_the_best_criterion_is_kept_and_every_step_is_told() {
        let mut told = Vec::new();
        let best = run(&mut Counter(0, 100.0), LIMITS, &mut |p| {
            told.push((p.step, p.best));
            Ok(())
        });
        let best = best.unwrap();
        assert_eq!((best.network, best.step, best.criterion, best.untrained), (3, 3, 0.0, 3.0));
        assert_eq!(told.iter().map(|t| t.0).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
        assert_eq!(told[1].1, 1.0);
    }

    #[test]
    fn the_criterion_is_looked_at_every_so_often_and_at_the_end() {
        let limits = Limits { check_every: 2, steps: 5, ..LIMITS };
        let best = run(&mut Counter(0, 100.0), limits, &mut |_| Ok(())).unwrap();
        assert_eq!((best.network, best.criterion), (2, 1.0));
    }

    #[test]
    fn a_limit_of_time_ends_with_the_best_so_far() {
        let limits = Limits { time: Some(Duration::ZERO), check_every: 100, ..LIMITS };
        let best = run(&mut Counter(0, 100.0), limits, &mut |_| Ok(())).unwrap();
        assert_eq!((best.network, best.out_of_time), (1, true));
    }

    #[test]
    fn a_training_stops_when_it_is_told_to_and_when_it_diverges() {
        let mut steps = 0;
        let stopped = run(&mut Counter(0, 100.0), LIMITS, &mut |_| {
            steps += 1;
            if steps == 2 { Err(Error::Cancelled) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(steps, 2);
        let diverged = run(&mut Counter(0, 4.0), LIMITS, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(diverged, Error::Diverged { what: "loss", step: 4, .. }), "{diverged}");
    }

    #[test]
    fn progress_reads_well() {
        let mut progress =
            Progress { step: 3, steps: 12, loss: 1.25, best: 0.5, left: Duration::from_secs(125) };
        assert_eq!(progress.to_string(), "step 3/12, loss 1.2500, best held out 0.5000, 2 min 05 s left");
        progress.left = Duration::from_millis(9900);
        assert!(progress.to_string().ends_with(", 9 s left"));
        assert_eq!(progress.fraction(), 0.25);
    }
}
