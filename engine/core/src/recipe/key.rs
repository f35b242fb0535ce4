//! One key of a recipe: where it stands, what it takes, what holds without it.

use super::domain::Domain;

/// A key, stated once: reading, the resolved recipe, the schema and the documents follow from it.
pub(super) struct Key<D: Domain> {
    /// Dotted path; `<name>` stands for a name that the recipe's author chooses.
    pub(super) path: &'static str,
    /// The values it takes.
    pub(super) takes: D,
    /// What holds where it is left out.
    pub(super) absent: Absent<D::Value>,
    /// Unit of a number, or empty.
    pub(super) unit: &'static str,
    /// What it does, in one to three sentences.
    pub(super) doc: &'static str,
    /// A line of TOML that uses it.
    pub(super) example: &'static str,
}

/// What holds where a key is left out.
pub(super) enum Absent<T> {
    /// It is an error, which says this.
    Wrong(&'static str),
    /// This value holds.
    Is(T),
    /// This value holds, and words say more than it does.
    Means(T, &'static str),
}

/// A key as documents and schemas see it, whatever its values.
pub trait AnyKey: Sync {
    /// Dotted path; `<name>` stands for a name that the recipe's author chooses.
    fn path(&self) -> &'static str;

    /// The last part of the path.
    fn name(&self) -> &'static str {
        split(self.path()).1
    }

    /// The path of the table that it stands in; empty for the top.
    fn parent(&self) -> &'static str {
        split(self.path()).0
    }

    /// What it does, in one to three sentences.
    fn doc(&self) -> &'static str;

    /// Unit of a number, or empty.
    fn unit(&self) -> &'static str;

    /// A line of TOML that uses it.
    fn example(&self) -> &'static str;

    /// The values it takes, in words.
    fn takes(&self) -> String;

    /// What holds where it is left out: a value as TOML, or words; `None` where it must be given.
    fn absent(&self) -> Option<String>;

    /// JSON Schema of its value, with description and default.
    fn schema(&self) -> serde_json::Value;
}

impl<D: Domain> AnyKey for Key<D> {
    fn path(&self) -> &'static str {
        self.path
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn unit(&self) -> &'static str {
        self.unit
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn takes(&self) -> String {
        self.takes.describe()
    }

    fn absent(&self) -> Option<String> {
        match &self.absent {
            Absent::Wrong(_) => None,
            Absent::Is(value) => Some(self.takes.write(value).map_or_else(String::new, |v| v.to_string())),
            Absent::Means(_, words) => Some((*words).into()),
        }
    }

    fn schema(&self) -> serde_json::Value {
        let mut schema = self.takes.schema();
        if let Some(object) = schema.as_object_mut() {
            let unit = if self.unit.is_empty() { String::new() } else { format!(" Unit: {}.", self.unit) };
            object.insert("description".into(), format!("{}{unit}", self.doc).into());
            if let Absent::Is(value) | Absent::Means(value, _) = &self.absent
                && let Some(default) = self.takes.write(value).and_then(|v| serde_json::to_value(v).ok())
            {
                object.insert("default".into(), default);
            }
        }
        schema
    }
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').unwrap_or(("", path))
}
