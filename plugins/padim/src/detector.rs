//! The `padim` method.

use std::io::{Read, Write};

use assay_kernels::choice::choose;
use assay_kernels::embed::{Embedding, embed};
use assay_kernels::gaussian::{Gaussians, Moments, Storage, triangle};
use assay_kernels::grids::{finest, maps, valid_everywhere};
use assay_sdk::state::{
    read_count, read_f32s, read_u8s, read_u32s, read_u64, write_f32s, write_u8s, write_u32s, write_u64,
};
use assay_sdk::{
    Content, Error, Fit, Host, Info, InputPort, Layout, Method, Next, OutputPort, OutputSpec, Outputs,
    Result, Sample, Spec,
};
use half::f16;
use ndarray::{Array2, s};

assay_sdk::params! {
    /// Parameters of PaDiM.
    pub struct Settings {
        /// Feature channels kept, drawn once at random; 0 keeps all. Memory and time grow with the square.
        channels: i64 = 100, min = 0.0, max = 1e6;
        /// Added to the diagonal of each covariance. With no more scans than channels it alone decides how far directions count that never varied.
        epsilon: f64 = 0.01, min = 1e-12, max = 1e12;
        /// How the Gaussians' factors are kept: "f16" takes half the memory of "f32" and moves distances by less than a part in a thousand.
        storage: String = "f32".into(), choices = &["f32", "f16"];
        /// Most memory of a fit. Where all positions together need more, they are learnt in bands, with a pass over the training scans for each; what cannot be kept at all is refused before anything is learnt. The default leaves a WideResNet-50 at 224 pixels room within 2.5 GB.
        memory_limit: i64 = 1950, min = 1.0, max = 1e9, unit = "MiB";
    }
}

/// Changes with the layout of the saved state: with factors in f32, and in f16.
const STATE_VERSION: u64 = 1;
const STATE_VERSION_HALF: u64 = 2;

/// Bytes of a value while the covariances are summed and factored.
const FIT_BYTES: usize = size_of::<f64>();

/// Bytes of as many positions in f32 as are stored at a time.
const BLOCK_BYTES: usize = Gaussians::ABREAST * size_of::<f32>();

/// Most passes over the training scans.
const PASSES: usize = 100;

/// One Gaussian a position.
pub struct Padim {
    settings: Settings,
    host: Host,
    plan: Option<Plan>,
    /// What the pass at work sums up.
    moments: Option<Moments>,
    /// The positions of earlier passes, while fitting.
    learnt: Option<Gaussians>,
    model: Option<Gaussians>,
}

/// The grid that scores lie on, and the channels kept of those that come.
struct Plan {
    rows: usize,
    cols: usize,
    available: usize,
    channels: Vec<usize>,
    /// Positions learnt in one pass.
    band: usize,
}

impl Plan {
    fn positions(&self) -> usize {
        self.rows * self.cols
    }
}

impl Padim {
    fn planned(&self) -> Result<&Plan> {
        self.plan.as_ref().ok_or_else(|| Error::state("padim was not planned"))
    }

    /// Vectors [positions, channels kept] of a scan and which of them are valid.
    fn vectors(&self, sample: &Sample<'_>) -> Result<(Array2<f32>, Vec<bool>)> {
        let plan = self.planned()?;
        let grids = sample.grids()?;
        let how = Embedding { channels: Some(&plan.channels), ..Embedding::PADIM };
        let vectors = embed(&maps(&grids)?, &how, &self.host)?;
        if vectors.nrows() != plan.rows * plan.cols {
            return Err(Error::input("features", "the grids are not those that were planned"));
        }
        Ok((vectors, valid_everywhere(&grids, plan.rows, plan.cols)))
    }

    fn storage(&self) -> Storage {
        if self.settings.storage == "f16" { Storage::Half } else { Storage::Single }
    }

