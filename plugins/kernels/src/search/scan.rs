//! Walks over codes: which rows may be near a query.
//!
//! For the codes q and r of a query and a row, the value of the pair is q.r - floor(|r|^2 / 2), which grows as their distance
//! shrinks. Sums of 8-bit products are exact in i32, so every kernel finds the same values.
#![allow(unsafe_code)]

use std::ops::Range;

use super::codes::{Codes, WIDEST};
use crate::KernelError;
use crate::error::{area, filled};

/// Rows of a block.
pub(super) const ROWS: usize = 64;

/// Queries compared with a block together: their sums fill the registers of AVX-512.
pub(super) const LANES: usize = 6;

/// Integers of a code that are multiplied together.
const QUAD: usize = 4;

/// Added to the integers of a query, which the multiplication takes without sign.
const OFFSET: i32 = 128;

/// The codes of a bank, in the order in which they are multiplied. Rows lie by what coding lost of them, so that few lossy ones
/// do not weaken the bound of all.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    width: usize,
    /// Which row of the bank lies where.
    rows: Vec<u32>,
    /// The loss of each row, ascending.
    losses: Vec<f64>,
    /// [blocks, width / 4, ROWS, 4].
    levels: Vec<i8>,
    /// For each row, of whole blocks, what a sum begins with: -floor(|r|^2 / 2) - OFFSET * sum(r).
    starts: Vec<i32>,
}

impl Blocks {
    /// Of `codes` of `width` integers.
    pub(super) fn new(codes: &Codes, width: usize) -> Result<Self, KernelError> {
        let blocks = codes.len().div_ceil(ROWS);
        let mut rows: Vec<u32> = (0..codes.len() as u32).collect();
        rows.sort_by(|&a, &b| codes.losses[a as usize].total_cmp(&codes.losses[b as usize]));
        let mut levels = filled("codes of the bank", area("codes of the bank", blocks * ROWS, width)?, 0i8)?;
        let mut starts = filled("codes of the bank", blocks * ROWS, 0i32)?;
        for (i, &row) in rows.iter().enumerate() {
            let code = codes.get(row as usize);
            let block = &mut levels[i / ROWS * ROWS * width..][..ROWS * width];
            for (quad, from) in code.levels.as_chunks::<QUAD>().0.iter().enumerate() {
                block[(quad * ROWS + i % ROWS) * QUAD..][..QUAD].copy_from_slice(from);
            }
            let sum: i32 = code.levels.iter().map(|&x| i32::from(x)).sum();
            starts[i] = -code.square().div_euclid(2) - OFFSET * sum;
        }
        let losses = rows.iter().map(|&row| codes.losses[row as usize]).collect();
        Ok(Self { width, rows, losses, levels, starts })
    }

    /// How many blocks.
    pub(super) fn len(&self) -> usize {
        self.starts.len() / ROWS
    }

    /// The greatest loss of the rows in a range of blocks.
    pub(super) fn loss(&self, range: Range<usize>) -> f64 {
        let last = (range.end * ROWS).min(self.losses.len());
        self.losses[..last].last().copied().unwrap_or(0.0)
    }

    fn block(&self, i: usize) -> (&[i8], &[i32; ROWS]) {
        let levels = &self.levels[i * ROWS * self.width..][..ROWS * self.width];
        (levels, &self.starts.as_chunks::<ROWS>().0[i])
    }
}

/// The codes of up to [`LANES`] queries, raised by OFFSET.
#[derive(Debug, Clone)]
pub(super) struct Queries {
    /// Integers of a code.
    width: usize,
    /// [width / 4, LANES], the rest unused.
    quads: [[[u8; QUAD]; LANES]; WIDEST / QUAD],
}

impl Queries {
    /// Of those of `codes` that `range` names, at most [`LANES`], of `width` integers.
    pub(super) fn new(codes: &Codes, range: Range<usize>, width: usize) -> Self {
        let mut quads = [[[OFFSET as u8; QUAD]; LANES]; WIDEST / QUAD];
        for (lane, i) in range.take(LANES).enumerate() {
            for (quad, from) in quads.iter_mut().zip(codes.get(i).levels.as_chunks::<QUAD>().0) {
                quad[lane] = from.map(|x| (i32::from(x) + OFFSET) as u8);
            }
        }
        Self { width, quads }
    }

    fn quads(&self) -> &[[[u8; QUAD]; LANES]] {
        &self.quads[..self.width / QUAD]
    }
}

/// What a walk does with a pair that reached the query's cut: lane, row and value to the lane's next cut.
pub(super) type Reached<'a> = dyn FnMut(usize, usize, i32) -> i32 + 'a;

