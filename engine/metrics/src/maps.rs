//! Anomaly maps with their masks, and the metrics over all their pixels.

use crate::{
    components::{Connectivity, connected_components},
    error::{MetricError, check_pixels, reserve},
    f1::{BestF1, best_f1_of_ties},
    order::{finite_key, radix_sort},
    paper::{self, PAPER_SIDE},
    pro::{self, ProCurve},
    ranking::{Tie, ties},
    roc::{auroc, auroc_of_ties},
};

/// A defective pixel. Ordered by score, then area, so that sums over a sorted list do not depend on the order
/// in which maps were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DefectivePixel {
    /// Order-preserving key of the score.
    pub(crate) key: u32,
    /// Pixels of the region it belongs to.
    pub(crate) area: u32,
}

/// The anomaly maps of a category, added one by one.
///
/// Takes 4 bytes a good pixel and 8 a defective one, and as much again for good pixels while they are sorted
/// in [`MapSet::rank`]: 108 maps of 900 x 900 take 350 MB and 700 MB. Maps may differ in size.
#[derive(Debug, Clone, Default)]
pub struct MapSet {
    good: Vec<u32>,
    defective: Vec<DefectivePixel>,
    regions: usize,
    image_scores: Vec<f32>,
    image_labels: Vec<bool>,
}

impl MapSet {
    /// A set without maps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the map of one test scan: row-major, `rows` x `cols`, native size, higher = more anomalous.
    ///
    /// `mask` is `true` where the scan is defective; a good scan's is all `false`. Pixels that were not
    /// measured count as good pixels and need a score too. The scan's own score is its map's maximum, its
    /// label whether any pixel is defective. After an error the set is as it was.
    ///
    /// # Errors
    /// [`MetricError::PixelCount`], [`MetricError::TooLarge`], [`MetricError::Empty`] for a map without
    /// pixels, [`MetricError::MapNotFinite`], [`MetricError::OutOfMemory`].
    pub fn add(&mut self, map: &[f32], mask: &[bool], rows: usize, cols: usize) -> Result<(), MetricError> {
        self.check(map, mask, rows, cols)?;
        self.push(map, mask, rows, cols, mask.contains(&true))
    }

    /// Adds a map as [`MapSet::add`] does, resized to [`PAPER_SIDE`] x [`PAPER_SIDE`]: the map bilinearly
    /// (pixel centres aligned, no antialiasing), the mask by its nearest pixels.
    ///
    /// A defect may be lost in the small mask; the scan counts as defective all the same, as it does in the
    /// papers. Use [`RankedMaps::paper_pro_curve`] with it, to compare with published tables.
    ///
    /// # Errors
    /// As [`MapSet::add`].
    pub fn add_at_paper_size(
        &mut self,
        map: &[f32],
        mask: &[bool],
        rows: usize,
        cols: usize,
    ) -> Result<(), MetricError> {
        self.check(map, mask, rows, cols)?;
        let (small_map, small_mask) = paper::resized(map, mask, rows, cols)?;
        self.push(&small_map, &small_mask, PAPER_SIDE, PAPER_SIDE, mask.contains(&true))
    }

    /// Whether this is a map that can be added.
    fn check(&self, map: &[f32], mask: &[bool], rows: usize, cols: usize) -> Result<(), MetricError> {
        if check_pixels(rows, cols, &[("map", map.len()), ("mask", mask.len())])? == 0 {
            return Err(MetricError::Empty { what: "pixels" });
        }
        if let Some(i) = map.iter().position(|value| !value.is_finite()) {
            let (map_index, row, col) = (self.len(), i / cols, i % cols);
            return Err(MetricError::MapNotFinite { map: map_index, row, col, value: map[i] });
        }
        Ok(())
    }

