//! A bitmap font of the characters that numbers need.

use ndarray::ArrayViewMut3;

use crate::colour::Rgb;

/// Columns and rows of a glyph, without spacing.
pub(crate) const GLYPH: (usize, usize) = (5, 7);
/// Columns from one glyph to the next.
pub(crate) const ADVANCE: usize = 6;

/// Rows of a glyph from the top, the leftmost column in bit 4; blank for what no number holds.
fn glyph(character: char) -> [u8; 7] {
    match character {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b00100, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        '-' => [0, 0, 0, 0b01110, 0, 0, 0],
        'e' => [0, 0, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110],
        _ => [0; 7],
    }
}

/// Columns that `text` takes at a magnification of `zoom`.
pub(crate) fn width(text: &str, zoom: usize) -> usize {
    text.chars().count() * ADVANCE * zoom
}

/// Writes `text` with its upper left corner at (`top`, `left`); what lies outside the picture is cut off.
pub(crate) fn write(
    mut picture: ArrayViewMut3<'_, u8>,
    text: &str,
    (top, left): (usize, usize),
    zoom: usize,
    ink: Rgb,
) {
    for (place, character) in text.chars().enumerate() {
        for (line, bits) in glyph(character).into_iter().enumerate() {
            for column in 0..GLYPH.0 {
                if bits >> (GLYPH.0 - 1 - column) & 1 == 0 {
                    continue;
                }
                let (row, column) = (top + line * zoom, left + (place * ADVANCE + column) * zoom);
                for dot in 0..zoom * zoom {
                    let at = (row + dot / zoom, column + dot % zoom);
                    for k in 0..3 {
                        if let Some(level) = picture.get_mut((at.0, at.1, k)) {
                            *level = ink[k];
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn every_character_of_a_number_has_its_own_glyph() {
        let characters: Vec<char> = "0123456789.-e".chars().collect();
        for (k, &a) in characters.iter().enumerate() {
            assert!(glyph(a).iter().any(|&bits| bits != 0));
            assert!(characters[..k].iter().all(|&b| glyph(a) != glyph(b)));
        }
    }

    #[test]
    fn text_past_the_edge_is_cut_off() {
        let mut picture = Array3::zeros((4, 9, 3));
        write(picture.view_mut(), "88", (0, 0), 2, [255; 3]);
        assert!(picture.iter().any(|&v| v == 255));
    }
}
