//! Calibration files: MVTec 3D-AD's (HALCON's area-scan camera with the division model) and Open3D's pinhole intrinsics.

use super::{Camera, Lens};
use crate::decode::Encoded;
use crate::{DataError, Limits};
use serde::Deserialize;
use std::path::Path;

/// The largest calibration file, bytes.
const LARGEST: u64 = 1 << 20;

#[derive(Deserialize)]
struct Halcon {
    camera_type: String,
    focus: f64,
    #[serde(default)]
    kappa: f64,
    sx: f64,
    sy: f64,
    cx: f64,
    cy: f64,
    image_width: usize,
    image_height: usize,
}

#[derive(Deserialize)]
struct Open3d {
    width: usize,
    height: usize,
    /// Column by column.
    intrinsic_matrix: [f64; 9],
}

impl Camera {
    /// Reads a calibration file: JSON as MVTec 3D-AD has it (`camera_type` area_scan_division, lengths in metres) or as Open3D
    /// writes a pinhole camera.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::TooLarge`], [`DataError::Malformed`], [`DataError::Unsupported`] for another kind of
    /// camera.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, DataError> {
        let limits = Limits { max_file_bytes: limits.max_file_bytes.min(LARGEST), ..*limits };
        Self::parse(path, &Encoded::read(path, &limits)?.bytes)
    }

    /// Reads the bytes of a calibration file; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Camera::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| DataError::malformed(path, e))?;
        let camera = if value.get("camera_type").is_some() {
            let halcon = Halcon::deserialize(value).map_err(|e| DataError::malformed(path, e))?;
            halcon.camera(path)?
        } else if value.get("intrinsic_matrix").is_some() {
            let open3d = Open3d::deserialize(value).map_err(|e| DataError::malformed(path, e))?;
            open3d.camera(path)?
        } else {
            let cause = "neither a HALCON camera (`camera_type`) nor Open3D's intrinsics (`intrinsic_matrix`); \
                         give the camera's fx, fy, cx and cy in the recipe";
            return Err(DataError::unsupported(path, cause));
        };
        camera.check().map_err(|e| DataError::malformed(path, e))?;
        Ok(camera)
    }
}

impl Halcon {
    fn camera(self, path: &Path) -> Result<Camera, DataError> {
        if self.camera_type != "area_scan_division" {
            let cause = format!("a camera of type `{}`; area_scan_division is read", self.camera_type);
            return Err(DataError::unsupported(path, cause));
        }
        Ok(Camera {
            fx: self.focus / self.sx,
            fy: self.focus / self.sy,
            cx: self.cx,
            cy: self.cy,
            lens: if self.kappa == 0.0 {
                Lens::Pinhole
            } else {
                Lens::Division(self.kappa * self.focus * self.focus)
            },
            size: Some((self.image_height, self.image_width)),
        })
    }
}

impl Open3d {
    fn camera(self, path: &Path) -> Result<Camera, DataError> {
        let [fx, zero, _, skew, fy, _, cx, cy, one] = self.intrinsic_matrix;
        if zero != 0.0 || skew != 0.0 || one != 1.0 {
            let cause = "its matrix is not [fx, 0, 0, 0, fy, 0, cx, cy, 1], column by column";
            return Err(DataError::unsupported(path, cause));
        }
        Ok(Camera { fx, fy, cx, cy, lens: Lens::Pinhole, size: Some((self.height, self.width)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Camera, DataError> {
        Camera::parse(Path::new("camera.json"), text.as_bytes())
    }

    const HALCON: &str = r#"{"camera_type": "area_scan_division", "focus": 0.01, "kappa": -2000.0, "sx": 4e-6, "sy": 5e-6,
        "cx": 54.0, "cy": 196.0, "image_width": 400, "image_height": 300}"#;

    #[test]
    fn a_halcon_camera_becomes_pixels() {
        let camera = parse(HALCON).unwrap();
        assert!((camera.fx - 2500.0).abs() < 1e-9 && (camera.fy - 2000.0).abs() < 1e-9);
        assert_eq!((camera.cx, camera.cy, camera.size), (54.0, 196.0, Some((300, 400))));
        assert!(matches!(camera.lens, Lens::Division(k) if (k + 0.2).abs() < 1e-12));
    }

    #[test]
    fn an_open3d_camera_is_read_column_by_column() {
        let text = r#"{"width": 640, "height": 480, "intrinsic_matrix": [525.0, 0, 0, 0, 520.0, 0, 319.5, 239.5, 1]}"#;
        let expected = Camera {
            fx: 525.0,
            fy: 520.0,
            cx: 319.5,
            cy: 239.5,
            lens: Lens::Pinhole,
            size: Some((480, 640)),
        };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn other_files_are_refused_with_what_is_read() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message(&HALCON.replace("division", "polynomial")).contains("`area_scan_polynomial`"));
        assert!(message(&HALCON.replace("4e-6", "0")).contains("must be"));
        for side in ["0", "18446744073709551615"] {
            assert!(message(&HALCON.replace("400", side)).contains("a side"), "{side}");
        }
        assert!(message(r#"{"fx": 1}"#).contains("intrinsic_matrix"));
        assert!(message(&HALCON.replace("\"focus\"", "\"f\"")).contains("focus"));
        assert!(message("{").contains("camera.json"));
    }
}