    /// How many positions of `d` dimensions one pass learns, of all `positions`.
    fn band(&self, d: usize, positions: usize) -> Result<usize> {
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        let most = (self.settings.memory_limit as usize).saturating_mul(1 << 20);
        let values = triangle(d)?.saturating_add(d);
        let stored = positions.next_multiple_of(Gaussians::ABREAST);
        let kept = values
            .saturating_mul(stored)
            .saturating_mul(self.storage().bytes())
            .saturating_add(values.saturating_mul(BLOCK_BYTES));
        let least = values.saturating_mul(FIT_BYTES).saturating_mul(positions.div_ceil(PASSES));
        if kept.saturating_add(least) > most {
            let message = format!(
                "{d} channels at {positions} positions need {} MiB to fit, more than memory_limit = {}; lower `channels`, \
                 use a coarser grid, store them as \"f16\", or raise `memory_limit`",
                mib(kept.saturating_add(least)),
                self.settings.memory_limit
            );
            return Err(Error::parameter("channels", message));
        }
        Ok(((most - kept) / values.saturating_mul(FIT_BYTES)).min(positions))
    }
}

impl Method for Padim {
    type Params = Settings;
    const INFO: Info = Info {
        id: "padim",
        name: "PaDiM",
        summary: "Mahalanobis distance of each position's features to their Gaussian over good scans; needs aligned parts.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Defard, Setkov, Loesch, Audigier: PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization (2020)",
        deviations: "The image score is the greatest distance; the paper takes the greatest after smoothing, and here the host \
            smooths the map afterwards. A position with fewer than 2 valid training cells is not scored. Covariances \
            are summed in f64, their Cholesky factors kept in f32. With no more scans than channels the covariance is \
            singular and epsilon alone regularises it, as in the paper.",
        inputs: &[InputPort {
            name: "features",
            doc: "Feature grids over the same part of the picture, such as the taps of a backbone; coarser cells are replicated on the finest.",
            content: &[Content::Features],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 0,
        }],
        outputs: &[OutputPort {
            name: "scores",
            doc: "Mahalanobis distance, on the finest input grid; a cell is valid where it is in every input and was learnt.",
            content: Content::Scores,
            layout: &[Layout::Grid],
        }],
        fitted: true,
        deterministic: true,
    };

