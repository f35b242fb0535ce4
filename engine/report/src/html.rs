//! The report as one HTML page.

use crate::error::ReportError;
use crate::number::number;
use crate::strip::{Span, strip};

/// The outcome for one scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the threshold.
    Ok,
    /// Between the thresholds: a person should look.
    Review,
    /// Above the threshold.
    Ng,
    /// Could not be inspected.
    Invalid,
}

impl Verdict {
    /// `ok`, `review`, `ng` or `invalid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Review => "review",
            Self::Ng => "ng",
            Self::Invalid => "invalid",
        }
    }
}

/// A report: what was inspected, how well, and every scan.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Heading and window title.
    pub title: String,
    /// Facts by name, such as recipe, model hash or number of scans.
    pub summary: Vec<(String, String)>,
    /// Metrics, where the truth is known.
    pub metrics: Option<Metrics>,
    /// The scans, in the order shown.
    pub scans: Vec<ScanCard>,
}

/// A table of metrics; the first column names the row.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Rows of as many cells as the header has.
    pub rows: Vec<Vec<String>>,
}

/// One scan of a report.
#[derive(Clone, Debug)]
pub struct ScanCard {
    /// The scan's id.
    pub id: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What the part is in truth, if known: [`ScanCard::GOOD`] or a kind of defect.
    pub truth: Option<String>,
    /// The fused image score; none for an invalid scan.
    pub score: Option<f64>,
    /// Score above which a scan is `ng`.
    pub threshold: f64,
    /// Image score of each step that has one, by its name.
    pub per_step: Vec<(String, f64)>,
    /// Pictures side by side, for instance input, map and truth.
    pub images: Vec<Picture>,
    /// Why the scan is invalid, or another remark.
    pub note: Option<String>,
    /// Time that scoring took, milliseconds.
    pub ms: f64,
}

impl ScanCard {
    /// The truth of a part without defect.
    pub const GOOD: &'static str = "good";

    /// The truth, or what stands for an unknown one.
    pub(crate) fn truth_name(&self) -> &str {
        self.truth.as_deref().unwrap_or("scans")
    }

    /// How the verdict contradicts the truth.
    fn mistake(&self) -> Option<&'static str> {
        match (self.truth.as_deref()?, self.verdict) {
            (Self::GOOD, Verdict::Ng) => Some("false reject"),
            (truth, Verdict::Ok) if truth != Self::GOOD => Some("missed"),
            _ => None,
        }
    }
}

/// A picture of a scan.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What it shows.
    pub caption: String,
    /// Its file, relative to the page, with `/` between folders.
    pub path: String,
}

/// Writes a page as self-contained HTML5: styles inline, no scripts, pictures by their relative paths. It follows the
/// reader's light or dark scheme, and filters its scans by verdict. All text is escaped.
///
/// # Errors
/// [`ReportError`] when a number is not finite, a row of the metrics does not fit its header, or a path is absolute.
pub fn html(page: &Page) -> Result<String, ReportError> {
    check(page)?;
    let title = escaped(&page.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        include_str!("style.css")
    );
    out += "<section class=\"overview\">\n";
    if !page.summary.is_empty() {
        out += "<dl class=\"summary\">\n";
        for (key, value) in &page.summary {
            out += &format!("<dt>{}</dt><dd>{}</dd>\n", escaped(key), escaped(value));
        }
        out += "</dl>\n";
    }
    if let Some(metrics) = &page.metrics {
        out += &table(metrics);
    }
    out += "</section>\n";
    out += &strip(&page.scans);
    out += &filters(&page.scans);
    out += "<div class=\"scans\">\n";
    let span = Span::of(&page.scans);
    for (k, scan) in page.scans.iter().enumerate() {
        out += &card(k, scan, span.as_ref());
    }
    out += "</div>\n</main>\n</body>\n</html>\n";
    Ok(out)
}

