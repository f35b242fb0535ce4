//! Cholesky factors of all positions, interleaved: sixteen positions side by side are solved at once.
//!
//! A block holds sixteen positions. Its element (i, j) is a group of the sixteen positions' elements (i, j), and the
//! groups lie row after row, j up to i, as forward substitution reads them. Lanes past the last position are zero.

use half::f16;
use pulp::{Arch, Simd, WithSimd};

use crate::KernelError;
use crate::error::{area, reserved};
use crate::gaussian::{Storage, triangle};

/// Positions of a block.
pub(crate) const LANES: usize = 16;

/// One element of sixteen factors; aligned, so that a load never straddles cache lines.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(crate) struct Singles(pub(crate) [f32; LANES]);

/// The same in the bits of half floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(32))]
struct Halves([u16; LANES]);

trait Group: Copy {
    const ZERO: Self;

    fn put(&mut self, lane: usize, value: f32);
    fn get(&self, lane: usize) -> f32;
}

impl Group for Singles {
    const ZERO: Self = Self([0.0; LANES]);

    fn put(&mut self, lane: usize, value: f32) {
        self.0[lane] = value;
    }

    fn get(&self, lane: usize) -> f32 {
        self.0[lane]
    }
}

impl Group for Halves {
    const ZERO: Self = Self([0; LANES]);

    fn put(&mut self, lane: usize, value: f32) {
        self.0[lane] = f16::from_f32(value).to_bits();
    }

    fn get(&self, lane: usize) -> f32 {
        widened(self.0[lane])
    }
}

/// The value of a finite half float, exactly, in few operations that every vector unit has.
#[inline(always)]
fn widened(bits: u16) -> f32 {
    const REBIAS: i32 = (127 - 15) << 23;
    const LEAST_NORMAL: i32 = 1 << 23;
    let moved = i32::from(bits.cast_signed()) << 13;
    let magnitude = moved & 0x0fff_e000;
    // Right for normal numbers; a subnormal one would gain the leading one that it lacks.
    let normal = f32::from_bits((magnitude + REBIAS).cast_unsigned());
    // That twice, less the least normal number: right for subnormal numbers, for others the greater of the two.
    let least = f32::from_bits((REBIAS + LEAST_NORMAL).cast_unsigned());
    let subnormal = f32::from_bits((magnitude + REBIAS + LEAST_NORMAL).cast_unsigned()) - least;
    let value = if subnormal < normal { subnormal } else { normal };
    f32::from_bits(value.to_bits() | moved.cast_unsigned() & 0x8000_0000)
}

/// How the groups of type `G` become f32.
trait Widen<G>: Copy {
    fn widen(self, group: &G) -> [f32; LANES];
}

#[derive(Clone, Copy)]
struct AsTheyAre;

impl Widen<Singles> for AsTheyAre {
    #[inline(always)]
    fn widen(self, group: &Singles) -> [f32; LANES] {
        group.0
    }
}

#[derive(Clone, Copy)]
struct ByBits;

impl Widen<Halves> for ByBits {
    #[inline(always)]
    fn widen(self, group: &Halves) -> [f32; LANES] {
        let mut out = [0f32; LANES];
        for l in 0..LANES {
            out[l] = widened(group.0[l]);
        }
        out
    }
}

/// The instruction of AVX-512; it is as exact.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct ByInstruction(pulp::x86::V4);

#[cfg(target_arch = "x86_64")]
impl Widen<Halves> for ByInstruction {
    #[inline(always)]
    fn widen(self, group: &Halves) -> [f32; LANES] {
        bytemuck::cast(self.0.avx512f._mm512_cvtph_ps(bytemuck::cast(group.0)))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Single(Vec<Singles>),
    Half(Vec<Halves>),
}

/// The factors, with the reciprocals of the diagonals in their place.
///
/// What comes in and goes out are packed triangles, column after column, a position at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factors {
    dims: usize,
    packed: usize,
    positions: usize,
    values: Values,
}

impl Factors {
    /// No factors yet, and room for `positions`.
    pub(crate) fn none(dims: usize, positions: usize, storage: Storage) -> Result<Self, KernelError> {
        let packed = triangle(dims)?;
        let groups = area("factors", positions.div_ceil(LANES), packed)?;
        let values = match storage {
            Storage::Single => Values::Single(reserved("factors", groups)?),
            Storage::Half => Values::Half(reserved("factors", groups)?),
        };
        Ok(Self { dims, packed, positions: 0, values })
    }

    pub(crate) fn storage(&self) -> Storage {
        match self.values {
            Values::Single(_) => Storage::Single,
            Values::Half(_) => Storage::Half,
        }
    }

    /// Takes in the factors of further positions.
    pub(crate) fn extend(&mut self, factors: &[f32]) {
        let (mut first, mut rest) = (self.positions, factors);
        while !rest.is_empty() {
            // Up to the end of the block: all of its lanes at once, where there are so many.
            let room = LANES - first % LANES;
            let (now, later) = rest.split_at(rest.len().min(room * self.packed));
            match &mut self.values {
                Values::Single(groups) => interleave(groups, first, now, self.dims, self.packed),
                Values::Half(groups) => interleave(groups, first, now, self.dims, self.packed),
            }
            first += now.len() / self.packed;
            rest = later;
        }
        self.positions = first;
    }

