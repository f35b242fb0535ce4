//! The model file: a fitted recipe with everything it needs but the plugins, in one file.
//!
//! ```text
//! offset  size
//! 0       8     magic "ASSAYMDL"
//! 8       4     format version, little-endian u32, now 2; 1 is still read
//! 12      8     length of the manifest, little-endian u64
//! 20      32    SHA-256 of the manifest
//! 52      n     manifest: JSON, UTF-8, with the table of sections
//! 52+n    ...   sections, back to back in the order of the table
//! ```
//!
//! The same fit gives the same bytes: the file holds no time stamp and no machine's path. `docs/model-format.md` has the
//! whole layout.

mod blob;
mod format1;

pub use blob::Blob;

use crate::error::{Error, Result};
use crate::graph::read_network;
use crate::quantise::Quantisation;
use crate::recipe::Recipe;
use crate::scale::Scales;
use crate::threshold::{Calibration, PartialCalibration};
use assay_inference::DEFAULT_BACKBONE;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"ASSAYMDL";
/// The format that is written.
pub const VERSION: u32 = 2;
/// Largest manifest that is read: a million scans' worth.
const MOST_MANIFEST: u64 = 256 << 20;
/// Largest model file that is read.
const MOST_FILE: u64 = 16 << 30;

/// Pixels of the largest scans that a model can be for.
const MOST_PIXELS: usize = 1 << 30;

/// A fitted recipe.
#[derive(Debug, Clone)]
pub struct Model {
    /// Format of the file that it was read from; it is written in the newest.
    pub format: u32,
    /// What it was made from and with.
    pub manifest: Manifest,
    /// State of each fitted step, by the step's name. They are read from the model's file when a plugin loads them.
    pub states: BTreeMap<String, Blob>,
    /// ONNX files, by SHA-256; those of a model written without them are missing.
    pub onnx: BTreeMap<String, Arc<[u8]>>,
    /// The recipe's text, as written.
    pub recipe: String,
    /// The same with every key explicit, so that a default that a later program changes does not change the model; `None` in
    /// format 1.
    pub resolved: Option<String>,
}

/// What a model was made from and with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program that fitted it.
    pub program: String,
    /// File name of the recipe, without its folder.
    pub recipe_file: String,
    /// SHA-256 of the recipe's text.
    pub recipe_sha256: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Inference runtime and version.
    pub runtime: String,
    /// Inference device.
    pub device: String,
    /// Native `(rows, columns)` of the scans.
    pub native: (usize, usize),
    /// `(rows, columns)` of each sensor with pixels; the native size where it is not named.
    #[serde(default)]
    pub sensor_sizes: BTreeMap<String, (usize, usize)>,
    /// The plugin of each method in use.
    pub plugins: Vec<PluginRecord>,
    /// Which ONNX file each network step runs, by step.
    pub networks: BTreeMap<String, NetworkRecord>,
    /// Scans it was fitted on.
    pub training: Vec<ScanRecord>,
    /// The scales of each step's scores.
    pub scales: BTreeMap<String, Scales>,
    /// The map's value where nothing was scored.
    pub floor: f32,
    /// Its thresholds, and the scans that set them and nothing else.
    pub calibration: Calibration,
    /// Thresholds of scans of which sensors that may be missing are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<PartialCalibration>,
    /// Sections after the manifest.
    pub sections: Vec<Section>,
}

/// The plugin of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Method id.
    pub method: String,
    /// File name of the library.
    pub library: String,
    /// Version of the method.
    pub version: String,
    /// SHA-256 of the library.
    pub sha256: String,
}

/// The ONNX file of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// The name in the recipe; empty = the built-in backbone.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Shape `[C, rows, columns]` of each output in use, for scans of the native size; empty in format 1.
    pub outputs: Vec<[usize; 3]>,
    /// How int8 compared with f32, where the recipe asked for int8; `sha256` is that of the network that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
}

/// A scan that went into a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRecord {
    /// Its id.
    pub id: String,
    /// SHA-256 of its files, one after the other in the sensors' order.
    pub sha256: String,
}

/// A section of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// `recipe`, `resolved`, `state/<step>` or `onnx/<sha256>`.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// A digest as text.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

