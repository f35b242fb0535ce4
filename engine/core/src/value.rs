//! What travels between steps.

use assay_abi as abi;
use assay_data::{Frame, Grid, Image};
use ndarray::{Array2, Array3};

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of the sensors' kinds and the two results")]
pub enum Content {
    Rgb,
    Gray,
    Xyz,
    Depth,
    Points,
    Features,
    Scores,
}

impl Content {
    const ALL: [Self; 7] =
        [Self::Rgb, Self::Gray, Self::Xyz, Self::Depth, Self::Points, Self::Features, Self::Scores];

    /// The ABI's bit.
    pub fn bit(self) -> u32 {
        match self {
            Self::Rgb => abi::RGB,
            Self::Gray => abi::GRAY,
            Self::Xyz => abi::XYZ,
            Self::Depth => abi::DEPTH,
            Self::Points => abi::POINTS,
            Self::Features => abi::FEATURES,
            Self::Scores => abi::SCORES,
        }
    }

    /// The contents in a set of bits.
    pub fn in_set(bits: u32) -> Vec<Self> {
        Self::ALL.into_iter().filter(|c| c.bit() & bits != 0).collect()
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Gray => "gray",
            Self::Xyz => "xyz",
            Self::Depth => "depth",
            Self::Points => "points",
            Self::Features => "features",
            Self::Scores => "scores",
        }
    }
}

/// The shape of a value before there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What it means.
    pub content: Content,
    /// Channels.
    pub channels: usize,
    /// `(rows, columns)` of a grid; `None` of a cloud.
    pub size: Option<(usize, usize)>,
    /// Where a grid lies in a scan of the planned native size.
    pub frame: Frame,
    /// Guaranteed range of the values.
    pub range: Option<(f64, f64)>,
    /// `step.output` or the sensor's name.
    pub name: String,
}

/// One value of one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it means.
    pub content: Content,
    /// Its values.
    pub data: Data,
    /// Image score of scores; NaN otherwise.
    pub image_score: f64,
}

/// The values of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A picture as decoded; steps get it as f32 planes.
    Image(Image),
    /// A grid.
    Grid(Grid),
    /// A cloud.
    Cloud(Cloud),
}

/// Points with what a step says of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Cloud {
    /// `[N, 3]`, metres.
    pub positions: Array2<f32>,
    /// `[N, C]`; no columns for a sensor's cloud.
    pub values: Array2<f32>,
    /// One flag a point; `None` = all valid.
    pub valid: Option<Vec<bool>>,
}

impl Value {
    /// The grid, if it is one.
    pub fn grid(&self) -> Option<&Grid> {
        if let Data::Grid(g) = &self.data { Some(g) } else { None }
    }
}

/// An image as planes `[C, h, w]` of 0..255.
pub fn planes(image: &Image) -> Grid {
    let (h, w, c) = image.pixels.dim();
    let pixels = image.pixels.as_standard_layout();
    let pixels = pixels.as_slice().unwrap_or_default();
    let mut values = Vec::with_capacity(c * h * w);
    for channel in 0..c {
        values.extend(pixels.chunks_exact(c).map(|pixel| f32::from(pixel[channel])));
    }
    // As many as there are pixels.
    let values = Array3::from_shape_vec((c, h, w), values).unwrap_or_default();
    Grid { values, valid: image.valid.clone(), frame: image.frame }
}
