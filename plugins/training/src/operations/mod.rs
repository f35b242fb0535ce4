//! Operations on pictures, with gradients, for the processor.
//!
//! They take the place of burn's, whose gradient of a convolution's weights convolves with filters as large as the picture and whose
//! normalisation walks over a picture a dozen times: with the few channels of a network that trains in minutes, that is most of a step
//! (benches/README.md). [`on_processor`] says where they can be used; elsewhere it is burn's.

mod convolution;
mod doubling;
mod normalisation;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend as _, Backend, Dispatch, Flex, TensorMetadata as _, backend_extension,
};
use burn::tensor::{Bytes, DType, Device, Shape, Slice, Tensor};

/// The operations that have a gradient.
#[backend_extension(Flex, Autodiff)]
pub trait Operations: Backend {
    /// Pictures `[n, inputs, h, w]` through weights `[outputs, inputs, side, side]`.
    fn convolve(pictures: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Pictures `[n, channels, h, w]` to `[n, channels, 2 h, 2 w]`.
    fn double(pictures: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Mean and biased variance of each channel, `[2, channels]`; they count as constants.
    fn statistics(pictures: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Pictures with the mean and variance in `statistics` `[2, channels]` brought to `offset` and `factor` `[channels]`, and negative values
    /// multiplied by `slope`. The gradient takes the statistics for the pictures' own.
    fn normalise(
        pictures: FloatTensor<Self>,
        factor: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        epsilon: f64,
        slope: f32,
    ) -> FloatTensor<Self>;
}

/// A normalisation as its gradients see it.
#[derive(Debug, Clone)]
pub struct Normalisation<T> {
    pictures: T,
    factor: T,
    offset: T,
    statistics: T,
    epsilon: f64,
    slope: f32,
}

/// Their gradients, for `gradient` of what they gave.
pub trait Backwards: Backend {
    /// Of convolved pictures.
    fn convolve_pictures(weights: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Of weights of squares of `side`.
    fn convolve_weights(
        pictures: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        side: usize,
    ) -> FloatTensor<Self>;

    /// Of doubled pictures.
    fn double_pictures(gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Of normalised pictures, and of factors and offsets, `[2, channels]`.
    fn normalise_all(
        of: Normalisation<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::from(shape)), DType::F32)
}

impl Normalisation<FlexTensor> {
    fn contiguous(self) -> Self {
        Self {
            pictures: self.pictures.to_contiguous(),
            factor: self.factor.to_contiguous(),
            offset: self.offset.to_contiguous(),
            statistics: self.statistics.to_contiguous(),
            ..self
        }
    }

    /// The layer, of tensors that are contiguous.
    fn layer(&self) -> normalisation::Layer<'_> {
        let [_, channels, rows, cols] = dims(&self.pictures);
        let (mean, variance) = self.statistics.storage().split_at(channels);
        let (factor, offset) = (self.factor.storage(), self.offset.storage());
        let Self { epsilon, slope, .. } = *self;
        normalisation::Layer { channels, cells: rows * cols, mean, variance, factor, offset, epsilon, slope }
    }
}

impl Operations for Flex {
    fn convolve(pictures: FlexTensor, weights: FlexTensor) -> FlexTensor {
        let (pictures, weights) = (pictures.to_contiguous(), weights.to_contiguous());
        let [n, inputs, rows, cols] = dims(&pictures);
        let [outputs, _, side, _] = dims(&weights);
        let shape = convolution::Shape { n, inputs, outputs, rows, cols, side };
        let made = convolution::forward(pictures.storage(), weights.storage(), &shape);
        tensor(made, [n, outputs, rows, cols])
    }

    fn double(pictures: FlexTensor) -> FlexTensor {
        let pictures = pictures.to_contiguous();
        let [n, channels, rows, cols] = dims(&pictures);
        tensor(doubling::double(pictures.storage(), rows, cols), [n, channels, 2 * rows, 2 * cols])
    }

    fn statistics(pictures: FlexTensor) -> FlexTensor {
        let pictures = pictures.to_contiguous();
        let [_, channels, rows, cols] = dims(&pictures);
        tensor(normalisation::statistics(pictures.storage(), channels, rows * cols), [2, channels])
    }

    fn normalise(
        pictures: FlexTensor,
        factor: FlexTensor,
        offset: FlexTensor,
        statistics: FlexTensor,
        epsilon: f64,
        slope: f32,
    ) -> FlexTensor {
        let of = Normalisation { pictures, factor, offset, statistics, epsilon, slope }.contiguous();
        tensor(of.layer().forward(of.pictures.storage()), dims::<4>(&of.pictures))
    }
}

impl Backwards for Flex {
    fn convolve_pictures(weights: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let (weights, gradient) = (weights.to_contiguous(), gradient.to_contiguous());
        let [outputs, inputs, side, _] = dims(&weights);
        let [n, _, rows, cols] = dims(&gradient);
        let turned = convolution::turned(weights.storage(), inputs, side * side);
        let shape = convolution::Shape { n, inputs: outputs, outputs: inputs, rows, cols, side };
        tensor(convolution::forward(gradient.storage(), &turned, &shape), [n, inputs, rows, cols])
    }

    fn convolve_weights(pictures: FlexTensor, gradient: FlexTensor, side: usize) -> FlexTensor {
        let (pictures, gradient) = (pictures.to_contiguous(), gradient.to_contiguous());
        let [n, inputs, rows, cols] = dims(&pictures);
        let [_, outputs, ..] = dims::<4>(&gradient);
        let shape = convolution::Shape { n, inputs, outputs, rows, cols, side };
        let made = convolution::of_weights(pictures.storage(), gradient.storage(), &shape);
        tensor(made, [outputs, inputs, side, side])
    }

    fn double_pictures(gradient: FlexTensor) -> FlexTensor {
        let gradient = gradient.to_contiguous();
        let [n, channels, rows, cols] = dims(&gradient);
        tensor(doubling::back(gradient.storage(), rows / 2, cols / 2), [n, channels, rows / 2, cols / 2])
    }

    fn normalise_all(of: Normalisation<FlexTensor>, gradient: FlexTensor) -> [FlexTensor; 2] {
        let (of, gradient) = (of.contiguous(), gradient.to_contiguous());
        let (layer, pictures, gradient) = (of.layer(), of.pictures.storage(), gradient.storage());
        let parameters = layer.of_parameters(pictures, gradient);
        let back = layer.of_input(pictures, gradient, &parameters);
        [tensor(back, dims::<4>(&of.pictures)), tensor(parameters, [2, layer.channels])]
    }
}

impl<B: Operations + Backwards, C: CheckpointStrategy> Operations for Autodiff<B, C> {
    fn convolve(pictures: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Convolve;

        impl<B: Operations + Backwards> Backward<B, 2> for Convolve {
            type State = (NodeId, NodeId);

            fn backward(
                self,
                ops: Ops<Self::State, 2>,
                gradients: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [of_pictures, of_weights] = ops.parents;
                let gradient = gradients.consume::<B>(&ops.node);
                let [pictures, weights]: [FloatTensor<B>; 2] =
                    [ops.state.0, ops.state.1].map(|node| checkpointer.retrieve_node_output(node));
                let side = weights.shape()[2];
                if let Some(node) = of_pictures {
                    gradients.register::<B>(node.id, B::convolve_pictures(weights, gradient.clone()));
                }
                if let Some(node) = of_weights {
                    gradients.register::<B>(node.id, B::convolve_weights(pictures, gradient, side));
                }
            }
        }

        match Convolve.prepare::<C>([pictures.node(), weights.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&pictures), prepared.checkpoint(&weights));
                prepared.finish(state, B::convolve(pictures.into_primitive(), weights.into_primitive()))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::convolve(pictures.into_primitive(), weights.into_primitive()))
            }
        }
    }

