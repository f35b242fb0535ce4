//! Files of the MVTec 3D-AD layout.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use ndarray::{Array2, Array3};
use tiff::encoder::{TiffEncoder, colortype::RGB32Float};

use crate::error::SyntheticError;
use crate::sensor::Scan;

/// One folder of scans, such as `train/good`, whose files are numbered from 000.
pub(crate) struct Folder {
    path: PathBuf,
    with_truth: bool,
}

impl Folder {
    /// Makes the folder with its `rgb`, `xyz` and, for test scans, `gt`.
    pub(crate) fn create(path: PathBuf, with_truth: bool) -> Result<Self, SyntheticError> {
        let gt = with_truth.then_some("gt");
        for name in ["rgb", "xyz"].into_iter().chain(gt) {
            let path = path.join(name);
            fs::create_dir_all(&path).map_err(|source| SyntheticError::Write { path, source })?;
        }
        Ok(Self { path, with_truth })
    }

    /// Writes scan number `number`.
    pub(crate) fn write(&self, number: usize, scan: &Scan) -> Result<(), SyntheticError> {
        let file = |folder: &str, ending: &str| self.path.join(folder).join(format!("{number:03}.{ending}"));
        write_rgb(&file("rgb", "png"), &scan.rgb)?;
        write_xyz(&file("xyz", "tiff"), &scan.xyz)?;
        if self.with_truth {
            write_gt(&file("gt", "png"), &scan.truth)?;
        }
        Ok(())
    }
}

/// Refuses a folder that holds anything; an absent one is fine.
pub(crate) fn require_empty(dir: &Path) -> Result<(), SyntheticError> {
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(SyntheticError::NotEmpty(dir.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SyntheticError::Write { path: dir.to_owned(), source }),
    }
}

fn write_rgb(path: &Path, rgb: &Array3<u8>) -> Result<(), SyntheticError> {
    let (rows, columns, _) = rgb.dim();
    write_png(path, &rgb.iter().copied().collect::<Vec<_>>(), (rows, columns), ExtendedColorType::Rgb8)
}

fn write_gt(path: &Path, truth: &Array2<u8>) -> Result<(), SyntheticError> {
    write_png(path, &truth.iter().copied().collect::<Vec<_>>(), truth.dim(), ExtendedColorType::L8)
}

fn write_png(
    path: &Path,
    samples: &[u8],
    (rows, columns): (usize, usize),
    colour: ExtendedColorType,
) -> Result<(), SyntheticError> {
    let mut file = create(path)?;
    PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
        .write_image(samples, columns as u32, rows as u32, colour)
        .map_err(|source| SyntheticError::Picture { path: path.to_owned(), source })?;
    flush(file, path)
}

/// Interleaved, uncompressed, one row a strip, as MVTec writes them.
fn write_xyz(path: &Path, xyz: &Array3<f32>) -> Result<(), SyntheticError> {
    let (rows, columns, _) = xyz.dim();
    let mut file = create(path)?;
    let samples: Vec<f32> = xyz.iter().copied().collect();
    let mut encode = || -> tiff::TiffResult<()> {
        let mut encoder = TiffEncoder::new(&mut file)?;
        let mut picture = encoder.new_image::<RGB32Float>(columns as u32, rows as u32)?;
        picture.rows_per_strip(1)?;
        picture.write_data(&samples)
    };
    encode().map_err(|source| SyntheticError::Points { path: path.to_owned(), source })?;
    flush(file, path)
}

fn create(path: &Path) -> Result<BufWriter<File>, SyntheticError> {
    File::create(path)
        .map(BufWriter::new)
        .map_err(|source| SyntheticError::Write { path: path.to_owned(), source })
}

fn flush(mut file: BufWriter<File>, path: &Path) -> Result<(), SyntheticError> {
    file.flush().map_err(|source| SyntheticError::Write { path: path.to_owned(), source })
}
