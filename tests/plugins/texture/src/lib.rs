//! A method plugin in Rust: brightness and contrast of each cell of a picture, as features for a detector.

use assay_sdk::{
    Content, Error, Host, Info, InputPort, Layout, Method, OutputPort, OutputSpec, Outputs, Result, Sample,
    Spec, export, params,
};

params! {
    /// Parameters.
    pub struct Settings {
        /// Side of a cell.
        cell: i64 = 8, min = 1.0, max = 4096.0, unit = "px";
    }
}

/// Features of a cell: mean and deviation of its grey values.
const FEATURES: usize = 2;

/// Brightness and contrast of cells.
pub struct Texture {
    cell: usize,
}

impl Method for Texture {
    type Params = Settings;
    const INFO: Info = Info {
        id: "texture",
        name: "Brightness and contrast of cells",
        summary: "Mean and deviation of the grey values of each cell.",
        vendor: "an integrator",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "",
        deviations: "",
        inputs: &[InputPort {
            name: "image",
            doc: "The picture; of colour all three channels together.",
            content: &[Content::Rgb, Content::Gray],
            layout: &[Layout::Grid],
            min_count: 1,
            max_count: 1,
        }],
        outputs: &[OutputPort {
            name: "features",
            doc: "Mean and deviation, [2, h / cell, w / cell]; valid where all of the cell is.",
            content: Content::Features,
            layout: &[Layout::Grid],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(settings: Settings, _host: Host) -> Result<Self> {
        Ok(Self { cell: settings.cell as usize })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let like = OutputSpec::grid_like(&inputs[0], FEATURES);
        let (rows, cols) = (like.rows / self.cell, like.cols / self.cell);
        if rows == 0 || cols == 0 {
            let message = "the picture is smaller than a cell: choose a smaller `cell`";
            return Err(Error::parameter("cell", message));
        }
        // A column of cells is as wide as `cell` columns of pixels.
        let mut frame = like.frame;
        frame.stride_x *= self.cell as f64;
        frame.stride_y *= self.cell as f64;
        Ok(vec![OutputSpec { rows, cols, frame, ..like }])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        let image = sample.inputs[0].grid()?;
        let (rows, cols) = (image.rows / self.cell, image.cols / self.cell);
        let (features, valid) = (out.grid(0)?, out.grid_valid(0)?);
        for at in 0..rows * cols {
            let (row, col) = (at / cols * self.cell, at % cols * self.cell);
            let pixels = (row..row + self.cell)
                .flat_map(|row| (col..col + self.cell).map(move |col| row * image.cols + col));
            valid[at] = u8::from(pixels.clone().all(|i| image.is_valid(i)));
            let values = || {
                let pixels = pixels.clone();
                pixels.flat_map(|i| (0..image.channels).map(move |c| f64::from(image.plane(c)[i])))
            };
            let count = (self.cell * self.cell * image.channels) as f64;
            let mean = values().sum::<f64>() / count;
            let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
            features[at] = mean as f32;
            features[rows * cols + at] = deviation as f32;
        }
        Ok(())
    }
}

export!(Texture);

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    #[test]
    fn a_cell_tells_its_mean_and_deviation() -> Result<()> {
        let mut runner = Runner::new::<Texture>(&[("cell", ParamValue::Int(2))])?;
        let image = TestValue::grid(Content::Gray, [1, 2, 4], vec![1.0, 3.0, 7.0, 7.0, 1.0, 3.0, 7.0, 7.0]);
        assert_eq!(runner.plan(std::slice::from_ref(&image))?, [(2, 1, 2)]);
        assert_eq!(runner.score(&[image])?[0].values, [2.0, 7.0, 1.0, 0.0]);
        Ok(())
    }
}
