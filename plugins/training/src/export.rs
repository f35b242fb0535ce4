//! Trained layers as nodes of an ONNX graph, of operators that every runtime knows.

use crate::error::{Error, Result};
use crate::layers::{NORM_EPSILON, Perceptron};
use crate::pictures::ConvNorm;
use assay_onnx::build::{model, node, value};
use assay_onnx::file;
use assay_onnx::message::{DataType, NodeProto, TensorProto};
use assay_onnx::tensor::of_f32;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, LayerNorm, Linear};
use burn::tensor::Tensor;

/// The version of the operators: the first with layer normalisation.
const OPSET: i64 = 17;

/// What an ONNX file may differ from the network by, as a share of the greatest value: another order of summing and another error
/// function.
pub const FAITHFUL: f64 = 1e-4;

/// A graph in the making. Values are known by their names.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    /// A constant tensor.
    pub fn constant(&mut self, dims: &[usize], values: &[f32]) -> String {
        let name = format!("c{}", self.constants.len());
        self.constants.push(of_f32(&name, dims, values));
        name
    }

    /// The result of an operator, with what `more` adds to its node.
    pub fn op(
        &mut self,
        operator: &str,
        inputs: &[&str],
        more: impl FnOnce(NodeProto) -> NodeProto,
    ) -> String {
        let name = format!("v{}", self.nodes.len());
        self.nodes.push(more(node(operator, &format!("{operator}_{name}"), inputs, &[&name])));
        name
    }

    fn tensor<const D: usize>(&mut self, tensor: Tensor<D>) -> Result<String> {
        let dims = tensor.dims();
        Ok(self.constant(&dims, &values(tensor)?))
    }

    /// A linear layer over rows.
    ///
    /// # Errors
    /// Where weights cannot be read.
    pub fn linear(&mut self, layer: &Linear, rows: &str) -> Result<String> {
        let weight = self.tensor(layer.weight.val())?;
        let mut inputs = vec![rows, &weight];
        let bias = layer.bias.as_ref().map(|bias| self.tensor(bias.val())).transpose()?;
        inputs.extend(bias.as_deref());
        Ok(self.op("Gemm", &inputs, |node| node))
    }

    /// Normalisation of each row.
    ///
    /// # Errors
    /// Where weights cannot be read.
    pub fn layer_norm(&mut self, layer: &LayerNorm, rows: &str) -> Result<String> {
        let gain = self.tensor(layer.gamma.val())?;
        let mut inputs = vec![rows, &gain];
        let shift = layer.beta.as_ref().map(|shift| self.tensor(shift.val())).transpose()?;
        inputs.extend(shift.as_deref());
        let epsilon = NORM_EPSILON as f32;
        Ok(self.op("LayerNormalization", &inputs, |n| n.with_int("axis", -1).with_float("epsilon", epsilon)))
    }

    /// GELU by the error function: x (1 + erf(x / sqrt 2)) / 2. The operator itself is younger than many runtimes.
    pub fn gelu(&mut self, x: &str) -> String {
        let scale = self.constant(&[], &[std::f32::consts::FRAC_1_SQRT_2]);
        let (one, half) = (self.constant(&[], &[1.0]), self.constant(&[], &[0.5]));
        let scaled = self.op("Mul", &[x, &scale], |n| n);
        let erf = self.op("Erf", &[&scaled], |n| n);
        let raised = self.op("Add", &[&erf, &one], |n| n);
        let product = self.op("Mul", &[x, &raised], |n| n);
        self.op("Mul", &[&product, &half], |n| n)
    }

    /// A perceptron over rows.
    ///
    /// # Errors
    /// Where weights cannot be read.
    pub fn perceptron(&mut self, layer: &Perceptron, rows: &str) -> Result<String> {
        let normal = self.layer_norm(&layer.norm, rows)?;
        let hidden = self.linear(&layer.up, &normal)?;
        let hidden = self.gelu(&hidden);
        self.linear(&layer.down, &hidden)
    }

    /// A convolution over a square with zeros around the picture.
    ///
    /// # Errors
    /// Where weights cannot be read.
    pub fn convolution(&mut self, layer: &Conv2d, pictures: &str) -> Result<String> {
        let bias = layer.bias.as_ref().map(|bias| values(bias.val())).transpose()?;
        let weights = values(layer.weight.val())?;
        Ok(self.weighted(layer.weight.dims(), &weights, bias.as_deref(), pictures))
    }

    /// What a convolution gives for the second of two classes less what it gives for the first: of a softmax over both, the second's share is the
    /// sigmoid of that.
    ///
    /// # Errors
    /// Where weights cannot be read; of other than two classes.
    pub fn logit(&mut self, layer: &Conv2d, pictures: &str) -> Result<String> {
        let [classes, inputs, rows, cols] = layer.weight.dims();
        if classes != 2 {
            return Err(Error::Tensor(format!("a convolution tells {classes} classes apart, not two")));
        }
        let less = |values: Vec<f32>| -> Vec<f32> {
            let (first, second) = values.split_at(values.len() / 2);
            second.iter().zip(first).map(|(second, first)| second - first).collect()
        };
        let bias = layer.bias.as_ref().map(|bias| values(bias.val())).transpose()?.map(less);
        let weights = less(values(layer.weight.val())?);
        Ok(self.weighted([1, inputs, rows, cols], &weights, bias.as_deref(), pictures))
    }

    /// A convolution with its normalisation folded into its weights.
    ///
    /// # Errors
    /// Where weights cannot be read.
    pub fn conv_norm(&mut self, layer: &ConvNorm, pictures: &str) -> Result<String> {
        let (scale, shift) = folded(&layer.norm)?;
        let weights = scaled(&layer.conv, &scale)?;
        Ok(self.weighted(layer.conv.weight.dims(), &weights, Some(&shift), pictures))
    }

    /// A convolution of 1 x 1 and one of pictures of half the size, doubled: their sum, with the normalisation of the sum folded into the weights of both.
    /// The pictures are the channels of all parts one after the other, of as many each: a part is convolved by itself and added to
    /// what there is, which runtimes do while they convolve, where to join the parts first takes a pass over all of them.
    ///
    /// # Errors
    /// Where weights cannot be read; where there is no part, or the channels are not those of so many parts.
    pub fn conv_norm_of_both(
        &mut self,
        layer: &ConvNorm,
        pictures: &[String],
        half: &Conv2d,
        halves: &[String],
    ) -> Result<String> {
        let (scale, shift) = folded(&layer.norm)?;
        let weights = (scaled(&layer.conv, &scale)?, scaled(half, &scale)?);
        let halves = self.sum_of_parts(half.weight.dims(), &weights.1, None, halves, None)?;
        let doubled = self.double(&halves);
        let dims = layer.conv.weight.dims();
        let sum = self.sum_of_parts(dims, &weights.0, Some(&shift), pictures, Some(doubled))?;
        Ok(self.as_it_is(&sum, dims[0]))
    }

    /// `sum` and the convolutions of all parts, the first with the bias.
    fn sum_of_parts(
        &mut self,
        [outputs, inputs, rows, cols]: [usize; 4],
        weights: &[f32],
        bias: Option<&[f32]>,
        parts: &[String],
        sum: Option<String>,
    ) -> Result<String> {
        let channels = inputs / parts.len().max(1);
        if channels * parts.len() != inputs || [rows, cols] != [1, 1] {
            let message = format!(
                "a convolution of {rows} x {cols} over {inputs} channels takes no {} parts",
                parts.len()
            );
            return Err(Error::Tensor(message));
        }
        let mut sum = sum;
        for (at, part) in parts.iter().enumerate() {
            let of_part: Vec<f32> = weights
                .chunks_exact(inputs)
                .flat_map(|row| &row[at * channels..(at + 1) * channels])
                .copied()
                .collect();
            let bias = if at == 0 { bias } else { None };
            let made = self.weighted([outputs, channels, 1, 1], &of_part, bias, part);
            sum = Some(match sum {
                Some(sum) => self.op("Add", &[&made, &sum], |n| n),
                None => made,
            });
        }
        sum.ok_or_else(|| Error::Tensor("a convolution of no parts".into()))
    }

    /// Pictures of so many channels as they are. ONNX Runtime joins a leaky rectifier to the convolution before it but not to a sum, for which it turns
    /// the pictures around twice; so this is a convolution.
    fn as_it_is(&mut self, pictures: &str, channels: usize) -> String {
        let one = self.constant(&[channels, 1, 1, 1], &vec![1.0; channels]);
        self.op("Conv", &[pictures, &one], |n| convolving(n, 0, channels))
    }

    fn weighted(
        &mut self,
        dims: [usize; 4],
        weights: &[f32],
        bias: Option<&[f32]>,
        pictures: &str,
    ) -> String {
        let weight = self.constant(&dims, weights);
        let bias = bias.map(|bias| self.constant(&[bias.len()], bias));
        let mut inputs = vec![pictures, &weight];
        inputs.extend(bias.as_deref());
        self.op("Conv", &inputs, |n| convolving(n, dims[2] / 2, 1))
    }

    /// [`halve`](crate::pictures::halve).
    pub fn halve(&mut self, pictures: &str) -> String {
        self.op("MaxPool", &[pictures], |n| {
            n.with_ints("kernel_shape", &[2, 2]).with_ints("strides", &[2, 2])
        })
    }

    /// [`double`](crate::pictures::double).
    pub fn double(&mut self, pictures: &str) -> String {
        let scales = self.constant(&[4], &[1.0, 1.0, 2.0, 2.0]);
        self.op("Resize", &[pictures, "", &scales], |n| {
            n.with_text("mode", "linear").with_text("coordinate_transformation_mode", "align_corners")
        })
    }

    /// The file of a graph of tensors of fixed shapes: inputs are `(name, shape)`; an output's name is that of the value which it is, and
    /// it goes out as its third entry.
    ///
    /// # Errors
    /// Where the file would be too large.
    pub fn of_shapes(
        mut self,
        inputs: &[(&str, &[usize])],
        outputs: &[(&str, &[usize], &str)],
    ) -> Result<Vec<u8>> {
        for (from, _, to) in outputs {
            self.nodes.push(node("Identity", to, &[from], &[to]));
        }
        let tensor = |name: &str, shape: &[usize]| {
            let axes: Vec<std::result::Result<i64, &str>> = shape.iter().map(|&n| Ok(n as i64)).collect();
            value(name, DataType::Float, Some(&axes))
        };
        let inputs = inputs.iter().map(|(name, shape)| tensor(name, shape)).collect();
        let outputs = outputs.iter().map(|(_, shape, name)| tensor(name, shape)).collect();
        Ok(file::write(&model(OPSET, self.nodes, self.constants, inputs, outputs))?)
    }

    /// The file of a graph over rows: inputs and outputs are `(name, columns)`, of as many rows as there are; an output's name is that of
    /// the value which it is, and it goes out as its third entry.
    ///
    /// # Errors
    /// Where the file would be too large.
    pub fn over_rows(mut self, inputs: &[(&str, usize)], outputs: &[(&str, usize, &str)]) -> Result<Vec<u8>> {
        for (from, _, to) in outputs {
            self.nodes.push(node("Identity", to, &[from], &[to]));
        }
        let rows = |name: &str, columns: usize| {
            value(name, DataType::Float, Some(&[Err("rows"), Ok(columns as i64)]))
        };
        let inputs = inputs.iter().map(|(name, columns)| rows(name, *columns)).collect();
        let outputs = outputs.iter().map(|(_, columns, name)| rows(name, *columns)).collect();
        Ok(file::write(&model(OPSET, self.nodes, self.constants, inputs, outputs))?)
    }
}