fn check(page: &Page) -> Result<(), ReportError> {
    if let Some(metrics) = &page.metrics {
        let expected = metrics.header.len();
        if let Some((row, cells)) = metrics.rows.iter().enumerate().find(|(_, cells)| cells.len() != expected)
        {
            return Err(ReportError::Metrics { row, found: cells.len(), expected });
        }
    }
    for scan in &page.scans {
        let steps = scan.per_step.iter().map(|(name, score)| (format!("the score of step `{name}`"), *score));
        let numbers = [
            ("the threshold", scan.threshold),
            ("the time", scan.ms),
            ("the score", scan.score.unwrap_or(0.0)),
        ];
        for (what, value) in numbers.map(|(what, value)| (what.to_owned(), value)).into_iter().chain(steps) {
            if !value.is_finite() {
                return Err(ReportError::Number { id: scan.id.clone(), what });
            }
        }
        for Picture { path, .. } in &scan.images {
            let drive = path.as_bytes().get(1) == Some(&b':');
            if path.is_empty() || path.starts_with(['/', '\\']) || drive {
                return Err(ReportError::Path { id: scan.id.clone(), path: path.clone() });
            }
        }
    }
    Ok(())
}

fn table(metrics: &Metrics) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
    };
    let mut out =
        format!("<div class=\"metrics\"><table>\n<thead><tr>{}</tr></thead>\n", cells("th", &metrics.header));
    for row in &metrics.rows {
        out += &format!("<tr>{}</tr>\n", cells("td", row));
    }
    out + "</table></div>\n"
}

/// Radio buttons that the style sheet turns into filters, with the number of scans behind each.
fn filters(scans: &[ScanCard]) -> String {
    let verdict = |verdict: Verdict| scans.iter().filter(|scan| scan.verdict == verdict).count();
    let mut choices = vec![
        ("all", "all", scans.len()),
        ("ng", "ng", verdict(Verdict::Ng)),
        ("review", "review", verdict(Verdict::Review)),
        ("ok", "ok", verdict(Verdict::Ok)),
        ("invalid", "invalid", verdict(Verdict::Invalid)),
    ];
    if scans.iter().any(|scan| scan.truth.is_some()) {
        choices.push((
            "wrong",
            "against the truth",
            scans.iter().filter(|scan| scan.mistake().is_some()).count(),
        ));
    }
    let mut out = String::new();
    for (name, label, count) in choices {
        let checked = if name == "all" { " checked" } else { "" };
        out += &format!(
            "<input type=\"radio\" name=\"show\" id=\"show-{name}\"{checked}>\
             <label for=\"show-{name}\">{label} <b>{count}</b></label>\n"
        );
    }
    out
}

fn card(number_on_page: usize, scan: &ScanCard, span: Option<&Span>) -> String {
    let verdict = scan.verdict.name();
    let mistake = scan.mistake();
    let wrong = if mistake.is_some() { " wrong" } else { "" };
    let mut out = format!(
        "<article class=\"card {verdict}{wrong}\" id=\"scan-{number_on_page}\">\n\
         <header><span class=\"badge\">{verdict}</span><h2>{}</h2>",
        escaped(&scan.id)
    );
    if let Some(truth) = &scan.truth {
        out += &format!("<span class=\"truth\">truth: {}</span>", escaped(truth));
    }
    if let Some(mistake) = mistake {
        out += &format!("<span class=\"mistake\">{mistake}</span>");
    }
    out += "</header>\n";
    if let Some(note) = &scan.note {
        out += &format!("<p class=\"note\">{}</p>\n", escaped(note));
    }
    if let (Some(score), Some(span)) = (scan.score, span) {
        out += &format!(
            "<div class=\"gauge\"><i style=\"width:{:.1}%\"></i><u style=\"left:{:.1}%\"></u></div>\n",
            100.0 * span.place(score),
            100.0 * span.place(scan.threshold)
        );
    }
    out += "<dl class=\"scores\">";
    let mut entry = |name: &str, value: &str| {
        out += &format!("<div><dt>{}</dt><dd>{value}</dd></div>", escaped(name));
    };
    if let Some(score) = scan.score {
        entry("score", &number(score));
    }
    entry("threshold", &number(scan.threshold));
    for (step, score) in &scan.per_step {
        entry(step, &number(*score));
    }
    entry("time", &format!("{} ms", number(scan.ms)));
    out += "</dl>\n<div class=\"pictures\">\n";
    for Picture { caption, path } in &scan.images {
        let (caption, path) = (escaped(caption), encoded(path));
        out += &format!(
            "<figure><a href=\"{path}\"><img loading=\"lazy\" src=\"{path}\" alt=\"{caption} of {}\"></a>\
             <figcaption>{caption}</figcaption></figure>\n",
            escaped(&scan.id)
        );
    }
    out + "</div>\n</article>\n"
}

