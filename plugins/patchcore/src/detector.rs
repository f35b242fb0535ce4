//! The `patchcore` method.

use std::io::{Read, Write};

use assay_kernels::bank::Bank;
use assay_kernels::score::Weighting;
use assay_sdk::state::{read_count, read_f32s, read_u64, write_f32s, write_u64};
use assay_sdk::{
    Content, Error, Fit, Host, Info, InputPort, Layout, Method, Next, OutputPort, OutputSpec, Outputs,
    Result, Sample, Spec,
};
use ndarray::{Array2, Axis, CowArray};

use crate::gather::{Gather, Limits};
use crate::patches::Plan;

assay_sdk::params! {
    /// Parameters of PatchCore.
    pub struct Settings {
        /// How much of the training patches the bank keeps: up to 1 a share of all patches seen, above 1 a number of rows.
        coreset: f64 = 0.1, min = 1e-6, max = 1e9;
        /// Most training patches that one selection of the coreset compares; its time grows faster than their number.
        max_rows: i64 = 200_000, min = 1.0, max = 1e9, unit = "rows";
        /// What happens to more patches than `max_rows`: "draw" draws so many evenly from all; "parts" thins each part of them in turn and selects the bank from what the parts keep, so that no rare patch is missed, in a time that grows with their number.
        excess: String = "draw".into(), choices = &["draw", "parts"];
        /// Most memory of a fit beside the bank. Patches that would take more are kept in the scratch folder, and where even what is compared of them would, fewer than `max_rows` are compared.
        memory_limit: i64 = 256, min = 1.0, max = 1e9, unit = "MiB";
        /// Most rows of the bank, whatever `coreset` asks for: it bounds the time of a scan.
        max_bank: i64 = 10_000, min = 1.0, max = 1e9, unit = "rows";
        /// Bank rows near the nearest one that weigh the image score (b of Eq. 7); 0 or 1: the image score is the greatest patch score.
        neighbours: i64 = 9, min = 0.0, max = 1000.0, unit = "rows";
        /// How those rows weigh it: "patchcore" as Eq. 7; "btf" as the code of Back to the Feature, where the nearest row itself does not count and distances are divided by the square root of a patch's length.
        weighting: String = "patchcore".into(), choices = &["patchcore", "btf"];
        /// Side of the neighbourhood that each patch is averaged over; odd, 1 for none. Of grids alone.
        pool: i64 = 3, min = 1.0, max = 255.0, unit = "cells";
        /// How layers become one vector a cell: "joint" averages each neighbourhood of each layer, and then all layers together, to `width` values (the paper's official code); "concat" takes the layers' averages side by side; "auto" is joint where the layers have more than `width` channels together. Of grids alone.
        embedding: String = "auto".into(), choices = &["auto", "joint", "concat"];
        /// Length of a vector under "joint". Of grids alone.
        width: i64 = 1024, min = 1.0, max = 65_536.0;
        /// Dimensions of the random projection that the coreset is selected in; 0 for none. The bank keeps the original vectors.
        projection: i64 = 128, min = 0.0, max = 65_536.0;
    }
}

/// Changes with the layout of the saved state.
const STATE_VERSION: u64 = 1;

/// A memory bank of patch vectors of good scans.
pub struct PatchCore {
    settings: Settings,
    host: Host,
    plan: Option<Plan>,
    /// The patches held so far, while fitting.
    gathered: Option<Gather>,
    bank: Option<Bank>,
}

impl PatchCore {
    fn planned(&self) -> Result<Plan> {
        self.plan.ok_or_else(|| Error::state("patchcore was not planned"))
    }
}

