//! What a method says of itself, copied out of the plugin (or written by the engine for its built-in steps).
#![allow(unsafe_code, reason = "the ABI: reading a plugin's tables")]

use crate::value::Content;
use assay_abi as abi;
use std::ffi::{CStr, c_char};

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the ABI's types")]
pub enum ParamKind {
    Bool,
    Int,
    Float,
    String,
    IntList,
    FloatList,
    StringList,
}

impl ParamKind {
    /// From the ABI's number.
    pub fn of(bits: u32) -> Option<Self> {
        Some(match bits {
            abi::BOOL => Self::Bool,
            abi::INT => Self::Int,
            abi::FLOAT => Self::Float,
            abi::STRING => Self::String,
            b if b == abi::LIST | abi::INT => Self::IntList,
            b if b == abi::LIST | abi::FLOAT => Self::FloatList,
            b if b == abi::LIST | abi::STRING => Self::StringList,
            _ => return None,
        })
    }

    /// The ABI's number.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bool => abi::BOOL,
            Self::Int => abi::INT,
            Self::Float => abi::FLOAT,
            Self::String => abi::STRING,
            Self::IntList => abi::LIST | abi::INT,
            Self::FloatList => abi::LIST | abi::FLOAT,
            Self::StringList => abi::LIST | abi::STRING,
        }
    }

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "an integer",
            Self::Float => "a number",
            Self::String => "a string",
            Self::IntList => "a list of integers",
            Self::FloatList => "a list of numbers",
            Self::StringList => "a list of strings",
        }
    }
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the ABI's types")]
pub enum ParamValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    IntList(Vec<i64>),
    FloatList(Vec<f64>),
    StringList(Vec<String>),
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::String(v) => write!(f, "\"{v}\""),
            Self::IntList(v) => write!(f, "{v:?}"),
            Self::FloatList(v) => write!(f, "{v:?}"),
            Self::StringList(v) => write!(f, "{v:?}"),
        }
    }
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ParamInfo {
    /// Key in a recipe.
    pub name: String,
    /// What it does.
    pub doc: String,
    /// Unit, or empty.
    pub unit: String,
    /// Type.
    pub kind: ParamKind,
    /// Default.
    pub default: ParamValue,
    /// Least number, inclusive; `None` = unbounded.
    pub min: Option<f64>,
    /// Greatest number, inclusive; `None` = unbounded.
    pub max: Option<f64>,
    /// The only strings; empty = any.
    pub choices: Vec<String>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PortInfo {
    /// Name.
    pub name: String,
    /// What it takes or makes.
    pub doc: String,
    /// Contents it accepts (an output: the one it makes).
    pub content: Vec<Content>,
    /// Takes (makes) grids.
    pub grid: bool,
    /// Takes (makes) clouds.
    pub cloud: bool,
    /// Fewest values.
    pub min_count: usize,
    /// Most values; `None` = any number.
    pub max_count: Option<usize>,
}

/// A method's descriptor.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[allow(missing_docs, reason = "the header documents the fields")]
pub struct MethodInfo {
    pub id: String,
    pub name: String,
    pub summary: String,
    pub vendor: String,
    pub version: String,
    pub licence: String,
    pub paper: String,
    pub deviations: String,
    pub fitted: bool,
    pub concurrent: bool,
    pub deterministic: bool,
    /// Whether a fit takes so long that it is done once, without fold 1.
    pub one_fit: bool,
    pub own_threads: bool,
    pub inputs: Vec<PortInfo>,
    pub outputs: Vec<PortInfo>,
    pub params: Vec<ParamInfo>,
}

impl MethodInfo {
    /// `extractor`, `detector` or `fuser`, which follows from what it takes and makes.
    pub fn role(&self) -> &'static str {
        let scores = |ports: &[PortInfo]| ports.iter().any(|p| p.content.contains(&Content::Scores));
        match (scores(&self.inputs), scores(&self.outputs)) {
            (_, false) => "extractor",
            (false, true) => "detector",
            (true, true) => "fuser",
        }
    }

    /// Copies the descriptor of a loaded method.
    ///
    /// # Safety
    /// `raw` is a method table of a loaded plugin whose pointers obey the ABI.
    pub(super) unsafe fn read(raw: &abi::Method) -> Result<Self, String> {
        let name = |p: *const c_char, what: &str| {
            // SAFETY: strings of descriptors are NUL-terminated.
            unsafe { text(p) }.ok_or_else(|| format!("a method has no {what}"))
        };
        // SAFETY: as above; null stands for the empty string here.
        let optional = |p: *const c_char| unsafe { text(p) }.unwrap_or_default();
        let id = name(raw.id, "id")?;
        if id.is_empty()
            || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        {
            return Err(format!("method id `{id}` is not made of a-z, 0-9, _ and -"));
        }
        let context = |e: String| format!("method `{id}`: {e}");
        // SAFETY: arrays of descriptors hold as many valid pointers as they say.
        let (inputs, outputs, params) = unsafe {
            (
                each(raw.inputs, raw.n_inputs, read_port).map_err(context)?,
                each(raw.outputs, raw.n_outputs, read_port).map_err(context)?,
                each(raw.params, raw.n_params, read_param).map_err(context)?,
            )
        };
        if outputs.is_empty() || outputs.iter().any(|o| o.content.len() != 1) {
            return Err(context("each output makes exactly one content".into()));
        }
        let fitted = raw.flags & abi::FLAG_FITTED != 0;
        let required = [
            (raw.create.is_some(), "create"),
            (raw.plan.is_some(), "plan"),
            (raw.score.is_some(), "score"),
            (raw.destroy.is_some(), "destroy"),
            (!fitted || raw.fit_begin.is_some(), "fit_begin"),
            (!fitted || raw.fit_add.is_some(), "fit_add"),
            (!fitted || raw.fit_end.is_some(), "fit_end"),
            (!fitted || raw.save.is_some(), "save"),
            (!fitted || raw.load.is_some(), "load"),
        ];
        if let Some((_, missing)) = required.iter().find(|(there, _)| !there) {
            return Err(context(format!("the function `{missing}` is missing")));
        }
        Ok(Self {
            name: name(raw.name, "name")?,
            version: name(raw.version, "version")?,
            summary: optional(raw.summary),
            vendor: optional(raw.vendor),
            licence: optional(raw.licence),
            paper: optional(raw.paper),
            deviations: optional(raw.deviations),
            fitted,
            concurrent: raw.flags & abi::FLAG_CONCURRENT_SCORE != 0,
            deterministic: raw.flags & abi::FLAG_DETERMINISTIC != 0,
            one_fit: raw.flags & abi::FLAG_ONE_FIT != 0,
            own_threads: raw.flags & abi::FLAG_OWN_THREADS != 0,
            inputs,
            outputs,
            params,
            id,
        })
    }
}

