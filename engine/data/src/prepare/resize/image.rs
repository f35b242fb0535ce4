//! Antialiased bicubic resizing (Catmull-Rom, a = -0.5, stretched when shrinking), as Pillow's BICUBIC.
//!
//! Bytes agree with it to a level or two. Newer releases of Pillow resize columns first for some pairs of sizes;
//! there, next to black and white edges, they differ by more.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{Array3, ArrayView3};

use super::check_sizes;
use crate::DataError;

/// Resizes `[H, W, C]` with C 1 or 3 to `size` = `(rows, columns)`. A size equal to the image's copies it.
///
/// # Errors
/// [`DataError::BadArgument`] for another C and for sides out of range.
pub fn image(pixels: &Array3<u8>, size: (usize, usize)) -> Result<Array3<u8>, DataError> {
    let (rows, columns, channels) = pixels.dim();
    check_sizes((rows, columns), size)?;
    let convolve = match channels {
        1 => convolve::<U8>,
        3 => convolve::<U8x3>,
        _ => {
            return Err(DataError::bad_argument(
                "resize",
                format!("{channels} channels; an image has 1 or 3"),
            ));
        }
    };
    if (rows, columns) == size {
        return Ok(pixels.clone());
    }
    let interleaved = pixels.as_standard_layout();
    let bytes = interleaved.as_slice().unwrap_or_default();
    // Rows first, as Pillow does: values are clipped between the passes, so that their order shows at edges.
    let mut across = vec![0; rows * size.1 * channels];
    convolve(bytes, (rows, columns), &mut across, (rows, size.1), FilterType::CatmullRom)?;
    let mut resized = vec![0; size.0 * size.1 * channels];
    convolve(&across, (rows, size.1), &mut resized, size, FilterType::CatmullRom)?;
    shaped((size.0, size.1, channels), resized)
}

/// Resizes each plane of `[C, H, W]` to `size` = `(rows, columns)`, by the same filter in floats. Values may
/// overshoot their range by the filter's negative lobes.
///
/// # Errors
/// [`DataError::NotFinite`] for a NaN or an infinity (it would spread), [`DataError::BadArgument`] for sides out
/// of range.
pub fn planes(values: ArrayView3<'_, f32>, size: (usize, usize)) -> Result<Array3<f32>, DataError> {
    let (channels, rows, columns) = values.dim();
    check_sizes((rows, columns), size)?;
    if let Some(((_, row, column), _)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(DataError::NotFinite { what: "resize".into(), row, column });
    }
    let planes = values.as_standard_layout();
    let planes = planes.as_slice().unwrap_or_default();
    let resized = filtered(planes, (rows, columns), size, FilterType::CatmullRom)?;
    shaped((channels, size.0, size.1), resized)
}

/// Filters consecutive planes of size `from`, whose values must be finite.
pub(super) fn filtered(
    planes: &[f32],
    from: (usize, usize),
    to: (usize, usize),
    filter: FilterType,
) -> Result<Vec<f32>, DataError> {
    if from == to {
        return Ok(planes.to_vec());
    }
    let (old, new) = (from.0 * from.1, to.0 * to.1);
    let mut resized = vec![0.0f32; planes.len() / old * new];
    for (plane, target) in planes.chunks_exact(old).zip(resized.chunks_exact_mut(new)) {
        let (plane, target) = (bytemuck::cast_slice(plane), bytemuck::cast_slice_mut(target));
        convolve::<F32>(plane, from, target, to, filter)?;
    }
    Ok(resized)
}

/// Each kind of pixel is resized by code of its own; asking for it by a value would build that of all kinds.
fn convolve<P: PixelTrait>(
    source: &[u8],
    from: (usize, usize),
    target: &mut [u8],
    to: (usize, usize),
    filter: FilterType,
) -> Result<(), DataError> {
    let failed = |cause: &dyn ToString| DataError::bad_argument("resize", cause.to_string());
    // Sides are at most MAX_SIDE.
    let source =
        TypedImageRef::<P>::from_buffer(from.1 as u32, from.0 as u32, source).map_err(|e| failed(&e))?;
    let mut target =
        TypedImage::<P>::from_buffer(to.1 as u32, to.0 as u32, target).map_err(|e| failed(&e))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|e| failed(&e))
}

