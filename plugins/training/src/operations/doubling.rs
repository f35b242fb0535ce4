//! Twice the size, bilinear, corners on corners, and the gradient of it.

use rayon::prelude::*;

/// Where the doubled lines come from: for each the lower of two lines, and the share of the upper one.
fn sources(n: usize) -> Vec<(usize, f32)> {
    let doubled = 2 * n;
    let step = (n.max(1) - 1) as f64 / (doubled.max(2) - 1) as f64;
    (0..doubled)
        .map(|i| {
            let at = i as f64 * step;
            // The last line is the end of the last interval.
            let lower = (at as usize).min(n.saturating_sub(2));
            (lower, (at - lower as f64) as f32)
        })
        .collect()
}

/// Planes `[n, rows, cols]` to `[n, 2 rows, 2 cols]`.
///
/// # Panics
/// Where `planes` is not of whole planes.
pub(super) fn double(planes: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    assert!(rows > 0 && cols > 0 && planes.len().is_multiple_of(rows * cols), "shapes disagree");
    let (of_rows, of_cols) = (sources(rows), sources(cols));
    let mut out = vec![0.0; 4 * planes.len()];
    let tasks = out.par_chunks_exact_mut(4 * rows * cols).zip(planes.par_chunks_exact(rows * cols));
    tasks.for_each_init(
        || vec![0.0; cols],
        |between, (out, plane)| {
            for (out, &(lower, share)) in out.chunks_exact_mut(2 * cols).zip(&of_rows) {
                let above = &plane[lower * cols..][..cols];
                let below = &plane[(lower + 1).min(rows - 1) * cols..][..cols];
                for ((between, a), b) in between.iter_mut().zip(above).zip(below) {
                    *between = a + share * (b - a);
                }
                for (out, &(lower, share)) in out.iter_mut().zip(&of_cols) {
                    let (a, b) = (between[lower], between[(lower + 1).min(cols - 1)]);
                    *out = a + share * (b - a);
                }
            }
        },
    );
    out
}

/// The gradient of planes `[n, rows, cols]` for that of what they were doubled to.
///
/// # Panics
/// Where `doubled` is not of whole planes.
pub(super) fn back(doubled: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    assert!(rows > 0 && cols > 0 && doubled.len().is_multiple_of(4 * rows * cols), "shapes disagree");
    let (of_rows, of_cols) = (sources(rows), sources(cols));
    let mut out = vec![0.0; doubled.len() / 4];
    let tasks = out.par_chunks_exact_mut(rows * cols).zip(doubled.par_chunks_exact(4 * rows * cols));
    tasks.for_each_init(
        || vec![0.0; cols],
        |between, (out, doubled)| {
            for (line, &(lower, share)) in doubled.chunks_exact(2 * cols).zip(&of_rows) {
                between.fill(0.0);
                for (value, &(lower, share)) in line.iter().zip(&of_cols) {
                    between[lower] += (1.0 - share) * value;
                    between[(lower + 1).min(cols - 1)] += share * value;
                }
                for (row, share) in [(lower, 1.0 - share), ((lower + 1).min(rows - 1), share)] {
                    for (out, between) in out[row * cols..][..cols].iter_mut().zip(&*between) {
                        *out += share * between;
                    }
                }
            }
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Draws;

    #[test]
    fn corners_stay_and_a_slope_stays_a_slope() {
        let plane: Vec<f32> = (0..3 * 5).map(|i| (i / 5) as f32 * 10.0 + (i % 5) as f32).collect();
        let doubled = double(&plane, 3, 5);
        assert_eq!([doubled[0], doubled[9], doubled[50], doubled[59]], [0.0, 4.0, 20.0, 24.0]);
        for (i, value) in doubled.iter().enumerate() {
            let (row, col) = ((i / 10) as f32 * 2.0 / 5.0, (i % 10) as f32 * 4.0 / 9.0);
            assert!((value - (10.0 * row + col)).abs() < 1e-5, "{value} at {i}");
        }
        assert_eq!(double(&[7.0], 1, 1), [7.0; 4]);
    }

    #[test]
    fn the_gradient_is_the_transpose() {
        for (rows, cols) in [(3, 5), (1, 4), (2, 1), (8, 8)] {
            let mut draws = Draws::new(1);
            let x = draws.uniform(2 * rows * cols, 1.0);
            let y = draws.uniform(8 * rows * cols, 1.0);
            let product = |a: &[f32], b: &[f32]| -> f64 {
                assert_eq!(a.len(), b.len());
                a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
            };
            let (forth, back) = (product(&double(&x, rows, cols), &y), product(&x, &back(&y, rows, cols)));
            assert!((forth - back).abs() < 1e-4, "{forth} {back}");
        }
    }
}
