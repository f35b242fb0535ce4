//! Organised points and depth images. Here, and only here, it is decided which cells hold a measurement.

use ndarray::{Array3, Axis, Zip};

use super::cloud::Raw;
use super::format::Format;
use super::{Encoded, Stored, npy, pcd, ply, png, tiff};
use crate::{DataError, Frame, Grid, Limits, Mask};

/// Reads organised points to a native grid `[3, H, W]` in metres (without `stored.offset`): a TIFF of three floats a
/// pixel, an NPY array `[H, W, 3]`, or a PLY or PCD cloud that says how many rows and columns it has.
///
/// A point is invalid, and given as (0, 0, 0), where it is exactly (0, 0, 0), any coordinate is NaN or infinite,
/// or its z is stored as `stored.invalid`. A grid without any valid point is returned as such: its caller knows
/// whether that is an error.
///
/// # Errors
/// [`DataError::TooLarge`], [`DataError::UnknownFormat`], [`DataError::Malformed`], and [`DataError::Unsupported`] for
/// another sample type or count, and for a cloud without rows and columns.
pub fn xyz(file: &Encoded, stored: &Stored, limits: &Limits) -> Result<Grid, DataError> {
    let planes = match Format::of(&file.bytes) {
        Some(Format::Tiff) => tiff::measurements(file, limits, 3, tiff::Numbers::Floats)?,
        Some(Format::Npy) => npy::organised(file, limits)?,
        Some(Format::Ply) => of_cloud(file, limits, &ply::read(file, limits)?)?,
        Some(Format::Pcd) => of_cloud(file, limits, &pcd::read(file, limits)?)?,
        _ => {
            let expected = "a TIFF of three floats a pixel, an NPY array, or an organised PLY or PCD";
            return Err(DataError::UnknownFormat { path: file.path.to_path_buf(), expected });
        }
    };
    Ok(organised(planes, &Stored { offset: 0.0, ..*stored }, |v| v != 0.0))
}

fn of_cloud(file: &Encoded, limits: &Limits, cloud: &Raw) -> Result<Array3<f32>, DataError> {
    if let Some((rows, columns)) = cloud.size {
        limits.check_size(file.path, columns as u32, rows as u32)?;
    }
    cloud.planes().ok_or_else(|| {
        let cause = "the cloud does not say how many rows and columns it has; export it organised, or read it as points";
        DataError::unsupported(file.path, cause)
    })
}

/// Reads a depth image to a native grid `[1, H, W]` in metres: a single-channel TIFF or NPY array (floats, 16- or
/// 32-bit unsigned integers) or a 16-bit grey PNG. Invalid, and given as 0, where it is stored as 0 or as
/// `stored.invalid`, and where it is not a finite number above 0.
///
/// # Errors
/// As [`xyz`].
pub fn depth(file: &Encoded, stored: &Stored, limits: &Limits) -> Result<Grid, DataError> {
    let values = match Format::of(&file.bytes) {
        Some(Format::Tiff) => tiff::measurements(file, limits, 1, tiff::Numbers::FloatsOrDepth)?,
        Some(Format::Npy) => npy::depth(file, limits)?,
        Some(Format::Png) => png_depth(file, limits)?,
        _ => {
            let expected = "a depth image: a TIFF, a 16-bit grey PNG or an NPY array";
            return Err(DataError::UnknownFormat { path: file.path.to_path_buf(), expected });
        }
    };
    Ok(organised(values, stored, |v| v > 0.0))
}

fn png_depth(file: &Encoded, limits: &Limits) -> Result<Array3<f32>, DataError> {
    let ::image::DynamicImage::ImageLuma16(pixels) = png::decode(file, limits)? else {
        let cause =
            "a depth image needs 16 bits: 8-bit or coloured PNGs are pictures of a depth; store the values";
        return Err(DataError::unsupported(file.path, cause));
    };
    let (columns, rows) = pixels.dimensions();
    let values = pixels.into_raw().into_iter().map(f32::from).collect();
    Array3::from_shape_vec((1, rows as usize, columns as usize), values)
        .map_err(|e| DataError::malformed(file.path, e))
}

