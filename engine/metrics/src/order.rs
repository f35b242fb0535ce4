//! Scores as integers of the same order, and sorting them.
//!
//! A positive float orders like its bits and a negative one against them. Flipping the sign bit of the former
//! and all bits of the latter gives an unsigned integer that compares as the float does, in one instruction,
//! and that can be sorted digit by digit.

use crate::error::{MetricError, filled};

/// A type of score: `f32` or `f64`. Sealed.
pub trait Score: Keyed {}

impl Score for f32 {}
impl Score for f64 {}

/// Order-preserving keys of a score type.
pub trait Keyed: Copy + Into<f64> {
    /// Unsigned integer that orders as the score does.
    type Key: Copy + Ord;

    /// The key of a finite score, the same for -0 and 0; `None` for NaN and the infinities.
    fn key(self) -> Option<Self::Key>;

    /// The score of a key.
    fn from_key(key: Self::Key) -> Self;

    /// Sorts keys in ascending order.
    ///
    /// # Errors
    /// [`MetricError::OutOfMemory`].
    fn sort(keys: &mut Vec<Self::Key>) -> Result<(), MetricError>;
}

impl Keyed for f32 {
    type Key = u32;

    #[inline]
    fn key(self) -> Option<u32> {
        self.is_finite().then(|| finite_key(self))
    }

    fn from_key(key: u32) -> Self {
        Self::from_bits(if key >> 31 == 1 { key ^ (1 << 31) } else { !key })
    }

    fn sort(keys: &mut Vec<u32>) -> Result<(), MetricError> {
        radix_sort(keys)
    }
}

impl Keyed for f64 {
    type Key = u64;

    #[inline]
    fn key(self) -> Option<u64> {
        let bits = (self + 0.0).to_bits();
        let flip = ((bits as i64 >> 63) as u64) | (1 << 63);
        self.is_finite().then_some(bits ^ flip)
    }

    fn from_key(key: u64) -> Self {
        Self::from_bits(if key >> 63 == 1 { key ^ (1 << 63) } else { !key })
    }

    fn sort(keys: &mut Vec<u64>) -> Result<(), MetricError> {
        keys.sort_unstable();
        Ok(())
    }
}

/// The key of a score known to be finite.
#[inline]
pub(crate) fn finite_key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // -0 + 0 = 0: both zeros get one key
    bits ^ (((bits as i32 >> 31) as u32) | (1 << 31))
}

/// Lowest bit of each digit of the radix sort; a digit has [`DIGIT_BITS`] bits, the last one 10.
const DIGIT_SHIFTS: [u32; 3] = [0, 11, 22];
const DIGIT_BITS: u32 = 11;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// Below this length a comparison sort is faster than counting three digits.
const SMALL: usize = 4096;

#[inline]
fn digit(key: u32, shift: u32) -> usize {
    (key >> shift) as usize & (BUCKETS - 1)
}

/// Sorts keys in ascending order in at most three passes; takes as much scratch as the keys.
///
/// # Errors
/// [`MetricError::OutOfMemory`] when there is no room for the scratch.
pub(crate) fn radix_sort(keys: &mut Vec<u32>) -> Result<(), MetricError> {
    if keys.len() < SMALL {
        keys.sort_unstable();
        return Ok(());
    }
    let mut counts = [[0_usize; BUCKETS]; DIGIT_SHIFTS.len()];
    for &key in keys.iter() {
        for (count, shift) in counts.iter_mut().zip(DIGIT_SHIFTS) {
            count[digit(key, shift)] += 1;
        }
    }
    let mut sorted = filled(0_u32, keys.len())?;
    for (count, shift) in counts.iter_mut().zip(DIGIT_SHIFTS) {
        if count.contains(&keys.len()) {
            continue; // every key has the same digit here
        }
        let mut start = 0;
        for bucket in count.iter_mut() {
            start += std::mem::replace(bucket, start);
        }
        for &key in keys.iter() {
            let next = &mut count[digit(key, shift)];
            sorted[*next] = key;
            *next += 1;
        }
        std::mem::swap(keys, &mut sorted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_zeros_have_one_key() {
        assert_eq!((-0.0_f32).key(), 0.0_f32.key());
        assert_eq!((-0.0_f64).key(), 0.0_f64.key());
    }

    #[test]
    fn what_is_not_finite_has_no_key() {
        assert!([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].iter().all(|v| v.key().is_none()));
        assert!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].iter().all(|v| v.key().is_none()));
    }

    #[test]
    fn a_long_list_is_sorted_whichever_digits_vary() {
        let mixed = |i: u32| i.wrapping_mul(2_654_435_761);
        for mask in [u32::MAX, 0x7FF, 0x003F_F800, 0xFFC0_0000, 0x803F_F801, 0] {
            let mut keys: Vec<u32> = (0..10_000).map(|i| mixed(i) & mask).collect();
            let mut expected = keys.clone();
            expected.sort_unstable();
            radix_sort(&mut keys).unwrap();
            assert_eq!(keys, expected, "mask {mask:#x}");
        }
    }

    proptest! {
        #[test]
        fn keys_order_as_f32_scores_do_and_lead_back_to_them(a in any::<f32>(), b in any::<f32>()) {
            if let (Some(ka), Some(kb)) = (a.key(), b.key()) {
                prop_assert_eq!(a.partial_cmp(&b), Some(ka.cmp(&kb)));
                prop_assert_eq!(f32::from_key(ka), a);
            }
        }

        #[test]
        fn keys_order_as_f64_scores_do_and_lead_back_to_them(a in any::<f64>(), b in any::<f64>()) {
            if let (Some(ka), Some(kb)) = (a.key(), b.key()) {
                prop_assert_eq!(a.partial_cmp(&b), Some(ka.cmp(&kb)));
                prop_assert_eq!(f64::from_key(ka), a);
            }
        }
    }
}
