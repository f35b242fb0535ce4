//! Training of the network on good scans with synthetic defects.

use crate::defects::{Changed, DEFECTS, Example, Kind};
use crate::fitted::sensors;
use crate::gate::Which;
use crate::network::{GAMMA, Network, Seen, probabilities};
use crate::scans::{Scale, Shape};
use crate::variation::varied;
use crate::views::Views;
use assay_training::burn::optim::AdamConfig;
use assay_training::burn::tensor::{Device, Tensor, TensorData};
use assay_training::export::values;
use assay_training::layers::Draws;
use assay_training::learner::{Learner, Lesson, Order, Task, value};
use assay_training::losses::{dissimilarity, focal, mean_square};
use assay_training::run::{Best, Limits, Watcher, run};
use assay_training::schedule::HalfCosine;
use assay_training::threads::{each, on_threads};
use ndarray::ArrayView2;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The rate rises over one in so many steps.
const WARM_UP: usize = 20;

/// Looks at the criterion in a training.
const LOOKS: usize = 20;

/// Least pairs of held out scans, as they are and with defects, that the criterion looks at: by those of two or three scans alone it would
/// choose by chance.
const LOOKED_AT: usize = 16;

/// What shapes a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Options {
    /// Channels of the first stage.
    pub(crate) width: usize,
    /// Turns at which scans are learned, and looked at.
    pub(crate) views: Views,
    pub(crate) steps: usize,
    /// Scans of a step.
    pub(crate) batch: usize,
    pub(crate) rate: f64,
    pub(crate) time: Option<Duration>,
    pub(crate) seed: u64,
}

/// Good scans, a row each.
#[derive(Clone, Copy)]
pub(crate) struct Scans<'a> {
    pub(crate) shape: Shape,
    pub(crate) rows: ArrayView2<'a, f32>,
    pub(crate) scale: Scale,
}

impl<'a> Scans<'a> {
    fn row(&self, i: usize) -> &'a [f32] {
        let row: ArrayView2<'a, f32> = self.rows;
        row.to_slice()
            .and_then(|all| all.get(i * self.shape.values()..(i + 1) * self.shape.values()))
            .unwrap_or_default()
    }

    /// A scan's row as it is.
    fn as_it_is(&self, row: &[f32]) -> Example {
        Example::good(&self.shape.scan(row, self.scale), self.shape.size)
    }

    /// The colours of all scans, whose pieces are textures; none without a colour sensor.
    fn colours(&self) -> Vec<&'a [f32]> {
        let scans = if self.shape.colour { self.rows.nrows() } else { 0 };
        (0..scans).map(|i| &self.row(i)[..3 * self.shape.cells()]).collect()
    }

    /// A scan's row with so many defects, filled with textures that are pieces of these scans, too.
    fn with_defects(&self, row: &[f32], count: RangeInclusive<usize>, draws: &mut Draws) -> Example {
        let scan = self.shape.scan(row, self.scale);
        Example::defective(&scan, count, &self.colours(), self.shape.size, draws)
    }

    /// So many of the scans in turn, each varied, the same ones for a seed: with one defect of a kind, or as they are.
    pub(crate) fn of_kind(&self, kind: Option<Kind>, count: usize, seed: u64) -> Vec<Example> {
        let mut draws = Draws::new(seed);
        let (others, size) = (self.colours(), self.shape.size);
        let scans = (0..self.rows.nrows()).cycle().take(count);
        scans
            .map(|scan| {
                let row = varied(self.row(scan), self.shape, self.scale, &mut draws);
                let scan = self.shape.scan(&row, self.scale);
                match kind {
                    None => Example::good(&scan, size),
                    Some(kind) => Changed::of(kind, &scan, &others, size, &mut draws).example(&scan),
                }
            })
            .collect()
    }

    /// Pairs of a scan as it is and with so many defects, at least `least` of them and the same ones for a seed: of every scan, and of scans that vary where
    /// there are fewer.
    pub(crate) fn pairs(&self, count: RangeInclusive<usize>, least: usize, seed: u64) -> Vec<Example> {
        let mut draws = Draws::new(seed);
        let scans = self.rows.nrows();
        let rounds = least.div_ceil(scans.max(1));
        let mut pairs = Vec::new();
        for (round, scan) in (0..rounds).flat_map(|round| (0..scans).map(move |scan| (round, scan))) {
            let row = self.row(scan);
            let row: Cow<'_, [f32]> = match round {
                0 => row.into(),
                _ => varied(row, self.shape, self.scale, &mut draws).into(),
            };
            pairs.extend([self.as_it_is(&row), self.with_defects(&row, count.clone(), &mut draws)]);
        }
        pairs
    }
}

