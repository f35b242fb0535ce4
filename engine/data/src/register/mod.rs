//! Sensors of one scan on common ground: each grid covers what the first sensor with pixels sees.
//!
//! Where two sensors share a field of view (no poses, sizes of one aspect ratio), each keeps its resolution and only its
//! [`Frame`] says how its cells lie. Where they do not, 3D points carry the relation: points are seen from the first
//! sensor through its camera (`rasterise`), and images are looked up where its points are seen (`look_up`).

mod look_up;
mod rasterise;

use self::look_up::{Target, look_up};
use self::rasterise::rasterise;
use crate::{Camera, Cloud, DataError, Frame, Grid, Modality, Pose, Sensor};
use ndarray::Array3;
use std::path::Path;

/// One sensor's data on its way.
pub(crate) struct Placed<'a> {
    pub(crate) sensor: &'a Sensor,
    pub(crate) path: &'a Path,
    pub(crate) modality: Modality,
}

const NO_CAMERA: &str = "the camera of the sensor that it is to be seen from is not given (`camera`)";

/// How a sensor relates to the first.
enum Relation {
    /// It sees the same: its frame follows from the sizes.
    SameView,
    /// Through points, cameras and this pose from its frame into the first one's.
    Geometry(Pose),
}

/// Brings the sensors of a scan onto the pixels of the first that has any, and answers its size; `(0, 0)` where none has.
///
/// # Errors
/// [`DataError::SizesDiffer`], [`DataError::Unrelated`].
pub(crate) fn register(scan: &mut [Placed<'_>]) -> Result<(usize, usize), DataError> {
    let Some(first) = scan.iter().position(|p| p.modality.size().is_some()) else { return Ok((0, 0)) };
    let native = scan[first].modality.size().unwrap_or_default();
    let mut through_images = Vec::new();
    for at in (0..scan.len()).filter(|&at| at != first) {
        match relation(&scan[first], &scan[at])? {
            Relation::SameView => place(&mut scan[at].modality, native),
            Relation::Geometry(pose) => match &mut scan[at].modality {
                Modality::Points(cloud) => move_points(cloud, &pose),
                Modality::Image(_) => through_images.push((at, pose)),
                Modality::Organised(_) => {
                    let seen = seen_from(&scan[first], &scan[at], &pose, native)?;
                    scan[at].modality = Modality::Organised(seen);
                }
            },
        }
    }
    // Images come last: they are looked up where points are seen.
    for (at, pose) in through_images {
        let image = bring(scan, first, at, &pose, native)?;
        scan[at].modality = Modality::Image(image);
    }
    Ok(native)
}

/// Organised points as the first sensor would see them.
fn seen_from(
    first: &Placed<'_>,
    other: &Placed<'_>,
    pose: &Pose,
    native: (usize, usize),
) -> Result<Grid, DataError> {
    let Some(camera) = camera_of(first, native) else {
        return Err(unrelated(other, first, NO_CAMERA));
    };
    match &other.modality {
        Modality::Organised(points) if points.channels() == 3 => Ok(rasterise(points, pose, &camera, native)),
        _ => Err(unrelated(other, first, "a depth image has points only with its own `camera`")),
    }
}

/// An image as the first sensor would see it.
fn bring(
    scan: &[Placed<'_>],
    first: usize,
    at: usize,
    pose: &Pose,
    native: (usize, usize),
) -> Result<crate::Image, DataError> {
    let (moving, to) = (&scan[at], &scan[first]);
    let Modality::Image(image) = &moving.modality else {
        return Err(unrelated(moving, to, "it is no image"));
    };
    let Some(camera) = camera_of(moving, image.size()) else {
        return Err(unrelated(moving, to, "its own camera is not given (`camera`)"));
    };
    let points = |p: &Placed<'_>| match &p.modality {
        Modality::Organised(grid) if grid.channels() == 3 && grid.size() == native => Some(grid.clone()),
        _ => None,
    };
    // The first sensor's own points, or those of another that already lie on its pixels; for one optical centre, any distance does.
    let surface = points(to).or_else(|| scan.iter().find_map(points));
    let surface = match surface {
        Some(surface) => surface,
        None if pose.is_turn() => match camera_of(to, native) {
            Some(camera) => {
                let ones =
                    Grid { values: Array3::ones((1, native.0, native.1)), valid: None, frame: Frame::NATIVE };
                camera.points(&ones)
            }
            None => return Err(unrelated(moving, to, NO_CAMERA)),
        },
        None => {
            let cause = "cameras in different places are related by points, and the scan has no xyz or depth sensor on these pixels";
            return Err(unrelated(moving, to, cause));
        }
    };
    let to_camera = Pose::identity().seen_from(pose);
    Ok(look_up(image, &surface, &Target { pose: to_camera, camera }))
}

fn relation(first: &Placed<'_>, other: &Placed<'_>) -> Result<Relation, DataError> {
    let pose = |p: &Placed<'_>| p.sensor.pose.unwrap_or_else(Pose::identity);
    let relative = pose(other).seen_from(&pose(first));
    let (Some(here), Some(there)) = (first.modality.size(), other.modality.size()) else {
        return Ok(if relative.is_identity() { Relation::SameView } else { Relation::Geometry(relative) });
    };
    let cameras = (camera_of(first, here), camera_of(other, there));
    let one_camera = match &cameras {
        (Some(a), Some(b)) => same_view(here, there) && alike(a, &b.scaled(there, here), here),
        _ => true,
    };
    if relative.is_identity() && one_camera && same_view(here, there) {
        return Ok(Relation::SameView);
    }
    if relative.is_identity() && matches!(cameras, (None, _) | (_, None)) {
        return Err(DataError::SizesDiffer {
            first: first.path.to_path_buf(),
            first_size: here,
            second: other.path.to_path_buf(),
            second_size: there,
        });
    }
    Ok(Relation::Geometry(relative))
}

/// Whether two sizes can be the same view in two resolutions: one aspect ratio, up to a pixel of the smaller one that was rounded
/// away.
pub(crate) fn same_view(a: (usize, usize), b: (usize, usize)) -> bool {
    let (small, large) = if a.0 * a.1 <= b.0 * b.1 { (a, b) } else { (b, a) };
    (large.0 * small.1).abs_diff(large.1 * small.0) <= large.0.max(large.1)
}

/// Whether two cameras of one size put what they see within half a pixel of each other.
fn alike(a: &Camera, b: &Camera, (rows, cols): (usize, usize)) -> bool {
    let (w, h) = (cols as f64 - 1.0, rows as f64 - 1.0);
    [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h), (w / 2.0, h / 2.0)].iter().all(|&(c, r)| {
        let back = a.ray(c, r).and_then(|(x, y)| b.project([x, y, 1.0]));
        back.is_some_and(|(c2, r2)| (c2 - c).abs() <= 0.5 && (r2 - r).abs() <= 0.5)
    })
}

