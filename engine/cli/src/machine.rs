//! What the operating system says of the machine.

use std::path::Path;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Memory {
    /// What this process may have: the machine's, or less where a container or a limit says so.
    pub(crate) total: u64,
    /// What it can still take without swapping.
    pub(crate) available: u64,
    /// What it can take with swapping, beyond that.
    #[serde(skip)]
    swap: u64,
}

impl Memory {
    /// Whether so little is left that the system may soon kill somebody for it.
    pub(crate) fn is_short(&self) -> bool {
        // Enough to end in order, little enough not to be missed.
        let reserve = (self.total / 50).clamp(16 << 20, 256 << 20);
        self.available + self.swap < reserve
    }
}

/// The memory that this process may have; `None` where the system does not tell.
pub(crate) fn memory() -> Option<Memory> {
    let machine = kib_of("/proc/meminfo");
    let found = Memory {
        total: machine("MemTotal:")?,
        available: machine("MemAvailable:")?,
        swap: machine("SwapFree:").unwrap_or(0),
    };
    Some(container().filter(|limit| limit.available < found.available).unwrap_or(found))
}

/// Reads values in KiB from lines such as `MemTotal: 123 kB`, in bytes.
fn kib_of(file: &str) -> impl Fn(&str) -> Option<u64> + use<> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    move |key| {
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        rest.trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    }
}

/// The limit of the control group (version 2) that this process is in, or of the nearest one above it that has a limit.
fn container() -> Option<Memory> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    group_limit(Path::new("/sys/fs/cgroup"), own)
}

fn group_limit(root: &Path, own: &str) -> Option<Memory> {
    let folder = root.join(own);
    folder.ancestors().take_while(|folder| folder.starts_with(root)).find_map(|folder| {
        let number = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let (total, used) = (number("memory.max")?, number("memory.current")?);
        let details = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        // Pages of files that the system drops as soon as somebody needs room.
        let cached = details.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
        let available = total.saturating_sub(used.saturating_sub(cached.unwrap_or(0)));
        Some(Memory { total, available, swap: 0 })
    })
}

/// Bytes that may still be written below a folder; `None` where the system does not tell.
#[cfg(unix)]
pub(crate) fn free_space(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Bytes that may still be written below a folder; `None` where the system does not tell.
#[cfg(not(unix))]
pub(crate) fn free_space(_folder: &Path) -> Option<u64> {
    None
}

/// The vector instructions that kernels can use here, the architecture first.
pub(crate) fn simd() -> Vec<&'static str> {
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
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_group_with_a_limit_counts_and_its_cached_files_are_room() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert!(group_limit(root.path(), "outer/inner").is_none());
        write("outer/memory.max", "1000000000\n");
        write("outer/memory.current", "999000000\n");
        write("outer/inner/memory.max", "max\n");
        let found = group_limit(root.path(), "outer/inner").unwrap();
        assert_eq!((found.total, found.available, found.is_short()), (1_000_000_000, 1_000_000, true));
        write("outer/memory.stat", "anon 5\ninactive_file 300000000\n");
        let found = group_limit(root.path(), "outer/inner").unwrap();
        assert_eq!((found.available, found.is_short()), (301_000_000, false));
    }
}
