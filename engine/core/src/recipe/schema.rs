//! The JSON Schema of a recipe, from the list of keys and the methods at hand, for editors and for checks without this program.

use super::keys::{self, AnyKey, NAME, keys_of};
use crate::plugin::{MethodInfo, ParamInfo, ParamKind, PortInfo};
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of a recipe that uses these methods.
///
/// It knows each key and parameter with type, range, words and default, and refuses others. What a schema cannot say is left
/// to [`crate::graph::Graph::resolve`]: that references name steps, that contents fit, that `review` exceeds the rate.
pub fn schema(methods: &[&MethodInfo]) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Assay recipe",
        "description": "A station: its sensors, what is done with them, and how the verdict follows.",
    });
    merge(&mut schema, object("", methods));
    let each = methods.iter().map(|m| (definition(m), step(m)));
    merge(&mut schema, json!({ "$defs": each.collect::<Map<_, _>>() }));
    schema
}

fn merge(schema: &mut Value, other: Value) {
    if let (Value::Object(to), Value::Object(from)) = (schema, other) {
        to.extend(from);
    }
}

/// A table of the list: its keys, and no others.
fn object(path: &str, methods: &[&MethodInfo]) -> Value {
    // The one key of a table whose names are free stands for each of them.
    if let Some(named) = keys_of(path).find(|key| key.name() == "<name>") {
        return json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": NAME },
            "additionalProperties": value(named, methods),
        });
    }
    let required: Vec<&str> = keys_of(path).filter(|k| k.absent().is_none()).map(|k| k.name()).collect();
    let properties = keys_of(path).map(|key| (key.name().to_owned(), value(key, methods)));
    let mut schema = json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        merge(&mut schema, json!({ "required": required }));
    }
    schema
}

fn value(key: &'static dyn AnyKey, methods: &[&MethodInfo]) -> Value {
    if key.path() == keys::STEP.path {
        let each: Vec<Value> =
            methods.iter().map(|m| json!({ "$ref": format!("#/$defs/{}", definition(m)) })).collect();
        return json!({ "description": key.doc(), "oneOf": each });
    }
    if keys_of(key.path()).next().is_none() {
        return key.schema();
    }
    let mut table = object(key.path(), methods);
    merge(&mut table, json!({ "description": key.doc() }));
    // Tables that a string may stand for.
    if key.path() == keys::SENSOR.path {
        return json!({ "anyOf": [keys::SENSOR_FILES.schema(), table] });
    }
    if key.path() == keys::CAMERA.path {
        return json!({ "anyOf": [keys::CAMERA_FILE.schema(), table] });
    }
    table
}

fn definition(method: &MethodInfo) -> String {
    format!("method-{}", method.id)
}

/// A step of one method.
fn step(method: &MethodInfo) -> Value {
    let mut properties: Map<String, Value> =
        method.params.iter().map(|p| (p.name.clone(), parameter(p))).collect();
    // The engine's own keys go before a plugin's parameters of the same names.
    for key in keys_of(keys::STEP.path) {
        properties.insert(key.name().into(), key.schema());
    }
    properties.insert(
        keys::STEP_METHOD.name().into(),
        json!({ "const": method.id, "description": format!("{} ({}): {}", method.name, method.role(), method.summary) }),
    );
    properties.insert(keys::STEP_FROM.name().into(), from(&method.inputs));
    let required: Vec<&str> =
        keys_of(keys::STEP.path).filter(|k| k.absent().is_none()).map(|k| k.name()).collect();
    json!({
        "type": "object",
        "description": method.summary,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The inputs of a method: names, or names by port.
fn from(ports: &[PortInfo]) -> Value {
    let name = json!({ "type": "string" });
    let list = json!({ "type": "array", "items": name });
    let names = |doc: &str| json!({ "anyOf": [name, list], "description": doc });
    let by_port: Map<String, Value> = ports.iter().map(|p| (p.name.clone(), names(&p.doc))).collect();
    let required: Vec<&str> = ports.iter().filter(|p| p.min_count > 0).map(|p| p.name.as_str()).collect();
    let table = json!({
        "type": "object", "properties": by_port, "required": required, "additionalProperties": false,
    });
    json!({ "anyOf": [name, list, table], "description": keys::STEP_FROM.doc })
}

fn parameter(info: &ParamInfo) -> Value {
    let mut item = json!({ "type": match info.kind {
        ParamKind::Bool => "boolean",
        ParamKind::Int | ParamKind::IntList => "integer",
        ParamKind::Float | ParamKind::FloatList => "number",
        ParamKind::String | ParamKind::StringList => "string",
    }});
    if let Some(min) = info.min {
        merge(&mut item, json!({ "minimum": min }));
    }
    if let Some(max) = info.max {
        merge(&mut item, json!({ "maximum": max }));
    }
    if !info.choices.is_empty() {
        merge(&mut item, json!({ "enum": info.choices }));
    }
    let mut schema = match info.kind {
        // One value stands for a list of one.
        ParamKind::IntList | ParamKind::FloatList | ParamKind::StringList => {
            json!({ "anyOf": [item, { "type": "array", "items": item }] })
        }
        _ => item,
    };
    let unit = if info.unit.is_empty() { String::new() } else { format!(" Unit: {}.", info.unit) };
    merge(&mut schema, json!({ "description": format!("{}{unit}", info.doc), "default": info.default }));
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::builtin_methods;

    #[test]
    fn every_listed_key_and_every_parameter_stands_in_the_schema() {
        let builtin = builtin_methods();
        let schema = schema(&builtin.iter().collect::<Vec<_>>());
        for key in keys::KEYS {
            let mut at = &schema;
            for part in key.path().split('.') {
                at = match part {
                    "<name>" => &at["additionalProperties"],
                    // A sensor is a string or this table, a step one of the methods' tables.
                    part if at.get("anyOf").is_some() => &at["anyOf"][1]["properties"][part],
                    part if at.get("oneOf").is_some() => &schema["$defs"]["method-onnx"]["properties"][part],
                    part => &at["properties"][part],
                };
            }
            assert!(at.is_object(), "{}", key.path());
        }
        for info in &builtin {
            for param in &info.params {
                let described = &schema["$defs"][definition(info)]["properties"][&param.name]["description"];
                assert!(described.as_str().is_some_and(|d| d.contains(&param.doc)), "{}", param.name);
            }
        }
    }
}
