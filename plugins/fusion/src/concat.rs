//! Concatenation of aligned feature grids.

use assay_sdk::{
    Content, Error, Host, Info, InputPort, Layout, Method, OutputPort, OutputSpec, Outputs, Result, Sample,
    Spec,
};

/// Stacks the channels of feature grids of one size.
pub struct Concat;

impl Method for Concat {
    type Params = ();
    const INFO: Info = Info {
        id: "concat",
        name: "Concatenation",
        summary: "Stacks the channels of feature grids of one size, without weights.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Horwitz and Hoshen, Back to the Feature (2022), section 5: RGB and FPFH features side by side",
        deviations: "",
        inputs: &[InputPort {
            name: "features",
            doc: "Feature grids of one size; several.",
            content: &[Content::Features],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 0,
        }],
        outputs: &[OutputPort {
            name: "features",
            doc: "All channels, in the order of `from`; a cell is valid where all inputs are.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create((): (), _host: Host) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let first = &inputs[0];
        if let Some(other) = inputs.iter().find(|s| (s.rows, s.cols) != (first.rows, first.cols)) {
            return Err(Error::input(
                "features",
                format!(
                    "`{}` has {}x{} cells and `{}` {}x{}; choose one size for both",
                    first.name, first.rows, first.cols, other.name, other.rows, other.cols
                ),
            ));
        }
        Ok(vec![OutputSpec::grid_like(first, inputs.iter().map(|s| s.channels).sum())])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let grids = sample.grids()?;
        let mut rest = out.grid(0)?;
        for grid in &grids {
            let (part, tail) = rest.split_at_mut(grid.values.len());
            part.copy_from_slice(grid.values);
            rest = tail;
        }
        for (cell, valid) in out.grid_valid(0)?.iter_mut().enumerate() {
            *valid = u8::from(grids.iter().all(|g| g.is_valid(cell)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::testing::{Runner, TestValue};

    #[test]
    fn channels_are_stacked_in_order_and_validity_is_the_intersection() {
        let a = TestValue::grid(Content::Features, [1, 1, 2], vec![1.0, 2.0]).with_valid(vec![1, 0]);
        let b = TestValue::grid(Content::Features, [2, 1, 2], vec![3.0, 4.0, 5.0, 6.0]);
        let mut runner = Runner::new::<Concat>(&[]).unwrap();
        assert_eq!(runner.plan(&[a.clone(), b.clone()]).unwrap(), [(3, 1, 2)]);
        let out = runner.score(&[a, b]).unwrap().remove(0);
        assert_eq!(out.values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(out.valid.unwrap(), [1, 0]);
    }
}
