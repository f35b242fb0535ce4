//! Parameter values as the ABI wants them.

use super::descriptor::{ParamInfo, ParamKind, ParamValue};
use assay_abi as abi;
use std::ffi::{CString, c_char};

/// Values of a method's parameters, and what their tables point to.
pub struct RawParams {
    _names: Vec<CString>,
    values: Vec<RawParam>,
}

impl RawParams {
    /// One value for each of the first `values.len()` parameters.
    pub fn new(params: &[ParamInfo], values: &[ParamValue]) -> Self {
        let names: Vec<CString> =
            params.iter().map(|p| CString::new(p.name.as_str()).unwrap_or_default()).collect();
        let values = names.iter().zip(values).map(|(n, v)| *RawParam::new(n.as_ptr(), v)).collect();
        Self { _names: names, values }
    }

    /// Pointers to them, valid while this lives.
    pub fn pointers(&self) -> Vec<*const abi::ParamValue> {
        self.values.iter().map(|r| std::ptr::from_ref(&r.value)).collect()
    }
}

/// A parameter value as the ABI wants it, with what it points to.
struct RawParam {
    value: abi::ParamValue,
    _text: Option<CString>,
    _items: Vec<RawParam>,
    _pointers: Vec<*const abi::ParamValue>,
}

impl RawParam {
    fn new(name: *const c_char, value: &ParamValue) -> Box<Self> {
        let blank = |type_| abi::ParamValue {
            struct_size: abi::size_of::<abi::ParamValue>(),
            type_,
            name,
            i: 0,
            f: 0.0,
            s: std::ptr::null(),
            items: std::ptr::null(),
            n_items: 0,
        };
        let mut raw =
            Box::new(Self { value: blank(0), _text: None, _items: Vec::new(), _pointers: Vec::new() });
        let mut list = |kind: ParamKind, items: Vec<ParamValue>| {
            let items: Vec<Self> = items.iter().map(|v| *Self::new(std::ptr::null(), v)).collect();
            raw._items = items;
            raw._pointers = raw._items.iter().map(|r| std::ptr::from_ref(&r.value)).collect();
            raw.value = blank(kind.bits());
            raw.value.items = raw._pointers.as_ptr();
            raw.value.n_items = raw._pointers.len() as u64;
        };
        match value {
            ParamValue::IntList(v) => {
                list(ParamKind::IntList, v.iter().map(|&v| ParamValue::Int(v)).collect())
            }
            ParamValue::FloatList(v) => {
                list(ParamKind::FloatList, v.iter().map(|&v| ParamValue::Float(v)).collect())
            }
            ParamValue::StringList(v) => {
                list(ParamKind::StringList, v.iter().map(|v| ParamValue::String(v.clone())).collect());
            }
            ParamValue::Bool(v) => raw.value = abi::ParamValue { i: i64::from(*v), ..blank(abi::BOOL) },
            ParamValue::Int(v) => raw.value = abi::ParamValue { i: *v, ..blank(abi::INT) },
            ParamValue::Float(v) => raw.value = abi::ParamValue { f: *v, ..blank(abi::FLOAT) },
            ParamValue::String(v) => {
                let text = CString::new(v.replace('\0', " ")).unwrap_or_default();
                raw.value = abi::ParamValue { s: text.as_ptr(), ..blank(abi::STRING) };
                raw._text = Some(text);
            }
        }
        raw
    }
}
