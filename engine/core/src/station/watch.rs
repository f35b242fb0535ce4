//! Scoring scans as they appear in a folder, each once.

use super::arrivals::{Arrival, Arrivals, Look};
use super::journal::Journal;
use crate::error::{Error, Result};
use crate::result::ResultLine;
use assay_data::ScanFiles;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// What a watch needs of the program around it.
pub trait Program {
    /// The program's error.
    type Error: From<Error>;

    /// Scores a scan; its map and picture are in place when the line is returned.
    ///
    /// # Errors
    /// What ends the watch: the scan is scored again by the next one.
    fn score(&mut self, files: &ScanFiles) -> Result<ResultLine, Self::Error>;

    /// Hands a line to whoever listens.
    ///
    /// # Errors
    /// What ends the watch: the scan is scored again by the next one.
    fn publish(&mut self, line: &ResultLine) -> Result<(), Self::Error>;

    /// Says something to the person at the station.
    fn say(&mut self, message: &str);

    /// Waits; `true` as soon as somebody asked to stop.
    fn wait(&mut self, time: Duration) -> bool;
}

/// A look takes at most one part in so many of the time, however many files there are.
const REST: u32 = 10;
/// How many scans one message names.
const NAMED: usize = 5;

/// Scores scans as they become ready, until somebody asks to stop; looks are `poll` apart, or more where the folder
/// is so large that looking takes long. A line is published before the journal has it: a crash between the two
/// publishes it again, and the journal holds each scan once.
///
/// # Errors
/// Those of `program`, and of the journal. A folder that cannot be read is said once and looked at again.
pub fn watch<P: Program>(
    arrivals: &mut Arrivals,
    journal: &mut Journal,
    poll: Duration,
    program: &mut P,
) -> Result<(), P::Error> {
    let mut queue = VecDeque::new();
    let mut queued = HashSet::new();
    let mut next_look = Instant::now();
    let mut trouble = String::new();
    loop {
        let idle = if queue.is_empty() {
            next_look.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        if program.wait(idle) {
            return Ok(());
        }
        let now = Instant::now();
        if now >= next_look {
            match arrivals.look(now, &|id| journal.contains(id) || queued.contains(id)) {
                Ok(Look { ready, overdue }) => {
                    trouble.clear();
                    if !overdue.is_empty() {
                        program.say(&format!("not scored yet: {}", listed(&overdue)));
                    }
                    queued.extend(ready.iter().map(|arrival| arrival.files.id.clone()));
                    queue.extend(ready);
                }
                Err(e) => {
                    let message = format!("{e}; it is looked at again until it can be read");
                    if message != trouble {
                        program.say(&message);
                        trouble = message;
                    }
                }
            }
            next_look = Instant::now() + poll.max(now.elapsed() * (REST - 1));
        }
        if let Some(arrival) = queue.pop_front() {
            queued.remove(&arrival.files.id);
            // A scan that changed is looked at anew.
            finish(&arrival, journal, program)?;
        }
    }
}

/// Scores the scans that are there and complete, then returns; those that are not are named.
///
/// # Errors
/// Those of `program`, of the journal, and of reading the folder.
pub fn score_present<P: Program>(
    arrivals: &mut Arrivals,
    journal: &mut Journal,
    settle: Duration,
    program: &mut P,
) -> Result<(), P::Error> {
    let first = arrivals.look(Instant::now(), &|id| journal.contains(id))?.ready;
    let ready = if first.is_empty() {
        if program.wait(settle) {
            return Ok(());
        }
        arrivals.look(Instant::now(), &|id| journal.contains(id))?.ready
    } else {
        first
    };
    let mut left = arrivals.left();
    for arrival in &ready {
        if program.wait(Duration::ZERO) {
            return Ok(());
        }
        if !finish(arrival, journal, program)? {
            left.push(format!("{} is still changing", arrival.files.id));
        }
    }
    if !left.is_empty() {
        left.sort();
        program.say(&format!("not scored: {}", listed(&left)));
    }
    Ok(())
}

/// Scores a scan, publishes and records it; `false` where its files change meanwhile.
fn finish<P: Program>(arrival: &Arrival, journal: &mut Journal, program: &mut P) -> Result<bool, P::Error> {
    if !arrival.unchanged() {
        return Ok(false);
    }
    let line = program.score(&arrival.files)?;
    if !arrival.unchanged() {
        return Ok(false);
    }
    program.publish(&line)?;
    journal.append(&line)?;
    Ok(true)
}

fn listed(names: &[String]) -> String {
    let shown = &names[..names.len().min(NAMED)];
    let others = match names.len() - shown.len() {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    format!("{}{others}", shown.join(", "))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::inspect::Verdict;
    use assay_data::{Sensor, SensorKind};
    use std::collections::BTreeMap;
    use std::path::Path;

    /// A line of this id that says nothing else.
    pub(in crate::station) fn line(id: &str) -> ResultLine {
        ResultLine {
            id: id.into(),
            verdict: Verdict::Invalid,
            missing: Vec::new(),
            error: None,
            score: None,
            threshold: 1.0,
            review_threshold: None,
            map_max: None,
            pixel_threshold: 1.0,
            steps: BTreeMap::new(),
            defects: Vec::new(),
            ms: BTreeMap::new(),
            recipe: None,
            station: String::new(),
            recipe_sha256: String::new(),
            model_sha256: String::new(),
            plugins: BTreeMap::new(),
            program: String::new(),
        }
    }

    /// A program that scores nothing, stops after some waits, and plays a part of the folder's life at each score.
    struct Scripted<F> {
        published: Vec<String>,
        said: Vec<String>,
        waits: usize,
        while_scoring: F,
    }

    impl<F: FnMut(&str) -> Result<()>> Program for Scripted<F> {
        type Error = Error;

        fn score(&mut self, files: &ScanFiles) -> Result<ResultLine> {
            (self.while_scoring)(&files.id)?;
            Ok(line(&files.id))
        }

        fn publish(&mut self, line: &ResultLine) -> Result<()> {
            self.published.push(line.id.clone());
            Ok(())
        }

        fn say(&mut self, message: &str) {
            self.said.push(message.into());
        }

        fn wait(&mut self, time: Duration) -> bool {
            std::thread::sleep(time);
            self.waits = self.waits.saturating_sub(1);
            self.waits == 0
        }
    }

    fn scripted<F: FnMut(&str) -> Result<()>>(waits: usize, while_scoring: F) -> Scripted<F> {
        Scripted { published: Vec::new(), said: Vec::new(), waits, while_scoring }
    }

    fn arrivals(folder: &Path) -> Arrivals {
        let sensor = Sensor::new("colour", "{id}.png", SensorKind::Rgb);
        Arrivals::new(folder, &[sensor], Duration::ZERO, None)
    }

    const POLL: Duration = Duration::from_millis(1);

    #[test]
    fn a_scan_that_changes_while_it_is_scored_is_scored_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        std::fs::write(&file, "1").unwrap();
        let mut journal = Journal::open(&folder.path().join("out")).unwrap();
        let mut scored = 0;
        let mut program = scripted(20, |_| {
            scored += 1;
            if scored == 1 {
                std::fs::write(&file, "22").map_err(|e| Error::io(&file, e))?;
            }
            Ok(())
        });
        watch(&mut arrivals(folder.path()), &mut journal, POLL, &mut program).unwrap();
        assert_eq!(program.published, ["a"]);
        drop(program);
        assert_eq!(scored, 2);
    }

    #[test]
    fn a_watch_that_fails_in_the_middle_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        for id in ["10", "9", "11"] {
            std::fs::write(folder.path().join(format!("{id}.png")), "1").unwrap();
        }
        let mut failing = scripted(20, |id| match id {
            "10" => Err(Error::Request("disk full".into())),
            _ => Ok(()),
        });
        let mut journal = Journal::open(&out).unwrap();
        assert!(watch(&mut arrivals(folder.path()), &mut journal, POLL, &mut failing).is_err());
        assert_eq!(failing.published, ["9"]);
        drop(journal);
        let mut journal = Journal::open(&out).unwrap();
        let mut program = scripted(20, |_| Ok(()));
        watch(&mut arrivals(folder.path()), &mut journal, POLL, &mut program).unwrap();
        assert_eq!(program.published, ["10", "11"]);
        assert_eq!(journal.len(), 3);
    }

    #[test]
    fn a_folder_that_goes_away_is_said_once_and_its_scans_are_scored_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let scans = folder.path().join("scans");
        let mut journal = Journal::open(&folder.path().join("out")).unwrap();
        let mut arrivals = arrivals(&scans);
        let mut program = scripted(10, |_| Ok(()));
        watch(&mut arrivals, &mut journal, POLL, &mut program).unwrap();
        assert_eq!(program.said.len(), 1, "{:?}", program.said);
        std::fs::create_dir(&scans).unwrap();
        std::fs::write(scans.join("a.png"), "1").unwrap();
        program.waits = 10;
        watch(&mut arrivals, &mut journal, POLL, &mut program).unwrap();
        assert_eq!(program.published, ["a"]);
    }

    #[test]
    fn scoring_what_is_present_ends_and_names_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        for k in 0..7 {
            std::fs::write(folder.path().join(format!("empty{k}.png")), "").unwrap();
        }
        std::fs::write(folder.path().join("a.png"), "1").unwrap();
        let mut journal = Journal::open(&folder.path().join("out")).unwrap();
        let mut program = scripted(usize::MAX, |_| Ok(()));
        score_present(&mut arrivals(folder.path()), &mut journal, Duration::ZERO, &mut program).unwrap();
        assert_eq!(program.published, ["a"]);
        assert!(program.said[0].ends_with("empty4 has an empty `colour`, and 2 more"), "{:?}", program.said);
    }
}