/// # Safety
/// `text` is null or NUL-terminated.
pub(super) unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: by the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// A table as this host's version has it: what an older one does not have is 0.
///
/// # Safety
/// `table` is null or begins with its size and is as long as it says.
pub(super) unsafe fn whole<T: abi::Table>(table: *const T) -> Result<T, String> {
    // SAFETY: by the caller; the size is the first word.
    let size = unsafe { table.cast::<u32>().as_ref() }.ok_or("an array holds a null entry")?;
    if *size < T::SIZE_1_0 {
        return Err(format!("a table has {size} bytes, fewer than version 1.0 says ({})", T::SIZE_1_0));
    }
    let mut whole = std::mem::MaybeUninit::<T>::zeroed();
    let len = (*size as usize).min(size_of::<T>());
    // SAFETY: `len` bytes are in both; all-zero bytes are a value of a table.
    unsafe {
        std::ptr::copy_nonoverlapping(table.cast::<u8>(), whole.as_mut_ptr().cast(), len);
        Ok(whole.assume_init())
    }
}

/// Reads each entry of a descriptor's array.
///
/// # Safety
/// `entries` holds `n` pointers that are null or valid.
pub(super) unsafe fn each<T: abi::Table, U>(
    entries: *const *const T,
    n: u32,
    read: impl Fn(&T) -> Result<U, String>,
) -> Result<Vec<U>, String> {
    if n > 1024 || (n > 0 && entries.is_null()) {
        return Err(format!("an array of {n} entries is not plausible"));
    }
    (0..n as usize)
        .map(|i| {
            // SAFETY: by the caller.
            read(&unsafe { whole(*entries.add(i)) }?)
        })
        .collect()
}

