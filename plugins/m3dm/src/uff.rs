//! Unsupervised feature fusion: a perceptron a modality, trained so that patches of one place are alike and others are not.

use assay_sdk::{Error, Host, Level, OnnxSession, Parallel, Result};
use assay_training::Watched;
use assay_training::burn;
use assay_training::burn::module::Module;
use assay_training::burn::nn::Linear;
use assay_training::burn::optim::AdamWConfig;
use assay_training::burn::tensor::{Device, Tensor, TensorData};
use assay_training::export::{Graph, compare, values};
use assay_training::layers::{Draws, Perceptron, linear};
use assay_training::learner::{Learner, Lesson, Order, Task, value};
use assay_training::losses::info_nce;
use assay_training::run::{Limits, Watcher, run};
use assay_training::schedule::HalfCosine;
use assay_training::threads::on_threads;
use ndarray::{ArrayView2, s};
use std::time::Duration;

/// Names in the ONNX file.
const RGB: &str = "rgb";
const XYZ: &str = "xyz";
const FUSED: &str = "fused";

/// M3DM's reference: momentum, and a decay too small to matter.
const BETA_2: f32 = 0.95;
const DECAY: f32 = 1.5e-6;

/// Steps of an epoch where there are few pairs: a step has fewer of them then. The paper's have 14, of 16 of 223 scans each.
const FEW_STEPS: usize = 12;

/// But no fewer than so many: a patch is compared with those of its step.
const FEW_PAIRS: usize = 256;

/// Pairs whose fused vectors the ONNX file must give as the network does.
const COMPARED: usize = 256;

/// What shapes a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Options {
    /// Width of the hidden layers over that of the inputs.
    pub(crate) hidden: usize,
    /// Length of the vectors that are compared.
    pub(crate) compared: usize,
    pub(crate) temperature: f64,
    pub(crate) rate: f64,
    pub(crate) epochs: usize,
    /// Most patches of a step.
    pub(crate) batch: usize,
    pub(crate) time: Option<Duration>,
    pub(crate) seed: u64,
}

impl Options {
    /// Steps of an epoch over `n` pairs.
    fn steps_of_an_epoch(&self, n: usize) -> usize {
        (n / self.batch.max(1)).max(FEW_STEPS.min(n / FEW_PAIRS)).max(1)
    }
}

/// The fusing network with the heads that only the training needs.
#[derive(Module, Debug)]
struct Network {
    rgb: Perceptron,
    xyz: Perceptron,
    rgb_head: Linear,
    xyz_head: Linear,
}

/// Pairs of patches, `[n, rgb + xyz]`, and where the second begins.
#[derive(Clone, Copy)]
pub(crate) struct Pairs<'a> {
    pub(crate) rows: ArrayView2<'a, f32>,
    pub(crate) split: usize,
}

impl Pairs<'_> {
    fn len(&self) -> usize {
        self.rows.nrows()
    }

    /// The chosen rows of both modalities.
    fn pick(&self, which: &[usize], device: &Device) -> [Tensor<2>; 2] {
        let tensor = |columns: std::ops::Range<usize>| {
            let width = columns.len();
            let part = self.rows.slice(s![.., columns]);
            let values: Vec<f32> = which.iter().flat_map(|&i| part.row(i).to_vec()).collect();
            Tensor::from_data(TensorData::new(values, [which.len(), width]), device)
        };
        [tensor(0..self.split), tensor(self.split..self.rows.ncols())]
    }
}

impl Network {
    fn new([rgb, xyz]: [usize; 2], options: &Options, device: &Device) -> Self {
        let mut draws = Draws::new(options.seed);
        Self {
            rgb: Perceptron::new(rgb, options.hidden * rgb, rgb, &mut draws, device),
            xyz: Perceptron::new(xyz, options.hidden * xyz, xyz, &mut draws, device),
            rgb_head: linear(rgb, options.compared, &mut draws, device),
            xyz_head: linear(xyz, options.compared, &mut draws, device),
        }
    }

