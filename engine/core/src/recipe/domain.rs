//! What a key's values can be. Each domain reads a value, writes it back, and describes itself to people and to machines.

use super::From;
use super::toml::{Node, Value};
use crate::error::nearest;
use assay_inference::Device as Processor;
use serde_json::json;
use toml::Value as Toml;

/// What is wrong with a value, and at which line.
pub(super) type Fault = (usize, String);

/// The values that a key takes.
pub(super) trait Domain: Sync {
    /// What they become.
    type Value: Clone + Sync;

    /// Reads a value as it stands in a recipe.
    fn read(&self, node: &Node) -> Result<Self::Value, Fault>;

    /// Writes a value; `None` where leaving the key out is the way to say it.
    fn write(&self, value: &Self::Value) -> Option<Toml>;

    /// The domain in words.
    fn describe(&self) -> String;

    /// The domain as JSON Schema.
    fn schema(&self) -> serde_json::Value;
}

fn expected<T>(what: &str, node: &Node) -> Result<T, Fault> {
    Err((node.line, format!("expected {what}, found {}", node.value.kind())))
}

fn string(node: &Node) -> Option<String> {
    if let Value::String(s) = &node.value { Some(s.clone()) } else { None }
}

/// The recipe format: 1.
pub(super) struct Format;

impl Domain for Format {
    type Value = i64;

    fn read(&self, node: &Node) -> Result<i64, Fault> {
        match node.value {
            Value::Int(1) => Ok(1),
            Value::Int(_) => {
                Err((node.line, "this program reads recipes of format 1; a newer one may be needed".into()))
            }
            _ => expected("the integer 1", node),
        }
    }

    fn write(&self, value: &i64) -> Option<Toml> {
        Some(Toml::Integer(*value))
    }

    fn describe(&self) -> String {
        "1".into()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "const": 1 })
    }
}

/// Any string; `pattern` is what it must match, for editors: whoever uses the value checks it.
pub(super) struct Text {
    pub(super) pattern: Option<&'static str>,
}

impl Domain for Text {
    type Value = String;

    fn read(&self, node: &Node) -> Result<String, Fault> {
        string(node).map_or_else(|| expected("a string", node), Ok)
    }

    fn write(&self, value: &String) -> Option<Toml> {
        Some(Toml::String(value.clone()))
    }

    fn describe(&self) -> String {
        "a string".into()
    }

    fn schema(&self) -> serde_json::Value {
        match self.pattern {
            Some(pattern) => json!({ "type": "string", "pattern": pattern }),
            None => json!({ "type": "string" }),
        }
    }
}

/// One of some words, each with what it stands for.
pub(super) struct Word<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Sync> Domain for Word<T> {
    type Value = T;

    fn read(&self, node: &Node) -> Result<T, Fault> {
        let Some(word) = string(node) else { return expected("a string", node) };
        let words = self.0.iter().map(|(w, _)| *w);
        self.0.iter().find(|(w, _)| *w == word).map(|(_, value)| *value).ok_or_else(|| {
            let known = words.clone().collect::<Vec<_>>().join(", ");
            (node.line, format!("\"{word}\" is none of {known}{}", nearest(&word, words)))
        })
    }

    fn write(&self, value: &T) -> Option<Toml> {
        self.0.iter().find(|(_, v)| v == value).map(|(word, _)| Toml::String((*word).into()))
    }

    fn describe(&self) -> String {
        self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "string", "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }
}

/// An integer, bounds included.
pub(super) struct Integer {
    pub(super) min: i64,
    /// `i64::MAX` = unbounded.
    pub(super) max: i64,
}

impl Domain for Integer {
    type Value = i64;

    fn read(&self, node: &Node) -> Result<i64, Fault> {
        match node.value {
            Value::Int(v) if (self.min..=self.max).contains(&v) => Ok(v),
            Value::Int(v) if self.max == i64::MAX => {
                Err((node.line, format!("{v} is less than {}", self.min)))
            }
            Value::Int(v) => Err((node.line, format!("{v} is outside {} ..= {}", self.min, self.max))),
            _ => expected("an integer", node),
        }
    }

