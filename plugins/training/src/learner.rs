//! A network, its optimiser, and the order in which it sees what it learns from.

use crate::error::{Error, Result};
use crate::export::values;
use crate::layers::Draws;
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

    /// The network as it stands.
    ///
    /// # Errors
    /// After a step that failed halfway.
    pub fn network(&self) -> Result<&N> {
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
        let network = pack(self.network()?)?;
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
        let network = self.unpack(network)?;
        let optimizer = self.optimizer.clone().from_bytes(Bytes::from_bytes_vec(optimizer.to_vec()));
        self.optimizer = optimizer.map_err(unreadable)?;
        self.network = Some(network);
        Ok(())
    }

    /// The network of bytes that [`pack`] made of one of the same layers.
    ///
    /// # Errors
    /// Bytes of another network.
    pub fn unpack(&self, packed: &[u8]) -> Result<N> {
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(packed.to_vec())).map_err(unreadable)?;
        self.network()?.clone().try_load_record(record).map_err(unreadable)
    }
}

/// A network as bytes.
///
/// # Errors
/// Where tensors cannot be read.
pub fn pack<N: Module + Clone>(network: &N) -> Result<Vec<u8>> {
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