    fn double(pictures: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Double;

        impl<B: Operations + Backwards> Backward<B, 1> for Double {
            type State = ();

            fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let gradient = gradients.consume::<B>(&ops.node);
                let [of_pictures] = ops.parents;
                if let Some(node) = of_pictures {
                    gradients.register::<B>(node.id, B::double_pictures(gradient));
                }
            }
        }

        match Double.prepare::<C>([pictures.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((), B::double(pictures.into_primitive())),
            OpsKind::UnTracked(prepared) => prepared.finish(B::double(pictures.into_primitive())),
        }
    }

    fn statistics(pictures: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::statistics(pictures.into_primitive()))
    }

    fn normalise(
        pictures: FloatTensor<Self>,
        factor: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        epsilon: f64,
        slope: f32,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Normalise;

        impl<B: Operations + Backwards> Backward<B, 3> for Normalise {
            type State = ([NodeId; 3], FloatTensor<B>, f64, f32);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [of_pictures, of_factor, of_offset] = ops.parents;
                let gradient = gradients.consume::<B>(&ops.node);
                let (nodes, statistics, epsilon, slope) = ops.state;
                let [pictures, factor, offset]: [FloatTensor<B>; 3] =
                    nodes.map(|node| checkpointer.retrieve_node_output(node));
                let channels = factor.shape()[0];
                let of = Normalisation { pictures, factor, offset, statistics, epsilon, slope };
                let [back, parameters] = B::normalise_all(of, gradient);
                for (node, row) in [(of_factor, 0), (of_offset, 1)] {
                    if let Some(node) = node {
                        let slices = [Slice::from(row..row + 1), Slice::from(0..channels)];
                        let one = B::float_slice(parameters.clone(), &slices);
                        gradients.register::<B>(node.id, B::float_reshape(one, Shape::new([channels])));
                    }
                }
                if let Some(node) = of_pictures {
                    gradients.register::<B>(node.id, back);
                }
            }
        }

        let statistics = statistics.into_primitive();
        let nodes = [pictures.node(), factor.node(), offset.node()];
        match Normalise.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let nodes = [&pictures, &factor, &offset].map(|tensor| prepared.checkpoint(tensor));
                let state = (nodes, statistics.clone(), epsilon, slope);
                let [pictures, factor, offset] = [pictures, factor, offset].map(|t| t.into_primitive());
                prepared.finish(state, B::normalise(pictures, factor, offset, statistics, epsilon, slope))
            }
            OpsKind::UnTracked(prepared) => {
                let [pictures, factor, offset] = [pictures, factor, offset].map(|t| t.into_primitive());
                prepared.finish(B::normalise(pictures, factor, offset, statistics, epsilon, slope))
            }
        }
    }
}

