//! Components of points by single linkage: two points nearer than the link distance belong together.
//!
//! Exact, in time nearly linear in the points: they are sorted into voxels whose diagonal is below the link
//! distance, so that a voxel is always one component, and only pairs of near voxels are compared.

use std::cmp::Reverse;

use crate::DataError;

/// Voxels an axis; three axes share a 64-bit key.
const AXIS_BITS: u32 = 21;
const AXIS_VOXELS: f64 = (1u64 << (AXIS_BITS - 1)) as f64;

/// How many voxels apart two points nearer than the link distance can be, an axis.
const NEAR: i64 = 2;

pub(super) struct Linkage<'a> {
    points: &'a [[f64; 3]],
    side: f64,
    /// Points, voxel by voxel.
    order: Vec<u32>,
    /// Each voxel's key, ascending.
    keys: Vec<u64>,
    /// Each voxel's first place in `order`, and the end.
    starts: Vec<usize>,
    /// Each voxel's component, as the number of one of its voxels.
    component: Vec<u32>,
}

impl<'a> Linkage<'a> {
    /// # Errors
    /// [`DataError::BadArgument`] when the points span too many link distances: then their unit is wrong.
    pub(super) fn of(points: &'a [[f64; 3]], link: f64) -> Result<Self, DataError> {
        // Below link / sqrt(3), for the diagonal to stay below link after rounding.
        let side = link * 0.577;
        let mut lowest = [f64::INFINITY; 3];
        for p in points {
            for axis in 0..3 {
                lowest[axis] = lowest[axis].min(p[axis]);
            }
        }
        let mut keyed = Vec::with_capacity(points.len());
        for (k, p) in (0u32..).zip(points) {
            let mut key = 0;
            for axis in 0..3 {
                let voxel = (p[axis] - lowest[axis]) / side;
                if voxel >= AXIS_VOXELS {
                    let cause =
                        format!("points lie more than {AXIS_VOXELS} x {side} m apart; check the unit");
                    return Err(DataError::bad_argument("background", cause));
                }
                // Away from the edge, so that a neighbour's key never borrows from the next axis.
                key = key << AXIS_BITS | (voxel as i64 + NEAR) as u64;
            }
            keyed.push((key, k));
        }
        keyed.sort_unstable();
        let (mut keys, mut starts) = (Vec::new(), Vec::new());
        for (place, &(key, _)) in keyed.iter().enumerate() {
            if keys.last() != Some(&key) {
                keys.push(key);
                starts.push(place);
            }
        }
        starts.push(points.len());
        let order = keyed.into_iter().map(|(_, k)| k).collect();
        let component = (0..keys.len() as u32).collect();
        let mut linkage = Self { points, side, order, keys, starts, component };
        linkage.link(link);
        Ok(linkage)
    }

    /// Joins near voxels. A column of neighbours along z has consecutive keys, which move on as the voxel does.
    fn link(&mut self, distance: f64) {
        for x in 0..=NEAR {
            for y in -NEAR..=NEAR {
                if x == 0 && y < 0 {
                    continue;
                }
                let shift = (x << (2 * AXIS_BITS)) + (y << AXIS_BITS);
                let mut first = 0;
                for voxel in 0..self.keys.len() {
                    let centre = self.keys[voxel].wrapping_add_signed(shift);
                    while self.keys.get(first).is_some_and(|&key| key < centre - NEAR as u64) {
                        first += 1;
                    }
                    let column = self.keys[first..].iter().take_while(|&&key| key <= centre + NEAR as u64);
                    for other in first..first + column.count() {
                        let (a, b) = (self.root(voxel), self.root(other));
                        if a != b && self.near(voxel, other, distance) {
                            let (low, high) = (a.min(b), a.max(b));
                            self.component[high] = low as u32;
                        }
                    }
                }
            }
        }
        for voxel in 0..self.keys.len() {
            self.component[voxel] = self.root(voxel) as u32;
        }
    }

    fn root(&mut self, mut voxel: usize) -> usize {
        while self.component[voxel] as usize != voxel {
            let parent = self.component[voxel] as usize;
            self.component[voxel] = self.component[parent];
            voxel = parent;
        }
        voxel
    }

    fn members(&self, voxel: usize) -> &[u32] {
        &self.order[self.starts[voxel]..self.starts[voxel + 1]]
    }

