//! A method in a process of its own: what its plugin breaks, it breaks there.
//!
//! The engine is the client: it starts the process, sends calls and waits for answers. A process that ends, or does not answer in
//! time, fails the call that it was about; the next call finds a new process with the same state. The same program is on both
//! sides, so that what travels between them needs no versions.

mod serve;
mod wire;

use super::descriptor::ParamValue;
use super::instance::{Bound, Failure, FitPass, Outcome};
use super::library::Method;
use super::services::{Keep, Launcher, Services, Watch};
use crate::value::{Content, Data, Spec, Value};
use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wire::{Answer, Pieces, Request, Runtime, Start, decode, encode};

pub use serve::serve;

/// Between looks at whether the work should stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a call may go on after it was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long a process may take to end when there is nothing left to do for it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that a pipe holds where the system lets us choose: fewer changes between processes.
#[cfg(target_os = "linux")]
const PIPE: usize = 1 << 20;

/// An instance in a process of its own.
pub(super) struct Apart {
    launcher: Launcher,
    start: Start,
    patience: Duration,
    watch: Arc<dyn Watch>,
    outputs: Vec<Spec>,
    /// The running process and what it needs to come to again.
    running: Mutex<Running>,
    keep: Mutex<Option<Box<dyn Keep>>>,
}

#[derive(Default)]
struct Running {
    process: Option<Process>,
    /// The state of a method that can score, for another process.
    state: Option<Vec<u8>>,
    /// A fit is under way: another process would not know of it.
    fitting: bool,
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<std::io::Result<(Answer, Vec<u8>)>>,
}

/// Why there was no answer.
enum Lost {
    /// The process is of no use any more.
    Ended(String),
    /// The process is in the middle of something and is of no use any more, either: no other call goes to it.
    Abandoned(Failure),
    /// It answered that the call failed.
    Failed(Failure),
}

impl Apart {
    pub(super) fn new(
        method: &Method,
        patience: Duration,
        who: &str,
        seed: u64,
        services: &Services,
        params: &[ParamValue],
        inputs: &[(usize, Spec)],
        native: (usize, usize),
    ) -> Outcome<Self> {
        let launcher = services.launcher.clone();
        let launcher =
            launcher.ok_or_else(|| Failure::new("this program runs no plugins in processes of their own"))?;
        let runtime = services.inference.as_ref().map(|engine| engine.describe()).map(|info| Runtime {
            rten: info.library.is_none(),
            device: info.device.to_string(),
            library: info.library.clone(),
        });
        let start = Start {
            library: method.library.path.clone(),
            sha256: method.library.sha256.clone(),
            method: method.info.id.clone(),
            who: who.into(),
            seed,
            threads: services.threads(),
            scratch: services.scratch.clone(),
            runtime,
            params: params.iter().map(Into::into).collect(),
            inputs: inputs.iter().map(|(port, spec)| (*port, spec.into())).collect(),
            native,
        };
        let mut this = Self {
            launcher,
            start,
            patience,
            watch: services.watch.clone(),
            outputs: Vec::new(),
            running: Mutex::default(),
            keep: Mutex::default(),
        };
        let mut running = Running::default();
        this.outputs = this.begin(&mut running)?;
        this.running = Mutex::new(running);
        Ok(this)
    }

    pub(super) fn outputs(&self) -> &[Spec] {
        &self.outputs
    }

    pub(super) fn keep_in(&self, place: Option<Box<dyn Keep>>) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    pub(super) fn fit_begin(&mut self, fit: FitPass) -> Outcome<()> {
        let running = self.running();
        running.fitting = false;
        // What is resumed was loaded just now; whatever else was learned is gone with a new fit.
        let state = if fit.resumed { running.state.clone() } else { running.state.take() };
        let begun = self.call(&Request::begin(fit), &Vec::new(), None).map(drop);
        let running = self.running();
        running.fitting = begun.is_ok();
        if begun.is_err() {
            running.state = state;
        }
        begun
    }

