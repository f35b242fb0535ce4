//! The sensor head: a colour picture and an organised point grid of one part.
//!
//! Structured light: the camera sees what the projector beside it lights. A point is missing where the projector is
//! hidden, where the surface turns away, at jumps of depth, and in specks, more of them on the dark belt.

use ndarray::{Array2, Array3};

use crate::appearance::Look;
use crate::camera::{Camera, Pose};
use crate::defect::Defect;
use crate::random::Draws;
use crate::raster::Raster;
use crate::relief::Relief;
use crate::texture::Tile;
use crate::vector::{Vector, dot, minus, unit};

/// Depth noise, mm (one standard deviation).
const DEPTH_NOISE: f64 = 0.05;
/// Colour noise, 8-bit levels.
const COLOUR_NOISE: f64 = 1.6;
/// The projector's centre in the camera frame, mm.
const PROJECTOR: Vector = [135.0, -20.0, 0.0];
/// Least cosine between the normal and the direction to camera or projector.
const FACING: f64 = 0.34;
/// Jump of depth between neighbours from which points are doubtful, mm.
const JUMP: f64 = 1.0;

/// Colour samples along each side of a pixel, where the surface is not flat.
const SUBPIXELS: usize = 2;
/// Difference of height between neighbours up to which one colour sample a pixel is enough, mm.
const FLAT: f64 = 0.1;

/// One scan as the files hold it.
pub(crate) struct Scan {
    /// [rows, columns, 3], sRGB.
    pub(crate) rgb: Array3<u8>,
    /// [rows, columns, 3], metres in the camera frame; (0, 0, 0) where missing.
    pub(crate) xyz: Array3<f32>,
    /// [rows, columns]: the defect's class id, 0 elsewhere.
    pub(crate) truth: Array2<u8>,
}

/// One part under the sensor.
pub(crate) struct Scene<'a> {
    pub(crate) camera: Camera,
    pub(crate) pose: &'a Pose,
    /// The good part.
    pub(crate) intact: &'a Relief,
    /// The part with its change of height.
    pub(crate) actual: &'a Relief,
    pub(crate) defect: Option<&'a Defect>,
    /// Noise that gathers missing points into patches.
    pub(crate) dropout: &'a Tile,
}

