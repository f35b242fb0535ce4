//! Voxel down-sampling: all points in one cube of a lattice become their centroid.

/// A lattice that a cloud cannot be sorted into.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum VoxelError {
    /// The numbers of the cubes would not fit.
    #[error("the cloud is {extent:.3e} m across, more than 2^32 cubes of {side:.3e} m: make `voxel` larger")]
    TooFine {
        /// Greatest side of the cloud's bounding box, metres.
        extent: f64,
        /// Side of a cube, metres.
        side: f64,
    },
    /// More points than can be numbered.
    #[error("{0} points are more than a cloud may have")]
    TooMany(usize),
}

/// The centroids of the points in each cube of side `side` (metres, positive), as Open3D's `voxel_down_sample` makes them: the
/// lattice begins half a cube below the cloud's least coordinates.
///
/// `points` are finite. The centroids are ordered by their cubes, rows of x within rows of y within z, whatever the order of the
/// points; sums are taken in the order of the points. Open3D's order is that of a hash table.
///
/// # Errors
/// Where a side of the cloud holds more than 2^32 cubes, or there are as many points.
pub(crate) fn down_sample(points: &[[f32; 3]], side: f64) -> Result<Vec<[f32; 3]>, VoxelError> {
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for point in points {
        for c in 0..3 {
            low[c] = low[c].min(f64::from(point[c]));
            high[c] = high[c].max(f64::from(point[c]));
        }
    }
    let origin = low.map(|v| v - 0.5 * side);
    let extent = (0..3).map(|c| high[c] - low[c]).fold(0.0, f64::max);
    // Written so that a quotient that is not a number is refused, too.
    let numbered = points.is_empty() || extent / side + 1.0 < f64::from(u32::MAX);
    if !numbered {
        return Err(VoxelError::TooFine { extent, side });
    }
    if u32::try_from(points.len()).is_err() {
        return Err(VoxelError::TooMany(points.len()));
    }
    // The cube above the point's number, so that integers order as (z, y, x, number).
    let mut places: Vec<u128> = (0u32..)
        .zip(points)
        .map(|(number, point)| {
            let [x, y, z] = std::array::from_fn(|c| {
                // At least half a side above the origin: the conversion rounds down.
                ((f64::from(point[c]) - origin[c]) / side) as u32
            });
            u128::from(z) << 96 | u128::from(y) << 64 | u128::from(x) << 32 | u128::from(number)
        })
        .collect();
    places.sort_unstable();
    let centroids = places.chunk_by(|a, b| a >> 32 == b >> 32).map(|cube| {
        let mut sum = [0.0; 3];
        for &place in cube {
            for (sum, v) in sum.iter_mut().zip(points[place as u32 as usize]) {
                *sum += f64::from(v);
            }
        }
        sum.map(|v| (v / cube.len() as f64) as f32)
    });
    Ok(centroids.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{uniform, wavy_cloud};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// By the definition: a map from cube to sum and count.
    fn naive(points: &[[f32; 3]], side: f64) -> Vec<[f32; 3]> {
        let low: [f64; 3] = std::array::from_fn(|c| {
            points.iter().map(|p| f64::from(p[c])).fold(f64::INFINITY, f64::min) - side / 2.0
        });
        let mut cubes: BTreeMap<[i64; 3], ([f64; 3], usize)> = BTreeMap::new();
        for p in points {
            let cube = [2, 1, 0].map(|c| ((f64::from(p[c]) - low[c]) / side).floor() as i64);
            let (sum, count) = cubes.entry(cube).or_default();
            *count += 1;
            (0..3).for_each(|c| sum[c] += f64::from(p[c]));
        }
        cubes.values().map(|(sum, count)| sum.map(|s| (s / *count as f64) as f32)).collect()
    }

    proptest! {
        #[test]
        fn each_cube_holds_the_mean_of_its_points(
            n in 0..400usize, seed: u64, side in 1e-3..2.0f64, flat in 0.0..1.0f64, offset in -50.0..50.0f64,
        ) {
            let mut next = uniform(seed);
            let points: Vec<[f32; 3]> = (0..n)
                .map(|_| [1.0, 1.0, flat].map(|s| (offset + s * next()) as f32))
                .collect();
            prop_assert_eq!(down_sample(&points, side).unwrap(), naive(&points, side));
        }
    }

    #[test]
    fn a_cloud_in_another_order_has_the_same_cubes() {
        let points = wavy_cloud(3000, 8);
        let mut reversed = points.clone();
        reversed.reverse();
        let (a, b) = (down_sample(&points, 0.004).unwrap(), down_sample(&reversed, 0.004).unwrap());
        assert!(a.len() > 300 && a.len() < 1500, "{}", a.len());
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(&b).all(|(a, b)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)));
    }

    #[test]
    fn cubes_begin_half_a_side_below_the_least_coordinates() {
        let line = [0.0f32, 0.4, 0.6, 1.4, 1.6].map(|x| [x, 0.0, 0.0]);
        let found = down_sample(&line, 1.0).unwrap();
        assert_eq!(found, [[0.2, 0.0, 0.0], [1.0, 0.0, 0.0], [1.6, 0.0, 0.0]]);
    }

    #[test]
    fn cubes_too_small_to_number_are_refused() {
        let far = [[0.0; 3], [1e15, 0.0, 0.0]];
        assert!(matches!(down_sample(&far, 1e-3), Err(VoxelError::TooFine { .. })));
        assert!(down_sample(&[[0.0; 3], [f32::MAX, 0.0, -f32::MAX]], 1e-9).is_err());
        assert_eq!(down_sample(&[], 1e-3).unwrap(), Vec::<[f32; 3]>::new());
        assert_eq!(down_sample(&[[1.0; 3]; 5], 1e-3).unwrap(), [[1.0; 3]]);
    }
}
