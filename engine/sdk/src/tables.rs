//! A method's descriptor as the ABI's tables, made once and kept for the life of the process.

use crate::glue;
use crate::method::Method;
use crate::params::{ParamInfo, ParamValue, Params};
use crate::value::Layout;
use assay_abi as abi;
use std::ffi::c_char;

/// The descriptor and functions of method `M`. Its strings live as long as the process.
pub fn method_table<M: Method>() -> abi::Method {
    let info = M::INFO;
    let fitted = info.fitted;
    let params: Vec<&'static abi::Param> = M::Params::describe().iter().map(param_table).collect();
    let inputs: Vec<&'static abi::Port> = info
        .inputs
        .iter()
        .map(|p| {
            let content = p.content.iter().fold(0, |bits, &c| bits | c as u32);
            port_table(p.name, p.doc, content, p.layout, p.min_count, p.max_count)
        })
        .collect();
    let outputs: Vec<&'static abi::Port> =
        info.outputs.iter().map(|p| port_table(p.name, p.doc, p.content as u32, p.layout, 1, 1)).collect();
    abi::Method {
        struct_size: abi::size_of::<abi::Method>(),
        flags: abi::FLAG_CONCURRENT_SCORE
            | if fitted { abi::FLAG_FITTED } else { 0 }
            | if info.deterministic { abi::FLAG_DETERMINISTIC } else { 0 }
            | if M::ONE_FIT { abi::FLAG_ONE_FIT } else { 0 }
            | if M::OWN_THREADS { abi::FLAG_OWN_THREADS } else { 0 },
        id: leak_text(info.id),
        name: leak_text(info.name),
        summary: leak_text(info.summary),
        vendor: leak_text(info.vendor),
        version: leak_text(info.version),
        licence: leak_text(info.licence),
        paper: leak_text(info.paper),
        deviations: leak_text(info.deviations),
        n_inputs: inputs.len() as u32,
        n_outputs: outputs.len() as u32,
        n_params: params.len() as u32,
        reserved: 0,
        inputs: leak_table(inputs),
        outputs: leak_table(outputs),
        params: leak_table(params),
        create: Some(glue::create::<M>),
        plan: Some(glue::plan::<M>),
        fit_begin: fitted.then_some(glue::fit_begin::<M> as _),
        fit_add: fitted.then_some(glue::fit_add::<M> as _),
        fit_end: fitted.then_some(glue::fit_end::<M> as _),
        score: Some(glue::score::<M>),
        save: fitted.then_some(glue::save::<M> as _),
        load: fitted.then_some(glue::load::<M> as _),
        destroy: Some(glue::destroy::<M>),
        get_extension: None,
    }
}

/// The plugin table of [`export!`](crate::export), made once and kept for the life of the process.
#[doc(hidden)]
pub fn plugin_table(name: &str, version: &str, methods: Vec<abi::Method>) -> &'static abi::Plugin {
    let methods: Vec<&'static abi::Method> = methods.into_iter().map(|m| &*Box::leak(Box::new(m))).collect();
    Box::leak(Box::new(abi::Plugin {
        struct_size: abi::size_of::<abi::Plugin>(),
        n_methods: methods.len() as u32,
        name: leak_text(name),
        version: leak_text(version),
        methods: leak_table(methods),
        get_extension: None,
    }))
}

fn leak_text(text: &str) -> *const c_char {
    glue::c_string(text).into_raw()
}

fn leak_table<T>(entries: Vec<&'static T>) -> *const *const T {
    let pointers: Vec<*const T> = entries.into_iter().map(std::ptr::from_ref).collect();
    Box::leak(pointers.into_boxed_slice()).as_ptr()
}

fn port_table(
    name: &str,
    doc: &str,
    content: u32,
    layout: &[Layout],
    min: u32,
    max: u32,
) -> &'static abi::Port {
    Box::leak(Box::new(abi::Port {
        struct_size: abi::size_of::<abi::Port>(),
        content,
        layout: layout.iter().fold(0, |bits, &l| bits | l as u32),
        min_count: min,
        max_count: max,
        reserved: 0,
        name: leak_text(name),
        doc: leak_text(doc),
    }))
}

fn param_table(info: &ParamInfo) -> &'static abi::Param {
    let choices: Vec<*const c_char> = info.choices.iter().map(|c| leak_text(c)).collect();
    let default = leak_value(None, &info.default);
    Box::leak(Box::new(abi::Param {
        struct_size: abi::size_of::<abi::Param>(),
        type_: default.type_,
        name: leak_text(info.name),
        doc: leak_text(&info.doc),
        unit: if info.unit.is_empty() { std::ptr::null() } else { leak_text(info.unit) },
        default_value: default,
        min: info.min,
        max: info.max,
        n_choices: choices.len() as u64,
        choices: if choices.is_empty() {
            std::ptr::null()
        } else {
            Box::leak(choices.into_boxed_slice()).as_ptr()
        },
    }))
}

/// A parameter value as the ABI wants it, kept for the life of the process (defaults, tests).
pub(crate) fn leak_value(name: Option<&str>, value: &ParamValue) -> &'static abi::ParamValue {
    let mut raw = abi::ParamValue {
        struct_size: abi::size_of::<abi::ParamValue>(),
        type_: match value {
            ParamValue::Bool(_) => abi::BOOL,
            ParamValue::Int(_) => abi::INT,
            ParamValue::Float(_) => abi::FLOAT,
            ParamValue::String(_) => abi::STRING,
            ParamValue::IntList(_) => abi::LIST | abi::INT,
            ParamValue::FloatList(_) => abi::LIST | abi::FLOAT,
            ParamValue::StringList(_) => abi::LIST | abi::STRING,
        },
        name: name.map_or(std::ptr::null(), leak_text),
        i: 0,
        f: 0.0,
        s: std::ptr::null(),
        items: std::ptr::null(),
        n_items: 0,
    };
    let mut set_items = |items: Vec<ParamValue>| {
        raw.n_items = items.len() as u64;
        raw.items = leak_table(items.iter().map(|v| leak_value(None, v)).collect());
    };
    match value {
        ParamValue::Bool(v) => raw.i = i64::from(*v),
        ParamValue::Int(v) => raw.i = *v,
        ParamValue::Float(v) => raw.f = *v,
        ParamValue::String(v) => raw.s = leak_text(v),
        ParamValue::IntList(v) => set_items(v.iter().map(|&v| ParamValue::Int(v)).collect()),
        ParamValue::FloatList(v) => set_items(v.iter().map(|&v| ParamValue::Float(v)).collect()),
        ParamValue::StringList(v) => set_items(v.iter().map(|v| ParamValue::String(v.clone())).collect()),
    }
    Box::leak(Box::new(raw))
}
