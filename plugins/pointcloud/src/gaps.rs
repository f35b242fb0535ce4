//! Places inside a part where nothing was measured.

/// For each of `rows` x `cols` pixels of which `measured` says whether they hold a point: the distance in pixels to the nearest one that
/// does, where the pixel lies in a gap that points enclose; 0 elsewhere, also in what reaches the border of the scan.
pub(crate) fn gaps(measured: &[bool], rows: usize, cols: usize) -> Vec<f32> {
    let mut outside = vec![false; measured.len()];
    let border = (0..measured.len()).filter(|k| {
        let (i, j) = (k / cols, k % cols);
        i == 0 || j == 0 || i + 1 == rows || j + 1 == cols
    });
    let mut open: Vec<usize> = border.filter(|&k| !measured[k]).collect();
    open.iter().for_each(|&k| outside[k] = true);
    while let Some(k) = open.pop() {
        let (i, j) = (k / cols, k % cols);
        let beside = [
            (i > 0).then(|| k - cols),
            (i + 1 < rows).then(|| k + cols),
            (j > 0).then(|| k - 1),
            (j + 1 < cols).then(|| k + 1),
        ];
        for near in beside.into_iter().flatten() {
            if !measured[near] && !outside[near] {
                outside[near] = true;
                open.push(near);
            }
        }
    }
    // Distances to what is no gap: what reaches the border lies beyond the points that enclose a gap.
    let is_gap = |k: usize| !measured[k] && !outside[k];
    squared_distances(&is_gap, rows, cols).into_iter().map(f32::sqrt).collect()
}

/// Squared distances of the pixels that `inside` holds for to the nearest other one, by the lower envelope of parabolas along columns and
/// then rows (Felzenszwalb and Huttenlocher 2012). There is another one in every column or row that counts.
fn squared_distances(inside: &dyn Fn(usize) -> bool, rows: usize, cols: usize) -> Vec<f32> {
    // Farther than any distance, and small enough that sums of it are exact.
    let far = ((rows + cols) * (rows + cols)) as f32;
    let mut field: Vec<f32> = (0..rows * cols).map(|k| if inside(k) { far } else { 0.0 }).collect();
    let mut line = Vec::new();
    for j in 0..cols {
        line.clear();
        line.extend((0..rows).map(|i| field[i * cols + j]));
        for (i, v) in envelope(&line).into_iter().enumerate() {
            field[i * cols + j] = v;
        }
    }
    for row in field.chunks_exact_mut(cols.max(1)) {
        line.clear();
        line.extend_from_slice(row);
        row.copy_from_slice(&envelope(&line));
    }
    field
}

/// For each place i the least f(j) + (i - j)^2.
fn envelope(f: &[f32]) -> Vec<f32> {
    // Places of the parabolas of the envelope, and from where on each is the lowest.
    let (mut places, mut starts): (Vec<usize>, Vec<f32>) = (Vec::new(), Vec::new());
    let meet = |a: usize, b: usize| {
        let (x, y) = (a as f32, b as f32);
        ((f[b] + y * y) - (f[a] + x * x)) / (2.0 * (y - x))
    };
    for j in 0..f.len() {
        while let (Some(&last), Some(&start)) = (places.last(), starts.last())
            && meet(last, j) <= start
        {
            places.pop();
            starts.pop();
        }
        starts.push(places.last().map_or(f32::NEG_INFINITY, |&last| meet(last, j)));
        places.push(j);
    }
    let mut at = 0;
    (0..f.len())
        .map(|i| {
            while at + 1 < places.len() && starts[at + 1] <= i as f32 {
                at += 1;
            }
            let d = i as f32 - places[at] as f32;
            f[places[at]] + d * d
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_gap_is_as_deep_as_the_nearest_point_is_far(rows in 1usize..12, cols in 1usize..12, set in proptest::collection::vec(any::<bool>(), 144)) {
            let measured: Vec<bool> = (0..rows * cols).map(|k| set[k] || set[(k + 1) % 144]).collect();
            let found = gaps(&measured, rows, cols);
            for k in 0..measured.len() {
                let far = (0..measured.len()).filter(|&n| measured[n]).map(|n| {
                    ((k / cols).abs_diff(n / cols).pow(2) + (k % cols).abs_diff(n % cols).pow(2)) as f32
                });
                let nearest = far.fold(f32::INFINITY, f32::min).sqrt();
                // Nothing that reaches the border is a gap; what is enclosed is as far from the points as can be.
                prop_assert!(found[k] == 0.0 || (found[k] - nearest).abs() < 1e-4, "{} {nearest}", found[k]);
                prop_assert!(!measured[k] || found[k] == 0.0);
            }
        }
    }

    #[test]
    fn enclosed_gaps_count_and_open_ones_do_not() {
        // A hole of 3 x 3, and a bay at the right border.
        let measured: Vec<bool> = (0..63)
            .map(|k| {
                let (i, j) = (k / 9, k % 9);
                !((2..5).contains(&i) && (1..4).contains(&j) || (2..5).contains(&i) && j >= 6)
            })
            .collect();
        let found = gaps(&measured, 7, 9);
        assert_eq!((found[3 * 9 + 2], found[2 * 9 + 1], found[3 * 9 + 7]), (2.0, 1.0, 0.0));
        assert!(gaps(&[], 0, 0).is_empty());
        assert_eq!(gaps(&[false; 6], 2, 3), [0.0; 6]);
    }
}
