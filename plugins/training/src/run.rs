//! The loop of a training.

use crate::error::{Error, Result};
use burn::module::Module;
use burn::tensor::Device;
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
    /// the training holds out are what it is for. Asks `go_on` every so often where it takes long.
    ///
    /// # Errors
    /// As the training sees fit, and those of `go_on`.
    fn criterion(&mut self, go_on: &mut dyn FnMut() -> Result<()>) -> Result<f64>;

    /// The network as it stands.
    ///
    /// # Errors
    /// As the training sees fit.
    fn network(&self) -> Result<Self::Network>;

    /// All that the steps to come depend on, but for their numbers.
    ///
    /// # Errors
    /// As the training sees fit.
    fn save(&self) -> Result<Vec<u8>>;

    /// Brings the training to where it was saved.
    ///
    /// # Errors
    /// Bytes of another training.
    fn restore(&mut self, saved: &[u8]) -> Result<()>;

    /// A network as bytes.
    ///
    /// # Errors
    /// As the training sees fit.
    fn pack(&self, network: &Self::Network) -> Result<Vec<u8>>;

    /// The network that was packed.
    ///
    /// # Errors
    /// Bytes of another training.
    fn unpack(&self, packed: &[u8]) -> Result<Self::Network>;
}

/// Who watches a training, and keeps it over interruptions. A closure that takes the progress keeps nothing.
pub trait Watcher {
    /// Hears of every step, and may end the training with an error; with [`Error::Cancelled`] after it was kept.
    ///
    /// # Errors
    /// Those that end the training.
    fn tell(&mut self, progress: &Progress) -> Result<()>;

    /// Is asked between two steps, while something takes long, and may end the training as [`tell`](Self::tell) does.
    ///
    /// # Errors
    /// Those that end the training.
    fn go_on(&mut self) -> Result<()> {
        Ok(())
    }

    /// Hears of what does not end the training and should be known.
    fn warn(&mut self, message: &str) {
        let _ = message;
    }

    /// Keeps the training as it stands in the place of what was kept before.
    fn keep(&mut self, training: &[u8]) {
        let _ = training;
    }

    /// What was kept of the same training when it was interrupted.
    fn kept(&mut self) -> Option<Vec<u8>> {
        None
    }
}

impl<F: FnMut(&Progress) -> Result<()>> Watcher for F {
    fn tell(&mut self, progress: &Progress) -> Result<()> {
        self(progress)
    }
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

/// What ended a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It took all of its steps.
    Whole,
    /// The limit of time.
    OutOfTime,
    /// The loss or the criterion was no number any more.
    Diverged,
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
    /// What ended the training.
    pub end: End,
}

impl<N> Best<N> {
    /// What the training came to, in words; `criterion` says what chose the network.
    pub fn summary(&self, criterion: &str, steps: usize) -> String {
        let Self { step, criterion: best, untrained, end, .. } = self;
        let ended = match end {
            End::Whole => "",
            End::OutOfTime => ", ended by `max_minutes`",
            End::Diverged => ", which it did not come to",
        };
        format!(
            "{criterion} {best:.5}, {untrained:.5} before the training; taken after {step} of {steps} steps{ended}"
        )
    }
}

impl<N: Module> Best<N> {
    /// The same on the processor, wherever it was trained: there its file is compared with it, for elsewhere products are less exact.
    #[must_use]
    pub fn on_processor(self) -> Self {
        Self { network: self.network.to_device(&Device::flex()), ..self }
    }
}

