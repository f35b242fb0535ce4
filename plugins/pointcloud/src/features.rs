//! Normals and histograms of points, from one search for neighbours.

use crate::fpfh::{Histogram, WIDTH, fpfh};
use crate::neighbours::{Neighbours, Search, SearchError, spatial_order};
use crate::normals;
use crate::plane::Facing;
use assay_sdk::Parallel;

/// Which points make a normal and a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings {
    /// Nearest points that a normal is fitted to, the point itself counted.
    pub normals: usize,
    /// Nearest points that a histogram is made from, the point itself counted.
    pub histograms: usize,
    /// Strict upper bound of their distance in the unit of the points; infinite = none.
    pub radius: f32,
}

impl Surroundings {
    /// Neighbours to search for.
    pub(crate) fn most(&self) -> usize {
        self.normals.max(self.histograms)
    }
}

/// What points became, a row each.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Unit normals.
    pub normals: Vec<[f32; 3]>,
    /// Their point feature histograms, theta, alpha and phi of 11 bins each, each bin 0 to 200.
    pub histograms: Vec<Histogram>,
}

impl Features {
    /// The features of `points`, from the `given` normals or from normals that are turned to `facing`; one whose neighbours span
    /// no plane is the direction of `facing` itself.
    ///
    /// Points in random order are taken cell by cell of space, so that what a point needs has just been read; neighbours at the
    /// same distance count in the order in which the points are taken.
    ///
    /// # Errors
    /// A coordinate that is not finite; a search too large.
    ///
    /// # Panics
    /// Where the normals are those of another number of points.
    pub fn of(
        points: &[[f32; 3]],
        given: Option<&[[f32; 3]]>,
        from: Surroundings,
        facing: Facing,
        par: &dyn Parallel,
    ) -> Result<Self, SearchError> {
        let Some(order) = spatial_order(points, from.most()) else {
            return Self::in_order(points, given, from, facing, par);
        };
        let moved = |rows: &[[f32; 3]]| order.iter().map(|&i| rows[i as usize]).collect::<Vec<_>>();
        let given = given.map(moved);
        let found = Self::in_order(&moved(points), given.as_deref(), from, facing, par)?;
        let (mut normals, mut histograms) = (vec![[0.0; 3]; order.len()], vec![[0.0; WIDTH]; order.len()]);
        for (n, &i) in order.iter().enumerate() {
            (normals[i as usize], histograms[i as usize]) = (found.normals[n], found.histograms[n]);
        }
        Ok(Self { normals, histograms })
    }

    /// [`Features::of`] without changing the order.
    fn in_order(
        points: &[[f32; 3]],
        given: Option<&[[f32; 3]]>,
        from: Surroundings,
        facing: Facing,
        par: &dyn Parallel,
    ) -> Result<Self, SearchError> {
        let mut table = Neighbours::search(points, Search { k: from.most(), radius: from.radius }, par)?;
        let normals = match given {
            Some(given) => given.to_vec(),
            None => normals::of_cloud(points, &table, from.normals, facing, par)
                .into_iter()
                .zip(points)
                .map(|(normal, &point)| normal.unwrap_or_else(|| facing.at(point)))
                .collect(),
        };
        table.truncate(from.histograms);
        let histograms = fpfh(points, &normals, &table, par);
        Ok(Self { normals, histograms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Threads, wavy_cloud};
    use assay_sdk::Serial;

    const FROM: Surroundings = Surroundings { normals: 30, histograms: 60, radius: f32::INFINITY };

    #[test]
    fn the_order_of_the_work_changes_nothing() {
        let points = wavy_cloud(3000, 11);
        assert!(spatial_order(&points, FROM.most()).is_some_and(|order| !order.is_sorted()));
        let plain = Features::in_order(&points, None, FROM, Facing::Camera, &Serial).unwrap();
        assert_eq!(Features::of(&points, None, FROM, Facing::Camera, &Threads(3)).unwrap(), plain);
        let given: Vec<_> = plain.normals.iter().map(|n| n.map(|v| -v)).collect();
        let from_given = Features::of(&points, Some(&given), FROM, Facing::Camera, &Serial).unwrap();
        assert_eq!(
            from_given,
            Features::in_order(&points, Some(&given), FROM, Facing::Camera, &Serial).unwrap()
        );
        assert_eq!(from_given.normals, given);
    }

    #[test]
    fn a_point_that_is_not_finite_is_named_by_its_place() {
        let mut points = wavy_cloud(300, 1);
        points[200][1] = f32::NAN;
        let error = Features::of(&points, None, FROM, Facing::Camera, &Serial).unwrap_err();
        assert_eq!(error, SearchError::NotFinite(200));
    }
}
