//! Scans and their sensors: what is decoded, from which file, in which unit.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::{Cloud, DataError, Grid, Limits, decode};

/// What a sensor's files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SensorKind {
    /// A colour image.
    Rgb,
    /// A grey image.
    Gray,
    /// Organised points: x, y, z of every pixel.
    Xyz,
    /// The distance of every pixel along the optical axis.
    Depth,
    /// An unorganised cloud.
    Points,
}

impl SensorKind {
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Rgb, "rgb"),
        (Self::Gray, "gray"),
        (Self::Xyz, "xyz"),
        (Self::Depth, "depth"),
        (Self::Points, "points"),
    ];
}

impl fmt::Display for SensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, self, &Self::WORDS)
    }
}

impl FromStr for SensorKind {
    type Err = DataError;

    /// # Errors
    /// [`DataError::UnknownWord`].
    fn from_str(word: &str) -> Result<Self, DataError> {
        read_word(word, &Self::WORDS, "sensor kind", "rgb, gray, xyz, depth, points")
    }
}

/// The unit that a sensor's lengths are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Metres.
    #[default]
    M,
    /// Millimetres.
    Mm,
    /// Micrometres.
    Um,
}

impl Unit {
    const WORDS: [(Self, &'static str); 3] = [(Self::M, "m"), (Self::Mm, "mm"), (Self::Um, "um")];

    /// Metres a unit.
    pub fn metres(self) -> f64 {
        match self {
            Self::M => 1.0,
            Self::Mm => 1e-3,
            Self::Um => 1e-6,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, self, &Self::WORDS)
    }
}

impl FromStr for Unit {
    type Err = DataError;

    /// # Errors
    /// [`DataError::UnknownWord`].
    fn from_str(word: &str) -> Result<Self, DataError> {
        read_word(word, &Self::WORDS, "unit of length", "m, mm, um")
    }
}

fn write_word<T: PartialEq>(f: &mut fmt::Formatter<'_>, of: &T, words: &[(T, &str)]) -> fmt::Result {
    let word = words.iter().find(|(value, _)| value == of).map_or("", |(_, word)| word);
    f.pad(word)
}

pub(crate) fn read_word<T: Copy>(
    word: &str,
    words: &[(T, &str)],
    what: &'static str,
    allowed: &'static str,
) -> Result<T, DataError> {
    words
        .iter()
        .find(|(_, known)| *known == word)
        .map(|(value, _)| *value)
        .ok_or_else(|| DataError::UnknownWord { what, found: word.to_owned(), allowed })
}

/// One sensor of a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor {
    /// Its name, unique in a station.
    pub name: String,
    /// Its files, relative to a folder of scans, with `{id}` once: `rgb/{id}.png`, `xyz/{id}.tiff`, `{id}.*`.
    pub pattern: String,
    /// What the files hold.
    pub kind: SensorKind,
    /// The unit of lengths in the files; without meaning for images.
    pub unit: Unit,
}

impl Sensor {
    /// Whether the pattern can find files: it holds `{id}` once and stays inside its folder.
    ///
    /// # Errors
    /// [`DataError::BadSensor`].
    pub fn check(&self) -> Result<(), DataError> {
        crate::layout::pattern::Pattern::of(self).map(drop)
    }
}

/// The decoded data of one sensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Modality {
    /// `[H, W, C]`, 0..=255, interleaved: C is 3 for `rgb` and 1 for `gray`.
    Image(Array3<u8>),
    /// A native grid in metres: `[3, H, W]` for `xyz`, `[1, H, W]` for `depth`.
    Organised(Grid),
    /// Points in metres.
    Points(Cloud),
}

impl Modality {
    /// `(rows, columns)`; `None` for a cloud, which has no pixels.
    pub fn size(&self) -> Option<(usize, usize)> {
        match self {
            Self::Image(pixels) => Some((pixels.dim().0, pixels.dim().1)),
            Self::Organised(grid) => Some(grid.size()),
            Self::Points(_) => None,
        }
    }

