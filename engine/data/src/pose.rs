//! Where a sensor stands.

use crate::DataError;
use nalgebra::{Matrix3, Vector3};
use serde::{Deserialize, Serialize};

/// From a sensor's frame into the station's: p -> R p + t, t in metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 12]", into = "[f64; 12]")]
pub struct Pose {
    rotation: Matrix3<f64>,
    translation: Vector3<f64>,
}

/// How far R^T R may be from the identity.
const ORTHONORMAL: f64 = 1e-3;

impl Pose {
    /// The sensor's frame is the station's.
    pub fn identity() -> Self {
        Self { rotation: Matrix3::identity(), translation: Vector3::zeros() }
    }

    /// The pose whose rows of `[R | t]` are these twelve numbers.
    ///
    /// # Errors
    /// [`DataError::BadArgument`] where R is no rotation (to 1e-3; it is then made one) or a number is not finite.
    pub fn from_rows(rows: [f64; 12]) -> Result<Self, DataError> {
        let bad = |cause: &str| Err(DataError::bad_argument("pose", cause));
        if rows.iter().any(|v| !v.is_finite() || v.abs() > 1e9) {
            return bad("its twelve numbers must be finite, and at most 1e9");
        }
        let rotation = Matrix3::from_fn(|i, j| rows[4 * i + j]);
        let translation = Vector3::from_fn(|i, _| rows[4 * i + 3]);
        let off = (rotation.transpose() * rotation - Matrix3::identity()).abs().max();
        if off > ORTHONORMAL || rotation.determinant() <= 0.0 {
            return bad("its first three columns are no rotation; give the rows of [R | t], t in metres");
        }
        // Calibrations are written with few digits: the nearest rotation keeps what follows rigid. An exact one stays as it is.
        if off < 1e-12 {
            return Ok(Self { rotation, translation });
        }
        let svd = rotation.svd(true, true);
        match (svd.u, svd.v_t) {
            (Some(u), Some(v_t)) => Ok(Self { rotation: u * v_t, translation }),
            _ => bad("its first three columns are no rotation; give the rows of [R | t], t in metres"),
        }
    }

    /// The rows of `[R | t]`.
    pub fn rows(&self) -> [f64; 12] {
        std::array::from_fn(
            |k| if k % 4 == 3 { self.translation[k / 4] } else { self.rotation[(k / 4, k % 4)] },
        )
    }

    /// From the frame of a sensor of pose `self` into that of a sensor of pose `other`.
    #[must_use]
    pub fn seen_from(&self, other: &Self) -> Self {
        let back = other.rotation.transpose();
        Self { rotation: back * self.rotation, translation: back * (self.translation - other.translation) }
    }

    /// The pose from the station's frame into the sensor's.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self::identity().seen_from(self)
    }

    /// A point, moved.
    pub fn apply(&self, p: [f64; 3]) -> [f64; 3] {
        (self.rotation * Vector3::from(p) + self.translation).into()
    }

    /// Whether nothing moves, to a micrometre and a microradian.
    pub fn is_identity(&self) -> bool {
        self.is_turn() && (self.rotation - Matrix3::identity()).abs().max() < 1e-6
    }

    /// Whether the two optical centres are one, to a micrometre.
    pub fn is_turn(&self) -> bool {
        self.translation.abs().max() < 1e-6
    }
}

impl TryFrom<[f64; 12]> for Pose {
    type Error = DataError;

    fn try_from(rows: [f64; 12]) -> Result<Self, DataError> {
        Self::from_rows(rows)
    }
}

impl From<Pose> for [f64; 12] {
    fn from(pose: Pose) -> Self {
        pose.rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Quarter turn about z, then a step along x.
    const QUARTER: [f64; 12] = [0.0, -1.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];

    #[test]
    fn a_pose_turns_and_then_moves() {
        let pose = Pose::from_rows(QUARTER).unwrap();
        assert_eq!(pose.apply([1.0, 2.0, 3.0]), [-1.5, 1.0, 3.0]);
        assert_eq!(pose.rows(), QUARTER);
    }

    #[test]
    fn what_is_no_rotation_is_refused() {
        let mirrored = [-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        for rows in [[0.0; 12], mirrored, QUARTER.map(|v| v * 1.1), QUARTER.map(|_| f64::NAN)] {
            assert!(Pose::from_rows(rows).is_err());
        }
    }

    proptest! {
        #[test]
        fn seeing_from_another_sensor_and_back_is_nothing(
            a in proptest::array::uniform3(-3.0..3.0f64), b in proptest::array::uniform3(-3.0..3.0f64),
            p in proptest::array::uniform3(-1.0..1.0f64),
        ) {
            let pose = |angles: [f64; 3]| {
                let r = nalgebra::Rotation3::from_euler_angles(angles[0], angles[1], angles[2]);
                Pose { rotation: *r.matrix(), translation: Vector3::from(angles) * 0.1 }
            };
            let (a, b) = (pose(a), pose(b));
            let there = a.seen_from(&b).apply(p);
            let back = b.seen_from(&a).apply(there);
            prop_assert!(p.iter().zip(back).all(|(p, q)| (p - q).abs() < 1e-12));
            prop_assert!(a.seen_from(&a).is_identity() && !a.seen_from(&b).is_turn());
            // Few digits are enough.
            let rough = Pose::from_rows(a.rows().map(|v| (v * 1e4).round() / 1e4)).unwrap();
            prop_assert!(rough.apply(p).iter().zip(a.apply(p)).all(|(p, q)| (p - q).abs() < 1e-3));
        }
    }
}
