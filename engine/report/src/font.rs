//! Text in pictures: a bitmap font, magnified by whole dots.

use std::convert::Infallible;

use embedded_graphics::Drawable as _;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_6X10;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};
use ndarray::ArrayViewMut3;

use crate::colour::Rgb;

/// Columns and rows of a character, with its spacing.
pub(crate) const CELL: (usize, usize) = (6, 10);

/// Columns that `text` takes at a magnification of `zoom`.
pub(crate) fn width(text: &str, zoom: usize) -> usize {
    text.chars().count() * CELL.0 * zoom
}

/// Writes one line with its upper left corner at (`top`, `left`); what lies outside the picture is cut off, and a
/// character that the font lacks is a question mark.
pub(crate) fn write(
    picture: ArrayViewMut3<'_, u8>,
    text: &str,
    (top, left): (usize, usize),
    zoom: usize,
    ink: Rgb,
) {
    let style = MonoTextStyle::new(&FONT_6X10, BinaryColor::On);
    // A line break would start another line.
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let mut dots = Dots { picture, top, left, zoom, ink };
    let Ok(_) = Text::with_baseline(&text, Point::zero(), style, Baseline::Top).draw(&mut dots);
}

/// The picture in dots of the font.
struct Dots<'a> {
    picture: ArrayViewMut3<'a, u8>,
    top: usize,
    left: usize,
    zoom: usize,
    ink: Rgb,
}

impl OriginDimensions for Dots<'_> {
    fn size(&self) -> Size {
        let (rows, columns, _) = self.picture.dim();
        Size::new(columns as u32, rows as u32)
    }
}

impl DrawTarget for Dots<'_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else { continue };
            if colour.is_off() {
                continue;
            }
            let (row, column) = (self.top + y * self.zoom, self.left + x * self.zoom);
            for dot in 0..self.zoom * self.zoom {
                for k in 0..3 {
                    let at = (row + dot / self.zoom, column + dot % self.zoom, k);
                    if let Some(level) = self.picture.get_mut(at) {
                        *level = self.ink[k];
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    fn drawn(text: &str) -> Array3<u8> {
        let mut picture = Array3::zeros((CELL.1, width(text, 1), 3));
        write(picture.view_mut(), text, (0, 0), 1, [255; 3]);
        picture
    }

    #[test]
    fn letters_and_digits_differ_and_fill_their_cell() {
        let characters: Vec<char> = "0123456789.-eoOlI>".chars().collect();
        for (k, a) in characters.iter().enumerate() {
            let picture = drawn(&a.to_string());
            assert!(picture.iter().any(|&v| v != 0));
            assert!(characters[..k].iter().all(|b| drawn(&b.to_string()) != picture), "{a}");
        }
        assert_eq!(drawn("a\nb"), drawn("a?b"));
    }

    #[test]
    fn text_past_the_edge_is_cut_off() {
        let mut picture = Array3::zeros((4, 9, 3));
        write(picture.view_mut(), "88", (0, 0), 2, [255; 3]);
        assert!(picture.iter().any(|&v| v == 255));
    }
}