    /// Whether there is at least one valid measurement. An image always measures.
    fn measured(&self) -> bool {
        match self {
            Self::Image(_) => true,
            Self::Organised(grid) => grid.valid.as_ref().is_none_or(|m| m.iter().any(|&v| v)),
            Self::Points(cloud) => {
                !cloud.is_empty() && cloud.valid.as_ref().is_none_or(|m| m.iter().any(|&v| v))
            }
        }
    }
}

/// One part captured once, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// As in [`ScanFiles::id`].
    pub id: String,
    /// `(rows, columns)` of every image and grid; `(0, 0)` for a scan of clouds alone.
    pub native: (usize, usize),
    /// One a sensor, in the order of the sensors given to [`load`]: its name and its data.
    pub modalities: Vec<(String, Modality)>,
}

impl Scan {
    /// The data of the sensor of this name.
    pub fn modality(&self, sensor: &str) -> Option<&Modality> {
        self.modalities.iter().find(|(name, _)| name == sensor).map(|(_, modality)| modality)
    }
}

/// The files of one scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFiles {
    /// Unique in its data set: the folder of scans and the file's own id, as in `test/bent/003`.
    pub id: String,
    /// The sensors' names and files; one a sensor where the scan is complete.
    pub files: Vec<(String, PathBuf)>,
    /// The kind of defect, from the folder; `None` for a good scan and where it is not known.
    pub defect: Option<String>,
    /// The ground truth of a test scan, where there is one.
    pub mask: Option<PathBuf>,
}

impl ScanFiles {
    /// The one file of a sensor.
    ///
    /// # Errors
    /// [`DataError::MissingFile`], [`DataError::Ambiguous`] where there are two.
    pub fn file_of(&self, sensor: &Sensor) -> Result<&Path, DataError> {
        let mut found = self.files.iter().filter(|(name, _)| *name == sensor.name).map(|(_, path)| path);
        let (id, name) = (self.id.clone(), sensor.name.clone());
        match (found.next(), found.next()) {
            (Some(path), None) => Ok(path),
            (Some(first), Some(second)) => {
                let (first, second) = (first.clone(), second.clone());
                Err(DataError::Ambiguous { id, sensor: name, first, second })
            }
            (None, _) => {
                let own = self.id.rsplit('/').next().unwrap_or_default();
                let path = PathBuf::from(sensor.pattern.replace("{id}", own));
                Err(DataError::MissingFile { id, sensor: name, path })
            }
        }
    }
}

/// Decodes a scan's files.
///
/// # Errors
/// Those of [`mod@decode`] and of [`ScanFiles::file_of`]; [`DataError::SizesDiffer`],
/// and [`DataError::NothingMeasured`] for a 3D sensor without any valid point.
pub fn load(files: &ScanFiles, sensors: &[Sensor], limits: &Limits) -> Result<Scan, DataError> {
    let mut modalities = Vec::with_capacity(sensors.len());
    let mut first: Option<(&Path, (usize, usize))> = None;
    for sensor in sensors {
        let path = files.file_of(sensor)?;
        let modality = decode_sensor(path, sensor, limits)?;
        if !modality.measured() {
            return Err(DataError::NothingMeasured { path: path.to_path_buf(), sensor: sensor.name.clone() });
        }
        match (first, modality.size()) {
            (Some((first, first_size)), Some(second_size)) if first_size != second_size => {
                let (first, second) = (first.to_path_buf(), path.to_path_buf());
                return Err(DataError::SizesDiffer { first, first_size, second, second_size });
            }
            (None, Some(size)) => first = Some((path, size)),
            _ => {}
        }
        modalities.push((sensor.name.clone(), modality));
    }
    Ok(Scan { id: files.id.clone(), native: first.map_or((0, 0), |(_, size)| size), modalities })
}

