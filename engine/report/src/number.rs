//! Numbers as a report prints them.

/// A number in three significant digits: plain from 0.001 up to 99999, else with an exponent.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rounded to three digits first, so that 9.996 counts as 10.0.
    let rounded: f64 = format!("{size:.2e}").parse().unwrap_or(size);
    if !(1e-3..1e5).contains(&rounded) {
        return format!("{value:.1e}");
    }
    let decimals = (2 - rounded.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (0.0, "0"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (-0.012_34, "-0.0123"),
            (123.4, "123"),
            (1234.0, "1234"),
            (99_999.0, "1.0e5"),
            (2.5e-7, "2.5e-7"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