    pub(super) fn fit_add(&mut self, id: &str, index: usize, inputs: &[Bound<'_>]) -> Outcome<()> {
        let (heads, pieces) = encode(inputs);
        self.call(&Request::FitAdd { id: id.into(), index, inputs: heads }, &pieces, None).map(drop)
    }

    pub(super) fn fit_end(&mut self) -> Outcome<bool> {
        let answer = self.call(&Request::FitEnd, &Vec::new(), None)?;
        let Answer::Next { another } = answer.0 else { return Err(confused()) };
        if !another {
            // What was learned lives here, too, from now on: a new process is given it.
            let (_, state) = self.call(&Request::Save, &Vec::new(), None)?;
            let running = self.running();
            (running.state, running.fitting) = (Some(state), false);
        }
        Ok(another)
    }

    pub(super) fn score(
        &self,
        id: &str,
        inputs: &[Bound<'_>],
        native: (usize, usize),
    ) -> Outcome<Vec<Value>> {
        let (heads, pieces) = encode(inputs);
        let request = Request::Score { id: id.into(), inputs: heads, native };
        let (answer, bytes) = self.call(&request, &pieces, Some(self.patience))?;
        let Answer::Scored { values } = answer else { return Err(confused()) };
        let values = decode(values, &bytes).map_err(|e| Failure::new(format!("its process sent {e}")))?;
        let values: Vec<Value> = values.into_iter().map(|(_, value)| value).collect();
        if values.len() != self.outputs.len() {
            return Err(confused());
        }
        values.iter().zip(&self.outputs).try_for_each(|(value, spec)| sound(value, spec))?;
        Ok(values)
    }

    pub(super) fn save(&mut self, out: &mut dyn Write) -> Outcome<()> {
        let running = self.running();
        let state = match running.state.take() {
            Some(state) => state,
            None => self.call(&Request::Save, &Vec::new(), Some(self.patience))?.1,
        };
        let written =
            out.write_all(&state).map_err(|e| Failure::new(format!("its state cannot be written: {e}")));
        self.running().state = Some(state);
        written
    }

    pub(super) fn load(&mut self, state: &mut dyn Read) -> Outcome<()> {
        let mut bytes = Vec::new();
        state.read_to_end(&mut bytes).map_err(|e| Failure::new(format!("it cannot be read: {e}")))?;
        self.running().state = None;
        let pieces: Pieces<'_> = vec![bytes.as_slice().into()];
        self.call(&Request::Load, &pieces, Some(self.patience))?;
        let running = self.running();
        (running.state, running.fitting) = (Some(bytes), false);
        Ok(())
    }

    fn running(&mut self) -> &mut Running {
        self.running.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call, in a new process where the last one is gone.
    fn call(
        &self,
        request: &Request,
        pieces: &Pieces<'_>,
        patience: Option<Duration>,
    ) -> Outcome<(Answer, Vec<u8>)> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.process.is_none() {
            if running.fitting {
                running.fitting = false;
                return Err(Failure::new("its process ended in the middle of a fit; fit again"));
            }
            self.watch.log(&self.start.who, assay_abi::LOG_WARN, "its process is started again");
            if let Err(failure) = self.begin_again(&mut running) {
                // Half of an instance is none: the next call tries with another process.
                running.process = None;
                return Err(failure);
            }
        }
        self.ask(&mut running, request, pieces, patience).map_err(|lost| self.told(lost))
    }

    /// Starts a process that is as the last one was.
    fn begin_again(&self, running: &mut Running) -> Outcome<()> {
        if self.begin(running)? != self.outputs {
            return Err(Failure::new("it planned other outputs when it was started again"));
        }
        let Some(state) = running.state.take() else { return Ok(()) };
        let pieces: Pieces<'_> = vec![state.as_slice().into()];
        let loaded = self.ask(running, &Request::Load, &pieces, Some(self.patience));
        drop(pieces);
        running.state = Some(state);
        loaded.map(drop).map_err(|lost| self.told(lost))
    }

    fn told(&self, lost: Lost) -> Failure {
        match lost {
            Lost::Failed(failure) | Lost::Abandoned(failure) => failure,
            Lost::Ended(how) => Failure::new(format!(
                "{how}; it runs in a process of its own, which is started again for the next scan"
            )),
        }
    }

    /// Starts a process; what it planned.
    fn begin(&self, running: &mut Running) -> Outcome<Vec<Spec>> {
        running.process = Some(self.spawn().map_err(|e| {
            Failure::new(format!("its process cannot be started: {}: {e}", self.launcher.program.display()))
        })?);
        let start = Request::Start(Box::new(self.start.clone()));
        let (answer, _) =
            self.ask(running, &start, &Vec::new(), Some(self.patience)).map_err(|lost| self.told(lost))?;
        let Answer::Started { outputs } = answer else { return Err(confused()) };
        outputs.into_iter().map(wire::Shape::spec).collect::<Result<_, _>>().map_err(Failure::new)
    }

    fn spawn(&self) -> std::io::Result<Process> {
        let mut command = Command::new(&self.launcher.program);
        command.args(&self.launcher.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the engine, which then asks for a stop.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let gone = || std::io::Error::other("it has no streams");
        let requests = child.stdin.take().ok_or_else(gone)?;
        let out = child.stdout.take().ok_or_else(gone)?;
        // A smaller pipe works as well.
        #[cfg(target_os = "linux")]
        let _ =
            (rustix::pipe::fcntl_setpipe_size(&requests, PIPE), rustix::pipe::fcntl_setpipe_size(&out, PIPE));
        let (heard, answers) = channel();
        std::thread::spawn(move || {
            let mut out = BufReader::with_capacity(1 << 16, out);
            loop {
                let answer = match wire::read(&mut out) {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => Err(std::io::ErrorKind::UnexpectedEof.into()),
                    Err(e) => Err(e),
                };
                let last = answer.is_err();
                if heard.send(answer).is_err() || last {
                    break;
                }
            }
        });
        Ok(Process { child, requests, answers })
    }

    /// Sends a request and waits for its answer.
    fn ask(
        &self,
        running: &mut Running,
        request: &Request,
        pieces: &Pieces<'_>,
        patience: Option<Duration>,
    ) -> Result<(Answer, Vec<u8>), Lost> {
        let Some(process) = &mut running.process else { return Err(Lost::Ended("it has no process".into())) };
        let answered = self.answer(process, request, pieces, patience);
        if let Err(Lost::Ended(_) | Lost::Abandoned(_)) = answered {
            let Some(mut process) = running.process.take() else { return answered };
            let how = process.end();
            return Err(match answered {
                // How it ended says more than that it did.
                Err(Lost::Ended(what)) if what.is_empty() => Lost::Ended(how),
                other => return other,
            });
        }
        answered
    }

    fn answer(
        &self,
        process: &mut Process,
        request: &Request,
        pieces: &Pieces<'_>,
        patience: Option<Duration>,
    ) -> Result<(Answer, Vec<u8>), Lost> {
        let (since, mut asked_to_stop) = (Instant::now(), None::<Instant>);
        let gone = |_| Lost::Ended(String::new());
        wire::write(&mut process.requests, request, pieces).map_err(gone)?;
        loop {
            if patience.is_some_and(|p| since.elapsed() > p) {
                let seconds = patience.unwrap_or_default().as_secs_f64();
                return Err(Lost::Ended(format!("it did not answer within {seconds} s and was ended")));
            }
            if asked_to_stop.is_none() && self.watch.cancelled() {
                wire::write(&mut process.requests, &Request::Cancel, &[]).map_err(gone)?;
                asked_to_stop = Some(Instant::now());
            }
            if asked_to_stop.is_some_and(|at| at.elapsed() > GRACE) {
                let stopped =
                    Failure { cancelled: true, ..Failure::new("it did not stop when asked, and was ended") };
                return Err(Lost::Abandoned(stopped));
            }
            let (answer, bytes) = match process.answers.recv_timeout(LOOK) {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => return Err(Lost::Ended(String::new())),
                Err(RecvTimeoutError::Timeout) => continue,
            };
            let keep = || self.keep.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Answer::Log { level, message } => self.watch.log(&self.start.who, level, &message),
                Answer::Progress { fraction, message } => {
                    self.watch.progress(&self.start.who, fraction, &message)
                }
                Answer::Keep => {
                    if let Some(place) = &*keep()
                        && let Err(message) = place.write(&bytes)
                    {
                        self.watch.log(&self.start.who, assay_abi::LOG_WARN, &message);
                    }
                }
                Answer::AskKept => {
                    let kept = keep()
                        .as_ref()
                        .map_or(Ok(None), |place| place.read())
                        .map_err(|message| Lost::Abandoned(Failure::new(message)))?;
                    let there = kept.is_some();
                    let pieces: Pieces<'_> = kept.iter().map(|k| k.as_slice().into()).collect();
                    wire::write(&mut process.requests, &Request::Kept { there }, &pieces).map_err(gone)?;
                }
                Answer::Failed { cancelled, parameter, message } => {
                    return Err(Lost::Failed(Failure { cancelled, parameter, message }));
                }
                answer => return Ok((answer, bytes)),
            }
        }
    }
}

impl Process {
    /// Sees the process end, by force where it does not; how it ended.
    fn end(&mut self) -> String {
        // A process that crashed is still on its way out.
        const WAIT: Duration = Duration::from_millis(200);
        let since = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(exit)) => return ended(exit),
                Ok(None) if since.elapsed() < WAIT => std::thread::sleep(Duration::from_millis(2)),
                _ => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return "its process sent what is no answer and was ended".into();
                }
            }
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(process) = self.running().process.take() {
            let Process { mut child, requests, .. } = process;
            // With nothing more to read it ends by itself.
            drop(requests);
            let since = Instant::now();
            while since.elapsed() < FAREWELL {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = (child.kill(), child.wait());
        }
    }
}

