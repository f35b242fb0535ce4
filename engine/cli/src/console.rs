//! Standard error: messages, and a progress bar where it is a terminal.

use assay_core::plugin::Watch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The program's voice; cheap to clone.
#[derive(Clone)]
pub(crate) struct Console(Arc<Inner>);

struct Inner {
    quiet: bool,
    terminal: bool,
    stage: Mutex<Option<Stage>>,
    cancelled: AtomicBool,
}

/// The piece of work at hand.
struct Stage {
    name: String,
    bar: ProgressBar,
    start: Instant,
}

impl Console {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self(Arc::new(Inner { quiet, terminal, stage: Mutex::new(None), cancelled: AtomicBool::new(false) }))
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

    /// Makes the first Ctrl-C stop the work in an orderly way; a second one ends the program at once.
    pub(crate) fn stop_on_interrupt(&self) {
        let inner = self.0.clone();
        let handler = move || {
            if inner.cancelled.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        if let Err(e) = ctrlc::set_handler(handler) {
            self.warn(&format!("Ctrl-C will not stop in an orderly way: {e}"));
        }
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
            *stage = Some(Stage { name: who.into(), bar, start: Instant::now() });
        }
        if let Some(stage) = stage.as_ref() {
            stage.bar.set_position((fraction.clamp(0.0, 1.0) * 1000.0) as u64);
            stage.bar.set_message(message.to_owned());
        }
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }
}
