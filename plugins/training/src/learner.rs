//! A network and its optimiser, what it is trained for, and the order in which it sees what it learns from.

use crate::error::{Error, Result};
use crate::export::values;
use crate::layers::Draws;
use crate::run::Training;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor};

/// A network in training.
pub struct Learner<N> {
    /// The optimiser takes it and gives it back; between two steps it is there.
    network: Option<N>,
    optimizer: ModuleOptimizer,
}

impl<N: Module + Clone> Learner<N> {
    /// A network and what trains it.
    pub fn new(network: N, optimizer: ModuleOptimizer) -> Self {
        Self { network: Some(network), optimizer }
    }

    /// The network as it stands, apart from this one: steps to come do not change it, and it keeps no gradients. (A clone would not do: burn's
    /// clones share the statistics of their normalisations.)
    ///
    /// # Errors
    /// After a step that failed halfway.
    pub fn snapshot(&self) -> Result<N> {
        Ok(self.network()?.valid())
    }

    fn network(&self) -> Result<&N> {
        self.network.as_ref().ok_or_else(|| Error::Tensor("a step was left halfway".into()))
    }

    /// Takes one step against the gradient of `loss`, and returns the loss before it.
    ///
    /// # Errors
    /// Where the loss cannot be read.
    pub fn step(&mut self, rate: f64, loss: impl FnOnce(&N) -> Tensor<1>) -> Result<f64> {
        let loss = loss(self.network()?);
        let Some(network) = self.network.take() else { return Ok(f64::NAN) };
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(rate, network, gradients));
        value(loss)
    }

    /// Network and optimiser as bytes.
    ///
    /// # Errors
    /// Where tensors cannot be read.
    pub fn save(&self) -> Result<Vec<u8>> {
        let network = pack(&self.snapshot()?)?;
        let optimizer = self.optimizer.into_bytes().map_err(unreadable)?;
        Ok([&(network.len() as u64).to_le_bytes()[..], &network, &optimizer].concat())
    }

    /// Brings both to where they were saved.
    ///
    /// # Errors
    /// Bytes of another network.
    pub fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let other = || Error::Tensor("what was saved is of another network".into());
        let (length, rest) = saved.split_first_chunk().ok_or_else(other)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| other())?;
        let (network, optimizer) = rest.split_at_checked(length).ok_or_else(other)?;
        let network = self.unpack(network)?.train();
        let optimizer = self.optimizer.clone().from_bytes(Bytes::from_bytes_vec(optimizer.to_vec()));
        self.optimizer = optimizer.map_err(unreadable)?;
        self.network = Some(network);
        Ok(())
    }

    /// The [`snapshot`](Self::snapshot) that was packed into these bytes, of one of the same layers.
    ///
    /// # Errors
    /// Bytes of another network.
    pub fn unpack(&self, packed: &[u8]) -> Result<N> {
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(packed.to_vec())).map_err(unreadable)?;
        self.snapshot()?.try_load_record(record).map_err(unreadable)
    }
}

/// A [`snapshot`](Learner::snapshot) as bytes.
///
/// # Errors
/// Where tensors cannot be read.
fn pack<N: Module + Clone>(network: &N) -> Result<Vec<u8>> {
    Ok(network.clone().into_record().into_bytes().map_err(unreadable)?.to_vec())
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Tensor(error.to_string())
}

/// The one value of a loss.
///
/// # Errors
/// Where it cannot be read.
pub fn value(loss: Tensor<1>) -> Result<f64> {
    Ok(f64::from(values(loss)?.first().copied().unwrap_or(f32::NAN)))
}

/// What a network is trained for.
pub trait Task {
    /// What is trained.
    type Network: Module + Clone;

    /// Has the learner do step `step`, counted from 0, and returns its loss.
    ///
    /// # Errors
    /// As the task sees fit.
    fn step(&mut self, learner: &mut Learner<Self::Network>, step: usize) -> Result<f64>;

    /// How good a [`snapshot`](Learner::snapshot) is, lower is better, as in [`Training::criterion`].
    ///
    /// # Errors
    /// As the task sees fit, and those of `go_on`.
    fn criterion(&mut self, network: &Self::Network, go_on: &mut dyn FnMut() -> Result<()>) -> Result<f64>;
}

