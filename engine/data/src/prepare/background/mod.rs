//! The part without the surface it lies on, from organised points (the preprocessing of BTF, Back to the
//! Feature, 2022) and from clouds.

mod linkage;
mod plane;

use ndarray::{CowArray, Ix2, Ix3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::linkage::Linkage;
pub use self::plane::Plane;
use crate::{Cloud, DataError, Grid, Mask};

/// How the background is found. The defaults are BTF's, except that detached pieces near the part stay with it.
///
/// Deviations from BTF: single linkage (DBSCAN with one point a core) instead of DBSCAN with 30, so that sparse
/// edges are not noise, and `piece_reach` (0 gives BTF's single cluster), because a bent or cut piece that
/// stands behind a gap of missing depth is what an inspection is about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Background {
    /// Width of the strips along the four borders whose points may be background, cells.
    pub border: usize,
    /// Farthest that a point of the plane lies from it when it is fitted, metres.
    pub plane_distance: f64,
    /// Points that each candidate plane is fitted to.
    pub sample_points: usize,
    /// Candidate planes at most.
    pub iterations: usize,
    /// Least share of the border's points that must lie on the plane; with fewer, there is none.
    pub least_share: f64,
    /// Points nearer to the plane than this are background, metres.
    pub removal_distance: f64,
    /// Points nearer to each other than this belong together, metres.
    pub link_distance: f64,
    /// Detached pieces of at least this many points stay with the part...
    pub piece_points: usize,
    /// ... when they are nearer to it than this, metres.
    pub piece_reach: f64,
    /// Seed of the candidate planes.
    pub seed: u64,
}

impl Background {
    /// The defaults, where a constant is needed.
    pub const DEFAULT: Self = Self {
        border: 10,
        plane_distance: 0.004,
        sample_points: 50,
        iterations: 1000,
        least_share: 0.3,
        removal_distance: 0.005,
        link_distance: 0.006,
        piece_points: 10,
        piece_reach: 0.02,
        seed: 0,
    };
}

impl Default for Background {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where the part is.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreground {
    /// `[h, w]`: the cells of the part, all of them valid; none set where nothing stands out.
    pub mask: Mask,
    /// The surface it lies on, if there is one.
    pub plane: Option<Plane>,
}

impl Foreground {
    /// The grid with everything but the part invalid and zero. The grid must have this mask's size.
    ///
    /// # Errors
    /// [`DataError::BadArgument`] for another size.
    pub fn cut_out(&self, grid: &Grid) -> Result<Grid, DataError> {
        if grid.size() != self.mask.dim() {
            let cause = format!("a grid of {:?} cells and a mask of {:?}", grid.size(), self.mask.dim());
            return Err(DataError::bad_argument("foreground", cause));
        }
        let mut values = grid.values.clone();
        for mut plane in values.outer_iter_mut() {
            ndarray::Zip::from(&mut plane)
                .and(&self.mask)
                .for_each(|v, &part| *v = if part { *v } else { 0.0 });
        }
        let valid = Mask::from_shape_fn(grid.size(), |(i, j)| self.mask[(i, j)] && grid.is_valid(i, j));
        Ok(Grid { values, valid: Some(valid), frame: grid.frame })
    }
}

impl Background {
    /// Finds the part in organised points `[3, h, w]`.
    ///
    /// 1. A plane is fitted to the valid points of the border strips by seeded RANSAC; points near it go.
    /// 2. The largest component of what is left, and the pieces near it, are the part.
    ///
    /// Without a plane (fewer border points than a sample, or too few of them on any plane) nothing is removed
    /// in 1. Where all is plane, or no point is valid, the mask is empty. A part that reaches over the border is
    /// kept up to it: it disturbs the plane only where it fills most of the strips.
    ///
    /// # Errors
    /// [`DataError::BadArgument`] unless the grid has 3 channels, distances are positive and finite, and the
    /// points span less than a million link distances.
    pub fn remove(&self, points: &Grid) -> Result<Foreground, DataError> {
        self.check(points)?;
        let size @ (rows, columns) = points.size();
        let points = Points::of(points);
        let plane = self.plane_of(&points);
        let of_rows: Vec<(Vec<usize>, Vec<[f64; 3]>)> = (0..rows)
            .into_par_iter()
            .with_min_len(ROWS)
            .map(|i| {
                let line = points.row(i);
                let stands =
                    |p| plane.as_ref().is_none_or(|plane| plane.distance(p).abs() >= self.removal_distance);
                // All of them at once, on vectors; most are not valid, or not standing.
                let standing: Vec<bool> = line.iter().map(|(p, valid)| valid & stands(p)).collect();
                let cells = (0..columns).filter(|&j| standing[j]);
                cells.map(|j| (i * columns + j, line.at(j))).unzip()
            })
            .collect();
        let (cells, standing): (Vec<_>, Vec<_>) = of_rows.into_iter().unzip();
        let (cells, standing) = (cells.concat(), standing.concat());
        let mut mask = Mask::from_elem(size, false);
        let linkage = Linkage::of(&standing, self.link_distance)?;
        if let Some(part) = mask.as_slice_mut() {
            for k in linkage.largest_with_pieces(self.piece_points, self.piece_reach) {
                part[cells[k]] = true;
            }
        }
        Ok(Foreground { mask, plane })
    }

