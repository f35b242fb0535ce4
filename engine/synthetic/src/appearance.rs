//! Colour of a surface point: material, texture and light.

use crate::camera::Pose;
use crate::defect::Defect;
use crate::part;
use crate::random::Draws;
use crate::raster::Raster;
use crate::relief::Relief;
use crate::texture::Tile;
use crate::vector::{Vector, along, dot, minus, ramp, unit};

/// Linear reflectance of the cast skin, the turned faces and the belt below.
const CAST: [f64; 3] = [0.300, 0.306, 0.310];
const TURNED: [f64; 3] = [0.330, 0.332, 0.326];
const BELT: [f64; 3] = [0.0090, 0.0105, 0.0130];

/// What the parts of one category are made of.
pub(crate) struct Material {
    /// 1 on turned faces.
    machined: Raster,
    grain: Tile,
    blotches: Tile,
    lathe: Tile,
    belt: Tile,
}

impl Material {
    /// The designed faces, with textures drawn for the category.
    pub(crate) fn new(draws: &mut Draws) -> Self {
        Self {
            machined: Raster::of(|x, y| part::surface(x, y).machined),
            grain: Tile::new(draws, (32, 32), 4, 0.8),
            blotches: Tile::new(draws, (4, 4), 4, 0.55),
            lathe: Tile::new(draws, (2, 64), 3, 0.8),
            belt: Tile::new(draws, (24, 96), 3, 0.7),
        }
    }
}

/// The light and the surface of one scan.
pub(crate) struct Look<'a> {
    material: &'a Material,
    /// Where this scan samples each tile.
    grain_at: (f64, f64),
    blotches_at: (f64, f64),
    lathe_at: (f64, f64),
    belt_at: (f64, f64),
    /// Share by which the cast skin's brightness varies.
    blotchiness: f64,
    /// Unit vector to the key lamp, part frame.
    to_lamp: Vector,
    eye: Vector,
    gain: [f64; 3],
    stain: Option<&'a Defect>,
}

impl<'a> Look<'a> {
    /// Draws this scan's texture and illumination.
    pub(crate) fn new(
        material: &'a Material,
        pose: &Pose,
        stain: Option<&'a Defect>,
        draws: &mut Draws,
    ) -> Self {
        let mut place = || (draws.unit(), draws.unit());
        let (grain_at, blotches_at, lathe_at, belt_at) = (place(), place(), place(), place());
        let lamp = [-0.62 + draws.around_zero(0.05), -0.50 + draws.around_zero(0.05), -0.80];
        let exposure = 1.0 + draws.around_zero(0.06);
        Self {
            material,
            grain_at,
            blotches_at,
            lathe_at,
            belt_at,
            blotchiness: draws.between(0.02, 0.05),
            to_lamp: unit(pose.direction_to_part(lamp)),
            eye: pose.eye(),
            gain: [(); 3].map(|()| exposure * (1.0 + draws.around_zero(0.015))),
            stain,
        }
    }

    /// Linear light, about [0, 1], that leaves `point` of `relief` towards the camera. `sheltered` is how many mm
    /// the surroundings stand above the point.
    pub(crate) fn radiance(&self, relief: &Relief, point: Vector, sheltered: f64) -> [f64; 3] {
        let [x, y, z] = point;
        let on_part = ramp(0.1, 0.5, z);
        let skin = self.skin(x, y, on_part);
        let normal = relief.normal(x, y, skin.slope);
        let to_eye = unit(minus(self.eye, point));
        let halfway = unit(along(self.to_lamp, to_eye, 1.0));

        let lit = relief.visibility(point, self.to_lamp, 0.25);
        let open = 1.0 / (1.0 + 0.32 * sheltered.max(0.0));
        let diffuse = 0.42 * open * (0.5 + 0.5 * normal[2]) + 1.25 * lit * dot(normal, self.to_lamp).max(0.0);
        let gloss = match skin.gloss * lit {
            0.0 => 0.0,
            gloss => gloss * dot(normal, halfway).max(0.0).powf(skin.sharpness),
        };
        std::array::from_fn(|k| self.gain[k] * (skin.reflectance[k] * diffuse + gloss))
    }

    fn skin(&self, x: f64, y: f64, on_part: f64) -> Skin {
        let Material { machined, grain, blotches, lathe, belt } = self.material;
        let tile = |(u, v): (f64, f64), size: f64| (u + x / size, v + y / size);

        let (u, v) = tile(self.belt_at, 60.0);
        let weave = belt.at(u, v);
        if on_part <= 0.0 {
            let shade = (1.0 + 0.10 * weave).max(0.1);
            return Skin {
                reflectance: BELT.map(|c| c * shade),
                gloss: 0.0,
                sharpness: 1.0,
                slope: (0.0, 0.0),
            };
        }

        let (gu, gv) = tile(self.grain_at, 70.0);
        let (bu, bv) = tile(self.blotches_at, 90.0);
        let (grain_here, blotch) = (grain.at(gu, gv), blotches.at(bu, bv));
        let turned = machined.at(x, y);
        let radius = (x * x + y * y).sqrt();
        let groove =
            lathe.at(self.lathe_at.0 + y.atan2(x) / std::f64::consts::TAU, self.lathe_at.1 + radius / 24.0);

        let cast_shade = 1.0 + self.blotchiness * blotch + 0.045 * grain_here;
        let turned_shade = 1.0 + 0.07 * groove + 0.5 * self.blotchiness * blotch;
        let filter = self.stain.map_or([1.0; 3], |stain| stain.colour_filter(x, y, blotch));
        let reflectance = std::array::from_fn(|k| {
            let metal = CAST[k] * cast_shade + (TURNED[k] * turned_shade - CAST[k] * cast_shade) * turned;
            BELT[k] + (metal * filter[k] - BELT[k]) * on_part
        });
        let (grain_x, grain_y) = grain.gradient(gu, gv);
        // Slopes: cast grain in every direction, lathe grooves across the radius.
        let rough = 0.0009 * (1.0 - turned);
        let across = 0.10 * turned * groove / radius.max(1.0);
        let dull = filter.iter().sum::<f64>() / 3.0;
        Skin {
            reflectance,
            gloss: on_part * dull * (0.05 + 0.22 * turned),
            sharpness: 14.0 + 30.0 * turned,
            slope: (rough * grain_x + across * x, rough * grain_y + across * y),
        }
    }
}

/// The surface at a point, before light falls on it.
struct Skin {
    reflectance: [f64; 3],
    gloss: f64,
    sharpness: f64,
    /// Slope that the texture adds to the relief's.
    slope: (f64, f64),
}