    /// Whether any two points of the voxels are nearer than `distance`.
    fn near(&self, a: usize, b: usize, distance: f64) -> bool {
        let limit = distance * distance;
        self.members(a).iter().any(|&i| {
            let p = self.points[i as usize];
            self.members(b).iter().any(|&j| {
                let q = self.points[j as usize];
                (0..3).map(|axis| (p[axis] - q[axis]).powi(2)).sum::<f64>() < limit
            })
        })
    }

    /// Whether the voxels' boxes allow two points to be nearer than `distance`.
    fn may_be_near(&self, a: usize, b: usize, distance: f64) -> bool {
        let axis = |key: u64, axis: u32| (key >> (axis * AXIS_BITS)) as i64 & ((1 << AXIS_BITS) - 1);
        let gap = |k| ((axis(self.keys[a], k) - axis(self.keys[b], k)).abs() - 1).max(0) as f64 * self.side;
        (0..3).map(|k| gap(k).powi(2)).sum::<f64>() < distance * distance
    }

    /// The points of the largest component (of equal ones, that of the first point), and of all others with at
    /// least `least` points of which one is nearer than `reach` to it.
    pub(super) fn largest_with_pieces(&self, least: usize, reach: f64) -> Vec<usize> {
        let mut sizes = vec![(0, u32::MAX); self.keys.len()];
        for (voxel, &component) in self.component.iter().enumerate() {
            let (count, first) = &mut sizes[component as usize];
            *count += self.members(voxel).len();
            *first = self.members(voxel).iter().fold(*first, |first, &k| first.min(k));
        }
        let of =
            |component: usize| (0..self.keys.len()).filter(move |&v| self.component[v] as usize == component);
        let Some(largest) = (0..sizes.len()).max_by_key(|&c| (sizes[c].0, Reverse(sizes[c].1))) else {
            return Vec::new();
        };
        let body: Vec<_> = of(largest).collect();
        let touches =
            |v: usize| body.iter().any(|&b| self.may_be_near(v, b, reach) && self.near(v, b, reach));
        let pieces = (0..sizes.len()).filter(|&c| c != largest && sizes[c].0 >= least.max(1));
        let mut kept: Vec<usize> = Vec::new();
        for piece in pieces.filter(|&c| of(c).any(touches)) {
            kept.extend(of(piece));
        }
        kept.extend(&body);
        kept.iter().flat_map(|&voxel| self.members(voxel)).map(|&k| k as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
    }

    /// The definition: flood from each point.
    fn naive(points: &[[f64; 3]], link: f64, least: usize, reach: f64) -> Vec<usize> {
        let mut component = vec![usize::MAX; points.len()];
        for start in 0..points.len() {
            let mut open = if component[start] == usize::MAX { vec![start] } else { Vec::new() };
            while let Some(k) = open.pop() {
                if component[k] == usize::MAX {
                    component[k] = start;
                    open.extend((0..points.len()).filter(|&l| distance(points[k], points[l]) < link));
                }
            }
        }
        let size = |c: usize| component.iter().filter(|&&d| d == c).count();
        let Some(largest) = (0..points.len()).max_by_key(|&c| (size(c), Reverse(c))) else {
            return Vec::new();
        };
        let reaches = |c: usize| {
            let of = |c: usize| (0..points.len()).filter(|&k| component[k] == c).collect::<Vec<_>>();
            of(c).iter().any(|&k| of(largest).iter().any(|&l| distance(points[k], points[l]) < reach))
        };
        (0..points.len())
            .filter(|&k| {
                let c = component[k];
                c == largest || (size(c) >= least && reaches(c))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn components_agree_with_their_definition(
            points in proptest::collection::vec(proptest::array::uniform3(0.0f64..6.0), 0..60),
            least in 1usize..6, reach in 1.0f64..3.0,
        ) {
            let mut kept = Linkage::of(&points, 1.0).unwrap().largest_with_pieces(least, reach);
            kept.sort_unstable();
            prop_assert_eq!(kept, naive(&points, 1.0, least, reach));
        }
    }

    #[test]
    fn coordinates_in_another_unit_are_refused() {
        let error = Linkage::of(&[[0.0; 3], [1e7, 0.0, 0.0]], 0.006).err().unwrap();
        assert!(error.to_string().contains("check the unit"), "{error}");
    }
}