/// Whether tensors of a device are the processor's: the operations are for these.
pub fn on_processor(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// Pictures `[n, inputs, h, w]` through weights `[outputs, inputs, side, side]`, `side` odd, with zeros around the picture:
/// `[n, outputs, h, w]`.
pub fn convolve(pictures: Tensor<4>, weights: Tensor<4>) -> Tensor<4> {
    let made = <Dispatch as Operations>::convolve(pictures.into_dispatch(), weights.into_dispatch());
    Tensor::from_dispatch(made)
}

/// Pictures `[n, channels, h, w]` to twice the size, bilinear, corners on corners.
pub fn double(pictures: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Operations>::double(pictures.into_dispatch()))
}

/// Mean and biased variance `[2, channels]` of each channel of pictures `[n, channels, h, w]`, without a gradient.
pub fn statistics(pictures: &Tensor<4>) -> Tensor<2> {
    let made = <Dispatch as Operations>::statistics(pictures.clone().into_dispatch());
    Tensor::<2>::from_dispatch(made).detach()
}

/// Pictures `[n, channels, h, w]` of `statistics` `[2, channels]` brought to mean `offset` and deviation `factor` `[channels]`, and negative
/// values multiplied by `slope`. The gradient takes the statistics for the pictures' own.
pub fn normalise(
    pictures: Tensor<4>,
    factor: Tensor<1>,
    offset: Tensor<1>,
    statistics: Tensor<2>,
    epsilon: f64,
    slope: f64,
) -> Tensor<4> {
    let made = <Dispatch as Operations>::normalise(
        pictures.into_dispatch(),
        factor.into_dispatch(),
        offset.into_dispatch(),
        statistics.into_dispatch(),
        epsilon,
        slope as f32,
    );
    Tensor::from_dispatch(made)
}
