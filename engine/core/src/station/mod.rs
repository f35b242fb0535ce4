//! A station at work: a model stays loaded, scans come one by one, and each gets its line of results.
//!
//! [`request`] reads scans from lines of text; [`arrivals`] finds those that are complete in a folder, [`journal`]
//! remembers which are done, and [`watch`] joins the two.

pub mod arrivals;
pub mod journal;
pub mod request;
pub mod watch;

use crate::dump::{self, Wanted};
use crate::error::{Error, Result};
use crate::inspect::{Inspection, Inspector};
use crate::report::{one_line, write_cloud, write_map, write_picture};
use crate::result::ResultLine;
use assay_data::ScanFiles;
use std::path::PathBuf;

/// The folders that what is made of inspected scans is written to, where it is wanted.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Anomaly maps, `<id>.tiff`.
    pub maps: Option<PathBuf>,
    /// Pictures, `<id>.png`.
    pub pictures: Option<PathBuf>,
    /// Points coloured by their scores, `<id>.ply`.
    pub clouds: Option<PathBuf>,
    /// What a step makes of them, `<id>.safetensors`.
    pub dump: Option<(PathBuf, Wanted)>,
}

/// Inspects a scan, writes its map, picture, cloud and dump, and returns its line. A scan that cannot be inspected has an
/// `invalid` line.
///
/// # Errors
/// Where one of these cannot be written, and [`Error::Cancelled`].
pub fn answer(inspector: &Inspector, files: &ScanFiles, outputs: &Outputs) -> Result<ResultLine> {
    outputs.line(inspector, files, inspector.inspect(files))
}

/// The same for many scans, in order, each line handed to `publish`. The files of a scan are read while the one before it is
/// inspected.
///
/// # Errors
/// As [`answer`], and those of `publish`.
pub fn answer_all<E: From<Error> + Send>(
    inspector: &Inspector,
    scans: &[ScanFiles],
    outputs: &Outputs,
    mut publish: impl FnMut(ResultLine) -> std::result::Result<(), E> + Send,
) -> std::result::Result<(), E> {
    inspector.inspect_all(scans, |files, inspected| publish(outputs.line(inspector, files, inspected)?))
}

impl Outputs {
    fn line(
        &self,
        inspector: &Inspector,
        files: &ScanFiles,
        inspected: Result<Inspection>,
    ) -> Result<ResultLine> {
        let inspection = match inspected {
            Ok(inspection) => inspection,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(e) => return Ok(ResultLine::invalid(inspector, &files.id, one_line(&e))),
        };
        if let Some(folder) = &self.maps {
            write_map(folder, &inspection)?;
        }
        if let Some(folder) = &self.pictures {
            write_picture(folder, inspector, &inspection, None)?;
        }
        if let Some(folder) = &self.clouds {
            write_cloud(folder, inspector, &inspection)?;
        }
        if let Some((folder, wanted)) = &self.dump {
            dump::write(folder, inspector, &inspection, wanted)?;
        }
        Ok(ResultLine::of(inspector, &inspection))
    }
}
