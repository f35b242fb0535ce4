//! What version 1.0 of the ABI says stays: later headers add fields at the ends of tables and values to enumerations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

/// The header without comments.
fn header(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut bare = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("/*") {
        bare += before;
        rest = behind.split_once("*/").unwrap().1;
    }
    bare + rest
}

/// The fields of each table, in their order.
fn tables(header: &str) -> BTreeMap<String, Vec<String>> {
    let parts = header.split("typedef struct ").skip(1);
    parts
        .map(|part| {
            let (name, body) = part.split_once('{').unwrap();
            let fields = body.split_once("\n}").unwrap().0.split(';');
            let words = |field: &str| field.split_whitespace().collect::<Vec<_>>().join(" ");
            (name.trim().to_owned(), fields.map(words).filter(|f| !f.is_empty()).collect())
        })
        .collect()
}

/// The constants.
fn constants(header: &str) -> BTreeMap<String, String> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define ASSAY_")?.split_once(' '));
    defined.map(|(name, value)| (name.to_owned(), value.split_whitespace().collect())).collect()
}

#[test]
fn tables_begin_and_constants_are_as_in_version_1_0() {
    let (frozen, now) =
        (header("../../tests/fixtures/abi-1.0/assay/assay.h"), header("include/assay/assay.h"));
    let (frozen_tables, tables) = (tables(&frozen), tables(&now));
    assert_eq!(frozen_tables.len(), 19, "{:?}", frozen_tables.keys());
    for (name, fields) in &frozen_tables {
        assert!(tables[name].starts_with(fields), "{name}: {fields:#?} became {:#?}", tables[name]);
    }
    // Embedded in others: it cannot grow.
    assert_eq!(tables["assay_frame"], frozen_tables["assay_frame"]);
    let (frozen, now) = (constants(&frozen), constants(&now));
    assert!(frozen.len() > 40, "{frozen:?}");
    for (name, value) in &frozen {
        assert!(now[name] == *value || name == "ABI_MINOR", "{name}: {value} became {}", now[name]);
    }
}
