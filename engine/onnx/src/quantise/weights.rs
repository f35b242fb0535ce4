//! Weights as 7-bit integers.

/// The largest weight: 7 bits.
const MOST: f64 = 63.0;

/// Where the weights of a layer lie: that from input channel `i` to output channel `o` at tap `k` of the kernel is number
/// `o * out_step + i * in_step + k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) outs: usize,
    /// Input channels of one group.
    pub(super) ins: usize,
    pub(super) taps: usize,
    pub(super) out_step: usize,
    pub(super) in_step: usize,
}

/// Quantised weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    /// In the order of the floats.
    pub(super) values: Vec<i8>,
    /// One an output channel.
    pub(super) scales: Vec<f32>,
    /// By output and input channel: how much the kernel's sum is too large.
    pub(super) excess: Vec<f64>,
}

/// Quantises; `least` holds for each output channel the scale that its bias needs at least.
pub(super) fn quantise(weights: &[f32], layout: Layout, least: &[f32]) -> Weights {
    let Layout { outs, ins, taps, out_step, in_step } = layout;
    let mut quantised =
        Weights { values: vec![0; weights.len()], scales: Vec::with_capacity(outs), excess: Vec::new() };
    for o in 0..outs {
        let kernel = |i: usize| (0..taps).map(move |k| o * out_step + i * in_step + k);
        let largest = (0..ins).flat_map(kernel).map(|at| weights[at].abs()).fold(0.0_f32, f32::max);
        let scale = ((f64::from(largest) / MOST) as f32).max(least[o]);
        for i in 0..ins {
            let exact: Vec<f64> = kernel(i).map(|at| f64::from(weights[at]) / f64::from(scale)).collect();
            let rounded = round(&exact);
            let excess: f64 = rounded.iter().zip(&exact).map(|(r, e)| r - e).sum();
            quantised.excess.push(excess * f64::from(scale));
            kernel(i).zip(rounded).for_each(|(at, r)| quantised.values[at] = r as i8);
        }
        quantised.scales.push(scale);
    }
    quantised
}

/// Rounds the taps of a kernel so that their sum is off by half at most, too: those nearest to the middle between two integers go
/// the other way. A kernel that takes differences then still gives nothing on a flat input.
fn round(exact: &[f64]) -> Vec<f64> {
    let mut rounded: Vec<f64> = exact.iter().map(|v| v.round_ties_even().clamp(-MOST, MOST)).collect();
    let missing = exact.iter().zip(&rounded).map(|(e, r)| e - r).sum::<f64>().round_ties_even();
    let (step, mut left) = (missing.signum(), missing.abs() as usize);
    let mut order: Vec<usize> = (0..exact.len()).collect();
    order.sort_by(|&a, &b| ((exact[b] - rounded[b]) * step).total_cmp(&((exact[a] - rounded[a]) * step)));
    for at in order {
        if left == 0 {
            break;
        }
        // Never a whole step away from the weight.
        if (rounded[at] + step).abs() <= MOST && (exact[at] - rounded[at]) * step > 0.0 {
            rounded[at] += step;
            left -= 1;
        }
    }
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_output_channel_has_its_own_scale() {
        // A matrix [inputs 2, outputs 2].
        let layout = Layout { outs: 2, ins: 2, taps: 1, out_step: 1, in_step: 2 };
        let quantised = quantise(&[0.63, 6.3, -0.315, 3.15], layout, &[0.0; 2]);
        assert_eq!(quantised.values, [63, 63, -32, 32]);
        assert!((quantised.scales[0] - 0.01).abs() < 1e-6 && (quantised.scales[1] - 0.1).abs() < 1e-6);
    }

    #[test]
    fn a_kernel_of_differences_stays_one() {
        // Eight taps that all round to the same side.
        let mut kernel = vec![-0.1254; 9];
        kernel[4] = 8.0 * 0.1254;
        let layout = Layout { outs: 1, ins: 1, taps: 9, out_step: 9, in_step: 9 };
        let quantised = quantise(&kernel, layout, &[0.0]);
        assert_eq!(quantised.values.iter().map(|&v| i32::from(v)).sum::<i32>(), 0);
        assert!(quantised.excess[0].abs() < 1e-6);
    }

    #[test]
    fn dead_channels_have_the_scale_of_their_bias() {
        let layout = Layout { outs: 1, ins: 2, taps: 1, out_step: 2, in_step: 1 };
        let quantised = quantise(&[0.0, 0.0], layout, &[0.5]);
        assert_eq!((quantised.values, quantised.scales), (vec![0, 0], vec![0.5]));
    }

    proptest! {
        #[test]
        fn weights_come_back_within_a_step_and_sums_within_half(
            kernel in prop::collection::vec(-2.0_f32..2.0, 18),
        ) {
            let layout = Layout { outs: 1, ins: 2, taps: 9, out_step: 18, in_step: 9 };
            let quantised = quantise(&kernel, layout, &[1e-9]);
            let scale = f64::from(quantised.scales[0]);
            for (&q, &w) in quantised.values.iter().zip(&kernel) {
                prop_assert!((f64::from(q) * scale - f64::from(w)).abs() < scale);
                prop_assert!(q.abs() <= 63);
            }
            for excess in quantised.excess {
                prop_assert!(excess.abs() < 0.51 * scale);
            }
        }
    }
}
