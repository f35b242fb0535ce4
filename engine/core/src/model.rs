//! The model file: a fitted recipe with everything it needs but the plugins, in one file.
//!
//! ```text
//! offset  size
//! 0       8     magic "ASSAYMDL"
//! 8       4     format version, little-endian u32, now 1
//! 12      8     length of the manifest, little-endian u64
//! 20      32    SHA-256 of the manifest
//! 52      n     manifest: JSON, UTF-8, with the table of sections
//! 52+n    ...   sections, back to back in the order of the table
//! ```
//!
//! The same fit gives the same bytes: the file holds no time stamp and no machine's path.

use crate::calibrate::{Scales, Threshold};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

const MAGIC: &[u8; 8] = b"ASSAYMDL";
const VERSION: u32 = 1;
/// Largest manifest that is read: a million scans' worth.
const MOST_MANIFEST: u64 = 256 << 20;
/// Largest model file that is read.
const MOST_FILE: u64 = 16 << 30;

/// A fitted recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What it was made from and with.
    pub manifest: Manifest,
    /// State of each fitted step, by the step's name.
    pub states: BTreeMap<String, Vec<u8>>,
    /// ONNX files, by SHA-256.
    pub onnx: BTreeMap<String, Vec<u8>>,
    /// The recipe's text.
    pub recipe: String,
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
    /// The plugin of each method in use.
    pub plugins: Vec<PluginRecord>,
    /// Which ONNX file each network step runs, by step: name in the recipe and SHA-256.
    pub networks: BTreeMap<String, (String, String)>,
    /// Scans it was fitted on.
    pub training: Vec<ScanRecord>,
    /// Scans that set its thresholds.
    pub calibration: Vec<ScanRecord>,
    /// The scales of each step's scores.
    pub scales: BTreeMap<String, Scales>,
    /// The map's value where nothing was scored.
    pub floor: f32,
    /// Threshold of the fused image score: the verdict.
    pub image_threshold: Threshold,
    /// Threshold of the map: it draws regions.
    pub pixel_threshold: Threshold,
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
    /// `recipe`, `state/<step>` or `onnx/<sha256>`.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Their SHA-256.
    pub sha256: String,
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

