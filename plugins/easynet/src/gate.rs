//! A scan's score, and which of two maps of it counts: that of colour alone or that of both sensors, by entropy, as EasyNet chooses.

/// Bins of the histogram, over 0 to 1.
const BINS: usize = 256;

/// Pixels of the side of the window that a map is averaged over, in pictures of [`SIZE`] pixels.
const WINDOW: usize = 21;

/// Pixels of the paper's pictures.
const SIZE: usize = 256;

/// The greatest mean of a map over windows of 21 x 21 pixels, of pictures of 256 or as large a part of others; zeros around the map.
pub(crate) fn score(map: &[f32], size: usize) -> f64 {
    let half = (WINDOW * size / SIZE) / 2;
    let side = size + 1;
    let mut sums = vec![0.0f64; side * side];
    for y in 0..size {
        let mut line = 0.0;
        for x in 0..size {
            line += f64::from(map[y * size + x]);
            sums[(y + 1) * side + x + 1] = sums[y * side + x + 1] + line;
        }
    }
    let range = |p: usize| (p.saturating_sub(half), (p + half + 1).min(size));
    let mut most = 0.0;
    for y in 0..size {
        let (top, bottom) = range(y);
        for x in 0..size {
            let (left, right) = range(x);
            let sum = sums[bottom * side + right] - sums[top * side + right] - sums[bottom * side + left]
                + sums[top * side + left];
            most = f64::max(most, sum);
        }
    }
    most / ((2 * half + 1) * (2 * half + 1)) as f64
}

/// Thresholds that let both sensors count always and never: entropies of 256 bins are 0 to 8 bits.
pub(crate) const ALWAYS: f64 = -8.0;
pub(crate) const NEVER: f64 = 9.0;

/// Entropy in bits of the values' histogram; values beyond 0 to 1 are not counted.
pub(crate) fn entropy(values: &[f32]) -> f64 {
    let mut counts = [0u32; BINS];
    for &v in values.iter().filter(|v| (0.0..=1.0).contains(*v)) {
        counts[((v * BINS as f32) as usize).min(BINS - 1)] += 1;
    }
    let n: f64 = counts.iter().map(|&c| f64::from(c)).sum();
    let shares = counts.iter().filter(|c| **c > 0).map(|&c| f64::from(c) / n);
    shares.map(|p| -p * p.log2()).sum()
}

/// What is known of a scan that the threshold is chosen by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    /// Entropy of what is seen by both sensors over that of the first one.
    pub(crate) gain: f64,
    /// Score by the first sensor alone.
    pub(crate) alone: f64,
    /// Score by both.
    pub(crate) together: f64,
    pub(crate) defective: bool,
}

impl Seen {
    pub(crate) fn score(&self, threshold: f64) -> f64 {
        if self.gain >= threshold { self.together } else { self.alone }
    }
}

/// The maps that count, which is known where the gate always decides alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The gate decides scan by scan.
    Both,
    /// Always that of both sensors.
    Together,
    /// Always that of the first sensor, or there is but one.
    Alone,
}

impl Which {
    /// Of so many sensors, and a gate's threshold.
    pub(crate) fn of(sensors: usize, threshold: f64) -> Self {
        match sensors {
            2 if threshold <= ALWAYS => Self::Together,
            2 if threshold < NEVER => Self::Both,
            _ => Self::Alone,
        }
    }
}

/// The threshold of the gain from which on both sensors count: the one that tells good from defective best, the lowest of equals. A gate that
/// decides scan by scan has to be better than none by a standard error, for there are as many thresholds as scans and the best of many is
/// better by chance (the rule of Breiman et al., Classification and Regression Trees, 1984).
pub(crate) fn choose(seen: &[Seen]) -> f64 {
    let mut gains: Vec<f64> = seen.iter().map(|s| s.gain).collect();
    gains.sort_unstable_by(f64::total_cmp);
    gains.dedup();
    let between = gains.windows(2).map(|pair| 0.5 * (pair[0] + pair[1]));
    let best = |thresholds: &mut dyn Iterator<Item = f64>| {
        thresholds
            .map(|t| (t, auroc(seen, t)))
            .reduce(|best, found| if found.1 > best.1 { found } else { best })
    };
    let none = best(&mut [ALWAYS, NEVER].into_iter()).unwrap_or((ALWAYS, 0.0));
    let defective = seen.iter().filter(|s| s.defective).count();
    let least = none.1 + standard_error(none.1, seen.len() - defective, defective);
    best(&mut between.into_iter()).filter(|gate| gate.1 > least).unwrap_or(none).0
}

