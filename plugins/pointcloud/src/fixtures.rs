//! What the tests of several modules need: threads, generated surfaces and the shared scans.

use assay_sdk::Parallel;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A loop over `.0` scoped threads that take the next index as they become free.
pub(crate) struct Threads(pub(crate) usize);

impl Parallel for Threads {
    fn for_each(&self, n: usize, body: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= n {
                            break;
                        }
                        body(i);
                    }
                });
            }
        });
    }

    fn threads(&self) -> usize {
        self.0
    }
}

/// Numbers in 0..1 that depend on `seed` alone (a splitmix64 sequence).
pub(crate) fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `n` points on a wavy surface 0.1 m wide and 0.4 m away, as metres.
pub(crate) fn wavy_cloud(n: usize, seed: u64) -> Vec<[f32; 3]> {
    let mut next = uniform(seed);
    let mut point = || {
        let (x, y) = (0.1 * next() - 0.05, 0.1 * next() - 0.05);
        let z = 0.4 + 0.01 * (80.0 * x).sin() * (60.0 * y).cos() + 2e-5 * next();
        [x as f32, y as f32, z as f32]
    };
    (0..n).map(|_| point()).collect()
}

/// An organised scan of a wavy surface, pixels of 0.25 mm, values `[3, rows, cols]`.
pub(crate) fn wavy_scan(rows: usize, cols: usize) -> Vec<f32> {
    let x = |i: usize| 2.5e-4 * ((i % cols) as f32 - cols as f32 / 2.0);
    let y = |i: usize| 2.5e-4 * ((i / cols) as f32 - rows as f32 / 2.0);
    let z = |i: usize| 0.4 + 0.003 * (300.0 * x(i)).sin() * (200.0 * y(i)).cos();
    let n = rows * cols;
    (0..n).map(x).chain((0..n).map(y)).chain((0..n).map(z)).collect()
}

/// The valid points of a shared scan, sampled to `size` columns by nearest, in the order of their pixels.
pub(crate) fn scanned_cloud(path: &str, size: usize) -> Option<Vec<[f32; 3]>> {
    let (planes, rows, cols) = read_xyz(&shared(path)?);
    let point = |r: usize, c: usize| std::array::from_fn(|k| planes[(k * rows + r) * cols + c]);
    let sampled =
        (0..size * rows / cols).flat_map(|r| (0..size).map(move |c| (r * cols / size, c * cols / size)));
    Some(sampled.map(|(r, c)| point(r, c)).filter(|p: &[f32; 3]| p.iter().all(|&v| v != 0.0)).collect())
}

/// A file or folder of the shared scans, where they are at hand.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ASSAY_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let full = root.join(path);
    if full.exists() {
        return Some(full);
    }
    eprintln!("skipped: {path}: shared scans not found");
    None
}

/// An organised scan read from a TIFF file: values `[3, rows, cols]`, rows, columns.
pub(crate) fn read_xyz(path: &std::path::Path) -> (Vec<f32>, usize, usize) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut decoder = tiff::decoder::Decoder::new(file).unwrap();
    let (cols, rows) = decoder.dimensions().unwrap();
    let tiff::decoder::DecodingResult::F32(pixels) = decoder.read_image().unwrap() else {
        panic!("{} is not f32", path.display())
    };
    let mut planes = Vec::with_capacity(pixels.len());
    for c in 0..3 {
        planes.extend(pixels.iter().skip(c).step_by(3));
    }
    (planes, rows as usize, cols as usize)
}

/// One array of the golden FPFH file as rows of `N`, where it is at hand.
pub(crate) fn golden<const N: usize>(name: &str) -> Option<Vec<[f64; N]>> {
    let bytes = std::fs::read(shared("golden/fpfh.safetensors")?).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor(name).unwrap();
    let mut values = data.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()));
    Some((0..data.shape()[0]).map(|_| std::array::from_fn(|_| values.next().unwrap())).collect())
}
