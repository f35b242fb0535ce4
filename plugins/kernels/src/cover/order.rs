//! An order of the rows in which neighbours are near each other.

use super::block::LANES;
use crate::KernelError;
use crate::error::filled;
use crate::sketch::{Sketch, WIDTH};

/// All rows, halved again and again at the median of the sketch column that spreads most, as in a k-d tree, until each
/// run of [`LANES`] is one leaf.
pub(super) fn spatial(sketch: &Sketch) -> Result<Vec<usize>, KernelError> {
    let mut rows = filled("order of the rows", sketch.len(), 0usize)?;
    rows.iter_mut().enumerate().for_each(|(i, row)| *row = i);
    halve(&mut rows, sketch);
    Ok(rows)
}

fn halve(rows: &mut [usize], sketch: &Sketch) {
    if rows.len() <= LANES {
        return;
    }
    let column = widest(rows, sketch);
    let middle = (rows.len() / 2).next_multiple_of(LANES);
    let key = |row: usize| sketch.row(row)[column];
    rows.select_nth_unstable_by(middle, |&a, &b| key(a).total_cmp(&key(b)));
    let (low, high) = rows.split_at_mut(middle);
    halve(low, sketch);
    halve(high, sketch);
}

/// The sketch column with the greatest range over `rows`.
fn widest(rows: &[usize], sketch: &Sketch) -> usize {
    let (mut low, mut high) = ([f32::INFINITY; WIDTH], [f32::NEG_INFINITY; WIDTH]);
    for &row in rows {
        for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(sketch.row(row)) {
            *low = low.min(x);
            *high = high.max(x);
        }
    }
    let range = |column: usize| high[column] - low[column];
    (1..WIDTH).fold(0, |widest, column| if range(column) > range(widest) { column } else { widest })
}

#[cfg(test)]
mod tests {
    use assay_sdk::Serial;

    use super::*;

    #[test]
    fn every_row_comes_once_and_far_groups_share_no_leaf() {
        let values: Vec<f32> =
            (0..4 * LANES).flat_map(|i| [(i % 4) as f32 * 100.0, (i * 7 % 13) as f32]).collect();
        let order = spatial(&Sketch::new(&values, 2, &Serial).unwrap()).unwrap();
        for leaf in order.chunks(LANES) {
            assert!(leaf.iter().all(|row| row % 4 == leaf[0] % 4), "{leaf:?}");
        }
        let mut rows = order;
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..4 * LANES));
    }
}