/// The standard error of an AUROC that was found on so many scans (Hanley and McNeil, Radiology 143, 1982).
fn standard_error(auroc: f64, good: usize, defective: usize) -> f64 {
    let (by_good, by_defective) = (auroc / (2.0 - auroc), 2.0 * auroc * auroc / (1.0 + auroc));
    let [n, m] = [good, defective].map(|n| n.max(1) as f64);
    let square = auroc * auroc;
    let sum = auroc * (1.0 - auroc) + (m - 1.0) * (by_good - square) + (n - 1.0) * (by_defective - square);
    (sum / (n * m)).max(0.0).sqrt()
}

/// The share of pairs of a good and a defective scan that are told apart; half of those with one score.
pub(crate) fn auroc(seen: &[Seen], threshold: f64) -> f64 {
    let scores =
        |defective: bool| seen.iter().filter(move |s| s.defective == defective).map(|s| s.score(threshold));
    let (mut sum, mut pairs) = (0.0, 0.0);
    for good in scores(false) {
        for defective in scores(true) {
            pairs += 1.0;
            sum += if defective > good {
                1.0
            } else if defective == good {
                0.5
            } else {
                0.0
            };
        }
    }
    if pairs > 0.0 { sum / pairs } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_greatest_mean_over_a_window_with_zeros_around() {
        // 32 pixels: windows of 3.
        let mut map = vec![0.0; 32 * 32];
        map[0] = 0.9;
        assert!((score(&map, 32) - 0.1).abs() < 1e-7);
        (1..32).for_each(|x| map[x] = 0.9);
        assert!((score(&map, 32) - 0.3).abs() < 1e-7);
        map.fill(0.9);
        assert!((score(&map, 32) - 0.9).abs() < 1e-6);
        let mut one = vec![0.0; 256 * 256];
        one[256 * 100 + 100] = 1.0;
        assert!((score(&one, 256) - 1.0 / 441.0).abs() < 1e-12);
    }

    #[test]
    fn entropy_is_that_of_the_histogram() {
        assert_eq!(entropy(&[0.5; 10]), 0.0);
        assert_eq!(entropy(&[0.1, 0.9]), 1.0);
        let all: Vec<f32> = (0..256).map(|i| (i as f32 + 0.5) / 256.0).collect();
        assert!((entropy(&all) - 8.0).abs() < 1e-12);
        assert_eq!(entropy(&[0.1, 0.9, 7.0, -1.0]), 1.0);
        assert_eq!(entropy(&[]), 0.0);
    }

    #[test]
    fn the_threshold_takes_each_map_where_it_is_right() {
        let seen = |gain, alone, together, defective| Seen { gain, alone, together, defective };
        // Where the gain is low only the first sensor tells, where it is high only both do.
        let scans = [
            seen(-1.0, 0.1, 0.9, false),
            seen(-0.5, 0.8, 0.1, true),
            seen(0.5, 0.9, 0.1, false),
            seen(1.0, 0.1, 0.9, true),
        ];
        let threshold = choose(&scans);
        assert_eq!(threshold, 0.0);
        assert_eq!(auroc(&scans, threshold), 1.0);
        assert_eq!(choose(&scans[2..]), ALWAYS);
        assert_eq!(choose(&[scans[3], seen(2.0, 0.9, 0.1, false)]), ALWAYS);
        assert_eq!(choose(&[scans[1], seen(-0.5, 0.1, 0.9, false)]), NEVER);
    }

    #[test]
    fn a_gate_that_is_better_by_chance_is_none() {
        // Both tell all but one of twenty from the good, and that one from half of them; a gate would see to it.
        let scan = |i: usize| {
            let (defective, missed) = (i >= 20, i == 39);
            let together = if defective && !missed { 0.8 } else { 0.2 + 0.001 * i as f64 };
            Seen {
                gain: if missed { -1.0 } else { i as f64 },
                alone: 0.9,
                together: if missed { 0.2095 } else { together },
                defective,
            }
        };
        let scans: Vec<Seen> = (0..40).map(scan).collect();
        assert!(auroc(&scans, -0.5) == 1.0 && (auroc(&scans, ALWAYS) - 0.975).abs() < 1e-12);
        assert_eq!(choose(&scans), ALWAYS);
        assert_eq!(standard_error(1.0, 20, 20), 0.0);
        // From their table: 0.893 on 58 and 51.
        assert!((standard_error(0.893, 58, 51) - 0.032).abs() < 0.002);
    }
}
