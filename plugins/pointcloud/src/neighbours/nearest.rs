//! The least of many keys, in order.

use super::Key;

/// Buckets that keys are dealt into by distance.
const BUCKETS: usize = 256;

/// Fewer keys are sorted by comparing.
const FEW: usize = 24;

/// Most keys of a bucket that are put in order one by one.
const CROWD: u32 = 24;

/// Sorts keys by dealing them into buckets of equal width in squared distance: around a point of a surface that is sampled
/// evenly each holds about as many, so that little is left to compare. The memory is used again from call to call.
#[derive(Default)]
pub(super) struct Nearest {
    bucket: Vec<u8>,
    sorted: Vec<Key>,
}

impl Nearest {
    /// Leaves the `k` least keys, sorted.
    #[inline(always)]
    pub(super) fn keep(&mut self, keys: &mut Vec<Key>, k: usize) {
        if keys.len() < FEW || !self.deal(keys, k) {
            by_comparing(keys, k);
        }
    }

    /// `false` where the keys lie so unevenly that dealing gains nothing; then `keys` are as they were.
    #[inline(always)]
    fn deal(&mut self, keys: &mut Vec<Key>, k: usize) -> bool {
        let most = keys.iter().fold(Key(0), |most, &key| most.max(key)).squared();
        let scale = BUCKETS as f32 / most;
        if !scale.is_finite() {
            return false;
        }
        self.bucket.clear();
        self.bucket.extend(keys.iter().map(|key| bucket(key.squared() * scale)));
        let mut counts = [0u32; BUCKETS];
        for &b in &self.bucket {
            counts[b as usize] += 1;
        }
        // Where the keys of each bucket go, up to the bucket that holds the k-th.
        let (mut total, mut last) = (0, 0);
        for (b, count) in counts.iter_mut().enumerate() {
            if *count > CROWD {
                return false;
            }
            let first = total;
            total += *count;
            *count = first;
            last = b;
            if total as usize >= k {
                break;
            }
        }
        self.sorted.clear();
        self.sorted.resize(total as usize + 1, Key(0));
        for (&key, &b) in keys.iter().zip(&self.bucket) {
            // What lies beyond is written to the spare place at the end: whether it does is not predictable.
            let within = usize::from(b) <= last;
            let at = if within { counts[b as usize] } else { total };
            counts[b as usize] += u32::from(within);
            self.sorted[at as usize] = key;
        }
        self.sorted.truncate(total as usize);
        // Each key is at most a bucket away from its place.
        for i in 1..self.sorted.len() {
            let key = self.sorted[i];
            let mut at = i;
            while at > 0 && self.sorted[at - 1] > key {
                self.sorted[at] = self.sorted[at - 1];
                at -= 1;
            }
            self.sorted[at] = key;
        }
        self.sorted.truncate(k);
        keys.clone_from(&self.sorted);
        true
    }
}

/// The bucket of a scaled distance; a greater distance is never in a lower one.
#[inline(always)]
fn bucket(scaled: f32) -> u8 {
    let below = BUCKETS as f32 - 0.5;
    // The language takes what lies beyond to the ends and NaN to 0.
    (if scaled < below { scaled } else { below }) as u8
}

/// The `k` least keys, sorted, by comparing them with each other.
fn by_comparing(keys: &mut Vec<Key>, k: usize) {
    if keys.len() > k {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(keys: &[Key], k: usize) -> [Vec<Key>; 2] {
        let (mut dealt, mut compared) = (keys.to_vec(), keys.to_vec());
        Nearest::default().keep(&mut dealt, k);
        by_comparing(&mut compared, k);
        [dealt, compared]
    }

    proptest! {
        #[test]
        fn dealing_gives_what_comparing_gives(
            squared in prop::collection::vec(prop_oneof![4 => 0f32..1.0, 1 => Just(0.0), 1 => Just(0.5), 1 => 0f32..1e-30, 1 => 0f32..1e30], 1..400),
            k in 1usize..450,
        ) {
            let keys: Vec<Key> = squared.iter().zip((0..squared.len() as u32).rev()).map(|(&s, i)| Key::new(s, i)).collect();
            let [dealt, compared] = both(&keys, k);
            prop_assert_eq!(dealt, compared);
        }

        #[test]
        fn evenly_spread_keys_are_dealt(n in FEW..400, k in 1usize..400) {
            let keys: Vec<Key> = (0..n as u32).map(|i| Key::new((i.wrapping_mul(2_654_435_761) >> 8) as f32, i)).collect();
            let mut dealt = keys.clone();
            prop_assert!(Nearest::default().deal(&mut dealt, k));
            prop_assert_eq!(&dealt, &both(&keys, k)[1]);
        }
    }
}
