//! Losses, gradients, layers and optimisers beside PyTorch's, from a file that `reference.py` writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use assay_training::burn::module::{Module, Param};
use assay_training::burn::optim::{AdamWConfig, GradientsParams};
use assay_training::burn::tensor::activation::softmax;
use assay_training::burn::tensor::{Device, Tensor, TensorData};
use assay_training::export::{Graph, compare, values};
use assay_training::layers::{Draws, Perceptron};
use assay_training::losses::{cosine, dissimilarity, focal, info_nce, mean_square};
use assay_training::pictures::{ConvNorm, double, halve};
use rten_tensor::AsView as _;
use safetensors::SafeTensors;

/// Agreement with PyTorch, as a share of a tensor's greatest value.
const AGREE: f32 = 1e-5;

struct Reference(Vec<u8>);

impl Reference {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let values = tensor.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        (tensor.shape().to_vec(), values)
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, values) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
    }

    fn agrees<const D: usize>(&self, name: &str, found: Tensor<D>) {
        let (shape, expected) = self.values(name);
        assert_eq!(found.dims().to_vec(), shape, "{name}");
        let found = values(found).unwrap();
        let most = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= AGREE * most, "{name}: {a} {b}");
        }
    }
}

#[test]
fn losses_of_pairs_and_their_gradients_are_pytorchs() {
    let reference = Reference::read();
    type Loss = fn(Tensor<2>, Tensor<2>) -> Tensor<1>;
    let losses: [(&str, Loss); 3] = [
        ("info_nce_1", |a, b| info_nce(a, b, 1.0)),
        ("info_nce_03", |a, b| info_nce(a, b, 0.3)),
        ("cosine", cosine),
    ];
    for (name, loss) in losses {
        let a = reference.tensor::<2>(&format!("{name}.a")).require_grad();
        let b = reference.tensor::<2>(&format!("{name}.b")).require_grad();
        let value = loss(a.clone(), b.clone());
        let gradients = value.backward();
        reference.agrees(&format!("{name}.loss"), value);
        reference.agrees(&format!("{name}.grad_a"), a.grad(&gradients).unwrap());
        reference.agrees(&format!("{name}.grad_b"), b.grad(&gradients).unwrap());
    }
}

#[test]
fn losses_of_images_and_their_gradients_are_pytorchs() {
    let reference = Reference::read();
    let a = reference.tensor::<4>("ssim.a").require_grad();
    let b = reference.tensor::<4>("ssim.b").require_grad();
    let loss = dissimilarity(a.clone(), b.clone(), 1.0);
    let gradients = loss.backward();
    reference.agrees("ssim.loss", loss);
    reference.agrees("ssim.grad_a", a.grad(&gradients).unwrap());
    reference.agrees("ssim.grad_b", b.grad(&gradients).unwrap());
    assert!(values(dissimilarity(a.clone(), a, 1.0)).unwrap()[0].abs() < 1e-6);

    let logits = reference.tensor::<4>("focal.logits").require_grad();
    let loss = focal(softmax(logits.clone(), 1), reference.tensor("focal.mask"), 2.0);
    let gradients = loss.backward();
    reference.agrees("focal.loss", loss);
    reference.agrees("focal.grad", logits.grad(&gradients).unwrap());
}

#[test]
fn the_mean_square_is_that_of_all_values() {
    let tensor = |v: [f32; 4]| Tensor::<2>::from_data(TensorData::new(v.to_vec(), [2, 2]), &Device::flex());
    let found = mean_square(tensor([1.0, 2.0, 3.0, 4.0]), tensor([1.0, 0.0, 3.0, 1.0]));
    assert_eq!(values(found).unwrap(), [13.0 / 4.0]);
}

/// The perceptron of the file; PyTorch's weights are [outputs, inputs], burn's the other way round.
fn perceptron(reference: &Reference, prefix: &str) -> Perceptron {
    let device = Device::flex().autodiff();
    let mut made = Perceptron::new(5, 9, 4, &mut Draws::new(0), &device);
    let name = |part: &str| format!("{prefix}.{part}");
    let vector = |part: &str| Param::from_tensor(reference.tensor::<1>(&name(part)));
    let matrix = |part: &str| Param::from_tensor(reference.tensor::<2>(&name(part)).transpose());
    made.norm.gamma = vector("norm.gamma");
    made.norm.beta = Some(vector("norm.beta"));
    made.up.weight = matrix("up.weight");
    made.up.bias = Some(vector("up.bias"));
    made.down.weight = matrix("down.weight");
    made.down.bias = Some(vector("down.bias"));
    made
}

fn agree(reference: &Reference, prefix: &str, found: &Perceptron) {
    let name = |part: &str| format!("{prefix}.{part}");
    reference.agrees(&name("norm.gamma"), found.norm.gamma.val());
    reference.agrees(&name("norm.beta"), found.norm.beta.as_ref().unwrap().val());
    reference.agrees(&name("up.weight"), found.up.weight.val().transpose());
    reference.agrees(&name("up.bias"), found.up.bias.as_ref().unwrap().val());
    reference.agrees(&name("down.weight"), found.down.weight.val().transpose());
    reference.agrees(&name("down.bias"), found.down.bias.as_ref().unwrap().val());
}

