//! Scans and their sensors: what is decoded, from which file, in which unit.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::decode::{self, Encoded, Stored};
use crate::register::{Placed, register};
use crate::{Camera, Cloud, DataError, Grid, Image, Limits, Mask, Pose};

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

/// What happens to a scan of which a sensor measured nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It cannot be inspected.
    #[default]
    Refuse,
    /// It is inspected without the sensor.
    Degrade,
}

/// One sensor of a station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    /// Its name, unique in a station.
    pub name: String,
    /// Its files, relative to a folder of scans, with `{id}` once: `rgb/{id}.png`, `xyz/{id}.tiff`, `{id}.*`.
    pub pattern: String,
    /// What the files hold.
    pub kind: SensorKind,
    /// The unit of lengths in the files; without meaning for images.
    pub unit: Unit,
    /// Units a stored step.
    pub scale: f64,
    /// Units added to each depth.
    pub offset: f64,
    /// The stored depth, or z, of what was not measured.
    pub invalid: Option<f64>,
    /// Whether saturated pixels of an image count as not measured.
    pub drop_saturated: bool,
    /// What happens to a scan of which it measured nothing.
    pub missing: Missing,
    /// Its intrinsics.
    pub camera: Option<Camera>,
    /// From its frame into the station's; `None` = the station's.
    pub pose: Option<Pose>,
}

impl Sensor {
    /// A sensor that stores metres, with nothing else known of it.
    pub fn new(name: impl Into<String>, pattern: impl Into<String>, kind: SensorKind) -> Self {
        Self {
            name: name.into(),
            pattern: pattern.into(),
            kind,
            unit: Unit::M,
            scale: 1.0,
            offset: 0.0,
            invalid: None,
            drop_saturated: false,
            missing: Missing::Refuse,
            camera: None,
            pose: None,
        }
    }

    /// How its files store lengths.
    fn stored(&self) -> Stored {
        let unit = self.unit.metres();
        Stored { metres: self.scale * unit, offset: self.offset * unit, invalid: self.invalid }
    }

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
    /// A picture: of 3 channels for `rgb` and 1 for `gray`.
    Image(Image),
    /// A grid in metres: `[3, H, W]` for `xyz` and for `depth` with a camera, `[1, H, W]` for `depth` without.
    Organised(Grid),
    /// Points in metres.
    Points(Cloud),
}

impl Modality {
    /// `(rows, columns)`; `None` for a cloud, which has no pixels.
    pub fn size(&self) -> Option<(usize, usize)> {
        match self {
            Self::Image(image) => Some(image.size()),
            Self::Organised(grid) => Some(grid.size()),
            Self::Points(_) => None,
        }
    }

    /// Takes every measurement for missing.
    fn forget(&mut self) {
        match self {
            Self::Image(image) => image.valid = Some(Mask::from_elem(image.size(), false)),
            Self::Organised(grid) => {
                grid.valid = Some(Mask::from_elem(grid.size(), false));
                grid.values.fill(0.0);
            }
            Self::Points(cloud) => {
                cloud.valid = Some(vec![false; cloud.len()]);
                cloud.positions.fill(0.0);
            }
        }
    }

