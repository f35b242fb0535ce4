//! The method `easynet`.

use crate::defects::Kind;
use crate::fitted::{Fitted, Running};
use crate::gate::{ALWAYS, NEVER, Seen, Which, auroc, choose};
use crate::network::GRAIN;
use crate::scans::Shape;
use crate::train::{Options, Scans, learn};
use crate::views::Views;
use crate::window::Window;
use assay_kernels::apart::Apart;
use assay_kernels::grids::finest;
use assay_sdk::{
    Content, Error, Fit, Host, Info, InputPort, Layout, Level, Method, Next, OutputPort, OutputSpec, Outputs,
    Parallel, Result, Sample, Spec,
};
use assay_training::Watched;
use assay_training::device::{CHOICES, chosen};
use assay_training::export::compare;
use ndarray::ArrayView2;
use std::io::{Read, Write};
use std::time::Duration;

assay_sdk::params! {
    /// Parameters of EasyNet.
    pub struct Settings {
        /// Side of the square that pictures are brought to; a multiple of 16. The paper's is 256.
        size: i64 = 128, min = 32.0, max = 1024.0, unit = "px";
        /// Whether the network sees a square around the part, where valid cells tell where it is, so that a small part fills its picture; otherwise the whole picture.
        crop: bool = true;
        /// Whether a part that is longer than wide is turned in that square so that its length always lies across it, however it lies in the picture: for parts that lie at any angle, which look more alike then.
        align: bool = false;
        /// Quarter turns at which a scan is learned and looked at, evenly around: 1, 2 or 4. The map is the mean of theirs, which depends less on chance: for parts that lie at any angle, where `rotations` turns them, too.
        views: i64 = 1, min = 1.0, max = 4.0;
        /// Channels of the first stage; the paper's are 128.
        width: i64 = 8, min = 2.0, max = 256.0;
        /// Steps of the training.
        steps: i64 = 5400, min = 1.0, max = 1e7;
        /// Scans of a step; the paper's are 4.
        batch: i64 = 4, min = 1.0, max = 256.0;
        /// Highest learning rate: it rises over a twentieth of the steps, then falls along half a cosine to 0.
        learning_rate: f64 = 0.003, min = 1e-9, max = 10.0;
        /// Most scans that are learned from, each angle counted, evenly drawn from all.
        max_scans: i64 = 1024, min = 2.0, max = 1e6, unit = "scans";
        /// A time after which the best network so far is taken; 0 for none. A training that it ends is not repeatable.
        max_minutes: f64 = 0.0, min = 0.0, max = 1e6, unit = "min";
        /// What it trains on; auto is CUDA where the plugin was built for it and there is a device, else the processor. Only the processor gives the same bits each time.
        device: String = "auto".into(), choices = CHOICES;
    }
}

/// Most scans that are held out.
const HELD_SCANS: usize = 16;

/// Least pairs of held out scans, as they are and with a defect, that the gate is chosen by.
const PAIRS: usize = 48;

/// Held out scans of each kind of defect that are looked at for the log.
const OF_A_KIND: usize = 16;

/// Segmentation by what networks see that learned to rebuild good scans.
pub struct EasyNet {
    settings: Settings,
    host: Host,
    shape: Option<Shape>,
    /// Rows and columns of the map.
    map: (usize, usize),
    gathered: Option<Apart>,
    fitted: Option<Fitted>,
}

impl EasyNet {
    fn shape(&self) -> Result<Shape> {
        self.shape.ok_or_else(|| Error::state("easynet was not planned"))
    }

    fn fitted(&self) -> Result<&Fitted> {
        self.fitted.as_ref().ok_or_else(|| Error::state("easynet is not fitted"))
    }

    /// What the network sees of a scan, and where it is.
    fn row(&self, sample: &Sample<'_>) -> Result<(Vec<f32>, Window)> {
        let shape = self.shape()?;
        let window =
            if self.settings.crop { shape.window(sample, self.settings.align)? } else { Window::WHOLE };
        Ok((shape.row(sample, &window)?, window))
    }

    fn views(&self) -> Result<Views> {
        let views = usize::try_from(self.settings.views).ok().and_then(Views::new);
        views.ok_or_else(|| {
            Error::parameter("views", format!("{} is none of 1, 2 and 4", self.settings.views))
        })
    }

    fn options(&self) -> Result<Options> {
        let Settings { width, steps, batch, learning_rate, max_minutes, .. } = self.settings;
        Ok(Options {
            width: width as usize,
            views: self.views()?,
            steps: steps as usize,
            batch: batch as usize,
            rate: learning_rate,
            time: (max_minutes > 0.0).then(|| Duration::from_secs_f64(60.0 * max_minutes)),
            seed: self.host.seed(),
        })
    }

