//! What trainings minimise. Each loss is a tensor of one value, the mean over its rows.

use burn::tensor::activation::log_softmax;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};

/// Lengths below this count as this, as in PyTorch's `normalize`.
const SHORTEST: f64 = 1e-12;

/// Rows of length 1.
pub fn unit_rows(rows: Tensor<2>) -> Tensor<2> {
    let lengths = rows.clone().powf_scalar(2.0).sum_dim(1).sqrt().clamp_min(SHORTEST);
    rows / lengths
}

/// InfoNCE (van den Oord et al., 2018) as M3DM trains its fusion with it (Wang et al., CVPR 2023, Eq. 4 and its code): row i of
/// `queries` `[n, d]` belongs to row i of `keys` `[n, d]` and to no other; 2T times the cross entropy of their cosines over T.
pub fn info_nce(queries: Tensor<2>, keys: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [n, _] = queries.dims();
    let logits = unit_rows(queries).matmul(unit_rows(keys).transpose()).div_scalar(temperature);
    let device = logits.device();
    let own: Vec<i64> = (0..n as i64).collect();
    let own = Tensor::<2, burn::tensor::Int>::from_data(TensorData::new(own, [n, 1]), &device);
    let picked = log_softmax(logits, 1).gather(1, own);
    picked.mean().mul_scalar(-2.0 * temperature)
}

/// Mean over the rows of 1 - cos of the angle between row i of `a` and row i of `b`, both `[n, d]`.
pub fn cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let cosines = (unit_rows(a) * unit_rows(b)).sum_dim(1);
    cosines.mean().neg().add_scalar(1.0)
}

/// Mean squared difference.
pub fn mean_square<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<1> {
    (a - b).powf_scalar(2.0).mean()
}

/// Side of the window of [`dissimilarity`], and the deviation of its weights.
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;

/// 1 - SSIM (Wang et al., 2004) of images `[n, c, h, w]` whose values span `range`: the mean over all places of windows of 11 x 11
/// with Gaussian weights, zeros around the picture, each channel for itself; constants 0.01 and 0.03. As DRAEM's and EasyNet's code.
pub fn dissimilarity(a: Tensor<4>, b: Tensor<4>, range: f64) -> Tensor<1> {
    let dims = a.dims();
    let device = a.device();
    let weights = gaussian();
    let [n, c, h, w] = dims;
    let window = |shape: [usize; 4]| Tensor::<4>::from_data(TensorData::new(weights.clone(), shape), &device);
    let (down, across) = (window([1, 1, WINDOW, 1]), window([1, 1, 1, WINDOW]));
    let blur = |image: Tensor<4>| {
        let pad = |padding| ConvOptions::new([1, 1], padding, [1, 1], 1);
        let image = conv2d(image, down.clone(), None, pad([WINDOW / 2, 0]));
        conv2d(image, across.clone(), None, pad([0, WINDOW / 2]))
    };
    let (a, b) = (a.reshape([n * c, 1, h, w]), b.reshape([n * c, 1, h, w]));
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let (mean_a, mean_b) = (blur(a.clone()), blur(b.clone()));
    let (aa, bb, ab) = (mean_a.clone() * mean_a.clone(), mean_b.clone() * mean_b.clone(), mean_a * mean_b);
    let variance_a = blur(a.clone() * a.clone()) - aa.clone();
    let variance_b = blur(b.clone() * b.clone()) - bb.clone();
    let covariance = blur(a * b) - ab.clone();
    let above = ab.mul_scalar(2.0).add_scalar(c1) * covariance.mul_scalar(2.0).add_scalar(c2);
    let below = (aa + bb).add_scalar(c1) * (variance_a + variance_b).add_scalar(c2);
    (above / below).mean().neg().add_scalar(1.0)
}

/// Weights of a line of the window; their sum is 1.
fn gaussian() -> Vec<f32> {
    let place = |i: usize| i as f64 - (WINDOW / 2) as f64;
    let weights: Vec<f64> = (0..WINDOW).map(|i| (-place(i).powi(2) / (2.0 * SIGMA * SIGMA)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

/// What a label of 0 or 1 is kept away from its end by, and a probability from 0.
const SMOOTH: f64 = 1e-5;

/// Focal loss (Lin et al., 2017) of probabilities `[n, 2, h, w]` of being good and defective against a `mask` `[n, 1, h, w]` of 0 = good and
/// 1 = defective: the mean of -(1 - p)^gamma ln p, p the probability of what is true. Smoothed as in DRAEM's and EasyNet's code.
pub fn focal(probabilities: Tensor<4>, mask: Tensor<4>, gamma: f64) -> Tensor<1> {
    let mut sides = probabilities.chunk(2, 1).into_iter();
    let (Some(good), Some(defective)) = (sides.next(), sides.next()) else {
        // There is no second class to take anything for.
        return mask.mean().mul_scalar(f64::NAN);
    };
    let label = mask.clamp(SMOOTH, 1.0 - SMOOTH);
    let other = label.clone().neg().add_scalar(1.0);
    let p = (good * other + defective * label).add_scalar(SMOOTH);
    let weight = p.clone().neg().add_scalar(1.0).clamp_min(0.0).powf_scalar(gamma);
    (weight * p.log()).mean().neg()
}

/// The probability that a network stands for which the [`focal`] loss has brought to `p`: the loss is least not at the share of defective pixels
/// among those that look alike, but nearer to 0.5; this share (Charoenphakdee et al., On Focal Loss for Class-Posterior Probability Estimation, CVPR 2021).
/// It rises with `p`; `p` and what is returned are 0 to 1.
pub fn probability(p: f32, gamma: f64) -> f32 {
    let p = f64::from(p).clamp(SMOOTH, 1.0 - SMOOTH);
    // One over the slope of -(1 - v)^gamma ln v.
    let side = |v: f64| v / ((1.0 - v).powf(gamma) - gamma * (1.0 - v).powf(gamma - 1.0) * v * v.ln());
    let (defective, good) = (side(p), side(1.0 - p));
    (defective / (defective + good)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_the_share_whose_focal_loss_is_least_at_p() {
        for gamma in [0.0, 1.0, 2.0, 4.0] {
            for share in [0.02f64, 0.1, 0.35, 0.5, 0.8, 0.99] {
                let side = |v: f64| -(1.0 - v).powf(gamma) * v.ln();
                let loss = |p: f64| share * side(p) + (1.0 - share) * side(1.0 - p);
                let places = (1..100_000).map(|i| f64::from(i) / 1e5);
                let least = places.min_by(|a, b| loss(*a).total_cmp(&loss(*b))).unwrap();
                let found = f64::from(probability(least as f32, gamma));
                assert!((found - share).abs() < 1e-3, "{gamma} {share} {least} {found}");
            }
        }
    }

    #[test]
    fn probabilities_rise_and_stay_within_0_and_1() {
        let all: Vec<f32> = (0..=1000).map(|i| probability(i as f32 / 1000.0, 2.0)).collect();
        assert!(all.windows(2).all(|w| w[0] <= w[1]));
        assert!((0.0..1e-4).contains(&all[0]) && (0.9999..=1.0).contains(&all[1000]));
        // Looks like a defect to one in eight: is one in 170 times.
        assert!((probability(0.13, 2.0) - 0.0059).abs() < 1e-4);
    }
}
