//! The words of `assay init`: the recipe with its comments, and the summary of what was found.

use assay_data::survey::Finding;
use assay_data::{Layout, SensorKind, Survey, Unit};
use std::path::Path;

/// Where comments begin, and where lines end.
const COLUMN: usize = 46;
const WIDTH: usize = 120;

/// The rates that a recipe may start with, and the calibration scans that each takes: the smallest n of at
/// least 1 / rate - 1.
const RATES: [(f64, usize); 6] = [(0.05, 19), (0.1, 9), (0.2, 4), (0.25, 3), (0.34, 2), (0.5, 1)];

/// The recipe for what was found in `root`.
pub(super) fn recipe(survey: &Survey, root: &Path, name: &str) -> String {
    let mut out = Vec::new();
    out.push(format!("# {}, as `assay init` found it: a start, to be read and changed.", plain(name)));
    let inside = survey.data.strip_prefix(root).ok().filter(|p| !p.as_os_str().is_empty());
    let inside = inside.map_or_else(String::new, |p| format!(" in {}", plain(&p.display().to_string())));
    out.push(format!("# {}{inside}.", counts(survey)));
    out.push("format = 1".into());
    out.push(line(
        &format!("recipe = {{ name = {} }}", quoted(name)),
        "add number = 3 to choose it by number on a line",
    ));
    out.push(String::new());
    out.push(line("[sensors]", "{id} joins the files of one scan"));
    out.extend(survey.sensors.iter().map(|f| line(&sensor(f), &about(f))));
    if !survey.left_out.is_empty() {
        out.push("# Left out:".into());
        for (finding, why) in &survey.left_out {
            out.push(format!("# {}: {}", sensor(finding), plain(why)));
        }
    }
    out.push(String::new());
    let turned = prepare(survey, &mut out);
    steps(survey, turned, &mut out);
    out.push(line("[decide]", "what no step consumes is calibrated and summed"));
    let (rate, why) = rate(survey);
    out.push(line(&format!("false_reject_rate = {rate}"), &why));
    out.push(String::new());
    out.join("\n")
}

/// `[prepare]`; whether each scan is learned at many angles.
fn prepare(survey: &Survey, out: &mut Vec<String>) -> bool {
    let part = survey.part;
    let turned = part.is_some_and(|p| p.turned == Some(true));
    out.push("[prepare]".into());
    if part.is_some_and(|p| !p.stands_out) {
        let why = "no part stands out from what it lies on: all of the scan counts";
        out.push(line("background = \"off\"", why));
    }
    if turned {
        out.push(line("rotations = 12", "the parts lie at any angle: each scan is learned at this many"));
    } else {
        out.push("# rotations = 12: for parts that lie at any angle; each scan is then learned at so many angles, which takes".into());
        out.push("# as much longer. Give patchcore max_bank = 20000 with it.".into());
        if part.is_some_and(|p| p.turned == Some(false)) {
            out.push("# Here they lie the same way each time.".into());
        }
    }
    out.push(String::new());
    turned
}

/// One look, and one memory bank of good patches, a sensor.
fn steps(survey: &Survey, turned: bool, out: &mut Vec<String>) {
    let bank = if turned { ", max_bank = 20000" } else { "" };
    let pictures = survey.sensors.iter().filter(|f| f.sensor.kind != SensorKind::Xyz).count();
    let points = survey.sensors.len() - pictures;
    // Name, the rest, comment.
    let mut steps: Vec<(String, String, &str)> = Vec::new();
    let mut step = |name: &str, method: &str, from: &str, rest: &str, comment: &'static str| {
        let table = format!("{{ method = \"{method}\", from = \"{from}\"{rest} }}");
        steps.push((name.to_owned(), table, comment));
    };
    for (k, Finding { sensor, .. }) in survey.sensors.iter().enumerate() {
        let of_points = sensor.kind == SensorKind::Xyz;
        let alone = if of_points { points } else { pictures } == 1;
        let named = |step: &str| if alone { step.to_owned() } else { format!("{step}_{}", sensor.name) };
        let (look, memory) = if of_points { ("relief", "geometry") } else { ("look", "appearance") };
        let mut from = sensor.name.clone();
        if of_points {
            let normals = named("normals");
            step(&normals, "normals", &from, "", "an image of the surface's normals");
            from = normals;
        }
        let once = |comment| if k == 0 { comment } else { "" };
        let larger = once("the built-in backbone; a larger size sees finer defects");
        step(&named(look), "onnx", &from, ", size = 320", larger);
        step(&named(memory), "patchcore", &named(look), bank, once("distance to the nearest good patch"));
    }
    let width = steps.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    out.push("[steps]".into());
    for (name, table, comment) in &steps {
        let key = format!("{name:width$} = {table}");
        out.push(if comment.is_empty() { key } else { line(&key, comment) });
    }
    out.push(String::new());
}

