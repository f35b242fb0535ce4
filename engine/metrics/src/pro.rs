//! The per-region overlap curve and the area under it, AU-PRO.
//!
//! Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021: at a threshold, PRO is the share of a
//! defective region's pixels that are found, averaged over all regions of the category, and the
//! false-positive rate (FPR) the share of good pixels that are flagged.

use crate::{
    error::{MetricError, reserve},
    maps::DefectivePixel,
    ranking::Tie,
};

/// Most thresholds of a sampled curve.
const MAX_THRESHOLDS: usize = 1_000_000;

/// One threshold's point of a [`ProCurve`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProPoint {
    /// Share of the good pixels that are flagged, [0, 1].
    pub fpr: f64,
    /// Mean share of a region's pixels that are flagged, [0, 1].
    pub pro: f64,
}

/// Per-region overlap over false-positive rate, linear between its points.
#[derive(Debug, Clone, PartialEq)]
pub struct ProCurve {
    points: Vec<ProPoint>,
}

impl ProCurve {
    /// The points in ascending order of FPR, from FPR 0 to (1, 1). Of an exact curve only the corners are
    /// kept.
    pub fn points(&self) -> &[ProPoint] {
        &self.points
    }

    /// AU-PRO: the mean of the curve over FPR in [0, `limit`] by the trapezoid rule, [0, 1]. The customary
    /// limit is 0.3.
    ///
    /// # Errors
    /// [`MetricError::Limit`] unless 0 < `limit` <= 1.
    pub fn au_pro(&self, limit: f64) -> Result<f64, MetricError> {
        if !(limit > 0.0 && limit <= 1.0) {
            return Err(MetricError::Limit { limit });
        }
        let mut area = 0.0;
        for (a, b) in self.points.iter().zip(self.points.iter().skip(1)) {
            if b.fpr > limit {
                let pro = a.pro + (b.pro - a.pro) * (limit - a.fpr) / (b.fpr - a.fpr);
                area += 0.5 * (a.pro + pro) * (limit - a.fpr);
                break;
            }
            area += 0.5 * (a.pro + b.pro) * (b.fpr - a.fpr);
        }
        Ok((area / limit).min(1.0))
    }
}

/// The exact curve from the walk over the defective pixels.
pub(crate) fn exact<'a>(
    ties: impl Iterator<Item = Tie<'a, DefectivePixel, u32>>,
    regions: usize,
    good: usize,
) -> Result<ProCurve, MetricError> {
    let mut curve = Growing::new(regions)?;
    for tie in ties {
        // Before this score only good pixels were passed: the curve runs level to the tie, then straight over
        // it.
        curve.push(tie.negatives_above as f64 / good as f64)?;
        curve.overlap += tie.positives.iter().map(share).sum::<f64>();
        curve.push((tie.negatives_above + tie.negatives_tied) as f64 / good as f64)?;
    }
    curve.finish()
}

/// The curve sampled at `thresholds` evenly ranked good pixels; both slices are in ascending order.
pub(crate) fn sampled(
    defective: &[DefectivePixel],
    regions: usize,
    good: &[u32],
    thresholds: usize,
) -> Result<ProCurve, MetricError> {
    if !(2..=MAX_THRESHOLDS).contains(&thresholds) {
        return Err(MetricError::Thresholds { thresholds, max: MAX_THRESHOLDS });
    }
    let last = good.len() - 1;
    // The positions of numpy's integer linspace, rounding included.
    let step = last as f64 / (thresholds - 1) as f64;
    let position = |i: usize| if i + 1 == thresholds { last } else { (i as f64 * step) as usize };
    let mut curve = Growing { points: Vec::new(), overlap: 0.0, regions: regions as f64 };
    let mut found = defective.iter().rev().peekable();
    for position in (0..thresholds).rev().map(position) {
        while let Some(pixel) = found.next_if(|pixel| pixel.key > good[position]) {
            curve.overlap += share(pixel);
        }
        curve.push(1.0 - (position + 1) as f64 / good.len() as f64)?;
    }
    curve.finish()
}

/// What finding a pixel adds to its region's overlap.
fn share(pixel: &DefectivePixel) -> f64 {
    1.0 / f64::from(pixel.area)
}

