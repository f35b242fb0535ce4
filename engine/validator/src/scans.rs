//! Small made-up scans: smooth surfaces and pictures with noise, of any content that a port takes.

use assay_core::plugin::{MethodInfo, PortInfo};
use assay_core::value::Content;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// The shape of one input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Form {
    pub(crate) port: u32,
    pub(crate) content: Content,
    pub(crate) grid: bool,
    pub(crate) channels: usize,
    /// Rows of a grid, points of a cloud.
    pub(crate) rows: usize,
    /// Columns of a grid; 1 of a cloud.
    pub(crate) cols: usize,
    /// Native pixels of a cell.
    pub(crate) stride: f64,
}

/// One input of one scan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sheet {
    pub(crate) form: Form,
    pub(crate) values: Vec<f32>,
    pub(crate) valid: Option<Vec<u8>>,
    pub(crate) positions: Option<Vec<f32>>,
    pub(crate) image_score: f64,
}

/// One scan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scan {
    pub(crate) id: String,
    pub(crate) sheets: Vec<Sheet>,
}

/// Native size of the scans.
pub(crate) const NATIVE: (usize, usize) = (48, 64);

/// Points of a cloud.
const POINTS: usize = 240;

/// Channels of features.
const CHANNELS: usize = 4;

impl Form {
    fn new(port: usize, content: Content, grid: bool, coarser: usize) -> Self {
        let channels = match content {
            Content::Rgb | Content::Xyz => 3,
            Content::Features => CHANNELS,
            Content::Gray | Content::Depth | Content::Scores => 1,
            Content::Points => 0,
        };
        // Features and scores are coarser than the scan.
        let cell = match content {
            Content::Features => 4 << coarser,
            Content::Scores => 4,
            _ => 1,
        };
        let (rows, cols) = if grid { (NATIVE.0 / cell, NATIVE.1 / cell) } else { (POINTS, 1) };
        Self { port: port as u32, content, grid, channels, rows, cols, stride: cell as f64 }
    }

    /// Cells of a grid, points of a cloud.
    pub(crate) fn cells(&self) -> usize {
        self.rows * self.cols
    }
}

/// How several features lie at one port: the second coarser than the first, as a backbone's; of one size; or one alone.
const ARRANGEMENTS: usize = 3;

/// What a method takes: `choice`, below [`choices`], goes through the contents and layouts that its ports accept, and through
/// arrangements of several values at one port.
pub(crate) fn forms(info: &MethodInfo, choice: usize) -> Vec<Form> {
    let (kind, arrangement) = (choice % most_kinds(info), choice / most_kinds(info));
    let none_needed = info.inputs.iter().all(|p| p.min_count == 0);
    let mut forms = Vec::new();
    for (port, p) in info.inputs.iter().enumerate() {
        let kinds = kinds(p);
        let (content, grid) = kinds[kind % kinds.len()];
        // Two where any number may come; all optional ports are bound where none must be.
        let several = if arrangement + 1 < ARRANGEMENTS { 2 } else { 1 };
        let least = if none_needed { 1 } else { p.min_count };
        let count = if p.max_count.is_none() { least.max(several) } else { least };
        let coarser = |at: usize| if arrangement == 0 { at.min(1) } else { 0 };
        forms.extend((0..count).map(|at| Form::new(port, content, grid, coarser(at))));
    }
    forms
}

/// How many choices [`forms`] has.
pub(crate) fn choices(info: &MethodInfo) -> usize {
    ARRANGEMENTS * most_kinds(info)
}

/// Choices that have other contents or layouts than `choice` and are arranged alike.
pub(crate) fn other_contents(info: &MethodInfo, choice: usize) -> impl Iterator<Item = usize> {
    let all = most_kinds(info);
    (choice / all * all..(choice / all + 1) * all).filter(move |c| *c != choice)
}

fn most_kinds(info: &MethodInfo) -> usize {
    info.inputs.iter().map(|p| kinds(p).len()).max().unwrap_or(1)
}

