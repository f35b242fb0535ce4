//! The method `m3dm`.

use crate::patches::{Modality, Patches, Plan};
use crate::standard::{Scales, Standard};
use crate::uff::{Options, Pairs, fuse, train};
use assay_kernels::apart::Apart;
use assay_kernels::choice::choose;
use assay_sdk::state::{read_count, read_u8s, read_u64, write_u8s, write_u64};
use assay_sdk::{
    Content, Error, Fit, Host, Info, InputPort, Layout, Method, Next, OnnxSession, OutputPort, OutputSpec,
    Outputs, Result, Sample, Spec,
};
use assay_training::device::{CHOICES, chosen};
use ndarray::{Array2, ArrayView2, Axis, s};
use std::io::{Read, Write};
use std::time::Duration;

assay_sdk::params! {
    /// Parameters of M3DM.
    pub struct Settings {
        /// Unsupervised feature fusion: whether the fused patches go through a network that is trained on the good scans; else they are the patches of both modalities side by side.
        uff: bool = true;
        /// Side of the neighbourhood that each patch is averaged over; odd, 1 for none.
        pool: i64 = 3, min = 1.0, max = 255.0, unit = "cells";
        /// Width of the network's hidden layers, in widths of a patch.
        hidden: i64 = 4, min = 1.0, max = 64.0;
        /// Length of the vectors by which the training compares patches.
        compared: i64 = 256, min = 1.0, max = 65_536.0;
        /// Temperature of the comparison (T of Eq. 4).
        temperature: f64 = 1.0, min = 1e-3, max = 1e3;
        /// Highest learning rate; it rises over the first epoch, then falls along half a cosine.
        learning_rate: f64 = 0.003, min = 1e-9, max = 10.0;
        /// Times that the training sees each of its patches.
        epochs: i64 = 3, min = 1.0, max = 1e5;
        /// Most patches of a step, each compared with all others. By default an epoch has about as many steps as the paper's, in which a step is 16 of 223 scans; of few patches a step has fewer, but not below 256, for as many steps.
        batch: i64 = 8192, min = 2.0, max = 65_536.0;
        /// Most pairs of patches that are learned from, evenly drawn from all scans.
        max_rows: i64 = 100_000, min = 2.0, max = 1e9, unit = "rows";
        /// A time after which the best network so far is taken; 0 for none. A training that it ends is not repeatable.
        max_minutes: f64 = 0.0, min = 0.0, max = 1e6, unit = "min";
        /// What the fusion trains on; auto is CUDA where the plugin was built for it and there is a device, else the processor. Only the processor gives the same bits each time.
        device: String = "auto".into(), choices = CHOICES;
    }
}

/// Changes with the layout of the saved state.
const STATE_VERSION: u64 = 1;

/// Most bytes of a saved network.
const MOST_BYTES: usize = 1 << 31;

/// Most pairs that are held out.
const HELD_ROWS: usize = 8192;

/// Features of both modalities and their fusion.
pub struct M3dm {
    settings: Settings,
    host: Host,
    plan: Option<Plan>,
    gathered: Option<Apart>,
    fitted: Option<Fitted>,
}

/// What is learned.
struct Fitted {
    /// The scales of the inputs of colour and of 3D.
    sides: [Scales; 2],
    /// The scale of fused patches.
    fused: Standard,
    network: Option<Network>,
}

struct Network {
    onnx: Vec<u8>,
    session: OnnxSession,
}

impl M3dm {
    fn planned(&self) -> Result<&Plan> {
        self.plan.as_ref().ok_or_else(|| Error::state("m3dm was not planned"))
    }

    fn fitted(&self) -> Result<&Fitted> {
        self.fitted.as_ref().ok_or_else(|| Error::state("m3dm is not fitted"))
    }

    /// The patches of a modality as they come.
    fn patches(&self, modality: Modality, sample: &Sample<'_>) -> Result<Patches> {
        self.planned()?.patches(modality, sample, self.settings.pool as usize, &self.host)
    }

    /// What the network makes of pairs of patches; without one the pairs as they are.
    fn fuse(pairs: Array2<f32>, network: Option<&OnnxSession>, widths: [usize; 2]) -> Result<Vec<f32>> {
        let Some(session) = network else { return Ok(pairs.into_iter().collect()) };
        let (rgb, xyz) = pairs.view().split_at(Axis(1), widths[0]);
        let values = |part: ArrayView2<f32>| part.iter().copied().collect::<Vec<f32>>();
        fuse(session, &values(rgb), &values(xyz), widths)
    }