/// A training is kept this often.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Trains: the network of the best criterion is taken. `watcher` hears of every step.
///
/// # Errors
/// Those of the training and of `watcher`; [`Error::Diverged`] where the loss or the criterion is no number before any network was better than
/// the untrained one. Later the best one is taken, and `watcher` warned.
pub fn run<T: Training>(
    training: &mut T,
    limits: Limits,
    watcher: &mut dyn Watcher,
) -> Result<Best<T::Network>> {
    let begun = Instant::now();
    let kept = watcher.kept().and_then(|bytes| saved::read(training, &bytes));
    let (first, earlier, best) = match kept {
        Some(kept) => (kept.step, kept.spent, kept.best),
        None => {
            let untrained = training.criterion(&mut || watcher.go_on())?;
            let untrained = finite("criterion", untrained, 0)?;
            let network = training.network()?;
            let best = Best { network, step: 0, criterion: untrained, untrained, end: End::Whole };
            (0, Duration::ZERO, best)
        }
    };
    let mut running = Running { training, limits, watcher, begun, earlier, last_kept: begun, best };
    match running.steps_from(first) {
        Err(error @ Error::Diverged { .. }) if running.best.step > 0 => {
            running.best.end = End::Diverged;
            let taken = running.best.step;
            running.watcher.warn(&format!("{error}; the best network so far, of step {taken}, is taken"));
        }
        ended => ended?,
    }
    Ok(running.best)
}

/// A training that runs.
struct Running<'a, T: Training> {
    training: &'a mut T,
    limits: Limits,
    watcher: &'a mut dyn Watcher,
    begun: Instant,
    /// The time that it took before it was interrupted.
    earlier: Duration,
    last_kept: Instant,
    best: Best<T::Network>,
}

impl<T: Training> Running<'_, T> {
    fn spent(&self) -> Duration {
        self.earlier + self.begun.elapsed()
    }

    /// Whether the criterion is looked at after `done` steps.
    fn is_look(&self, done: usize) -> bool {
        done == self.limits.steps || done.is_multiple_of(self.limits.check_every.max(1))
    }

    fn steps_from(&mut self, first: usize) -> Result<()> {
        // The interruption may have come before the look that was due; another one changes nothing.
        if first > 0 && self.is_look(first) {
            self.look(first)?;
        }
        for step in first..self.limits.steps {
            let loss = finite("loss", self.training.step(step)?, step)?;
            let done = step + 1;
            let out_of_time = self.limits.time.is_some_and(|limit| self.spent() >= limit);
            let last = done == self.limits.steps || out_of_time;
            if out_of_time && done < self.limits.steps {
                self.best.end = End::OutOfTime;
            }
            if last || self.is_look(done) {
                self.look(done)?;
            }
            self.tell(done, loss, last)?;
            if last {
                break;
            }
        }
        Ok(())
    }

    /// Takes the network as it stands where it is the best so far.
    fn look(&mut self, done: usize) -> Result<()> {
        let criterion = match self.training.criterion(&mut || self.watcher.go_on()) {
            Err(Error::Cancelled) => {
                self.keep(done)?;
                return Err(Error::Cancelled);
            }
            criterion => finite("criterion", criterion?, done)?,
        };
        if criterion < self.best.criterion {
            self.best.network = self.training.network()?;
            (self.best.step, self.best.criterion) = (done, criterion);
        }
        Ok(())
    }

    /// Tells the watcher, and keeps the training where it is to end, or was not kept for a while.
    fn tell(&mut self, done: usize, loss: f64, last: bool) -> Result<()> {
        let Limits { steps, time, .. } = self.limits;
        let spent = self.spent();
        let to_come = spent.mul_f64((steps - done) as f64 / done as f64);
        let left = time.map_or(to_come, |limit| to_come.min(limit.saturating_sub(spent)));
        let told = self.watcher.tell(&Progress { step: done, steps, loss, best: self.best.criterion, left });
        let interrupted = matches!(told, Err(Error::Cancelled));
        if interrupted || !last && self.last_kept.elapsed() >= KEEP_EVERY {
            self.keep(done)?;
        }
        told
    }

    fn keep(&mut self, done: usize) -> Result<()> {
        let kept = saved::write(self.training, done, self.spent(), &self.best)?;
        self.watcher.keep(&kept);
        self.last_kept = Instant::now();
        Ok(())
    }
}

fn finite(what: &'static str, value: f64, step: usize) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Diverged { what, value, step }) }
}

/// A training between two of its steps, as bytes.
mod saved {
    use super::{Best, End, Training};
    use crate::error::Result;
    use std::time::Duration;