/// The false-reject rate that the calibration scans carry, and what it rests on.
fn rate(survey: &Survey) -> (f64, String) {
    let apart = survey.validation > 0;
    // Without validation scans a fit sets training scans aside: at least a fifth, at most 40 %.
    let aside = if survey.training > 2 { (survey.training * 2 / 5).max(1) } else { 0 };
    let at_most = if apart { survey.validation } else { aside };
    let (rate, needed) = RATES.into_iter().find(|(_, n)| *n <= at_most).unwrap_or(RATES[RATES.len() - 1]);
    let n = if apart { survey.validation } else { (survey.training / 5).max(needed).min(at_most) };
    let from = if apart { "validation scans" } else { "training scans are set aside to" };
    if needed > n {
        return (rate, "too few scans to set a threshold: take some more good ones".into());
    }
    let why =
        format!("at most {:.0} % of good parts are rejected; {n} {from} set the threshold", 100.0 * rate);
    if rate <= 0.05 {
        return (rate, why);
    }
    let all = if apart { "19 validation scans" } else { "48 training scans (19 of them set aside)" };
    (rate, format!("{why}; 0.05 takes {all}"))
}

/// What was found, for people.
pub(super) fn summary(survey: &Survey) -> Vec<String> {
    let mut lines = vec![format!("scans    {} ({})", survey.data.display(), layout(survey.layout))];
    lines.push(format!("         {}", counts(survey)));
    if survey.scans != survey.data {
        lines.push(format!("         looked at {}", survey.scans.display()));
    }
    for f in &survey.sensors {
        lines.push(format!(
            "sensor   {}: {} ({}), {}",
            f.sensor.name,
            plain(&f.sensor.pattern),
            f.sensor.kind,
            about(f)
        ));
    }
    for (f, why) in &survey.left_out {
        lines.push(format!("left out {} ({} files): {}", plain(&f.sensor.pattern), f.files, plain(why)));
    }
    match survey.part {
        Some(part) if !part.stands_out => {
            lines.push("part     does not stand out from what it lies on: background = \"off\"".into())
        }
        Some(part) => lines.push(match part.turned {
            Some(true) => "part     lies at any angle: rotations = 12".into(),
            Some(false) => "part     lies the same way each time".into(),
            None => "part     stands out; set rotations if it lies at any angle".into(),
        }),
        None => {}
    }
    if !survey.loose.is_empty() {
        let names: Vec<String> = survey.loose.iter().take(4).map(|f| plain(f)).collect();
        let more = if survey.loose.len() > 4 { ", ..." } else { "" };
        let files = if survey.loose.len() == 1 { "file fits" } else { "files fit" };
        lines.push(format!("other    {} {files} no sensor: {}{more}", survey.loose.len(), names.join(", ")));
    }
    let cameras = survey.sensors.iter().filter(|f| f.sensor.kind != SensorKind::Xyz).count();
    if cameras > 1 {
        lines.push(format!(
            "note     {cameras} images a scan, joined by their ids; if they show different parts, fit them one by one, or as \
             one sensor with files = \"{{id}}.*\""
        ));
    }
    if !survey.complete {
        lines.push(format!("note     only the first {} files were looked at", Survey::MOST_FILES));
    }
    if survey.training + survey.validation < 3 {
        lines.push("note     a fit takes 3 good scans at least, and 20 or more to be of use".into());
    }
    lines
}

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::Mvtec3d => "MVTec 3D-AD layout",
        Layout::MvtecAd => "MVTec AD layout",
        Layout::Plain => "a plain folder of good scans",
    }
}

