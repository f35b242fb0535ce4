//! Ctrl-C and SIGTERM for commands that finish the scan at hand: a plugin in the middle of it is not told.

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
        if let Err(e) = ctrlc::set_handler(move || handler.ask()) {
            console.warn(&format!("Ctrl-C will not stop in an orderly way: {e}"));
        }
        #[cfg(unix)]
        if let Err(e) = interrupt.on_termination() {
            console.warn(&format!("SIGTERM will not stop in an orderly way: {e}"));
        }
        interrupt
    }

    #[cfg(unix)]
    fn on_termination(&self) -> std::io::Result<()> {
        let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
        let handler = self.clone();
        std::thread::spawn(move || signals.forever().for_each(|_| handler.ask()));
        Ok(())
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