fn confused() -> Failure {
    Failure::new("its process answered what was not asked")
}

/// How a process ended.
fn ended(exit: std::process::ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = exit.signal() {
            let what = match signal {
                6 => ": it aborted",
                8 => ": an arithmetic error",
                9 => ": it was killed, perhaps for its memory",
                4 | 7 | 10 | 11 => ": it read or wrote where it must not",
                _ => "",
            };
            return format!("the plugin crashed (signal {signal}{what})");
        }
    }
    format!("the plugin ended its process ({exit})")
}

/// What its process checked, checked again: a plugin may have written over it.
fn sound(value: &Value, spec: &Spec) -> Outcome<()> {
    let fits = match (&value.data, spec.size) {
        (Data::Grid(grid), Some((rows, cols))) => grid.values.dim() == (spec.channels, rows, cols),
        (Data::Cloud(cloud), None) => cloud.values.ncols() == spec.channels,
        _ => false,
    };
    let finite = match &value.data {
        Data::Grid(grid) => grid.values.iter().all(|v| v.is_finite()),
        Data::Cloud(cloud) => cloud.values.iter().chain(&cloud.positions).all(|v| v.is_finite()),
        Data::Image(_) => false,
    };
    let scored = value.content != Content::Scores || value.image_score.is_finite();
    if fits && finite && scored && value.content == spec.content {
        Ok(())
    } else {
        Err(Failure::new("its process sent an output that is not what was planned"))
    }
}
