//! The banks of one layer, one a region.

use std::io::{Read, Write};

use assay_kernels::KernelError;
use assay_kernels::bank::{Bank, Neighbour};
use assay_sdk::state::{read_count, read_f32s, write_f32s, write_u64};
use assay_sdk::{Error, Parallel, Result};
use ndarray::{Array2, ArrayView2};

use crate::jobs;
use crate::plan::{Layer, Patches, Plan};

/// What one layer remembers.
pub(crate) struct Memory {
    /// The banks of the regions that learnt something, in their order.
    banks: Vec<Bank>,
    /// How many rows each region learnt.
    learnt: Vec<usize>,
    /// For each region the bank that its patches are compared with.
    serving: Vec<usize>,
}

impl Memory {
    /// The banks of regions in rows of `across`, from the rows that each keeps; a region may have none.
    ///
    /// # Errors
    /// No region has rows; a row that no bank takes.
    pub(crate) fn new(
        rows: Vec<Array2<f32>>,
        across: usize,
        par: &dyn Parallel,
    ) -> std::result::Result<Self, KernelError> {
        let learnt: Vec<usize> = rows.iter().map(Array2::nrows).collect();
        let regions: Vec<usize> = (0..rows.len()).filter(|&region| learnt[region] > 0).collect();
        if regions.is_empty() {
            return Err(KernelError::TooFew { what: "memory banks", needed: 1 });
        }
        // A part may show in a region where no good scan had it: what is nearest then says most of what belongs there.
        let nearest = |region: usize| {
            let apart = |bank: usize| {
                let (a, b) = (region, regions[bank]);
                (a / across).abs_diff(b / across).pow(2) + (a % across).abs_diff(b % across).pow(2)
            };
            (0..regions.len()).min_by_key(|&bank| apart(bank)).unwrap_or(0)
        };
        let serving = (0..rows.len()).map(nearest).collect();
        let banks = rows.into_iter().filter(|rows| rows.nrows() > 0).map(|rows| Bank::new(rows, par));
        Ok(Self { banks: banks.collect::<std::result::Result<_, _>>()?, learnt, serving })
    }

    /// The bank that patches of a region are compared with: its own, or that of the nearest region that has one, the
    /// lowest of equals.
    pub(crate) fn bank(&self, region: usize) -> &Bank {
        &self.banks[self.serving[region]]
    }

    /// Writes the rows learnt by each region, then their values.
    pub(crate) fn save(&self, out: &mut dyn Write) -> Result<()> {
        self.learnt.iter().try_for_each(|&rows| write_u64(out, rows as u64))?;
        let mut rows = self.banks.iter().flat_map(|bank| bank.rows().into_outer_iter());
        rows.try_for_each(|row| write_f32s(out, row.to_slice().unwrap_or_default()))
    }

    /// Reads what [`Self::save`] wrote of a layer of `plan`, at most `max` rows.
    pub(crate) fn load(
        input: &mut dyn Read,
        plan: &Plan,
        layer: &Layer,
        max: usize,
        par: &dyn Parallel,
    ) -> Result<Self> {
        let mut left = max;
        let mut learnt = Vec::with_capacity(plan.regions());
        for _ in 0..plan.regions() {
            let rows = read_count(input, left, "bank rows")?;
            left -= rows;
            learnt.push(rows);
        }
        let mut banks = Vec::with_capacity(learnt.len());
        for rows in learnt {
            let len = rows
                .checked_mul(layer.channels)
                .ok_or_else(|| Error::state("the saved banks are larger than memory"))?;
            let values = Array2::from_shape_vec((rows, layer.channels), read_f32s(input, len)?);
            banks.push(values.map_err(|e| Error::state(format!("a saved bank has no shape: {e}")))?);
        }
        Self::new(banks, plan.across, par).map_err(|e| Error::state(e.to_string()))
    }

    /// How many rows all regions learnt.
    pub(crate) fn len(&self) -> usize {
        self.learnt.iter().sum()
    }
}

/// One region of one layer to search.
struct Search<'a> {
    layer: usize,
    bank: &'a Bank,
    queries: ArrayView2<'a, f32>,
    cells: &'a [usize],
    found: std::result::Result<Vec<Neighbour>, KernelError>,
}

/// For each layer the distance of each of its cells to the nearest row of its region's bank; 0 where a cell does not
/// count.
pub(crate) fn distances(
    plan: &Plan,
    memories: &[Memory],
    patches: &[Patches],
    par: &dyn Parallel,
) -> std::result::Result<Vec<Vec<f32>>, KernelError> {
    let mut searches = Vec::with_capacity(memories.len() * plan.regions());
    for (layer, (memory, patches)) in memories.iter().zip(patches).enumerate() {
        let regions = (0..plan.regions()).filter(|&region| !patches.cells(region).is_empty());
        searches.extend(regions.map(|region| Search {
            layer,
            bank: memory.bank(region),
            queries: patches.region(region),
            cells: patches.cells(region),
            found: Ok(Vec::new()),
        }));
    }
    jobs::each(&mut searches, par, &|search, par| search.found = search.bank.nearest(search.queries, par));
    let mut all: Vec<Vec<f32>> = plan.layers.iter().map(|layer| vec![0.0; layer.rows * layer.cols]).collect();
    for search in searches {
        for (&cell, found) in search.cells.iter().zip(search.found?) {
            all[search.layer][cell] = found.distance();
        }
    }
    Ok(all)
}
