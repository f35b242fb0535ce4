//! The `padim` method.

use std::io::{Read, Write};

use assay_kernels::choice::choose;
use assay_kernels::embed::{Embedding, embed};
use assay_kernels::gaussian::{Gaussians, Moments, triangle};
use assay_kernels::grids::{finest, maps, valid_everywhere};
use assay_sdk::state::{
    read_count, read_f32s, read_u8s, read_u32s, read_u64, write_f32s, write_u8s, write_u32s, write_u64,
};
use assay_sdk::{
    Content, Error, Fit, Host, Info, InputPort, Layout, Method, Next, OutputPort, OutputSpec, Outputs,
    Result, Sample, Spec,
};
use ndarray::Array2;

assay_sdk::params! {
    /// Parameters of PaDiM.
    pub struct Settings {
        /// Feature channels kept, drawn once at random; 0 keeps all. Memory and time grow with the square.
        channels: i64 = 100, min = 0.0, max = 1e6;
        /// Added to the diagonal of each covariance. With no more scans than channels it alone decides how far directions count that never varied.
        epsilon: f64 = 0.01, min = 1e-12, max = 1e12;
        /// Most memory of a fit; a grid and channels that need more are refused before anything is learnt.
        max_memory: i64 = 4096, min = 1.0, max = 1e9, unit = "MiB";
    }
}

/// Changes with the layout of the saved state.
const STATE_VERSION: u64 = 1;

/// Bytes of a value while the covariances are summed (f64) and factored (f32 beside it).
const FIT_BYTES: usize = size_of::<f64>() + size_of::<f32>();

/// One Gaussian a position.
pub struct Padim {
    settings: Settings,
    host: Host,
    plan: Option<Plan>,
    moments: Option<Moments>,
    model: Option<Gaussians>,
}

/// The grid that scores lie on, and the channels kept of those that come.
struct Plan {
    rows: usize,
    cols: usize,
    available: usize,
    channels: Vec<usize>,
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

    fn check_memory(&self, plan: &Plan) -> Result<()> {
        let d = plan.channels.len();
        let values = triangle(d)?.saturating_add(d).saturating_mul(plan.rows * plan.cols);
        let mib = values.saturating_mul(FIT_BYTES) >> 20;
        if mib as u64 > self.settings.max_memory as u64 {
            let message = format!(
                "{d} channels at {} positions need {mib} MiB to fit, more than max_memory = {}; lower `channels`, \
                 use a coarser grid, or raise `max_memory`",
                plan.rows * plan.cols,
                self.settings.max_memory
            );
            return Err(Error::parameter("channels", message));
        }
        Ok(())
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
        Ok(Self { settings, host, plan: None, moments: None, model: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let finest = finest(inputs)?;
        let available = inputs.iter().map(|s| s.channels).sum();
        let kept = if self.settings.channels == 0 { available } else { self.settings.channels as usize };
        let channels = choose(available, kept, self.host.seed());
        let plan = Plan { rows: finest.rows, cols: finest.cols, available, channels };
        self.check_memory(&plan)?;
        self.plan = Some(plan);
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

    fn fit_begin(&mut self, _fit: Fit) -> Result<()> {
        let plan = self.planned()?;
        let moments = Moments::new(plan.rows * plan.cols, plan.channels.len())?;
        self.model = None;
        self.moments = Some(moments);
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let (vectors, valid) = self.vectors(sample)?;
        let moments = self.moments.as_mut().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        Ok(moments.add(vectors.view(), &valid, &self.host)?)
    }

    fn fit_end(&mut self) -> Result<Next> {
        let moments = self.moments.take().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        self.host.progress(0.0, "factoring the covariances")?;
        let model = moments.finish(self.settings.epsilon, &self.host)?;
        if !model.valid().contains(&true) {
            return Err(Error::input(
                "features",
                "no position is valid in 2 training scans; a Gaussian needs 2",
            ));
        }
        self.model = Some(model);
        Ok(Next::Done)
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let model = self.model.as_ref().ok_or_else(|| Error::state("padim is not fitted"))?;
        let plan = self.planned()?;
        for n in [
            STATE_VERSION,
            plan.rows as u64,
            plan.cols as u64,
            plan.available as u64,
            plan.channels.len() as u64,
        ] {
            write_u64(out, n)?;
        }
        write_u32s(out, &plan.channels.iter().map(|&c| c as u32).collect::<Vec<_>>())?;
        write_u8s(out, &model.valid().iter().map(|&v| u8::from(v)).collect::<Vec<_>>())?;
        write_f32s(out, model.means())?;
        write_f32s(out, model.factors())
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let planned = self.planned()?;
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            return Err(Error::state(format!(
                "the saved model has version {version}, not {STATE_VERSION}; fit again"
            )));
        }
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
        let plan = Plan { rows, cols, available, channels };
        self.check_memory(&plan)?;
        let positions = rows * cols;
        let valid = read_u8s(input, positions)?;
        if valid.iter().any(|&v| v > 1) {
            return Err(Error::state("the saved model has a mask of neither 0 nor 1"));
        }
        let means = read_f32s(input, positions * kept)?;
        let factors = read_f32s(input, positions * triangle(kept)?)?;
        let valid = valid.iter().map(|&v| v == 1).collect();
        let model =
            Gaussians::from_parts(kept, valid, means, factors).map_err(|e| Error::state(e.to_string()))?;
        self.plan = Some(plan);
        self.model = Some(model);
        Ok(())
    }
}
