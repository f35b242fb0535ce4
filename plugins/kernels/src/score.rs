//! PatchCore's image score.

/// How the rows near the nearest one weigh the image score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    /// Roth et al. 2022, Eq. 7.
    PatchCore,
    /// The code of Horwitz and Hoshen, Back to the Feature: the nearest row does not count among those around it, and all
    /// distances are divided by the square root of a patch's length.
    Btf,
}

impl Weighting {
    /// The weight of a distance, 0 to 1, with the distances `around` to the rows near the nearest one, that one first, and
    /// patches of `dims` values.
    #[must_use]
    pub fn weight(self, distance: f32, around: &[f32], dims: usize) -> f32 {
        match self {
            Self::PatchCore => softmax_weight(distance, around),
            Self::Btf => {
                let scale = (dims as f32).sqrt();
                let others: Vec<f32> = around.iter().skip(1).map(|d| d / scale).collect();
                softmax_weight(distance / scale, &others)
            }
        }
    }
}

/// The weight of Roth et al. 2022, Eq. 7: 1 - exp(d) / sum exp(e), with `distance` d = |m_test - m*| and
/// `around` the distances |m_test - m| of the rows m near m*, m* included.
///
/// Computed with the greatest exponent subtracted, so that large distances do not overflow. Between 0 and 1 for
/// distances that are finite and not negative.
#[must_use]
pub fn softmax_weight(distance: f32, around: &[f32]) -> f32 {
    let greatest = around.iter().copied().fold(distance, f32::max);
    let exp = |d: f32| (f64::from(d) - f64::from(greatest)).exp();
    let sum: f64 = around.iter().map(|&d| exp(d)).sum();
    if sum > 0.0 { (1.0 - exp(distance) / sum).clamp(0.0, 1.0) as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_distances_share_the_weight() {
        assert!((softmax_weight(2.0, &[2.0; 4]) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn back_to_the_feature_leaves_the_nearest_row_out_and_shrinks_distances() {
        // Three rows around, patches of 4 values: 1 - e^1 / (e^1.5 + e^2).
        let weight = Weighting::Btf.weight(2.0, &[2.0, 3.0, 4.0], 4);
        let expected = 1.0 - 1f64.exp() / (1.5f64.exp() + 2f64.exp());
        assert!((f64::from(weight) - expected).abs() < 1e-6, "{weight} {expected}");
        assert_eq!(Weighting::PatchCore.weight(2.0, &[2.0, 3.0], 4), softmax_weight(2.0, &[2.0, 3.0]));
    }

    #[test]
    fn large_distances_do_not_overflow() {
        let weight = softmax_weight(1e4, &[1e4, 1e4 + 1.0]);
        assert!((weight - 0.731_058_6).abs() < 1e-6);
    }

    #[test]
    fn alone_in_its_neighbourhood_a_row_has_no_weight() {
        assert_eq!(softmax_weight(3.0, &[3.0]), 0.0);
    }
}
