//! Learning rates.

use std::f64::consts::PI;

/// A rate that rises evenly over the first steps, then falls along half a cosine to 0, as M3DM's reference trains its fusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfCosine {
    /// The highest rate.
    pub peak: f64,
    /// Steps until it is reached.
    pub warm_up: usize,
    /// Steps in all.
    pub steps: usize,
}

impl HalfCosine {
    /// The rate of step `step`, counted from 0; 0 beyond the last.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        let falling = self.steps.saturating_sub(self.warm_up).max(1) as f64;
        let way = ((step - self.warm_up) as f64 / falling).min(1.0);
        self.peak * 0.5 * (1.0 + (PI * way).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_rises_then_falls_to_nothing() {
        let rate = HalfCosine { peak: 0.4, warm_up: 4, steps: 12 };
        let rising: Vec<f64> = (0..4).map(|i| rate.at(i)).collect();
        assert_eq!(rising, [0.1, 0.2, 0.30000000000000004, 0.4]);
        assert_eq!(rate.at(4), 0.4);
        assert!((rate.at(8) - 0.2).abs() < 1e-12);
        assert!((4..12).all(|i| rate.at(i + 1) < rate.at(i)));
        assert!(rate.at(12) < 1e-12 && rate.at(100) < 1e-12);
        assert_eq!(HalfCosine { peak: 1.0, warm_up: 0, steps: 0 }.at(0), 1.0);
    }
}