    fn push(
        &mut self,
        map: &[f32],
        mask: &[bool],
        rows: usize,
        cols: usize,
        label: bool,
    ) -> Result<(), MetricError> {
        let defective = mask.iter().filter(|m| **m).count();
        reserve(&mut self.good, mask.len() - defective)?;
        reserve(&mut self.defective, defective)?;
        reserve(&mut self.image_scores, 1)?;
        reserve(&mut self.image_labels, 1)?;
        if defective == 0 {
            self.good.extend(map.iter().map(|&value| finite_key(value)));
        } else {
            let regions = connected_components(mask, rows, cols, Connectivity::Eight)?;
            for (&value, &label) in map.iter().zip(&regions.labels) {
                let key = finite_key(value);
                match label {
                    0 => self.good.push(key),
                    _ => {
                        // At most u32::MAX pixels in a map: checked by `check`.
                        let area = regions.components[label as usize - 1].area as u32;
                        self.defective.push(DefectivePixel { key, area });
                    }
                }
            }
            self.regions += regions.components.len();
        }
        self.image_scores.push(map.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        self.image_labels.push(label);
        Ok(())
    }

    /// Number of maps added.
    pub fn len(&self) -> usize {
        self.image_scores.len()
    }

    /// Whether no map was added yet.
    pub fn is_empty(&self) -> bool {
        self.image_scores.is_empty()
    }

    /// The scans' scores, the maxima of their maps, in the order of adding.
    pub fn image_scores(&self) -> &[f32] {
        &self.image_scores
    }

    /// Whether each scan is defective, in the order of adding.
    pub fn image_labels(&self) -> &[bool] {
        &self.image_labels
    }

    /// AUROC of the scans' scores, [0, 1].
    ///
    /// # Errors
    /// [`MetricError::Empty`] without maps, [`MetricError::SingleClass`] unless there are good and defective
    /// scans.
    pub fn image_auroc(&self) -> Result<f64, MetricError> {
        auroc(&self.image_scores, &self.image_labels)
    }

    /// Sorts the pixels, once for all pixel metrics.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without maps, [`MetricError::SingleClass`] unless there are good and defective
    /// pixels, [`MetricError::OutOfMemory`].
    pub fn rank(self) -> Result<RankedMaps, MetricError> {
        let Self { mut good, mut defective, regions, image_scores, .. } = self;
        if image_scores.is_empty() {
            return Err(MetricError::Empty { what: "maps" });
        }
        if good.is_empty() || defective.is_empty() {
            return Err(MetricError::SingleClass {
                what: "pixels",
                good: good.len(),
                defective: defective.len(),
            });
        }
        radix_sort(&mut good)?;
        defective.sort_unstable();
        Ok(RankedMaps { good, defective, regions })
    }
}

/// The pixels of a category in order of score, pooled over all maps; at least one is good and one defective.
#[derive(Debug, Clone)]
pub struct RankedMaps {
    good: Vec<u32>,
    defective: Vec<DefectivePixel>,
    regions: usize,
}

impl RankedMaps {
    /// Number of defective regions (8-connectivity) in all maps, at least 1.
    pub fn regions(&self) -> usize {
        self.regions
    }

    /// Number of good pixels in all maps, at least 1.
    pub fn good_pixels(&self) -> usize {
        self.good.len()
    }

    /// Number of defective pixels in all maps, at least 1.
    pub fn defective_pixels(&self) -> usize {
        self.defective.len()
    }

    /// AUROC over all pixels, [0, 1].
    pub fn pixel_auroc(&self) -> f64 {
        auroc_of_ties(self.ties(), self.defective.len(), self.good.len())
    }

    /// The best F1 over all pixels.
    pub fn pixel_best_f1(&self) -> BestF1 {
        best_f1_of_ties::<f32, _>(self.ties(), self.defective.len())
    }

    /// The exact per-region overlap curve: every distinct score is a threshold.
    ///
    /// # Errors
    /// [`MetricError::OutOfMemory`].
    pub fn pro_curve(&self) -> Result<ProCurve, MetricError> {
        pro::exact(self.ties(), self.regions, self.good.len())
    }

    /// The curve as most papers sample it, at `thresholds` ([`crate::PAPER_THRESHOLDS`]; 99 in some) evenly ranked
    /// good pixels.
    ///
    /// With N good pixels in ascending order, the thresholds are the scores at the positions
    /// floor(linspace(0, N - 1)); above its threshold a pixel counts as anomalous, and the false-positive
    /// rate is taken from the position, 1 - (position + 1) / N, also where good scores tie. Needed only to
    /// compare with published tables.
    ///
    /// # Errors
    /// [`MetricError::Thresholds`] outside 2 to 1 000 000, [`MetricError::OutOfMemory`].
    pub fn paper_pro_curve(&self, thresholds: usize) -> Result<ProCurve, MetricError> {
        pro::sampled(&self.defective, self.regions, &self.good, thresholds)
    }

