//! What a method made, as a host sees it.

use crate::drive::{Made, Parts};
use crate::memory::Buffer;
use crate::scans::NATIVE;
use assay_abi as abi;
use assay_core::plugin::MethodInfo;

/// What is odd about where a plan puts a grid: inputs cover the scan, and what is made of them should.
pub(crate) fn places_that_are_odd(info: &MethodInfo, planned: &[abi::Spec]) -> Vec<String> {
    let mut odd = Vec::new();
    for (port, spec) in info.outputs.iter().zip(planned).filter(|(_, s)| s.layout == abi::LAYOUT_GRID) {
        let f = spec.frame;
        for (side, cells, stride, native) in
            [("rows", spec.rows, f.stride_y, NATIVE.0), ("columns", spec.cols, f.stride_x, NATIVE.1)]
        {
            let share = cells as f64 * stride / native as f64;
            if !(0.5..=1.5).contains(&share) {
                odd.push(format!(
                    "output `{}` spans {:.0} % of the scan's {side}: is the stride of its frame that of its cells?",
                    port.name,
                    100.0 * share
                ));
            }
        }
    }
    odd
}

/// What is wrong with a plan.
pub(crate) fn plan_faults(info: &MethodInfo, planned: &[abi::Spec]) -> Vec<String> {
    const MOST_CELLS: i64 = 1 << 28;
    let mut faults = Vec::new();
    for (port, spec) in info.outputs.iter().zip(planned) {
        let mut fault = |what: String| faults.push(format!("it planned output `{}` {what}", port.name));
        let cloud = spec.layout == abi::LAYOUT_CLOUD;
        let offered = if cloud { port.cloud } else { port.grid && spec.layout == abi::LAYOUT_GRID };
        if !offered {
            fault(format!("in layout {}, which its descriptor excludes", spec.layout));
        }
        let (rows, cols) = if cloud { (1, 1) } else { (spec.rows, spec.cols) };
        let cells = spec.channels.checked_mul(rows).and_then(|n| n.checked_mul(cols));
        if spec.channels < 1 || rows < 1 || cols < 1 || cells.is_none_or(|n| n > MOST_CELLS) {
            fault(format!("with shape [{}, {}, {}]", spec.channels, spec.rows, spec.cols));
        }
        if port.content.first().is_some_and(|c| c.bit() == abi::SCORES) && spec.channels != 1 {
            fault(format!("with {} channels; scores have one", spec.channels));
        }
        let f = spec.frame;
        let placed = [f.offset_x, f.offset_y].iter().all(|v| v.is_finite())
            && [f.stride_x, f.stride_y].iter().all(|v| v.is_finite() && *v > 0.0);
        if !cloud && !placed {
            fault(format!(
                "at offset ({}, {}) with stride ({}, {})",
                f.offset_x, f.offset_y, f.stride_x, f.stride_y
            ));
        }
    }
    faults
}

fn floats(buffer: &mut Buffer) -> Vec<f32> {
    let (words, _) = buffer.bytes().as_chunks::<4>();
    words.iter().map(|word| f32::from_ne_bytes(*word)).collect()
}

impl Made {
    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// What a host would refuse it for.
    pub(crate) fn sound(&mut self, info: &MethodInfo) -> Result<(), String> {
        if let Some(complaint) = self.complaints.first() {
            return Err(complaint.clone());
        }
        for (port, parts) in info.outputs.iter().zip(&mut self.ports) {
            let bad = |what: String| Err(format!("output `{}` {what}", port.name));
            let shape = parts.shape.clone();
            let Some(values) = parts.values.as_mut().map(floats) else {
                return bad("was not written".into());
            };
            let cloud = parts.positions.is_some() || (port.cloud && shape.len() == 2);
            let cells = if cloud { shape[0] } else { shape[1..].iter().product() } as usize;
            let valid = parts.valid.as_mut().map(|v| v.bytes().to_vec());
            if valid.as_ref().is_some_and(|v| v.len() != cells) {
                return bad(format!("has a mask that is not of its {cells} cells"));
            }
            let channels = values.len() / cells.max(1);
            let cell_of = |i: usize| if cloud { i / channels.max(1) } else { i % cells.max(1) };
            let is_valid = |i: usize| valid.as_ref().is_none_or(|v| v[cell_of(i)] != 0);
            if let Some(i) = (0..values.len()).find(|&i| !values[i].is_finite() && is_valid(i)) {
                return bad(format!("is {} in cell {}, which is marked valid", values[i], cell_of(i)));
            }
            if cloud {
                let positions = parts.positions.as_mut().map(floats);
                match positions {
                    None => return bad("has no positions".into()),
                    Some(p) if p.len() != 3 * cells => {
                        return bad(format!("has {} positions for {cells} points", p.len() / 3));
                    }
                    Some(p) if p.iter().any(|v| !v.is_finite()) => {
                        return bad("has positions that are not finite".into());
                    }
                    Some(_) => {}
                }
            }
            let scores = port.content.first().is_some_and(|c| c.bit() == abi::SCORES);
            if scores && parts.image_score.is_none() {
                return bad("has no image score".into());
            }
        }
        Ok(())
    }