    /// The trained network, opened with the maps that count and compared with what was trained, and the gate's threshold.
    fn train(&self, learned: Scans<'_>, held: Scans<'_>) -> Result<(Running, f64)> {
        let host = &self.host;
        let watched = Watched::new(host, "easynet");
        let (device, options) = (chosen(&self.settings.device)?, self.options()?);
        let made = learn(learned, held, &options, device, host.threads(), watched)?;
        let counts = format!(
            "{} scans learned, {} held out, each angle counted",
            learned.rows.nrows(),
            held.rows.nrows()
        );
        host.log(Level::Info, &format!("easynet: {counts}; {}", made.summary));
        let shape = self.shape()?;
        let opened = |which| -> Result<Running> {
            let network = Running::new(made.onnx(which)?, shape, options.views, which, host)?;
            let found = network.maps(&made.example.pictures)?;
            for (found, made) in
                [(&found.alone, Some(&made.alone)), (&found.together, made.together.as_ref())]
            {
                if let (Some(found), Some(made)) = (found, made) {
                    compare(found, made)?;
                }
            }
            Ok(network)
        };
        let threshold = match shape.sensors() {
            2 => self.threshold(&opened(Which::Both)?, held)?,
            _ => NEVER,
        };
        let network = opened(Which::of(shape.sensors(), threshold))?;
        self.tell_kinds(&network, threshold, held)?;
        Ok((network, threshold))
    }

