//! Clouds of coloured points with a score each: binary little-endian PLY.

use std::io::Write as _;
use std::path::Path;

use crate::{DataError, atomic};

/// A point as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vertex {
    /// x, y, z, metres.
    pub position: [f32; 3],
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// Higher = more anomalous.
    pub score: f32,
    /// Place of the defect that it belongs to, from 1; 0 = none.
    pub defect: u32,
}

/// Writes points as PLY, atomically: properties `x y z` (float, metres), `red green blue` (uchar), `score` (float) and `defect` (uint).
/// The folder must exist.
///
/// # Errors
/// [`DataError::BadArgument`] for a position or score that is not finite, [`DataError::Write`].
pub fn write_ply(path: &Path, points: &[Vertex]) -> Result<(), DataError> {
    let finite = |v: &Vertex| v.score.is_finite() && v.position.iter().all(|x| x.is_finite());
    if let Some(bad) = points.iter().position(|v| !finite(v)) {
        let cause = format!("point {bad} has a position or score that is not finite");
        return Err(DataError::bad_argument("write_ply", cause));
    }
    atomic::write(path, |out| {
        write!(
            out,
            "ply\nformat binary_little_endian 1.0\ncomment Assay: anomaly scores, metres\nelement vertex {}\n\
             property float x\nproperty float y\nproperty float z\nproperty uchar red\nproperty uchar green\n\
             property uchar blue\nproperty float score\nproperty uint defect\nend_header\n",
            points.len()
        )?;
        points.iter().try_for_each(|v| {
            v.position.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?;
            out.write_all(&v.colour)?;
            out.write_all(&v.score.to_le_bytes())?;
            out.write_all(&v.defect.to_le_bytes())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::decode::{self, Encoded, Stored};
    use ply_rs_bw::parser::Parser;
    use ply_rs_bw::ply::{DefaultElement, Property};

    fn vertex(i: u8) -> Vertex {
        let x = f32::from(i);
        Vertex { position: [x, 0.5, -x], colour: [i, 2, 3], score: x / 4.0, defect: u32::from(i % 2) }
    }

    #[test]
    fn what_is_written_is_read_by_other_programs_and_by_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ply");
        let points: Vec<Vertex> = (1..200).map(vertex).collect();
        write_ply(&path, &points).unwrap();
        let read =
            Parser::<DefaultElement>::new().read_ply(&mut std::fs::File::open(&path).unwrap()).unwrap();
        let last = &read.payload["vertex"][198];
        assert_eq!(last["z"], Property::Float(-199.0));
        assert_eq!((&last["red"], &last["score"]), (&Property::UChar(199), &Property::Float(49.75)));
        assert_eq!(last["defect"], Property::UInt(1));
        let limits = Limits::default();
        let cloud =
            decode::points(&Encoded::read(&path, &limits).unwrap(), &Stored::default(), &limits).unwrap();
        assert_eq!(cloud.positions.row(0).to_vec(), [1.0, 0.5, -1.0]);
        assert_eq!(cloud.len(), 199);
    }

    #[test]
    fn a_score_that_is_no_number_is_refused_and_no_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ply");
        let error = write_ply(&path, &[vertex(1), Vertex { score: f32::NAN, ..vertex(2) }]).unwrap_err();
        assert!(error.to_string().contains("point 1"), "{error}");
        assert!(!path.exists());
    }
}
