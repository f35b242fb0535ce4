//! The one matrix product, from the `gemm` crate.
#![allow(unsafe_code)]

use gemm::Parallelism;

/// Dot products of each of `queries` [q, c] with each of `rows` [r, c], into `out` [q, r]; all row-major.
///
/// One thread. The order of summation is the crate's and the machine's, so the result serves only to
/// find candidates: |error| <= gamma_c |query| |row|, plus underflow.
///
/// # Panics
/// If a slice is shorter than its shape.
pub(crate) fn products(rows: &[f32], queries: &[f32], dims: usize, out: &mut [f32]) {
    let (r, q) = (rows.len() / dims, queries.len() / dims);
    assert!(r * dims == rows.len() && q * dims == queries.len() && r * q == out.len(), "shapes disagree");
    // SAFETY: the shapes and strides (in elements, all below isize::MAX as slices are) stay inside the three
    // slices, as asserted above; `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            r,
            q,
            dims,
            out.as_mut_ptr(),
            r as isize,
            1,
            false,
            rows.as_ptr(),
            1,
            dims as isize,
            queries.as_ptr(),
            dims as isize,
            1,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The product of two vectors, in eight sums that a vector unit adds side by side.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0f64; 8];
    let (a, a_tail) = a.as_chunks::<8>();
    let (b, b_tail) = b.as_chunks::<8>();
    for (x, y) in a.iter().zip(b) {
        for l in 0..8 {
            lanes[l] += x[l] * y[l];
        }
    }
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + tail
}
