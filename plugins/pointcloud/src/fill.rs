//! Missing cells of an image, filled smoothly from their surroundings by an image pyramid (push and pull, Gortler et
//! al., SIGGRAPH 1996): means of ever larger blocks, each used where the finer level knows nothing.

use assay_sdk::{Parallel, for_each_chunk};

/// A vector of each cell; `None` = unknown.
pub(crate) type Cells = Vec<Option<[f32; 3]>>;

/// Replaces the missing vectors of `rows` x `cols` cells; all are zero where none is known.
pub(crate) fn fill(
    known: &[Option<[f32; 3]>],
    rows: usize,
    cols: usize,
    par: &dyn Parallel,
) -> Vec<[f32; 3]> {
    if rows * cols <= 1 || known.iter().all(Option::is_some) {
        return known.iter().map(|v| v.unwrap_or_default()).collect();
    }
    let (coarse_rows, coarse_cols) = (rows.div_ceil(2), cols.div_ceil(2));
    let coarse = fill(&halve(known, rows, cols), coarse_rows, coarse_cols, par);
    let mut filled = vec![[0.0; 3]; known.len()];
    for_each_chunk(par, &mut filled, cols, &|row, line| {
        for (col, cell) in line.iter_mut().enumerate() {
            *cell = known[row * cols + col]
                .unwrap_or_else(|| between(&coarse, coarse_rows, coarse_cols, row, col));
        }
    });
    filled
}

/// The means of the known vectors of blocks of 2 x 2.
fn halve(known: &[Option<[f32; 3]>], rows: usize, cols: usize) -> Cells {
    let mut means = Cells::with_capacity(rows.div_ceil(2) * cols.div_ceil(2));
    for row in (0..rows).step_by(2) {
        for col in (0..cols).step_by(2) {
            let (mut sum, mut count) = ([0.0f32; 3], 0);
            for r in row..(row + 2).min(rows) {
                for v in known[r * cols + col..r * cols + (col + 2).min(cols)].iter().flatten() {
                    sum.iter_mut().zip(v).for_each(|(s, v)| *s += v);
                    count += 1;
                }
            }
            means.push((count > 0).then(|| sum.map(|s| s / count as f32)));
        }
    }
    means
}

/// The coarse level at a fine cell, interpolated between the four nearest coarse cells.
fn between(coarse: &[[f32; 3]], rows: usize, cols: usize, row: usize, col: usize) -> [f32; 3] {
    // A fine cell lies a quarter of a coarse one beside the centre of its own.
    let pair = |fine: usize, cells: usize| {
        let own = fine / 2;
        let other = if fine.is_multiple_of(2) { own.saturating_sub(1) } else { (own + 1).min(cells - 1) };
        [(own, 0.75), (other, 0.25)]
    };
    let mut sum = [0.0; 3];
    for (r, wr) in pair(row, rows) {
        for (c, wc) in pair(col, cols) {
            sum.iter_mut().zip(coarse[r * cols + c]).for_each(|(s, v)| *s += wr * wc * v);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_sdk::Serial;

    #[test]
    fn known_cells_stay_and_a_constant_is_continued() {
        let known: Cells = (0..35).map(|i| (i % 5 == 2 && i < 20).then_some([0.5, -1.0, 0.25])).collect();
        assert_eq!(fill(&known, 7, 5, &Serial), [[0.5, -1.0, 0.25]; 35]);
    }

    #[test]
    fn a_gap_lies_between_its_sides() {
        let known: Cells = (0..16)
            .map(|i| match i {
                0..5 => Some([0.0; 3]),
                11..16 => Some([1.0; 3]),
                _ => None,
            })
            .collect();
        let filled = fill(&known, 1, 16, &Serial);
        assert!(filled.windows(2).all(|w| w[0][0] <= w[1][0] + 0.3));
        assert!(filled[5..11].iter().all(|v| (0.0..=1.0).contains(&v[0])));
        assert!(filled[6][0] < filled[9][0]);
    }

    #[test]
    fn nothing_known_fills_with_zeros() {
        assert_eq!(fill(&[None; 6], 2, 3, &Serial), [[0.0; 3]; 6]);
        assert!(fill(&[], 0, 0, &Serial).is_empty());
    }
}