    fn write(&self, value: &i64) -> Option<Toml> {
        Some(Toml::Integer(*value))
    }

    fn describe(&self) -> String {
        match self.max {
            i64::MAX => format!("an integer from {}", self.min),
            max => format!("an integer, {} to {max}", self.min),
        }
    }

    fn schema(&self) -> serde_json::Value {
        match self.max {
            i64::MAX => json!({ "type": "integer", "minimum": self.min }),
            max => json!({ "type": "integer", "minimum": self.min, "maximum": max }),
        }
    }
}

/// A number, bounds included; an integer is one too.
pub(super) struct Number {
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Domain for Number {
    type Value = f64;

    fn read(&self, node: &Node) -> Result<f64, Fault> {
        let v = match node.value {
            Value::Int(i) => i as f64,
            Value::Float(f) => f,
            _ => return expected("a number", node),
        };
        if v >= self.min && v <= self.max {
            return Ok(v);
        }
        Err((node.line, format!("{v} is outside {} ..= {}", self.min, self.max)))
    }

    fn write(&self, value: &f64) -> Option<Toml> {
        Some(Toml::Float(*value))
    }

    fn describe(&self) -> String {
        format!("a number, {} to {}", self.min, self.max)
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "number", "minimum": self.min, "maximum": self.max })
    }
}

/// True or false.
pub(super) struct Flag;

impl Domain for Flag {
    type Value = bool;

    fn read(&self, node: &Node) -> Result<bool, Fault> {
        if let Value::Bool(v) = node.value { Ok(v) } else { expected("true or false", node) }
    }

    fn write(&self, value: &bool) -> Option<Toml> {
        Some(Toml::Boolean(*value))
    }

    fn describe(&self) -> String {
        "true or false".into()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "boolean" })
    }
}

/// A list of so many finite numbers.
pub(super) struct Numbers {
    pub(super) count: usize,
}

impl Domain for Numbers {
    type Value = Vec<f64>;

    fn read(&self, node: &Node) -> Result<Vec<f64>, Fault> {
        let number = |node: &Node| match node.value {
            Value::Int(i) => Some(i as f64),
            Value::Float(f) => Some(f).filter(|f| f.is_finite()),
            _ => None,
        };
        let numbers: Option<Vec<f64>> = match &node.value {
            Value::List(items) => items.iter().map(number).collect(),
            _ => None,
        };
        match numbers.filter(|numbers| numbers.len() == self.count) {
            Some(numbers) => Ok(numbers),
            None => Err((node.line, format!("expected {}", self.describe()))),
        }
    }

    fn write(&self, value: &Vec<f64>) -> Option<Toml> {
        Some(Toml::Array(value.iter().copied().map(Toml::Float).collect()))
    }

    fn describe(&self) -> String {
        format!("a list of {} numbers", self.count)
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "number" }, "minItems": self.count, "maxItems": self.count })
    }
}

/// A list of strings.
pub(super) struct Texts;

impl Domain for Texts {
    type Value = Vec<String>;

    fn read(&self, node: &Node) -> Result<Vec<String>, Fault> {
        let texts = match &node.value {
            Value::List(items) => items.iter().map(string).collect(),
            _ => None,
        };
        texts.map_or_else(|| expected("a list of strings", node), Ok)
    }

    fn write(&self, value: &Vec<String>) -> Option<Toml> {
        Some(texts(value))
    }

    fn describe(&self) -> String {
        "a list of strings".into()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "array", "items": { "type": "string" } })
    }
}

fn texts(values: &[String]) -> Toml {
    Toml::Array(values.iter().cloned().map(Toml::String).collect())
}

/// Where networks run.
pub(super) struct Device;

impl Domain for Device {
    type Value = Processor;