/// A curve under construction, in ascending order of FPR.
struct Growing {
    points: Vec<ProPoint>,
    /// Sum over regions of the share found so far.
    overlap: f64,
    regions: f64,
}

impl Growing {
    /// A curve from (0, 0).
    fn new(regions: usize) -> Result<Self, MetricError> {
        let mut curve = Self { points: Vec::new(), overlap: 0.0, regions: regions as f64 };
        curve.push(0.0)?;
        Ok(curve)
    }

    /// Adds the point at this FPR and the overlap so far, unless it is there already.
    fn push(&mut self, fpr: f64) -> Result<(), MetricError> {
        // Rounding may carry a sum of shares past the number of regions.
        let point = ProPoint { fpr, pro: (self.overlap / self.regions).min(1.0) };
        if self.points.last() != Some(&point) {
            reserve(&mut self.points, 1)?;
            self.points.push(point);
        }
        Ok(())
    }

    /// Ends the curve at (1, 1).
    fn finish(mut self) -> Result<ProCurve, MetricError> {
        self.overlap = self.regions;
        self.push(1.0)?;
        Ok(ProCurve { points: self.points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connectivity, MapSet, RankedMaps, connected_components};
    use proptest::prelude::*;

    /// Small maps of few distinct scores, with their masks; row-major rows x cols.
    type Scans = (usize, usize, Vec<(Vec<f32>, Vec<bool>)>);

    fn scans() -> impl Strategy<Value = Scans> {
        (1_usize..7, 1_usize..7).prop_flat_map(|(rows, cols)| {
            let map = prop::collection::vec((-3_i8..6).prop_map(|v| f32::from(v) / 4.0), rows * cols);
            let mask = prop::collection::vec(prop::bool::weighted(0.3), rows * cols);
            (Just(rows), Just(cols), prop::collection::vec((map, mask), 1..5))
        })
    }

    fn rank((rows, cols, scans): &Scans) -> Option<RankedMaps> {
        let mut maps = MapSet::new();
        scans.iter().for_each(|(map, mask)| maps.add(map, mask, *rows, *cols).unwrap());
        maps.rank().ok()
    }

    /// (FPR, PRO) of flagging every pixel that `flags`, by counting every region in every map.
    fn naive_point((rows, cols, scans): &Scans, flags: impl Fn(f32) -> bool) -> (f64, f64) {
        let (mut good, mut flagged, mut overlaps) = (0_u32, 0_u32, Vec::new());
        for (map, mask) in scans {
            let regions = connected_components(mask, *rows, *cols, Connectivity::Eight).unwrap();
            for (i, _) in mask.iter().enumerate().filter(|(_, m)| !**m) {
                good += 1;
                flagged += u32::from(flags(map[i]));
            }
            for k in 1..=regions.components.len() as u32 {
                let own: Vec<bool> =
                    (0..map.len()).filter(|i| regions.labels[*i] == k).map(|i| flags(map[i])).collect();
                overlaps.push(own.iter().filter(|f| **f).count() as f64 / own.len() as f64);
            }
        }
        (f64::from(flagged) / f64::from(good), overlaps.iter().sum::<f64>() / overlaps.len() as f64)
    }

    /// Integral of the polyline over [0, limit], divided by limit, by clipping each segment.
    fn naive_area(points: &[(f64, f64)], limit: f64) -> f64 {
        let area: f64 = points
            .windows(2)
            .map(|w| {
                let ((x0, y0), (x1, y1)) = (w[0], w[1]);
                let end = x1.min(limit);
                if end <= x0 {
                    return 0.0;
                }
                let y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0);
                (end - x0) * (y0 + y_end) / 2.0
            })
            .sum();
        area / limit
    }

    #[test]
    fn one_good_pixel_above_one_of_two_regions_costs_its_share() {
        let mut maps = MapSet::new();
        let mask = [true, false, true, false, false];
        maps.add(&[5.0, 4.0, 3.0, 2.0, 1.0], &mask, 1, 5).unwrap();
        let curve = maps.rank().unwrap().pro_curve().unwrap();
        // (0, 0) (0, 1/2) (1/3, 1/2) (1/3, 1) (1, 1)
        assert_eq!(curve.au_pro(1.0 / 3.0), Ok(0.5));
        assert!((curve.au_pro(1.0).unwrap() - 5.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn a_constant_map_is_the_diagonal() {
        let mut maps = MapSet::new();
        maps.add(&[0.5; 4], &[true, false, false, true], 1, 4).unwrap();
        let curve = maps.rank().unwrap().pro_curve().unwrap();
        assert!((curve.au_pro(0.3).unwrap() - 0.15).abs() < 1e-15);
    }

    #[test]
    fn limits_that_are_no_rate_and_too_few_thresholds_are_errors() {
        let mut maps = MapSet::new();
        maps.add(&[0.5, 0.4], &[true, false], 1, 2).unwrap();
        let ranked = maps.rank().unwrap();
        let curve = ranked.pro_curve().unwrap();
        for limit in [0.0, -0.1, 1.1, f64::INFINITY] {
            assert_eq!(curve.au_pro(limit), Err(MetricError::Limit { limit }));
        }
        assert!(matches!(curve.au_pro(f64::NAN), Err(MetricError::Limit { .. })));
        for thresholds in [0, 1, usize::MAX] {
            let error = MetricError::Thresholds { thresholds, max: MAX_THRESHOLDS };
            assert_eq!(ranked.paper_pro_curve(thresholds), Err(error));
        }
    }

    proptest! {
        #[test]
        fn the_exact_area_is_that_over_all_thresholds(scans in scans(), limit in 0.01_f64..=1.0) {
            let Some(ranked) = rank(&scans) else { return Ok(()) };
            let mut thresholds: Vec<f32> = scans.2.iter().flat_map(|(map, _)| map.clone()).collect();
            thresholds.sort_by(|a, b| b.total_cmp(a));
            let mut points = vec![(0.0, 0.0)];
            points.extend(thresholds.iter().map(|&t| naive_point(&scans, |s| s >= t)));
            let expected = naive_area(&points, limit);
            let found = ranked.pro_curve().unwrap().au_pro(limit).unwrap();
            prop_assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }

        #[test]
        fn the_sampled_area_is_that_of_the_papers_thresholds(
            scans in scans(), thresholds in 2_usize..40, limit in 0.01_f64..=1.0,
        ) {
            let Some(ranked) = rank(&scans) else { return Ok(()) };
            let pixels = scans.2.iter().flat_map(|(map, mask)| map.iter().zip(mask));
            let mut good: Vec<f32> = pixels.filter(|(_, m)| !**m).map(|(s, _)| *s).collect();
            good.sort_by(f32::total_cmp);
            let mut points = vec![(1.0, 1.0)];
            for i in 0..thresholds {
                // floor(linspace) as numpy rounds it: one short of the integer form where a product falls
                // just below.
                let step = (good.len() - 1) as f64 / (thresholds - 1) as f64;
                let last = i + 1 == thresholds;
                let position = if last { good.len() - 1 } else { (i as f64 * step).floor() as usize };
                let exact = i * (good.len() - 1) / (thresholds - 1);
                prop_assert!(position == exact || position + 1 == exact);
                let (_, pro) = naive_point(&scans, |s| s > good[position]);
                points.push((1.0 - (position + 1) as f64 / good.len() as f64, pro));
            }
            points.reverse();
            let expected = naive_area(&points, limit);
            let found = ranked.paper_pro_curve(thresholds).unwrap().au_pro(limit).unwrap();
            prop_assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }

        #[test]
        fn curves_rise_from_zero_to_one(scans in scans()) {
            let Some(ranked) = rank(&scans) else { return Ok(()) };
            let curve = ranked.pro_curve().unwrap();
            let points = curve.points();
            prop_assert_eq!(points[0], ProPoint { fpr: 0.0, pro: 0.0 });
            prop_assert_eq!(points[points.len() - 1], ProPoint { fpr: 1.0, pro: 1.0 });
            prop_assert!(points.windows(2).all(|w| w[0].fpr <= w[1].fpr && w[0].pro <= w[1].pro));
        }
    }
}
