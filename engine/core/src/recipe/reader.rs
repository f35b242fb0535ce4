//! Takes keys out of a table, by the list of keys, and reports those that nobody took.

use super::domain::{Domain, Fault, Section};
use super::key::{Absent, AnyKey as _, Key};
use super::keys::keys_of;
use super::toml::{Node, Source, Value};
use crate::error::{Error, Result, nearest};

/// A table being read.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    /// Where it stands in the recipe, with the names of sensors and steps.
    path: String,
    /// Where it stands in the list of keys.
    listed: &'static str,
    line: usize,
    entries: Vec<(String, Node)>,
}

impl<'a> Reader<'a> {
    /// Reads the table at dotted `path`, whose keys are listed below `listed`.
    ///
    /// # Errors
    /// [`Error::Recipe`] where the node is no table.
    pub(super) fn new(source: Source<'a>, path: &str, listed: &'static str, node: Node) -> Result<Self> {
        match node.value {
            Value::Table(entries) => Ok(Self { source, path: path.into(), listed, line: node.line, entries }),
            other => Err(source.error(node.line, path, format!("expected a table, found {}", other.kind()))),
        }
    }

    /// The recipe that is read.
    pub(super) fn source(&self) -> Source<'a> {
        self.source
    }

    /// An error about a key of this table.
    pub(super) fn error(&self, line: usize, key: &str, message: impl Into<String>) -> Error {
        let path = if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) };
        self.source.error(line, path, message)
    }

    /// The line of a key that was not taken yet; that of the table where the key is not there.
    pub(super) fn line_of<D: Domain>(&self, key: &Key<D>) -> usize {
        self.entries.iter().find(|(name, _)| name == key.name()).map_or(self.line, |(_, node)| node.line)
    }

    /// Takes a key: its value, or what holds without it.
    ///
    /// # Errors
    /// [`Error::Recipe`] with the line where the value is not one of the key's, or the key must be given and is not.
    pub(super) fn get<D: Domain>(&mut self, key: &Key<D>) -> Result<D::Value> {
        debug_assert_eq!(key.parent(), self.listed, "{}", key.path);
        let Some(at) = self.entries.iter().position(|(name, _)| name == key.name()) else {
            return match &key.absent {
                Absent::Is(value) | Absent::Means(value, _) => Ok(value.clone()),
                Absent::Wrong(message) => Err(self.error(self.line, key.name(), *message)),
            };
        };
        let (_, node) = self.entries.remove(at);
        key.takes.read(&node).map_err(|(line, message): Fault| self.error(line, key.name(), message))
    }

    /// Takes a table of the top.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub(super) fn section(&mut self, key: &Key<Section>) -> Result<Self> {
        let node = self.get(key)?;
        Self::new(self.source, key.path, key.path, node)
    }

    /// Takes all keys that are left, in the order of the file.
    pub(super) fn rest(&mut self) -> Vec<(String, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Reports the first key that nobody took.
    ///
    /// # Errors
    /// [`Error::Recipe`] with the nearest spelling.
    pub(super) fn finish(self) -> Result<()> {
        let Some((key, node)) = self.entries.first() else { return Ok(()) };
        let known: Vec<&str> = keys_of(self.listed).map(|k| k.name()).collect();
        let hint = nearest(key, known.iter().copied());
        Err(self.error(node.line, key, format!("unknown key{hint} Known: {}", known.join(", "))))
    }
}
