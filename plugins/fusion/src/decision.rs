//! The method `one-class-svm`: fusion of decisions, with weights learned from good scans.

use std::io::{Read, Write};

use assay_sdk::state::{read_count, read_f64, read_u64, write_f64, write_u64};
use assay_sdk::{Error, Fit, GridView, Host, Info, Method, Next, OutputSpec, Outputs, Result, Sample, Spec};

use crate::fuse::{INPUTS, OUTPUTS, one_size};
use crate::one_class::solve;

assay_sdk::params! {
    /// Parameters of `one-class-svm`.
    pub struct DecisionParams {
        /// A factor for each input, in the order of `from`, before anything is learned; empty = 1 each.
        factors: Vec<f64> = Vec::new(), min = 1e-6, max = 1e6;
        /// Share of the training rows that may lie on the origin's side of the hyperplane.
        nu: f64 = 0.5, min = 1e-3, max = 1.0;
        /// Most rounds over the rows.
        rounds: i64 = 1000, min = 1.0, max = 1e6;
        /// Most cells that are learned from, evenly taken from all scans.
        max_rows: i64 = 1_000_000, min = 1.0, max = 1e8;
    }
}

/// Changes with the layout of the saved state.
const STATE_VERSION: u64 = 1;

/// Most inputs of a saved state.
const MOST_INPUTS: usize = 1 << 16;

/// Two hyperplanes: of image scores, and of the scores of cells.
pub struct Decision {
    params: DecisionParams,
    host: Host,
    inputs: usize,
    cells: usize,
    rows: Rows,
    weights: Option<Weights>,
}

/// What a pass has seen.
#[derive(Default)]
struct Rows {
    images: Vec<f32>,
    cells: Vec<f32>,
    /// Every so many of the cells that all inputs have is taken.
    stride: usize,
    seen: usize,
}

/// Unit normals, a value an input.
#[derive(Debug, PartialEq)]
struct Weights {
    image: Vec<f64>,
    cell: Vec<f64>,
}

impl Decision {
    fn factor(&self, input: usize) -> f64 {
        self.params.factors.get(input).copied().unwrap_or(1.0)
    }

    fn grids<'a>(&self, sample: &Sample<'a>) -> Result<Vec<GridView<'a>>> {
        let grids = sample.grids()?;
        if grids.len() != self.inputs || grids.iter().any(|g| g.rows * g.cols != self.cells) {
            return Err(Error::input("scores", "the grids are not those that were planned"));
        }
        Ok(grids)
    }

    /// The direction of the hyperplane of `rows`, of length 1. Rows are brought to a common scale first, which turns nothing.
    fn direction(&self, mut rows: Vec<f32>, what: &str) -> Result<Vec<f64>> {
        let squares = rows.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        let length = (squares * self.inputs as f64 / rows.len().max(1) as f64).sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(Error::input(
                "scores",
                format!("{what} of all training scans are 0 or missing; there is nothing to learn from"),
            ));
        }
        rows.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
        let found =
            solve(&rows, self.inputs, self.params.nu, self.params.rounds as usize, self.host.seed()).weights;
        let norm = found.iter().map(|w| w * w).sum::<f64>().sqrt();
        if !(norm.is_finite() && norm > 0.0) {
            return Err(Error::input(
                "scores",
                format!("{what} lie around the origin: no plane parts them from it"),
            ));
        }
        Ok(found.into_iter().map(|w| w / norm).collect())
    }
}

impl Method for Decision {
    type Params = DecisionParams;
    const INFO: Info = Info {
        id: "one-class-svm",
        name: "One-class SVM of scores",
        summary: "Weighs the scores of several detectors by linear one-class support vector machines, one of image scores and one of cells, \
                  learned from good scans' out-of-fold scores. For scores as the methods made them: give those steps raw = true.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Wang et al., Multimodal Industrial Anomaly Detection via Hybrid Fusion (M3DM, CVPR 2023), decision layer fusion; \
                Schoelkopf et al., Estimating the support of a high-dimensional distribution (2001)",
        deviations: "Weights have length 1 and rows are scaled to a mean square of 1 before training, neither of which changes an order. Learned \
                     from out-of-fold scores, where the reference takes scores of scans that its banks hold.",
        inputs: INPUTS,
        outputs: OUTPUTS,
        fitted: true,
        deterministic: true,
    };