    /// Logs how well each kind of synthetic defect is told from none on held out scans.
    fn tell_kinds(&self, network: &Running, threshold: f64, held: Scans<'_>) -> Result<()> {
        let seen = |kind| -> Result<Vec<Seen>> {
            let examples = held.of_kind(kind, OF_A_KIND, self.host.seed().wrapping_add(4));
            let seen = examples.iter().map(|example| {
                self.host.progress(1.0, "easynet: looks at kinds of defects")?;
                network.seen(example)
            });
            seen.collect()
        };
        let good = seen(None)?;
        let mut told = Vec::new();
        for (kind, place) in Kind::all(self.shape()?) {
            let seen = seen(Some(kind))?;
            // None where no noise was high on the part.
            if seen.iter().any(|s| s.defective) {
                told.push(format!("{:.3} {place}", auroc(&[good.clone(), seen].concat(), threshold)));
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        let message = format!(
            "easynet: held out scans with one synthetic defect are told from good ones with an AUROC of {}",
            told.join(", ")
        );
        self.host.log(Level::Info, &message);
        Ok(())
    }

    /// The gate's threshold, from held out scans and synthetic defects on them.
    fn threshold(&self, network: &Running, held: Scans<'_>) -> Result<f64> {
        // With one defect, as parts mostly have: of several one sensor alone sees some.
        let examples = held.pairs(1..=1, PAIRS, self.host.seed().wrapping_add(3));
        let seen = examples.iter().map(|example| {
            self.host.progress(1.0, "easynet: chooses the gate")?;
            network.seen(example)
        });
        let seen = seen.collect::<Result<Vec<_>>>()?;
        let threshold = choose(&seen);
        let message = format!(
            "easynet: both sensors count from {threshold:.3} bits of entropy on: held out scans and synthetic defects are told apart with an AUROC of {:.3}; {:.3} by colour alone, {:.3} by both always",
            auroc(&seen, threshold),
            auroc(&seen, NEVER),
            auroc(&seen, ALWAYS),
        );
        self.host.log(Level::Info, &message);
        Ok(threshold)
    }
}

impl Method for EasyNet {
    type Params = Settings;
    const INFO: Info = Info {
        id: "easynet",
        name: "EasyNet",
        summary: "Networks trained on good scans with synthetic defects to rebuild colour and depth and to find what does not belong; no memory of the scans.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Chen, Xie, Liu, Wang, Luo, Zhao, Yuan: EasyNet: An Easy Network for 3D Industrial Anomaly Detection (ACM MM 2023)",
        deviations: "The network's values are brought to probabilities: the focal loss is least at values nearer to 0.5. \
                     The network is that of the step that segments synthetic defects on scans held out of the \
                     training best, and the gate's threshold is chosen on these, a gate only where it is better than none by a standard \
                     error; the published code takes both from the test scans. The rate falls along half a cosine. \
                     While it trains, depth has a segmentation of its own, as colour has. \
                     Half of the scans are turned, moved, tilted and lit a little otherwise each time they are seen. \
                     Textures are procedural or pieces of training scans. Gaps of depth of up to four cells are filled. \
                     Depth is scaled by the range of all training scans around the scan's median, not by each scan's own range, and two of its three channels show its \
                     slopes down and across the picture, gentle ones enlarged. A defective scan has one to four defects, half of them on one hill \
                     of the noise alone. Half of all defects are as the paper's, in colour, in depth or in both, a third each, but three quarters of the textures rise \
                     from their edge, faint ones as often as strong ones; all but an eighth of those in depth are bumps and dents, low ones \
                     as often as high ones, most of which grow from their edge. Half are none of the paper's: the \
                     surface is bent, a little as often as much, or a piece is missing or of another place, most without an edge \
                     around it, in both sensors. The network \
                     sees a square around the part (`crop`), in which one that is longer than wide can be turned so that it always lies alike (`align`); where there are several `views`, it learns and looks at quarter turns of it, and maps and entropies are the means of all. The last layer of a segmentation has no normalisation. Width, size, steps, batch and rate are parameters.",
        inputs: &[
            InputPort {
                name: "colour",
                doc: "The colour or grey image.",
                content: &[Content::Rgb, Content::Gray],
                layout: &[Layout::Grid],
                min_count: 0,
                max_count: 1,
            },
            InputPort {
                name: "depth",
                doc: "Depths: of organised points their distance, or heights.",
                content: &[Content::Xyz, Content::Depth, Content::Features],
                layout: &[Layout::Grid],
                min_count: 0,
                max_count: 1,
            },
        ],
        outputs: &[OutputPort {
            name: "scores",
            doc: "The probability of a defect, 0 to 1; `size` x `size`, or up to twice that where the network sees a part of the picture.",
            content: Content::Scores,
            layout: &[Layout::Grid],
        }],
        fitted: true,
        deterministic: true,
    };
    const ONE_FIT: bool = true;
    const OWN_THREADS: bool = true;

    fn create(settings: Settings, host: Host) -> Result<Self> {
        if !(settings.size as usize).is_multiple_of(GRAIN) {
            let message = format!(
                "{} is no multiple of {GRAIN}; the network halves pictures four times",
                settings.size
            );
            return Err(Error::parameter("size", message));
        }
        if settings.align && !settings.crop {
            let message = "a part is turned in the square around it, which `crop = false` takes away; leave one of the two out";
            return Err(Error::parameter("align", message));
        }
        let made = Self { settings, host, shape: None, map: (0, 0), gathered: None, fitted: None };
        made.views()?;
        Ok(made)
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let size = self.settings.size as usize;
        self.shape = Some(Shape::of(inputs, size)?);
        // Windows are shares of the picture: both sensors have to see the same one.
        finest(inputs)?;
        let first = &inputs[0];
        // Of a part of the picture the map is finer than `size`, at most as fine as the picture.
        let side = |pixels: usize| pixels.clamp(size, 2 * size);
        self.map = if self.settings.crop { (side(first.rows), side(first.cols)) } else { (size, size) };
        Ok(vec![OutputSpec {
            layout: Layout::Grid,
            channels: 1,
            rows: self.map.0,
            cols: self.map.1,
            frame: first.frame.resized((first.rows, first.cols), self.map),
            range: Some((0.0, 1.0)),
        }])
    }

    fn fit_begin(&mut self, fit: Fit) -> Result<()> {
        let (values, seed) = (self.shape()?.values(), self.host.seed());
        let scans = self.settings.max_scans as usize;
        // Before anything is gathered for it.
        chosen(&self.settings.device)?;
        self.fitted = None;
        self.gathered = Some(Apart::new(values, [scans, HELD_SCANS], fit.samples, seed)?);
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let (row, _) = self.row(sample)?;
        let gathered = self.gathered.as_mut().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        let row = ArrayView2::from_shape((1, row.len()), &row).map_err(|e| Error::internal(e.to_string()))?;
        Ok(gathered.offer(sample.id, row, &[true])?)
    }

    fn fit_end(&mut self) -> Result<Next> {
        let gathered = self.gathered.take().ok_or_else(|| Error::state("no pass of the fit has begun"))?;
        let shape = self.shape()?;
        let [learned, held] = gathered.into_rows();
        if learned.nrows() == 0 || held.nrows() == 0 {
            return Err(Error::input(
                "colour",
                "easynet takes at least two scans: it learns from some and judges by others",
            ));
        }
        let scale = shape.scale(learned.rows().into_iter().filter_map(|row| row.to_slice()));
        let scans = |rows| Scans { shape, rows, scale };
        let (network, threshold) = self.train(scans(learned.view()), scans(held.view()))?;
        self.fitted = Some(Fitted { network, scale, threshold });
        Ok(Next::Done)
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let (row, window) = self.row(sample)?;
        let (map, score) = self.fitted()?.score(&row)?;
        let (rows, cols) = self.map;
        out.grid(0)?.copy_from_slice(&window.spread(&map, self.shape()?.size, rows, cols));
        out.image_score(0, score)
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        self.fitted()?.save(out)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        self.fitted = Some(Fitted::load(input, self.shape()?, self.views()?, &self.host)?);
        Ok(())
    }
}