    /// Whether there is at least one valid measurement.
    fn measured(&self) -> bool {
        match self {
            Self::Image(Image { valid, .. }) | Self::Organised(Grid { valid, .. }) => {
                valid.as_ref().is_none_or(|m| m.iter().any(|&v| v))
            }
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
    /// `(rows, columns)` of the first sensor with pixels: all images and grids cover what it sees. `(0, 0)` for a scan of clouds
    /// alone.
    pub native: (usize, usize),
    /// One a sensor, in the order of the sensors given to [`load`]: its name and its data; `None` of one that measured nothing and
    /// may be missing.
    pub modalities: Vec<(String, Option<Modality>)>,
}

impl Scan {
    /// The data of the sensor of this name.
    pub fn modality(&self, sensor: &str) -> Option<&Modality> {
        self.modalities.iter().find(|(name, _)| name == sensor).and_then(|(_, modality)| modality.as_ref())
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

/// Decodes a scan's files, side by side on rayon's threads, and brings its sensors onto common ground: the view of the first sensor with pixels.
///
/// Sensors called in `without` are taken for missing whatever they measured.
///
/// # Errors
/// Those of [`mod@decode`] and of [`ScanFiles::file_of`], [`DataError::SizesDiffer`] and
/// [`DataError::Unrelated`] for sensors that cannot be brought together, [`DataError::CameraSize`], and
/// [`DataError::NothingMeasured`] for a sensor without any valid measurement that must not be missing.
pub fn load(
    files: &ScanFiles,
    sensors: &[Sensor],
    without: &[String],
    limits: &Limits,
) -> Result<Scan, DataError> {
    let decoded: Vec<Result<(&Path, Modality), DataError>> = sensors
        .par_iter()
        .map(|sensor| {
            let path = files.file_of(sensor)?;
            Ok((path, decode_sensor(path, sensor, limits)?))
        })
        .collect();
    let mut placed = Vec::with_capacity(sensors.len());
    for (sensor, decoded) in sensors.iter().zip(decoded) {
        let (path, mut modality) = decoded?;
        if without.contains(&sensor.name) {
            modality.forget();
        }
        placed.push(Placed { sensor, path, modality });
    }
    let native = register(&mut placed)?;
    let missing = |p: &&Placed<'_>| !p.modality.measured();
    // Out of the first sensor's view is not measured either.
    let refused = |p: &&Placed<'_>| p.sensor.missing == Missing::Refuse && !without.contains(&p.sensor.name);
    let lost = placed.iter().filter(missing).find(refused);
    if let Some(p) = lost.or_else(|| placed.first().filter(|_| placed.iter().all(|p| missing(&p)))) {
        return Err(DataError::NothingMeasured { path: p.path.to_path_buf(), sensor: p.sensor.name.clone() });
    }
    let modalities = placed.into_iter().map(|p| {
        let measured = p.modality.measured();
        (p.sensor.name.clone(), measured.then_some(p.modality))
    });
    Ok(Scan { id: files.id.clone(), native, modalities: modalities.collect() })
}

fn decode_sensor(path: &Path, sensor: &Sensor, limits: &Limits) -> Result<Modality, DataError> {
    let file = &Encoded::read(path, limits)?;
    let stored = &sensor.stored();
    let picture = |pixels| {
        let mut image = Image::new(pixels);
        if sensor.drop_saturated {
            image.drop_saturated();
        }
        Modality::Image(image)
    };
    let modality = match sensor.kind {
        SensorKind::Rgb => picture(decode::image(file, limits)?),
        SensorKind::Gray => picture(decode::gray(file, limits)?),
        SensorKind::Xyz => Modality::Organised(decode::xyz(file, stored, limits)?),
        SensorKind::Depth => Modality::Organised(decode::depth(file, stored, limits)?),
        SensorKind::Points => Modality::Points(decode::points(file, stored, limits)?),
    };
    let Some(camera) = &sensor.camera else { return Ok(modality) };
    let camera = match (camera.size, modality.size()) {
        (Some(calibrated), Some(found)) if calibrated != found => {
            if !crate::register::same_view(calibrated, found) {
                let (path, sensor) = (path.to_path_buf(), sensor.name.clone());
                return Err(DataError::CameraSize { path, sensor, calibrated, found });
            }
            camera.scaled(calibrated, found)
        }
        _ => *camera,
    };
    Ok(match modality {
        Modality::Organised(depth) if sensor.kind == SensorKind::Depth => {
            Modality::Organised(camera.points(&depth))
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use ndarray::Array3;

    fn sensor(name: &str, kind: SensorKind) -> Sensor {
        Sensor { unit: Unit::Mm, ..Sensor::new(name, format!("{name}/{{id}}.*"), kind) }
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
        let scan = load(&files(&[("colour", &colour), ("depth", &depth)]), &sensors, &[], &Limits::default())
            .unwrap();
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
            load(&files(&[("a", &a), ("b", &b)]), &sensors, &[], &Limits::default()).unwrap_err().to_string();
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
            let error =
                load(&files(&[("s", path)]), &[sensor("s", kind)], &[], &Limits::default()).unwrap_err();
            assert!(matches!(error, DataError::NothingMeasured { .. }), "{error}");
        }
    }

    #[test]
    fn a_sensor_without_a_file_is_named() {
        let error =
            load(&files(&[]), &[sensor("height", SensorKind::Xyz)], &[], &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("`003` has no `height` file"), "{error}");
    }
}
