//! The network: a reconstruction of each sensor's picture, and segmentation of what is hard to reconstruct.

use crate::gate::Which;
use crate::views::Views;
use assay_training::burn;
use assay_training::burn::module::Module;
use assay_training::burn::nn::conv::Conv2d;
use assay_training::burn::tensor::activation::softmax;
use assay_training::burn::tensor::{Device, Tensor};
use assay_training::export::Graph;
use assay_training::layers::Draws;
use assay_training::losses::probability;
use assay_training::pictures::{ConvNorm, convolution, convolved, double, halve};

/// Channels of the encoder's stages, in widths.
const ENCODER: [usize; 5] = [1, 2, 4, 8, 8];

/// Channels of the decoder's stages, in widths.
const DECODER: [usize; 4] = [4, 2, 1, 1];

/// Channels of what each of the two scales gives to the segmentation, in widths.
const SEEN: usize = 4;

/// What a negative value of the segmentation's layers is multiplied by.
const LEAK: f64 = 0.2;

/// The exponent of the focal loss that its maps are trained by.
pub(crate) const GAMMA: f64 = 2.0;

/// The sides of a picture are multiples of this: the encoder halves it four times.
pub(crate) const GRAIN: usize = 16;

/// Names in the ONNX file.
pub(crate) const SENSORS: [&str; 2] = ["colour", "depth"];
/// Defect probabilities by the first sensor alone, and by both together.
pub(crate) const ALONE: &str = "alone";
pub(crate) const TOGETHER: &str = "together";
/// Means over the picture of what the segmentation sees of the first sensor, and of both.
pub(crate) const SEEN_ALONE: &str = "seen_alone";
pub(crate) const SEEN_TOGETHER: &str = "seen_together";

/// Two convolutions of 3 x 3.
#[derive(Module, Debug)]
struct Pair {
    first: ConvNorm,
    second: ConvNorm,
}

