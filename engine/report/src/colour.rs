//! The colour map of anomaly scores.

/// An 8-bit sRGB colour.
pub type Rgb = [u8; 3];

/// 256 colours from dark blue-violet over red to pale yellow.
///
/// Lightness rises evenly in Oklab (Ottosson 2020), so that equal steps of score look equal; it and the blue-yellow
/// axis carry the order, so that it also reads with any colour vision and in grey print.
#[derive(Clone, Debug)]
pub struct ColourMap([Rgb; 256]);

impl ColourMap {
    /// Computes the table.
    pub fn new() -> Self {
        Self(std::array::from_fn(|k| {
            let t = k as f64 / 255.0;
            let lightness = 0.28 + 0.67 * t;
            let hue = (280.0 + 185.0 * t).to_radians();
            let linear = most_chroma(lightness, hue, 0.17);
            linear.map(|v| (255.0 * encode(v)).round() as u8)
        }))
    }

    /// The colour at `t`, where 0 is the start and 1 the end; beyond them the ends repeat. NaN gives the start.
    pub fn at(&self, t: f32) -> Rgb {
        // A float cast saturates, and takes NaN to 0.
        self.0[(t * 255.0).round() as u8 as usize]
    }
}

impl Default for ColourMap {
    fn default() -> Self {
        Self::new()
    }
}

/// Linear sRGB of an Oklab lightness and hue, at the wanted chroma or the most that the display shows.
fn most_chroma(lightness: f64, hue: f64, wanted: f64) -> [f64; 3] {
    let colour = |chroma: f64| linear_srgb(lightness, chroma * hue.cos(), chroma * hue.sin());
    let shows = |c: [f64; 3]| c.iter().all(|v| (0.0..=1.0).contains(v));
    if shows(colour(wanted)) {
        return colour(wanted);
    }
    let (mut inside, mut outside) = (0.0, wanted);
    for _ in 0..30 {
        let middle = 0.5 * (inside + outside);
        if shows(colour(middle)) { inside = middle } else { outside = middle }
    }
    colour(inside)
}

/// Oklab to linear sRGB.
fn linear_srgb(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// The sRGB transfer curve (IEC 61966-2-1).
fn encode(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

/// `over` laid on `under` with opacity 0 to 1.
pub(crate) fn blend(under: Rgb, over: Rgb, opacity: f32) -> Rgb {
    std::array::from_fn(|k| {
        let (under, over) = (f32::from(under[k]), f32::from(over[k]));
        (under + (over - under) * opacity).round() as u8
    })
}

/// Luma of an 8-bit colour (ITU-R BT.709 weights), 0 to 255.
pub(crate) fn luma(colour: Rgb) -> f32 {
    0.2126 * f32::from(colour[0]) + 0.7152 * f32::from(colour[1]) + 0.0722 * f32::from(colour[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of a displayed colour.
    fn luminance(colour: Rgb) -> f64 {
        let decode = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * decode(colour[0]) + 0.7152 * decode(colour[1]) + 0.0722 * decode(colour[2])
    }

    #[test]
    fn luminance_rises_all_along_the_map() {
        let map = ColourMap::new();
        let levels: Vec<f64> = map.0.iter().map(|&c| luminance(c)).collect();
        // One step may stand still by rounding to 8 bits; none falls by more than that, and three always rise.
        assert!(levels.windows(2).all(|w| w[1] > w[0] - 1e-3));
        assert!(levels.windows(4).all(|w| w[3] > w[0]));
        assert!(levels[0] < 0.05 && levels[255] > 0.75);
    }

    #[test]
    fn beyond_its_ends_the_map_repeats_them() {
        let map = ColourMap::new();
        assert_eq!(map.at(-3.0), map.0[0]);
        assert_eq!(map.at(7.0), map.0[255]);
        assert_eq!(map.at(f32::NAN), map.0[0]);
        assert_eq!(map.at(0.5), map.0[128]);
    }

    #[test]
    fn blending_runs_from_under_to_over() {
        assert_eq!(blend([10, 20, 30], [200, 100, 0], 0.0), [10, 20, 30]);
        assert_eq!(blend([10, 20, 30], [200, 100, 0], 1.0), [200, 100, 0]);
    }
}
