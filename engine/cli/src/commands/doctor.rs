//! `assay doctor`: what is at hand, and why.

use super::Status;
use crate::args::Machine;
use crate::console::Console;
use crate::context::{options, search_path};
use crate::output::line;
use anyhow::Result;
use assay_core::plugin::Registry;
use assay_inference::Engine;

/// Show the runtime, device, plugins and processor features at hand, and why they were chosen.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) machine: Machine,
}

pub(crate) fn run(args: &Args, _console: &Console) -> Result<Status> {
    let mut status = Status::Ok;
    line(&format!("assay {}", env!("CARGO_PKG_VERSION")))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    line(&format!("processor  {} cores, {}", cores, simd()))?;
    match Engine::open(&options(&args.machine, None)) {
        Ok(engine) => {
            let info = engine.describe();
            line(&format!("runtime    {} {} on {}", info.name, info.version, info.device))?;
            if let Some(library) = &info.library {
                line(&format!("           {}", library.display()))?;
            }
            if let Some(notice) = &info.notice {
                line(&format!("           {notice}"))?;
            }
            for place in &info.searched {
                line(&format!("           looked at: {place}"))?;
            }
        }
        Err(e) => {
            status = Status::Invalid;
            line(&format!("runtime    not usable: {e}"))?;
        }
    }
    let path = search_path(&args.machine, None);
    for folder in path.folders() {
        let there = if folder.is_dir() { "" } else { " (not there)" };
        line(&format!("plugins    {}{there}", folder.display()))?;
    }
    match Registry::discover(&path) {
        Ok(registry) => {
            for library in registry.libraries() {
                let methods: Vec<&str> = registry
                    .methods()
                    .filter(|m| m.library.path == library.path)
                    .map(|m| m.info.id.as_str())
                    .collect();
                line(&format!("           {} {}: {}", library.name, library.version, methods.join(", ")))?;
                line(&format!("             {}", library.path.display()))?;
            }
            for (method, hidden) in &registry.hidden {
                line(&format!(
                    "           `{method}` of {} is hidden by an earlier folder",
                    hidden.display()
                ))?;
            }
            for broken in &registry.broken {
                status = Status::Invalid;
                line(&format!("           {broken}"))?;
            }
        }
        Err(e) => {
            status = Status::Invalid;
            line(&format!("           {e}"))?;
        }
    }
    Ok(status)
}

/// The vector instructions that kernels can use here.
fn simd() -> String {
    let mut found = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ];
        found.extend(features.iter().filter(|(_, there)| *there).map(|(name, _)| *name));
    }
    found.join(" ")
}
