//! Scores of clouds: back on the sensor's points, and gathered to regions of points.

use crate::error::{Error, Result};
use crate::value::Cloud;
use kiddo::{ImmutableKdTree, SquaredEuclidean};
use ndarray::Array2;
use rayon::prelude::*;
use std::num::NonZeroUsize;

/// Scored points that a point's score is made of.
const NEAREST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// Points of one region are nearer to each other than so many times their usual distance.
const LINK: f32 = 3.0;

/// The points of a sensor with their scores.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredCloud {
    /// `[N, 3]`, metres: the sensor's points.
    pub positions: Array2<f32>,
    /// One a point, finite; the floor where none could be given.
    pub scores: Vec<f32>,
    /// Which points the sensor measured.
    pub valid: Vec<bool>,
}

/// The scores of a step's cloud on the points of its sensor: the mean of the three nearest scored points, weighted by the inverse of
/// their squared distances. What the sensor did not measure gets `floor`.
///
/// # Errors
/// [`Error::Request`] where no scored point is valid, or a position is not finite.
pub(crate) fn on_points(scores: &Cloud, sensor: &Cloud, floor: f32) -> Result<ScoredCloud> {
    let ok = |cloud: &Cloud, i: usize| cloud.valid.as_ref().is_none_or(|v| v[i]);
    let position = |cloud: &Cloud, i: usize| [0, 1, 2].map(|c| cloud.positions[(i, c)]);
    let known: Vec<usize> = (0..scores.positions.nrows()).filter(|&i| ok(scores, i)).collect();
    let places: Vec<[f32; 3]> = known.iter().map(|&i| position(scores, i)).collect();
    if places.is_empty() {
        return Err(Error::Request("no point of the cloud was scored".into()));
    }
    let tree = tree(&places)?;
    let n = sensor.positions.nrows();
    let valid: Vec<bool> =
        (0..n).map(|i| ok(sensor, i) && position(sensor, i).iter().all(|v| v.is_finite())).collect();
    let score = |i: usize| {
        if !valid[i] {
            return floor;
        }
        let found = tree.query(&position(sensor, i)).nearest_n::<SquaredEuclidean<f32>>(NEAREST).execute();
        let value = |item: u32| f64::from(scores.values[(known[item as usize], 0)]);
        if let Some(same) = found.iter().find(|f| f.distance <= 0.0) {
            return value(same.item) as f32;
        }
        let weights = || found.iter().map(|f| (1.0 / f64::from(f.distance).max(1e-30), value(f.item)));
        let (sum, total) = weights().fold((0.0, 0.0), |(s, t), (w, v)| (s + w * v, t + w));
        (sum / total) as f32
    };
    let scores = (0..n).into_par_iter().map(score).collect();
    Ok(ScoredCloud { positions: sensor.positions.clone(), scores, valid })
}

fn tree(points: &[[f32; 3]]) -> Result<ImmutableKdTree<f32, 3>> {
    ImmutableKdTree::new_from_slice(points)
        .map_err(|e| Error::Request(format!("the k-d tree of the points could not be built: {e:?}")))
}

/// A region of points above a threshold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PointRegion {
    /// Its points.
    pub(crate) points: Vec<usize>,
    /// Of the surface, m^2: its points times the area that each stands for.
    pub(crate) area: f64,
}

