//! Textures that synthetic defects are filled with: procedural ones, and pieces of other scans.

use crate::noise::Noise;
use assay_training::layers::Draws;
use std::f64::consts::{FRAC_PI_4, PI};

/// A colour picture of `size` x `size`: three planes, values 0 to 1.
pub(crate) type Planes = Vec<f32>;

/// How many of the ten augmenters change a texture.
const CHANGES: usize = 3;

/// Augmenters, as DRAEM's.
const AUGMENTERS: usize = 10;

/// A number from `low` to `high`.
fn between(draws: &mut Draws, low: f32, high: f32) -> f32 {
    low + (high - low) * 0.5 * (draws.uniform(1, 1.0)[0] + 1.0)
}

/// A texture: half of them are procedural, half a piece of one of the `scans`, enlarged up to four times and turned.
pub(crate) fn texture(scans: &[&[f32]], size: usize, draws: &mut Draws) -> Planes {
    let mut planes = if scans.is_empty() || draws.below(2) == 0 {
        procedural(size, draws)
    } else {
        let scan = scans[draws.below(scans.len())];
        let scale = between(draws, 0.25, 1.0);
        let [y, x] = [(); 2].map(|()| between(draws, 0.0, 1.0 - scale));
        sampled(scan, size, |[v, u]| [y + scale * v, x + scale * u], between(draws, -PI as f32, PI as f32))
    };
    let mut order: Vec<usize> = (0..AUGMENTERS).collect();
    draws.shuffle(&mut order);
    for &change in &order[..CHANGES] {
        augment(change, &mut planes, size, draws);
    }
    planes
}

/// Two colours, mixed by noise, by stripes or not at all.
fn procedural(size: usize, draws: &mut Draws) -> Planes {
    let colours: Vec<f32> = draws.uniform(6, 0.5).into_iter().map(|v| v + 0.5).collect();
    let angle = f64::from(between(draws, -PI as f32, PI as f32));
    let cells = 1 << (1 + draws.below(5));
    let noise = Noise::new([cells; 2], draws).picture(size, angle);
    let kind = draws.below(3);
    let waves = f64::from(between(draws, 2.0, 20.0)) * 2.0 * PI;
    let share = |i: usize| match kind {
        0 => 0.5 + 0.5 * noise[i],
        1 => {
            let [y, x] = [i / size, i % size].map(|p| p as f64 / size as f64);
            (0.5 + 0.5 * (waves * (x * angle.cos() + y * angle.sin())).sin()) as f32
        }
        _ => 0.0,
    };
    let cells = size * size;
    (0..3 * cells)
        .map(|i| {
            let (c, share) = (i / cells, share(i % cells));
            (colours[c] * share + colours[3 + c] * (1.0 - share)).clamp(0.0, 1.0)
        })
        .collect()
}

/// A picture sampled at `place` of each pixel's place (0 to 1), which is turned about the middle first; mirrored beyond the edge.
fn sampled(planes: &[f32], size: usize, place: impl Fn([f32; 2]) -> [f32; 2], angle: f32) -> Planes {
    let (sin, cos) = angle.sin_cos();
    let cells = size * size;
    let from: Vec<usize> = (0..cells)
        .map(|i| {
            let [y, x] = [i / size, i % size].map(|p| (p as f32 + 0.5) / size as f32 - 0.5);
            let turned = [y * cos - x * sin + 0.5, y * sin + x * cos + 0.5].map(mirrored);
            let [row, col] = place(turned).map(|p| ((mirrored(p) * size as f32) as usize).min(size - 1));
            row * size + col
        })
        .collect();
    (0..3).flat_map(|c| from.iter().map(move |&i| planes[c * cells + i])).collect()
}

/// A place beyond 0 to 1, mirrored back.
fn mirrored(p: f32) -> f32 {
    let p = p.rem_euclid(2.0);
    if p > 1.0 { 2.0 - p } else { p }
}

/// Changes a texture: gamma, brightness, sharpness, hue and saturation, solarise, posterise, invert, stretch of contrast, equalise, turn.
fn augment(change: usize, planes: &mut Planes, size: usize, draws: &mut Draws) {
    let cells = size * size;
    match change {
        0 => each(planes, |v, power| v.powf(power), between(draws, 0.5, 2.0)),
        1 => {
            let (gain, shift) = (between(draws, 0.8, 1.2), between(draws, -0.12, 0.12));
            each(planes, |v, gain| gain * v + shift, gain);
        }
        2 => sharpen(planes, size, between(draws, 0.0, 2.0)),
        3 => hue(planes, cells, between(draws, -PI as f32, PI as f32), between(draws, 0.5, 1.5)),
        4 => each(planes, |v, most| if v > most { 1.0 - v } else { v }, between(draws, 0.13, 0.5)),
        5 => each(planes, |v, levels| (v * levels).floor() / levels, (1 << (2 + draws.below(4))) as f32),
        6 => each(planes, |v, _| 1.0 - v, 0.0),
        7 => planes.chunks_exact_mut(cells).for_each(stretch),
        8 => planes.chunks_exact_mut(cells).for_each(equalise),
        _ => *planes = sampled(planes, size, |p| p, between(draws, -FRAC_PI_4 as f32, FRAC_PI_4 as f32)),
    }
    planes.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
}

