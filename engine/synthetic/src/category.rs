//! The category as a whole: which scans are made and where they go.

use std::path::Path;

use crate::appearance::{Look, Material};
use crate::camera::{Camera, Pose};
use crate::defect::{Defect, DefectKind};
use crate::error::SyntheticError;
use crate::part;
use crate::random::Draws;
use crate::raster::Raster;
use crate::relief::Relief;
use crate::sensor::{Scan, Scene};
use crate::texture::Tile;
use crate::writer::{Folder, require_empty};

const LEAST_SIDE: usize = 64;
const MOST_SIDE: usize = 2048;
const MOST_SCANS: usize = 1000;

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// (rows, columns) of every scan, 64 to 2048 each; the shorter side sees the whole part.
    pub size: (usize, usize),
    /// Good scans in `train`, at most 1000.
    pub train: usize,
    /// Good scans in `validation`, at most 1000.
    pub validation: usize,
    /// Good scans in `test`, at most 1000.
    pub test_good: usize,
    /// Scans in `test` for each [`DefectKind`], at most 1000.
    pub defects_per_kind: usize,
    /// Seed of every draw. Scan k of a folder does not depend on how many scans there are.
    pub seed: u64,
}

impl Default for Spec {
    /// 256 x 256; 40 train, 12 validation, 10 good and 4 x 6 defective test scans; seed 0.
    fn default() -> Self {
        Self { size: (256, 256), train: 40, validation: 12, test_good: 10, defects_per_kind: 6, seed: 0 }
    }
}

impl Spec {
    /// The category that is shown to newcomers: 400 x 400, and 20 scans in `validation`, as thresholds ask for.
    pub fn demonstration(seed: u64) -> Self {
        Self { size: (400, 400), validation: 20, seed, ..Self::default() }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Good scans in `train`.
    pub train: usize,
    /// Good scans in `validation`.
    pub validation: usize,
    /// Good scans in `test`.
    pub test_good: usize,
    /// The defective scans in `test`, in the order written.
    pub defects: Vec<DefectRecord>,
}

/// One defective scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefectRecord {
    /// What is wrong.
    pub kind: DefectKind,
    /// Number of the scan in `test/<kind>`; its files are named by three digits.
    pub number: usize,
    /// Pixels marked in its ground truth.
    pub pixels: usize,
}

/// Writes a category into `dir` in the layout of MVTec 3D-AD.
///
/// `train/good`, `validation/good` and `test/{good,dent,bump,stain,hole}` hold `rgb/NNN.png` (8-bit sRGB) and
/// `xyz/NNN.tiff` (3 x f32 interleaved, metres, camera frame, missing points (0, 0, 0)); test scans also hold
/// `gt/NNN.png`, all zero for good ones, else the kind's [class id](DefectKind::class_id) where the surface moved by
/// 0.1 mm or more or the stain is visible. Equal specs give equal bytes on one machine type.
///
/// # Errors
/// [`SyntheticError`] when the spec is out of range, when `dir` is not empty, or when a file cannot be written.
pub fn generate(dir: &Path, spec: &Spec) -> Result<Summary, SyntheticError> {
    check(spec)?;
    require_empty(dir)?;
    let line = Line::new(spec);
    for (stream, split, count) in
        [(1, "train", spec.train), (2, "validation", spec.validation), (3, "test", spec.test_good)]
    {
        let folder = Folder::create(dir.join(split).join("good"), split == "test")?;
        for number in 0..count {
            folder.write(number, &line.scan(stream, number, None))?;
        }
    }
    let mut defects = Vec::with_capacity(spec.defects_per_kind * DefectKind::ALL.len());
    for (stream, kind) in (4..).zip(DefectKind::ALL) {
        let folder = Folder::create(dir.join("test").join(kind.name()), true)?;
        for number in 0..spec.defects_per_kind {
            let scan = line.scan(stream, number, Some(kind));
            folder.write(number, &scan)?;
            let pixels = scan.truth.iter().filter(|&&class| class > 0).count();
            defects.push(DefectRecord { kind, number, pixels });
        }
    }
    Ok(Summary { train: spec.train, validation: spec.validation, test_good: spec.test_good, defects })
}

fn check(spec: &Spec) -> Result<(), SyntheticError> {
    let (rows, columns) = spec.size;
    if [rows, columns].iter().any(|side| !(LEAST_SIDE..=MOST_SIDE).contains(side)) {
        return Err(SyntheticError::Size { rows, columns, least: LEAST_SIDE, most: MOST_SIDE });
    }
    let counts = [
        ("train", spec.train),
        ("validation", spec.validation),
        ("test_good", spec.test_good),
        ("defects_per_kind", spec.defects_per_kind),
    ];
    match counts.into_iter().find(|(_, count)| *count > MOST_SCANS) {
        Some((field, count)) => Err(SyntheticError::Count { field, count, most: MOST_SCANS }),
        None => Ok(()),
    }
}

/// The station: what all scans of a category share.
struct Line {
    size: (usize, usize),
    seed: u64,
    design: Raster,
    material: Material,
    warp: Tile,
    dropout: Tile,
}

impl Line {
    fn new(spec: &Spec) -> Self {
        let mut draws = Draws::new(spec.seed, 0);
        Self {
            size: spec.size,
            seed: spec.seed,
            design: Raster::of(|x, y| part::surface(x, y).height),
            material: Material::new(&mut draws),
            warp: Tile::new(&mut draws, (3, 3), 3, 0.4),
            dropout: Tile::new(&mut draws, (32, 32), 2, 0.5),
        }
    }

