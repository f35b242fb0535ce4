//! All scores of a report at a glance: one dot a scan, one row a truth, the threshold across.

use crate::html::{ScanCard, Verdict, escaped};
use crate::number::number;

const WIDTH: f64 = 720.0;
const NAMES: f64 = 96.0;
const ROW: f64 = 24.0;
const HEAD: f64 = 20.0;

/// The span of scores and thresholds that a page's drawings share.
pub(crate) struct Span {
    low: f64,
    high: f64,
}

impl Span {
    /// The span over all scans; `None` where none has a score.
    pub(crate) fn of(scans: &[ScanCard]) -> Option<Self> {
        let values = || scans.iter().filter_map(|s| Some([s.score?, s.threshold])).flatten();
        let low = values().min_by(f64::total_cmp)?;
        let high = values().max_by(f64::total_cmp)?;
        Some(Self { low, high })
    }

    /// Place of a value, 0 to 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        // Halved first: the difference of two finite numbers may not be.
        let span = self.high / 2.0 - self.low / 2.0;
        if span > 0.0 { ((value / 2.0 - self.low / 2.0) / span).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// The drawing as inline SVG; empty where no scan has a score.
pub(crate) fn strip(scans: &[ScanCard]) -> String {
    let Some(span) = Span::of(scans) else { return String::new() };
    let x = |value: f64| NAMES + 10.0 + span.place(value) * (WIDTH - NAMES - 24.0);

    // Good first, then kinds of defect as they come.
    let mut rows: Vec<&str> = Vec::new();
    for scan in scans.iter().filter(|s| s.score.is_some()) {
        let truth = scan.truth_name();
        if !rows.contains(&truth) {
            rows.push(truth);
        }
    }
    rows.sort_by_key(|&row| row != ScanCard::GOOD);

    let height = HEAD + ROW * rows.len() as f64 + 6.0;
    let mut svg = format!(
        "<svg class=\"strip\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Scores of all scans\">\n"
    );
    for (k, row) in rows.iter().enumerate() {
        let y = HEAD + ROW * (k as f64 + 0.5);
        svg += &format!(
            "<text class=\"name\" x=\"{NAMES}\" y=\"{:.1}\">{}</text><path class=\"rule\" d=\"M{} {y}H{WIDTH}\"/>\n",
            y + 4.0,
            escaped(row),
            NAMES + 8.0
        );
    }
    if let Some(threshold) = common_threshold(scans) {
        let x = x(threshold);
        let (anchor, shift) = if x > 0.7 * WIDTH { ("end", -5.0) } else { ("start", 5.0) };
        svg += &format!(
            "<path class=\"threshold\" d=\"M{x:.1} 2V{height}\"/>\
             <text class=\"mark\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"12\">threshold {}</text>\n",
            x + shift,
            number(threshold)
        );
    }
    for (k, scan) in scans.iter().enumerate() {
        let Some(score) = scan.score else { continue };
        let row = rows.iter().position(|&row| row == scan.truth_name()).unwrap_or(0);
        let (x, y) = (x(score), HEAD + ROW * (row as f64 + 0.5));
        // A shape besides the colour tells the verdicts apart.
        let shape = match scan.verdict {
            Verdict::Ng => format!("M{x:.1} {:.1}l5 5l-5 5l-5 -5z", y - 5.0),
            Verdict::Review => format!("M{:.1} {:.1}h8v8h-8z", x - 4.0, y - 4.0),
            _ => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", x - 4.0),
        };
        svg += &format!(
            "<a href=\"#scan-{k}\"><path class=\"dot {}\" d=\"{shape}\"><title>{}: {}</title></path></a>\n",
            scan.verdict.name(),
            escaped(&scan.id),
            number(score)
        );
    }
    svg + "</svg>\n"
}

/// The threshold where all scans share one.
fn common_threshold(scans: &[ScanCard]) -> Option<f64> {
    let first = scans.first()?.threshold;
    scans.iter().all(|scan| scan.threshold == first).then_some(first)
}
