//! The patches that a fit holds, within a limit of memory, and the bank that it selects from them.
//!
//! A selection compares projected patches, which alone must be in memory; the patches themselves go to the scratch folder
//! where they would take too much of it. More patches than one selection takes are drawn from evenly, or thinned part by part
//! and merged: every part of the stream keeps its share by greedy k-centre, and the bank is selected from what the parts keep
//! (Malkomes et al. 2015, Fast Distributed k-center Clustering). Each patch, as it is compared, then
//! lies within the sum of its part's radius and the last selection's, and of one more where the parts had to be thinned once more.

use assay_kernels::KernelError;
use assay_kernels::bank::{Bank, Neighbour};
use assay_kernels::choice::{Draw, Reservoir, choose, offered};
use assay_kernels::coreset::{BYTES_A_ROW, greedy_k_centre};
use assay_kernels::held::HeldRows;
use assay_kernels::projection::Projection;
use assay_sdk::{Host, Level};
use ndarray::{ArrayView2, Axis};

/// Patches, drawn evenly, whose distance from the finished bank is told.
const SAMPLE: usize = 2048;

/// What bounds a fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Length of a patch vector.
    pub(crate) channels: usize,
    /// Dimensions that selection compares; not below `channels` = the patches themselves.
    pub(crate) projection: usize,
    /// Most patches in one selection.
    pub(crate) max_rows: usize,
    /// Most rows of the bank.
    pub(crate) max_bank: usize,
    /// Bytes.
    pub(crate) memory: usize,
    /// Whether more patches than `max_rows` are thinned part by part; else `max_rows` are drawn.
    pub(crate) parts: bool,
    /// Scans that will come.
    pub(crate) scans: usize,
    /// The most patches of one; `None` where only the scans will tell.
    pub(crate) cells: Option<usize>,
    /// Whether to say what is kept and how well it covers what was seen.
    pub(crate) tell: bool,
}

/// How patches beyond the capacity are dealt with.
enum Excess {
    Draw(Box<Draw>),
    Parts {
        /// The first so many patches held are what earlier parts kept.
        survivors: usize,
    },
}

/// The patches held so far.
pub(crate) struct Gather {
    host: Host,
    projection: Option<Projection>,
    /// Columns of `compared`.
    dims: usize,
    /// What a selection compares, one row a patch held.
    compared: Vec<f32>,
    /// The patches, where they are not what is compared.
    patches: Option<HeldRows>,
    capacity: usize,
    excess: Excess,
    held: usize,
    seen: u64,
    /// Scans that came, and that will have come in the end.
    scans: (usize, usize),
    /// Patches to tell from how well the bank covers all.
    sample: Option<Reservoir>,
    max_bank: usize,
}

impl Limits {
    /// Bytes of a row in a selection, without the patch itself.
    fn compared(&self) -> usize {
        self.projection.min(self.channels) * size_of::<f32>() + BYTES_A_ROW
    }

    /// Bytes of a patch beside what is compared of it.
    fn patch(&self) -> usize {
        if self.projection < self.channels { self.channels * size_of::<f32>() } else { 0 }
    }

    /// How many patches fit where each takes so many bytes.
    fn fitting(&self, bytes: usize) -> usize {
        (self.memory / bytes.max(1)).clamp(1, self.max_rows)
    }
}