    fn create(params: DecisionParams, host: Host) -> Result<Self> {
        Ok(Self { params, host, inputs: 0, cells: 0, rows: Rows::default(), weights: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let factors = self.params.factors.len();
        if factors != 0 && factors != inputs.len() {
            let message = format!("{factors} factors were given for {} inputs", inputs.len());
            return Err(Error::parameter("factors", message));
        }
        let output = one_size(inputs)?;
        (self.inputs, self.cells) = (inputs.len(), inputs[0].rows * inputs[0].cols);
        Ok(vec![output])
    }

    fn fit_begin(&mut self, fit: Fit) -> Result<()> {
        let most = (fit.samples as usize).saturating_mul(self.cells);
        self.weights = None;
        self.rows = Rows { stride: most.div_ceil(self.params.max_rows as usize).max(1), ..Rows::default() };
        Ok(())
    }

    fn fit_add(&mut self, sample: &Sample<'_>) -> Result<()> {
        let grids = self.grids(sample)?;
        let factors: Vec<f64> = (0..self.inputs).map(|i| self.factor(i)).collect();
        let scaled = |value: f64, i: usize| (value * factors[i]) as f32;
        let images: Vec<f32> =
            sample.inputs.iter().enumerate().map(|(i, input)| scaled(input.image_score, i)).collect();
        if images.iter().any(|v| !v.is_finite()) {
            return Err(Error::input("scores", "an image score is missing or not finite"));
        }
        self.rows.images.extend(images);
        for cell in 0..self.cells {
            if grids.iter().all(|grid| grid.is_valid(cell)) {
                if self.rows.seen.is_multiple_of(self.rows.stride) {
                    let row = grids.iter().enumerate().map(|(i, g)| scaled(f64::from(g.values[cell]), i));
                    self.rows.cells.extend(row);
                }
                self.rows.seen += 1;
            }
        }
        Ok(())
    }

    fn fit_end(&mut self) -> Result<Next> {
        let Rows { images, cells, .. } = std::mem::take(&mut self.rows);
        let image = self.direction(images, "the image scores")?;
        let cell = self.direction(cells, "the scores")?;
        self.weights = Some(Weights { image, cell });
        Ok(Next::Done)
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let weights = self.weights.as_ref().ok_or_else(|| Error::state("one-class-svm is not fitted"))?;
        let grids = self.grids(sample)?;
        let image = (0..self.inputs)
            .map(|i| weights.image[i] * self.factor(i) * sample.inputs[i].image_score)
            .sum::<f64>();
        let factors: Vec<f32> = (0..self.inputs).map(|i| (weights.cell[i] * self.factor(i)) as f32).collect();
        let scores = out.grid(0)?;
        for (grid, factor) in grids.iter().zip(&factors) {
            for (cell, score) in scores.iter_mut().enumerate().filter(|(cell, _)| grid.is_valid(*cell)) {
                *score += factor * grid.values[cell];
            }
        }
        for (cell, valid) in out.grid_valid(0)?.iter_mut().enumerate() {
            *valid = u8::from(grids.iter().any(|grid| grid.is_valid(cell)));
        }
        out.image_score(0, image)
    }

    fn save(&self, out: &mut dyn Write) -> Result<()> {
        let weights = self.weights.as_ref().ok_or_else(|| Error::state("one-class-svm is not fitted"))?;
        write_u64(out, STATE_VERSION)?;
        write_u64(out, weights.image.len() as u64)?;
        weights.image.iter().chain(&weights.cell).try_for_each(|&w| write_f64(out, w))
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<()> {
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            let message = format!("the saved weights have version {version}, not {STATE_VERSION}; fit again");
            return Err(Error::state(message));
        }
        let inputs = read_count(input, MOST_INPUTS, "inputs")?;
        if inputs != self.inputs {
            let message =
                format!("the saved weights are for {inputs} inputs, there are {}; fit again", self.inputs);
            return Err(Error::state(message));
        }
        let mut weights = || -> Result<Vec<f64>> {
            let read: Vec<f64> = (0..inputs).map(|_| read_f64(input)).collect::<Result<_>>()?;
            match read.iter().all(|w| w.abs() <= 1.0) {
                true => Ok(read),
                false => Err(Error::state("a saved weight is greater than 1 or no number")),
            }
        };
        let (image, cell) = (weights()?, weights()?);
        self.weights = Some(Weights { image, cell });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::testing::{Runner, TestValue};
    use assay_sdk::{Content, ParamValue};

    /// Two score grids of 2 x 3 cells: the first near 2, the second near 1.
    fn scan(shift: f32) -> Vec<TestValue> {
        [2.0, 1.0]
            .map(|level| {
                let values = (0..6).map(|i| level * (1.0 + 0.1 * shift) + 0.02 * i as f32).collect();
                let mut value = TestValue::grid(Content::Scores, [1, 2, 3], values);
                value.image_score = f64::from(level * (1.2 + 0.1 * shift));
                value
            })
            .into()
    }

    fn fitted(params: &[(&str, ParamValue)]) -> Runner {
        let mut runner = Runner::new::<Decision>(params).unwrap();
        runner.plan(&scan(0.0)).unwrap();
        runner.fit(&[scan(0.0), scan(1.0), scan(-1.0), scan(0.5)]).unwrap();
        runner
    }

    #[test]
    fn a_detector_with_greater_scores_of_good_scans_weighs_more() {
        let runner = fitted(&[]);
        let out = runner.score(&scan(0.0)).unwrap().remove(0);
        // Proportional to the scores themselves: (2, 1) / sqrt(5), about.
        let expected = (2.0 * 2.4 + 1.2) / 5f64.sqrt();
        assert!((out.image_score - expected).abs() < 0.02 * expected, "{} {expected}", out.image_score);
        let expected = (2.0 * 2.0 + 1.0) / 5f32.sqrt();
        assert!((out.values[0] - expected).abs() < 0.03 * expected, "{:?} {expected}", out.values);
    }

    #[test]
    fn a_missing_score_adds_nothing_and_a_cell_without_any_is_invalid() {
        let runner = fitted(&[]);
        let mut bare = scan(0.0);
        bare[0].valid = Some(vec![1, 1, 0, 0, 1, 1]);
        bare[1].valid = Some(vec![1, 1, 1, 0, 1, 1]);
        let (whole, out) =
            (runner.score(&scan(0.0)).unwrap().remove(0), runner.score(&bare).unwrap().remove(0));
        assert_eq!(out.valid, Some(vec![1, 1, 1, 0, 1, 1]));
        assert_eq!((out.values[0], out.values[3]), (whole.values[0], 0.0));
        assert!(out.values[2] < 0.5 * whole.values[2]);
    }

    #[test]
    fn a_factor_weighs_an_input_before_it_is_learned() {
        let runner = fitted(&[("factors", ParamValue::FloatList(vec![1.0, 4.0]))]);
        let out = runner.score(&scan(0.0)).unwrap().remove(0);
        // Scores (2, 4): weights (2, 4) / sqrt(20), applied to (2, 4).
        assert!((out.values[0] - 20f32.sqrt()).abs() < 0.1, "{:?}", out.values);
        let mut two = Runner::new::<Decision>(&[("factors", ParamValue::FloatList(vec![1.0]))]).unwrap();
        assert_eq!(two.plan(&scan(0.0)).unwrap_err().subject, "factors");
    }

    #[test]
    fn a_state_comes_back_and_a_broken_one_is_refused() {
        let runner = fitted(&[]);
        let state = runner.save().unwrap();
        let mut other = Runner::new::<Decision>(&[]).unwrap();
        other.plan(&scan(0.0)).unwrap();
        for cut in 0..state.len() {
            assert!(other.load(&state[..cut]).is_err(), "{cut}");
        }
        other.load(&state).unwrap();
        assert_eq!(other.save().unwrap(), state);
        let values = |runner: &Runner| runner.score(&scan(0.3)).unwrap().remove(0).values;
        assert_eq!(values(&other), values(&runner));
    }

    #[test]
    fn scores_that_are_all_zero_teach_nothing() {
        let mut runner = Runner::new::<Decision>(&[]).unwrap();
        let zero = || {
            let mut value = TestValue::grid(Content::Scores, [1, 2, 3], vec![0.0; 6]);
            value.image_score = 0.0;
            vec![value.clone(), value]
        };
        runner.plan(&zero()).unwrap();
        assert!(runner.fit(&[zero(), zero()]).unwrap_err().message.contains("nothing to learn"));
    }
}