/// Text as HTML content or a quoted attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

/// A relative path as a URL (RFC 3986): all but unreserved characters and `/` percent-encoded, so that no path can be
/// read as a scheme, a query or markup.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan() -> ScanCard {
        ScanCard {
            id: "test/dent/000".into(),
            verdict: Verdict::Ng,
            truth: Some("dent".into()),
            score: Some(1.84),
            threshold: 1.2,
            per_step: vec![("geometry".into(), 1.9)],
            images: vec![Picture { caption: "map".into(), path: "maps/000.png".into() }],
            note: None,
            ms: 38.0,
        }
    }

    fn page(scans: Vec<ScanCard>) -> Page {
        Page { title: "cable gland".into(), scans, ..Page::default() }
    }

    #[test]
    fn all_text_is_escaped() {
        const EVIL: &str = "<script>alert('\"&')</script>";
        let evil = || EVIL.to_owned();
        let mut bad = scan();
        bad.id = evil();
        bad.truth = Some(evil());
        bad.note = Some(evil());
        bad.per_step = vec![(evil(), 1.0)];
        bad.images = vec![Picture { caption: evil(), path: evil() }];
        let written = html(&Page {
            title: evil(),
            summary: vec![(evil(), evil())],
            metrics: Some(Metrics { header: vec![evil()], rows: vec![vec![evil()]] }),
            scans: vec![bad],
        })
        .unwrap();
        assert!(!written.contains("<script"));
        assert!(!written.contains("alert('"));
        assert!(written.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"));
    }

    #[test]
    fn paths_become_urls_and_absolute_ones_are_refused() {
        assert_eq!(encoded("maps/a b#1.png"), "maps/a%20b%231.png");
        assert_eq!(encoded("javascript:alert(1)"), "javascript%3Aalert%281%29");
        for path in ["", "/etc/passwd", "\\\\host\\share", "C:\\maps\\000.png"] {
            let mut card = scan();
            card.images[0].path = path.into();
            assert!(matches!(html(&page(vec![card])), Err(ReportError::Path { .. })), "{path}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let spoilt: [fn(&mut ScanCard); 4] = [
            |s| s.score = Some(f64::NAN),
            |s| s.threshold = f64::INFINITY,
            |s| s.per_step[0].1 = f64::NAN,
            |s| s.ms = f64::NAN,
        ];
        for spoil in spoilt {
            let mut card = scan();
            spoil(&mut card);
            assert!(matches!(html(&page(vec![card])), Err(ReportError::Number { .. })));
        }
    }

    #[test]
    fn a_ragged_table_is_refused() {
        let metrics =
            Metrics { header: vec!["kind".into(), "AUROC".into()], rows: vec![vec!["dent".into()]] };
        let ragged = Page { metrics: Some(metrics), ..Page::default() };
        assert_eq!(html(&ragged), Err(ReportError::Metrics { row: 0, found: 1, expected: 2 }));
    }

    #[test]
    fn verdicts_against_the_truth_are_named() {
        let written = |truth: Option<&str>, verdict| {
            html(&page(vec![ScanCard { truth: truth.map(Into::into), verdict, ..scan() }])).unwrap()
        };
        assert!(written(Some("dent"), Verdict::Ok).contains(">missed<"));
        assert!(written(Some("good"), Verdict::Ng).contains(">false reject<"));
        for (truth, verdict) in [
            (Some("dent"), Verdict::Ng),
            (Some("good"), Verdict::Ok),
            (Some("good"), Verdict::Invalid),
            (None, Verdict::Ng),
        ] {
            assert!(!written(truth, verdict).contains("class=\"mistake\""));
        }
    }

    #[test]
    fn pages_without_scans_or_scores_are_written() {
        assert!(html(&Page::default()).unwrap().ends_with("</html>\n"));
        let invalid =
            ScanCard { verdict: Verdict::Invalid, score: None, note: Some("no depth".into()), ..scan() };
        let written = html(&page(vec![invalid])).unwrap();
        assert!(written.contains("no depth") && !written.contains("<svg") && !written.contains("NaN"));
    }
}
