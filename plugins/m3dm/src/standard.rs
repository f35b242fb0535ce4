//! Features on a common scale: one mean and one deviation for all channels of an input, as M3DM's banks have.

use assay_sdk::state::{read_f64, write_f64};
use assay_sdk::{Error, Result};
use ndarray::{Array2, ArrayView2, s};
use std::io::{Read, Write};

/// A mean and a standard deviation over all values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standard {
    mean: f64,
    deviation: f64,
}

impl Standard {
    /// That of `values`; values that are all the same have a deviation of 1.
    pub(crate) fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / count;
        let variance = values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt();
        Self { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
    }

    /// A value on the common scale.
    pub(crate) fn apply(&self, value: f32) -> f32 {
        ((f64::from(value) - self.mean) / self.deviation) as f32
    }

    pub(crate) fn save(&self, out: &mut dyn Write) -> Result<()> {
        write_f64(out, self.mean)?;
        write_f64(out, self.deviation)
    }

    pub(crate) fn load(input: &mut dyn Read) -> Result<Self> {
        let read = Self { mean: read_f64(input)?, deviation: read_f64(input)? };
        if read.mean.is_finite() && read.deviation.is_normal() && read.deviation > 0.0 {
            Ok(read)
        } else {
            Err(Error::state("the saved scale of features is no scale"))
        }
    }
}

/// The scales of the parts of a row, which come from different inputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scales {
    /// Columns of each part, and their scale.
    parts: Vec<(usize, Standard)>,
}

impl Scales {
    /// Those of `rows` whose parts have so many columns.
    pub(crate) fn of(rows: ArrayView2<f32>, widths: &[usize]) -> Self {
        let mut first = 0;
        let part = |&width: &usize| {
            let columns = first..first + width;
            first += width;
            (width, Standard::of(rows.slice(s![.., columns]).iter().copied()))
        };
        Self { parts: widths.iter().map(part).collect() }
    }

    /// Those of rows that are rows of both, one after the other.
    pub(crate) fn side_by_side(both: &[Self; 2]) -> Self {
        Self { parts: both.iter().flat_map(|scales| scales.parts.clone()).collect() }
    }

    /// Brings rows to the common scale.
    pub(crate) fn apply(&self, rows: &mut Array2<f32>) {
        for mut row in rows.outer_iter_mut() {
            let mut values = row.iter_mut();
            for (width, standard) in &self.parts {
                values.by_ref().take(*width).for_each(|v| *v = standard.apply(*v));
            }
        }
    }

    pub(crate) fn save(&self, out: &mut dyn Write) -> Result<()> {
        self.parts.iter().try_for_each(|(_, standard)| standard.save(out))
    }

    pub(crate) fn load(input: &mut dyn Read, widths: &[usize]) -> Result<Self> {
        let parts = widths.iter().map(|&width| Ok((width, Standard::load(input)?))).collect::<Result<_>>()?;
        Ok(Self { parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_get_mean_0_and_deviation_1_and_constants_stay_finite() {
        let values = [1.0f32, 3.0, 5.0, 7.0];
        let standard = Standard::of(values.iter().copied());
        let made = values.map(|v| f64::from(standard.apply(v)));
        assert!(made.iter().sum::<f64>().abs() < 1e-6);
        assert!((made.iter().map(|v| v * v).sum::<f64>() / 4.0 - 1.0).abs() < 1e-6);
        assert_eq!(Standard::of([2.0f32; 3].into_iter()).apply(5.0), 3.0);
        assert_eq!(Standard::of(std::iter::empty()).apply(5.0), 5.0);
    }

    #[test]
    fn a_scale_comes_back_and_one_that_is_none_is_refused() {
        let standard = Standard::of([1.0f32, 2.0].into_iter());
        let mut bytes = Vec::new();
        standard.save(&mut bytes).unwrap();
        assert_eq!(Standard::load(&mut &bytes[..]).unwrap(), standard);
        assert!(Standard::load(&mut &bytes[..15]).is_err());
        bytes[8..].fill(0);
        assert!(Standard::load(&mut &bytes[..]).is_err());
    }

    #[test]
    fn every_part_of_a_row_has_its_own_scale() {
        let mut rows = ndarray::arr2(&[[1.0f32, 2.0, 100.0], [3.0, 2.0, 300.0]]);
        let scales = Scales::of(rows.view(), &[2, 1]);
        let mut bytes = Vec::new();
        scales.save(&mut bytes).unwrap();
        assert_eq!(Scales::load(&mut &bytes[..], &[2, 1]).unwrap(), scales);
        scales.apply(&mut rows);
        let root = 2f32.sqrt();
        assert!(
            rows.iter().zip([-root, 0.0, -1.0, root, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6),
            "{rows}"
        );
    }
}
