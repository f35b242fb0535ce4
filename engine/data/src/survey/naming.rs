//! Which part of a file's name is the scan's id, and which the sensor's.
//!
//! A name is cut into runs of digits, letters and the rest. Each folder's names can be read in several ways: the whole
//! name is the id, or what is left between a common start and end, or the first or last few runs, with the rest naming
//! the sensor; or a folder's own name is the id. The reading that needs the fewest sensors and ids to name all
//! files wins, provided that each sensor has a file for nearly every id.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Sensors at most.
const MOST_SENSORS: usize = 12;
/// Runs that an id at the start or the end of a name has at most.
const MOST_RUNS: usize = 7;

const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];
const RASTERS: [&str; 3] = ["tif", "tiff", "npy"];
const CLOUDS: [&str; 2] = ["ply", "pcd"];

/// The files of one sensor.
#[derive(Debug, PartialEq)]
pub(super) struct Files {
    /// As a recipe writes it.
    pub(super) pattern: String,
    /// Id and file, in natural order of the files.
    pub(super) files: Vec<(String, String)>,
}

/// How files join to scans.
#[derive(Debug, PartialEq)]
pub(super) struct Naming {
    pub(super) sensors: Vec<Files>,
    /// How many ids there are.
    pub(super) ids: usize,
    /// Files of no sensor.
    pub(super) loose: Vec<String>,
}

/// Whether the name is one of a format that is read here, and can be written in a pattern.
pub(super) fn is_data(file: &str) -> bool {
    class(file).is_some() && !file.contains(['*', '{', '}', '\\'])
}

fn class(file: &str) -> Option<&'static [&'static str]> {
    let (_, extension) = file.rsplit_once('.')?;
    let classes: [&[&str]; 3] = [&PICTURES, &RASTERS, &CLOUDS];
    classes.into_iter().find(|c| c.iter().any(|e| extension.eq_ignore_ascii_case(e)))
}

/// One way to read the names of some files: for each pattern, ids and files.
type Reading<'a> = BTreeMap<String, Vec<(&'a str, usize)>>;

/// Files that are read together, in every way that is possible.
struct Group<'a> {
    files: usize,
    readings: Vec<Reading<'a>>,
}

/// A choice of one reading a group.
struct Choice<'a> {
    rank: (usize, bool, usize),
    sensors: Reading<'a>,
    ids: usize,
}

/// How files (relative paths in natural order, each [`is_data`]) join to scans; `None` where they do not.
pub(super) fn of(files: &[String]) -> Option<Naming> {
    let mut hypotheses = vec![by_file_name(files)];
    let depth = files.iter().map(|f| f.matches('/').count()).max().unwrap_or(0);
    hypotheses.extend((0..depth).map(|level| vec![by_folder(files, level)]));
    let choices = hypotheses.iter().flat_map(|groups| choices(groups));
    let best = choices.min_by_key(|choice| choice.rank)?;

    let mut taken = HashSet::new();
    let sensors = best.sensors.into_iter().map(|(pattern, of)| {
        taken.extend(of.iter().map(|(_, file)| *file));
        let files = of.into_iter().map(|(id, file)| (id.to_owned(), files[file].clone())).collect();
        Files { pattern, files }
    });
    let sensors = sensors.collect();
    let loose = (0..files.len()).filter(|i| !taken.contains(i)).map(|i| files[i].clone()).collect();
    Some(Naming { sensors, ids: best.ids, loose })
}

/// The best choice for each set of ids that some reading gives.
fn choices<'a>(groups: &[Group<'a>]) -> Vec<Choice<'a>> {
    let mut tried: HashSet<Vec<&str>> = HashSet::new();
    let mut choices = Vec::new();
    for reading in groups.iter().flat_map(|g| &g.readings) {
        let ids: HashSet<&str> = reading.values().flatten().map(|(id, _)| *id).collect();
        let mut sorted: Vec<&str> = ids.iter().copied().collect();
        sorted.sort_unstable();
        if tried.insert(sorted) {
            choices.extend(choose(groups, &ids));
        }
    }
    choices
}

