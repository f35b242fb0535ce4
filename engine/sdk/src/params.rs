//! Parameters: declared once in [`params!`](macro@crate::params), which yields the struct, its validation, help and documentation.

use crate::error::{Error, Result};

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamType {
    /// A boolean.
    Bool,
    /// An integer.
    Int,
    /// A real number.
    Float,
    /// A string.
    String,
    /// A list of integers.
    IntList,
    /// A list of real numbers.
    FloatList,
    /// A list of strings.
    StringList,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A string.
    String(String),
    /// A list of integers.
    IntList(Vec<i64>),
    /// A list of real numbers.
    FloatList(Vec<f64>),
    /// A list of strings.
    StringList(Vec<String>),
}

/// A Rust type that a parameter can have.
pub trait ParamField: Sized {
    /// Its parameter type.
    const TYPE: ParamType;
    /// To the general form.
    fn into_value(self) -> ParamValue;
    /// From the general form; `None` where the type differs.
    fn from_value(value: &ParamValue) -> Option<Self>;
}

macro_rules! param_field {
    ($($ty:ty => $variant:ident),*) => {$(
        impl ParamField for $ty {
            const TYPE: ParamType = ParamType::$variant;
            fn into_value(self) -> ParamValue {
                ParamValue::$variant(self)
            }
            fn from_value(value: &ParamValue) -> Option<Self> {
                if let ParamValue::$variant(v) = value { Some(v.clone()) } else { None }
            }
        }
    )*};
}
param_field!(bool => Bool, i64 => Int, f64 => Float, String => String, Vec<i64> => IntList, Vec<f64> => FloatList,
    Vec<String> => StringList);

/// The declaration of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamInfo {
    /// The key in a recipe.
    pub name: &'static str,
    /// What it does, for help and documentation.
    pub doc: String,
    /// Its default.
    pub default: ParamValue,
    /// Least value of a number (or of a list's items), inclusive.
    pub min: f64,
    /// Greatest value, inclusive.
    pub max: f64,
    /// Unit, or empty.
    pub unit: &'static str,
    /// The only values of a string; empty = any.
    pub choices: &'static [&'static str],
}

impl ParamInfo {
    /// A parameter without bounds.
    pub fn new<T: ParamField>(name: &'static str, doc: &str, default: T) -> Self {
        Self {
            name,
            doc: doc.trim().into(),
            default: default.into_value(),
            min: f64::NEG_INFINITY,
            max: f64::INFINITY,
            unit: "",
            choices: &[],
        }
    }

    /// Sets the least value.
    pub fn min(self, min: impl Into<f64>) -> Self {
        Self { min: min.into(), ..self }
    }

    /// Sets the greatest value.
    pub fn max(self, max: impl Into<f64>) -> Self {
        Self { max: max.into(), ..self }
    }

    /// Sets the unit. A text whose unit is `path` names a file, which the host gives relative to the working directory and a recipe
    /// relative to its own folder.
    pub fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// Sets the only values of a string.
    pub fn choices(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }

    /// Checks a value against type-independent bounds and choices.
    ///
    /// # Errors
    /// A parameter error that names the bound or the choices.
    pub fn check(&self, value: &ParamValue) -> Result<()> {
        let number = |v: f64| {
            if v.is_finite() && v >= self.min && v <= self.max {
                Ok(())
            } else {
                Err(Error::parameter(self.name, format!("{v} is outside {} ..= {}", self.min, self.max)))
            }
        };
        let string = |v: &String| {
            if self.choices.is_empty() || self.choices.contains(&v.as_str()) {
                Ok(())
            } else {
                Err(Error::parameter(self.name, format!("\"{v}\" is none of {}", self.choices.join(", "))))
            }
        };
        match value {
            ParamValue::Bool(_) => Ok(()),
            ParamValue::Int(v) => number(*v as f64),
            ParamValue::Float(v) => number(*v),
            ParamValue::String(v) => string(v),
            ParamValue::IntList(v) => v.iter().try_for_each(|v| number(*v as f64)),
            ParamValue::FloatList(v) => v.iter().try_for_each(|v| number(*v)),
            ParamValue::StringList(v) => v.iter().try_for_each(string),
        }
    }
}

/// A set of parameters; implemented by [`params!`](macro@crate::params).
pub trait Params: Sized {
    /// The declarations, in order.
    fn describe() -> Vec<ParamInfo>;

    /// Builds the set from one value a declaration, in order.
    ///
    /// # Errors
    /// A parameter error where a count, type, bound or choice is wrong.
    fn from_values(values: &[ParamValue]) -> Result<Self>;
}

impl Params for () {
    fn describe() -> Vec<ParamInfo> {
        Vec::new()
    }

    fn from_values(_: &[ParamValue]) -> Result<Self> {
        Ok(())
    }
}

/// Takes the value at `index` for `info`, checked; used by [`params!`](macro@crate::params).
#[doc(hidden)]
pub fn take<T: ParamField>(info: &ParamInfo, values: &[ParamValue], index: usize) -> Result<T> {
    let value = values.get(index).ok_or_else(|| Error::parameter(info.name, "no value was given"))?;
    info.check(value)?;
    T::from_value(value)
        .ok_or_else(|| Error::parameter(info.name, format!("{value:?} is not of type {:?}", T::TYPE)))
}

/// Declares a method's parameters.
///
/// ```
/// assay_sdk::params! {
///     /// Parameters of a blur.
///     pub struct Blur {
///         /// Width of the Gaussian.
///         sigma: f64 = 4.0, min = 0.0, max = 100.0, unit = "cells";
///         /// What happens at the border.
///         border: String = "mirror".into(), choices = &["mirror", "zero"];
///     }
/// }
/// use assay_sdk::Params as _;
/// assert_eq!(Blur::describe()[0].unit, "cells");
/// assert_eq!(Blur::default().sigma, 4.0);
/// ```
#[macro_export]
macro_rules! params {
    (
        $(#[doc = $struct_doc:literal])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $ty:ty = $default:expr $(, $key:ident = $value:expr)*; )*
        }
    ) => {
        $(#[doc = $struct_doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name { $( $(#[doc = $doc])+ pub $field: $ty, )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::Params for $name {
            fn describe() -> Vec<$crate::ParamInfo> {
                vec![ $( $crate::ParamInfo::new::<$ty>(stringify!($field), concat!($($doc, "\n"),+), $default)$(.$key($value))*, )* ]
            }

            fn from_values(values: &[$crate::ParamValue]) -> $crate::Result<Self> {
                let infos = Self::describe();
                let mut at = 0..infos.len();
                $( let $field = {
                    let i = at.next().unwrap_or_default();
                    $crate::params::take::<$ty>(&infos[i], values, i)?
                }; )*
                Ok(Self { $( $field, )* })
            }
        }
    };
}
