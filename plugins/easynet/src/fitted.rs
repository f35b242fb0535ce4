//! What was learned: the network, the range of depths and the threshold of the gate.

use crate::defects::Example;
use crate::gate::{Seen, Which, entropy, score};
use crate::network::{ALONE, SEEN_ALONE, SEEN_TOGETHER, SENSORS, TOGETHER, probabilities};
use crate::scans::{Scale, Shape};
use crate::views::Views;
use assay_sdk::state::{read_count, read_f64, read_u8s, read_u64, write_f64, write_u8s, write_u64};
use assay_sdk::{Error, Host, NamedTensor, OnnxSession, Result};
use std::io::{Read, Write};

/// Changes with the layout of the saved state, and with what its scores mean.
pub(crate) const STATE_VERSION: u64 = 6;

/// Most bytes of a saved network.
const MOST_BYTES: usize = 1 << 31;

/// A network at work.
pub(crate) struct Running {
    onnx: Vec<u8>,
    session: OnnxSession,
    shape: Shape,
    views: Views,
    which: Which,
}

/// The maps of a scan, the mean of all views: probabilities of a defect.
pub(crate) struct Maps {
    /// By the first sensor alone.
    pub(crate) alone: Option<Vec<f32>>,
    /// By both.
    pub(crate) together: Option<Vec<f32>>,
    /// The entropy of what is seen of both over that of the first, the mean of all views, where the gate decides.
    pub(crate) gain: Option<f64>,
}

/// The sensors' names in the network.
pub(crate) fn sensors(shape: Shape) -> Vec<&'static str> {
    let bound = [shape.colour, shape.depth];
    SENSORS.into_iter().zip(bound).filter_map(|(name, bound)| bound.then_some(name)).collect()
}

impl Running {
    /// The file of a network of the maps that `which` needs.
    ///
    /// # Errors
    /// Where the host has no inference or cannot load it.
    pub(crate) fn new(onnx: Vec<u8>, shape: Shape, views: Views, which: Which, host: &Host) -> Result<Self> {
        let session = host.open_onnx(&onnx, "easynet")?;
        Ok(Self { onnx, session, shape, views, which })
    }

    /// The maps of the pictures of a scan.
    ///
    /// # Errors
    /// Where the runtime fails or gives something else.
    pub(crate) fn maps(&self, pictures: &[Vec<f32>]) -> Result<Maps> {
        let Self { shape, views, .. } = *self;
        let dims = [views.count(), 3, shape.size, shape.size];
        let taken = if self.which == Which::Alone { 1 } else { shape.sensors() };
        let pictures = views.pictures(pictures, shape);
        let inputs: Vec<(&str, &[usize], &[f32])> = sensors(shape)
            .into_iter()
            .take(taken)
            .zip(&pictures)
            .map(|(n, p)| (n, dims.as_slice(), p.as_slice()))
            .collect();
        let mut outputs = self.session.run(&inputs)?;
        let mut take = |name: &str, cells: Option<usize>| -> Result<Vec<f32>> {
            let at = outputs.iter().position(|t: &NamedTensor| t.name == name);
            let found = at.map(|at| outputs.swap_remove(at).data);
            let fits = |v: &Vec<f32>| {
                !v.is_empty() && cells.is_none_or(|n| v.len() == n) && v.iter().all(|v| v.is_finite())
            };
            found.filter(fits).ok_or_else(|| Error::state("the saved network does not give maps of defects"))
        };
        let cells = Some(views.count() * shape.cells());
        let mut map = |name: &str| -> Result<Vec<f32>> {
            Ok(views.merged(probabilities(take(name, cells)?), shape.size))
        };
        let alone = (self.which != Which::Together).then(|| map(ALONE)).transpose()?;
        let together = (self.which != Which::Alone).then(|| map(TOGETHER)).transpose()?;
        let mut bits = |name: &str| -> Result<f64> {
            let seen = take(name, None)?;
            let of_view = seen.chunks_exact((seen.len() / views.count()).max(1));
            Ok(of_view.map(entropy).sum::<f64>() / views.count() as f64)
        };
        let gain = match self.which {
            Which::Both => Some(bits(SEEN_TOGETHER)? - bits(SEEN_ALONE)?),
            _ => None,
        };
        Ok(Maps { alone, together, gain })
    }