    fn ties(&self) -> impl Iterator<Item = Tie<'_, DefectivePixel, u32>> {
        ties(&self.defective, |pixel| pixel.key, &self.good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_cannot_be_added_is_named_and_leaves_the_set_as_it_was() {
        let mut maps = MapSet::new();
        maps.add(&[1.0, 2.0], &[true, false], 1, 2).unwrap();
        let before = format!("{maps:?}");
        let mut error = |map: &[f32], mask: &[bool], rows, cols| maps.add(map, mask, rows, cols).unwrap_err();

        let size = |what, found| MetricError::PixelCount { what, rows: 1, cols: 2, expected: 2, found };
        assert_eq!(error(&[1.0], &[true, true], 1, 2), size("map", 1));
        assert_eq!(error(&[1.0, 2.0], &[true], 1, 2), size("mask", 1));
        assert_eq!(error(&[], &[], 0, 2), MetricError::Empty { what: "pixels" });
        assert!(matches!(error(&[], &[], usize::MAX, 2), MetricError::TooLarge { .. }));
        let infinite = MetricError::MapNotFinite { map: 1, row: 1, col: 0, value: f32::INFINITY };
        assert_eq!(error(&[0.0, 0.0, f32::INFINITY, 0.0], &[true; 4], 2, 2), infinite);
        assert!(matches!(error(&[f32::NAN], &[false], 1, 1), MetricError::MapNotFinite { .. }));
        assert_eq!(format!("{maps:?}"), before);
    }

    #[test]
    fn one_class_of_pixels_or_scans_is_an_error() {
        assert_eq!(MapSet::new().rank().unwrap_err(), MetricError::Empty { what: "maps" });
        assert_eq!(MapSet::new().image_auroc().unwrap_err(), MetricError::Empty { what: "scores" });

        let mut good = MapSet::new();
        good.add(&[1.0, 2.0], &[false; 2], 2, 1).unwrap();
        let single = |good, defective| MetricError::SingleClass { what: "pixels", good, defective };
        assert_eq!(good.rank().unwrap_err(), single(2, 0));

        let mut defective = MapSet::new();
        defective.add(&[1.0], &[true], 1, 1).unwrap();
        assert!(matches!(defective.image_auroc(), Err(MetricError::SingleClass { .. })));
        assert_eq!(defective.rank().unwrap_err(), single(0, 1));
    }

    #[test]
    fn a_scan_scores_its_maximum_and_is_defective_where_any_pixel_is() {
        let mut maps = MapSet::new();
        maps.add(&[-3.0, -1.5], &[false; 2], 1, 2).unwrap();
        maps.add(&[0.5, 0.25], &[false, true], 2, 1).unwrap();
        assert_eq!(maps.image_scores(), [-1.5, 0.5]);
        assert_eq!(maps.image_labels(), [false, true]);
        assert_eq!(maps.image_auroc(), Ok(1.0));
    }

    #[test]
    fn metrics_have_the_same_bits_in_any_order_of_maps() {
        // Regions of 3, 7 and 11 pixels: sums of 1/3, 1/7, 1/11 depend on their order.
        let scans: Vec<(Vec<f32>, Vec<bool>)> = (0..6_usize)
            .map(|s| {
                let map = (0..48).map(|i| ((i * 37 + s * 101) % 8) as f32).collect();
                (map, (0..48).map(|i| i < [3, 7, 11][s % 3]).collect())
            })
            .collect();
        let metrics = |order: &[usize]| {
            let mut maps = MapSet::new();
            for &s in order {
                maps.add(&scans[s].0, &scans[s].1, 1, 48).unwrap();
            }
            let ranked = maps.rank().unwrap();
            let area = |curve: ProCurve| curve.au_pro(0.3).unwrap().to_bits();
            (
                area(ranked.pro_curve().unwrap()),
                area(ranked.paper_pro_curve(10).unwrap()),
                ranked.pixel_auroc().to_bits(),
            )
        };
        assert_eq!(metrics(&[0, 1, 2, 3, 4, 5]), metrics(&[4, 2, 5, 0, 3, 1]));
    }

    #[test]
    fn pixel_f1_is_that_of_the_pooled_pixels() {
        let mut maps = MapSet::new();
        maps.add(&[0.1, 0.9, 0.4], &[false, true, false], 1, 3).unwrap();
        maps.add(&[0.3, 0.5, 0.4], &[false, true, true], 1, 3).unwrap();
        let scores = [0.1_f32, 0.9, 0.4, 0.3, 0.5, 0.4];
        let pooled = crate::best_f1(&scores, &[false, true, false, false, true, true]).unwrap();
        let ranked = maps.rank().unwrap();
        assert_eq!(ranked.pixel_best_f1(), pooled);
        assert_eq!((ranked.regions(), ranked.good_pixels(), ranked.defective_pixels()), (2, 3, 3));
    }
}
