//! What stands above and below a picture of one scan: verdict, numbers, and what the lines in it mean.

use ndarray::{Array3, ArrayViewMut3, s};

use crate::colour::Rgb;
use crate::font;
use crate::html::Verdict;
use crate::number::number;
use crate::overlay::TRUTH;
use crate::scale::{INK, PAPER, THRESHOLD, zoom};

/// What a picture says of its scan in words.
#[derive(Clone, Debug)]
pub struct Caption {
    /// The scan's id.
    pub id: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The number that the verdict follows from.
    pub score: f64,
    /// A scan with a greater score is `ng`.
    pub threshold: f64,
    /// A scan with a greater score, up to `threshold`, is for review.
    pub review_threshold: Option<f64>,
    /// What is said of each region that is outlined.
    pub defects: Vec<String>,
    /// The map's value above which pixels form regions.
    pub pixel_threshold: f64,
    /// Whether the ground truth is outlined.
    pub truth: bool,
}

/// Space between lines and around them, in dots of the font.
const MARGIN: usize = 4;

/// Regions that are described, the others are counted alone.
const MOST: usize = 8;

/// A run of text in its colour, on a field of another one or on none.
struct Run(String, Rgb, Option<Rgb>);

/// Puts the verdict with its numbers above `picture` `[H, W, 3]` and the meaning of its outlines below; the result is
/// higher, and wider where the words need it.
pub fn captioned(picture: &Array3<u8>, caption: &Caption) -> Array3<u8> {
    let (rows, columns, _) = picture.dim();
    let zoom = zoom(rows);
    let (above, below) = (heading(caption), legend(caption));
    let line = (font::CELL.1 + MARGIN) * zoom;
    let margin = MARGIN * zoom;
    let words = above.iter().chain(&below).map(|runs| length(runs, zoom)).max().unwrap_or(0) + 2 * margin;
    let (head, foot) = (above.len() * line + margin, below.len() * line + margin);
    let mut whole = Array3::zeros((head + rows + foot, columns.max(words), 3));
    for ((.., k), level) in whole.indexed_iter_mut() {
        *level = PAPER[k];
    }
    whole.slice_mut(s![head..head + rows, ..columns, ..]).assign(picture);
    for (k, runs) in above.iter().enumerate() {
        write(whole.view_mut(), runs, (margin + k * line, margin), zoom);
    }
    for (k, runs) in below.iter().enumerate() {
        write(whole.view_mut(), runs, (head + rows + margin + k * line, margin), zoom);
    }
    whole
}

fn heading(caption: &Caption) -> Vec<Vec<Run>> {
    let badge = format!(" {} ", caption.verdict.name().to_uppercase());
    let field = match caption.verdict {
        Verdict::Ok => [88, 190, 120],
        Verdict::Review => [240, 190, 70],
        Verdict::Ng | Verdict::Invalid => [235, 92, 84],
    };
    let score = |relation: &str, limit: f64| {
        format!("score {} {relation} threshold {}", number(caption.score), number(limit))
    };
    let numbers = match (caption.verdict, caption.review_threshold) {
        (Verdict::Review, Some(review)) => format!(
            "score {}: between {} and {}",
            number(caption.score),
            number(review),
            number(caption.threshold)
        ),
        (_, Some(review)) if caption.verdict == Verdict::Ok => score("within", review),
        _ if caption.score > caption.threshold => score("above", caption.threshold),
        _ => score("within", caption.threshold),
    };
    vec![
        vec![Run(badge, PAPER, Some(field)), Run(format!(" {}", caption.id), INK, None)],
        vec![Run(numbers, INK, None)],
    ]
}

fn legend(caption: &Caption) -> Vec<Vec<Run>> {
    let entry = |text: String, colour: Rgb| vec![Run("-- ".into(), colour, None), Run(text, INK, None)];
    let limit = number(caption.pixel_threshold);
    let regions = match caption.defects.len() {
        0 => format!("no region: the map stays within {limit}"),
        1 => format!("1 region where the map is above {limit}"),
        n => format!("{n} regions where the map is above {limit}"),
    };
    let mut lines = vec![entry(regions, THRESHOLD)];
    for (k, words) in caption.defects.iter().take(MOST).enumerate() {
        lines.push(vec![Run(format!("{:>4}  {words}", k + 1), INK, None)]);
    }
    if caption.truth {
        lines.push(entry("ground truth".into(), TRUTH));
    }
    lines
}

fn length(runs: &[Run], zoom: usize) -> usize {
    runs.iter().map(|run| font::width(&run.0, zoom)).sum()
}

fn write(mut picture: ArrayViewMut3<'_, u8>, runs: &[Run], (top, mut left): (usize, usize), zoom: usize) {
    for Run(text, ink, field) in runs {
        let right = left + font::width(text, zoom);
        if let Some(field) = field {
            let mut field_of = picture.slice_mut(s![top..top + font::CELL.1 * zoom, left..right, ..]);
            for ((.., k), level) in field_of.indexed_iter_mut() {
                *level = field[k];
            }
        }
        font::write(picture.view_mut(), text, (top, left), zoom, *ink);
        left = right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caption() -> Caption {
        Caption {
            id: "test/hole/007".into(),
            verdict: Verdict::Ng,
            score: 2.0,
            threshold: 1.5,
            review_threshold: None,
            defects: vec!["4.2 mm\u{b2}".into(), "1.1 mm\u{b2}".into()],
            pixel_threshold: 1.5,
            truth: true,
        }
    }

    fn text(lines: Vec<Vec<Run>>) -> Vec<String> {
        lines.iter().map(|runs| runs.iter().map(|run| run.0.as_str()).collect()).collect()
    }

    #[test]
    fn the_words_say_verdict_numbers_and_outlines() {
        assert_eq!(text(heading(&caption())), [" NG  test/hole/007", "score 2.00 above threshold 1.50"]);
        let lines = text(legend(&caption()));
        assert_eq!(lines[..2], ["-- 2 regions where the map is above 1.50", "   1  4.2 mm\u{b2}"]);
        assert_eq!(lines[3], "-- ground truth");
        let many = Caption { defects: vec![String::new(); 30], ..caption() };
        assert_eq!(legend(&many).len(), 2 + MOST);
        let review =
            Caption { verdict: Verdict::Review, review_threshold: Some(1.0), score: 1.2, ..caption() };
        assert_eq!(text(heading(&review))[1], "score 1.20: between 1.00 and 1.50");
        let ok = Caption { verdict: Verdict::Ok, review_threshold: Some(1.0), score: 0.2, ..caption() };
        assert_eq!(text(heading(&ok))[1], "score 0.200 within threshold 1.00");
    }

    #[test]
    fn the_picture_stays_as_it_is_and_small_ones_are_widened_for_the_words() {
        for (rows, columns) in [(0, 0), (3, 5), (700, 900)] {
            let picture = Array3::from_elem((rows, columns, 3), 200);
            let whole = captioned(&picture, &caption());
            let (height, width, _) = whole.dim();
            assert!(height > rows && width >= columns.max(31 * font::CELL.0));
            let head = 2 * (font::CELL.1 + MARGIN) * zoom(rows) + MARGIN * zoom(rows);
            assert_eq!(whole.slice(s![head..head + rows, ..columns, ..]), picture);
        }
    }
}