/// Reads each group in the way that serves these ids best.
fn choose<'a>(groups: &[Group<'a>], ids: &HashSet<&'a str>) -> Option<Choice<'a>> {
    let mut sensors = Reading::new();
    let mut cost = ids.len();
    for group in groups {
        let read = |reading: &Reading<'a>| {
            let (mut cost, mut taken) = (group.files, Vec::new());
            for (pattern, files) in reading {
                let named: HashSet<&str> = files.iter().map(|(id, _)| *id).collect();
                let hits = named.intersection(ids).count();
                // One file an id; nearly the same ids.
                if named.len() == files.len() && 10 * hits >= 9 * ids.len().max(files.len()) {
                    cost = cost + 1 + (ids.len() - hits) - hits;
                    taken.push((pattern.clone(), files.clone()));
                }
            }
            (cost, taken)
        };
        let (least, taken) = group.readings.iter().map(read).min_by_key(|(cost, _)| *cost)?;
        cost += least;
        sensors.extend(taken);
    }
    let patterns: Vec<&str> = sensors.keys().map(String::as_str).collect();
    if patterns.is_empty() || patterns.len() > MOST_SENSORS || !numbers_may_be_sensors(&patterns, ids.len()) {
        return None;
    }
    let without_digit = !ids.iter().all(|id| id.bytes().any(|b| b.is_ascii_digit()));
    Some(Choice { rank: (cost, without_digit, sensors.len()), sensors, ids: ids.len() })
}

/// Whether patterns that differ in numbers alone may be sensors: cameras have short numbers, and there are fewer of
/// them than scans; years, lots and serial numbers have long ones.
fn numbers_may_be_sensors(patterns: &[&str], ids: usize) -> bool {
    let mut shapes: HashMap<String, Vec<Vec<&str>>> = HashMap::new();
    for pattern in patterns {
        let (mut shape, mut numbers) = (String::new(), Vec::new());
        for run in runs(pattern) {
            if run.as_bytes()[0].is_ascii_digit() {
                numbers.push(run);
                shape.push('#');
            } else {
                shape.push_str(run);
            }
        }
        shapes.entry(shape).or_default().push(numbers);
    }
    shapes.values().filter(|alike| alike.len() > 1).all(|alike| {
        let mut differing = (0..alike[0].len()).filter(|&k| alike.iter().any(|n| n[k] != alike[0][k]));
        ids > alike.len() && differing.all(|k| alike.iter().all(|n| n[k].len() <= 2))
    })
}

/// The hypothesis that ids are in file names: one group a folder and extension.
fn by_file_name(files: &[String]) -> Vec<Group<'_>> {
    let mut folders: BTreeMap<(&str, &str), BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (i, file) in files.iter().enumerate() {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let class = class(name).map_or("", |c| c[0]);
        let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
        folders.entry((folder, class)).or_default().entry(extension).or_default().push(i);
    }
    let stem = |i: usize| {
        let name = files[i].rsplit_once('/').map_or(&*files[i], |(_, name)| name);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    };
    let mut groups = Vec::new();
    for ((folder, class), extensions) in folders {
        let all: Vec<usize> = extensions.values().flatten().copied().collect();
        let distinct: HashSet<&str> = all.iter().map(|&i| stem(i)).collect();
        // `.*` stands for whichever extension a scan's picture or raster has.
        let mixed = extensions.len() > 1 && distinct.len() == all.len() && !CLOUDS.contains(&class);
        let sets = if mixed { vec![("*", all)] } else { extensions.into_iter().collect() };
        for (extension, members) in sets {
            let stems: Vec<(&str, usize)> = members.iter().map(|&i| (stem(i), i)).collect();
            let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            groups.push(Group { files: members.len(), readings: readings(&stems, &folder, extension) });
        }
    }
    groups
}

/// Which runs of a name are its id, between those that are common to all names of the folder.
#[derive(Debug, Clone, Copy)]
enum Id {
    All,
    First(usize),
    Last(usize),
}