impl Gather {
    /// Nothing held yet.
    pub(crate) fn new(limits: &Limits, host: Host) -> Result<Self, KernelError> {
        let seed = host.seed();
        let channels = limits.channels;
        // Where no one knows how many will come, room is made as they do, and the scratch folder serves in case of many.
        let known = limits.cells.map(|cells| cells.saturating_mul(limits.scans).max(1));
        let (expected, room) = (known.unwrap_or(usize::MAX), known.unwrap_or(0));
        let projection = (limits.projection < channels)
            .then(|| Projection::new(channels, limits.projection, seed))
            .transpose()?;
        let in_memory = limits.fitting(limits.compared() + limits.patch());
        let spilled = limits.fitting(limits.compared());
        let scratch = host.scratch().filter(|_| in_memory < spilled.min(expected));
        let (capacity, patches) = match scratch {
            Some(folder) => (spilled, Some(HeldRows::in_folder(channels, &folder)?)),
            None => {
                let held = || HeldRows::in_memory(channels, in_memory.min(room));
                (in_memory, projection.as_ref().map(|_| held()).transpose()?)
            }
        };
        let dims = limits.projection.min(channels);
        let mut compared = Vec::new();
        reserve(&mut compared, capacity.min(room).saturating_mul(dims))?;
        if limits.tell && capacity < limits.max_rows.min(expected) {
            let message = format!(
                "memory_limit holds {capacity} patches at once, fewer than max_rows = {}",
                limits.max_rows
            );
            host.log(Level::Info, &message);
        }
        let excess = if limits.parts && capacity > 1 {
            Excess::Parts { survivors: 0 }
        } else {
            Excess::Draw(Box::new(Draw::new(capacity, seed)?))
        };
        Ok(Self {
            host,
            dims,
            projection,
            compared,
            patches,
            capacity,
            excess,
            held: 0,
            seen: 0,
            scans: (0, limits.scans),
            sample: limits.tell.then(|| Reservoir::new(channels, SAMPLE, seed)).transpose()?,
            max_bank: limits.max_bank,
        })
    }

    /// How many patches came so far.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes in the `patches` [n, channels] that are `valid`.
    pub(crate) fn offer(&mut self, patches: ArrayView2<f32>, valid: &[bool]) -> Result<(), KernelError> {
        let rows = offered(patches, valid)?;
        if let Some(sample) = &mut self.sample {
            sample.offer(patches, valid)?;
        }
        self.seen += rows.len() as u64;
        self.scans.0 += 1;
        if let Excess::Draw(draw) = &mut self.excess {
            let places: Vec<(usize, usize)> =
                rows.into_iter().filter_map(|row| Some((draw.next_place()?, row))).collect();
            return self.put(patches, &places);
        }
        let mut rest = &rows[..];
        while !rest.is_empty() {
            if self.held == self.capacity {
                self.thin()?;
            }
            let (now, later) = rest.split_at(rest.len().min(self.capacity - self.held));
            self.put(patches, &(self.held..).zip(now.iter().copied()).collect::<Vec<_>>())?;
            rest = later;
        }
        Ok(())
    }

