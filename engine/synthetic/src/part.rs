//! The part as designed: a die-cast bearing cover, given as a height over the plane it lies on.
//!
//! Part frame, millimetres: x right, y up, z away from the plane; the plane is z = 0.

use crate::vector::ramp;

/// Reach of the part from its centre, mm.
pub(crate) const REACH: f64 = 50.0;

const FLANGE_TOP: f64 = 10.0;
const FLOOR: f64 = 8.8;
const RIB_TOP: f64 = 11.0;
const PAD_TOP: f64 = 11.0;
const RING_TOP: f64 = 12.4;
const BOSS_TOP: f64 = 13.6;
const MARK_TOP: f64 = 10.7;

/// Ears that carry the bolt holes; unequal spacing leaves one way to lay the part down.
const EARS: [f64; 5] = [18.0, 90.0, 162.0, 226.0, 314.0];
const EAR_RADIUS: f64 = 41.0;

/// One point of the part's surface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surface {
    /// Height over the plane, mm; 0 where there is no part.
    pub(crate) height: f64,
    /// 1 on turned faces (bright, lathe marks), 0 on the cast skin.
    pub(crate) machined: f64,
}

/// The designed surface at (x, y), mm.
pub(crate) fn surface(x: f64, y: f64) -> Surface {
    let radius = x.hypot(y);
    let angle = y.atan2(x).to_degrees().rem_euclid(360.0);

    let outside = outline(x, y);
    if outside >= 0.0 {
        return Surface { height: 0.0, machined: 0.0 };
    }
    let dish = FLANGE_TOP + (FLOOR - FLANGE_TOP) * ramp(25.6, 24.4, radius);
    let ring = plateau(radius - 28.5, 2.3, 0.8) * RING_TOP;
    let boss = ramp(11.2, 10.2, radius) * BOSS_TOP;
    let rib = if radius < 27.0 { rib(radius, angle) * RIB_TOP } else { 0.0 };
    let pad = ear_pad(x, y) * PAD_TOP;
    let mark = if radius > 31.0 { marks(radius, angle) * (MARK_TOP - FLANGE_TOP) + FLANGE_TOP } else { 0.0 };

    let top = dish.max(ring).max(boss).max(rib).max(pad).max(mark);
    let wall = ramp(0.0, -0.9, outside);
    let height = top * wall * (1.0 - opening(x, y, radius, angle));

    let on = |face: f64| ramp(face - 0.25, face - 0.05, height);
    let machined = if radius < 12.0 {
        on(BOSS_TOP)
    } else if (radius - 28.5).abs() < 2.6 {
        on(RING_TOP)
    } else {
        on(PAD_TOP) * ramp(0.5, 1.0, ear_pad(x, y))
    };
    Surface { height, machined }
}

/// Signed distance to the outline, negative inside: a disc blended with its ears.
fn outline(x: f64, y: f64) -> f64 {
    let mut distance = x.hypot(y) - 38.0;
    for (ear_x, ear_y) in ears() {
        let ear = (x - ear_x).hypot(y - ear_y) - 8.2;
        let blend = (0.5 + 0.5 * (distance - ear) / 7.0).clamp(0.0, 1.0);
        distance = distance + (ear - distance) * blend - 7.0 * blend * (1.0 - blend);
    }
    distance
}

fn ears() -> impl Iterator<Item = (f64, f64)> {
    EARS.iter().map(|angle| {
        let (sine, cosine) = angle.to_radians().sin_cos();
        (EAR_RADIUS * cosine, EAR_RADIUS * sine)
    })
}

/// 1 on the raised pads around the bolt holes.
fn ear_pad(x: f64, y: f64) -> f64 {
    ears().map(|(u, v)| ramp(6.4, 5.7, (x - u).hypot(y - v))).fold(0.0, f64::max)
}

/// 1 within `half` of zero, 0 beyond a `fillet` outside it.
fn plateau(offset: f64, half: f64, fillet: f64) -> f64 {
    ramp(half + fillet, half, offset.abs())
}

/// Six radial ribs between boss and ring.
fn rib(radius: f64, angle: f64) -> f64 {
    let offset = (angle + 30.0).rem_euclid(60.0) - 30.0;
    plateau(radius * offset.to_radians().sin(), 1.2, 0.7)
}

/// Raised marks on the flange: a scale on one side, a cast lot code opposite.
fn marks(radius: f64, angle: f64) -> f64 {
    let tick = |spacing: f64, inner: f64, half: f64| {
        let offset = (angle + spacing / 2.0).rem_euclid(spacing) - spacing / 2.0;
        plateau(radius * offset.to_radians().sin(), half, 0.35) * band(radius, inner, 36.4, 0.4)
    };
    if (24.0..84.0).contains(&angle) {
        tick(6.0, 34.6, 0.3).max(tick(18.0, 32.9, 0.4))
    } else if (246.0..300.0).contains(&angle) {
        // Bits of a fixed word, two rows of studs.
        const CODE: [u32; 2] = [0b1_0110_0101, 0b1_1001_1011];
        let column = ((angle - 246.0) / 6.0).floor();
        let offset = radius * (angle - 246.0 - 6.0 * column - 3.0).to_radians().sin();
        let row = usize::from(radius > 34.4);
        let centre = if row == 0 { 33.2 } else { 35.6 };
        let set = (CODE[row] >> column as u32) & 1 == 1;
        if set { ramp(1.15, 0.55, offset.hypot(radius - centre)) } else { 0.0 }
    } else {
        0.0
    }
}

/// 1 for `inner < x < outer`, with soft ends.
fn band(x: f64, inner: f64, outer: f64, soft: f64) -> f64 {
    ramp(inner - soft, inner, x) * ramp(outer + soft, outer, x)
}

/// 1 where the part is cut through: bore with keyway, bolt holes, two kidney slots.
fn opening(x: f64, y: f64, radius: f64, angle: f64) -> f64 {
    const EDGE: f64 = 0.4;
    let bore = ramp(5.2, 5.2 - EDGE, radius);
    let keyway = plateau(x, 1.5, EDGE) * band(y, 0.0, 7.2, EDGE);
    let bolt = ears().map(|(u, v)| ramp(2.6, 2.6 - EDGE, (x - u).hypot(y - v))).fold(0.0, f64::max);
    let middle = if angle < 180.0 { 90.0 } else { 270.0 };
    let slot = ramp(13.0, 12.0, (angle - middle).abs()) * plateau(radius - 18.4, 2.3, EDGE);
    bore.max(keyway).max(bolt).max(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_ends_within_its_reach() {
        for step in 0..720 {
            let (sine, cosine) = (f64::from(step) * 0.5).to_radians().sin_cos();
            assert_eq!(surface(REACH * cosine, REACH * sine).height, 0.0);
            assert!(surface(37.0 * cosine, 37.0 * sine).height > 0.0);
        }
    }

    #[test]
    fn its_features_stand_at_their_heights() {
        assert_eq!(surface(0.0, -2.0).height, 0.0, "bore");
        assert_eq!(surface(-8.0, 0.0).height, BOSS_TOP);
        assert_eq!(surface(0.0, 28.5).height, RING_TOP);
        assert_eq!(surface(20.0, 0.0).height, RIB_TOP);
        assert_eq!(surface(0.0, 18.4).height, 0.0, "kidney slot");
        assert_eq!(surface(0.0, 28.5).machined, 1.0);
        assert_eq!(surface(20.0, 0.0).machined, 0.0);
    }
}