    const MAGIC: &[u8; 8] = b"ASSAYTR1";

    /// Where a training was kept.
    pub(super) struct Kept<N> {
        pub(super) step: usize,
        pub(super) spent: Duration,
        pub(super) best: Best<N>,
    }

    pub(super) fn write<T: Training>(
        training: &T,
        step: usize,
        spent: Duration,
        best: &Best<T::Network>,
    ) -> Result<Vec<u8>> {
        let (state, network) = (training.save()?, training.pack(&best.network)?);
        let mut bytes = Vec::with_capacity(MAGIC.len() + 48 + state.len() + network.len());
        bytes.extend(MAGIC);
        let numbers = [step as u64, spent.as_millis() as u64, best.step as u64];
        numbers.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        [best.criterion, best.untrained].iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        bytes.extend((state.len() as u64).to_le_bytes());
        bytes.extend(state);
        bytes.extend(network);
        Ok(bytes)
    }

    /// `None` where these are not this training's, which then is as it was.
    pub(super) fn read<T: Training>(training: &mut T, bytes: &[u8]) -> Option<Kept<T::Network>> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut word = || -> Option<[u8; 8]> {
            let (word, left) = rest.split_first_chunk()?;
            rest = left;
            Some(*word)
        };
        let [step, spent, taken] = [word()?, word()?, word()?].map(u64::from_le_bytes);
        let [criterion, untrained] = [word()?, word()?].map(f64::from_le_bytes);
        let length = usize::try_from(u64::from_le_bytes(word()?)).ok()?;
        let (state, network) = rest.split_at_checked(length)?;
        let network = training.unpack(network).ok()?;
        let (step, taken) = (usize::try_from(step).ok()?, usize::try_from(taken).ok()?);
        if !criterion.is_finite() || !untrained.is_finite() {
            return None;
        }
        training.restore(state).ok()?;
        let best = Best { network, step: taken, criterion, untrained, end: End::Whole };
        Some(Kept { step, spent: Duration::from_millis(spent), best })
    }
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

        fn criterion(&mut self, go_on: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
            go_on()?;
            Ok((self.0 as f64 - 3.0).abs())
        }

        fn network(&self) -> Result<usize> {
            Ok(self.0)
        }

        fn save(&self) -> Result<Vec<u8>> {
            self.pack(&self.0)
        }

        fn restore(&mut self, saved: &[u8]) -> Result<()> {
            self.0 = self.unpack(saved)?;
            Ok(())
        }

        fn pack(&self, network: &usize) -> Result<Vec<u8>> {
            Ok(network.to_string().into_bytes())
        }

        fn unpack(&self, packed: &[u8]) -> Result<usize> {
            let text = String::from_utf8_lossy(packed);
            text.parse().map_err(|_| Error::Tensor("no number".into()))
        }
    }

    /// Stops after some steps, or when it was asked so often, and keeps.
    #[derive(Default)]
    struct Stops {
        at: usize,
        kept: Option<Vec<u8>>,
        told: Vec<usize>,
        asked: usize,
        at_asked: usize,
        warned: Vec<String>,
    }

    impl Watcher for Stops {
        fn go_on(&mut self) -> Result<()> {
            self.asked += 1;
            if self.asked == self.at_asked { Err(Error::Cancelled) } else { Ok(()) }
        }

        fn warn(&mut self, message: &str) {
            self.warned.push(message.into());
        }

        fn tell(&mut self, progress: &Progress) -> Result<()> {
            self.told.push(progress.step);
            if progress.step == self.at { Err(Error::Cancelled) } else { Ok(()) }
        }

        fn keep(&mut self, training: &[u8]) {
            self.kept = Some(training.to_vec());
        }

        fn kept(&mut self) -> Option<Vec<u8>> {
            self.kept.clone()
        }
    }

    #[test]
    fn an_interrupted_training_goes_on_and_ends_as_it_would_have() {
        let whole = run(&mut Counter(0, 100.0), LIMITS, &mut |_: &Progress| Ok(())).unwrap();
        for at in 1..8 {
            let mut stops = Stops { at, ..Default::default() };
            let stopped = run(&mut Counter(0, 100.0), LIMITS, &mut stops);
            assert!(matches!(stopped, Err(Error::Cancelled)));
            stops.at = 0;
            let resumed = run(&mut Counter(0, 100.0), LIMITS, &mut stops).unwrap();
            assert_eq!(resumed, whole, "stopped after {at}");
            assert_eq!(stops.told, (1..=8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_training_that_is_interrupted_at_a_look_at_the_criterion_ends_as_it_would_have() {
        let limits = Limits { check_every: 2, steps: 5, ..LIMITS };
        let whole = run(&mut Counter(0, 100.0), limits, &mut |_: &Progress| Ok(())).unwrap();
        for (at_asked, told) in [(1, vec![]), (2, vec![1]), (3, vec![1, 2, 3]), (4, vec![1, 2, 3, 4])] {
            let mut stops = Stops { at_asked, ..Default::default() };
            let stopped = run(&mut Counter(0, 100.0), limits, &mut stops);
            assert!(matches!(stopped, Err(Error::Cancelled)));
            assert_eq!((&stops.told, stops.kept.is_some()), (&told, !told.is_empty()));
            let resumed = run(&mut Counter(0, 100.0), limits, &mut stops).unwrap();
            assert_eq!(resumed, whole, "stopped when asked for the {at_asked}th time");
        }
    }

    #[test]
    fn a_training_begins_anew_where_what_was_kept_is_not_its_own() {
        let mut stops = Stops { at: 4, ..Default::default() };
        let _ = run(&mut Counter(0, 100.0), LIMITS, &mut stops);
        let kept = stops.kept.unwrap();
        for wrong in [&b"something else"[..], &kept[..30], &kept[..kept.len() - 1], &[]] {
            let mut stops = Stops { at: 0, kept: Some(wrong.to_vec()), ..Default::default() };
            let best = run(&mut Counter(0, 100.0), LIMITS, &mut stops).unwrap();
            assert_eq!((best.network, stops.told[0]), (3, 1));
        }
    }

    const LIMITS: Limits = Limits { steps: 8, check_every: 1, time: None };

    #[test]
    fn the_network_of_the_best_criterion_is_kept_and_every_step_is_told() {
        let mut told = Vec::new();
        let best = run(&mut Counter(0, 100.0), LIMITS, &mut |p: &Progress| {
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
        let best = run(&mut Counter(0, 100.0), limits, &mut |_: &Progress| Ok(())).unwrap();
        assert_eq!((best.network, best.criterion), (2, 1.0));
    }

    #[test]
    fn a_limit_of_time_ends_with_the_best_so_far() {
        let limits = Limits { time: Some(Duration::ZERO), check_every: 100, ..LIMITS };
        let best = run(&mut Counter(0, 100.0), limits, &mut |_: &Progress| Ok(())).unwrap();
        assert_eq!((best.network, best.end), (1, End::OutOfTime));
    }

    #[test]
    fn a_training_stops_when_it_is_told_to() {
        let mut steps = 0;
        let stopped = run(&mut Counter(0, 100.0), LIMITS, &mut |_: &Progress| {
            steps += 1;
            if steps == 2 { Err(Error::Cancelled) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(steps, 2);
    }

    #[test]
    fn a_training_that_diverges_comes_to_the_best_network_before_or_to_an_error_without_one() {
        let mut watcher = Stops::default();
        let best = run(&mut Counter(0, 4.0), LIMITS, &mut watcher).unwrap();
        assert_eq!((best.network, best.step, best.end), (3, 3, End::Diverged));
        assert!(watcher.warned[0].contains("the loss is NaN at step 4"), "{:?}", watcher.warned);
        assert!(best.summary("loss", 8).ends_with("taken after 3 of 8 steps, which it did not come to"));
        let error = run(&mut Counter(0, 0.0), LIMITS, &mut watcher).unwrap_err();
        assert!(matches!(error, Error::Diverged { what: "loss", step: 0, .. }), "{error}");
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