fn decode_sensor(path: &Path, sensor: &Sensor, limits: &Limits) -> Result<Modality, DataError> {
    let metres = sensor.unit.metres();
    match sensor.kind {
        SensorKind::Rgb => decode::image(path, limits).map(Modality::Image),
        SensorKind::Gray => decode::gray(path, limits).map(Modality::Image),
        SensorKind::Xyz => decode::xyz(path, metres, limits).map(Modality::Organised),
        SensorKind::Depth => decode::depth(path, metres, limits).map(Modality::Organised),
        SensorKind::Points => decode::points(path, metres, limits).map(Modality::Points),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sensor(name: &str, kind: SensorKind) -> Sensor {
        Sensor { name: name.into(), pattern: format!("{name}/{{id}}.*"), kind, unit: Unit::Mm }
    }

    fn files(files: &[(&str, &Path)]) -> ScanFiles {
        let files = files.iter().map(|(name, path)| (name.to_string(), path.to_path_buf())).collect();
        ScanFiles { id: "003".into(), files, defect: None, mask: None }
    }

    #[test]
    fn kinds_and_units_are_the_same_words_everywhere() {
        for (kind, word) in SensorKind::WORDS {
            assert_eq!((kind.to_string().as_str(), word.parse::<SensorKind>().unwrap()), (word, kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), word);
        }
        for (unit, word) in Unit::WORDS {
            assert_eq!((unit.to_string().as_str(), word.parse::<Unit>().unwrap()), (word, unit));
            assert_eq!(serde_json::to_value(unit).unwrap(), word);
        }
        let error = "XYZ".parse::<SensorKind>().unwrap_err();
        assert_eq!(error.to_string(), "unknown sensor kind `XYZ`; one of rgb, gray, xyz, depth, points");
    }

    #[test]
    fn sensors_of_one_size_load_in_the_order_of_the_sensors() {
        let folder = tempfile::tempdir().unwrap();
        let (colour, depth) = (folder.path().join("c.png"), folder.path().join("d.png"));
        decode::write_png_rgb(&colour, &Array3::zeros((3, 4, 3))).unwrap();
        image::ImageBuffer::<image::Luma<u16>, _>::from_pixel(4, 3, image::Luma([500])).save(&depth).unwrap();
        let sensors = [sensor("depth", SensorKind::Depth), sensor("colour", SensorKind::Rgb)];
        let scan =
            load(&files(&[("colour", &colour), ("depth", &depth)]), &sensors, &Limits::default()).unwrap();
        assert_eq!(scan.native, (3, 4));
        assert_eq!(scan.modalities.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["depth", "colour"]);
        let Some(Modality::Organised(grid)) = scan.modality("depth") else { panic!("depth is a grid") };
        assert!(grid.values.iter().all(|&z| z == 0.5));
    }

    #[test]
    fn sizes_that_differ_are_named_with_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
        decode::write_png_rgb(&a, &Array3::zeros((3, 4, 3))).unwrap();
        decode::write_png_rgb(&b, &Array3::zeros((4, 3, 3))).unwrap();
        let sensors = [sensor("a", SensorKind::Rgb), sensor("b", SensorKind::Gray)];
        let message =
            load(&files(&[("a", &a), ("b", &b)]), &sensors, &Limits::default()).unwrap_err().to_string();
        assert!(["a.png is 3 x 4", "b.png is 4 x 3"].iter().all(|part| message.contains(part)), "{message}");
    }

    #[test]
    fn a_sensor_that_measured_nothing_is_an_error_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (depth, ply) = (folder.path().join("d.png"), folder.path().join("p.ply"));
        image::ImageBuffer::<image::Luma<u16>, _>::new(4, 3).save(&depth).unwrap();
        let header = "ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\n";
        fs::write(&ply, format!("{header}property float z\nend_header\n")).unwrap();
        for (kind, path) in [(SensorKind::Depth, &depth), (SensorKind::Points, &ply)] {
            let error = load(&files(&[("s", path)]), &[sensor("s", kind)], &Limits::default()).unwrap_err();
            assert!(matches!(error, DataError::NothingMeasured { .. }), "{error}");
        }
    }

    #[test]
    fn a_sensor_without_a_file_is_named() {
        let error = load(&files(&[]), &[sensor("height", SensorKind::Xyz)], &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("`003` has no `height` file"), "{error}");
    }
}