fn read_port(p: &abi::Port) -> Result<PortInfo, String> {
    // SAFETY: strings of descriptors are NUL-terminated.
    let (name, doc) = unsafe { (text(p.name).ok_or("a port has no name")?, text(p.doc).unwrap_or_default()) };
    let content = Content::in_set(p.content);
    if content.is_empty() || p.layout & (abi::LAYOUT_GRID | abi::LAYOUT_CLOUD) == 0 {
        return Err(format!("port `{name}` accepts nothing that this host knows"));
    }
    Ok(PortInfo {
        name,
        doc,
        content,
        grid: p.layout & abi::LAYOUT_GRID != 0,
        cloud: p.layout & abi::LAYOUT_CLOUD != 0,
        min_count: p.min_count as usize,
        max_count: (p.max_count != 0).then_some(p.max_count as usize),
    })
}

fn read_param(p: &abi::Param) -> Result<ParamInfo, String> {
    // SAFETY: strings and tables of descriptors obey the ABI.
    unsafe {
        let name = text(p.name).ok_or("a parameter has no name")?;
        let kind = ParamKind::of(p.type_)
            .ok_or_else(|| format!("parameter `{name}` has unknown type {}", p.type_))?;
        if p.default_value.is_null() {
            return Err(format!("parameter `{name}` has no default"));
        }
        let default = &whole(p.default_value)?;
        let n = u32::try_from(p.n_choices).map_err(|e| e.to_string())?;
        let choices = if n > 1024 || (n > 0 && p.choices.is_null()) {
            return Err(format!("parameter `{name}` has an implausible list of choices"));
        } else {
            (0..n as usize).filter_map(|i| text(*p.choices.add(i))).collect()
        };
        Ok(ParamInfo {
            doc: text(p.doc).unwrap_or_default(),
            unit: text(p.unit).unwrap_or_default(),
            default: read_value(kind, default).map_err(|e| format!("parameter `{name}`: {e}"))?,
            kind,
            min: p.min.is_finite().then_some(p.min),
            max: p.max.is_finite().then_some(p.max),
            choices,
            name,
        })
    }
}

/// # Safety
/// The value obeys the ABI.
unsafe fn read_value(kind: ParamKind, v: &abi::ParamValue) -> Result<ParamValue, String> {
    if v.type_ != kind.bits() {
        return Err(format!("the default is of type {}, not {}", v.type_, kind.bits()));
    }
    let n = u32::try_from(v.n_items).map_err(|e| e.to_string())?;
    // SAFETY: by the caller.
    unsafe {
        Ok(match kind {
            ParamKind::Bool => ParamValue::Bool(v.i != 0),
            ParamKind::Int => ParamValue::Int(v.i),
            ParamKind::Float => ParamValue::Float(v.f),
            ParamKind::String => ParamValue::String(text(v.s).unwrap_or_default()),
            ParamKind::IntList => ParamValue::IntList(each(v.items, n, |i| Ok(i.i))?),
            ParamKind::FloatList => ParamValue::FloatList(each(v.items, n, |i| Ok(i.f))?),
            ParamKind::StringList => {
                ParamValue::StringList(each(v.items, n, |i| Ok(text(i.s).unwrap_or_default()))?)
            }
        })
    }
}