/// Examples as tensors.
struct Batch {
    pictures: Vec<Tensor<4>>,
    alone: Tensor<4>,
    second: Tensor<4>,
    any: Tensor<4>,
}

impl Batch {
    fn of(examples: &[&Example], size: usize, device: &Device) -> Self {
        let tensor = |channels: usize, part: &dyn Fn(&Example) -> Vec<f32>| {
            let values: Vec<f32> = examples.iter().flat_map(|e| part(e)).collect();
            Tensor::from_data(TensorData::new(values, [examples.len(), channels, size, size]), device)
        };
        let sensors = examples.first().map_or(0, |e| e.pictures.len());
        Self {
            pictures: (0..sensors).map(|s| tensor(3, &|e| e.pictures[s].clone())).collect(),
            alone: tensor(1, &|e| e.alone.clone()),
            second: tensor(1, &|e| e.second.clone()),
            any: tensor(1, &|e| e.any.clone()),
        }
    }

    /// How far the second sensor's own map is from where it sees defects: it is for the training alone, where nothing that colour shows can stand
    /// in for what depth shows.
    fn second(&self, seen: &Seen) -> Option<Tensor<1>> {
        seen.second.as_ref().map(|second| focal(second.clone(), self.second.clone(), GAMMA))
    }

    /// How far the maps that count are from where defects are.
    fn segmentation(&self, seen: &Seen) -> Tensor<1> {
        let alone = focal(seen.alone.clone(), self.alone.clone(), GAMMA);
        match &seen.together {
            Some(together) => alone + focal(together.clone(), self.any.clone(), GAMMA),
            None => alone,
        }
    }
}

/// What a training brings down: how far the maps are from where defects are, and the reconstructions from the `good` pictures. Colour, where it is
/// the first sensor, is to be rebuilt in its structure, too.
fn loss(network: &Network, shown: &Batch, good: Vec<Tensor<4>>, colour: bool) -> Tensor<1> {
    let seen = network.forward(shown.pictures.clone());
    let mut loss = shown.segmentation(&seen);
    if let Some(second) = shown.second(&seen) {
        loss = loss + second;
    }
    for (sensor, (found, good)) in seen.pictures.into_iter().zip(good).enumerate() {
        loss = loss + mean_square(found.clone(), good.clone());
        if sensor == 0 && colour {
            loss = loss + dissimilarity(found, good, 1.0);
        }
    }
    loss
}

/// What the network is trained for.
struct Segmenting<'a> {
    rate: HalfCosine,
    scans: Scans<'a>,
    held: Vec<Example>,
    order: Order,
    options: Options,
    device: Device,
}

impl Segmenting<'_> {
    /// The scans of a step, every other one varied, at any of the views, as good ones and as they are shown: every other one with defects; all by chance.
    fn examples(&mut self, step: usize) -> (Vec<Example>, Vec<Example>) {
        let n = self.scans.rows.nrows();
        let places = step * self.options.batch..(step + 1) * self.options.batch;
        let chosen: Vec<(usize, usize)> =
            places.map(|place| (place, self.order.of(place / n)[place % n])).collect();
        let (scans, views, seed) = (self.scans, self.options.views, self.options.seed.wrapping_add(3));
        let both = each(&chosen, |&(place, scan)| {
            let mut draws = Draws::of(seed, place as u64);
            let [defective, other] = [(); 2].map(|()| draws.below(2) == 1);
            let row = scans.row(scan);
            let row: Cow<'_, [f32]> = match other {
                true => varied(row, scans.shape, scans.scale, &mut draws).into(),
                false => row.into(),
            };
            let good = scans.as_it_is(&row);
            let shown = if defective { scans.with_defects(&row, DEFECTS, &mut draws) } else { good.clone() };
            match views.quarters(draws.below(views.count())) {
                0 => (good, shown),
                quarters => (good.turned(scans.shape, quarters), shown.turned(scans.shape, quarters)),
            }
        });
        both.into_iter().unzip()
    }
}

