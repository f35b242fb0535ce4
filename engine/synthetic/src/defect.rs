//! The four kinds of defect: where they lie on the part and what they change.

use crate::random::Draws;
use crate::relief::Relief;
use crate::vector::ramp;

/// Change of height from which a pixel counts as defective, mm: twice the sensor's noise.
pub(crate) const VISIBLE_CHANGE: f64 = 0.1;
/// Opacity of a stain from which a pixel counts as defective.
const VISIBLE_OPACITY: f64 = 0.08;

/// What is wrong with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DefectKind {
    /// A smooth depression of 0.8 to 1.8 mm. The colour picture shows the undeformed part: only 3D reveals it.
    Dent,
    /// A smooth elevation of 0.8 to 1.6 mm. The colour picture shows the undeformed part: only 3D reveals it.
    Bump,
    /// A discoloured, irregular patch: only colour reveals it.
    Stain,
    /// A breakthrough to the plane below: both colour and 3D reveal it.
    Hole,
}

impl DefectKind {
    /// Every kind, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Dent, Self::Bump, Self::Stain, Self::Hole];

    /// The name of its folder under `test/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dent => "dent",
            Self::Bump => "bump",
            Self::Stain => "stain",
            Self::Hole => "hole",
        }
    }

    /// Its value in the ground truth: as in MVTec 3D-AD a class id, 255 for the first kind and counting down.
    pub fn class_id(self) -> u8 {
        255 - self as u8
    }

    /// True where the colour picture shows the deformed part.
    pub(crate) fn shows_relief_in_colour(self) -> bool {
        self == Self::Hole
    }
}

/// One defect on one part, in the part frame.
pub(crate) struct Defect {
    pub(crate) kind: DefectKind,
    blob: Blob,
    /// Greatest change of height in mm; greatest opacity for a stain.
    peak: f64,
    /// Colour a stain filters the part's own with.
    tint: [f64; 3],
}

impl Defect {
    /// Draws a defect of `kind` that lies on the material of `part`.
    pub(crate) fn draw(kind: DefectKind, part: &Relief, draws: &mut Draws) -> Self {
        const TINTS: [[f64; 3]; 4] = [
            [0.42, 0.34, 0.22], // oil
            [0.72, 0.44, 0.26], // rust
            [0.42, 0.44, 0.48], // soot
            [0.50, 0.60, 0.40], // coolant
        ];
        let (radius, raggedness, peak) = match kind {
            DefectKind::Dent => (draws.between(3.5, 6.5), 0.03, draws.between(0.8, 1.8)),
            DefectKind::Bump => (draws.between(3.0, 5.5), 0.04, draws.between(0.8, 1.6)),
            DefectKind::Stain => (draws.between(2.8, 6.0), 0.14, draws.between(0.45, 0.85)),
            DefectKind::Hole => (draws.between(1.6, 3.2), 0.10, f64::INFINITY),
        };
        let tint = TINTS[(draws.unit() * TINTS.len() as f64) as usize % TINTS.len()];
        Self { kind, blob: Blob::on_material(radius, raggedness, part, draws), peak, tint }
    }

    /// The part with this defect's change of height.
    pub(crate) fn deform(&self, part: &Relief) -> Relief {
        Relief::new(part.heights().map(|x, y, z| z + self.height_change(x, y, z)))
    }

    /// True where the undeformed surface point (x, y, z) is changed enough to count as defective.
    pub(crate) fn covers(&self, x: f64, y: f64, z: f64) -> bool {
        match self.kind {
            DefectKind::Stain => z > 0.3 && self.opacity(x, y) >= VISIBLE_OPACITY,
            _ => self.height_change(x, y, z).abs() >= VISIBLE_CHANGE,
        }
    }

    /// Change in mm of the surface of height `z` at (x, y); only material moves, and never below the plane.
    fn height_change(&self, x: f64, y: f64, z: f64) -> f64 {
        let reach = self.blob.reach(x, y);
        if reach >= 1.0 || z <= 0.0 {
            return 0.0;
        }
        let bell = (1.0 - reach * reach).powi(2) * ramp(0.3, 1.5, z);
        match self.kind {
            DefectKind::Dent => -(self.peak * bell).min(z),
            DefectKind::Bump => self.peak * bell,
            DefectKind::Stain => 0.0,
            DefectKind::Hole => -z,
        }
    }

    /// Filter of the part's colour at (x, y): 1 where unchanged.
    pub(crate) fn colour_filter(&self, x: f64, y: f64, mottle: f64) -> [f64; 3] {
        let opacity = self.opacity(x, y) * (1.0 + 0.15 * mottle).clamp(0.5, 1.3);
        self.tint.map(|t| 1.0 + (t - 1.0) * opacity)
    }

