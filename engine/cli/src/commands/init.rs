//! `assay init`: a first recipe for a folder of scans.

mod text;

use super::Status;
use crate::console::Console;
use crate::output;
use anyhow::{Context as _, Result};
use assay_data::{Layout, Limits, Survey, atomic};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Look at a folder of scans and write a recipe for it.
///
/// The folder may be a data set in MVTec 3D-AD or MVTec AD layout, or any folder of good scans: a folder a sensor, a folder a
/// scan, or the files of a scan side by side. Files are told by what they hold: pictures (PNG, JPEG), organised
/// points (TIFF). What was found goes to standard error, the recipe to standard output or to a file.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  assay init scans                                print a recipe for the scans
  assay init scans -o station.toml                write it
  assay fit station.toml --data scans -o part.assay
                                                  then learn the good scans")]
pub(crate) struct Args {
    /// The folder of scans.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The recipe to write; without it the recipe is printed.
    #[arg(short, long, value_name = "RECIPE")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite a recipe that is there.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// Layout of the data set, where looking is not enough: mvtec3d, mvtecad or plain.
    #[arg(long, value_name = "L")]
    pub(crate) layout: Option<Layout>,
}

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    if let Some(path) = &args.output {
        anyhow::ensure!(!path.is_dir(), "{} is a folder; -o names the recipe file", path.display());
        anyhow::ensure!(
            args.force || !path.exists(),
            "{} is there already; --force overwrites it",
            path.display()
        );
    }
    let survey = Survey::of(&args.folder, args.layout, &Limits::default())?;
    let recipe = text::recipe(&survey, &args.folder, &name(&args.folder));
    text::summary(&survey).iter().for_each(|line| console.info(line));
    if let Some(obstacle) = &survey.obstacle {
        console.warn(&format!("a fit would stop here: {obstacle}"));
    }
    let Some(path) = &args.output else {
        output::line(recipe.trim_end())?;
        return Ok(Status::Ok);
    };
    atomic::write(path, |file| file.write_all(recipe.as_bytes()))?;
    let (recipe, data) = (path.display(), survey.data.display());
    console.info(&format!("wrote {recipe}; next:"));
    console.info(&format!("  assay recipe check {recipe}"));
    console
        .info(&format!("  assay fit {recipe} --data {data} -o {}", path.with_extension("assay").display()));
    Ok(Status::Ok)
}

/// What to call the part: the folder's own name.
fn name(folder: &Path) -> String {
    let path = std::fs::canonicalize(folder).with_context(|| folder.display().to_string());
    let name = path.ok().and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| "part".into())
}