fn each(planes: &mut [f32], change: impl Fn(f32, f32) -> f32, by: f32) {
    planes.iter_mut().for_each(|v| *v = change(*v, by));
}

/// Takes the mean of the four neighbours away from each pixel `strength` times.
fn sharpen(planes: &mut [f32], size: usize, strength: f32) {
    for plane in planes.chunks_exact_mut(size * size) {
        let before = plane.to_vec();
        for y in 1..size - 1 {
            for x in 1..size - 1 {
                let i = y * size + x;
                let around = before[i - 1] + before[i + 1] + before[i - size] + before[i + size];
                plane[i] += strength * (before[i] - 0.25 * around);
            }
        }
    }
}

/// Turns colours about grey and moves them away from it, in the plane of YIQ's I and Q.
fn hue(planes: &mut [f32], cells: usize, angle: f32, saturation: f32) {
    let (sin, cos) = angle.sin_cos();
    for i in 0..cells {
        let [r, g, b] = [0, 1, 2].map(|c| planes[c * cells + i]);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let (p, q) = (0.596 * r - 0.274 * g - 0.322 * b, 0.211 * r - 0.523 * g + 0.312 * b);
        let (p, q) = (saturation * (cos * p - sin * q), saturation * (sin * p + cos * q));
        planes[i] = luma + 0.956 * p + 0.621 * q;
        planes[cells + i] = luma - 0.272 * p - 0.647 * q;
        planes[2 * cells + i] = luma - 1.106 * p + 1.703 * q;
    }
}

/// Brings the least value to 0 and the greatest to 1.
fn stretch(plane: &mut [f32]) {
    let (low, high) =
        plane.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    if high > low {
        plane.iter_mut().for_each(|v| *v = (*v - low) / (high - low));
    }
}

/// Gives each value its rank among 256 levels.
fn equalise(plane: &mut [f32]) {
    let level = |v: f32| (v.clamp(0.0, 1.0) * 255.0) as usize;
    let mut below = [0usize; 257];
    for &v in plane.iter() {
        below[level(v) + 1] += 1;
    }
    for l in 1..257 {
        below[l] += below[l - 1];
    }
    let n = plane.len() as f32;
    plane.iter_mut().for_each(|v| *v = below[level(*v) + 1] as f32 / n);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(size: usize) -> Planes {
        (0..3 * size * size).map(|i| (i % (size * size)) as f32 / (size * size) as f32).collect()
    }

    #[test]
    fn every_augmenter_changes_a_picture_and_keeps_it_a_picture() {
        for change in 0..AUGMENTERS {
            let mut planes = ramp(16);
            planes[..256].reverse();
            planes[8 * 16 + 8] = 0.95;
            let before = planes.clone();
            augment(change, &mut planes, 16, &mut Draws::new(3));
            assert!(planes.iter().all(|v| (0.0..=1.0).contains(v)), "{change}");
            assert!(planes != before, "{change}");
        }
    }

    #[test]
    fn textures_differ_and_do_not_depend_on_anything_but_the_draws() {
        let scan = ramp(16);
        let some = |seed| {
            let mut draws = Draws::new(seed);
            (0..8).map(|_| texture(&[&scan], 16, &mut draws)).collect::<Vec<_>>()
        };
        let first = some(1);
        assert_eq!(first, some(1));
        assert!((1..8).all(|i| first[i] != first[0]));
        assert!(first.iter().flatten().all(|v| (0.0..=1.0).contains(v)));
        assert_eq!(texture(&[], 16, &mut Draws::new(1)).len(), 3 * 256);
    }

    #[test]
    fn turning_hues_keeps_grey_grey() {
        let mut grey = vec![0.4; 3 * 4];
        hue(&mut grey, 4, 1.0, 1.4);
        assert!(grey.iter().all(|v| (v - 0.4).abs() < 2e-3), "{grey:?}");
    }

    #[test]
    fn equalising_spreads_a_ramp_evenly() {
        let mut plane: Vec<f32> = (0..256).map(|i| 0.25 + i as f32 / 1024.0).collect();
        equalise(&mut plane);
        assert!(plane[0] < 0.02 && plane[255] == 1.0 && plane.is_sorted());
    }
}
