//! Maps averaged to a grid of a given size, as BTF and M3DM pool theirs.

/// The weights of a run of cells in one cell of the result, along one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The first cell.
    pub first: usize,
    /// Of the cells from there on; they sum to 1.
    pub weights: Vec<f32>,
}

/// What an average of 3 cells with stride 1 and no padding, followed by an adaptive average to `cells` (with PyTorch's bounds:
/// from floor(i n / m) to ceil((i + 1) n / m)), makes of `pixels` cells along one axis.
///
/// # Panics
/// For fewer than 3 pixels, or no cells.
#[must_use]
pub fn runs(pixels: usize, cells: usize) -> Vec<Run> {
    let pooled = pixels - 2;
    let run = |i: usize| {
        let (first, end) = (i * pooled / cells, ((i + 1) * pooled).div_ceil(cells));
        let mut weights = vec![0.0; end - first + 2];
        for at in 0..end - first {
            for w in &mut weights[at..at + 3] {
                *w += 1.0 / (3 * (end - first)) as f32;
            }
        }
        Run { first, weights }
    };
    (0..cells).map(run).collect()
}

/// One plane `[rows, columns]` averaged along both axes into `out` `[down, across]`; `line` is room for one row of `columns`.
pub fn average(
    plane: &[f32],
    columns: usize,
    down: &[Run],
    across: &[Run],
    line: &mut [f32],
    out: &mut [f32],
) {
    for (run, out) in down.iter().zip(out.chunks_exact_mut(across.len())) {
        line.fill(0.0);
        for (y, w) in (run.first..).zip(&run.weights) {
            let row = &plane[y * columns..][..columns];
            line.iter_mut().zip(row).for_each(|(sum, v)| *sum += w * v);
        }
        for (run, out) in across.iter().zip(out) {
            *out = run.weights.iter().zip(&line[run.first..]).map(|(w, v)| w * v).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_averages_one_after_the_other_give_the_same(
            (rows, columns, down, across) in (3usize..12, 3usize..12, 1usize..14, 1usize..14), seed in 0u32..1000,
        ) {
            let plane: Vec<f32> = (0..rows * columns).map(|i| ((i as u32 * 7919 + seed * 104_729) % 101) as f32).collect();
            let (r, c) = (rows - 2, columns - 2);
            let mean = |values: &dyn Fn(usize, usize) -> f32, ys: std::ops::Range<usize>, xs: std::ops::Range<usize>| {
                let n = (ys.len() * xs.len()) as f32;
                ys.flat_map(|y| xs.clone().map(move |x| (y, x))).map(|(y, x)| values(y, x)).sum::<f32>() / n
            };
            let small: Vec<f32> =
                (0..r * c).map(|i| mean(&|y, x| plane[y * columns + x], i / c..i / c + 3, i % c..i % c + 3)).collect();
            let mut out = vec![0.0; down * across];
            average(&plane, columns, &runs(rows, down), &runs(columns, across), &mut vec![0.0; columns], &mut out);
            for (i, v) in out.iter().enumerate() {
                let span = |i: usize, n: usize, m: usize| i * n / m..((i + 1) * n).div_ceil(m);
                let expected = mean(&|y, x| small[y * c + x], span(i / across, r, down), span(i % across, c, across));
                prop_assert!((v - expected).abs() < 1e-3, "{v} {expected}");
            }
        }
    }
}