impl Model {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::Model`] where the manifest cannot be written as JSON or a state cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (mut bytes, parts) = self.laid_out()?;
        parts.iter().try_for_each(|part| part.each(|body| bytes.write_all(body))).map_err(unreadable)?;
        Ok(bytes)
    }

    /// Writes the file atomically, part after part.
    ///
    /// # Errors
    /// [`Error::Data`] where the disk is full or the folder cannot be written; an older file is left as it was.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (header, parts) = self.laid_out()?;
        Ok(assay_data::atomic::write(path, |out| {
            out.write_all(&header)?;
            parts.iter().try_for_each(|part| part.each(|body| out.write_all(body)))
        })?)
    }

    /// What stands before the sections, and these.
    fn laid_out(&self) -> Result<(Vec<u8>, Vec<Part<'_>>)> {
        let mut parts = vec![("recipe".to_owned(), Part::Bytes(self.recipe.as_bytes()))];
        parts.extend(self.resolved.iter().map(|text| ("resolved".into(), Part::Bytes(text.as_bytes()))));
        parts.extend(self.states.iter().map(|(step, state)| (format!("state/{step}"), Part::Blob(state))));
        parts.extend(self.onnx.iter().map(|(sha, bytes)| (format!("onnx/{sha}"), Part::Bytes(bytes))));
        let sections = parts.iter().map(|(name, part)| {
            let (length, sha256) = part.measured().map_err(unreadable)?;
            Ok(Section { name: name.clone(), length, sha256: hex(&sha256) })
        });
        let manifest = Manifest { sections: sections.collect::<Result<_>>()?, ..self.manifest.clone() };
        let manifest = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::Model {
            path: "model".into(),
            message: format!("its manifest cannot be written: {e}"),
        })?;
        let mut header = Vec::with_capacity(52 + manifest.len());
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(manifest.len() as u64).to_le_bytes());
        header.extend_from_slice(&Sha256::digest(&manifest));
        header.extend_from_slice(&manifest);
        Ok((header, parts.into_iter().map(|(_, part)| part).collect()))
    }

    /// Reads a file; returns the model and the SHA-256 of the file. The file stays open for the states, which are read when
    /// they are loaded: replace a model by another file under its name, as [`Model::write`] does, and not in place.
    ///
    /// # Errors
    /// [`Error::Model`] where it is no model, truncated, altered or of a newer format.
    pub fn read(path: &Path) -> Result<(Self, String)> {
        let io = |e| Error::io(path, e);
        let file = Blob::file(path).map_err(io)?;
        if file.length() > MOST_FILE {
            return Err(Error::Model {
                path: path.into(),
                message: format!("{} bytes are more than a model can have", file.length()),
            });
        }
        // Hashing is most of the time it takes to open a model: the whole and its sections at the same time, through a handle each.
        let again = Blob::file(path).map_err(io)?;
        let (model, sha256) = rayon::join(|| Self::parse(&file), || again.sha256());
        let model = model.map_err(|message| Error::Model { path: path.into(), message })?;
        Ok((model, hex(&sha256.map_err(io)?)))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::parse(&bytes.to_vec().into())
    }

    fn parse(file: &Blob) -> Result<Self, String> {
        let cut = || "it is truncated: copy or fit it again".to_owned();
        let altered = |what: &str| {
            format!("{what} was altered or damaged (its checksum differs): copy or fit it again")
        };
        let system = |e: io::Error| format!("it cannot be read: {e}");
        let bytes = |at: u64, n: u64| file.part(at, n).ok_or_else(cut)?.to_vec().map_err(system);
        if file.length() < 8 || bytes(0, 8)? != MAGIC {
            return Err("it is not an Assay model".into());
        }
        let version = u32::from_le_bytes(bytes(8, 4)?.try_into().map_err(|_| cut())?);
        if version > VERSION {
            return Err(format!(
                "it has format {version}, this program reads up to {VERSION}: use a newer program"
            ));
        }
        let length = u64::from_le_bytes(bytes(12, 8)?.try_into().map_err(|_| cut())?);
        if version == 0 || length > MOST_MANIFEST {
            return Err(altered("its header"));
        }
        let digest = bytes(20, 32)?;
        let text = bytes(52, length)?;
        if Sha256::digest(&text)[..] != digest {
            return Err(altered("its manifest"));
        }
        let unreadable = |e: serde_json::Error| format!("its manifest cannot be read: {e}");
        let manifest: Manifest = match version {
            1 => serde_json::from_slice::<format1::Manifest1>(&text).map_err(unreadable)?.into(),
            _ => serde_json::from_slice(&text).map_err(unreadable)?,
        };
        for &(rows, columns) in manifest.sensor_sizes.values().chain([&manifest.native]) {
            if rows.checked_mul(columns).is_none_or(|pixels| pixels > MOST_PIXELS) {
                return Err(format!("it is for {rows} x {columns} pixels, which no program can inspect"));
            }
        }
        let mut model = Self {
            format: version,
            manifest,
            states: BTreeMap::new(),
            onnx: BTreeMap::new(),
            recipe: String::new(),
            resolved: None,
        };
        let mut at = 52 + length;
        for section in std::mem::take(&mut model.manifest.sections) {
            let body = file.part(at, section.length).ok_or_else(cut)?;
            at += section.length;
            if hex(&body.sha256().map_err(system)?) != section.sha256 {
                return Err(altered(&format!("its section `{}`", section.name)));
            }
            match section.name.split_once('/') {
                Some(("state", step)) => drop(model.states.insert(step.into(), body)),
                Some(("onnx", sha)) => {
                    drop(model.onnx.insert(sha.into(), body.to_vec().map_err(system)?.into()))
                }
                _ if section.name == "recipe" => model.recipe = text_of(&body)?,
                _ if section.name == "resolved" => model.resolved = Some(text_of(&body)?),
                _ => {
                    return Err(format!(
                        "it holds a section `{}` that this program does not know",
                        section.name
                    ));
                }
            }
        }
        if at != file.length() {
            return Err("it is longer than it should be: copy or fit it again".into());
        }
        Ok(model)
    }

    /// The recipe that the model works by: the resolved one where it holds it, with the seed of its fit.
    ///
    /// # Errors
    /// [`Error::Recipe`] where it cannot be parsed.
    pub fn parse_recipe(&self) -> Result<Recipe> {
        let mut recipe = match &self.resolved {
            Some(resolved) => Recipe::parse(&format!("{} (resolved)", self.manifest.recipe_file), resolved)?,
            None => Recipe::parse(&self.manifest.recipe_file, &self.recipe)?,
        };
        // The fit may have been given another seed than the recipe's.
        recipe.set_seed(self.manifest.seed);
        Ok(recipe)
    }

    /// Leaves out the ONNX files that can be had elsewhere: all but the int8 ones, which the fit made.
    pub fn leave_out_networks(&mut self) {
        let made = |n: &&NetworkRecord| n.quantisation.as_ref().is_some_and(|q| q.kept);
        let kept: Vec<&str> =
            self.manifest.networks.values().filter(made).map(|n| n.sha256.as_str()).collect();
        self.onnx.retain(|sha256, _| kept.contains(&sha256.as_str()));
    }

    /// The ONNX file of a network step: out of the model, the built-in backbone, or the file that the recipe names, looked
    /// for in `folder`.
    ///
    /// # Errors
    /// [`Error::Request`] where it is nowhere, or what is there is another file.
    pub fn network(&self, step: &str, folder: &Path) -> Result<Arc<[u8]>> {
        let Some(NetworkRecord { file, sha256, .. }) = self.manifest.networks.get(step) else {
            return Err(Error::Request(format!("the model does not know the network of step `{step}`")));
        };
        if let Some(held) = self.onnx.get(sha256) {
            return Ok(held.clone());
        }
        if file.is_empty() && hex(&Sha256::digest(DEFAULT_BACKBONE)) == *sha256 {
            return Ok(DEFAULT_BACKBONE.into());
        }
        let asked = format!("the model was written without its networks; step `{step}` needs ");
        if file.is_empty() {
            return Err(Error::Request(format!(
                "{asked}a built-in backbone with SHA-256 {sha256}, which this program does not have: use the program that fitted it ({})",
                self.manifest.program
            )));
        }
        let path = folder.join(file);
        let bytes =
            read_network(&path).map_err(|e| Error::Request(format!("{asked}SHA-256 {sha256}: {e}")))?;
        if hex(&Sha256::digest(&bytes)) != *sha256 {
            return Err(Error::Request(format!(
                "{asked}{} with SHA-256 {sha256}; the file there is another one",
                path.display()
            )));
        }
        Ok(bytes.into())
    }
}

/// The bytes of a section that is written.
enum Part<'a> {
    Bytes(&'a [u8]),
    Blob(&'a Blob),
}

impl Part<'_> {
    /// How many bytes there are, and their SHA-256.
    fn measured(&self) -> io::Result<(u64, [u8; 32])> {
        match self {
            Self::Bytes(bytes) => Ok((bytes.len() as u64, Sha256::digest(bytes).into())),
            Self::Blob(blob) => Ok((blob.length(), blob.sha256()?)),
        }
    }

    fn each(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => each(bytes),
            Self::Blob(blob) => blob.each(each),
        }
    }
}

/// A state of a model at hand that cannot be read any more.
fn unreadable(e: io::Error) -> Error {
    Error::Model { path: "model".into(), message: format!("a step's state cannot be read: {e}") }
}

fn text_of(body: &Blob) -> Result<String, String> {
    let bytes = body.to_vec().map_err(|e| format!("it cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|_| "its recipe is not text".to_owned())
}

/// SHA-256 of a recipe's text.
pub fn recipe_sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// The record of a scan: its id and the hash of its files.
///
/// # Errors
/// [`Error::Io`] where a file cannot be read.
pub fn scan_record(files: &assay_data::ScanFiles) -> Result<ScanRecord> {
    let mut hasher = Sha256::new();
    for (_, path) in &files.files {
        hasher.update(std::fs::read(path).map_err(|e| Error::io(path, e))?);
    }
    Ok(ScanRecord { id: files.id.clone(), sha256: hex(&hasher.finalize()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::OnTooFew;
    use crate::threshold::{Budget, CalibrationScan};

    fn model() -> Model {
        let budget = Budget {
            false_reject_rate: 0.25,
            confidence: None,
            on_too_few: OnTooFew::Error,
            review: Some(0.5),
        };
        let scans = (0..5).map(|i| CalibrationScan {
            id: format!("{i}"),
            sha256: "00".into(),
            score: Some(0.1 * f64::from(i)),
            map_max: Some(0.2),
            steps: BTreeMap::from([("a".into(), 0.3)]),
        });
        Model {
            format: VERSION,
            manifest: Manifest {
                program: "0.1.0".into(),
                recipe_file: "r.toml".into(),
                recipe_sha256: recipe_sha256("format = 1"),
                seed: 0,
                runtime: "rten 0.27".into(),
                device: "cpu".into(),
                native: (40, 50),
                sensor_sizes: BTreeMap::new(),
                partial: Vec::new(),
                plugins: Vec::new(),
                networks: BTreeMap::new(),
                training: vec![ScanRecord { id: "train/good/000".into(), sha256: "00".into() }],
                scales: BTreeMap::from([("a".into(), Scales::RAW)]),
                floor: -0.25,
                calibration: Calibration::new(budget, scans.collect()).unwrap(),
                sections: Vec::new(),
            },
            states: BTreeMap::from([("a".into(), vec![1, 2, 3].into())]),
            onnx: BTreeMap::from([("ff".into(), [9; 100].into())]),
            recipe: "format = 1".into(),
            resolved: Some("format = 1\nseed = 0".into()),
        }
    }

    #[test]
    fn a_model_comes_back_as_it_was_written() {
        let bytes = model().to_bytes().unwrap();
        let back = Model::from_bytes(&bytes).unwrap();
        let Model { manifest, states, onnx, recipe, resolved, .. } = model();
        assert_eq!((&back.manifest, &back.onnx), (&manifest, &onnx));
        assert_eq!((&back.recipe, &back.resolved), (&recipe, &resolved));
        assert_eq!(back.states["a"].to_vec().unwrap(), states["a"].to_vec().unwrap());
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn a_model_whose_states_lie_in_its_file_is_written_over_it_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.assay");
        model().write(&path).unwrap();
        let (back, sha256) = Model::read(&path).unwrap();
        back.write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), model().to_bytes().unwrap());
        assert_eq!(Model::read(&path).unwrap().1, sha256);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_a_clear_error() {
        let bytes = model().to_bytes().unwrap();
        for n in 0..bytes.len() {
            assert!(Model::from_bytes(&bytes[..n]).is_err(), "cut at {n}");
            let mut flipped = bytes.clone();
            flipped[n] ^= 1 << (n % 8);
            assert!(Model::from_bytes(&flipped).is_err(), "bit flipped in byte {n}");
        }
        assert!(Model::from_bytes(&[bytes, vec![0]].concat()).unwrap_err().contains("longer"));
    }

    #[test]
    fn a_size_that_no_scan_has_is_refused_before_memory_is_taken_for_it() {
        for native in [(1 << 20, 1 << 20), (usize::MAX, 2)] {
            let mut model = model();
            model.manifest.native = native;
            let error = Model::from_bytes(&model.to_bytes().unwrap()).unwrap_err();
            assert!(error.contains("no program can inspect"), "{error}");
        }
    }

    #[test]
    fn a_newer_format_asks_for_a_newer_program() {
        let mut bytes = model().to_bytes().unwrap();
        bytes[8] = 3;
        assert!(Model::from_bytes(&bytes).unwrap_err().contains("newer program"));
    }
}