pub(super) fn shaped<T>(shape: (usize, usize, usize), values: Vec<T>) -> Result<Array3<T>, DataError> {
    Array3::from_shape_vec(shape, values).map_err(|e| DataError::bad_argument("resize", e.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One axis, straight from the definition, in f64: `(source index, weight)` of every target cell.
    fn weights(old: usize, new: usize) -> Vec<Vec<(usize, f64)>> {
        let scale = old as f64 / new as f64;
        let stretch = scale.max(1.0);
        let kernel = |x: f64| match x.abs() {
            x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        };
        let cell = |j: usize| {
            let centre = (j as f64 + 0.5) * scale - 0.5;
            let raw: Vec<_> = (0..old).map(|k| (k, kernel((k as f64 - centre) / stretch))).collect();
            let sum: f64 = raw.iter().map(|(_, w)| w).sum();
            raw.into_iter().map(|(k, w)| (k, w / sum)).collect()
        };
        (0..new).map(cell).collect()
    }

    fn naive(values: &Array3<f32>, size: (usize, usize)) -> Array3<f64> {
        let (channels, rows, columns) = values.dim();
        let (down, across) = (weights(rows, size.0), weights(columns, size.1));
        Array3::from_shape_fn((channels, size.0, size.1), |(c, i, j)| {
            let row =
                |k: usize| across[j].iter().map(|(l, w)| w * f64::from(values[(c, k, *l)])).sum::<f64>();
            down[i].iter().map(|(k, w)| w * row(*k)).sum()
        })
    }

    proptest! {
        #[test]
        fn both_agree_with_the_definition(
            (rows, columns) in (1usize..24, 1usize..24), size in (1usize..24, 1usize..24),
            seed in proptest::collection::vec(any::<u8>(), 24 * 24 * 3),
        ) {
            // Far enough from 0 and 255 that nothing is clipped between the two passes.
            let grey = |v: u8| 96 + v % 64;
            let pixels = Array3::from_shape_fn((rows, columns, 3), |(i, j, c)| grey(seed[(i * 24 + j) * 3 + c]));
            let values = pixels.mapv(f32::from).permuted_axes([2, 0, 1]).as_standard_layout().to_owned();
            let expected = naive(&values, size);
            for (a, e) in planes(values.view(), size).unwrap().iter().zip(&expected) {
                prop_assert!((f64::from(*a) - e).abs() < 1e-3, "{} {}", a, e);
            }
            let resized = image(&pixels, size).unwrap();
            for ((i, j, c), &a) in resized.indexed_iter() {
                // Rounded after each of the two passes.
                prop_assert!((f64::from(a) - expected[(c, i, j)]).abs() <= 1.5);
            }
        }
    }

    #[test]
    fn a_constant_stays_constant_at_any_size() {
        let pixels = Array3::from_elem((13, 7, 1), 77);
        for size in [(1, 1), (5, 30), (26, 14), (13, 7)] {
            assert_eq!(image(&pixels, size).unwrap(), Array3::from_elem((size.0, size.1, 1), 77));
        }
    }

    #[test]
    fn sizes_and_channels_out_of_range_are_refused() {
        let pixels = Array3::zeros((4, 4, 3));
        assert!(matches!(image(&pixels, (0, 4)), Err(DataError::BadArgument { .. })));
        assert!(matches!(
            image(&pixels, (4, super::super::MAX_SIDE + 1)),
            Err(DataError::BadArgument { .. })
        ));
        assert!(matches!(image(&Array3::zeros((4, 4, 2)), (2, 2)), Err(DataError::BadArgument { .. })));
        assert!(matches!(image(&Array3::zeros((0, 4, 3)), (2, 2)), Err(DataError::BadArgument { .. })));
    }

    #[test]
    fn a_nan_is_refused_with_its_place() {
        let mut values = Array3::zeros((2, 3, 3));
        values[(1, 2, 0)] = f32::NAN;
        let error = planes(values.view(), (2, 2)).unwrap_err();
        assert!(matches!(error, DataError::NotFinite { row: 2, column: 0, .. }), "{error}");
    }
}