#[test]
fn a_perceptron_its_gradients_and_adamw_are_pytorchs() {
    let reference = Reference::read();
    let mut network = perceptron(&reference, "perceptron");
    let (x, target) = (reference.tensor::<2>("perceptron.x"), reference.tensor::<2>("perceptron.target"));
    reference.agrees("perceptron.y", network.forward(x.clone()));
    let mut optimizer =
        AdamWConfig::new().with_beta_2(0.95).with_epsilon(1e-8).with_weight_decay(1.5e-6).init();
    for step in 0..3 {
        let loss = (network.forward(x.clone()) - target.clone()).powf_scalar(2.0).mean();
        let gradients = loss.backward();
        if step == 0 {
            let gradient = |of: &Tensor<2>| of.grad(&gradients).unwrap().transpose();
            reference.agrees("perceptron.grad.up.weight", gradient(&network.up.weight.val()));
            reference.agrees("perceptron.grad.down.weight", gradient(&network.down.weight.val()));
            let gamma = network.norm.gamma.val();
            reference.agrees("perceptron.grad.norm.gamma", gamma.grad(&gradients).unwrap());
        }
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(0.003, network, gradients);
    }
    agree(&reference, "perceptron.after", &network);
}

/// The layers of the file.
fn layers(reference: &Reference) -> [ConvNorm; 2] {
    let device = Device::flex().autodiff();
    [("first", [3, 4], 3), ("second", [4, 2], 1)].map(|(name, channels, side)| {
        let mut layer = ConvNorm::new(channels, side, &mut Draws::new(0), &device);
        layer.conv.weight = Param::from_tensor(reference.tensor::<4>(&format!("picture.{name}.weight")));
        layer.norm.gamma = Param::from_tensor(reference.tensor::<1>(&format!("picture.{name}.gamma")));
        layer.norm.beta = Param::from_tensor(reference.tensor::<1>(&format!("picture.{name}.beta")));
        layer
    })
}

fn picture([first, second]: &[ConvNorm; 2], x: Tensor<4>) -> Tensor<4> {
    second.forward(double(halve(first.forward(x, 0.0))), 0.2)
}

#[test]
fn layers_over_pictures_their_gradients_and_what_they_keep_are_pytorchs() {
    let reference = Reference::read();
    let layers = layers(&reference);
    let x = reference.tensor::<4>("picture.x").require_grad();
    let y = picture(&layers, x.clone());
    reference.agrees("picture.y", y.clone());
    let gradients = mean_square(y, reference.tensor("picture.target")).backward();
    reference.agrees("picture.grad.x", x.grad(&gradients).unwrap());
    for (name, layer) in ["first", "second"].into_iter().zip(&layers) {
        let weight = layer.conv.weight.val().grad(&gradients).unwrap();
        reference.agrees(&format!("picture.grad.{name}.weight"), weight);
        for (part, of) in [("gamma", &layer.norm.gamma), ("beta", &layer.norm.beta)] {
            reference.agrees(&format!("picture.grad.{name}.{part}"), of.val().grad(&gradients).unwrap());
        }
    }
    // Once trained: by the statistics that were seen, in the file as in the network.
    let trained = layers.map(|layer| layer.valid());
    reference.agrees("picture.seen", picture(&trained, x.inner()));
    let mut graph = Graph::default();
    let first = graph.conv_norm(&trained[0], "x").unwrap();
    let first = graph.op("Relu", &[&first], |n| n);
    let halved = graph.halve(&first);
    let doubled = graph.double(&halved);
    let second = graph.conv_norm(&trained[1], &doubled).unwrap();
    let y = graph.op("LeakyRelu", &[&second], |n| n.with_float("alpha", 0.2));
    let bytes = graph.of_shapes(&[("x", &[2, 3, 8, 6])], &[(&y, &[2, 2, 8, 6], "y")]).unwrap();
    let model = rten::Model::load(bytes).unwrap();
    let input = rten::Value::from_shape(&[2usize, 3, 8, 6], reference.values("picture.x").1).unwrap();
    let id = model.node_id("x").unwrap();
    let mut outputs = model.run(vec![(id, input.into())], &[model.node_id("y").unwrap()], None).unwrap();
    let found: Vec<f32> = outputs.remove(0).into_tensor::<f32>().unwrap().to_vec();
    compare(&found, &reference.values("picture.seen").1).unwrap();
}

#[test]
fn an_exported_perceptron_gives_what_the_network_gave() {
    let reference = Reference::read();
    let network = perceptron(&reference, "perceptron").valid();
    let mut graph = Graph::default();
    let y = graph.perceptron(&network, "x").unwrap();
    let bytes = graph.over_rows(&[("x", 5)], &[(&y, 4, "y")]).unwrap();
    let model = rten::Model::load(bytes).unwrap();
    let (_, x) = reference.values("perceptron.x");
    let input = rten::Value::from_shape(&[8usize, 5], x).unwrap();
    let id = model.node_id("x").unwrap();
    let mut outputs = model.run(vec![(id, input.into())], &[model.node_id("y").unwrap()], None).unwrap();
    let found: Vec<f32> = outputs.remove(0).into_tensor::<f32>().unwrap().to_vec();
    let (_, expected) = reference.values("perceptron.y");
    compare(&found, &expected).unwrap();
    let mut spoilt = found.clone();
    spoilt[3] += 0.01;
    assert!(compare(&spoilt, &expected).is_err());
    assert!(compare(&found[1..], &expected).is_err());
    spoilt[3] = f32::NAN;
    assert!(compare(&spoilt, &expected).is_err());
}
