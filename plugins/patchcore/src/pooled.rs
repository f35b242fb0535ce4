//! The `btf-pool` method: feature grids averaged to one size, as Back to the Feature pools them.

use assay_kernels::adaptive::{average, runs};
use assay_sdk::{
    Content, Error, Frame, Host, Info, InputPort, Layout, Method, OutputPort, OutputSpec, Outputs, Result,
    Sample, Spec, for_each_chunk, params,
};

params! {
    /// Parameters of `btf-pool`.
    pub struct PoolParams {
        /// Longer side of the output grid; the other keeps the aspect of the first input.
        cells: i64 = 28, min = 1.0, max = 512.0, unit = "cells";
    }
}

/// Averages grids to one size.
pub struct Pool {
    params: PoolParams,
    host: Host,
    plan: Option<Plan>,
}

/// The sizes of a scan's grids.
struct Plan {
    /// `[channels, rows, columns]` of each input.
    inputs: Vec<[usize; 3]>,
    /// `(rows, columns)` of the output.
    cells: (usize, usize),
}

impl Method for Pool {
    type Params = PoolParams;
    const INFO: Info = Info {
        id: "btf-pool",
        name: "Pooling of Back to the Feature",
        summary: "Feature grids averaged over 3 x 3 cells and then to one size, side by side: BTF's patches of a backbone's layers.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Horwitz and Hoshen: Back to the Feature: Classical 3D Features are (Almost) All You Need for 3D Anomaly Detection (2022)",
        deviations: "None: an average of 3 x 3 with stride 1 and no padding, then an adaptive average with PyTorch's bounds. A scan \
            that is not square keeps its aspect where BTF pads it with zeros.",
        inputs: &[InputPort {
            name: "features",
            doc: "Feature grids over the same part of the picture, each side at least 3 cells, such as the taps of a backbone.",
            content: &[Content::Features],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 0,
        }],
        outputs: &[OutputPort {
            name: "patches",
            doc: "The inputs' averages side by side, [C, h, w]; every cell is valid, as in the paper.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(params: PoolParams, host: Host) -> Result<Self> {
        Ok(Self { params, host, plan: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let first = inputs.first().ok_or_else(|| Error::input("features", "no input is bound"))?;
        if let Some(small) = inputs.iter().find(|s| s.rows < 3 || s.cols < 3) {
            let message = format!(
                "`{}` has {} x {} cells; pooling takes at least 3 x 3",
                small.name, small.rows, small.cols
            );
            return Err(Error::input("features", message));
        }
        let longest = self.params.cells as usize;
        let (rows, cols) = (first.rows, first.cols);
        let side = |n: usize| ((n * longest + rows.max(cols) / 2) / rows.max(cols)).max(1);
        let cells = (side(rows), side(cols));
        // Half of the outermost cells' surroundings are left out: a border of one cell of the first input.
        let f = first.frame;
        let inner = Frame { offset_x: f.offset_x + f.stride_x, offset_y: f.offset_y + f.stride_y, ..f };
        let frame = inner.resized((rows - 2, cols - 2), cells);
        let channels = inputs.iter().map(|s| s.channels).sum();
        self.plan =
            Some(Plan { inputs: inputs.iter().map(|s| [s.channels, s.rows, s.cols]).collect(), cells });
        Ok(vec![OutputSpec {
            layout: Layout::Grid,
            channels,
            rows: cells.0,
            cols: cells.1,
            frame,
            range: None,
        }])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let Plan { inputs, cells: (rows, cols) } =
            self.plan.as_ref().ok_or_else(|| Error::state("btf-pool was not planned"))?;
        let grids = sample.grids()?;
        if grids.iter().map(|g| [g.channels, g.rows, g.cols]).ne(inputs.iter().copied()) {
            return Err(Error::input("features", "the grids are not those that were planned"));
        }
        let mut rest = out.grid(0)?;
        for grid in &grids {
            let (own, others) = rest.split_at_mut(grid.channels * rows * cols);
            rest = others;
            let (down, across) = (runs(grid.rows, *rows), runs(grid.cols, *cols));
            for_each_chunk(&self.host, own, rows * cols, &|c, plane| {
                average(grid.plane(c), grid.cols, &down, &across, &mut vec![0.0; grid.cols], plane);
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    fn grid(channels: usize, rows: usize, cols: usize) -> TestValue {
        let values = (0..channels * rows * cols).map(|i| (i / cols % rows) as f32).collect();
        TestValue::grid(Content::Features, [channels, rows, cols], values)
    }

    #[test]
    fn layers_of_two_sizes_lie_side_by_side_on_one_grid_inside_the_border() {
        let mut runner = Runner::new::<Pool>(&[("cells", ParamValue::Int(4))]).unwrap();
        let inputs = [grid(2, 10, 18), grid(3, 6, 10)];
        assert_eq!(runner.plan(&inputs).unwrap(), [(5, 2, 4)]);
        let out = runner.score(&inputs).unwrap().remove(0);
        assert_eq!((out.frame.offset_x, out.frame.stride_x), (1.0, 4.0));
        assert_eq!((out.frame.offset_y, out.frame.stride_y), (1.0, 4.0));
        // Rows 1..5 and 5..9 of ten, as their numbers; rows 1..3 and 3..5 of six.
        for (from, expected) in [(0, [2.5, 6.5]), (16, [1.5, 3.5])] {
            let near = |(k, v): (usize, &f32)| (v - expected[k / 4]).abs() < 1e-5;
            assert!(out.values[from..from + 8].iter().enumerate().all(near), "{:?}", out.values);
        }
    }

    #[test]
    fn a_grid_of_two_cells_is_refused() {
        let error = Runner::new::<Pool>(&[]).unwrap().plan(&[grid(1, 2, 9)]).unwrap_err();
        assert!(error.message.contains("at least 3 x 3"), "{}", error.message);
    }
}
