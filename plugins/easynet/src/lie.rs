//! How a part lies: along which axis it is long, and which way it points.

/// Least length over width, by the spread of the part's cells, of a part that has an axis. That of a round part is noise: where a hundredth of its cells
/// is missing on one side, an ellipse of this length seems turned by up to eleven degrees.
const LEAST_LONG: f64 = 1.05;

/// The direction down and across, of length 1, in which the part of the valid cells is long around their `middle`: of the two the one in which it
/// reaches farther, where fewer of its cells lie (its third moment is positive). None of a part as long as wide.
pub(crate) fn axis(valid: &[u8], cols: usize, [down, across]: [f64; 2]) -> Option<[f64; 2]> {
    // Sums of products of how far cells lie from the middle, down (y) and across (x).
    let (mut n, mut yy, mut yx, mut xx) = (0.0, 0.0, 0.0, 0.0);
    let (mut yyy, mut yyx, mut yxx, mut xxx) = (0.0, 0.0, 0.0, 0.0);
    for (row, line) in valid.chunks_exact(cols.max(1)).enumerate() {
        let y = row as f64 + 0.5 - down;
        // Of the line alone, by powers of x.
        let [mut ones, mut first, mut second, mut third] = [0.0; 4];
        for (col, _) in line.iter().enumerate().filter(|(_, valid)| **valid != 0) {
            let x = col as f64 + 0.5 - across;
            ones += 1.0;
            first += x;
            second += x * x;
            third += x * x * x;
        }
        n += ones;
        yy += y * y * ones;
        yx += y * first;
        xx += second;
        yyy += y * y * y * ones;
        yyx += y * y * first;
        yxx += y * second;
        xxx += third;
    }
    // The greatest spread and the least are the eigenvalues of the matrix of second moments.
    let (mean, apart) = (0.5 * (yy + xx), (0.5 * (yy - xx)).hypot(yx));
    let (greatest, least) = (mean + apart, mean - apart);
    if n == 0.0 || greatest <= LEAST_LONG * LEAST_LONG * least.max(0.0) {
        return None;
    }
    let (y, x) = (0.5 * (2.0 * yx).atan2(xx - yy)).sin_cos();
    let skew = y * y * y * yyy + 3.0 * y * y * x * yyx + 3.0 * y * x * x * yxx + x * x * x * xxx;
    Some(if skew < 0.0 { [-y, -x] } else { [y, x] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDE: usize = 120;

    /// Cells of a picture where `is` of how far they lie from its middle along a direction of so many degrees, and beside it.
    fn cells(degrees: f64, is: impl Fn(f64, f64) -> bool) -> Vec<u8> {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let inside = |i: usize| {
            let [y, x] = [i / SIDE, i % SIDE].map(|p| p as f64 + 0.5 - 0.5 * SIDE as f64);
            is(cos * x + sin * y, cos * y - sin * x)
        };
        (0..SIDE * SIDE).map(|i| u8::from(inside(i))).collect()
    }

    /// A head, and a thinner shaft that reaches farther from their mean place.
    fn screw(along: f64, beside: f64) -> bool {
        (-30.0..-14.0).contains(&along) && beside.abs() < 18.0
            || (-14.0..40.0).contains(&along) && beside.abs() < 8.0
    }

    fn axis_of(valid: &[u8]) -> Option<[f64; 2]> {
        let places: Vec<usize> = (0..valid.len()).filter(|&i| valid[i] > 0).collect();
        let mean = |of: fn(usize) -> usize| {
            places.iter().map(|&i| of(i) as f64 + 0.5).sum::<f64>() / places.len() as f64
        };
        axis(valid, SIDE, [mean(|i| i / SIDE), mean(|i| i % SIDE)])
    }

    proptest! {
        #[test]
        fn a_long_part_points_where_it_reaches_farther_at_any_angle(degrees in 0.0..360.0f64, holes in prop::collection::vec(0..SIDE * SIDE, 40)) {
            let mut valid = cells(degrees, screw);
            holes.into_iter().for_each(|i| valid[i] = 0);
            let [y, x] = axis_of(&valid).unwrap();
            let (sin, cos) = degrees.to_radians().sin_cos();
            prop_assert!((y.hypot(x) - 1.0).abs() < 1e-12);
            // Within two degrees.
            prop_assert!(sin * y + cos * x > 2.0f64.to_radians().cos(), "{y} {x}");
        }
    }

    #[test]
    fn a_part_as_long_as_wide_has_no_axis() {
        assert_eq!(axis_of(&cells(0.0, |a, b| a.hypot(b) < 40.0)), None);
        assert_eq!(axis_of(&cells(30.0, |a, b| a.abs() < 30.0 && b.abs() < 30.0)), None);
        assert_eq!(axis_of(&cells(0.0, |a, b| a.hypot(b) < 1.0)), None);
        let ellipse = |long: f64| axis_of(&cells(0.0, move |a, b| (a / long).hypot(b) < 40.0));
        assert_eq!(ellipse(1.04), None);
        assert!(ellipse(1.08).is_some());
        assert_eq!(axis(&[0; 100], 10, [5.0, 5.0]), None);
        assert_eq!(axis(&[], 0, [0.0, 0.0]), None);
    }

    #[test]
    fn a_line_of_cells_is_longer_than_wide() {
        let [y, x] = axis_of(&cells(0.0, |a, b| a.abs() < 40.0 && (0.0..1.0).contains(&b))).unwrap();
        assert!(y.abs() < 1e-12 && (x.abs() - 1.0).abs() < 1e-12);
    }
}
