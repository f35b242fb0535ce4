//! The `fapm` method.

use std::io::{Read, Write};

use assay_kernels::choice::Reservoir;
use assay_kernels::score::softmax_weight;
use assay_sdk::state::{read_u64, write_u64};
use assay_sdk::{
    Content, Error, Fit, Host, Info, InputPort, Layout, Method, Next, OutputPort, OutputSpec, Outputs,
    Result, Sample, Spec,
};

use crate::memory::{Memory, distances};
use crate::plan::{Patches, Plan};
use crate::thin::{Thinning, shares};

assay_sdk::params! {
    /// Parameters of FAPM.
    pub struct Settings {
        /// Regions each way, the same in every layer; a patch is compared with what its own region learnt. No more than the coarsest input has cells.
        cells: i64 = 7, min = 1.0, max = 255.0;
        /// Side of the neighbourhood that each patch is averaged over; odd, 1 for none.
        pool: i64 = 3, min = 1.0, max = 255.0, unit = "cells";
        /// Share of a region's training patches that its bank keeps.
        coreset: f64 = 0.1, min = 1e-6, max = 1.0;
        /// How many times as many rows a large region keeps; 1: all regions are kept alike.
        adaptive: f64 = 2.0, min = 1.0, max = 1000.0;
        /// A region is large where the farthest patch that its bank leaves out lies farther from it than this many times the layer's mean. On held-out good scans 1 put rows where they count; on an even part 0.8 doubles all regions and 1.2 none (benches/README.md).
        large: f64 = 1.0, min = 0.0, max = 1e6;
        /// Nearest rows of each layer that weigh the step's image score as in the paper; 1: it is the greatest patch score. The map does not depend on it.
        neighbours: i64 = 4, min = 1.0, max = 1000.0, unit = "rows";
        /// Most training patches held in memory while fitting, of all layers and regions together, drawn evenly within each; memory is this times the layers' mean channels times 4 bytes, up to twice.
        max_rows: i64 = 200_000, min = 1.0, max = 1e9, unit = "rows";
        /// Most rows of all banks together, whatever `coreset` and `adaptive` ask for.
        max_bank: i64 = 100_000, min = 1.0, max = 1e9, unit = "rows";
    }
}

/// Changes with the layout of the saved state.
const STATE_VERSION: u64 = 1;

/// A memory bank for each region of each layer.
pub struct Fapm {
    settings: Settings,
    host: Host,
    plan: Option<Plan>,
    /// The patches drawn so far for each region of each layer, while fitting.
    gathered: Option<Vec<Reservoir>>,
    /// One a layer.
    memories: Option<Vec<Memory>>,
}

impl Fapm {
    fn planned(&self) -> Result<&Plan> {
        self.plan.as_ref().ok_or_else(|| Error::state("fapm was not planned"))
    }

    fn fitted(&self) -> Result<&[Memory]> {
        self.memories.as_deref().ok_or_else(|| Error::state("fapm is not fitted"))
    }

    fn patches(&self, sample: &Sample<'_>) -> Result<(Vec<Patches>, Vec<bool>)> {
        self.planned()?.patches(sample, self.settings.pool as usize, &self.host)
    }

    /// The distances to the nearest rows at a valid cell of the finest grid, rank by rank, summed over the layers. A bank
    /// with fewer rows repeats its farthest.
    fn ranks(&self, cell: usize, patches: &[Patches]) -> Result<Vec<f32>> {
        let (plan, memories) = (self.planned()?, self.fitted()?);
        let mut ranks = vec![0f32; self.settings.neighbours as usize];
        for ((layer, memory), patches) in plan.layers.iter().zip(memories).zip(patches) {
            let (region, patch) = patches
                .find(layer.under[cell])
                .ok_or_else(|| Error::internal("a valid cell has no patch in some layer"))?;
            let found = memory.bank(region).nearest_k(patch, ranks.len(), &self.host)?;
            for (rank, sum) in ranks.iter_mut().enumerate() {
                *sum += found[[0, rank.min(found.ncols() - 1)]].distance();
            }
        }
        Ok(ranks)
    }

    fn thinning(&self) -> Thinning {
        Thinning {
            coreset: self.settings.coreset,
            adaptive: self.settings.adaptive,
            large: self.settings.large,
            max_bank: self.settings.max_bank as usize,
            seed: self.host.seed(),
        }
    }
}

impl Method for Fapm {
    type Params = Settings;
    const INFO: Info = Info {
        id: "fapm",
        name: "FAPM",
        summary: "Distance of each patch to the nearest patches of good scans in its own region, layer by layer; fast, needs aligned parts.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Kim, Park, Cho, Lee: FAPM: Fast Adaptive Patch Memory for Real-Time Industrial Anomaly Detection (ICASSP 2023)",
        deviations: "The paper does not say which regions are resampled; here those whose covering radius exceeds `large` times the \
            layer's mean. Their larger bank continues the first selection and replaces it. Any number of layers; regions \
            need not be of equal size. The coresets are selected among at most `max_rows` patches, drawn evenly within each \
            region, and hold at most `max_bank` rows together. A region without a valid training cell uses the bank of the \
            nearest region that has one. All ranks are searched at the farthest patch alone, which changes no result. \
            A masked cell is neither learnt nor scored, but enters its neighbours' averages as the step before left it.",
        inputs: &[InputPort {
            name: "features",
            doc: "Feature grids over the same part of the picture, such as the taps of a backbone; each has banks of its own.",
            content: &[Content::Features],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 0,
        }],
        outputs: &[OutputPort {
            name: "scores",
            doc: "Distance to the nearest row, summed over the layers, on the finest input grid; a cell is valid where it is in every input.",
            content: Content::Scores,
            layout: &[Layout::Grid],
        }],
        fitted: true,
        deterministic: true,
    };