    /// Scan `number` of the folder with this `stream`. The defect has draws of its own, so that without it the scan
    /// is the same but for the defect.
    fn scan(&self, stream: u64, number: usize, kind: Option<DefectKind>) -> Scan {
        const OF_DEFECT: u64 = 1 << 63;
        let stream = (stream << 32) | number as u64;
        let mut draws = Draws::new(self.seed, stream);
        let pose = Pose::jittered(&mut draws);
        let intact = self.moulded(&mut draws);
        let defect =
            kind.map(|kind| Defect::draw(kind, &intact, &mut Draws::new(self.seed, stream | OF_DEFECT)));
        let deformed = defect.as_ref().filter(|d| d.kind != DefectKind::Stain).map(|d| d.deform(&intact));
        let look = Look::new(&self.material, &pose, defect.as_ref(), &mut draws);
        let scene = Scene {
            camera: Camera::new(self.size),
            pose: &pose,
            intact: &intact,
            actual: deformed.as_ref().unwrap_or(&intact),
            defect: defect.as_ref(),
            dropout: &self.dropout,
        };
        scene.capture(self.size, &look, &mut draws)
    }

    /// One good part: no two leave the mould alike. It bows by up to 0.15 mm, waves by some hundredths, and its
    /// heights vary by a percent.
    fn moulded(&self, draws: &mut Draws) -> Relief {
        let scale = 1.0 + draws.around_zero(0.01);
        let bow = draws.around_zero(0.15) / part::REACH.powi(2);
        let (u, v) = (draws.unit(), draws.unit());
        Relief::new(self.design.map(|x, y, z| {
            if z <= 0.0 {
                return 0.0;
            }
            let wave = 0.03 * self.warp.at(u + x / 150.0, v + y / 150.0);
            z * scale + (bow * (x * x + y * y) + wave) * (z / 2.0).min(1.0)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (160, 200);

    /// A defective scan beside the same part without the defect.
    fn twins(kind: DefectKind, number: usize) -> (Scan, Scan) {
        let line = Line::new(&Spec { size: SIZE, ..Spec::default() });
        (line.scan(9, number, None), line.scan(9, number, Some(kind)))
    }

    fn pixels() -> impl Iterator<Item = (usize, usize)> {
        (0..SIZE.0).flat_map(|row| (0..SIZE.1).map(move |column| (row, column)))
    }

    #[test]
    fn dents_and_bumps_leave_the_colour_untouched() {
        for kind in [DefectKind::Dent, DefectKind::Bump] {
            let (good, bad) = twins(kind, 3);
            assert_eq!(good.rgb, bad.rgb);
            assert_ne!(good.xyz, bad.xyz);
        }
    }

    #[test]
    fn a_stain_leaves_the_points_untouched_and_darkens_what_is_marked() {
        let (good, bad) = twins(DefectKind::Stain, 1);
        assert_eq!(good.xyz, bad.xyz);
        let green = |scan: &Scan| -> f64 {
            let marked = pixels().filter(|&at| bad.truth[at] > 0);
            marked.map(|(row, column)| f64::from(scan.rgb[(row, column, 1)])).sum()
        };
        assert!(green(&bad) < 0.9 * green(&good));
    }

    #[test]
    fn marked_pixels_move_by_a_tenth_of_a_millimetre_and_others_far_from_them_not_at_all() {
        for (kind, way) in [(DefectKind::Dent, 1.0), (DefectKind::Bump, -1.0), (DefectKind::Hole, 1.0)] {
            let (good, bad) = twins(kind, 2);
            let depth =
                |scan: &Scan, (row, column): (usize, usize)| f64::from(scan.xyz[(row, column, 2)]) * 1e3;
            let (mut marked, mut near_enough) = (0, 0);
            for at in pixels() {
                let (before, after) = (depth(&good, at), depth(&bad, at));
                if bad.truth[at] == 0 || before == 0.0 || after == 0.0 {
                    continue;
                }
                marked += 1;
                near_enough += u32::from(way * (after - before) > 0.05);
            }
            assert!(
                f64::from(near_enough) >= 0.95 * f64::from(marked),
                "{kind:?}: {near_enough} of {marked}"
            );

            let changed = pixels().filter(|&at| depth(&good, at) != depth(&bad, at)).count();
            let labelled = bad.truth.iter().filter(|&&class| class > 0).count();
            assert!(
                labelled > 10 && changed < 4 * labelled,
                "{kind:?}: {changed} changed, {labelled} marked"
            );
        }
    }

    #[test]
    fn a_hole_is_dark_and_mostly_without_points_on_the_part() {
        let (good, bad) = twins(DefectKind::Hole, 0);
        let mean = |scan: &Scan| {
            let marked: Vec<_> = pixels().filter(|&at| bad.truth[at] > 0).collect();
            marked.iter().map(|&(r, c)| f64::from(scan.rgb[(r, c, 0)])).sum::<f64>() / marked.len() as f64
        };
        assert!(mean(&bad) < 0.6 * mean(&good), "{} against {}", mean(&bad), mean(&good));
    }

    #[test]
    fn points_project_back_onto_their_pixels() {
        let (scan, _) = twins(DefectKind::Dent, 5);
        let camera = Camera::new(SIZE);
        for (row, column) in pixels() {
            let [x, y, z] = [0, 1, 2].map(|k| f64::from(scan.xyz[(row, column, k)]));
            if z > 0.0 {
                let ray = camera.ray(row as f64, column as f64);
                assert!((x / z - ray[0]).abs() < 1e-6 && (y / z - ray[1]).abs() < 1e-6);
                assert!((0.38..0.41).contains(&z));
            }
        }
    }
}
