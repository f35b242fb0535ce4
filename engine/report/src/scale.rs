//! The scale of an anomaly map and its bar beside the picture.

use ndarray::{Array3, ArrayViewMut3, s};

use crate::colour::{ColourMap, Rgb};
use crate::error::ReportError;
use crate::font;
use crate::number::number;

/// Colour behind and of the words.
pub(crate) const PAPER: Rgb = [22, 24, 28];
pub(crate) const INK: Rgb = [214, 218, 224];
/// Colour of the threshold on the bar and of the regions it outlines.
pub(crate) const THRESHOLD: Rgb = [255, 255, 255];

/// How scores become colours. Keep one scale for all scans of a report, so that their pictures compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Score at which the colours start; the map is transparent below it.
    pub low: f32,
    /// Score above which pixels form regions; from `low` to `high`.
    pub threshold: f32,
    /// Score at which the colours end.
    pub high: f32,
}

impl Scale {
    /// Refuses a scale whose values are not finite or not in order.
    pub(crate) fn check(&self) -> Result<(), ReportError> {
        let Self { low, threshold, high } = *self;
        let finite = low.is_finite() && high.is_finite() && (high - low).is_finite();
        if finite && low < high && (low..=high).contains(&threshold) {
            return Ok(());
        }
        Err(ReportError::Scale { low, threshold, high })
    }

    /// Place of a score between `low` (0) and `high` (1), not clipped.
    pub(crate) fn place(&self, score: f32) -> f32 {
        (score - self.low) / (self.high - self.low)
    }
}

/// Magnification of the font beside a picture of so many rows: figures of about a thirtieth of its height.
pub(crate) fn zoom(rows: usize) -> usize {
    (rows / 250).max(1)
}

/// A picture with room for the bar at its right.
pub(crate) struct Canvas {
    pub(crate) picture: Array3<u8>,
    columns: usize,
    zoom: usize,
}

impl Canvas {
    /// Room for a picture of `rows` x `columns` and the bar of `scale`.
    pub(crate) fn new((rows, columns): (usize, usize), scale: &Scale) -> Self {
        let zoom = zoom(rows);
        let text = labels(scale).iter().map(|label| font::width(label, zoom)).max().unwrap_or(0);
        let picture = Array3::zeros((rows, columns + MARGIN * 4 * zoom + BAR * zoom + text, 3));
        Self { picture, columns, zoom }
    }

    /// The part left of the bar.
    pub(crate) fn inner(&mut self) -> ArrayViewMut3<'_, u8> {
        self.picture.slice_mut(s![.., ..self.columns, ..])
    }

    /// Draws the bar with its threshold and numbers.
    pub(crate) fn draw_bar(&mut self, scale: &Scale, colours: &ColourMap) {
        let (rows, columns, _) = self.picture.dim();
        let zoom = self.zoom;
        let margin = MARGIN * zoom;
        self.fill((0, rows), (self.columns, columns), PAPER);

        // A tiny picture has no room for margins: the bar then takes every row.
        let inset = if rows > 4 * margin { margin + font::CELL.1 * zoom / 2 } else { 0 };
        let (top, bottom) = (inset, rows.saturating_sub(inset).max(inset + 1));
        let (left, right) = (self.columns + margin, self.columns + margin + BAR * zoom);
        let span = (bottom - top - 1).max(1) as f32;
        for row in top..bottom.min(rows) {
            let colour = colours.at(1.0 - (row - top) as f32 / span);
            self.fill((row, row + 1), (left, right), colour);
        }

        let row_of = |t: f32| top + ((1.0 - t) * span).round() as usize;
        let mark = row_of(scale.place(scale.threshold));
        self.fill((mark.saturating_sub(zoom), mark + 2 * zoom), (left - zoom, right + zoom), PAPER);
        self.fill((mark, mark + zoom), (left - 2 * zoom, right + 2 * zoom), THRESHOLD);

        let [low, threshold, high] = labels(scale);
        let mut label = |text: &str, row: usize, ink: Rgb| {
            let corner = (row.saturating_sub(font::CELL.1 * zoom / 2), right + 2 * margin);
            font::write(self.picture.view_mut(), text, corner, zoom, ink);
        };
        label(&threshold, mark, THRESHOLD);
        for (text, row) in [(low, row_of(0.0)), (high, row_of(1.0))] {
            // An end too close to the threshold stays without a number.
            if row.abs_diff(mark) >= font::CELL.1 * zoom {
                label(&text, row, INK);
            }
        }
    }

    fn fill(&mut self, rows: (usize, usize), columns: (usize, usize), colour: Rgb) {
        let (height, width, _) = self.picture.dim();
        for row in rows.0..rows.1.min(height) {
            for column in columns.0..columns.1.min(width) {
                for k in 0..3 {
                    self.picture[(row, column, k)] = colour[k];
                }
            }
        }
    }
}

/// Space around the bar and its width, in dots of the font.
const MARGIN: usize = 4;
const BAR: usize = 9;

fn labels(scale: &Scale) -> [String; 3] {
    [scale.low, scale.threshold, scale.high].map(|v| number(f64::from(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_out_of_order_or_not_finite_is_refused() {
        let scale = |low, threshold, high| Scale { low, threshold, high }.check();
        assert_eq!(scale(0.0, 0.5, 1.0), Ok(()));
        assert!(scale(1.0, 1.0, 1.0).is_err());
        assert!(scale(0.0, 2.0, 1.0).is_err());
        assert!(scale(0.0, f32::NAN, 1.0).is_err());
        assert!(scale(f32::MIN, 0.0, f32::MAX).is_err());
    }
}