/// How values are computed on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Anywhere.
    Portable,
    /// 16-bit products of AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 8-bit products of AVX-512 VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The fastest that the machine has.
    pub(super) fn detect() -> Self {
        Self::all().into_iter().next_back().unwrap_or(Self::Portable)
    }

    /// Those that the machine has, the fastest last.
    pub(super) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let mut all = vec![Self::Portable];
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                all.push(Self::Avx512);
            }
            all
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::Portable]
    }

    /// Goes through `range` of the blocks and reports every pair whose value reaches the lane's cut, in no particular order.
    pub(super) fn walk(
        self,
        blocks: &Blocks,
        range: Range<usize>,
        queries: &Queries,
        cuts: &mut [i32; LANES],
        reached: &mut Reached,
    ) {
        for i in range {
            let (levels, starts) = blocks.block(i);
            let rows = &blocks.rows[i * ROWS..((i + 1) * ROWS).min(blocks.rows.len())];
            let found = match self {
                Self::Portable => portable(levels, starts, queries, cuts),
                // SAFETY: `detect` and `all` give this kernel only where the machine has these instructions.
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => unsafe { x86::avx2(levels, starts, queries, cuts) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => unsafe { x86::avx512(levels, starts, queries, cuts) },
            };
            let Some((values, masks)) = found else { continue };
            for lane in 0..LANES {
                let mut mask = masks[lane] & (u64::MAX >> (ROWS - rows.len()));
                while mask != 0 {
                    let offset = mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    let value = values[lane][offset];
                    if value >= cuts[lane] {
                        cuts[lane] = reached(lane, rows[offset] as usize, value);
                    }
                }
            }
        }
    }
}

/// The values of a block and, bit by bit, which of them reach their cut; if any does.
type Values = Option<([[i32; ROWS]; LANES], [u64; LANES])>;

fn portable(levels: &[i8], starts: &[i32; ROWS], queries: &Queries, cuts: &[i32; LANES]) -> Values {
    let mut values = [*starts; LANES];
    for (quads, rows) in queries.quads().iter().zip(levels.as_chunks::<{ ROWS * QUAD }>().0) {
        let rows = rows.as_chunks::<QUAD>().0;
        for (values, query) in values.iter_mut().zip(quads) {
            let query = query.map(i32::from);
            for (value, row) in values.iter_mut().zip(rows) {
                let row = row.map(i32::from);
                *value += query[0] * row[0] + query[1] * row[1] + query[2] * row[2] + query[3] * row[3];
            }
        }
    }
    compared(values, cuts)
}