    /// The packed factor of each position.
    pub(crate) fn each(&self, mut each: impl FnMut(&[f32])) {
        let mut room = vec![0f32; self.packed * LANES.min(self.positions)];
        for first in (0..self.positions).step_by(LANES) {
            let at = first / LANES * self.packed..(first / LANES + 1) * self.packed;
            let factors = &mut room[..LANES.min(self.positions - first) * self.packed];
            match &self.values {
                Values::Single(groups) => separate(&groups[at], factors, self.dims, self.packed),
                Values::Half(groups) => separate(&groups[at], factors, self.dims, self.packed),
            }
            factors.chunks_exact(self.packed).for_each(&mut each);
        }
    }

    /// |L^-1 z| for the positions of a block; `z` [d], a group a dimension, is overwritten.
    pub(crate) fn solve(&self, block: usize, z: &mut [Singles], arch: Arch) -> [f32; LANES] {
        let at = block * self.packed..(block + 1) * self.packed;
        match &self.values {
            Values::Single(groups) => arch.dispatch(Solve { factor: &groups[at], z, widen: AsTheyAre }),
            Values::Half(groups) => {
                let factor = &groups[at];
                #[cfg(target_arch = "x86_64")]
                if let Arch::V4(simd) = arch {
                    return Simd::vectorize(simd, Solve { factor, z, widen: ByInstruction(simd) });
                }
                arch.dispatch(Solve { factor, z, widen: ByBits })
            }
        }
    }
}

/// Calls `each` for the elements of a triangle row after row: where it is among them, and in columns one after the other.
fn by_rows(dims: usize, mut each: impl FnMut(usize, usize)) {
    let mut element = 0;
    for i in 0..dims {
        let mut packed = i;
        for j in 0..=i {
            each(element, packed);
            element += 1;
            packed += dims - j - 1;
        }
    }
}

/// Writes packed factors into the lanes from position `first` on, which lie in one block.
fn interleave<G: Group>(groups: &mut Vec<G>, first: usize, factors: &[f32], dims: usize, packed: usize) {
    let (block, lane) = (first / LANES, first % LANES);
    if lane == 0 {
        groups.resize((block + 1) * packed, G::ZERO);
    }
    let groups = &mut groups[block * packed..];
    by_rows(dims, |element, at| {
        for (l, factor) in factors.chunks_exact(packed).enumerate() {
            groups[element].put(lane + l, factor[at]);
        }
    });
}

/// Reads the packed factors of a block's first positions.
fn separate<G: Group>(groups: &[G], factors: &mut [f32], dims: usize, packed: usize) {
    by_rows(dims, |element, at| {
        for (lane, factor) in factors.chunks_exact_mut(packed).enumerate() {
            factor[at] = groups[element].get(lane);
        }
    });
}

/// Forward substitution of a block.
///
/// Lanes never meet, and each sums in one order: column k of a row goes to sum k mod 4, so that an addition need not wait
/// for the one before, and the sums are added in pairs. Nothing is contracted to a fused multiply-add. So any vector
/// width gives the same bits.
struct Solve<'a, G, W> {
    factor: &'a [G],
    z: &'a mut [Singles],
    widen: W,
}

impl<G, W: Widen<G>> WithSimd for Solve<'_, G, W> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f32; LANES] {
        let Solve { factor, z, widen } = self;
        let mut squares = [0f64; LANES];
        let mut rest = factor;
        for i in 0..z.len() {
            let (row, next) = rest.split_at(i + 1);
            let value = solved(row, &mut z[..=i], widen);
            for lane in 0..LANES {
                squares[lane] += f64::from(value[lane]) * f64::from(value[lane]);
            }
            rest = next;
        }
        squares.map(|sum| sum.sqrt() as f32)
    }
}

/// Solves for the last of `z`, of which a row of L is given; those before it are solved.
///
/// The sums are variables of their own: as an array they would live in memory.
#[inline(always)]
fn solved<G>(row: &[G], z: &mut [Singles], widen: impl Widen<G>) -> [f32; LANES] {
    let i = row.len() - 1;
    let (row, diagonal) = row.split_at(i);
    let (solved, z) = z.split_at_mut(i);
    let (mut a, mut b, mut c, mut d) = ([0f32; LANES], [0f32; LANES], [0f32; LANES], [0f32; LANES]);
    let (fours, tail) = row.as_chunks::<4>();
    let (solved, solved_tail) = solved.as_chunks::<4>();
    for (row, solved) in fours.iter().zip(solved) {
        a = product_added(a, widen.widen(&row[0]), &solved[0].0);
        b = product_added(b, widen.widen(&row[1]), &solved[1].0);
        c = product_added(c, widen.widen(&row[2]), &solved[2].0);
        d = product_added(d, widen.widen(&row[3]), &solved[3].0);
    }
    if let Some(row) = tail.first() {
        a = product_added(a, widen.widen(row), &solved_tail[0].0);
    }
    if let Some(row) = tail.get(1) {
        b = product_added(b, widen.widen(row), &solved_tail[1].0);
    }
    if let Some(row) = tail.get(2) {
        c = product_added(c, widen.widen(row), &solved_tail[2].0);
    }
    let reciprocal = widen.widen(&diagonal[0]);
    for lane in 0..LANES {
        let sum = (a[lane] + b[lane]) + (c[lane] + d[lane]);
        z[0].0[lane] = (z[0].0[lane] - sum) * reciprocal[lane];
    }
    z[0].0
}