    fn create(settings: Settings, host: Host) -> Result<Self> {
        Ok(Self { settings, host, plan: None, moments: None, learnt: None, model: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let finest = finest(inputs)?;
        let available = inputs.iter().map(|s| s.channels).sum();
        let kept = if self.settings.channels == 0 { available } else { self.settings.channels as usize };
        let channels = choose(available, kept, self.host.seed());
        let band = self.band(channels.len(), finest.rows * finest.cols)?;
        self.plan = Some(Plan { rows: finest.rows, cols: finest.cols, available, channels, band });
        Ok(vec![OutputSpec::grid_like(finest, 1)])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let model = self.model.as_ref().ok_or_else(|| Error::state("padim is not fitted"))?;
        let (vectors, valid) = self.vectors(sample)?;
        let distances = model.distances(vectors.view(), &valid, &self.host)?;
        let scores = out.grid(0)?;
        scores.copy_from_slice(&distances);
        let mut greatest = None::<f32>;
        for (cell, flag) in out.grid_valid(0)?.iter_mut().enumerate() {
            if valid[cell] && model.valid()[cell] {
                *flag = 1;
                greatest = Some(greatest.map_or(scores[cell], |g| g.max(scores[cell])));
            }
        }
        let greatest =
            greatest.ok_or_else(|| Error::input("features", "the scan has no valid cell that was learnt"))?;
        out.image_score(0, f64::from(greatest))
    }

    fn fit_begin(&mut self, fit: Fit) -> Result<()> {
        let earlier = self.learnt.take().filter(|_| fit.pass > 0);
        let plan = self.planned()?;
        let (dims, positions) = (plan.channels.len(), plan.positions());
        let learnt = match earlier {
            Some(learnt) => learnt,
            None => Gaussians::none(dims, positions, self.storage())?,
        };
        let moments = Moments::new(plan.band.min(positions - learnt.valid().len()), dims)?;
        self.model = None;
        self.learnt = Some(learnt);
        self.moments = Some(moments);
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let (vectors, valid) = self.vectors(sample)?;
        let (Some(moments), Some(learnt)) = (self.moments.as_mut(), self.learnt.as_ref()) else {
            return Err(Error::state("no pass of the fit has begun"));
        };
        let first = learnt.valid().len();
        let band = first..first + moments.positions();
        Ok(moments.add(vectors.slice(s![band.clone(), ..]), &valid[band], &self.host)?)
    }

    fn fit_end(&mut self) -> Result<Next> {
        let (Some(moments), Some(mut learnt)) = (self.moments.take(), self.learnt.take()) else {
            return Err(Error::state("no pass of the fit has begun"));
        };
        let positions = self.planned()?.positions();
        let done = (learnt.valid().len() + moments.positions()) as f64 / positions as f64;
        self.host.progress(done, "factoring the covariances")?;
        moments.finish_into(&mut learnt, self.settings.epsilon, &self.host)?;
        if learnt.valid().len() < positions {
            self.learnt = Some(learnt);
            return Ok(Next::AnotherPass);
        }
        if !learnt.valid().contains(&true) {
            return Err(Error::input(
                "features",
                "no position is valid in 2 training scans; a Gaussian needs 2",
            ));
        }
        self.model = Some(learnt);
        Ok(Next::Done)
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let model = self.model.as_ref().ok_or_else(|| Error::state("padim is not fitted"))?;
        let plan = self.planned()?;
        let version = match model.storage() {
            Storage::Single => STATE_VERSION,
            Storage::Half => STATE_VERSION_HALF,
        };
        for n in
            [version, plan.rows as u64, plan.cols as u64, plan.available as u64, plan.channels.len() as u64]
        {
            write_u64(out, n)?;
        }
        write_u32s(out, &plan.channels.iter().map(|&c| c as u32).collect::<Vec<_>>())?;
        write_u8s(out, &model.valid().iter().map(|&v| u8::from(v)).collect::<Vec<_>>())?;
        write_f32s(out, model.means())?;
        let mut result = Ok(());
        model.factors(|factor| {
            if result.is_ok() {
                result = match model.storage() {
                    Storage::Single => write_f32s(out, factor),
                    Storage::Half => write_u8s(out, &halves(factor)),
                };
            }
        });
        result
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let planned = self.planned()?;
        let version = read_u64(input)?;
        let storage = match version {
            STATE_VERSION => Storage::Single,
            STATE_VERSION_HALF => Storage::Half,
            _ => {
                return Err(Error::state(format!(
                    "the saved model has version {version}, not {STATE_VERSION} or {STATE_VERSION_HALF}; fit again"
                )));
            }
        };
        let shape = [read_u64(input)?, read_u64(input)?, read_u64(input)?];
        if shape != [planned.rows as u64, planned.cols as u64, planned.available as u64] {
            let message = format!(
                "the saved model is for {}x{} cells of {} channels, the inputs have {}x{} of {}; fit again",
                shape[0], shape[1], shape[2], planned.rows, planned.cols, planned.available
            );
            return Err(Error::state(message));
        }
        let (rows, cols, available) = (planned.rows, planned.cols, planned.available);
        // The channels are the model's: another seed would have drawn others.
        let kept = read_count(input, available, "channels")?;
        let channels: Vec<usize> = read_u32s(input, kept)?.into_iter().map(|c| c as usize).collect();
        if !channels.is_sorted_by(|a, b| a < b) || channels.last().is_none_or(|&c| c >= available) {
            return Err(Error::state("the saved model keeps channels that do not exist"));
        }
        let positions = rows * cols;
        let band = self.band(kept, positions)?;
        let plan = Plan { rows, cols, available, channels, band };
        let valid = read_u8s(input, positions)?;
        if valid.iter().any(|&v| v > 1) {
            return Err(Error::state("the saved model has a mask of neither 0 nor 1"));
        }
        let means = read_f32s(input, positions * kept)?;
        let packed = triangle(kept)?;
        let mut model = Gaussians::none(kept, positions, storage)?;
        let valid: Vec<bool> = valid.iter().map(|&v| v == 1).collect();
        for (valid, means) in
            valid.chunks(Gaussians::ABREAST).zip(means.chunks(Gaussians::ABREAST.saturating_mul(kept)))
        {
            let values = valid.len() * packed;
            let factors = match storage {
                Storage::Single => read_f32s(input, values)?,
                Storage::Half => singles(&read_u8s(input, 2 * values)?),
            };
            model.extend(valid, means, &factors).map_err(|e| Error::state(e.to_string()))?;
        }
        self.plan = Some(plan);
        self.model = Some(model);
        Ok(())
    }
}

/// Bytes of the values in half floats, which hold them exactly.
fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect()
}

/// The values of half floats.
fn singles(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
}