impl Task for Segmenting<'_> {
    type Network = Network;

    fn step(&mut self, learner: &mut Learner<Network>, step: usize) -> assay_training::Result<f64> {
        let (good, shown) = self.examples(step);
        let size = self.scans.shape.size;
        let good = Batch::of(&good.iter().collect::<Vec<_>>(), size, &self.device);
        let batch = Batch::of(&shown.iter().collect::<Vec<_>>(), size, &self.device);
        let colour = self.scans.shape.colour;
        learner.step(self.rate.at(step), |network| loss(network, &batch, good.pictures, colour))
    }

    /// How far maps of scans that are not learned, half of them with synthetic defects, are from where defects are.
    fn criterion(
        &mut self,
        network: &Network,
        go_on: &mut dyn FnMut() -> assay_training::Result<()>,
    ) -> assay_training::Result<f64> {
        let device = self.device.clone().inner();
        let (mut sum, mut count) = (0.0, 0.0);
        for chunk in self.held.chunks(self.options.batch) {
            go_on()?;
            let batch = Batch::of(&chunk.iter().collect::<Vec<_>>(), self.scans.shape.size, &device);
            sum += chunk.len() as f64 * value(batch.segmentation(&network.forward(batch.pictures.clone())))?;
            count += chunk.len() as f64;
        }
        Ok(sum / f64::max(count, 1.0))
    }
}

/// A trained network.
pub(crate) struct Learned {
    network: Network,
    shape: Shape,
    width: usize,
    views: Views,
    /// An example and the probabilities of defects that the network sees in it.
    pub(crate) example: Example,
    pub(crate) alone: Vec<f32>,
    pub(crate) together: Option<Vec<f32>>,
    /// What the training came to.
    pub(crate) summary: String,
}

impl Learned {
    /// The network's file, with what `which` needs.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn onnx(&self, which: Which) -> assay_training::Result<Vec<u8>> {
        self.network.to_onnx(&sensors(self.shape), self.shape.size, self.width, self.views, which)
    }
}

/// Pairs of examples, one pair after the other at the next of the views.
fn at_all_views(pairs: Vec<Example>, shape: Shape, views: Views) -> Vec<Example> {
    let turned = |(i, example): (usize, Example)| match views.quarters(i / 2 % views.count()) {
        0 => example,
        quarters => example.turned(shape, quarters),
    };
    pairs.into_iter().enumerate().map(turned).collect()
}