    fn options(&self) -> Options {
        let Settings { hidden, compared, temperature, learning_rate, epochs, batch, max_minutes, .. } =
            self.settings;
        Options {
            hidden: hidden as usize,
            compared: compared as usize,
            temperature,
            rate: learning_rate,
            epochs: epochs as usize,
            batch: batch as usize,
            time: (max_minutes > 0.0).then(|| Duration::from_secs_f64(60.0 * max_minutes)),
            seed: self.host.seed(),
        }
    }
}

/// Puts the rows `[n, channels]` on a grid output's planes.
fn write_planes<'a>(values: impl Iterator<Item = &'a f32>, channels: usize, planes: &mut [f32]) {
    let cells = planes.len() / channels.max(1);
    for (i, &value) in values.enumerate() {
        planes[i % channels * cells + i / channels] = value;
    }
}

impl Method for M3dm {
    type Params = Settings;
    const INFO: Info = Info {
        id: "m3dm",
        name: "M3DM hybrid fusion",
        summary: "Features of colour, of 3D and of both fused by a network trained on the good scans to tell which patches belong together; \
                  for three banks and a decision layer.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Wang, Peng, Zhang, Yi, Xie, Wang, Wang: Multimodal Industrial Anomaly Detection via Hybrid Fusion (CVPR 2023)",
        deviations: "The extractors are those of the recipe; point features come on a grid. Trained on single patches drawn from all scans instead \
                     of whole scans, paired at the same place (the published code pairs them out of place), and the network is the one \
                     with the lowest loss on scans held out of the training. The banks and the decision layer are steps of their own, \
                     `patchcore` and `one-class-svm`.",
        inputs: &[
            InputPort {
                name: "rgb",
                doc: "Feature grids of the colour image, over the same part of the picture.",
                content: &[Content::Features],
                layout: &[Layout::Grid],
                min_count: 1,
                max_count: 0,
            },
            InputPort {
                name: "xyz",
                doc: "Feature grids of the 3D points, over the same part of the picture as those of the colour image.",
                content: &[Content::Features],
                layout: &[Layout::Grid],
                min_count: 1,
                max_count: 0,
            },
        ],
        outputs: &[
            OutputPort {
                name: "rgb",
                doc: "Patches of the colour image on one scale, on the finest of its grids.",
                content: Content::Features,
                layout: &[Layout::Grid],
            },
            OutputPort {
                name: "xyz",
                doc: "Patches of the 3D points on one scale, on the finest of their grids.",
                content: Content::Features,
                layout: &[Layout::Grid],
            },
            OutputPort {
                name: "fused",
                doc: "Fused patches on one scale, on the finer of both grids; a cell is valid where it is in both.",
                content: Content::Features,
                layout: &[Layout::Grid],
            },
        ],
        fitted: true,
        deterministic: true,
    };
    const OWN_THREADS: bool = true;