    fn read(&self, node: &Node) -> Result<Processor, Fault> {
        let Some(text) = string(node) else { return expected("a string", node) };
        text.parse().map_err(|e: assay_inference::InferenceError| (node.line, e.to_string()))
    }

    fn write(&self, value: &Processor) -> Option<Toml> {
        Some(Toml::String(value.to_string()))
    }

    fn describe(&self) -> String {
        "\"cpu\", or \"cuda:N\" with the index N of the GPU".into()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "string", "pattern": "^(cpu|cuda:[0-9]+)$" })
    }
}

/// A domain whose key may be left out to say that there is nothing.
pub(super) struct Maybe<D>(pub(super) D);

impl<D: Domain> Domain for Maybe<D> {
    type Value = Option<D::Value>;

    fn read(&self, node: &Node) -> Result<Option<D::Value>, Fault> {
        self.0.read(node).map(Some)
    }

    fn write(&self, value: &Option<D::Value>) -> Option<Toml> {
        value.as_ref().and_then(|v| self.0.write(v))
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn schema(&self) -> serde_json::Value {
        self.0.schema()
    }
}

/// The inputs of a step: names, or names by port.
pub(super) struct Inputs;

impl Inputs {
    fn names(node: &Node) -> Result<Vec<String>, Fault> {
        let names = match &node.value {
            Value::String(s) => Some(vec![s.clone()]),
            Value::List(items) => items.iter().map(string).collect(),
            _ => None,
        };
        let what = "expected a name, a list of names, or a table { port = \"step.output\" }";
        names.ok_or_else(|| (node.line, what.into()))
    }

    fn written(names: &[String]) -> Toml {
        if let [one] = names { Toml::String(one.clone()) } else { texts(names) }
    }
}

impl Domain for Inputs {
    type Value = From;

    fn read(&self, node: &Node) -> Result<From, Fault> {
        let Value::Table(ports) = &node.value else { return Self::names(node).map(From::Ordered) };
        let named = ports.iter().map(|(port, names)| Ok((port.clone(), Self::names(names)?)));
        named.collect::<Result<_, _>>().map(From::Named)
    }

    fn write(&self, value: &From) -> Option<Toml> {
        Some(match value {
            From::Ordered(names) => Self::written(names),
            From::Named(ports) => {
                Toml::Table(ports.iter().map(|(port, names)| (port.clone(), Self::written(names))).collect())
            }
        })
    }

    fn describe(&self) -> String {
        "a name, a list of names, or a table { port = \"step.output\" }".into()
    }

    fn schema(&self) -> serde_json::Value {
        let names = json!([{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]);
        json!({ "anyOf": [names[0], names[1], { "type": "object", "additionalProperties": { "anyOf": names } }] })
    }
}

/// A table whose keys are listed under it.
pub(super) struct Section;

impl Domain for Section {
    type Value = Node;

    fn read(&self, node: &Node) -> Result<Node, Fault> {
        if matches!(node.value, Value::Table(_)) { Ok(node.clone()) } else { expected("a table", node) }
    }

    fn write(&self, _: &Node) -> Option<Toml> {
        None
    }

    fn describe(&self) -> String {
        "a table".into()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "object" })
    }
}

/// A table, or a string that stands for a table with this one key.
pub(super) struct SectionOr(pub(super) &'static str);

impl Domain for SectionOr {
    type Value = Node;

    fn read(&self, node: &Node) -> Result<Node, Fault> {
        match &node.value {
            Value::String(_) => {
                Ok(Node { line: node.line, value: Value::Table(vec![(self.0.into(), node.clone())]) })
            }
            Value::Table(_) => Ok(node.clone()),
            _ => expected("a string or a table", node),
        }
    }

    fn write(&self, _: &Node) -> Option<Toml> {
        None
    }

    fn describe(&self) -> String {
        format!("a string, which is its `{}`, or a table", self.0)
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": ["string", "object"] })
    }
}