    fn opacity(&self, x: f64, y: f64) -> f64 {
        if self.kind == DefectKind::Stain { self.peak * ramp(1.0, 0.7, self.blob.reach(x, y)) } else { 0.0 }
    }
}

/// An irregular closed curve around a point: an ellipse whose radius wavers with the angle.
struct Blob {
    x: f64,
    y: f64,
    radius: f64,
    /// Amplitude (share of the radius) and phase of the harmonics 2, 3, ...
    harmonics: [(f64, f64); 5],
}

impl Blob {
    /// The first of a series of draws that lies on material almost everywhere, else the best of them.
    fn on_material(radius: f64, raggedness: f64, part: &Relief, draws: &mut Draws) -> Self {
        const TRIES: usize = 64;
        const ENOUGH: f64 = 0.85;
        let harmonics = std::array::from_fn(|k| {
            // The second harmonic stretches, the others roughen.
            let amplitude = if k == 0 { 0.15 } else { raggedness };
            (draws.between(0.2, 1.0) * amplitude, draws.around_zero(std::f64::consts::PI))
        });
        let mut blob = Self { x: 0.0, y: 0.0, radius, harmonics };
        let mut best = (-1.0, 0.0, 0.0);
        for _ in 0..TRIES {
            let (sine, cosine) = draws.around_zero(std::f64::consts::PI).sin_cos();
            let from_centre = 45.0 * draws.unit().sqrt();
            (blob.x, blob.y) = (from_centre * cosine, from_centre * sine);
            let share = blob.share_on_material(part);
            if share > best.0 {
                best = (share, blob.x, blob.y);
            }
            if share >= ENOUGH {
                break;
            }
        }
        (blob.x, blob.y) = (best.1, best.2);
        blob
    }

    fn share_on_material(&self, part: &Relief) -> f64 {
        const MATERIAL: f64 = 2.0;
        let mut on = 0u32;
        let mut all = 0u32;
        for ring in 0..4 {
            for step in 0..12 {
                let (sine, cosine) = (f64::from(step) * 30.0f64.to_radians()).sin_cos();
                let reach = self.radius * f64::from(ring) / 3.0;
                let height = part.heights().at(self.x + reach * cosine, self.y + reach * sine);
                on += u32::from(height > MATERIAL);
                all += 1;
            }
        }
        f64::from(on) / f64::from(all)
    }

    /// Distance of (x, y) from the centre as a share of the curve's radius in that direction; 1 on the curve.
    fn reach(&self, x: f64, y: f64) -> f64 {
        let (dx, dy) = (x - self.x, y - self.y);
        let distance = (dx * dx + dy * dy).sqrt();
        if distance >= 2.0 * self.radius {
            return f64::INFINITY;
        }
        let angle = dy.atan2(dx);
        let waver: f64 = (2u8..)
            .zip(&self.harmonics)
            .map(|(k, (amplitude, phase))| amplitude * (f64::from(k) * angle + phase).cos())
            .sum();
        distance / (self.radius * (1.0 + waver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::Raster;

    fn slab() -> Relief {
        Relief::new(Raster::of(|x, y| if x.hypot(y) < 50.0 { 4.0 } else { 0.0 }))
    }

    fn largest_change(kind: DefectKind) -> (f64, f64) {
        let part = slab();
        let defect = Defect::draw(kind, &part, &mut Draws::new(2, 7));
        let after = defect.deform(&part);
        let (mut low, mut high) = (0.0f64, 0.0f64);
        part.heights().map(|x, y, z| {
            let change = after.heights().at(x, y) - z;
            if x.abs().max(y.abs()) < 53.0 {
                (low, high) = (low.min(change), high.max(change));
            }
            z
        });
        (low, high)
    }

    #[test]
    fn each_kind_moves_the_surface_its_own_way() {
        let (low, high) = largest_change(DefectKind::Dent);
        assert!((-1.8..-0.75).contains(&low) && high < 1e-4);
        let (low, high) = largest_change(DefectKind::Bump);
        assert!(low > -1e-4 && (0.75..1.6).contains(&high));
        let (low, high) = largest_change(DefectKind::Hole);
        assert!((low + 4.0).abs() < 1e-3 && high < 1e-4);
        let (low, high) = largest_change(DefectKind::Stain);
        assert!(low > -1e-4 && high < 1e-4);
    }

    #[test]
    fn only_a_stain_filters_colour() {
        let part = slab();
        for kind in DefectKind::ALL {
            let defect = Defect::draw(kind, &part, &mut Draws::new(4, 1));
            let filter = defect.colour_filter(defect.blob.x, defect.blob.y, 0.0);
            assert_eq!(filter.iter().any(|&v| v < 0.9), kind == DefectKind::Stain, "{kind:?}");
            assert!(defect.covers(defect.blob.x, defect.blob.y, 4.0));
            assert!(!defect.covers(defect.blob.x + 20.0, defect.blob.y, 4.0));
        }
    }
}