/// A node that convolves with zeros around the picture. What the standard lets out, some runtimes ask for.
fn convolving(node: NodeProto, pad: usize, groups: usize) -> NodeProto {
    let node = node.with_ints("pads", &[pad as i64; 4]).with_ints("strides", &[1, 1]);
    node.with_ints("dilations", &[1, 1]).with_int("group", groups as i64)
}

/// What a normalisation multiplies each channel by and then adds.
fn folded(norm: &BatchNorm) -> Result<(Vec<f64>, Vec<f32>)> {
    let (mean, variance) = (values(norm.running_mean.value())?, values(norm.running_var.value())?);
    let (gain, shift) = (values(norm.gamma.val())?, values(norm.beta.val())?);
    let scale =
        gain.iter().zip(&variance).map(|(&g, &v)| f64::from(g) / (f64::from(v) + norm.epsilon).sqrt());
    let scale: Vec<f64> = scale.collect();
    let shift = shift.iter().zip(&mean).zip(&scale);
    let shift = shift.map(|((&b, &m), s)| (f64::from(b) - f64::from(m) * s) as f32).collect();
    Ok((scale, shift))
}

/// The weights of a convolution, those of each channel that it makes multiplied by its scale.
fn scaled(conv: &Conv2d, scale: &[f64]) -> Result<Vec<f32>> {
    let mut weights = values(conv.weight.val())?;
    let each = (weights.len() / scale.len().max(1)).max(1);
    for (own, scale) in weights.chunks_exact_mut(each).zip(scale) {
        own.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
    }
    Ok(weights)
}

/// The values of a tensor.
///
/// # Errors
/// Where the device failed.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data().map_err(|e| Error::Tensor(e.to_string()))?;
    data.try_to_vec().map_err(|e| Error::Tensor(format!("{e:?}")))
}

/// Compares what a runtime made of an ONNX file with what the network gave.
///
/// # Errors
/// [`Error::Unfaithful`] where they differ by more than [`FAITHFUL`].
pub fn compare(runtime: &[f32], network: &[f32]) -> Result<()> {
    let most = network.iter().fold(0f32, |m, v| m.max(v.abs()));
    let apart = runtime.iter().zip(network).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    let apart = f64::from(apart) / f64::from(most).max(f64::MIN_POSITIVE);
    // Negated, so that NaN is a difference.
    let alike = apart <= FAITHFUL && runtime.iter().all(|v| v.is_finite());
    if runtime.len() == network.len() && alike { Ok(()) } else { Err(Error::Unfaithful { apart }) }
}
