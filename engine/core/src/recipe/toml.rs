//! TOML with line numbers: a plain tree whose every node knows where it stands, and a reader that reports keys nobody took.

use crate::error::{Error, Result, nearest};
use toml::de::{DeTable, DeValue};

/// A value and its line.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line in the recipe, from 1.
    pub line: usize,
    /// What stands there.
    pub value: Value,
}

/// A TOML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file; each key with its line.
    Table(Vec<(String, Node)>),
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A file being read: its name for messages and its text for line numbers.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Name for messages.
    pub file: &'a str,
    /// The text.
    pub text: &'a str,
}

impl Source<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count()
    }

    /// An error at a line of this file.
    pub fn error(&self, line: usize, key: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Recipe { file: self.file.into(), line, key: key.into(), message: message.into() }
    }

    /// Parses the whole file.
    pub fn parse(&self) -> Result<Node> {
        let table = DeTable::parse(self.text).map_err(|e| {
            let line = self.line(e.span().map_or(0, |s| s.start));
            self.error(line, "not TOML", e.message().to_owned())
        })?;
        Ok(Node { line: 1, value: self.table(table.get_ref())? })
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Value> {
        let entries = table.iter().map(|(key, value)| {
            let node = Node {
                line: self.line(key.span().start),
                value: self.value(value.get_ref(), value.span().start)?,
            };
            Ok((key.get_ref().to_string(), node))
        });
        entries.collect::<Result<_>>().map(Value::Table)
    }

    fn value(&self, value: &DeValue<'_>, at: usize) -> Result<Value> {
        let bad = |what: &str| self.error(self.line(at), what, "is not a value that a recipe can hold");
        Ok(match value {
            DeValue::String(s) => Value::String(s.to_string()),
            DeValue::Integer(i) => {
                Value::Int(i64::from_str_radix(i.as_str(), i.radix()).map_err(|_| bad(i.as_str()))?)
            }
            DeValue::Float(f) => Value::Float(f.as_str().parse().map_err(|_| bad(f.as_str()))?),
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Datetime(d) => return Err(bad(&d.to_string())),
            DeValue::Array(items) => Value::List(
                items
                    .iter()
                    .map(|v| {
                        Ok(Node {
                            line: self.line(v.span().start),
                            value: self.value(v.get_ref(), v.span().start)?,
                        })
                    })
                    .collect::<Result<_>>()?,
            ),
            DeValue::Table(t) => self.table(t)?,
        })
    }
}

/// Takes keys out of a table; [`Reader::finish`] reports the ones nobody took.
pub struct Reader<'a> {
    source: Source<'a>,
    path: String,
    line: usize,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads the table at dotted `path`.
    pub fn new(source: Source<'a>, path: &str, node: Node) -> Result<Self> {
        match node.value {
            Value::Table(entries) => {
                Ok(Self { source, path: path.into(), line: node.line, entries, known: Vec::new() })
            }
            other => Err(source.error(node.line, path, format!("expected a table, found {}", other.kind()))),
        }
    }

    /// Line of the table.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Dotted path of `key`.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }

    /// An error about `key`, at its line.
    pub fn error(&self, line: usize, key: &str, message: impl Into<String>) -> Error {
        self.source.error(line, self.path_of(key), message)
    }

    /// Line of a key that nobody took yet.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, node)| node.line)
    }

    /// Takes a key, whatever its type.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(k, _)| k == key)?;
        Some(self.entries.remove(at).1)
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<(T, usize)>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        match read(&node.value) {
            Some(v) => Ok(Some((v, node.line))),
            None => Err(self.error(node.line, key, format!("expected {what}, found {}", node.value.kind()))),
        }
    }

    /// Takes a string.
    pub fn string(&mut self, key: &'static str) -> Result<Option<String>> {
        let read = |v: &Value| if let Value::String(s) = v { Some(s.clone()) } else { None };
        Ok(self.typed(key, "a string", read)?.map(|(v, _)| v))
    }

    /// Takes a string that must be one of `choices`; returns its index.
    pub fn choice(&mut self, key: &'static str, choices: &[&str]) -> Result<Option<usize>> {
        let read = |v: &Value| if let Value::String(s) = v { Some(s.clone()) } else { None };
        let Some((word, line)) = self.typed(key, "a string", read)? else { return Ok(None) };
        choices.iter().position(|c| *c == word).map(Some).ok_or_else(|| {
            let hint = nearest(&word, choices.iter().copied());
            self.error(line, key, format!("\"{word}\" is none of {}{hint}", choices.join(", ")))
        })
    }

    /// Takes an integer in `min..=max`.
    pub fn int(&mut self, key: &'static str, min: i64, max: i64) -> Result<Option<i64>> {
        let read = |v: &Value| if let Value::Int(i) = v { Some(*i) } else { None };
        match self.typed(key, "an integer", read)? {
            Some((v, line)) if v < min || v > max => {
                Err(self.error(line, key, format!("{v} is outside {min} ..= {max}")))
            }
            other => Ok(other.map(|(v, _)| v)),
        }
    }

    /// Takes a number in `min..=max`.
    pub fn number(&mut self, key: &'static str, min: f64, max: f64) -> Result<Option<f64>> {
        let read = |v: &Value| match v {
            Value::Int(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        };
        match self.typed(key, "a number", read)? {
            Some((v, line)) if !(v >= min && v <= max) => {
                Err(self.error(line, key, format!("{v} is outside {min} ..= {max}")))
            }
            other => Ok(other.map(|(v, _)| v)),
        }
    }

    /// Takes a boolean.
    pub fn bool(&mut self, key: &'static str) -> Result<Option<bool>> {
        let read = |v: &Value| if let Value::Bool(b) = v { Some(*b) } else { None };
        Ok(self.typed(key, "true or false", read)?.map(|(v, _)| v))
    }

    /// Takes a list of strings.
    pub fn strings(&mut self, key: &'static str) -> Result<Option<Vec<String>>> {
        let one = |n: &Node| if let Value::String(s) = &n.value { Some(s.clone()) } else { None };
        let read =
            |v: &Value| if let Value::List(items) = v { items.iter().map(one).collect() } else { None };
        Ok(self.typed(key, "a list of strings", read)?.map(|(v, _)| v))
    }

    /// Takes all keys that are left, in the order of the file.
    pub fn rest(&mut self) -> Vec<(String, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Reports the first key that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, node)) => {
                let hint = nearest(key, self.known.iter().copied());
                Err(self.error(node.line, key, format!("unknown key{hint} Known: {}", self.known.join(", "))))
            }
        }
    }
}