/// Contents and layouts of a port.
fn kinds(port: &PortInfo) -> Vec<(Content, bool)> {
    let fits = |content: Content, grid: bool| match content {
        Content::Points => !grid,
        Content::Features | Content::Scores => true,
        _ => grid,
    };
    let mut kinds = Vec::new();
    for &content in &port.content {
        for grid in [true, false] {
            if (if grid { port.grid } else { port.cloud }) && fits(content, grid) {
                kinds.push((content, grid));
            }
        }
    }
    if kinds.is_empty() {
        vec![(port.content.first().copied().unwrap_or(Content::Features), port.grid)]
    } else {
        kinds
    }
}

/// Seeded draws.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// About normal, deviation 1.
    fn noise(&mut self) -> f64 {
        (0..4).map(|_| self.unit() - 0.5).sum::<f64>() * 3f64.sqrt()
    }
}

/// Scan `n` of a seed.
pub(crate) fn scan(forms: &[Form], seed: u64, n: usize) -> Scan {
    let mut draws = Draws::new(seed.wrapping_mul(1_000_003).wrapping_add(n as u64));
    Scan { id: format!("scan {n}"), sheets: forms.iter().map(|f| sheet(*f, &mut draws)).collect() }
}

/// The first `n` scans of a seed.
pub(crate) fn scans(forms: &[Form], seed: u64, n: usize) -> Vec<Scan> {
    (0..n).map(|i| scan(forms, seed, i)).collect()
}

fn sheet(form: Form, draws: &mut Draws) -> Sheet {
    let Form { content, channels, rows, cols, .. } = form;
    let cells = form.cells();
    let place = |cell: usize| ((cell / cols) as f64 / rows as f64, (cell % cols) as f64 / cols as f64);
    let surface = |v: f64, u: f64, draws: &mut Draws| {
        0.5 + 0.004 * (6.0 * u).sin() * (5.0 * v).cos() + 1e-4 * draws.noise()
    };
    let mut values = vec![0f32; cells * channels];
    let (mut valid, mut positions, mut image_score) = (None, None, f64::NAN);
    for cell in 0..cells {
        let (v, u) = place(cell);
        for c in 0..channels {
            let value = match content {
                Content::Rgb | Content::Gray => {
                    (120.0 + 60.0 * (4.0 * u + c as f64).sin() + 40.0 * v + 4.0 * draws.noise())
                        .clamp(0.0, 255.0)
                }
                Content::Xyz => [0.1 * (u - 0.5), 0.1 * (v - 0.5), 0.0][c],
                Content::Depth => surface(v, u, draws),
                Content::Scores => draws.noise().abs(),
                _ => (7.0 * u + c as f64).cos() + v + 0.3 * draws.noise(),
            };
            let at = if form.grid { c * cells + cell } else { cell * channels + c };
            values[at] = value as f32;
        }
        if content == Content::Xyz {
            values[2 * cells + cell] = surface(v, u, draws) as f32;
        }
    }
    if matches!(content, Content::Xyz | Content::Depth) {
        // Beside the part, and a hole in it.
        let beside = |cell: usize| {
            let (row, col) = (cell / cols, cell % cols);
            row < rows / 12 || col < cols / 12 || (row == rows / 2 && col.abs_diff(cols / 2) < 2)
        };
        let mask: Vec<u8> = (0..cells).map(|cell| u8::from(!beside(cell))).collect();
        for (i, v) in values.iter_mut().enumerate() {
            if mask[i % cells] == 0 {
                *v = 0.0;
            }
        }
        valid = Some(mask);
    }
    if !form.grid {
        positions = Some(
            (0..cells)
                .flat_map(|_| {
                    let (v, u) = (draws.unit(), draws.unit());
                    [0.1 * (u - 0.5), 0.1 * (v - 0.5), surface(v, u, draws)].map(|p| p as f32)
                })
                .collect(),
        );
    }
    if content == Content::Scores {
        image_score = values.iter().fold(0.0f64, |most, v| most.max(f64::from(*v)));
    }
    Sheet { form, values, valid, positions, image_score }
}