    fn loss(&self, [rgb, xyz]: [Tensor<2>; 2], temperature: f64) -> Tensor<1> {
        let queries = self.rgb_head.forward(self.rgb.forward(rgb));
        let keys = self.xyz_head.forward(self.xyz.forward(xyz));
        info_nce(queries, keys, temperature)
    }

    fn fused(&self, [rgb, xyz]: [Tensor<2>; 2]) -> Tensor<2> {
        Tensor::cat(vec![self.rgb.forward(rgb), self.xyz.forward(xyz)], 1)
    }

    fn to_onnx(&self, [rgb, xyz]: [usize; 2]) -> assay_training::Result<Vec<u8>> {
        let mut graph = Graph::default();
        let a = graph.perceptron(&self.rgb, RGB)?;
        let b = graph.perceptron(&self.xyz, XYZ)?;
        let fused = graph.op("Concat", &[&a, &b], |node| node.with_int("axis", 1));
        graph.over_rows(&[(RGB, rgb), (XYZ, xyz)], &[(&fused, rgb + xyz, FUSED)])
    }
}

/// What the network is trained for.
struct Contrast<'a> {
    rate: HalfCosine,
    learned: Pairs<'a>,
    held: Pairs<'a>,
    order: Order,
    options: Options,
    device: Device,
}

impl Task for Contrast<'_> {
    type Network = Network;

    fn step(&mut self, learner: &mut Learner<Network>, step: usize) -> assay_training::Result<f64> {
        let n = self.learned.len();
        let steps = self.options.steps_of_an_epoch(n);
        // What is left of an epoch's order is of another's steps.
        let size = (n / steps).min(self.options.batch);
        let first = step % steps * size;
        let chosen = &self.order.of(step / steps)[first..first + size];
        let pairs = self.learned.pick(chosen, &self.device);
        learner.step(self.rate.at(step), |network| network.loss(pairs, self.options.temperature))
    }

    /// The loss of pairs that are not learned.
    fn criterion(
        &mut self,
        network: &Network,
        go_on: &mut dyn FnMut() -> assay_training::Result<()>,
    ) -> assay_training::Result<f64> {
        let device = self.device.clone().inner();
        let (mut sum, mut count) = (0.0, 0);
        let all: Vec<usize> = (0..self.held.len()).collect();
        for chosen in all.chunks(self.options.batch) {
            go_on()?;
            let loss = network.loss(self.held.pick(chosen, &device), self.options.temperature);
            sum += chosen.len() as f64 * value(loss)?;
            count += chosen.len();
        }
        Ok(sum / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX)))
    }
}

/// A trained network.
struct Learned {
    onnx: Vec<u8>,
    /// Some pairs, and what the network makes of them.
    sample: [Vec<f32>; 2],
    fused: Vec<f32>,
    /// What the training came to.
    summary: String,
}

/// Trains on `device`, or on `threads` threads of the processor.
fn learn<'a>(
    learned: Pairs<'a>,
    held: Pairs<'a>,
    options: &Options,
    device: Device,
    threads: usize,
    watcher: impl Watcher + Send,
) -> assay_training::Result<Learned> {
    let mut watcher = watcher;
    let widths = [learned.split, learned.rows.ncols() - learned.split];
    on_threads(threads, || {
        let device = device.autodiff();
        let of_an_epoch = options.steps_of_an_epoch(learned.len());
        let steps = of_an_epoch * options.epochs;
        let optimizer = AdamWConfig::new().with_beta_2(BETA_2).with_epsilon(1e-8).with_weight_decay(DECAY);
        let learner = Learner::new(Network::new(widths, options, &device), optimizer.init());
        let task = Contrast {
            rate: HalfCosine { peak: options.rate, warm_up: of_an_epoch, steps },
            learned,
            held,
            order: Order::new(learned.len(), options.seed.wrapping_add(1)),
            options: *options,
            device: device.clone(),
        };
        let limits = Limits { steps, check_every: (of_an_epoch / 4).max(1), time: options.time };
        let best = run(&mut Lesson { learner, task }, limits, &mut watcher)?.on_processor();
        let summary = best.summary("loss of pairs that were not learned", steps);
        let network = best.network;
        let some: Vec<usize> = (0..held.len().min(COMPARED)).collect();
        let sample = held.pick(&some, &Device::flex());
        let fused = values(network.fused(sample.clone()))?;
        let [rgb, xyz] = sample;
        let onnx = network.to_onnx(widths)?;
        Ok(Learned { onnx, sample: [values(rgb)?, values(xyz)?], fused, summary })
    })?
}