    fn create(settings: Settings, host: Host) -> Result<Self> {
        if settings.pool % 2 == 0 {
            return Err(Error::parameter(
                "pool",
                format!("{} is even; a neighbourhood needs a centre", settings.pool),
            ));
        }
        Ok(Self { settings, host, plan: None, gathered: None, memories: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let plan = Plan::new(inputs, self.settings.cells as usize)?;
        let banks = plan.layers.len() * plan.regions();
        for (name, limit) in [("max_rows", self.settings.max_rows), ("max_bank", self.settings.max_bank)] {
            if (limit as usize) < banks {
                let message = format!(
                    "{limit} rows for {} layers of {} regions; each needs one: raise `{name}` or lower `cells`",
                    plan.layers.len(),
                    plan.regions()
                );
                return Err(Error::parameter(name, message));
            }
        }
        let output = OutputSpec::grid_like(assay_kernels::grids::finest(inputs)?, 1);
        self.plan = Some(plan);
        Ok(vec![output])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let (plan, memories) = (self.planned()?, self.fitted()?);
        let (patches, valid) = self.patches(sample)?;
        let nearest = distances(plan, memories, &patches, &self.host)?;
        let scores = out.grid(0)?;
        let flags = out.grid_valid(0)?;
        let mut worst = None::<usize>;
        for cell in (0..valid.len()).filter(|&cell| valid[cell]) {
            scores[cell] = plan.layers.iter().zip(&nearest).map(|(layer, d)| d[layer.under[cell]]).sum();
            flags[cell] = 1;
            if worst.is_none_or(|worst| scores[cell] > scores[worst]) {
                worst = Some(cell);
            }
        }
        let worst = worst.ok_or_else(|| Error::input("features", "the scan has no valid cell"))?;
        if self.settings.neighbours < 2 {
            return out.image_score(0, f64::from(scores[worst]));
        }
        let ranks = self.ranks(worst, &patches)?;
        let greatest = ranks.iter().copied().fold(0.0, f32::max);
        out.image_score(0, f64::from(softmax_weight(greatest, &ranks) * greatest))
    }

    fn fit_begin(&mut self, _fit: Fit) -> Result<()> {
        let plan = self.planned()?;
        let cells: Vec<usize> = plan.cells().collect();
        let channels = plan.layers.iter().flat_map(|l| std::iter::repeat_n(l.channels, plan.regions()));
        let gathered = channels
            .zip(shares(&cells, self.settings.max_rows as usize))
            .zip(0u64..)
            .map(|((channels, most), bank)| {
                Reservoir::new(channels, most, self.host.seed().wrapping_add(bank))
            })
            .collect::<std::result::Result<_, _>>()?;
        self.memories = None;
        self.gathered = Some(gathered);
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let (patches, _) = self.patches(sample)?;
        let regions = self.planned()?.regions();
        let gathered = self.gathered.as_mut().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        for (patches, reservoirs) in patches.iter().zip(gathered.chunks_exact_mut(regions)) {
            for (region, reservoir) in reservoirs.iter_mut().enumerate() {
                let rows = patches.region(region);
                reservoir.offer(rows, &vec![true; rows.nrows()])?;
            }
        }
        Ok(())
    }

    fn fit_end(&mut self) -> Result<Next> {
        let mut gathered =
            self.gathered.take().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        if gathered.iter().all(|reservoir| reservoir.seen() == 0) {
            return Err(Error::input("features", "no training scan has a valid cell"));
        }
        let plan = self.planned()?;
        let (regions, layers) = (plan.regions(), plan.layers.len());
        let thinning = self.thinning();
        let usual = thinning.usual(&gathered);
        let mut candidates = Vec::with_capacity(gathered.len());
        for (layer, usual) in usual.chunks_exact(regions).enumerate() {
            self.host.progress(layer as f64 / layers as f64, "selecting the coresets")?;
            let part = gathered.drain(..regions).collect();
            candidates.extend(thinning.order(part, usual, layer * regions, &self.host)?);
        }
        let mut rows = thinning.keep(candidates, regions).into_iter();
        let memories = (0..layers)
            .map(|_| Memory::new(rows.by_ref().take(regions).collect(), plan.across, &self.host))
            .collect::<std::result::Result<_, _>>()?;
        self.memories = Some(memories);
        Ok(Next::Done)
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let (plan, memories) = (self.planned()?, self.fitted()?);
        write_u64(out, STATE_VERSION)?;
        plan.shape().try_for_each(|n| write_u64(out, n as u64))?;
        memories.iter().try_for_each(|memory| memory.save(out))
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let plan = self.planned()?;
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            return Err(Error::state(format!(
                "the saved banks have version {version}, not {STATE_VERSION}; fit again"
            )));
        }
        for (expected, what) in plan.shape().zip(Plan::SHAPE.iter().chain(Plan::LAYER.iter().cycle())) {
            let found = read_u64(input)?;
            if found != expected as u64 {
                let message =
                    format!("the saved banks are for {found} {what}, here are {expected}; fit again");
                return Err(Error::state(message));
            }
        }
        let mut left = self.settings.max_bank as usize;
        let mut memories = Vec::with_capacity(plan.layers.len());
        for layer in &plan.layers {
            let memory = Memory::load(input, plan, layer, left, &self.host)?;
            left -= memory.len();
            memories.push(memory);
        }
        self.memories = Some(memories);
        Ok(())
    }
}