impl Model {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::Model`] where the manifest cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut parts: Vec<(String, &[u8])> = vec![("recipe".into(), self.recipe.as_bytes())];
        parts.extend(self.states.iter().map(|(step, bytes)| (format!("state/{step}"), bytes.as_slice())));
        parts.extend(self.onnx.iter().map(|(sha, bytes)| (format!("onnx/{sha}"), bytes.as_slice())));
        let sections = parts.iter().map(|(name, bytes)| Section {
            name: name.clone(),
            length: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        });
        let manifest = Manifest { sections: sections.collect(), ..self.manifest.clone() };
        let manifest = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::Model {
            path: "model".into(),
            message: format!("its manifest cannot be written: {e}"),
        })?;
        let mut out =
            Vec::with_capacity(52 + manifest.len() + parts.iter().map(|(_, b)| b.len()).sum::<usize>());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(manifest.len() as u64).to_le_bytes());
        out.extend_from_slice(&Sha256::digest(&manifest));
        out.extend_from_slice(&manifest);
        for (_, bytes) in parts {
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`Error::Data`] where the disk is full or the folder cannot be written; an older file is left as it was.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        Ok(assay_data::atomic::write(path, |out| out.write_all(&bytes))?)
    }

    /// Reads a file; returns the model and the SHA-256 of the file.
    ///
    /// # Errors
    /// [`Error::Model`] where it is no model, truncated, altered or of a newer format.
    pub fn read(path: &Path) -> Result<(Self, String)> {
        let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        if size > MOST_FILE {
            return Err(Error::Model {
                path: path.into(),
                message: format!("{size} bytes are more than a model can have"),
            });
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let model =
            Self::from_bytes(&bytes).map_err(|message| Error::Model { path: path.into(), message })?;
        Ok((model, hex(&Sha256::digest(&bytes))))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let cut = || "it is truncated: copy or fit it again".to_owned();
        let altered = |what: &str| {
            format!("{what} was altered or damaged (its checksum differs): copy or fit it again")
        };
        if bytes.get(..8) != Some(MAGIC) {
            return Err("it is not an Assay model".into());
        }
        let word = |at: usize, n: usize| bytes.get(at..at + n).ok_or_else(cut);
        let version = u32::from_le_bytes(word(8, 4)?.try_into().map_err(|_| cut())?);
        if version > VERSION {
            return Err(format!(
                "it has format {version}, this program reads up to {VERSION}: use a newer program"
            ));
        }
        let length = u64::from_le_bytes(word(12, 8)?.try_into().map_err(|_| cut())?);
        if version == 0 || length > MOST_MANIFEST {
            return Err(altered("its header"));
        }
        let digest = word(20, 32)?;
        let text = word(52, length as usize)?;
        if Sha256::digest(text)[..] != *digest {
            return Err(altered("its manifest"));
        }
        let manifest: Manifest =
            serde_json::from_slice(text).map_err(|e| format!("its manifest cannot be read: {e}"))?;
        let mut model =
            Self { manifest, states: BTreeMap::new(), onnx: BTreeMap::new(), recipe: String::new() };
        let mut rest = &bytes[52 + length as usize..];
        for section in std::mem::take(&mut model.manifest.sections) {
            let n = usize::try_from(section.length).map_err(|_| cut())?;
            let (body, tail) = rest.split_at_checked(n).ok_or_else(cut)?;
            rest = tail;
            if hex(&Sha256::digest(body)) != section.sha256 {
                return Err(altered(&format!("its section `{}`", section.name)));
            }
            match section.name.split_once('/') {
                Some(("state", step)) => drop(model.states.insert(step.into(), body.to_vec())),
                Some(("onnx", sha)) => drop(model.onnx.insert(sha.into(), body.to_vec())),
                _ if section.name == "recipe" => {
                    model.recipe =
                        String::from_utf8(body.to_vec()).map_err(|_| "its recipe is not text".to_owned())?;
                }
                _ => {
                    return Err(format!(
                        "it holds a section `{}` that this program does not know",
                        section.name
                    ));
                }
            }
        }
        if !rest.is_empty() {
            return Err("it is longer than it should be: copy or fit it again".into());
        }
        Ok(model)
    }

    /// The recipe, parsed.
    ///
    /// # Errors
    /// [`Error::Recipe`] where it cannot be.
    pub fn parse_recipe(&self) -> Result<Recipe> {
        Recipe::parse(&self.manifest.recipe_file, &self.recipe)
    }
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

    fn model() -> Model {
        let threshold = Threshold { value: 1.5, rate: 0.05, parts: 19 };
        Model {
            manifest: Manifest {
                program: "0.1.0".into(),
                recipe_file: "r.toml".into(),
                recipe_sha256: recipe_sha256("format = 1"),
                seed: 0,
                runtime: "rten 0.27".into(),
                device: "cpu".into(),
                native: (40, 50),
                plugins: Vec::new(),
                networks: BTreeMap::new(),
                training: vec![ScanRecord { id: "train/good/000".into(), sha256: "00".into() }],
                calibration: Vec::new(),
                scales: BTreeMap::from([("a".into(), Scales::RAW)]),
                floor: -0.25,
                image_threshold: threshold,
                pixel_threshold: threshold,
                sections: Vec::new(),
            },
            states: BTreeMap::from([("a".into(), vec![1, 2, 3])]),
            onnx: BTreeMap::from([("ff".into(), vec![9; 100])]),
            recipe: "format = 1".into(),
        }
    }

    #[test]
    fn a_model_comes_back_as_it_was_written() {
        let bytes = model().to_bytes().unwrap();
        let back = Model::from_bytes(&bytes).unwrap();
        assert_eq!(back, model());
        assert_eq!(back.to_bytes().unwrap(), bytes);
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
    fn a_newer_format_asks_for_a_newer_program() {
        let mut bytes = model().to_bytes().unwrap();
        bytes[8] = 2;
        assert!(Model::from_bytes(&bytes).unwrap_err().contains("newer program"));
    }
}