/// Which values reach their cuts.
fn compared(values: [[i32; ROWS]; LANES], cuts: &[i32; LANES]) -> Values {
    let mut masks = [0u64; LANES];
    for (mask, (values, cut)) in masks.iter_mut().zip(values.iter().zip(cuts)) {
        if values.iter().fold(false, |any, value| any | (value >= cut)) {
            *mask =
                values.iter().enumerate().fold(0, |mask, (i, value)| mask | (u64::from(value >= cut) << i));
        }
    }
    masks.iter().any(|&mask| mask != 0).then_some((values, masks))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, QUAD, Queries, ROWS, Values, compared};

    /// # Safety
    /// The machine has AVX-512 F and VNNI. `levels` holds ROWS * QUAD bytes for each quad of the queries.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn avx512(
        levels: &[i8],
        starts: &[i32; ROWS],
        queries: &Queries,
        cuts: &[i32; LANES],
    ) -> Values {
        const WIDE: usize = 16;
        const PARTS: usize = ROWS / WIDE;
        debug_assert_eq!(levels.len(), queries.quads().len() * ROWS * QUAD);
        // SAFETY: reads 64 bytes at 64-byte steps inside `starts`, an array of 256.
        let start: [__m512i; PARTS] =
            std::array::from_fn(|p| unsafe { _mm512_loadu_si512(starts.as_ptr().add(p * WIDE).cast()) });
        let mut sums = [start; LANES];
        for (quads, rows) in queries.quads().iter().zip(levels.as_chunks::<{ ROWS * QUAD }>().0) {
            // SAFETY: reads 64 bytes at 64-byte steps inside `rows`, an array of 256.
            let rows: [__m512i; PARTS] = std::array::from_fn(|p| unsafe {
                _mm512_loadu_si512(rows.as_ptr().add(p * WIDE * QUAD).cast())
            });
            for lane in 0..LANES {
                let query = _mm512_set1_epi32(i32::from_le_bytes(quads[lane]));
                for p in 0..PARTS {
                    sums[lane][p] = _mm512_dpbusd_epi32(sums[lane][p], query, rows[p]);
                }
            }
        }
        let mut masks = [0u64; LANES];
        for lane in 0..LANES {
            let cut = _mm512_set1_epi32(cuts[lane]);
            for p in 0..PARTS {
                masks[lane] |= u64::from(_mm512_cmpge_epi32_mask(sums[lane][p], cut)) << (p * WIDE);
            }
        }
        if masks.iter().all(|&mask| mask == 0) {
            return None;
        }
        let mut values = [[0; ROWS]; LANES];
        for (values, sums) in values.iter_mut().zip(&sums) {
            for (p, &sum) in sums.iter().enumerate() {
                // SAFETY: writes 64 bytes at 64-byte steps inside `values`, an array of 256.
                unsafe { _mm512_storeu_si512(values.as_mut_ptr().add(p * WIDE).cast(), sum) };
            }
        }
        Some((values, masks))
    }

    /// # Safety
    /// The machine has AVX2. `levels` holds ROWS * QUAD bytes for each quad of the queries.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(
        levels: &[i8],
        starts: &[i32; ROWS],
        queries: &Queries,
        cuts: &[i32; LANES],
    ) -> Values {
        /// Rows whose four products fill a register as 16-bit integers.
        const WIDE: usize = 4;
        debug_assert_eq!(levels.len(), queries.quads().len() * ROWS * QUAD);
        let mut values = [*starts; LANES];
        for first in (0..ROWS).step_by(WIDE) {
            // Two neighbouring sums belong to one row.
            let mut sums = [_mm256_setzero_si256(); LANES];
            for (quads, rows) in queries.quads().iter().zip(levels.as_chunks::<{ ROWS * QUAD }>().0) {
                // SAFETY: reads 16 bytes from `first` * 4 on, with `first` at most 60, inside an array of 256.
                let rows =
                    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(rows.as_ptr().add(first * QUAD).cast()) });
                for lane in 0..LANES {
                    let query = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(i32::from_le_bytes(quads[lane])));
                    let query = _mm256_broadcastq_epi64(query);
                    sums[lane] = _mm256_add_epi32(sums[lane], _mm256_madd_epi16(query, rows));
                }
            }
            for lane in 0..LANES {
                let mut pairs = [0i32; 2 * WIDE];
                // SAFETY: writes 32 bytes into an array of 32.
                unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), sums[lane]) };
                for row in 0..WIDE {
                    values[lane][first + row] += pairs[2 * row] + pairs[2 * row + 1];
                }
            }
        }
        compared(values, cuts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes(levels: &[Vec<i8>]) -> Codes {
        Codes { levels: levels.concat(), losses: (0..levels.len()).map(|i| (i * 7 % 5) as f64).collect() }
    }

    /// Lane, row and value of every pair that a walk reports.
    fn reported(
        kernel: Kernel,
        blocks: &Blocks,
        queries: &Queries,
        mut cuts: [i32; LANES],
    ) -> Vec<(usize, usize, i32)> {
        let (kept, mut out) = (cuts, Vec::new());
        kernel.walk(blocks, 0..blocks.len(), queries, &mut cuts, &mut |lane, row, value| {
            out.push((lane, row, value));
            kept[lane]
        });
        out.sort_unstable();
        out
    }

    fn levels(rows: usize, width: usize) -> impl Strategy<Value = Vec<Vec<i8>>> {
        prop::collection::vec(prop::collection::vec(-127i8..=127, width), 1..=rows)
    }

    proptest! {
        #[test]
        fn every_kernel_reports_the_pairs_that_reach_their_cuts(
            (rows, queries) in (1usize..9).prop_flat_map(|quads| (levels(150, 4 * quads), levels(LANES, 4 * quads))),
            cuts in prop::array::uniform6(-60_000i32..60_000),
        ) {
            let width = rows[0].len();
            let mut expected = Vec::new();
            for (lane, query) in queries.iter().enumerate() {
                for (i, row) in rows.iter().enumerate() {
                    let dot: i32 = query.iter().zip(row).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                    let square: i32 = row.iter().map(|&b| i32::from(b).pow(2)).sum();
                    let value = dot - square / 2;
                    if value >= cuts[lane] {
                        expected.push((lane, i, value));
                    }
                }
            }
            let (blocks, packed) = (Blocks::new(&codes(&rows), width).unwrap(), Queries::new(&codes(&queries), 0..queries.len(), width));
            let cuts = std::array::from_fn(|lane| if lane < queries.len() { cuts[lane] } else { i32::MAX });
            for kernel in Kernel::all() {
                prop_assert_eq!(&reported(kernel, &blocks, &packed, cuts), &expected, "{:?}", kernel);
            }
        }
    }

    #[test]
    fn the_greatest_sums_are_exact() {
        let codes = codes(&[vec![-127; 128], vec![127; 128]]);
        let (blocks, packed) = (Blocks::new(&codes, 128).unwrap(), Queries::new(&codes, 0..2, 128));
        let square = 127 * 127 * 128;
        let cuts = std::array::from_fn(|lane| if lane < 2 { i32::MIN } else { i32::MAX });
        for kernel in Kernel::all() {
            let expected = [
                (0, 0, square / 2),
                (0, 1, -square - square / 2),
                (1, 0, -square - square / 2),
                (1, 1, square / 2),
            ];
            assert_eq!(reported(kernel, &blocks, &packed, cuts), expected, "{kernel:?}");
        }
    }
}
