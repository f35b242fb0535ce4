//! A category so small that a fit takes a fraction of a second, and ways to break its scans.

use super::assay;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Good scans of 64 x 64 pixels and a recipe without a large network.
pub(crate) struct Tiny {
    folder: tempfile::TempDir,
}

const RECIPE: &str = r#"
format = 1
recipe = { number = 3, name = "tiny" }
[engine]
runtime = "rten"
[sensors]
colour = "rgb/{id}.*"
height = "xyz/{id}.tiff"
[steps]
look       = { method = "onnx", from = "colour", size = 64 }
normals    = { method = "normals", from = "height" }
appearance = { method = "padim", from = "look.c2", channels = 8 }
geometry   = { method = "padim", from = "normals", channels = 3 }
[decide]
false_reject_rate = 0.25
folds = 2
"#;

impl Tiny {
    /// 10 + 4 + 3 good scans and one of each defect.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (size, train, validation, test_good) = ((64, 64), 10, 4, 3);
        let spec =
            assay_synthetic::Spec { size, train, validation, test_good, defects_per_kind: 1, seed: 11 };
        assay_synthetic::generate(&folder.path().join("part"), &spec).unwrap();
        fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
        fs::create_dir(folder.path().join("scratch")).unwrap();
        Self { folder }
    }

    /// One with its fitted model, shared by the tests of one target that only read it.
    pub(crate) fn fitted() -> (&'static Self, &'static Path) {
        static SHARED: OnceLock<(Tiny, PathBuf)> = OnceLock::new();
        let (tiny, model) = SHARED.get_or_init(|| {
            let tiny = Self::new();
            let model = tiny.path("part.assay");
            super::succeed(&mut tiny.fit(&model));
            (tiny, model)
        });
        (tiny, model)
    }

    /// A path beside the scans.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data set.
    pub(crate) fn scans(&self) -> PathBuf {
        self.path("part")
    }

    /// Where fits of this category keep temporary files.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.path("scratch")
    }

    /// The fit of the data set.
    pub(crate) fn fit(&self, model: &Path) -> Command {
        self.fit_on(&self.scans(), model)
    }

    /// The fit of another folder of scans.
    pub(crate) fn fit_on(&self, scans: &Path, model: &Path) -> Command {
        let mut command = assay();
        command.arg("fit").arg(self.path("recipe.toml")).arg("--data").arg(scans).arg("-o").arg(model);
        command.env("TMPDIR", self.scratch());
        command
    }

    /// A plain folder of `n` scans: hard links to the good ones of training, so that thousands cost nothing.
    pub(crate) fn links(&self, n: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        for (kind, ending) in [("rgb", "png"), ("xyz", "tiff")] {
            fs::create_dir(folder.path().join(kind)).unwrap();
            for k in 0..n {
                let from = self.scans().join(format!("train/good/{kind}/{:03}.{ending}", k % 10));
                fs::hard_link(from, folder.path().join(format!("{kind}/{k:05}.{ending}"))).unwrap();
            }
        }
        folder
    }
}

/// Replaces a file by other bytes; what it was linked to stays.
pub(crate) fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Keeps the first `share` percent of a file.
pub(crate) fn cut(path: &Path, share: usize) {
    let bytes = fs::read(path).unwrap();
    replace(path, &bytes[..bytes.len() * share / 100]);
}

/// A PNG whose header claims 60 000 x 60 000 pixels.
pub(crate) fn huge_png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend([0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0]);
    bytes.extend(crc32(&bytes[12..]).to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// A little-endian TIFF of f32 triples: every value of every pixel is `value(row, column, channel)`.
pub(crate) fn xyz_tiff(
    rows: u32,
    columns: u32,
    claimed_rows: u32,
    value: impl Fn(u32, u32, u32) -> f32,
) -> Vec<u8> {
    let tags: [(u16, u16, u32); 10] = [
        (256, 4, columns),
        (257, 4, claimed_rows),
        (258, 3, 32),
        (259, 3, 1),
        (262, 3, 2),
        (273, 4, 8 + 2 + 10 * 12 + 4),
        (277, 3, 3),
        (278, 4, claimed_rows),
        (279, 4, rows * columns * 12),
        (339, 3, 3),
    ];
    let mut bytes = b"II*\0\x08\0\0\0\x0a\0".to_vec();
    for (tag, kind, number) in tags {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0; 4]);
    for row in 0..rows {
        for column in 0..columns {
            (0..3).for_each(|c| bytes.extend(value(row, column, c).to_le_bytes()));
        }
    }
    bytes
}
