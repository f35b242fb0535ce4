//! Scans that arrive in a folder: which of them are complete and have come to rest.

use crate::error::Result;
use assay_data::layout::{PresentScan, scans_present};
use assay_data::{ScanFiles, Sensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A folder in which scans appear, looked at again and again: nothing is asked of the system but names, sizes and
/// times, so that network drives do.
#[derive(Debug)]
pub struct Arrivals {
    folder: PathBuf,
    sensors: Vec<Sensor>,
    settle: Duration,
    overdue_after: Option<Duration>,
    waiting: HashMap<String, Waiting>,
}

/// A scan that is not ready yet.
#[derive(Debug)]
struct Waiting {
    seen: Instant,
    state: State,
    /// When it was first seen in this state.
    since: Instant,
    said: bool,
}

#[derive(Debug, PartialEq)]
enum State {
    /// What it lacks.
    Incomplete(String),
    Complete(Vec<Stamp>),
}

/// A file's size and time of change: while they stay, the file is taken to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self { size: found.len(), changed: found.modified().ok() })
    }
}

/// A scan that is complete and at rest.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The scan.
    pub files: ScanFiles,
    stamps: Vec<Stamp>,
}

impl Arrival {
    /// Whether its files are still those that were seen.
    pub fn unchanged(&self) -> bool {
        let files = self.files.files.iter().zip(&self.stamps);
        files.into_iter().all(|((_, path), stamp)| Stamp::of(path).as_ref() == Some(stamp))
    }
}

/// What one look at the folder found.
#[derive(Debug, Default)]
pub struct Look {
    /// Scans that are ready now, in natural order of their ids.
    pub ready: Vec<Arrival>,
    /// Scans that have not become ready for a long time, and what each lacks; each is named once.
    pub overdue: Vec<String>,
}

impl Arrivals {
    /// Scans of these sensors in `folder`. A scan is ready when two looks at least `settle` apart see every sensor's
    /// file with the same size, not zero, and the same time of change; it is overdue when it has been there for
    /// `overdue_after` without becoming ready.
    pub fn new(folder: &Path, sensors: &[Sensor], settle: Duration, overdue_after: Option<Duration>) -> Self {
        let (folder, sensors) = (folder.to_path_buf(), sensors.to_vec());
        Self { folder, sensors, settle, overdue_after, waiting: HashMap::new() }
    }

    /// Looks at the folder at the time `now`. Scans whose id `skip` knows cost no more than reading their names.
    ///
    /// # Errors
    /// Where the folder is not there or cannot be read.
    pub fn look(&mut self, now: Instant, skip: &dyn Fn(&str) -> bool) -> Result<Look> {
        let present = scans_present(&self.folder, &self.sensors, skip)?;
        let mut before = std::mem::take(&mut self.waiting);
        let mut look = Look::default();
        for scan in present {
            let state = state_of(&scan);
            let seen = before.remove(&scan.id);
            let mut waiting = match seen {
                Some(waiting) if waiting.state == state => waiting,
                Some(waiting) => Waiting { state, since: now, ..waiting },
                None => Waiting { seen: now, state, since: now, said: false },
            };
            let rested = now.duration_since(waiting.since) >= self.settle;
            if let (State::Complete(stamps), true) = (&waiting.state, rested) {
                look.ready.push(Arrival { stamps: stamps.clone(), files: files_of(scan) });
                continue;
            }
            let late = self.overdue_after.is_some_and(|limit| now.duration_since(waiting.seen) >= limit);
            if late && !waiting.said {
                waiting.said = true;
                look.overdue.push(format!("{} {}", scan.id, waiting.state.reason()));
            }
            self.waiting.insert(scan.id, waiting);
        }
        Ok(look)
    }

    /// The scans that the last look found not ready, and what each lacks, in no particular order.
    pub fn left(&self) -> Vec<String> {
        self.waiting.iter().map(|(id, waiting)| format!("{id} {}", waiting.state.reason())).collect()
    }
}

impl State {
    fn reason(&self) -> &str {
        match self {
            Self::Incomplete(reason) => reason,
            Self::Complete(_) => "is still changing",
        }
    }
}

