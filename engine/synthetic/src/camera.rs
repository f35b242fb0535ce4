//! The pinhole camera over the plane and the pose of the part under it.
//!
//! Camera frame, millimetres: x right, y down, z forward, as in MVTec 3D-AD.

use crate::random::Draws;
use crate::vector::Vector;

/// Distance of the plane from the camera, mm.
pub(crate) const DISTANCE: f64 = 400.0;
/// Extent of the plane along the shorter side of the picture, mm.
const FIELD: f64 = 116.0;

/// A pinhole camera.
#[derive(Clone, Copy)]
pub(crate) struct Camera {
    focal_px: f64,
    centre_row: f64,
    centre_column: f64,
}

impl Camera {
    /// A camera whose shorter side sees the whole part.
    pub(crate) fn new((rows, columns): (usize, usize)) -> Self {
        Self {
            focal_px: DISTANCE * rows.min(columns) as f64 / FIELD,
            centre_row: (rows as f64 - 1.0) / 2.0,
            centre_column: (columns as f64 - 1.0) / 2.0,
        }
    }

    /// Direction through a pixel position (whole numbers are pixel centres); its z is 1.
    pub(crate) fn ray(&self, row: f64, column: f64) -> Vector {
        [(column - self.centre_column) / self.focal_px, (row - self.centre_row) / self.focal_px, 1.0]
    }
}

/// Where the part frame lies in the camera frame.
pub(crate) struct Pose {
    /// Rows: the camera's axes in the part frame.
    rotation: [Vector; 3],
    /// The camera's centre in the part frame, mm.
    eye: Vector,
}

impl Pose {
    /// As placed by hand against a stop: a few degrees of turn, a few mm of shift, a trace of tilt.
    pub(crate) fn jittered(draws: &mut Draws) -> Self {
        let turn = draws.around_zero(4.0).to_radians();
        let (tilt_x, tilt_y) =
            (draws.around_zero(0.5).to_radians(), (1.5 + draws.around_zero(0.5)).to_radians());
        let (shift_x, shift_y) = (draws.around_zero(2.5), draws.around_zero(2.5));
        let distance = DISTANCE + draws.around_zero(1.0);
        Self::new(turn, tilt_x, tilt_y, [shift_x, shift_y, distance])
    }

    /// The part frame turned about its z, then tilted about the camera's x and y, its origin at `origin` (mm).
    fn new(turn: f64, tilt_x: f64, tilt_y: f64, origin: Vector) -> Self {
        let rotate = |v: Vector| {
            // Part axes at rest: x right, y up, z towards the camera.
            let (s, c) = turn.sin_cos();
            let [x, y, z] = [c * v[0] - s * v[1], -(s * v[0] + c * v[1]), -v[2]];
            let (s, c) = tilt_x.sin_cos();
            let [x, y, z] = [x, c * y - s * z, s * y + c * z];
            let (s, c) = tilt_y.sin_cos();
            [c * x + s * z, y, c * z - s * x]
        };
        let columns = [rotate([1.0, 0.0, 0.0]), rotate([0.0, 1.0, 0.0]), rotate([0.0, 0.0, 1.0])];
        let rotation = [0, 1, 2].map(|axis| columns.map(|column| column[axis]));
        let mut pose = Self { rotation, eye: [0.0; 3] };
        pose.eye = pose.direction_to_part(origin.map(|v| -v));
        pose
    }

    /// A camera-frame direction in the part frame.
    pub(crate) fn direction_to_part(&self, v: Vector) -> Vector {
        [0, 1, 2].map(|axis| (0..3).map(|k| self.rotation[k][axis] * v[k]).sum())
    }

    /// A camera-frame point in the part frame.
    pub(crate) fn point_to_part(&self, v: Vector) -> Vector {
        crate::vector::along(self.direction_to_part(v), self.eye, 1.0)
    }

    /// A part-frame point in the camera frame.
    pub(crate) fn point_to_camera(&self, v: Vector) -> Vector {
        let from_eye = crate::vector::minus(v, self.eye);
        self.rotation.map(|row| crate::vector::dot(row, from_eye))
    }

    /// The camera's centre in the part frame, mm.
    pub(crate) fn eye(&self) -> Vector {
        self.eye
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_returns_from_the_part_frame() {
        let pose = Pose::jittered(&mut Draws::new(5, 1));
        let point = [12.0, -7.0, 380.0];
        let back = pose.point_to_camera(pose.point_to_part(point));
        assert!((0..3).all(|k| (back[k] - point[k]).abs() < 1e-9), "{back:?}");
    }

    #[test]
    fn at_rest_the_parts_z_points_at_the_camera() {
        let pose = Pose::new(0.0, 0.0, 0.0, [0.0, 0.0, DISTANCE]);
        assert_eq!(pose.point_to_camera([1.0, 2.0, 3.0]), [1.0, -2.0, DISTANCE - 3.0]);
    }
}
