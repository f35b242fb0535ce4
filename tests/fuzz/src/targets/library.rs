//! A plugin library, as far as it is read before the system loads it.

use super::KIB;
use crate::Target;
use assay_core::plugin::check_library;

pub(super) const TARGET: Target = Target {
    name: "library",
    read,
    seeds,
    words: || vec!["assay_entry\0", "\x7fELF"],
    memory: (64 * KIB, 64),
};

fn read(input: &[u8]) {
    let _ = check_library(input);
}

fn seeds() -> Vec<Vec<u8>> {
    let library = elf(b"assay_entry");
    assert_eq!(check_library(&library), Ok(()));
    vec![library, elf(b"other_entry")]
}

/// A dynamic library of 64-bit ELF with one symbol and no code: header, one segment, symbols, names, section table.
fn elf(symbol: &[u8]) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    const NAMES: &[u8] = b"\0.dynsym\0.dynstr\0.shstrtab\0";
    let strings = [b"\0", symbol, b"\0"].concat();
    let symbols_at = 64 + 56;
    let strings_at = symbols_at + 2 * 24;
    let names_at = strings_at + strings.len() as u64;
    let sections_at = (names_at + NAMES.len() as u64).next_multiple_of(8);
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let words = |out: &mut Vec<u8>, words: &[(u64, usize)]| {
        words.iter().for_each(|(word, width)| out.extend(&word.to_le_bytes()[..*width]));
    };
    // ET_DYN, machine, version, entry, program headers, section headers, flags, sizes and counts.
    words(&mut out, &[(3, 2), (machine.into(), 2), (1, 4), (0, 8), (64, 8), (sections_at, 8), (0, 4)]);
    words(&mut out, &[(64, 2), (56, 2), (1, 2), (64, 2), (4, 2), (3, 2)]);
    // PT_LOAD, readable, the whole file.
    let size = sections_at + 4 * 64;
    words(&mut out, &[(1, 4), (4, 4), (0, 8), (0, 8), (0, 8), (size, 8), (size, 8), (4096, 8)]);
    out.extend([0; 24]);
    // A global object in section 1.
    words(&mut out, &[(1, 4), (0x11, 1), (0, 1), (1, 2), (symbols_at, 8), (8, 8)]);
    out.extend(&strings);
    out.extend(NAMES);
    out.resize(sections_at as usize, 0);
    let section = |out: &mut Vec<u8>, name, kind, at, size, link, info, each| {
        let row = [
            (name, 4),
            (kind, 4),
            (2, 8),
            (at, 8),
            (at, 8),
            (size, 8),
            (link, 4),
            (info, 4),
            (1, 8),
            (each, 8),
        ];
        words(out, &row);
    };
    section(&mut out, 0, 0, 0, 0, 0, 0, 0);
    section(&mut out, 1, 11, symbols_at, 48, 2, 1, 24);
    section(&mut out, 9, 3, strings_at, strings.len() as u64, 0, 0, 0);
    section(&mut out, 17, 3, names_at, NAMES.len() as u64, 0, 0, 0);
    out
}