    fn create(settings: Settings, host: Host) -> Result<Self> {
        if settings.pool % 2 == 0 {
            let message = format!("{} is even; a neighbourhood needs a centre", settings.pool);
            return Err(Error::parameter("pool", message));
        }
        Ok(Self { settings, host, plan: None, gathered: None, fitted: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let (plan, outputs) = Plan::new(inputs)?;
        self.plan = Some(plan);
        Ok(outputs)
    }

    fn fit_begin(&mut self, fit: Fit) -> Result<()> {
        let dims: usize = self.planned()?.widths().iter().sum();
        let rows = self.settings.max_rows as usize;
        let seed = self.host.seed();
        if self.settings.uff {
            // Before anything is gathered for it.
            chosen(&self.settings.device)?;
        }
        self.fitted = None;
        self.gathered = Some(Apart::new(dims, [rows, HELD_ROWS.min(rows)], fit.samples, seed)?);
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let (rgb, xyz) = (self.patches(Modality::Rgb, sample)?, self.patches(Modality::Xyz, sample)?);
        let pairs = self.planned()?.pairs(&rgb, &xyz);
        let gathered = self.gathered.as_mut().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        Ok(gathered.offer(sample.id, pairs.vectors.view(), &pairs.valid)?)
    }

    fn fit_end(&mut self) -> Result<Next> {
        let gathered = self.gathered.take().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        let plan = self.planned()?;
        let widths = plan.widths();
        let [mut learned, mut held] = gathered.into_rows();
        if learned.nrows() == 0 {
            return Err(Error::input(
                "features",
                "no training scan has a cell that is valid in colour and in 3D",
            ));
        }
        let sides = [
            Scales::of(learned.slice(s![.., ..widths[0]]), plan.parts(Modality::Rgb)),
            Scales::of(learned.slice(s![.., widths[0]..]), plan.parts(Modality::Xyz)),
        ];
        let both = Scales::side_by_side(&sides);
        both.apply(&mut learned);
        both.apply(&mut held);
        let network = self.settings.uff.then(|| -> Result<Network> {
            let pairs = |rows| Pairs { rows, split: widths[0] };
            let device = chosen(&self.settings.device)?;
            let onnx = train(pairs(learned.view()), pairs(held.view()), &self.options(), device, &self.host)?;
            Ok(Network { session: self.host.open_onnx(&onnx, "fusion of patches")?, onnx })
        });
        let network = network.transpose()?;
        // A part of the patches tells the scale of what is made of them.
        let some = learned.select(Axis(0), &choose(learned.nrows(), HELD_ROWS, self.host.seed()));
        let fused = Self::fuse(some, network.as_ref().map(|n| &n.session), widths)?;
        self.fitted = Some(Fitted { sides, fused: Standard::of(fused.iter().copied()), network });
        Ok(Next::Done)
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let (plan, fitted) = (self.planned()?, self.fitted()?);
        let widths = plan.widths();
        let mut rgb = self.patches(Modality::Rgb, sample)?;
        let mut xyz = self.patches(Modality::Xyz, sample)?;
        fitted.sides[0].apply(&mut rgb.vectors);
        fitted.sides[1].apply(&mut xyz.vectors);
        let pairs = plan.pairs(&rgb, &xyz);
        let mut fused = Self::fuse(pairs.vectors, fitted.network.as_ref().map(|n| &n.session), widths)?;
        fused.iter_mut().for_each(|v| *v = fitted.fused.apply(*v));
        write_planes(rgb.vectors.iter(), widths[0], out.grid(0)?);
        write_planes(xyz.vectors.iter(), widths[1], out.grid(1)?);
        write_planes(fused.iter(), widths[0] + widths[1], out.grid(2)?);
        for (port, valid) in [rgb.valid, xyz.valid, pairs.valid].iter().enumerate() {
            out.grid_valid(port)?.iter_mut().zip(valid).for_each(|(to, &valid)| *to = u8::from(valid));
        }
        Ok(())
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let fitted = self.fitted()?;
        write_u64(out, STATE_VERSION)?;
        self.planned()?.widths().iter().try_for_each(|&w| write_u64(out, w as u64))?;
        fitted.sides.iter().try_for_each(|s| s.save(out))?;
        fitted.fused.save(out)?;
        // No network is a file of no bytes.
        let onnx = fitted.network.as_ref().map_or(&[][..], |network| &network.onnx);
        write_u64(out, onnx.len() as u64)?;
        write_u8s(out, onnx)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let plan = self.planned()?;
        let widths = plan.widths();
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            let message = format!("the saved fusion has version {version}, not {STATE_VERSION}; fit again");
            return Err(Error::state(message));
        }
        let saved = [read_u64(input)?, read_u64(input)?];
        if saved != widths.map(|w| w as u64) {
            let message =
                format!("the saved fusion is of {saved:?} channels, the inputs have {widths:?}; fit again");
            return Err(Error::state(message));
        }
        let side = |input: &mut dyn Read, modality| Scales::load(input, plan.parts(modality));
        let sides = [side(input, Modality::Rgb)?, side(input, Modality::Xyz)?];
        let fused = Standard::load(input)?;
        let bytes = read_count(input, MOST_BYTES, "bytes of a network")?;
        let onnx = read_u8s(input, bytes)?;
        let open = || -> Result<Network> {
            Ok(Network { session: self.host.open_onnx(&onnx, "fusion of patches")?, onnx })
        };
        let network = (bytes > 0).then(open).transpose()?;
        self.fitted = Some(Fitted { sides, fused, network });
        Ok(())
    }
}