fn counts(survey: &Survey) -> String {
    let scans = |n: usize, what: &str| format!("{n} {what} scan{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![scans(survey.training, "training")];
    if survey.validation > 0 {
        parts.push(scans(survey.validation, "validation"));
    }
    if !survey.test.is_empty() {
        let kinds: Vec<String> =
            survey.test.iter().take(12).map(|(kind, n)| format!("{n} {}", plain(kind))).collect();
        let more = if survey.test.len() > kinds.len() { ", ..." } else { "" };
        let test = scans(survey.test.values().sum(), "test");
        parts.push(format!("{test} ({}{more}; {} with masks)", kinds.join(", "), survey.masks));
    }
    parts.join(", ")
}

/// A sensor's line.
fn sensor(finding: &Finding) -> String {
    let sensor = &finding.sensor;
    let (name, files) = (&sensor.name, quoted(&sensor.pattern));
    match sensor.kind {
        SensorKind::Rgb => format!("{name} = {files}"),
        SensorKind::Gray => format!("{name} = {{ files = {files}, kind = \"gray\" }}"),
        kind => format!("{name} = {{ files = {files}, kind = \"{kind}\", unit = \"{}\" }}", sensor.unit),
    }
}

/// What a sensor's files hold.
fn about(finding: &Finding) -> String {
    let mut what = match finding.sensor.kind {
        SensorKind::Rgb => "colour".to_owned(),
        SensorKind::Gray if finding.deep => "16-bit grey, taken as a picture of 8 bits".to_owned(),
        SensorKind::Gray => "grey".to_owned(),
        SensorKind::Xyz => "organised points".to_owned(),
        SensorKind::Depth => "depth".to_owned(),
        SensorKind::Points => "a cloud".to_owned(),
    };
    let sizes: Vec<String> = finding.sizes.iter().take(3).map(|(r, c)| format!("{r} x {c}")).collect();
    match &sizes[..] {
        [] => {}
        [one] => what += &format!(", {one}"),
        several => {
            let more = if finding.sizes.len() > several.len() { ", ..." } else { "" };
            what += &format!(", sizes differ ({}{more})", several.join(", "));
            if finding.sensor.kind == SensorKind::Xyz {
                what += ": a fit needs one size";
            }
        }
    }
    if let Some(reach) = finding.reach.filter(|_| finding.sensor.kind != SensorKind::Gray) {
        let unit = match finding.sensor.unit {
            Unit::M => "metres",
            Unit::Mm => "millimetres",
            Unit::Um => "micrometres",
        };
        let reach = if reach >= 10.0 { format!("{reach:.0}") } else { format!("{reach:.2}") };
        what += &format!("; {reach} wide, so the unit is {unit} (a guess)");
    }
    what
}

/// `key = value` with a comment: beside it where there is room, else above it.
fn line(key: &str, comment: &str) -> String {
    let comment = plain(comment);
    let beside = format!("{key:COLUMN$}  # {comment}");
    if beside.chars().count() <= WIDTH {
        return beside;
    }
    let mut out = String::new();
    let mut width = 0;
    for word in comment.split(' ') {
        if width == 0 || width + 1 + word.chars().count() > WIDTH {
            out += if width == 0 { "#" } else { "\n#" };
            width = 1;
        }
        out.extend([" ", word]);
        width += 1 + word.chars().count();
    }
    format!("{out}\n{key}")
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{:04X}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text of one line: file names may hold anything.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
