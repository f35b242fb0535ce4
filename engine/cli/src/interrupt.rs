//! Signals. Ctrl-C and SIGTERM for commands that finish the scan at hand: a plugin in the middle of it is not told.

use crate::console::Console;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether somebody asked to stop; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// From now on the first Ctrl-C or SIGTERM asks to stop; a second one ends the program at once.
    pub(crate) fn on_signals(console: &Console) -> Self {
        let interrupt = Self::default();
        let handler = interrupt.clone();
        on_stop(console, move || handler.ask());
        interrupt
    }

    fn ask(&self) {
        let mut asked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *asked {
            std::process::exit(130);
        }
        *asked = true;
        self.0.1.notify_all();
    }

    /// Waits; `true` as soon as somebody asked to stop.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let asked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(asked, time, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whether somebody asked to stop.
    pub(crate) fn asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }
}

/// Calls `handler` at each Ctrl-C and SIGTERM.
pub(crate) fn on_stop(console: &Console, handler: impl Fn() + Clone + Send + 'static) {
    if let Err(e) = ctrlc::set_handler(handler.clone()) {
        console.warn(&format!("Ctrl-C will not stop in an orderly way: {e}"));
    }
    #[cfg(unix)]
    if let Err(e) = on_termination(handler) {
        console.warn(&format!("SIGTERM will not stop in an orderly way: {e}"));
    }
}

#[cfg(unix)]
fn on_termination(handler: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    std::thread::Builder::new().spawn(move || signals.forever().for_each(|_| handler())).map(drop)
}

/// A file that reaches the size that the system allows is a failed write, not the end of the program.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        // Whoever handles the signal is told by the write; where it cannot be handled, the system's way remains.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    }
}
