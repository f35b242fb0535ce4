//! A method that is nothing like a memory bank: it learns the mean colour of good pixels by gradient descent over several
//! passes, reports progress, can be cancelled and resumed, and scores by the squared distance from it through an ONNX
//! model that it writes itself and runs by the host's inference service.

mod onnx;

use assay_sdk::{
    Content, Error, Fit, GridView, Host, Info, InputPort, Layout, Method, Next, OnnxSession, OutputPort,
    OutputSpec, Outputs, Result, Sample, Spec, state,
};
use std::io::{Read, Write};

assay_sdk::params! {
    /// Parameters.
    pub struct Settings {
        /// Passes over the training scans.
        passes: i64 = 5, min = 1, max = 1000;
        /// Learning rate.
        rate: f64 = 0.4, min = 0.0, max = 1.0;
    }
}

/// The method.
pub struct Gradient {
    settings: Settings,
    host: Host,
    mean: Vec<f64>,
    gradient: Vec<f64>,
    pixels: u64,
    pass: u32,
    fit: Option<Fit>,
    seen: u64,
    session: Option<OnnxSession>,
}

impl Gradient {
    fn open(&mut self) -> Result<()> {
        let mean: Vec<f32> = self.mean.iter().map(|&v| v as f32).collect();
        self.session = Some(self.host.open_onnx(&onnx::squared_distance(&mean), "distance from the mean")?);
        Ok(())
    }

    fn done(&self) -> bool {
        i64::from(self.pass) >= self.settings.passes
    }
}

impl Method for Gradient {
    type Params = Settings;
    const INFO: Info = Info {
        id: "gradient",
        name: "Gradient test",
        summary: "Squared distance from a mean that gradient descent finds.",
        vendor: "tests",
        version: "1.0.0",
        licence: "MIT",
        paper: "",
        deviations: "",
        inputs: &[InputPort {
            name: "image",
            doc: "any grid",
            content: &[Content::Rgb, Content::Features],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 1,
        }],
        outputs: &[OutputPort {
            name: "scores",
            doc: "distance",
            content: Content::Scores,
            layout: &[Layout::Grid],
        }],
        fitted: true,
        deterministic: true,
    };
    const OWN_THREADS: bool = true;

    fn create(settings: Settings, host: Host) -> Result<Self> {
        let (mean, gradient) = (Vec::new(), Vec::new());
        Ok(Self { settings, host, mean, gradient, pixels: 0, pass: 0, fit: None, seen: 0, session: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        self.mean = vec![0.0; inputs[0].channels];
        Ok(vec![OutputSpec::grid_like(&inputs[0], 1)])
    }

    fn fit_begin(&mut self, fit: Fit) -> Result<()> {
        if fit.pass == 0 {
            self.mean.fill(0.0);
            self.pass = 0;
        } else if fit.pass != self.pass {
            return Err(Error::state(format!("pass {} begins, {} passes are done", fit.pass, self.pass)));
        }
        self.gradient = vec![0.0; self.mean.len()];
        (self.pixels, self.seen, self.fit) = (0, 0, Some(fit));
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let image: GridView<'_> = sample.inputs[0].grid()?;
        for (c, gradient) in self.gradient.iter_mut().enumerate() {
            *gradient += image.plane(c).iter().map(|&v| self.mean[c] - f64::from(v)).sum::<f64>();
        }
        self.pixels += (image.rows * image.cols) as u64;
        self.seen += 1;
        let samples = self.fit.map_or(1, |f| f.samples.max(1));
        self.host.progress(self.seen as f64 / samples as f64, &format!("pass {}", self.pass))
    }

    fn fit_end(&mut self) -> Result<Next> {
        for (mean, gradient) in self.mean.iter_mut().zip(&self.gradient) {
            *mean -= self.settings.rate * gradient / self.pixels.max(1) as f64;
        }
        self.pass += 1;
        if !self.done() {
            return Ok(Next::AnotherPass);
        }
        self.open()?;
        Ok(Next::Done)
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let image = sample.inputs[0].grid()?;
        let session = self.session.as_ref().ok_or_else(|| Error::state("not fitted"))?;
        let shape = [1, image.channels, image.rows, image.cols];
        let outputs = session.run(&[("x", &shape, image.values)])?;
        let scores = out.grid(0)?;
        scores.copy_from_slice(&outputs[0].data);
        out.image_score(0, f64::from(scores.iter().copied().fold(0.0, f32::max)))
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        state::write_u64(out, u64::from(self.pass))?;
        state::write_f64s(out, &self.mean)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        self.pass = state::read_count(input, 1000, "passes")? as u32;
        self.mean = state::read_f64s(input, self.mean.len())?;
        if self.done() { self.open() } else { Ok(()) }
    }
}

assay_sdk::export!(Gradient);