impl Pair {
    fn new([inputs, outputs]: [usize; 2], draws: &mut Draws, device: &Device) -> Self {
        let first = ConvNorm::new([inputs, outputs], 3, draws, device);
        Self { first, second: ConvNorm::new([outputs, outputs], 3, draws, device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second.forward(self.first.forward(x, 0.0), 0.0)
    }

    fn export(&self, graph: &mut Graph, x: &str) -> assay_training::Result<String> {
        let first = relu_of(graph, &self.first, x)?;
        relu_of(graph, &self.second, &first)
    }
}

/// The branch of one sensor: its reconstruction and what the segmentation sees of it.
#[derive(Module, Debug)]
struct Branch {
    encoder: Vec<Pair>,
    up: Vec<ConvNorm>,
    decoder: Vec<Pair>,
    picture: Conv2d,
    fine: ConvNorm,
    coarse: ConvNorm,
}

/// What a branch gives: a picture, and what the segmentation sees at full and at half size.
struct Given {
    picture: Tensor<4>,
    fine: Tensor<4>,
    coarse: Tensor<4>,
}

/// Names in a graph of what the segmentation sees, one of each branch.
struct Names {
    fine: Vec<String>,
    coarse: Vec<String>,
}

impl Branch {
    fn new(width: usize, draws: &mut Draws, device: &Device) -> Self {
        let wide = |n: usize| n * width;
        let into = [3].into_iter().chain(ENCODER.map(wide));
        let encoder: Vec<Pair> =
            into.zip(ENCODER.map(wide)).map(|(a, b)| Pair::new([a, b], draws, device)).collect();
        let (mut up, mut decoder) = (Vec::new(), Vec::new());
        let mut channels = wide(ENCODER[4]);
        for outputs in DECODER.map(wide) {
            up.push(ConvNorm::new([channels, channels], 3, draws, device));
            decoder.push(Pair::new([channels, outputs], draws, device));
            channels = outputs;
        }
        let mut seen = |a: usize, b: usize| ConvNorm::new([wide(a + b), wide(SEEN)], 1, draws, device);
        let (fine, coarse) = (seen(ENCODER[0], DECODER[3]), seen(ENCODER[1], DECODER[2]));
        Self {
            encoder,
            up,
            decoder,
            picture: convolution([channels, 3], 3, true, draws, device),
            fine,
            coarse,
        }
    }

    fn forward(&self, picture: Tensor<4>) -> Given {
        let mut encoded: Vec<Tensor<4>> = Vec::new();
        let mut x = picture;
        for (i, pair) in self.encoder.iter().enumerate() {
            x = pair.forward(if i == 0 { x } else { halve(x) });
            encoded.push(x.clone());
        }
        let mut decoded = Vec::new();
        for (up, pair) in self.up.iter().zip(&self.decoder) {
            x = pair.forward(up.forward(double(x), 0.0));
            decoded.push(x.clone());
        }
        let both = |a: usize, b: usize| Tensor::cat(vec![encoded[a].clone(), decoded[b].clone()], 1);
        let fine = self.fine.forward(both(0, 3), LEAK);
        let coarse = self.coarse.forward(both(1, 2), LEAK);
        Given { picture: convolved(&self.picture, x), fine, coarse }
    }

    /// What the segmentation sees; the reconstruction is for the training alone.
    fn export(&self, graph: &mut Graph, picture: &str) -> assay_training::Result<Names> {
        let mut x = picture.to_string();
        let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
        for (i, pair) in self.encoder.iter().enumerate() {
            let half = if i == 0 { x } else { graph.halve(&x) };
            x = pair.export(graph, &half)?;
            encoded.push(x.clone());
        }
        for (up, pair) in self.up.iter().zip(&self.decoder) {
            let doubled = graph.double(&x);
            let doubled = relu_of(graph, up, &doubled)?;
            x = pair.export(graph, &doubled)?;
            decoded.push(x.clone());
        }
        let fine = concat(graph, &[&encoded[0], &decoded[3]]);
        let fine = leaky_of(graph, &self.fine, &fine)?;
        let coarse = concat(graph, &[&encoded[1], &decoded[2]]);
        Ok(Names { fine: vec![fine], coarse: vec![leaky_of(graph, &self.coarse, &coarse)?] })
    }
}

/// Defective or not, place by place. The first layer, of 1 x 1, is linear in what is seen at both sizes, so that its share of the coarse half is
/// taken at half size and doubled after: the same sums with a quarter of the work.
#[derive(Module, Debug)]
struct Head {
    first: ConvNorm,
    coarse: Conv2d,
    second: ConvNorm,
    last: Conv2d,
}

impl Head {
    /// Of so many branches.
    fn new(branches: usize, width: usize, draws: &mut Draws, device: &Device) -> Self {
        let seen = [SEEN * branches * width, 4 * width];
        Self {
            first: ConvNorm::new(seen, 1, draws, device),
            coarse: convolution(seen, 1, false, draws, device),
            second: ConvNorm::new([4 * width, 2 * width], 1, draws, device),
            last: convolution([2 * width, 2], 1, true, draws, device),
        }
    }

    /// Probabilities `[n, 2, h, w]` of being good and defective.
    fn forward(&self, fine: Tensor<4>, coarse: Tensor<4>) -> Tensor<4> {
        let seen = convolved(&self.first.conv, fine) + double(convolved(&self.coarse, coarse));
        let first = self.first.normalised(seen, LEAK);
        softmax(convolved(&self.last, self.second.forward(first, LEAK)), 1)
    }

    /// The probability of being defective.
    fn export(&self, graph: &mut Graph, seen: &Names) -> assay_training::Result<String> {
        let first = graph.conv_norm_of_both(&self.first, &seen.fine, &self.coarse, &seen.coarse)?;
        let first = leaky(graph, &first);
        let second = leaky_of(graph, &self.second, &first)?;
        let last = graph.logit(&self.last, &second)?;
        Ok(graph.op("Sigmoid", &[&last], |n| n))
    }
}

fn relu_of(graph: &mut Graph, layer: &ConvNorm, x: &str) -> assay_training::Result<String> {
    let x = graph.conv_norm(layer, x)?;
    Ok(graph.op("Relu", &[&x], |n| n))
}

fn leaky_of(graph: &mut Graph, layer: &ConvNorm, x: &str) -> assay_training::Result<String> {
    let x = graph.conv_norm(layer, x)?;
    Ok(leaky(graph, &x))
}

fn leaky(graph: &mut Graph, x: &str) -> String {
    graph.op("LeakyRelu", &[x], |n| n.with_float("alpha", LEAK as f32))
}

fn concat(graph: &mut Graph, parts: &[impl AsRef<str>]) -> String {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    if let [only] = parts[..] {
        return only.to_owned();
    }
    graph.op("Concat", &parts, |n| n.with_int("axis", 1))
}

/// The mean over the picture of all that is seen: fine, then coarse.
fn mean(graph: &mut Graph, seen: &Names) -> String {
    let doubled: Vec<String> = seen.coarse.iter().map(|coarse| graph.double(coarse)).collect();
    let all = seen.fine.iter().chain(&doubled);
    let means: Vec<String> = all.map(|x| graph.op("GlobalAveragePool", &[x], |n| n)).collect();
    concat(graph, &means)
}

/// What the network's map means: the probability of a defect, place by place.
pub(crate) fn probabilities(mut map: Vec<f32>) -> Vec<f32> {
    map.iter_mut().for_each(|p| *p = probability(*p, GAMMA));
    map
}

/// EasyNet for one sensor, or for colour and depth.
#[derive(Module, Debug)]
pub(crate) struct Network {
    branches: Vec<Branch>,
    alone: Head,
    /// For the training alone.
    second: Option<Head>,
    together: Option<Head>,
}

/// What the network makes of pictures.
pub(crate) struct Seen {
    /// The reconstruction of each sensor's picture.
    pub(crate) pictures: Vec<Tensor<4>>,
    /// Probabilities `[n, 2, h, w]` of being good and defective, by the first sensor alone.
    pub(crate) alone: Tensor<4>,
    /// The same by the second one alone, where there are two.
    pub(crate) second: Option<Tensor<4>>,
    /// The same by both sensors, where there are two.
    pub(crate) together: Option<Tensor<4>>,
}

impl Network {
    pub(crate) fn new(sensors: usize, width: usize, draws: &mut Draws, device: &Device) -> Self {
        let branches = (0..sensors).map(|_| Branch::new(width, draws, device)).collect();
        let alone = Head::new(1, width, draws, device);
        let second = (sensors > 1).then(|| Head::new(1, width, draws, device));
        let together = (sensors > 1).then(|| Head::new(sensors, width, draws, device));
        Self { branches, alone, second, together }
    }

    /// Pictures `[n, 3, h, w]` of each sensor.
    pub(crate) fn forward(&self, pictures: Vec<Tensor<4>>) -> Seen {
        let given: Vec<Given> =
            self.branches.iter().zip(pictures).map(|(branch, picture)| branch.forward(picture)).collect();
        let all = |part: fn(&Given) -> &Tensor<4>| {
            Tensor::cat(given.iter().map(|g| part(g).clone()).collect::<Vec<_>>(), 1)
        };
        let own = |head: &Head, given: &Given| head.forward(given.fine.clone(), given.coarse.clone());
        let together = |head: &Head| head.forward(all(|g| &g.fine), all(|g| &g.coarse));
        Seen {
            alone: own(&self.alone, &given[0]),
            second: self.second.as_ref().zip(given.get(1)).map(|(head, given)| own(head, given)),
            together: self.together.as_ref().map(together),
            pictures: given.into_iter().map(|g| g.picture).collect(),
        }
    }

    /// The file that finds defects in pictures of `size` x `size` of the named sensors at all views, with what `which` needs of the network.
    ///
    /// # Errors
    /// Where weights cannot be read or the file would be too large.
    pub(crate) fn to_onnx(
        &self,
        sensors: &[&str],
        size: usize,
        width: usize,
        views: Views,
        which: Which,
    ) -> assay_training::Result<Vec<u8>> {
        let mut graph = Graph::default();
        let mut seen = Vec::new();
        let sensors = if which == Which::Alone { &sensors[..1] } else { sensors };
        for (branch, sensor) in self.branches.iter().zip(sensors) {
            seen.push(branch.export(&mut graph, sensor)?);
        }
        let views = views.count();
        let picture = [views, 3, size, size];
        let map = [views, 1, size, size];
        let channels = |n: usize| [views, 2 * SEEN * width * n, 1, 1];
        let inputs: Vec<(&str, &[usize])> = sensors.iter().map(|s| (*s, picture.as_slice())).collect();
        let head = match &self.together {
            Some(head) if which != Which::Alone => head,
            _ => {
                let alone = self.alone.export(&mut graph, &seen[0])?;
                return graph.of_shapes(&inputs, &[(&alone, &map, ALONE)]);
            }
        };
        let all = |part: fn(&Names) -> &Vec<String>| seen.iter().flat_map(part).cloned().collect();
        let both = Names { fine: all(|n| &n.fine), coarse: all(|n| &n.coarse) };
        let together = head.export(&mut graph, &both)?;
        if which == Which::Together {
            return graph.of_shapes(&inputs, &[(&together, &map, TOGETHER)]);
        }
        let alone = self.alone.export(&mut graph, &seen[0])?;
        let (seen_alone, seen_together) = (mean(&mut graph, &seen[0]), mean(&mut graph, &both));
        let outputs: [(&str, &[usize], &str); 4] = [
            (&alone, &map, ALONE),
            (&together, &map, TOGETHER),
            (&seen_alone, &channels(1), SEEN_ALONE),
            (&seen_together, &channels(sensors.len()), SEEN_TOGETHER),
        ];
        graph.of_shapes(&inputs, &outputs)
    }
}
