//! Writes the seeds of each target to `DIR/<target>/`, and its words as a dictionary of libFuzzer to `DIR/<target>.dict`.

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    for target in assay_fuzz::TARGETS {
        let own = folder.join(target.name);
        fs::create_dir_all(&own)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(own.join(format!("seed-{number:02}")), seed)?;
        }
        let quoted = |word: &&str| {
            let hex = |b: u8| format!("\\x{b:02x}");
            format!("\"{}\"\n", word.bytes().map(hex).collect::<String>())
        };
        fs::write(
            folder.join(format!("{}.dict", target.name)),
            (target.words)().iter().map(quoted).collect::<String>(),
        )?;
    }
    Ok(())
}