impl Id {
    /// The first run of the id and the one after its last; it starts and ends with a word or a number.
    fn within(self, runs: &[&str], start: usize, end: usize) -> Option<(usize, usize)> {
        let end = runs.len() - end;
        let (from, to) = match self {
            Self::All => return Some((start, end)),
            Self::First(k) => (start, (start + k).min(end)),
            Self::Last(k) => (end.saturating_sub(k).max(start), end),
        };
        let word = |run: &str| run.chars().next().is_some_and(char::is_alphanumeric);
        (from < to && word(runs[from]) && word(runs[to - 1])).then_some((from, to))
    }
}

/// Every way to read the names of one folder, the plainest first.
fn readings<'a>(stems: &[(&'a str, usize)], folder: &str, extension: &str) -> Vec<Reading<'a>> {
    let cut: Vec<Vec<&str>> = stems.iter().map(|(stem, _)| runs(stem)).collect();
    let (start, end) = common(&cut);
    let mut ways = vec![(Id::All, 0, 0), (Id::All, start, end)];
    for (start, end) in [(0, 0), (start, end)] {
        ways.extend((1..=MOST_RUNS).flat_map(|k| [(Id::First(k), start, end), (Id::Last(k), start, end)]));
    }
    let read = |(id, start, end): (Id, usize, usize)| {
        let mut reading = Reading::new();
        for ((stem, file), runs) in stems.iter().zip(&cut) {
            let (from, to) = id.within(runs, start, end)?;
            let before: usize = runs[..from].iter().map(|r| r.len()).sum();
            let after = before + runs[from..to].iter().map(|r| r.len()).sum::<usize>();
            let pattern = format!("{folder}{}{{id}}{}.{extension}", &stem[..before], &stem[after..]);
            reading.entry(pattern).or_default().push((&stem[before..after], *file));
            if reading.len() > MOST_SENSORS {
                return None;
            }
        }
        Some(reading)
    };
    let mut found: Vec<Reading<'a>> = Vec::new();
    for reading in ways.into_iter().filter_map(read) {
        if !found.contains(&reading) {
            found.push(reading);
        }
    }
    found
}

/// The hypothesis that the folder at `level` has the id for a name.
fn by_folder(files: &[String], level: usize) -> Group<'_> {
    let mut reading = Reading::new();
    for (i, file) in files.iter().enumerate() {
        let mut names: Vec<&str> = file.split('/').collect();
        if level + 1 < names.len() {
            let id = std::mem::replace(&mut names[level], "{id}");
            reading.entry(names.join("/")).or_default().push((id, i));
        }
    }
    Group { files: files.len(), readings: vec![reading] }
}

/// A name's runs of digits, of letters, and of the rest.
fn runs(name: &str) -> Vec<&str> {
    let kind = |c: char| {
        if c.is_ascii_digit() {
            0
        } else if c.is_alphanumeric() {
            1
        } else {
            2
        }
    };
    let mut runs = Vec::new();
    let (mut from, mut last) = (0, None);
    for (at, c) in name.char_indices() {
        if last.is_some_and(|l| l != kind(c)) {
            runs.push(&name[from..at]);
            from = at;
        }
        last = Some(kind(c));
    }
    runs.push(&name[from..]);
    runs
}

/// How many runs all names have in common at the start, and at the end; at least one is left of each.
fn common(names: &[Vec<&str>]) -> (usize, usize) {
    let Some(first) = names.first() else { return (0, 0) };
    let shortest = names.iter().map(Vec::len).min().unwrap_or(0);
    if names.len() < 2 {
        return (0, 0);
    }
    let start = (0..shortest - 1).take_while(|&k| names.iter().all(|n| n[k] == first[k])).count();
    let same_end = |k: &usize| names.iter().all(|n| n[n.len() - 1 - k] == first[first.len() - 1 - k]);
    let end = (0..shortest - 1 - start).take_while(same_end).count();
    (start, end)
}

#[cfg(test)]
mod tests;