    /// Whether its values lie where the plan guarantees them.
    ///
    /// # Errors
    /// A value beyond the range.
    pub(crate) fn in_range(&mut self, info: &MethodInfo, planned: &[abi::Spec]) -> Result<(), String> {
        for ((port, parts), spec) in info.outputs.iter().zip(&mut self.ports).zip(planned) {
            let (least, most) = (spec.value_min as f32, spec.value_max as f32);
            // To rounding of sums in f32.
            let slack = 1e-5 * (most - least).abs().min(most.abs().max(least.abs()));
            let slack = if slack.is_finite() { slack } else { 0.0 };
            let beyond = |v: &f32| *v < least - slack || *v > most + slack;
            let whole = parts.valid.is_none();
            let found = parts.values.as_mut().map(floats).unwrap_or_default().into_iter().find(beyond);
            if let Some(v) = found.filter(|_| whole || spec.channels == 1) {
                return Err(format!(
                    "output `{}` is {v}, and its plan guarantees {} to {}",
                    port.name, spec.value_min, spec.value_max
                ));
            }
        }
        Ok(())
    }

    /// Its bits as a host hands them on: what is marked invalid does not count in scores, nor where it is not finite.
    pub(crate) fn bits(&mut self, info: &MethodInfo) -> Vec<u8> {
        self.bits_of(info, false)
    }

    /// Its bits where it is valid.
    pub(crate) fn valid_bits(&mut self, info: &MethodInfo) -> Vec<u8> {
        self.bits_of(info, true)
    }

    fn bits_of(&mut self, info: &MethodInfo, only_valid: bool) -> Vec<u8> {
        let mut bits = Vec::new();
        for (port, parts) in info.outputs.iter().zip(&mut self.ports) {
            let scores = port.content.first().is_some_and(|c| c.bit() == abi::SCORES);
            let mut values = parts.values.as_mut().map(floats).unwrap_or_default();
            let valid = parts.valid.as_mut().map(|v| v.bytes().to_vec());
            if let Some(valid) = &valid {
                let cells = valid.len().max(1);
                let channels = (values.len() / cells).max(1);
                let cloud = parts.positions.is_some();
                for i in 0..values.len() {
                    let cell = if cloud { i / channels } else { i % cells };
                    if valid.get(cell) == Some(&0) && (scores || only_valid || !values[i].is_finite()) {
                        values[i] = 0.0;
                    }
                }
                bits.extend(valid);
            }
            bits.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
            if let Some(positions) = &mut parts.positions {
                bits.extend(positions.bytes());
            }
            bits.extend(parts.image_score.map_or(0, f64::to_bits).to_le_bytes());
        }
        bits
    }

    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        self.ports.iter_mut().flat_map(|p: &mut Parts| {
            [p.values.as_mut(), p.valid.as_mut(), p.positions.as_mut()].into_iter().flatten()
        })
    }

    /// Whether nothing was written beside its memory.
    pub(crate) fn is_intact(&mut self) -> bool {
        self.buffers().all(Buffer::is_intact)
    }

    /// From now on a write to guarded memory ends the process.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn seal(&mut self) -> Result<(), String> {
        self.buffers().try_for_each(Buffer::seal)
    }
}