/// Trains on pairs of patches of one place and returns the network as an ONNX file that was compared with it.
///
/// # Errors
/// Too few pairs; a training that diverges; a host that asks to stop or has no inference.
pub(crate) fn train<'a>(
    learned: Pairs<'a>,
    held: Pairs<'a>,
    options: &Options,
    device: Device,
    host: &Host,
) -> Result<Vec<u8>> {
    if learned.len() < 2 || held.len() < 2 {
        let message = "there is but one training scan, or too few cells are valid in colour and in 3D to learn their fusion; `uff = false` puts them side by side";
        return Err(Error::input("features", message));
    }
    let widths = [learned.split, learned.rows.ncols() - learned.split];
    let made = learn(learned, held, options, device, host.threads(), Watched::new(host, "fusion"))?;
    host.log(Level::Info, &format!("the fusion of patches: {}", made.summary));
    let session = host.open_onnx(&made.onnx, "fusion of patches")?;
    compare(&fuse(&session, &made.sample[0], &made.sample[1], widths)?, &made.fused)?;
    Ok(made.onnx)
}

/// The fused vectors of pairs, row-major.
///
/// # Errors
/// Where the runtime fails or gives something else.
pub(crate) fn fuse(session: &OnnxSession, rgb: &[f32], xyz: &[f32], widths: [usize; 2]) -> Result<Vec<f32>> {
    let rows = rgb.len() / widths[0].max(1);
    let outputs = session.run(&[(RGB, &[rows, widths[0]], rgb), (XYZ, &[rows, widths[1]], xyz)])?;
    let fused = outputs.into_iter().find(|t| t.name == FUSED);
    match fused {
        Some(fused) if fused.shape == [rows, widths[0] + widths[1]] => Ok(fused.data),
        _ => Err(Error::state("the saved fusion network does not give fused patches")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_training::run::Progress;
    use ndarray::Array2;
    use rten_tensor::AsView as _;

    /// Columns of colour and of 3D.
    const WIDTHS: [usize; 2] = [8, 6];

    /// Pairs of patches that tell of the same 3 hidden numbers, in ways that are not linear. A row's normalisation takes two numbers
    /// from each, so that there are more columns than hidden numbers.
    fn pairs(n: usize, seed: u64) -> Array2<f32> {
        let mut draws = Draws::new(seed);
        let mut values = Vec::new();
        for _ in 0..n {
            let h = draws.uniform(3, 1.0);
            values.extend([h[0], h[1], h[2], h[0] * h[1], h[0] * h[0], h[1] - h[2], h[1] * h[2], 1.0]);
            let bent = [h[1] + 0.5 * h[0] * h[0], h[2] * h[2] - h[0], (2.0 * h[1]).cos()];
            values.extend([(2.0 * h[0]).sin(), h[2] - h[1], h[0], bent[0], bent[1], bent[2]]);
        }
        Array2::from_shape_vec((n, WIDTHS[0] + WIDTHS[1]), values).unwrap()
    }

    fn view(rows: &Array2<f32>) -> Pairs<'_> {
        Pairs { rows: rows.view(), split: WIDTHS[0] }
    }

    fn options() -> Options {
        Options {
            hidden: 4,
            compared: 8,
            temperature: 0.1,
            rate: 0.01,
            epochs: 20,
            batch: 64,
            time: None,
            seed: 3,
        }
    }

    fn learn_on(threads: usize, options: &Options) -> (Learned, Vec<Progress>) {
        let (learned, held) = (pairs(512, 1), pairs(128, 2));
        let mut told = Vec::new();
        let found = learn(view(&learned), view(&held), options, Device::flex(), threads, |p: &Progress| {
            told.push(*p);
            Ok(())
        });
        (found.unwrap(), told)
    }

    #[test]
    fn patches_of_one_place_become_alike_and_others_do_not() {
        let (_, told) = learn_on(1, &options());
        // Of 64 candidates: by chance 2 T ln 64 = 0.83.
        let best = told.last().unwrap().best;
        assert!(best < 0.35, "{best}");
        assert!(told.first().unwrap().best > 0.7);
        assert_eq!(told.len(), 8 * 20);
    }

    #[test]
    fn few_pairs_make_some_steps_of_an_epoch_too_unless_they_would_be_too_few_to_compare() {
        let steps = |n| Options { batch: 8192, ..options() }.steps_of_an_epoch(n);
        assert_eq!([2, 511, 512, 3000, 11_000, 98_304, 114_688].map(steps), [1, 1, 2, 11, 12, 12, 14]);
        let steps = |n| Options { batch: 64, ..options() }.steps_of_an_epoch(n);
        assert_eq!([2, 512, 6400].map(steps), [1, 8, 100]);
    }

    #[test]
    fn the_same_seed_gives_the_same_file_at_any_number_of_threads_and_another_seed_another() {
        let short = Options { epochs: 2, ..options() };
        let (one, _) = learn_on(1, &short);
        let (three, _) = learn_on(3, &short);
        assert!(one.onnx == three.onnx);
        let (other, _) = learn_on(1, &Options { seed: 4, ..short });
        assert!(one.onnx != other.onnx);
    }

    #[test]
    fn the_file_gives_what_the_network_gave() {
        let (made, _) = learn_on(2, &Options { epochs: 1, ..options() });
        let model = rten::Model::load(made.onnx).unwrap();
        let input = |name: &str, columns: usize, values: &[f32]| {
            let tensor =
                rten::Value::from_shape(&[values.len() / columns, columns], values.to_vec()).unwrap();
            (model.node_id(name).unwrap(), tensor.into())
        };
        let inputs = vec![input(RGB, WIDTHS[0], &made.sample[0]), input(XYZ, WIDTHS[1], &made.sample[1])];
        let mut outputs = model.run(inputs, &[model.node_id(FUSED).unwrap()], None).unwrap();
        let found = outputs.remove(0).into_tensor::<f32>().unwrap();
        assert_eq!(made.fused.len(), 128 * (WIDTHS[0] + WIDTHS[1]));
        compare(&found.to_vec(), &made.fused).unwrap();
    }

    #[test]
    fn a_host_that_asks_to_stop_ends_the_training() {
        let (learned, held) = (pairs(512, 1), pairs(128, 2));
        let stop = |_: &Progress| Err(assay_training::Error::Cancelled);
        let stopped = learn(view(&learned), view(&held), &options(), Device::flex(), 1, stop);
        assert!(matches!(stopped, Err(assay_training::Error::Cancelled)));
    }

    #[test]
    fn an_interrupted_training_gives_the_file_that_it_would_have_given() {
        /// Stops after some steps, and keeps.
        struct Stops<'a>(usize, &'a mut Option<Vec<u8>>);
        impl Watcher for Stops<'_> {
            fn tell(&mut self, progress: &Progress) -> assay_training::Result<()> {
                if progress.step == self.0 { Err(assay_training::Error::Cancelled) } else { Ok(()) }
            }
            fn keep(&mut self, training: &[u8]) {
                *self.1 = Some(training.to_vec());
            }
            fn kept(&mut self) -> Option<Vec<u8>> {
                self.1.clone()
            }
        }
        let (learned, held) = (pairs(512, 1), pairs(128, 2));
        let short = Options { epochs: 3, ..options() };
        let (whole, _) = learn_on(1, &short);
        let mut kept = None;
        for at in [5, 13, 0] {
            let made = learn(view(&learned), view(&held), &short, Device::flex(), 2, Stops(at, &mut kept));
            assert_eq!(made.is_err(), at > 0);
            assert!(made.is_err() || made.is_ok_and(|made| made.onnx == whole.onnx));
        }
    }
}