    /// Holds rows of `patches` at places: (place, row).
    fn put(&mut self, patches: ArrayView2<f32>, places: &[(usize, usize)]) -> Result<(), KernelError> {
        let rows: Vec<usize> = places.iter().map(|&(_, row)| row).collect();
        let wanted = patches.select(Axis(0), &rows);
        let compared = match &self.projection {
            Some(projection) => projection.apply(wanted.view(), &self.host)?,
            None => wanted.clone(),
        };
        let new = places.iter().map(|&(place, _)| place + 1).max().unwrap_or(0).saturating_sub(self.held);
        self.held += new;
        self.make_room()?;
        self.compared.resize(self.held * self.dims, 0.0);
        for ((&(place, _), patch), compared) in
            places.iter().zip(wanted.outer_iter()).zip(compared.outer_iter())
        {
            let to = &mut self.compared[place * self.dims..][..self.dims];
            to.iter_mut().zip(compared).for_each(|(to, from)| *to = *from);
            if let Some(held) = &mut self.patches {
                held.put(place, patch.to_slice().unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// Memory for what is held, and for as much again where it was not known how much would come: pages that nothing was written
    /// to are not taken.
    fn make_room(&mut self) -> Result<(), KernelError> {
        let (needed, has) = (self.held * self.dims, self.compared.capacity());
        if needed <= has {
            return Ok(());
        }
        let most = self.capacity.saturating_mul(self.dims);
        let wanted = has.saturating_mul(2).min(most).max(needed);
        reserve(&mut self.compared, wanted)
    }

    /// Thins what came since the last time, part by part. A part is half of what can be held; what all parts keep is to fill the
    /// other half in the end, as far as the scans so far tell how many patches there will be.
    fn thin(&mut self) -> Result<(), KernelError> {
        let Excess::Parts { survivors } = self.excess else { return Ok(()) };
        let half = self.capacity / 2;
        let expected = self.seen as f64 * (self.scans.1 as f64 / self.scans.0.max(1) as f64).max(1.0);
        let share = (half as f64 / expected).min(1.0);
        let mut to = survivors;
        for start in (survivors..self.held).step_by(half) {
            let length = half.min(self.held - start);
            to = self.keep(start, length, (share * length as f64) as usize, to)?;
        }
        if to > half {
            // More came than the first scans let expect.
            to = self.keep(0, to, half, 0)?;
        }
        self.held = to;
        self.compared.truncate(to * self.dims);
        if let Some(held) = &mut self.patches {
            held.truncate(to);
        }
        self.excess = Excess::Parts { survivors: to };
        Ok(())
    }

    /// Moves `count` patches that cover `start..start + length` to the place `to`, which does not lie behind them; returns the
    /// place after them.
    fn keep(
        &mut self,
        start: usize,
        length: usize,
        count: usize,
        mut to: usize,
    ) -> Result<usize, KernelError> {
        let mut picks = self.pick(start, length, count.max(1))?;
        // In the order of the stream, so that no patch is written over before it is moved.
        picks.sort_unstable();
        for from in picks.into_iter().map(|pick| start + pick) {
            let (a, b) = (from * self.dims, to * self.dims);
            self.compared.copy_within(a..a + self.dims, b);
            if let Some(held) = &mut self.patches {
                held.pull(from, to)?;
            }
            to += 1;
        }
        Ok(to)
    }

    /// The `count` patches that cover patches `start..start + length`, as numbers in that range.
    fn pick(&self, start: usize, length: usize, count: usize) -> Result<Vec<usize>, KernelError> {
        if count >= length {
            return Ok((0..length).collect());
        }
        let rows = &self.compared[start * self.dims..][..length * self.dims];
        let rows = ArrayView2::from_shape((length, self.dims), rows).map_err(|_| KernelError::Shape {
            what: "patches",
            expected: length * self.dims,
            found: rows.len(),
        })?;
        let first = choose(length, 1, self.host.seed()).first().copied().unwrap_or(0);
        Ok(greedy_k_centre(rows, count, first, &self.host)?.picks)
    }

    /// The bank: up to 1 a share of all patches that came, above 1 a number of rows.
    pub(crate) fn finish(mut self, coreset: f64) -> Result<Bank, KernelError> {
        let thinned = matches!(self.excess, Excess::Parts { survivors } if survivors > 0);
        if thinned {
            self.thin()?;
        }
        let wanted = if coreset <= 1.0 { coreset * self.seen as f64 } else { coreset };
        let count = (wanted as usize).clamp(1, self.held.min(self.max_bank).max(1));
        let picks = self.pick(0, self.held, count)?;
        let Self { host, dims, compared, patches, seen, sample, held, .. } = self;
        let rows = match patches {
            Some(mut patches) => {
                drop(compared);
                patches.select(&picks)?
            }
            None => HeldRows::of(compared, dims)?.select(&picks)?,
        };
        let bank = Bank::new(rows, &host)?;
        if let Some(sample) = sample {
            let from = format!("selected from {held}{}", if thinned { " that its parts kept" } else { "" });
            let cover = cover(&bank, sample, &host)?;
            let message = format!("the bank keeps {} of {seen} patches, {from}; {cover}", bank.len());
            host.log(Level::Info, &message);
        }
        Ok(bank)
    }
}

/// Makes room in `values` for `elements` in all.
fn reserve(values: &mut Vec<f32>, elements: usize) -> Result<(), KernelError> {
    let more = elements.saturating_sub(values.len());
    let full = KernelError::Memory { what: "patches", elements, size: size_of::<f32>() };
    values.try_reserve_exact(more).map_err(|_| full)
}

/// How far from the bank patches lie, in words.
fn cover(bank: &Bank, sample: Reservoir, host: &Host) -> Result<String, KernelError> {
    let found = bank.nearest(sample.into_rows().view(), host)?;
    let farthest = found.iter().map(Neighbour::distance).fold(0.0, f32::max);
    let mean = found.iter().map(|n| f64::from(n.distance())).sum::<f64>() / found.len().max(1) as f64;
    Ok(format!("of {} drawn evenly the farthest lies {farthest:.4} from it, the mean {mean:.4}", found.len()))
}