fn state_of(scan: &PresentScan) -> State {
    let mut stamps = Vec::with_capacity(scan.files.len());
    let mut lacking = Vec::new();
    for (sensor, files) in &scan.files {
        match &files[..] {
            [] => lacking.push(format!("lacks `{sensor}`")),
            [file] => match Stamp::of(file) {
                Some(stamp) if stamp.size > 0 => stamps.push(stamp),
                Some(_) => lacking.push(format!("has an empty `{sensor}`")),
                None => lacking.push(format!("lacks `{sensor}`")),
            },
            [first, second, ..] => lacking.push(format!(
                "has two files for `{sensor}`, {} and {}",
                first.display(),
                second.display()
            )),
        }
    }
    if lacking.is_empty() { State::Complete(stamps) } else { State::Incomplete(lacking.join(" and ")) }
}

/// The files of a complete scan.
fn files_of(scan: PresentScan) -> ScanFiles {
    let files =
        scan.files.into_iter().filter_map(|(sensor, files)| Some((sensor, files.into_iter().next()?)));
    ScanFiles { id: scan.id, files: files.collect(), defect: None, mask: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_data::SensorKind;

    const SETTLE: Duration = Duration::from_millis(500);
    const OVERDUE: Duration = Duration::from_secs(60);

    /// A folder, and looks at it at made-up times.
    struct Folder {
        folder: tempfile::TempDir,
        arrivals: Arrivals,
        start: Instant,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let sensors = [
                Sensor::new("colour", "rgb/{id}.*", SensorKind::Rgb),
                Sensor::new("height", "{id}/h.tiff", SensorKind::Xyz),
            ];
            let arrivals = Arrivals::new(folder.path(), &sensors, SETTLE, Some(OVERDUE));
            Self { folder, arrivals, start: Instant::now() }
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        /// Ids that are ready and those overdue, `ms` after the start.
        fn look(&mut self, ms: u64) -> (Vec<String>, Vec<String>) {
            let look =
                self.arrivals.look(self.start + Duration::from_millis(ms), &|id| id == "done").unwrap();
            (look.ready.into_iter().map(|a| a.files.id).collect(), look.overdue)
        }
    }

    #[test]
    fn a_scan_is_ready_when_all_its_files_are_there_and_have_rested() {
        let mut folder = Folder::new();
        let nothing = (Vec::new(), Vec::new());
        folder.write("rgb/1.png", "abc");
        assert_eq!(folder.look(0), nothing);
        folder.write("1/h.tiff", "");
        assert_eq!(folder.look(600), nothing);
        folder.write("1/h.tiff", "ab");
        assert_eq!(folder.look(1200), nothing);
        folder.write("1/h.tiff", "abcd");
        assert_eq!(folder.look(1800), nothing);
        assert_eq!(folder.look(2200), nothing);
        assert_eq!(folder.look(2300).0, ["1"]);
    }

    #[test]
    fn scans_that_become_ready_together_come_in_natural_order_and_done_ones_never() {
        let mut folder = Folder::new();
        for id in ["10", "9", "done", "b", "a"] {
            folder.write(&format!("rgb/{id}.png"), "x");
            folder.write(&format!("{id}/h.tiff"), "x");
        }
        folder.look(0);
        assert_eq!(folder.look(500).0, ["9", "10", "a", "b"]);
    }

    #[test]
    fn what_stays_incomplete_is_named_once_with_what_it_lacks() {
        let mut folder = Folder::new();
        folder.write("rgb/1.png", "x");
        folder.write("rgb/2.png", "x");
        folder.write("rgb/2.jpg", "x");
        folder.write("2/h.tiff", "x");
        folder.look(0);
        let overdue = folder.look(60_000).1;
        assert_eq!(overdue[0], "1 lacks `height`");
        assert!(overdue[1].starts_with("2 has two files for `colour`"), "{}", overdue[1]);
        assert_eq!(folder.look(120_000).1, Vec::<String>::new());
        // It is scored all the same once it is complete.
        folder.write("1/h.tiff", "x");
        folder.look(120_001);
        assert_eq!(folder.look(120_501).0, ["1"]);
    }

    #[test]
    fn an_arrival_notices_that_a_file_changed_or_went() {
        let mut folder = Folder::new();
        folder.write("rgb/1.png", "x");
        folder.write("1/h.tiff", "x");
        folder.look(0);
        let look = folder.arrivals.look(folder.start + SETTLE, &|_| false).unwrap();
        assert!(look.ready[0].unchanged());
        folder.write("1/h.tiff", "longer");
        assert!(!look.ready[0].unchanged());
    }
}
