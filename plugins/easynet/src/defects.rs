//! Synthetic defects on good scans.

use crate::noise::Hills;
use crate::scans::Scan;
use crate::texture::texture;
use assay_training::layers::Draws;

/// Tries to place a defect on the part.
const TRIES: usize = 8;

/// The most of a picture that shines through a texture.
const MOST_THROUGH: f32 = 0.8;

/// Highest bump, as a share of the range of depths.
const HIGHEST: f32 = 0.4;

/// A scan to learn from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Example {
    /// The pictures of the sensors, three planes each.
    pub(crate) pictures: Vec<Vec<f32>>,
    /// Where the first sensor's picture is defective, 0 or 1.
    pub(crate) alone: Vec<f32>,
    /// Where any sensor's is.
    pub(crate) any: Vec<f32>,
}

impl Example {
    /// A scan as it is.
    pub(crate) fn good(scan: &Scan<'_>, size: usize) -> Self {
        let none = vec![0.0; size * size];
        Self { pictures: scan.pictures(), alone: none.clone(), any: none }
    }

    /// A scan with a defect in colour, in depth or in both; textures may be pieces of the `others`.
    pub(crate) fn defective(scan: &Scan<'_>, others: &[&[f32]], size: usize, draws: &mut Draws) -> Self {
        let mut example = Self::good(scan, size);
        let place = (0..TRIES).find_map(|_| {
            let hills = Hills::new(size, draws);
            let mask: Vec<f32> =
                (0..size * size).map(|i| f32::from(u8::from(hills.high(i) && scan.is_part(i)))).collect();
            mask.contains(&1.0).then_some((hills, mask))
        });
        let Some((hills, mask)) = place else { return example };
        // Half of the defects show in both sensors, where there are two.
        let (in_colour, in_depth) = match (scan.colour.is_some(), scan.depth.is_some(), draws.below(4)) {
            (true, true, 0) => (true, false),
            (true, true, 1) => (false, true),
            (colour, depth, _) => (colour, depth),
        };
        let cells = size * size;
        let mut pictures = example.pictures.iter_mut();
        if scan.colour.is_some()
            && let Some(planes) = pictures.next()
            && in_colour
        {
            let through = MOST_THROUGH * 0.5 * (draws.uniform(1, 1.0)[0] + 1.0);
            let texture = texture(others, size, draws);
            for (i, v) in planes.iter_mut().enumerate() {
                if mask[i % cells] > 0.0 {
                    *v = (1.0 - through) * texture[i] + through * *v;
                }
            }
        }
        if in_depth && let Some(planes) = pictures.next() {
            // As the paper: the noise itself; or a bump or dent in the surface.
            let bump = (draws.below(2) == 0).then(|| HIGHEST * draws.uniform(1, 1.0)[0]);
            for (i, v) in planes.iter_mut().enumerate() {
                let height = hills.heights[i % cells];
                if mask[i % cells] > 0.0 {
                    *v = bump.map_or(height, |most| *v + most * height).clamp(0.0, 1.0);
                }
            }
        }
        let first = if scan.colour.is_some() { in_colour } else { in_depth };
        if first {
            example.alone.clone_from(&mask);
        }
        example.any = mask;
        example
    }
}