/// The camera of a sensor in the size that its data has.
fn camera_of(placed: &Placed<'_>, size: (usize, usize)) -> Option<Camera> {
    let camera = placed.sensor.camera?;
    Some(camera.size.filter(|&from| from != size).map_or(camera, |from| camera.scaled(from, size)))
}

/// A cloud into another frame; what was not measured stays (0, 0, 0).
fn move_points(cloud: &mut Cloud, pose: &Pose) {
    for k in (0..cloud.len()).filter(|&k| cloud.is_valid(k)).collect::<Vec<_>>() {
        let p = pose.apply(std::array::from_fn(|c| f64::from(cloud.positions[(k, c)])));
        (0..3).for_each(|c| cloud.positions[(k, c)] = p[c] as f32);
    }
}

/// The frame of data that sees what a scan of `native` size sees.
fn place(modality: &mut Modality, native: (usize, usize)) {
    match modality {
        Modality::Image(image) => image.frame = Frame::NATIVE.resized(native, image.size()),
        Modality::Organised(grid) => grid.frame = Frame::NATIVE.resized(native, grid.size()),
        Modality::Points(_) => {}
    }
}

fn unrelated(sensor: &Placed<'_>, first: &Placed<'_>, cause: &str) -> DataError {
    DataError::Unrelated {
        path: sensor.path.to_path_buf(),
        sensor: sensor.sensor.name.clone(),
        first: first.sensor.name.clone(),
        cause: cause.into(),
    }
}

#[cfg(test)]
mod tests;
