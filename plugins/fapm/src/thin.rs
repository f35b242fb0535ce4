//! The adaptive coreset: what each bank keeps of the patches gathered for it.

use assay_kernels::KernelError;
use assay_kernels::choice::{Reservoir, choose};
use assay_kernels::coreset::greedy_k_centre;
use assay_sdk::Parallel;
use ndarray::{Array2, Axis};

use crate::jobs;

/// How much the banks keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thinning {
    /// Share of a region's patches.
    pub(crate) coreset: f64,
    /// How many times as much a large region keeps.
    pub(crate) adaptive: f64,
    /// How many times the mean radius of its layer a large region's radius exceeds.
    pub(crate) large: f64,
    /// Most rows of all banks.
    pub(crate) max_bank: usize,
    pub(crate) seed: u64,
}

/// The patches gathered for one bank, and those of them that it may keep.
pub(crate) struct Candidates {
    rows: Array2<f32>,
    /// Rows in the order of greedy k-centre, as far as a large region goes.
    picks: Vec<usize>,
    /// How many of them are kept where the region is not large, and where it is.
    usual: usize,
    most: usize,
    /// The greatest distance of a patch from the `usual` picks.
    radius: f32,
    result: Result<(), KernelError>,
}

/// Proportional shares of `most` things, at least one each; `most` must not be less than the number of `parts`.
pub(crate) fn shares(parts: &[usize], most: usize) -> Vec<usize> {
    let total = parts.iter().sum::<usize>().max(1) as u128;
    let spare = most.saturating_sub(parts.len()) as u128;
    parts.iter().map(|&part| 1 + (spare * part as u128 / total) as usize).collect()
}

/// `counts`, reduced in proportion where they are more than `most` together; none falls below 1 but those that are 0.
fn within(counts: &[usize], most: usize) -> Vec<usize> {
    if counts.iter().sum::<usize>() <= most {
        return counts.to_vec();
    }
    let some: Vec<usize> = counts.iter().copied().filter(|&count| count > 0).collect();
    let mut reduced = shares(&some, most).into_iter();
    let reduce = |&count: &usize| if count == 0 { 0 } else { reduced.next().map_or(1, |n| n.min(count)) };
    counts.iter().map(reduce).collect()
}

impl Thinning {
    /// How many rows each bank keeps where its region is not large.
    pub(crate) fn usual(&self, gathered: &[Reservoir]) -> Vec<usize> {
        let wanted = |reservoir: &Reservoir| match reservoir.held() {
            0 => 0,
            held => ((self.coreset * reservoir.seen() as f64) as usize).clamp(1, held),
        };
        within(&gathered.iter().map(wanted).collect::<Vec<_>>(), self.max_bank)
    }

    /// Orders the rows of some banks, the first of which is number `first`.
    ///
    /// Greedy k-centre picks the same rows first however many it picks, so one run serves both sizes: the paper's second
    /// selection of a large region is the continuation of its first.
    pub(crate) fn order(
        &self,
        gathered: Vec<Reservoir>,
        usual: &[usize],
        first: usize,
        par: &dyn Parallel,
    ) -> Result<Vec<Candidates>, KernelError> {
        let candidates = |(reservoir, &usual): (Reservoir, &usize)| {
            let rows = reservoir.into_rows();
            let most = ((self.adaptive * usual as f64) as usize).clamp(usual, rows.nrows());
            Candidates { rows, picks: Vec::new(), usual, most, radius: 0.0, result: Ok(()) }
        };
        let mut all: Vec<(u64, Candidates)> = (first as u64..)
            .map(|number| self.seed.wrapping_add(number))
            .zip(gathered.into_iter().zip(usual).map(candidates))
            .collect();
        jobs::each(&mut all, par, &|(seed, region), par| region.result = region.pick(*seed, par));
        all.into_iter().map(|(_, region)| region.result.clone().map(|()| region)).collect()
    }

    /// The rows that each bank keeps; `regions` of them make a layer.
    pub(crate) fn keep(&self, all: Vec<Candidates>, regions: usize) -> Vec<Array2<f32>> {
        let counts: Vec<usize> = all.chunks(regions).flat_map(|layer| self.counts(layer)).collect();
        let counts = within(&counts, self.max_bank);
        // One after the other, so that the patches of a bank are given up before those of the next are copied.
        all.into_iter()
            .zip(counts)
            .map(|(region, count)| region.rows.select(Axis(0), &region.picks[..count]))
            .collect()
    }

    fn counts(&self, layer: &[Candidates]) -> Vec<usize> {
        let learnt = layer.iter().filter(|region| region.usual > 0).count().max(1);
        let mean = layer.iter().map(|region| f64::from(region.radius)).sum::<f64>() / learnt as f64;
        let count = |region: &Candidates| {
            let large = f64::from(region.radius) > self.large * mean;
            region.picks.len().min(if large { region.most } else { region.usual })
        };
        layer.iter().map(count).collect()
    }
}

impl Candidates {
    fn pick(&mut self, seed: u64, par: &dyn Parallel) -> Result<(), KernelError> {
        let held = self.rows.nrows();
        if self.usual >= held {
            self.picks = (0..held).collect();
            return Ok(());
        }
        let start = choose(held, 1, seed).first().copied().unwrap_or(0);
        // One pick beyond the usual ones is needed for their radius: it is the row farthest from them.
        let found = greedy_k_centre(self.rows.view(), self.most.max(self.usual + 1), start, par)?;
        self.radius = found.radii.get(self.usual).copied().unwrap_or(0.0);
        self.picks = found.picks;
        Ok(())
    }
}
