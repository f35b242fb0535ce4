//! This program as a child: what it crashes, leaks or uses is its own.

use crate::args::Machine;
use crate::console::Console;
use anyhow::{Context as _, Result};
use assay_core::plugin::Watch as _;
use std::ffi::OsString;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a child is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Most of a child's messages that is repeated, bytes.
const MESSAGE: u64 = 4000;

/// Most of a child's result that is read, bytes.
const RESULT: u64 = 64 << 20;

/// A child that has ended.
pub(super) struct Ended {
    status: ExitStatus,
    /// Its standard output.
    pub(super) result: String,
    message: String,
    /// Wall time, seconds.
    pub(super) seconds: f64,
    /// Most resident memory that was seen, MB; where the system tells.
    pub(super) peak_mb: Option<f64>,
}

impl Ended {
    /// Its exit status, if it came so far.
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Why it failed.
    pub(super) fn why(&self) -> String {
        let said = self.message.lines().map(|l| l.strip_prefix("error: ").unwrap_or(l).trim());
        let said = said.filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
        match self.code() {
            Some(_) if !said.is_empty() => said,
            _ => format!("it ended with {} {said}", self.status).trim_end().to_owned(),
        }
    }
}

/// Runs `assay WORDS...`, with temporary files in `scratch`, until it ends or the user interrupts.
///
/// # Errors
/// Where it cannot be started or was interrupted; a child that fails has ended.
pub(super) fn run(words: &[OsString], scratch: &Path, console: &Console) -> Result<Ended> {
    let program = std::env::current_exe().context("the program's own file")?;
    let (mut out, mut err) = (tempfile::tempfile_in(scratch)?, tempfile::tempfile_in(scratch)?);
    let start = Instant::now();
    let mut child = Command::new(&program)
        .arg("--quiet")
        .args(words)
        // A fit that is killed cannot clear up its own files.
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()
        .with_context(|| program.display().to_string())?;
    let mut peak_mb: Option<f64> = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if console.cancelled() {
            // It may have ended by the same Ctrl-C.
            let _ = child.kill();
            child.wait()?;
            anyhow::bail!("interrupted; the same command goes on where this one stopped");
        }
        if let Some(mb) = peak_memory(child.id()) {
            peak_mb = Some(peak_mb.map_or(mb, |p| p.max(mb)));
        }
        std::thread::sleep(PAUSE);
    };
    let seconds = start.elapsed().as_secs_f64();
    let read = |file: &mut std::fs::File, from: u64, most: u64| -> Result<String> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(most).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let result = read(&mut out, 0, RESULT)?;
    let end = err.seek(SeekFrom::End(0))?;
    let message = read(&mut err, end.saturating_sub(MESSAGE), MESSAGE)?;
    Ok(Ended { status, result, message, seconds, peak_mb })
}

/// The most resident memory of a running process so far, MB; `None` where the system does not tell.
fn peak_memory(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// The machine's arguments once more, after the recipe's own plugin folders where the child does not read the recipe.
pub(super) fn machine(machine: &Machine, recipe_plugins: &[PathBuf]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--threads".into(), machine.threads.to_string().into()];
    if let Some(device) = machine.device {
        words.extend(["--device".into(), device.to_string().into()]);
    }
    if let Some(runtime) = machine.runtime {
        words.extend(["--runtime".into(), runtime.to_string().into()]);
    }
    if let Some(path) = &machine.runtime_path {
        words.extend(["--runtime-path".into(), path.into()]);
    }
    for folder in recipe_plugins.iter().chain(&machine.plugin_path) {
        words.extend(["--plugin-path".into(), folder.into()]);
    }
    words
}
