//! Which format a file has, by its first bytes.

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
    Bmp,
    Tiff,
    Npy,
    Ply,
    Pcd,
}

impl Format {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let starts = |signature: &[u8]| bytes.starts_with(signature);
        Some(match bytes {
            _ if starts(b"\x89PNG\r\n\x1a\n") => Self::Png,
            _ if starts(b"\xff\xd8\xff") => Self::Jpeg,
            _ if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") => Self::Tiff,
            _ if starts(b"\x93NUMPY") => Self::Npy,
            _ if starts(b"ply\n") || starts(b"ply\r") => Self::Ply,
            // Two letters are too few for a format: the size of the second header is one of those known.
            _ if starts(b"BM")
                && matches!(bytes.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])) =>
            {
                Self::Bmp
            }
            _ if is_pcd(bytes) => Self::Pcd,
            _ => return None,
        })
    }
}

/// A PCD has no signature but the comment that most writers begin with; without it, its first key is there.
fn is_pcd(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let comment = line.starts_with(b"#") && line.windows(4).any(|w| w == b".PCD");
    comment || ["VERSION ", "FIELDS ", "COLUMNS "].iter().any(|key| line.starts_with(key.as_bytes()))
}
