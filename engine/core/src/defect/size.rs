//! How large a region is on the part, where it lies and how deep it is.

use super::part::{Part, stands_out};
use super::surface::{FEWEST, Surface, faces, point};
use super::{millimetres, rounded};
use crate::prepare::{Prepared, on_cells};
use assay_data::prepare::Plane;
use assay_data::{Grid, Mask, nearest_index};
use assay_metrics::Component;
use ndarray::Array2;

/// Share of the points that may lie farther from the surface than the height that is reported: noise.
const HEIGHT_TAIL: f64 = 0.05;

/// Share of the core that must have been measured for its height to be known: what is left of a hole's are its rims.
const LEAST_SEEN: f64 = 2.0 / 3.0;

/// The points of a scan beside its defects.
pub(super) struct Measured<'a> {
    points: &'a Grid,
    map: &'a Array2<f32>,
    /// Which defect each pixel belongs to, 0 = none.
    labels: &'a [u32],
    /// The cells of the part; `None` = all.
    on_part: Option<Mask>,
    /// What the part lies on.
    plane: Option<&'a Plane>,
    part: Option<Part>,
}

/// A region in millimetres.
pub(super) struct Size {
    pub(super) area: f64,
    pub(super) position: [f64; 3],
    pub(super) part_position: Option<[f64; 3]>,
    pub(super) height: Option<f64>,
    pub(super) unmeasured: f64,
}

impl<'a> Measured<'a> {
    /// Of defects that `labels` numbers.
    pub(super) fn new(points: &'a Grid, map: &'a Array2<f32>, labels: &'a [u32], scan: &'a Prepared) -> Self {
        let mask = scan.scored.as_ref().or(scan.shown.as_ref());
        let on_part = mask.and_then(|mask| on_cells(mask, points.size()).ok());
        let plane = scan.plane.as_ref();
        let part = Part::of(points, on_part.as_ref(), plane);
        Self { points, map, labels, on_part, plane, part }
    }

    /// The pixel that sees the middle of a cell.
    fn pixel(&self, (i, j): (usize, usize)) -> usize {
        let (rows, columns) = self.map.dim();
        let (y, x) = (self.points.frame.native_y(i as f64), self.points.frame.native_x(j as f64));
        nearest_index(y, rows) * columns + nearest_index(x, columns)
    }

    /// The map's value where a cell is seen.
    fn value(&self, cell: (usize, usize)) -> f64 {
        let (at, columns) = (self.pixel(cell), self.map.ncols());
        f64::from(self.map[(at / columns, at % columns)])
    }

    /// The size of a region, whose core is where the map is at least `middle`; `None` where too little was measured around it.
    pub(super) fn size(&self, component: &Component, region: &[usize], middle: f64) -> Option<Size> {
        let (frame, (rows, cols)) = (self.points.frame, self.points.size());
        let columns = self.map.ncols();
        let own = self.labels[*region.first()?];
        let down = nearest_index(frame.row_at(component.rows.start as f64), rows)
            ..nearest_index(frame.row_at(component.rows.end as f64 - 1.0), rows) + 1;
        let across = nearest_index(frame.column_at(component.cols.start as f64), cols)
            ..nearest_index(frame.column_at(component.cols.end as f64 - 1.0), cols) + 1;
        let inside: Vec<(usize, usize)> = down
            .clone()
            .flat_map(|i| across.clone().map(move |j| (i, j)))
            .filter(|&cell| self.labels[self.pixel(cell)] == own)
            .collect();
        let (core, blind): (Vec<(usize, usize)>, Vec<_>) = inside
            .iter()
            .filter(|&&cell| self.value(cell) >= middle)
            .partition(|&&(i, j)| self.points.is_valid(i, j));
        let seen = core.len() as f64 >= LEAST_SEEN * (core.len() + blind.len()) as f64;
        // Wide enough to see how the surface goes on, whatever the region's size.
        let reach = 4 + down.len().max(across.len()) / 2;
        let window = (
            down.start.saturating_sub(reach)..(down.end + reach).min(rows),
            across.start.saturating_sub(reach)..(across.end + reach).min(cols),
        );
        let around: Vec<(usize, usize)> = window
            .0
            .clone()
            .flat_map(|i| window.1.clone().map(move |j| (i, j)))
            .filter(|&cell| self.labels[self.pixel(cell)] == 0)
            .filter(|&cell| self.on_part.as_ref().is_none_or(|part| part[cell]))
            .filter(|&cell| self.plane.is_none_or(|plane| stands_out(plane, point(self.points, cell))))
            .collect();
        let faces = faces(self.points, &window, &core);
        let face = |&(i, j): &(usize, usize)| faces[(i - window.0.start, j - window.1.start)];
        let own_face = (1..=faces.iter().copied().max().unwrap_or(0))
            .map(|number| {
                let ring: Vec<_> = around.iter().copied().filter(|cell| face(cell) == number).collect();
                let (on_it, off_it): (Vec<_>, Vec<_>) = core.iter().partition(|cell| face(cell) == number);
                (ring, on_it, off_it)
            })
            .filter(|(ring, ..)| ring.len() >= FEWEST)
            .max_by_key(|(ring, on_it, _)| (on_it.len(), ring.len()));
        let (ring, deviant, one_side) = match own_face {
            // Where most of the core is on that face, the rest is what the part looks like beyond an edge; else it is what broke out.
            Some((ring, on_it, off_it)) if on_it.len() >= off_it.len() => (ring, on_it, false),
            Some((ring, _, off_it)) => (ring, off_it, true),
            // A hole's ground alone hangs together with nothing around it.
            None => (around, core, true),
        };
        let centre = [component.centroid.1, component.centroid.0];
        let surface = Surface::fit(self.points, &ring, centre)?;
        let area = |at: &usize| surface.at([(at % columns) as f64, (at / columns) as f64]).area;
        let height = |&(i, j): &(usize, usize)| {
            let place = surface.at([frame.native_x(j as f64), frame.native_y(i as f64)]);
            (point(self.points, (i, j)) - place.point).dot(&place.normal)
        };
        let mut heights: Vec<f64> = deviant.iter().map(height).collect();
        let measured = inside.iter().filter(|&&(i, j)| self.points.is_valid(i, j)).count();
        let position = surface.at(centre).point;
        Some(Size {
            area: rounded(1e6 * region.iter().map(area).sum::<f64>()),
            position: millimetres(position.into()),
            part_position: self.part.as_ref().map(|part| millimetres(part.own(position))),
            unmeasured: rounded(1.0 - measured as f64 / inside.len().max(1) as f64),
            height: farthest(&mut heights, one_side).filter(|_| seen).map(|h| rounded(1e3 * h)),
        })
    }
}

/// The farthest deviation of all but a few: of `one_side`, on the side on which most lie, else on either.
fn farthest(heights: &mut [f64], one_side: bool) -> Option<f64> {
    heights.sort_unstable_by(f64::total_cmp);
    let last = heights.len().checked_sub(1)?;
    let tail = (HEIGHT_TAIL * last as f64) as usize;
    let (low, high, middle) = (heights[tail], heights[last - tail], heights[last / 2]);
    let below = if one_side { middle < 0.0 } else { -low > high };
    Some(if below { low } else { high })
}
