//! Numbers as files store them.

use half::f16;

/// The type of a stored number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
}

impl Scalar {
    /// By what it is and its bytes: `i`nteger, `u`nsigned or `f`loat.
    pub(super) fn of(kind: u8, size: usize) -> Option<Self> {
        Some(match (kind.to_ascii_lowercase(), size) {
            (b'i', 1) => Self::I8,
            (b'u', 1) => Self::U8,
            (b'i', 2) => Self::I16,
            (b'u', 2) => Self::U16,
            (b'i', 4) => Self::I32,
            (b'u', 4) => Self::U32,
            (b'i', 8) => Self::I64,
            (b'u', 8) => Self::U64,
            (b'f', 2) => Self::F16,
            (b'f', 4) => Self::F32,
            (b'f', 8) => Self::F64,
            _ => return None,
        })
    }

    /// Bytes a number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// Reads the number that `bytes` begin with; `None` where they are too few.
    pub(super) fn read(self, bytes: &[u8], big_endian: bool) -> Option<f64> {
        macro_rules! number {
            ($type:ty) => {{
                let bytes = *bytes.first_chunk()?;
                if big_endian { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) }
            }};
        }
        Some(match self {
            Self::I8 => number!(i8).into(),
            Self::U8 => number!(u8).into(),
            Self::I16 => number!(i16).into(),
            Self::U16 => number!(u16).into(),
            Self::I32 => number!(i32).into(),
            Self::U32 => number!(u32).into(),
            Self::I64 => number!(i64) as f64,
            Self::U64 => number!(u64) as f64,
            Self::F16 => number!(f16).into(),
            Self::F32 => number!(f32).into(),
            Self::F64 => number!(f64),
        })
    }
}

/// A number in text, as C and C++ libraries write it too: `-nan(ind)`, `1.#QNAN`.
pub(super) fn number(token: &[u8]) -> Option<f64> {
    let text = str::from_utf8(token).ok()?;
    text.parse().ok().or_else(|| {
        let lower = text.trim_start_matches('-').to_ascii_lowercase();
        (lower.starts_with("nan(") || lower.starts_with("1.#")).then_some(f64::NAN)
    })
}