/// A learner at a task.
pub struct Lesson<T: Task> {
    /// Who learns.
    pub learner: Learner<T::Network>,
    /// What is learned.
    pub task: T,
}

impl<T: Task> Training for Lesson<T> {
    type Network = T::Network;

    fn step(&mut self, step: usize) -> Result<f64> {
        self.task.step(&mut self.learner, step)
    }

    fn criterion(&mut self, go_on: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        self.task.criterion(&self.learner.snapshot()?, go_on)
    }

    fn network(&self) -> Result<T::Network> {
        self.learner.snapshot()
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.learner.save()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        self.learner.restore(saved)
    }

    fn pack(&self, network: &T::Network) -> Result<Vec<u8>> {
        pack(network)
    }

    fn unpack(&self, packed: &[u8]) -> Result<T::Network> {
        self.learner.unpack(packed)
    }
}

/// The order in which a training sees its `n` things, another one each time around.
pub struct Order {
    seed: u64,
    round: Option<usize>,
    items: Vec<usize>,
}

impl Order {
    /// Of `n` things.
    pub fn new(n: usize, seed: u64) -> Self {
        Self { seed, round: None, items: (0..n).collect() }
    }

    /// The order of a round.
    pub fn of(&mut self, round: usize) -> &[usize] {
        if self.round != Some(round) {
            self.items.sort_unstable();
            Draws::of(self.seed, round as u64).shuffle(&mut self.items);
            self.round = Some(round);
        }
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::pictures::ConvNorm;
    use burn::optim::AdamConfig;
    use burn::tensor::{Device, TensorData};

    /// A layer whose normalisation has seen so many steps.
    fn trained(steps: usize) -> Learner<ConvNorm> {
        let device = Device::flex().autodiff();
        let layer = ConvNorm::new([1, 2], 3, &mut Draws::new(1), &device);
        let mut learner = Learner::new(layer, AdamConfig::new().init());
        (0..steps).for_each(|step| train(&mut learner, step));
        learner
    }

    fn train(learner: &mut Learner<ConvNorm>, step: usize) {
        let loss = |network: &ConvNorm| network.forward(pictures(step as u64), 0.0).mean();
        learner.step(0.1, loss).unwrap();
    }

    fn pictures(seed: u64) -> Tensor<4> {
        let device = Device::flex().autodiff();
        Tensor::from_data(TensorData::new(Draws::new(seed).uniform(2 * 64, 3.0), [2, 1, 8, 8]), &device)
    }

    /// What a layer makes of pictures depends on.
    fn seen(layer: &ConvNorm) -> Vec<f32> {
        let statistics = [&layer.norm.running_mean, &layer.norm.running_var].map(|s| s.value_sync());
        [statistics.map(|s| values(s).unwrap()).concat(), values(layer.conv.weight.val()).unwrap()].concat()
    }

    #[test]
    fn steps_to_come_do_not_change_a_snapshot() {
        let mut learner = trained(3);
        let kept = learner.snapshot().unwrap();
        let before = seen(&kept);
        (3..6).for_each(|step| train(&mut learner, step));
        assert_eq!(seen(&kept), before);
        assert_ne!(seen(&learner.snapshot().unwrap()), before);
    }

    #[test]
    fn a_restored_learner_goes_on_as_the_saved_one_and_leaves_snapshots_alone() {
        let mut whole = trained(2);
        let (earlier, saved) = (whole.snapshot().unwrap(), whole.save().unwrap());
        (2..5).for_each(|step| train(&mut whole, step));
        let mut resumed = trained(0);
        let unpacked = resumed.unpack(&pack(&earlier).unwrap()).unwrap();
        resumed.restore(&saved).unwrap();
        (2..5).for_each(|step| train(&mut resumed, step));
        assert_eq!(seen(&resumed.snapshot().unwrap()), seen(&whole.snapshot().unwrap()));
        assert_eq!(seen(&unpacked), seen(&earlier));
        assert!(resumed.restore(&saved[..20]).is_err());
    }

    #[test]
    fn each_round_has_an_order_of_its_own_whatever_was_asked_before() {
        let mut order = Order::new(20, 3);
        let (first, second) = (order.of(0).to_vec(), order.of(1).to_vec());
        assert_ne!(first, second);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_eq!(Order::new(20, 3).of(1), second);
        assert_eq!(order.of(0), first);
        assert_ne!(Order::new(20, 4).of(0), first);
    }
}