impl Scene<'_> {
    /// Takes the scan.
    pub(crate) fn capture(&self, size: (usize, usize), look: &Look<'_>, draws: &mut Draws) -> Scan {
        Scan { rgb: self.colour(size, look, draws), xyz: self.points(size, draws), truth: self.truth(size) }
    }

    fn colour(&self, size: (usize, usize), look: &Look<'_>, draws: &mut Draws) -> Array3<u8> {
        let shown = match self.defect {
            Some(defect) if defect.kind.shows_relief_in_colour() => self.actual,
            _ => self.intact,
        };
        let surroundings: Raster = shown.heights().blurred(2.5);
        let hits = self.meet_all(shown, size);
        let heights = hits.mapv(|hit| hit[2]);
        let mut picture = Array3::zeros((size.0, size.1, 3));
        for row in 0..size.0 {
            for column in 0..size.1 {
                let shade = |point: Vector| {
                    let sheltered = surroundings.at(point[0], point[1]) - point[2];
                    look.radiance(shown, point, sheltered)
                };
                let light = if largest_jump(&heights, row, column) <= FLAT {
                    shade(hits[(row, column)])
                } else {
                    mean_over_pixel(|i, j| shade(self.meet(shown, row as f64 + i, column as f64 + j)))
                };
                for k in 0..3 {
                    let level = 255.0 * srgb(light[k]);
                    picture[(row, column, k)] =
                        (level + COLOUR_NOISE * draws.normal()).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
        picture
    }

    fn points(&self, (rows, columns): (usize, usize), draws: &mut Draws) -> Array3<f32> {
        let hits = self.meet_all(self.actual, (rows, columns));
        let depth = hits.mapv(|hit| self.pose.point_to_camera(hit)[2]);
        let projector = self.pose.point_to_part(PROJECTOR);
        let patch = (draws.unit(), draws.unit());
        let mut xyz = Array3::zeros((rows, columns, 3));
        for row in 0..rows {
            for column in 0..columns {
                // Drawn for every pixel, so that a defect changes no noise elsewhere.
                let (noise, speck, doubt) = (draws.normal(), draws.unit(), draws.unit());
                let hit = hits[(row, column)];
                let on_belt = hit[2] < 0.1;
                let clump = self.dropout.at(patch.0 + hit[0] / 40.0, patch.1 + hit[1] / 40.0);
                let loss = if on_belt { 0.03 } else { 0.004 };
                let jump = doubt < 0.6 && largest_jump(&depth, row, column) > JUMP;
                if speck < loss || clump > 3.1 || jump || !self.is_lit(hit, projector, doubt) {
                    continue;
                }
                let sigma = if on_belt { 1.2 * DEPTH_NOISE } else { DEPTH_NOISE };
                let z = depth[(row, column)] + sigma * noise;
                let ray = self.camera.ray(row as f64, column as f64);
                for k in 0..3 {
                    xyz[(row, column, k)] = (ray[k] * z * 1e-3) as f32;
                }
            }
        }
        xyz
    }

    /// True where both the camera and the projector see the surface well enough; `doubt` blurs the limit.
    fn is_lit(&self, hit: Vector, projector: Vector, doubt: f64) -> bool {
        let normal = self.actual.normal(hit[0], hit[1], (0.0, 0.0));
        let (to_eye, to_projector) = (unit(minus(self.pose.eye(), hit)), unit(minus(projector, hit)));
        let limit = FACING + 0.1 * (doubt - 0.5);
        dot(normal, to_eye) > limit
            && dot(normal, to_projector) > limit
            && self.actual.visibility(hit, to_projector, 0.02) > 0.5
    }

    fn truth(&self, size: (usize, usize)) -> Array2<u8> {
        let Some(defect) = self.defect else { return Array2::zeros(size) };
        let class = |[x, y, z]: Vector| if defect.covers(x, y, z) { defect.kind.class_id() } else { 0 };
        self.meet_all(self.intact, size).mapv(class)
    }

    /// Where the rays of all pixel centres meet a relief, part frame.
    fn meet_all(&self, relief: &Relief, size: (usize, usize)) -> Array2<Vector> {
        Array2::from_shape_fn(size, |(row, column)| self.meet(relief, row as f64, column as f64))
    }

    /// Where the ray of a pixel position meets a relief, part frame.
    fn meet(&self, relief: &Relief, row: f64, column: f64) -> Vector {
        relief.hit(self.pose.eye(), self.pose.direction_to_part(self.camera.ray(row, column)))
    }
}

/// Mean of a colour over positions spread evenly about a pixel's centre.
fn mean_over_pixel(colour: impl Fn(f64, f64) -> [f64; 3]) -> [f64; 3] {
    let offset = |k: usize| (k as f64 + 0.5) / SUBPIXELS as f64 - 0.5;
    let mut sum = [0.0; 3];
    for sub in 0..SUBPIXELS * SUBPIXELS {
        let sample = colour(offset(sub / SUBPIXELS), offset(sub % SUBPIXELS));
        sum = std::array::from_fn(|k| sum[k] + sample[k]);
    }
    sum.map(|v| v / (SUBPIXELS * SUBPIXELS) as f64)
}

/// Greatest difference of a pixel's value to its four neighbours'.
fn largest_jump(values: &Array2<f64>, row: usize, column: usize) -> f64 {
    let (rows, columns) = values.dim();
    let here = values[(row, column)];
    let neighbours = [
        (row.saturating_sub(1), column),
        ((row + 1).min(rows - 1), column),
        (row, column.saturating_sub(1)),
        (row, (column + 1).min(columns - 1)),
    ];
    neighbours.iter().map(|&at| (values[at] - here).abs()).fold(0.0, f64::max)
}

/// The sRGB transfer curve (IEC 61966-2-1) of linear light, clipped to [0, 1].
fn srgb(linear: f64) -> f64 {
    let linear = linear.clamp(0.0, 1.0);
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}