    /// Finds the part in points without an order: one flag a point, and the surface it lies on.
    ///
    /// As [`Background::remove`], but a cloud has no border, so the plane is that which most of all points lie on: for scans that
    /// see at least as much of the surface as of any flat side of the part.
    ///
    /// # Errors
    /// [`DataError::BadArgument`] for settings out of range, and where points span a million link distances.
    pub fn remove_from_cloud(&self, cloud: &Cloud) -> Result<(Vec<bool>, Option<Plane>), DataError> {
        self.check_settings()?;
        let valid = |i: usize| cloud.valid.as_ref().is_none_or(|valid| valid[i]);
        let point = |i: usize| [0, 1, 2].map(|c| f64::from(cloud.positions[(i, c)]));
        let measured: Vec<usize> = (0..cloud.len()).filter(|&i| valid(i)).collect();
        let plane = plane::ransac(&mut measured.iter().map(|&i| point(i)).collect::<Vec<_>>(), self);
        let off = |i: &usize| {
            plane.as_ref().is_none_or(|plane| plane.distance(point(*i)).abs() >= self.removal_distance)
        };
        let standing: Vec<usize> = measured.into_iter().filter(off).collect();
        let places: Vec<[f64; 3]> = standing.iter().map(|&i| point(i)).collect();
        let mut part = vec![false; cloud.len()];
        for k in
            Linkage::of(&places, self.link_distance)?.largest_with_pieces(self.piece_points, self.piece_reach)
        {
            part[standing[k]] = true;
        }
        Ok((part, plane))
    }

    fn plane_of(&self, points: &Points<'_>) -> Option<Plane> {
        let (rows, columns, border) = (points.rows, points.columns, self.border);
        let mut candidates = Vec::new();
        for i in 0..rows {
            let line = points.row(i);
            let (left, right) = if i < border || rows - i <= border {
                (columns, columns)
            } else {
                (border.min(columns), columns.saturating_sub(border).max(border.min(columns)))
            };
            let strips = (0..left).chain(right..columns);
            candidates.extend(strips.filter(|&j| line.valid[j]).map(|j| line.at(j)));
        }
        plane::ransac(&mut candidates, self)
    }

    fn check(&self, points: &Grid) -> Result<(), DataError> {
        if points.channels() != 3 {
            let cause = format!("a grid of {} channels; it needs x, y, z", points.channels());
            return Err(DataError::bad_argument("background", cause));
        }
        self.check_settings()
    }

    fn check_settings(&self) -> Result<(), DataError> {
        let bad = |cause: String| Err(DataError::bad_argument("background", cause));
        let positive = |d: f64| d.is_finite() && d > 0.0;
        let distances = [self.plane_distance, self.removal_distance, self.link_distance];
        if !distances.into_iter().all(positive) || (self.piece_reach != 0.0 && !positive(self.piece_reach)) {
            return bad("distances must be positive and finite (piece_reach may be 0), in metres".into());
        }
        if self.sample_points < 3 || !(0.0..=1.0).contains(&self.least_share) {
            return bad("a plane takes sample_points >= 3 and a least_share of 0 to 1".into());
        }
        Ok(())
    }
}

/// Rows a task, at least.
const ROWS: usize = 32;

/// Organised points, row by row.
struct Points<'a> {
    values: CowArray<'a, f32, Ix3>,
    valid: CowArray<'a, bool, Ix2>,
    rows: usize,
    columns: usize,
}

/// A row of points.
struct Line<'a> {
    axes: [&'a [f32]; 3],
    valid: &'a [bool],
}

impl<'a> Points<'a> {
    /// Those of a grid of three channels.
    fn of(grid: &'a Grid) -> Self {
        let (rows, columns) = grid.size();
        let valid = match &grid.valid {
            Some(valid) => valid.as_standard_layout(),
            None => Mask::from_elem((rows, columns), true).into(),
        };
        Self { values: grid.values.as_standard_layout(), valid, rows, columns }
    }

    fn row(&self, i: usize) -> Line<'_> {
        let line =
            |plane: usize| (plane * self.rows + i) * self.columns..(plane * self.rows + i + 1) * self.columns;
        let (values, valid) =
            (self.values.as_slice().unwrap_or_default(), self.valid.as_slice().unwrap_or_default());
        Line { axes: [0, 1, 2].map(|c| &values[line(c)]), valid: &valid[line(0)] }
    }
}

impl Line<'_> {
    fn at(&self, j: usize) -> [f64; 3] {
        self.axes.map(|axis| f64::from(axis[j]))
    }

    /// Points, and whether they are valid.
    fn iter(&self) -> impl Iterator<Item = ([f64; 3], bool)> {
        let [x, y, z] = self.axes;
        let points = x.iter().zip(y).zip(z).map(|((&x, &y), &z)| [x, y, z].map(f64::from));
        points.zip(self.valid.iter().copied())
    }
}

#[cfg(test)]
mod tests;
