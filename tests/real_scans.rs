//! The default recipe on real scans; skipped where they are not at hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use support::{assay, json_lines, root, shared, succeed};

#[test]
fn the_default_recipe_finds_defects_on_cable_gland() {
    let Some(data) = shared("data/mvtec3d/cable_gland") else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("gland.assay");
    succeed(
        assay()
            .arg("fit")
            .arg(root().join("configs/mvtec3d.toml"))
            .arg("--data")
            .arg(&data)
            .arg("-o")
            .arg(&model)
            // 12 of its validation scans are here; the figures do not depend on the thresholds.
            .args(["--on-too-few", "warn"]),
    );
    let output = succeed(assay().arg("eval").arg(&model).arg("--json").arg("--data").arg(&data));
    let eval = &json_lines(&output)[0];
    assert_eq!(
        (eval["n_good"].as_u64(), eval["n_defect"].as_u64(), eval["n_invalid"].as_u64()),
        (Some(9), Some(18), Some(0))
    );
    // One scan of 27 moves the AUROC by about 0.02: these bounds tell a working engine from a broken one.
    assert!(eval["image_auroc"].as_f64().unwrap() > 0.85, "{eval}");
    assert!(eval["au_pro_30"].as_f64().unwrap() > 0.92, "{eval}");
}
