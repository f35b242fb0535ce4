//! The git revision for `assay --version`.
//!
//! `ASSAY_REVISION` where it is set (packagers build from archives), else that of HEAD, else nothing. Changes that are not
//! committed are not looked for: the build would have to run git on every file each time. The dist script marks them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Hexadecimal digits of a revision: enough to stay unique.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-env-changed=ASSAY_REVISION");
    let given = std::env::var("ASSAY_REVISION").ok().map(|r| r.trim().to_owned()).filter(|r| !r.is_empty());
    let revision = given.or_else(head).unwrap_or_default();
    println!("cargo:rustc-env=ASSAY_BUILD_REVISION={revision}");
    // Always named: without any, every change of a file would run this again.
    println!("cargo:rerun-if-changed=build.rs");
}

/// The revision of HEAD, if these sources are a git repository of their own.
fn head() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.canonicalize().ok()?;
    // An archive that was unpacked inside another repository is not that repository.
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    let branch = git(&root, &["rev-parse", "--symbolic-full-name", "HEAD"]);
    let branch = branch.as_deref().unwrap_or("HEAD");
    for name in ["HEAD", branch, "packed-refs"] {
        // In a worktree these lie in different folders. One that is not there would run this every time.
        let path = git(&root, &["rev-parse", "--git-path", name]).map(|p| root.join(PathBuf::from(p)));
        if let Some(path) = path.filter(|p| p.exists()) {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    let revision = git(&root, &["rev-parse", "HEAD"])?;
    revision.get(..DIGITS).map(str::to_owned)
}

/// What git answers, without the line's end; `None` where there is no git or it fails.
fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
