//! TOML with line numbers: a plain tree whose every node knows where it stands.

use crate::error::{Error, Result};
use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

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

/// Where the lines of a text end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
        1 + self.0.partition_point(|&end| end < at)
    }
}

/// Lists and tables in each other at most. The parser goes into each, also into those that are never closed.
const MOST_NESTED: usize = 64;

/// Where brackets are nested too deeply: those of each kind that were opened and not closed, whatever the other kind does.
fn too_deep(text: &str) -> Option<usize> {
    let (mut square, mut curly) = (0_usize, 0_usize);
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::LeftSquareBracket => square += 1,
            TokenKind::RightSquareBracket => square = square.saturating_sub(1),
            TokenKind::LeftCurlyBracket => curly += 1,
            TokenKind::RightCurlyBracket => curly = curly.saturating_sub(1),
            _ => {}
        }
        if square + curly > MOST_NESTED {
            return Some(token.span().start());
        }
    }
    None
}

impl Source<'_> {
    /// An error at a line of this file.
    pub fn error(&self, line: usize, key: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Recipe { file: self.file.into(), line, key: key.into(), message: message.into() }
    }

    /// Parses the whole file.
    pub fn parse(&self) -> Result<Node> {
        let lines = Lines::of(self.text);
        if let Some(at) = too_deep(self.text) {
            let message = format!("lists and tables stand in each other more than {MOST_NESTED} deep");
            return Err(self.error(lines.line(at), "not TOML", message));
        }
        let table = DeTable::parse(self.text).map_err(|e| {
            let line = lines.line(e.span().map_or(0, |s| s.start));
            self.error(line, "not TOML", e.message().to_owned())
        })?;
        Ok(Node { line: 1, value: self.table(table.get_ref(), &lines)? })
    }

    fn table(&self, table: &DeTable<'_>, lines: &Lines) -> Result<Value> {
        let entries = table.iter().map(|(key, value)| {
            let node = Node {
                line: lines.line(key.span().start),
                value: self.value(value.get_ref(), value.span().start, lines)?,
            };
            Ok((key.get_ref().to_string(), node))
        });
        entries.collect::<Result<_>>().map(Value::Table)
    }

    fn value(&self, value: &DeValue<'_>, at: usize, lines: &Lines) -> Result<Value> {
        let bad = |what: &str| self.error(lines.line(at), what, "is not a value that a recipe can hold");
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
                            line: lines.line(v.span().start),
                            value: self.value(v.get_ref(), v.span().start, lines)?,
                        })
                    })
                    .collect::<Result<_>>()?,
            ),
            DeValue::Table(t) => self.table(t, lines)?,
        })
    }
}