impl Method for PatchCore {
    type Params = Settings;
    const INFO: Info = Info {
        id: "patchcore",
        name: "PatchCore",
        summary: "Distance of each patch to the nearest patch of good scans, from a memory bank thinned by greedy k-centre.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards Total Recall in Industrial Anomaly Detection (CVPR 2022)",
        deviations: "Layers of 1024 channels or fewer together are averaged over the neighbourhood and concatenated, as anomalib does; \
            wider ones are pooled to 1024 values as in the official code. The coreset is selected among at most `max_rows` \
            patches at once and holds at most `max_bank`. A masked cell is neither learnt nor scored, but enters \
            its neighbours' averages as the step before left it. Of a cloud, which the paper does not have, each point is a \
            patch as it is.",
        inputs: &[InputPort {
            name: "features",
            doc: "Feature grids over the same part of the picture, such as the taps of a backbone, which are brought to the finest; \
                or clouds of the same points, whose columns are put side by side.",
            content: &[Content::Features],
            layout: &[Layout::Grid, Layout::Cloud],
            min_count: 1,
            max_count: 0,
        }],
        outputs: &[OutputPort {
            name: "scores",
            doc: "Distance to the nearest bank row, on the finest input grid or of each point of the cloud; a cell or point is valid \
                where it is in every input.",
            content: Content::Scores,
            layout: &[Layout::Grid, Layout::Cloud],
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
        Ok(Self { settings, host, plan: None, gathered: None, bank: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let (plan, scores) = Plan::new(inputs, &self.settings)?;
        self.plan = Some(plan);
        Ok(vec![scores])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let bank = self.bank.as_ref().ok_or_else(|| Error::state("patchcore is not fitted"))?;
        let plan = self.planned()?;
        let patches = plan.patches(sample, &self.settings, &self.host)?;
        let valid = &patches.valid;
        let cells: Vec<usize> = (0..valid.len()).filter(|&i| valid[i]).collect();
        let measured = if cells.len() == valid.len() {
            patches.vectors.view().into()
        } else {
            CowArray::from(patches.vectors.select(Axis(0), &cells))
        };
        let nearest = bank.nearest(measured.view(), &self.host)?;
        let worst =
            (0..nearest.len()).reduce(|a, b| if nearest[b].squared > nearest[a].squared { b } else { a });
        let worst = worst.ok_or_else(|| Error::input("features", "the scan has no valid cell or point"))?;
        let (scores, flags) = plan.outputs(&patches, out)?;
        for (&cell, found) in cells.iter().zip(&nearest) {
            scores[cell] = found.distance();
            flags[cell] = 1;
        }
        let around = self.settings.neighbours as usize;
        let weighting = if self.settings.weighting == "btf" { Weighting::Btf } else { Weighting::PatchCore };
        let image = bank.image_score(measured.row(worst), nearest[worst], around, weighting, &self.host)?;
        out.image_score(0, f64::from(image))
    }

    fn fit_begin(&mut self, fit: Fit) -> Result<()> {
        let plan = self.planned()?;
        let Settings { max_rows, max_bank, memory_limit, projection, .. } = self.settings;
        let limits = Limits {
            channels: plan.channels,
            projection: if projection == 0 { plan.channels } else { projection as usize },
            max_rows: max_rows as usize,
            max_bank: max_bank as usize,
            memory: (memory_limit as usize).saturating_mul(1 << 20),
            parts: self.settings.excess == "parts",
            scans: usize::try_from(fit.samples).unwrap_or(usize::MAX),
            cells: plan.cells(),
            tell: fit.fold == 0 && fit.pass == 0,
        };
        self.bank = None;
        self.gathered = Some(Gather::new(&limits, self.host)?);
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let patches = self.planned()?.patches(sample, &self.settings, &self.host)?;
        let gathered = self.gathered.as_mut().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        Ok(gathered.offer(patches.vectors.view(), &patches.valid)?)
    }

    fn fit_end(&mut self) -> Result<Next> {
        let gathered = self.gathered.take().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        if gathered.seen() == 0 {
            return Err(Error::input("features", "no training scan has a valid cell or point"));
        }
        self.host.progress(0.0, "selecting the coreset")?;
        self.bank = Some(gathered.finish(self.settings.coreset)?);
        Ok(Next::Done)
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let bank = self.bank.as_ref().ok_or_else(|| Error::state("patchcore is not fitted"))?;
        write_u64(out, STATE_VERSION)?;
        write_u64(out, bank.dims() as u64)?;
        write_u64(out, bank.len() as u64)?;
        bank.rows().outer_iter().try_for_each(|row| write_f32s(out, row.to_slice().unwrap_or_default()))
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let plan = self.planned()?;
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            return Err(Error::state(format!(
                "the saved bank has version {version}, not {STATE_VERSION}; fit again"
            )));
        }
        let dims = read_count(input, usize::MAX, "channels")?;
        if dims != plan.channels {
            let message =
                format!("the bank has {dims} channels, the inputs give {}; fit again", plan.channels);
            return Err(Error::state(message));
        }
        let rows = read_count(input, self.settings.max_bank as usize, "bank rows")?;
        let len =
            rows.checked_mul(dims).ok_or_else(|| Error::state("the saved bank is larger than memory"))?;
        let rows = Array2::from_shape_vec((rows, dims), read_f32s(input, len)?)
            .map_err(|e| Error::state(format!("the saved bank has no shape: {e}")))?;
        self.bank = Some(Bank::new(rows, &self.host).map_err(|e| Error::state(e.to_string()))?);
        Ok(())
    }
}
