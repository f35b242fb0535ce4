//! The linear one-class support vector machine (Schoelkopf et al., Estimating the support of a high-dimensional distribution, 2001),
//! trained by stochastic gradient descent as scikit-learn's `SGDOneClassSVM` does.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Rounds without a gain of [`GAIN`] a row after which training ends.
const PATIENCE: usize = 5;

/// The least gain of the loss a row that counts as one.
const GAIN: f64 = 1e-3;

/// A hyperplane that the share `nu` of the rows lie on the origin's side of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OneClass {
    /// Its normal w.
    pub(crate) weights: Vec<f64>,
    /// Where it lies: w.x = rho.
    pub(crate) offset: f64,
}

/// Minimises 1/2 |w|^2 - rho + 1/(nu n) sum max(0, rho - w.x) over `rows` of `dims` values each, in a seeded order, for at most so
/// many rounds. There is at least one row, all values are finite, and `nu` is above 0 and at most 1.
pub(crate) fn solve(rows: &[f32], dims: usize, nu: f64, rounds: usize, seed: u64) -> OneClass {
    let n = rows.len() / dims;
    let row = |i: usize| rows[i * dims..(i + 1) * dims].iter().map(|&v| f64::from(v));
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut weights, mut intercept) = (vec![0.0; dims], 1.0);
    // Bottou's schedule: the first step is as long as weights of the expected length ask for.
    let typical = nu.sqrt().recip().sqrt();
    let first = 1.0 / (typical * nu);
    let (mut best, mut without_gain, mut step) = (f64::INFINITY, 0, 0.0);
    for _ in 0..rounds {
        for i in (1..n).rev() {
            order.swap(i, (random.next_u64() % (i as u64 + 1)) as usize);
        }
        let mut loss = 0.0;
        for &i in &order {
            let rate = 1.0 / (nu * (first + step));
            step += 1.0;
            // rho = 1 - intercept, so that the hinge is that of a classifier whose rows are all of class 1.
            let value = weights.iter().zip(row(i)).map(|(w, x)| w * x).sum::<f64>() + intercept;
            let inside = value < 1.0;
            loss += (1.0 - value).max(0.0);
            let shrink = (1.0 - rate * nu).max(0.0);
            for (w, x) in weights.iter_mut().zip(row(i)) {
                *w = *w * shrink + if inside { rate * x } else { 0.0 };
            }
            intercept += rate * (f64::from(u8::from(inside)) - nu);
        }
        without_gain = if loss > best - GAIN * n as f64 { without_gain + 1 } else { 0 };
        best = best.min(loss);
        if without_gain >= PATIENCE {
            break;
        }
    }
    OneClass { weights, offset: 1.0 - intercept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    fn angle(a: &[f64], b: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos().to_degrees()
    }

    /// Sums of twelve uniform draws about a mean: nearly normal.
    fn around(mean: &[f32], n: usize, seed: u64) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut normal =
            || (0..12).map(|_| (random.next_u64() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0;
        (0..n).flat_map(|_| mean.iter().map(|m| m + normal()).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn the_direction_is_scikit_learns_within_two_degrees() {
        let shared = std::env::var_os("ASSAY_SHARED").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
            std::path::PathBuf::from,
        );
        let Ok(bytes) = std::fs::read(shared.join("golden/one_class_svm.safetensors")) else {
            eprintln!("skipped: one_class_svm.safetensors: shared scans not found");
            return;
        };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let values = |name: &str| -> Vec<f64> {
            let tensor = file.tensor(name).unwrap();
            match tensor.dtype() {
                safetensors::Dtype::F32 => {
                    tensor.data().as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect()
                }
                _ => tensor.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            }
        };
        let rows: Vec<f32> = values("x").into_iter().map(|v| v as f32).collect();
        for seed in 0..5 {
            let found = solve(&rows, 3, 0.5, 1000, seed);
            let apart = angle(&found.weights, &values("coef"));
            eprintln!(
                "seed {seed}: {apart:.2} degrees, offset {} beside {:?}",
                found.offset,
                values("offset")
            );
            assert!(apart < 2.0, "seed {seed}: {apart} degrees");
        }
    }

    #[test]
    fn about_the_share_nu_of_the_rows_lies_on_the_side_of_the_origin() {
        // A mean square of about 1, as the method brings its rows to.
        let rows: Vec<f32> = around(&[6.0, 4.0], 4000, 1).into_iter().map(|v| v / 7.3).collect();
        for nu in [0.1, 0.5, 0.8] {
            let found = solve(&rows, 2, nu, 1000, 7);
            let value =
                |row: &[f32]| row.iter().zip(&found.weights).map(|(&x, w)| f64::from(x) * w).sum::<f64>();
            let below = rows.chunks(2).filter(|row| value(row) < found.offset).count() as f64 / 4000.0;
            assert!((below - nu).abs() < 0.1, "{nu}: {below}");
            assert!(found.weights.iter().all(|w| *w > 0.0));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_and_one_row_is_enough() {
        let rows = around(&[3.0, 1.0, 2.0], 500, 2);
        assert_eq!(solve(&rows, 3, 0.5, 50, 9), solve(&rows, 3, 0.5, 50, 9));
        assert!(angle(&solve(&[2.0, 2.0], 2, 0.5, 100, 0).weights, &[1.0, 1.0]) < 1e-6);
    }
}