    /// What the gate is chosen by. Where it always decides alike, all scores are those of the one map that there is.
    pub(crate) fn seen(&self, example: &Example) -> Result<Seen> {
        let Maps { alone, together, gain } = self.maps(&example.pictures)?;
        let score = |map: &Option<Vec<f32>>| map.as_ref().map(|map| score(map, self.shape.size));
        let [alone, together] = [score(&alone), score(&together)];
        let one = alone.or(together).unwrap_or_default();
        Ok(Seen {
            gain: gain.unwrap_or_default(),
            alone: alone.unwrap_or(one),
            together: together.unwrap_or(one),
            defective: example.any.contains(&1.0),
        })
    }
}

/// What a fit leaves.
pub(crate) struct Fitted {
    pub(crate) network: Running,
    pub(crate) scale: Scale,
    /// From this gain of entropy on both sensors count.
    pub(crate) threshold: f64,
}

impl Fitted {
    /// The map of a scan's row and its image score.
    pub(crate) fn score(&self, row: &[f32]) -> Result<(Vec<f32>, f64)> {
        let shape = self.network.shape;
        let maps = self.network.maps(&shape.scan(row, self.scale).pictures())?;
        let map = match maps {
            Maps { together: Some(together), alone: None, .. } => together,
            Maps { together: Some(together), gain: Some(gain), .. } if gain >= self.threshold => together,
            Maps { alone, .. } => alone.unwrap_or_default(),
        };
        let score = score(&map, shape.size);
        Ok((map, score))
    }

    pub(crate) fn save(&self, out: &mut dyn Write) -> Result<()> {
        let Shape { size, colour, depth } = self.network.shape;
        let views = self.network.views.count() as u64;
        let numbers = [STATE_VERSION, size as u64, u64::from(colour), u64::from(depth), views];
        numbers.iter().try_for_each(|&n| write_u64(out, n))?;
        let Scale { reach, slope, noise } = self.scale;
        [reach, slope, noise].iter().try_for_each(|&v| write_f64(out, f64::from(v)))?;
        write_f64(out, self.threshold)?;
        write_u64(out, self.network.onnx.len() as u64)?;
        write_u8s(out, &self.network.onnx)
    }

    pub(crate) fn load(input: &mut dyn Read, shape: Shape, views: Views, host: &Host) -> Result<Self> {
        let version = read_u64(input)?;
        if version != STATE_VERSION {
            let message = format!("the saved network has version {version}, not {STATE_VERSION}; fit again");
            return Err(Error::state(message));
        }
        let saved = [read_u64(input)?, read_u64(input)?, read_u64(input)?, read_u64(input)?];
        let numbers = [shape.size, usize::from(shape.colour), usize::from(shape.depth), views.count()];
        if saved != numbers.map(|n| n as u64) {
            let message = "the saved network is for other sensors, another size or other views; fit again";
            return Err(Error::state(message));
        }
        let mut length = || read_f64(input).map(|v| v as f32);
        let [reach, slope, noise] = [length()?, length()?, length()?];
        if ![reach, slope, noise].iter().all(|v| v.is_finite() && *v > 0.0) {
            return Err(Error::state("the saved scale of depths is none"));
        }
        let (scale, threshold) = (Scale { reach, slope, noise }, read_f64(input)?);
        let bytes = read_count(input, MOST_BYTES, "bytes of a network")?;
        let onnx = read_u8s(input, bytes)?;
        let which = Which::of(shape.sensors(), threshold);
        let network = Running::new(onnx, shape, views, which, host)?;
        // A network of other maps is told now, not by the first scan.
        network.maps(&vec![vec![0.0; 3 * shape.cells()]; shape.sensors()])?;
        Ok(Self { network, scale, threshold })
    }
}
