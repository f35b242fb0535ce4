//! The other side: a process that drives one instance for an engine.

use super::wire::{Answer, Request, Runtime, Start, decode, encode, read, write};
use crate::plugin::instance::{Bound, Failure, FitPass, Local, Outcome};
use crate::plugin::library::load;
use crate::plugin::services::{Keep, Services, Watch};
use crate::value::{Spec, Value};
use assay_inference::{Device, Engine, Options};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// What an instance tells goes to the engine.
struct Line {
    out: Mutex<Box<dyn Write + Send>>,
    cancelled: AtomicBool,
    /// What was kept, when it was asked for.
    kept: Mutex<Option<Receiver<Option<Vec<u8>>>>>,
}

impl Line {
    fn say(&self, answer: &Answer, pieces: &[Cow<'_, [u8]>]) -> std::io::Result<()> {
        write(&mut **self.out.lock().unwrap_or_else(PoisonError::into_inner), answer, pieces)
    }
}

impl Watch for Line {
    fn log(&self, _: &str, level: u32, message: &str) {
        // Whoever does not listen any more is noticed at the end of the call.
        let _ = self.say(&Answer::Log { level, message: message.into() }, &[]);
    }

    fn progress(&self, _: &str, fraction: f64, message: &str) {
        let fraction = if fraction.is_finite() { fraction } else { -1.0 };
        let _ = self.say(&Answer::Progress { fraction, message: message.into() }, &[]);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Drives an instance as the requests on `input` say, and answers on `out`, until `input` ends. The process ends with it even if the
/// plugin does not return.
///
/// # Errors
/// Where the engine is gone or does not speak this program's language: both sides are the same program.
pub fn serve(input: impl Read + Send + 'static, out: impl Write + Send + 'static) -> std::io::Result<()> {
    let (keeps, kept) = channel();
    let line = Arc::new(Line {
        out: Mutex::new(Box::new(out)),
        cancelled: AtomicBool::new(false),
        kept: Mutex::new(Some(kept)),
    });
    let (requests, calls) = channel();
    let heard = line.clone();
    std::thread::spawn(move || listen(input, &requests, &keeps, &heard));
    let mut instance: Option<Local> = None;
    for (request, bytes) in calls {
        line.cancelled.store(false, Ordering::Relaxed);
        let (answer, values, state) = match request {
            Request::Start(start) => match begin(*start, &line) {
                Ok(local) => {
                    let outputs = local.outputs().iter().map(Into::into).collect();
                    instance = Some(local);
                    (Answer::Started { outputs }, Vec::new(), Vec::new())
                }
                Err(failure) => (Answer::failed(failure), Vec::new(), Vec::new()),
            },
            request => match &mut instance {
                Some(local) => match answer(local, request, bytes) {
                    Ok(done) => done,
                    Err(failure) => (Answer::failed(failure), Vec::new(), Vec::new()),
                },
                None => (Answer::failed(Failure::new("there is no instance")), Vec::new(), Vec::new()),
            },
        };
        let bound: Vec<Bound<'_>> = values.iter().enumerate().collect();
        match answer {
            Answer::Scored { .. } => {
                let (heads, pieces) = encode(&bound);
                line.say(&Answer::Scored { values: heads }, &pieces)?;
            }
            answer => line.say(&answer, &[Cow::Owned(state)])?,
        }
    }
    Ok(())
}

/// Reads requests; a stop reaches the running call.
fn listen(
    mut input: impl Read,
    requests: &Sender<(Request, Vec<u8>)>,
    keeps: &Sender<Option<Vec<u8>>>,
    line: &Line,
) {
    loop {
        match read::<Request>(&mut input) {
            Ok(Some((Request::Cancel, _))) => line.cancelled.store(true, Ordering::Relaxed),
            Ok(Some((Request::Kept { there }, bytes))) => drop(keeps.send(there.then_some(bytes))),
            Ok(Some(request)) => drop(requests.send(request)),
            // The engine is gone, and a plugin that hangs must not outlive it.
            Ok(None) | Err(_) => std::process::exit(0),
        }
    }
}

fn begin(start: Start, line: &Arc<Line>) -> Outcome<Local> {
    let library = start.library.display();
    let methods = load(&start.library).map_err(|e| Failure::new(e.to_string()))?;
    let method = methods.into_iter().find(|m| m.info.id == start.method);
    let method =
        method.ok_or_else(|| Failure::new(format!("{library} has no method `{}` any more", start.method)))?;
    if method.library.sha256 != start.sha256 {
        return Err(Failure::new(format!("{library} was replaced while the program ran; start it again")));
    }
    let mut services = Services::new(start.threads).map_err(|e| Failure::new(e.to_string()))?;
    services.inference = start.runtime.map(opened).transpose()?.map(Arc::new);
    services.scratch = start.scratch;
    services.watch = line.clone();
    let inputs = start.inputs.into_iter().map(|(port, shape)| Ok((port, shape.spec()?)));
    let inputs: Vec<(usize, Spec)> = inputs.collect::<Result<_, String>>().map_err(Failure::new)?;
    let params: Vec<_> = start.params.into_iter().map(Into::into).collect();
    let local = Local::new(&method, &start.who, start.seed, &services, &params, &inputs, start.native)?;
    let kept = line.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(kept) = kept {
        local.keep_in(Some(Box::new(Elsewhere { line: line.clone(), kept })));
    }
    Ok(local)
}

/// Has the engine keep what a pass has come to.
struct Elsewhere {
    line: Arc<Line>,
    kept: Receiver<Option<Vec<u8>>>,
}

impl Keep for Elsewhere {
    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.line.say(&Answer::Keep, &[Cow::Borrowed(bytes)]).map_err(|e| e.to_string())
    }

    fn read(&self) -> Result<Option<Vec<u8>>, String> {
        self.line.say(&Answer::AskKept, &[]).map_err(|e| e.to_string())?;
        self.kept.recv().map_err(|_| "the engine is gone".into())
    }
}

fn opened(runtime: Runtime) -> Outcome<Engine> {
    let fail = |e: assay_inference::InferenceError| Failure::new(e.to_string());
    let device: Device = runtime.device.parse().map_err(fail)?;
    let kind =
        if runtime.rten { assay_inference::Runtime::Rten } else { assay_inference::Runtime::OnnxRuntime };
    Engine::open(&Options { runtime: kind, device, runtime_path: runtime.library, threads: 0 }).map_err(fail)
}

type Answered = (Answer, Vec<Value>, Vec<u8>);

fn answer(local: &mut Local, request: Request, bytes: Vec<u8>) -> Outcome<Answered> {
    let none = |answer| Ok((answer, Vec::new(), Vec::new()));
    match request {
        Request::FitBegin { pass, fold, folds, samples, resumed } => {
            local.fit_begin(FitPass { pass, fold, folds, samples, resumed })?;
            none(Answer::Done)
        }
        Request::FitAdd { id, index, inputs } => {
            let values = decode(inputs, &bytes).map_err(Failure::new)?;
            let bound: Vec<Bound<'_>> = values.iter().map(|(port, value)| (*port, value)).collect();
            local.fit_add(&id, index, &bound)?;
            none(Answer::Done)
        }
        Request::FitEnd => none(Answer::Next { another: local.fit_end()? }),
        Request::Score { id, inputs, native } => {
            let values = decode(inputs, &bytes).map_err(Failure::new)?;
            let bound: Vec<Bound<'_>> = values.iter().map(|(port, value)| (*port, value)).collect();
            let made = local.score(&id, &bound, native)?;
            Ok((Answer::Scored { values: Vec::new() }, made, Vec::new()))
        }
        Request::Save => {
            let mut state = Vec::new();
            local.save(&mut state)?;
            Ok((Answer::State, Vec::new(), state))
        }
        Request::Load => {
            local.load(&mut bytes.as_slice())?;
            none(Answer::Done)
        }
        Request::Start(_) | Request::Cancel | Request::Kept { .. } => {
            Err(Failure::new("the engine asked for what is no call"))
        }
    }
}