/// The regions of points above `threshold`: points nearer to each other than three times the median distance of neighbours hang
/// together. In order of their first points.
///
/// # Errors
/// As [`on_points`].
pub(crate) fn regions(cloud: &ScoredCloud, threshold: f64) -> Result<Vec<PointRegion>> {
    let position = |i: usize| [0, 1, 2].map(|c| cloud.positions[(i, c)]);
    let above: Vec<usize> = (0..cloud.scores.len())
        .filter(|&i| cloud.valid[i] && f64::from(cloud.scores[i]) > threshold)
        .collect();
    if above.is_empty() {
        return Ok(Vec::new());
    }
    let spacing = spacing(cloud)?;
    let places: Vec<[f32; 3]> = above.iter().map(|&i| position(i)).collect();
    let tree = tree(&places)?;
    let mut region = vec![usize::MAX; above.len()];
    let mut found: Vec<PointRegion> = Vec::new();
    for start in 0..above.len() {
        if region[start] != usize::MAX {
            continue;
        }
        let name = found.len();
        region[start] = name;
        let (mut open, mut points) = (vec![start], Vec::new());
        while let Some(at) = open.pop() {
            points.push(above[at]);
            let reach = (LINK * spacing).powi(2);
            for near in tree.query(&places[at]).within::<SquaredEuclidean<f32>>(reach).unsorted().execute() {
                let near = near.item as usize;
                if region[near] == usize::MAX {
                    region[near] = name;
                    open.push(near);
                }
            }
        }
        points.sort_unstable();
        let area = points.len() as f64 * f64::from(spacing).powi(2);
        found.push(PointRegion { points, area });
    }
    Ok(found)
}

/// The median distance of a point to its nearest other one, of at most 4096 points, metres.
fn spacing(cloud: &ScoredCloud) -> Result<f32> {
    let valid: Vec<[f32; 3]> = (0..cloud.scores.len())
        .filter(|&i| cloud.valid[i])
        .map(|i| [0, 1, 2].map(|c| cloud.positions[(i, c)]))
        .collect();
    let tree = tree(&valid)?;
    let two = NonZeroUsize::MIN.saturating_add(1);
    let step = valid.len().div_ceil(4096).max(1);
    let nearest = |p: &[f32; 3]| {
        let found = tree.query(p).nearest_n::<SquaredEuclidean<f32>>(two).execute();
        found.iter().map(|f| f.distance).fold(0.0, f32::max).sqrt()
    };
    let mut distances: Vec<f32> = valid.iter().step_by(step).map(nearest).collect();
    distances.sort_unstable_by(f32::total_cmp);
    Ok(distances.get(distances.len() / 2).copied().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(positions: Array2<f32>, values: Array2<f32>) -> Cloud {
        Cloud { positions, values, valid: None }
    }

    /// Points of a square lattice of 1 mm.
    fn lattice(n: usize) -> Array2<f32> {
        Array2::from_shape_fn((n * n, 3), |(i, c)| [(i % n) as f32 * 1e-3, (i / n) as f32 * 1e-3, 0.3][c])
    }

    #[test]
    fn scored_points_keep_their_scores_and_others_take_those_of_their_neighbours() {
        let scored = cloud(lattice(10), Array2::from_shape_fn((100, 1), |(i, _)| (i % 10) as f32));
        let mut positions = lattice(10);
        positions[(11, 0)] += 5e-4;
        let sensor = Cloud {
            valid: Some((0..100).map(|i| i != 7).collect()),
            ..cloud(positions, Array2::zeros((100, 0)))
        };
        let found = on_points(&scored, &sensor, -9.0).unwrap();
        assert_eq!((found.scores[3], found.scores[7], found.scores[99]), (3.0, -9.0, 9.0));
        // Between columns 1 and 2.
        assert!(found.scores[11] > 1.0 && found.scores[11] < 2.0, "{}", found.scores[11]);
        let none = Cloud { valid: Some(vec![false; 100]), ..scored };
        assert!(on_points(&none, &sensor, 0.0).is_err());
    }

    #[test]
    fn points_above_the_threshold_hang_together_where_they_are_near() {
        let scores =
            (0..400).map(|i| if matches!(i % 20, 2..5 | 12..14) && i / 20 < 6 { 2.0 } else { 0.0 }).collect();
        let cloud = ScoredCloud { positions: lattice(20), scores, valid: vec![true; 400] };
        let found = regions(&cloud, 1.0).unwrap();
        assert_eq!(found.iter().map(|r| r.points.len()).collect::<Vec<_>>(), [18, 12]);
        assert!((found[0].area - 18e-6).abs() < 1e-9, "{}", found[0].area);
        assert!(regions(&cloud, 5.0).unwrap().is_empty());
    }
}
