//! Standard error: messages, and a progress bar where it is a terminal.

use crate::{interrupt, machine};
use assay_core::plugin::Watch;
use assay_core::unfinished;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Without a terminal, how often a line says how far long work is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The program's voice; cheap to clone.
#[derive(Clone)]
pub(crate) struct Console(Arc<Inner>);

struct Inner {
    quiet: bool,
    terminal: bool,
    stage: Mutex<Option<Stage>>,
    cancelled: AtomicBool,
    /// Why work was stopped, where it was not the user.
    shortage: OnceLock<String>,
    /// Where interrupted work is kept, if it is.
    keeps_in: OnceLock<PathBuf>,
}

/// The piece of work at hand.
struct Stage {
    name: String,
    bar: ProgressBar,
    start: Instant,
    /// When a line last said how far it is, where there is no bar.
    told: Instant,
}

impl Console {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self(Arc::new(Inner {
            quiet,
            terminal,
            stage: Mutex::new(None),
            cancelled: AtomicBool::new(false),
            shortage: OnceLock::new(),
            keeps_in: OnceLock::new(),
        }))
    }

    /// Ends the running bar; without a terminal a finished stage leaves one line with its time.
    pub(crate) fn clear(&self) {
        self.finish(&mut self.0.stage.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn finish(&self, stage: &mut Option<Stage>) {
        if let Some(stage) = stage.take() {
            stage.bar.finish_and_clear();
            self.write(&format!("  {} ({:.1} s)", stage.name, stage.start.elapsed().as_secs_f64()));
        }
    }

    fn write(&self, line: &str) {
        if !self.0.quiet {
            // Nobody is told when standard error is gone.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// A line of information.
    pub(crate) fn info(&self, line: &str) {
        self.clear();
        self.write(line);
    }

    /// A warning.
    pub(crate) fn warn(&self, line: &str) {
        self.info(&format!("warning: {line}"));
    }

    /// An error; shown even when quiet.
    pub(crate) fn error(&self, line: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr().lock(), "error: {line}");
    }

    /// Makes the first Ctrl-C or SIGTERM stop the work in an orderly way; a second one ends the program at once.
    pub(crate) fn stop_on_interrupt(&self) {
        let inner = self.0.clone();
        let handler = move || {
            if inner.cancelled.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        interrupt::on_stop(self, handler);
    }

    /// Stops the work in an orderly way when hardly any memory is left: the system would kill the program, and perhaps
    /// others, without a word.
    pub(crate) fn stop_on_memory_shortage(&self) {
        let inner = self.0.clone();
        // Without a thread to spare nobody watches.
        let _ = thread::Builder::new().spawn(move || {
            while let Some(memory) = machine::memory() {
                if memory.is_short() {
                    let megabytes = |bytes: u64| bytes / 1_000_000;
                    let _ = inner.shortage.set(format!(
                        "memory runs out: {} of {} MB are left. Fewer --threads, a smaller `size` or bank, or fewer steps take less memory",
                        megabytes(memory.available),
                        megabytes(memory.total)
                    ));
                    inner.cancelled.store(true, Ordering::Relaxed);
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
    }

    /// Says why work was stopped before its end.
    pub(crate) fn stopped(&self) {
        let left = self.0.keeps_in.get().filter(|folder| unfinished::is_left(folder));
        match (self.0.shortage.get(), left) {
            (Some(shortage), None) => self.error(&format!("{shortage}; no half-written file is left")),
            (Some(shortage), Some(folder)) => {
                self.error(&format!("{shortage}; what took long is kept in {}", folder.display()));
            }
            (None, None) => {
                self.error("interrupted: no half-written file is left; run the same command again")
            }
            (None, Some(folder)) => self.error(&format!(
                "interrupted: what took long is kept in {}; the same command goes on with it",
                folder.display()
            )),
        }
    }

    /// Says where work that is interrupted is kept, if any is.
    pub(crate) fn keeps_in(&self, folder: &Path) {
        let _ = self.0.keeps_in.set(folder.into());
    }

    /// This console as the engine's watcher.
    pub(crate) fn watch(&self) -> Arc<dyn Watch> {
        Arc::new(self.clone())
    }
}

impl Watch for Console {
    fn log(&self, who: &str, level: u32, message: &str) {
        match level {
            1 => self.error(&format!("{who}: {message}")),
            2 => self.warn(&format!("{who}: {message}")),
            3 => self.info(&format!("{who}: {message}")),
            _ => {}
        }
    }

    fn progress(&self, who: &str, fraction: f64, message: &str) {
        let mut stage = self.0.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.as_ref().is_none_or(|s| s.name != who) {
            self.finish(&mut stage);
            let bar = ProgressBar::new(1000);
            if self.0.quiet || !self.0.terminal {
                bar.set_draw_target(ProgressDrawTarget::hidden());
            }
            if let Ok(style) =
                ProgressStyle::with_template("  {prefix:32} {bar:30} {percent:>3} %  {eta:>4} left  {msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(who.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            let now = Instant::now();
            *stage = Some(Stage { name: who.into(), bar, start: now, told: now });
        }
        if let Some(stage) = stage.as_mut() {
            if !self.0.terminal && stage.told.elapsed() >= TELL_EVERY {
                stage.told = Instant::now();
                self.write(&format!("  {who}: {:.0} %, {message}", fraction.clamp(0.0, 1.0) * 100.0));
            }
            stage.bar.set_position((fraction.clamp(0.0, 1.0) * 1000.0) as u64);
            stage.bar.set_message(message.to_owned());
        }
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }
}
