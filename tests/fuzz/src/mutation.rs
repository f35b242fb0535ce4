//! Mutations of inputs, the same at every run.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Makes broken inputs out of whole ones.
pub struct Mutator {
    random: ChaCha8Rng,
    words: Vec<&'static str>,
    most: usize,
}

impl Mutator {
    /// Mutations that insert some of `words` and make inputs of at most `most` bytes.
    pub fn new(seed: u64, words: Vec<&'static str>, most: usize) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), words, most }
    }

    /// A number below `n`, 0 where that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.random.next_u64() % n.max(1) as u64) as usize
    }

    /// `input` with one to four mutations; `other` gives parts to it.
    pub fn mutated(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.mutate(&mut bytes, other);
        }
        bytes.truncate(self.most);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let end = at + self.below((bytes.len() - at).min(64) + 1);
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            3 if !bytes.is_empty() => bytes[at] = self.random.next_u64() as u8,
            4 => self.number(bytes, at),
            5 if !self.words.is_empty() => {
                let which = self.below(self.words.len());
                let word = self.words[which];
                bytes.splice(at..at, word.bytes());
            }
            6 => {
                let from = self.below(other.len());
                let part = &other[from..from + self.below((other.len() - from).min(256) + 1)];
                bytes.splice(at..end, part.iter().copied());
            }
            7 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let part = bytes[at..end].to_vec();
                let times = 1 << self.below(14);
                let room = self.most.saturating_sub(bytes.len());
                bytes.splice(at..at, part.iter().copied().cycle().take((part.len() * times).min(room)));
            }
        }
    }

    /// Overwrites 1, 2, 4 or 8 bytes with a number at the edge of some type.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let value = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX]
            [self.below(10)];
        let width = (1 << self.below(4)).min(bytes.len() - at);
        let number = if self.below(2) == 0 {
            value.to_le_bytes()
        } else {
            (value << (64 - 8 * width.max(1))).to_be_bytes()
        };
        bytes[at..at + width].copy_from_slice(&number[..width]);
    }
}