/// Trains on `device`, or on `threads` threads of the processor, on `scans`; pairs of `held` scans as they are and with defects choose the network.
///
/// # Errors
/// A training that diverges; what `watcher` says; a network that cannot be written.
pub(crate) fn learn(
    scans: Scans<'_>,
    held: Scans<'_>,
    options: &Options,
    device: Device,
    threads: usize,
    watcher: impl Watcher + Send,
) -> assay_training::Result<Learned> {
    let mut watcher = watcher;
    on_threads(threads, || {
        let device = device.autodiff();
        let mut draws = Draws::new(options.seed);
        let size = scans.shape.size;
        let network = Network::new(scans.shape.sensors(), options.width, &mut draws, &device);
        let check_every = (options.steps / LOOKS).max(1);
        let learner = Learner::new(network, AdamConfig::new().with_epsilon(1e-8).init());
        let task = Segmenting {
            rate: HalfCosine { peak: options.rate, warm_up: options.steps / WARM_UP, steps: options.steps },
            scans,
            held: at_all_views(
                held.pairs(DEFECTS, LOOKED_AT, options.seed.wrapping_add(1)),
                scans.shape,
                options.views,
            ),
            order: Order::new(scans.rows.nrows(), options.seed.wrapping_add(2)),
            options: *options,
            device: device.clone(),
        };
        let limits = Limits { steps: options.steps, check_every, time: options.time };
        let mut lesson = Lesson { learner, task };
        let best: Best<Network> = run(&mut lesson, limits, &mut watcher)?.on_processor();
        let summary = best.summary("segmentation loss of scans that were not learned", options.steps);
        let network = best.network;
        let example = lesson
            .task
            .held
            .pop()
            .ok_or_else(|| assay_training::Error::Tensor("no scan was held out".into()))?;
        let views = options.views;
        let turned: Vec<Example> =
            (0..views.count()).map(|view| example.turned(scans.shape, views.quarters(view))).collect();
        let seen =
            network.forward(Batch::of(&turned.iter().collect::<Vec<_>>(), size, &Device::flex()).pictures);
        let map = |both: Tensor<4>| {
            let defective = values(both.slice([0..views.count(), 1..2, 0..size, 0..size]))?;
            Ok::<_, assay_training::Error>(views.merged(probabilities(defective), size))
        };
        Ok(Learned {
            alone: map(seen.alone)?,
            together: seen.together.map(map).transpose()?,
            example,
            summary,
            network,
            shape: scans.shape,
            width: options.width,
            views,
        })
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 32;

    /// The loss of a flat picture of both sensors, whose defects are where the masks of either sensor and of any are 1.
    fn loss_of(alone: f32, second: f32, any: f32) -> f64 {
        let device = Device::flex();
        let plane = |value: f32| vec![value; SIZE * SIZE];
        let pictures = vec![vec![0.4; 3 * SIZE * SIZE]; 2];
        let example = Example { pictures, alone: plane(alone), second: plane(second), any: plane(any) };
        let batch = Batch::of(&[&example], SIZE, &device);
        let network = Network::new(2, 2, &mut Draws::new(1), &device);
        value(loss(&network, &batch, batch.pictures.clone(), true)).unwrap()
    }

    const SHAPE: Shape = Shape { size: SIZE, colour: true, depth: true };

    /// So many scans that differ.
    fn rows(n: usize) -> ndarray::Array2<f32> {
        let value = |(i, j): (usize, usize)| 0.3 + ((31 * i + 17 * j) % 23) as f32 / 50.0;
        ndarray::Array2::from_shape_fn((n, SHAPE.values()), value)
    }

    /// A training of 40 steps of two of these scans.
    fn task(rows: &ndarray::Array2<f32>, views: Views) -> Segmenting<'_> {
        let scale = Scale { reach: 1.0, slope: 0.1, noise: 1e-3 };
        Segmenting {
            rate: HalfCosine { peak: 0.01, warm_up: 1, steps: 40 },
            scans: Scans { shape: SHAPE, rows: rows.view(), scale },
            held: Vec::new(),
            order: Order::new(rows.nrows(), 1),
            options: Options { width: 2, views, steps: 40, batch: 2, rate: 0.01, time: None, seed: 3 },
            device: Device::flex(),
        }
    }

    #[test]
    fn every_other_scan_is_shown_with_defects_and_the_others_as_they_are() {
        let rows = rows(3);
        let mut task = task(&rows, Views::new(4).unwrap());
        let mut defective = 0;
        for step in 0..40 {
            let (good, shown) = task.examples(step);
            for (good, shown) in good.iter().zip(&shown) {
                let changed = good.pictures != shown.pictures;
                assert!(!good.any.contains(&1.0) && (changed || !shown.any.contains(&1.0)));
                defective += usize::from(changed);
            }
        }
        assert!((28..52).contains(&defective), "{defective} of 80");
    }

    #[test]
    fn scans_are_learned_and_judged_at_the_turns_at_which_they_are_looked_at() {
        let rows = rows(1);
        for count in [1, 2, 4] {
            let views = Views::new(count).unwrap();
            let mut task = task(&rows, views);
            let as_it_is = task.scans.as_it_is(task.scans.row(0));
            let good: Vec<Example> = (0..40).flat_map(|step| task.examples(step).0).collect();
            // Every other one of 80 is varied.
            let found = [0, 1, 2, 3].map(|quarters| {
                let turned = as_it_is.turned(SHAPE, quarters);
                good.iter().filter(|good| good.pictures == turned.pictures).count()
            });
            let seen = [0, 1, 2, 3].map(|quarters| (0..count).any(|view| views.quarters(view) == quarters));
            assert!(found.iter().sum::<usize>() > 25, "{found:?}");
            assert!(found.iter().zip(seen).all(|(&n, seen)| if seen { n > 3 } else { n == 0 }), "{found:?}");
            let pairs = task.scans.pairs(1..=1, 8, 5);
            for (i, held) in at_all_views(pairs.clone(), SHAPE, views).iter().enumerate() {
                assert!(*held == pairs[i].turned(SHAPE, views.quarters(i / 2 % count)));
            }
        }
    }

    #[test]
    fn each_sensor_alone_and_both_are_held_to_their_own_masks() {
        // The masks are all that differs.
        let none = loss_of(0.0, 0.0, 0.0);
        let apart =
            [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)].map(|(a, s, b)| loss_of(a, s, b) - none);
        assert!(apart.iter().all(|d| d.abs() > 1e-4), "{apart:?}");
    }
}
