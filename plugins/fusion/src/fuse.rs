//! Cell-wise combination of score grids.

use assay_sdk::{
    Content, Error, GridView, Host, Info, InputPort, Layout, Method, OutputPort, OutputSpec, Outputs, Result,
    Sample, Spec,
};

pub(crate) const INPUTS: &[InputPort] = &[InputPort {
    name: "scores",
    doc: "Score grids of one size; several.",
    content: &[Content::Scores],
    layout: &[Layout::Grid],
    min_count: 1,
    max_count: 0,
}];

pub(crate) const OUTPUTS: &[OutputPort] = &[OutputPort {
    name: "scores",
    doc: "The fused score grid; a cell is valid where any input is.",
    content: Content::Scores,
    layout: &[Layout::Grid],
}];

const fn info(id: &'static str, name: &'static str, summary: &'static str) -> Info {
    Info {
        id,
        name,
        summary,
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "",
        deviations: "",
        inputs: INPUTS,
        outputs: OUTPUTS,
        fitted: false,
        deterministic: true,
    }
}

/// One output like the first input; all inputs must have its size.
pub(crate) fn one_size(inputs: &[Spec]) -> Result<OutputSpec> {
    let first = &inputs[0];
    for other in &inputs[1..] {
        if (other.rows, other.cols) != (first.rows, first.cols) {
            return Err(Error::input(
                "scores",
                format!(
                    "`{}` is {}x{} and `{}` is {}x{}; a fuser needs one size",
                    first.name, first.rows, first.cols, other.name, other.rows, other.cols
                ),
            ));
        }
    }
    Ok(OutputSpec::grid_like(first, 1))
}

/// Combines the valid scores of each cell with `combine(accumulated, input index, score)`, starting at `start`. A cell that
/// no input has measured stays 0 and invalid. The image score is the greatest fused cell: what several looks find at one
/// place counts together, what they find at different places does not.
fn fuse(
    sample: &Sample<'_>,
    out: &mut Outputs<'_>,
    start: f32,
    combine: impl Fn(f32, usize, f32) -> f32,
) -> Result<()> {
    let grids: Vec<GridView<'_>> = sample.grids()?;
    let scores = out.grid(0)?;
    let valid = out.grid_valid(0)?;
    for (cell, (score, valid)) in scores.iter_mut().zip(valid.iter_mut()).enumerate() {
        let mut sum = start;
        for (i, grid) in grids.iter().enumerate().filter(|(_, g)| g.is_valid(cell)) {
            sum = combine(sum, i, grid.values[cell]);
            *valid = 1;
        }
        *score = if *valid == 1 { sum } else { 0.0 };
    }
    let valid = scores.iter().zip(valid.iter()).filter(|(_, ok)| **ok == 1).map(|(s, _)| *s);
    let image = valid.reduce(f32::max).ok_or_else(|| Error::input("scores", "no input has a valid cell"))?;
    out.image_score(0, f64::from(image))
}

/// The sum of the scores: the default fuser.
pub struct Sum;

impl Method for Sum {
    type Params = ();
    const INFO: Info =
        info("sum", "Sum", "Adds calibrated scores; a missing one counts as an ordinary good patch (0).");

    fn create((): (), _host: Host) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        Ok(vec![one_size(inputs)?])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        fuse(sample, out, 0.0, |sum, _, score| sum + score)
    }
}

/// The greatest score.
pub struct Max;

impl Method for Max {
    type Params = ();
    const INFO: Info = info("max", "Maximum", "Takes the greatest of the calibrated scores.");

    fn create((): (), _host: Host) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        Ok(vec![one_size(inputs)?])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        fuse(sample, out, f32::MIN, |max, _, score| max.max(score))
    }
}

assay_sdk::params! {
    /// Parameters of the weighted sum.
    pub struct Weights {
        /// One weight for each input, in the order of `from`.
        weights: Vec<f64> = Vec::new(), min = -1e6, max = 1e6;
    }
}

/// The weighted sum of the scores.
pub struct Weighted(Weights);

impl Method for Weighted {
    type Params = Weights;
    const INFO: Info = info("weighted", "Weighted sum", "Adds calibrated scores, each times its weight.");

    fn create(params: Weights, _host: Host) -> Result<Self> {
        Ok(Self(params))
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        if self.0.weights.len() != inputs.len() {
            return Err(Error::parameter(
                "weights",
                format!("{} weights were given for {} inputs", self.0.weights.len(), inputs.len()),
            ));
        }
        Ok(vec![one_size(inputs)?])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        fuse(sample, out, 0.0, |sum, i, score| sum + self.0.weights[i] as f32 * score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    fn scores(values: &[f32], valid: &[u8], image: f64) -> TestValue {
        let mut v = TestValue::grid(Content::Scores, [1, 1, values.len()], values.to_vec())
            .with_valid(valid.to_vec());
        v.image_score = image;
        v
    }

    fn run<M: Method>(params: &[(&str, ParamValue)]) -> TestValue {
        let inputs = [scores(&[1.0, 2.0, 0.0], &[1, 1, 0], 2.0), scores(&[5.0, 0.0, 0.0], &[1, 0, 0], 5.0)];
        let mut runner = Runner::new::<M>(params).unwrap();
        runner.plan(&inputs).unwrap();
        runner.score(&inputs).unwrap().remove(0)
    }

    #[test]
    fn sum_adds_what_is_measured_and_marks_the_rest_invalid() {
        let fused = run::<Sum>(&[]);
        assert_eq!(fused.values, [6.0, 2.0, 0.0]);
        assert_eq!(fused.valid.unwrap(), [1, 1, 0]);
        assert_eq!(fused.image_score, 6.0);
    }

    #[test]
    fn max_takes_the_greatest_measured_score() {
        let fused = run::<Max>(&[]);
        assert_eq!((fused.values, fused.image_score), (vec![5.0, 2.0, 0.0], 5.0));
    }

    #[test]
    fn weights_follow_the_order_of_the_inputs() {
        let fused = run::<Weighted>(&[("weights", ParamValue::FloatList(vec![2.0, -1.0]))]);
        assert_eq!((fused.values, fused.image_score), (vec![-3.0, 4.0, 0.0], 4.0));
    }

    #[test]
    fn a_missing_weight_names_the_parameter() {
        let mut runner = Runner::new::<Weighted>(&[]).unwrap();
        assert_eq!(runner.plan(&[scores(&[1.0], &[1], 1.0)]).unwrap_err().subject, "weights");
    }

    #[test]
    fn grids_of_two_sizes_are_refused() {
        let mut runner = Runner::new::<Sum>(&[]).unwrap();
        let error = runner.plan(&[scores(&[1.0], &[1], 1.0), scores(&[1.0, 2.0], &[1, 1], 1.0)]).unwrap_err();
        assert!(error.message.contains("1x1") && error.message.contains("1x2"), "{error}");
    }
}