/// Scales to metres and finds the validity: every channel finite, one at least that `measures` as it is stored and
/// in metres, the last one (z, or the depth) not stored as the invalid value.
fn organised(mut values: Array3<f32>, stored: &Stored, measures: impl Fn(f32) -> bool) -> Grid {
    let (channels, rows, columns) = values.dim();
    let mut valid = Mask::from_elem((rows, columns), false);
    for mut plane in values.outer_iter_mut() {
        Zip::from(&mut valid).and(&mut plane).for_each(|valid, v| {
            let metres = (f64::from(*v) * stored.metres + stored.offset) as f32;
            *valid |= *v != 0.0 && measures(metres);
        });
    }
    Zip::from(&mut valid)
        .and(&values.index_axis(Axis(0), channels - 1))
        .for_each(|valid, &v| *valid &= !stored.is_invalid(v));
    if stored.metres != 1.0 || stored.offset != 0.0 {
        values.mapv_inplace(|v| (f64::from(v) * stored.metres + stored.offset) as f32);
    }
    for plane in values.outer_iter() {
        Zip::from(&mut valid).and(&plane).for_each(|valid, v| *valid &= v.is_finite());
    }
    for mut plane in values.outer_iter_mut() {
        Zip::from(&mut plane).and(&valid).for_each(|v, &valid| *v = if valid { *v } else { 0.0 });
    }
    let all = valid.iter().all(|&v| v);
    Grid { values, valid: (!all).then_some(valid), frame: Frame::NATIVE }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::shared_scans;

    /// A minimal little-endian TIFF: uncompressed, one row a strip, `bits` a sample, floats.
    fn float_tiff(size: (u32, u32), channels: u32, planar: bool, bits: u32, samples: &[u8]) -> Vec<u8> {
        let (rows, columns) = size;
        let strips = if planar { rows * channels } else { rows };
        let strip_bytes = columns * bits / 8 * if planar { 1 } else { channels };
        let mut out = b"II*\0".to_vec();
        let data = 8u32;
        let tables = data + samples.len() as u32;
        let (offsets, counts) = (tables, tables + 4 * strips);
        let (depth, format) = (counts + 4 * strips, counts + 4 * strips + 2 * channels);
        let directory = (format + 2 * channels).next_multiple_of(2);
        out.extend(directory.to_le_bytes());
        out.extend(samples);
        (0..strips).for_each(|s| out.extend(data.wrapping_add(s.wrapping_mul(strip_bytes)).to_le_bytes()));
        (0..strips).for_each(|_| out.extend(strip_bytes.to_le_bytes()));
        (0..channels).for_each(|_| out.extend((bits as u16).to_le_bytes()));
        (0..channels).for_each(|_| out.extend(3u16.to_le_bytes()));
        out.resize(directory as usize, 0);
        let entries: [(u16, u16, u32, u32); 10] = [
            (256, 4, 1, columns),
            (257, 4, 1, rows),
            (258, 3, channels, if channels > 2 { depth } else { bits }),
            (259, 3, 1, 1),
            (262, 3, 1, if channels == 3 { 2 } else { 1 }),
            (273, 4, strips, if strips > 1 { offsets } else { data }),
            (277, 3, 1, channels),
            (278, 4, 1, 1),
            (279, 4, strips, if strips > 1 { counts } else { strip_bytes }),
            (284, 3, 1, if planar { 2 } else { 1 }),
        ];
        out.extend((entries.len() as u16 + 1).to_le_bytes());
        for (tag, kind, count, value) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend(count.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out.extend(339u16.to_le_bytes());
        out.extend(3u16.to_le_bytes());
        out.extend(channels.to_le_bytes());
        out.extend(if channels > 2 { format } else { 3 }.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out
    }

    fn read(bytes: &[u8], metres: f64) -> Result<Grid, DataError> {
        let stored = Stored { metres, ..Stored::default() };
        xyz(&Encoded::new(Path::new("xyz.tiff"), bytes), &stored, &Limits::default())
    }

    fn read_depth(bytes: &[u8], stored: Stored) -> Result<Grid, DataError> {
        depth(&Encoded::new(Path::new("depth"), bytes), &stored, &Limits::default())
    }

    fn le(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn missing_and_broken_points_are_invalid_zeros_and_partial_zeros_are_points() {
        let points = [[0.0, 0.0, 0.0], [f32::NAN, 1.0, 2.0], [1.0, f32::INFINITY, 2.0], [0.0, 0.0, 5.0]];
        let grid = read(&float_tiff((2, 2), 3, false, 32, &le(points.as_flattened())), 1.0).unwrap();
        assert_eq!(grid.valid.unwrap().into_raw_vec_and_offset().0, [false, false, false, true]);
        assert_eq!(grid.values.iter().filter(|v| **v != 0.0).collect::<Vec<_>>(), [&5.0]);
    }

    #[test]
    fn a_grid_without_gaps_has_no_mask() {
        let grid = read(&float_tiff((1, 2), 3, false, 32, &le(&[1.0; 6])), 1.0).unwrap();
        assert_eq!(grid.valid, None);
    }

    #[test]
    fn units_become_metres_and_f64_is_read() {
        let bytes: Vec<u8> = [1500.0f64, -2.5, 640.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let grid = read(&float_tiff((1, 1), 3, false, 64, &bytes), 1e-3).unwrap();
        assert_eq!(grid.values.iter().copied().collect::<Vec<_>>(), [1.5, -0.0025, 0.64]);
    }

    #[test]
    fn other_sample_counts_are_refused_with_the_count() {
        let error = read(&float_tiff((1, 2), 1, false, 32, &le(&[1.0; 2])), 1.0).unwrap_err();
        assert!(error.to_string().contains("1 samples a pixel, this sensor kind needs 3"), "{error}");
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_before_memory_is_taken() {
        let bytes = float_tiff((60_000, 60_000), 3, false, 32, &[]);
        assert!(matches!(read(&bytes[..], 1.0), Err(DataError::TooLarge { found: 3_600_000_000, .. })));
    }

    #[test]
    fn depth_keeps_positive_finite_values() {
        let stored = [0.0, -1.0, f32::NAN, f32::INFINITY, 0.7];
        let grid = read_depth(&float_tiff((1, 5), 1, false, 32, &le(&stored)), Stored::default()).unwrap();
        assert_eq!(grid.values.iter().copied().collect::<Vec<_>>(), [0.0, 0.0, 0.0, 0.0, 0.7]);
        assert_eq!((0..5).filter(|&j| grid.is_valid(0, j)).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_depth_has_an_offset_and_an_invalid_value_and_a_stored_zero_is_none() {
        let stored = Stored { metres: 1e-3, offset: 0.5, invalid: Some(-9999.0) };
        let values = le(&[0.0, -9999.0, -100.0, -600.0, 250.0]);
        let grid = read_depth(&float_tiff((1, 5), 1, false, 32, &values), stored).unwrap();
        assert_eq!(grid.values.iter().copied().collect::<Vec<_>>(), [0.0, 0.0, 0.4, 0.0, 0.75]);
    }

    #[test]
    fn an_organised_point_is_invalid_where_its_z_is() {
        let stored = Stored { metres: 1e-3, offset: 7.0, invalid: Some(-9999.0) };
        let bytes = float_tiff((1, 2), 3, false, 32, &le(&[1.0, 2.0, -9999.0, -9999.0, 2.0, 1.0]));
        let grid = xyz(&Encoded::new(Path::new("xyz.tiff"), bytes), &stored, &Limits::default()).unwrap();
        assert_eq!(grid.values.iter().copied().collect::<Vec<_>>(), [0.0, -9.999, 0.0, 0.002, 0.0, 0.001]);
    }

    #[test]
    fn sixteen_bit_depth_images_are_read() {
        let pixels = ::image::ImageBuffer::<::image::Luma<u16>, _>::from_raw(2, 1, vec![0, 1234]).unwrap();
        let mut png = Cursor::new(Vec::new());
        pixels.write_to(&mut png, ::image::ImageFormat::Png).unwrap();
        let grid = read_depth(png.get_ref(), Stored { metres: 1e-3, ..Stored::default() }).unwrap();
        assert_eq!(grid.values.iter().copied().collect::<Vec<_>>(), [0.0, 1.234]);
    }

    #[test]
    fn files_as_the_camera_wrote_them_are_read() {
        let Some(data) = shared_scans::folder() else { return };
        for name in ["bent_000.tiff", "train_good_000.tiff"] {
            let path: PathBuf = data.join("mvtec3d/original_bytes").join(name);
            let bytes = fs::read(&path).unwrap();
            let grid = read(&bytes, 1.0).unwrap();
            assert_eq!(grid.values.dim(), (3, 400, 400));
            // The data starts at byte 8 and is uncompressed: compare it as it lies in the file.
            for ((c, i, j), &v) in grid.values.indexed_iter() {
                let at = 8 + 12 * (400 * i + j) + 4 * c;
                if grid.is_valid(i, j) {
                    assert_eq!(v.to_le_bytes(), bytes[at..at + 4]);
                } else {
                    assert_eq!(v, 0.0);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn interleaved_and_separate_planes_read_alike(
            rows in 1u32..6, columns in 1u32..6,
            seed in proptest::collection::vec(-10.0f32..10.0, 75),
        ) {
            let cells = (rows * columns) as usize;
            let planes = &seed[..3 * cells];
            let pixels: Vec<f32> = (0..3 * cells).map(|k| planes[k % 3 * cells + k / 3]).collect();
            let separate = read(&float_tiff((rows, columns), 3, true, 32, &le(planes)), 1.0).unwrap();
            let interleaved = read(&float_tiff((rows, columns), 3, false, 32, &le(&pixels)), 1.0).unwrap();
            prop_assert_eq!(&separate, &interleaved);
            prop_assert_eq!(separate.values.as_slice().unwrap(), planes);
        }
    }
}