#[inline(always)]
fn product_added(sum: [f32; LANES], a: [f32; LANES], b: &[f32; LANES]) -> [f32; LANES] {
    let mut out = [0f32; LANES];
    for lane in 0..LANES {
        out[lane] = sum[lane] + a[lane] * b[lane];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way of computing that this machine has.
    fn machines() -> Vec<Arch> {
        #[cfg(target_arch = "x86_64")]
        {
            let wide = pulp::x86::V3::try_new().map(Arch::V3);
            let widest = pulp::x86::V4::try_new().map(Arch::V4);
            [Some(Arch::Scalar), wide, widest].into_iter().flatten().collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            vec![Arch::Scalar, Arch::new()]
        }
    }

    #[test]
    fn finite_half_floats_are_widened_exactly() {
        for value in (0..=u16::MAX).map(f16::from_bits).filter(|value| value.is_finite()) {
            assert_eq!(widened(value.to_bits()).to_bits(), value.to_f32().to_bits(), "{value}");
        }
    }

    #[test]
    fn a_group_is_widened_the_same_by_instruction() {
        for arch in machines() {
            for start in (0..0x7c00u16).step_by(LANES) {
                let signed: [u16; LANES] = std::array::from_fn(|l| (start + l as u16) | (l as u16 & 1) << 15);
                let factors = Factors {
                    dims: 1,
                    packed: 1,
                    positions: LANES,
                    values: Values::Half(vec![Halves(signed)]),
                };
                let mut z = [Singles([1.0; LANES])];
                factors.solve(0, &mut z, arch);
                assert_eq!(z[0].0.map(f32::to_bits), signed.map(|h| f16::from_bits(h).to_f32().to_bits()));
            }
        }
    }

    /// Columns of a well-conditioned triangle with reciprocal diagonals, for each position.
    fn triangles(dims: usize, positions: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let mut out = Vec::new();
        for _ in 0..positions {
            for j in 0..dims {
                out.push(0.5 + next());
                out.extend((j + 1..dims).map(|_| (next() - 0.5) / dims as f32));
            }
        }
        out
    }

    /// |L^-1 z| in f64, column after column.
    fn naive(factor: &[f32], z: &[f32]) -> f64 {
        let mut z: Vec<f64> = z.iter().map(|&z| f64::from(z)).collect();
        let mut rest = factor;
        for j in 0..z.len() {
            let (column, next) = rest.split_at(z.len() - j);
            z[j] *= f64::from(column[0]);
            for i in j + 1..z.len() {
                z[i] -= z[j] * f64::from(column[i - j]);
            }
            rest = next;
        }
        z.iter().map(|z| z * z).sum::<f64>().sqrt()
    }

    proptest! {
        #[test]
        fn any_machine_solves_to_the_same_bits_and_close_to_f64(
            dims in 1usize..40, positions in 1usize..40, parts in 1usize..20, half: bool, seed in 0u64..10_000,
        ) {
            let storage = if half { Storage::Half } else { Storage::Single };
            let mut factors = Factors::none(dims, positions, storage).unwrap();
            let packed = factors.packed;
            for part in triangles(dims, positions, seed).chunks(parts * packed) {
                factors.extend(part);
            }
            // What is kept: in half floats it is not what came in.
            let mut kept = Vec::new();
            factors.each(|factor| kept.push(factor.to_vec()));
            prop_assert_eq!(kept.len(), positions);
            if !half {
                prop_assert_eq!(kept.concat(), triangles(dims, positions, seed));
            }
            let deviation = |position: usize, k: usize| ((position * 31 + k * 17) % 23) as f32 - 11.0;
            for block in 0..positions.div_ceil(LANES) {
                let z: Vec<_> = (0..dims)
                    .map(|k| Singles(std::array::from_fn(|lane| deviation(block * LANES + lane, k))))
                    .collect();
                let solved = machines().into_iter().map(|arch| factors.solve(block, &mut z.clone(), arch));
                let solved: Vec<_> = solved.collect();
                for other in &solved {
                    prop_assert_eq!(other.map(f32::to_bits), solved[0].map(f32::to_bits));
                }
                for (lane, factor) in kept[block * LANES..].iter().take(LANES).enumerate() {
                    let z: Vec<f32> = z.iter().map(|z| z.0[lane]).collect();
                    let (expected, got) = (naive(factor, &z), f64::from(solved[0][lane]));
                    prop_assert!((got - expected).abs() <= 1e-5 * (1.0 + expected), "{} {}", got, expected);
                }
            }
        }
    }
}
