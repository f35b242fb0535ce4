//! The header and the Rust types have the same layout: C static assertions, compiled with the system's compiler.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use assay_abi as abi;
use std::fmt::Write as _;
use std::mem::{offset_of, size_of};

macro_rules! assert_layout {
    ($out:ident, $($c:literal = $rust:ident { $($field:ident $(as $alias:literal)?),* $(,)? })*) => {$(
        writeln!($out, "_Static_assert(sizeof({}) == {}, \"size of {}\");", $c, size_of::<abi::$rust>(), $c).unwrap();
        $({
            #[allow(unused_mut, unused_assignments)]
            let mut name = stringify!($field);
            $( name = $alias; )?
            writeln!($out, "_Static_assert(offsetof({0}, {1}) == {2}, \"{0}.{1}\");", $c, name, offset_of!(abi::$rust, $field)).unwrap();
        })*
    )*};
}

#[test]
fn header_and_rust_agree_on_every_size_and_offset() {
    let mut c = String::from("#include \"assay/assay.h\"\n");
    writeln!(
        c,
        "_Static_assert(ASSAY_ABI_MAJOR == {} && ASSAY_ABI_MINOR == {}, \"version\");",
        abi::ABI_MAJOR,
        abi::ABI_MINOR
    )
    .unwrap();
    for (name, value) in [
        ("ASSAY_OK", abi::OK),
        ("ASSAY_ERR_PARAMETER", abi::ERR_PARAMETER),
        ("ASSAY_ERR_INPUT", abi::ERR_INPUT),
        ("ASSAY_ERR_STATE", abi::ERR_STATE),
        ("ASSAY_ERR_RESOURCE", abi::ERR_RESOURCE),
        ("ASSAY_ERR_INTERNAL", abi::ERR_INTERNAL),
        ("ASSAY_ERR_UNSUPPORTED", abi::ERR_UNSUPPORTED),
        ("ASSAY_CANCELLED", abi::CANCELLED),
    ] {
        writeln!(c, "_Static_assert({name} == {value}, \"{name}\");").unwrap();
    }
    for (name, value) in [
        ("ASSAY_F32", abi::F32),
        ("ASSAY_F64", abi::F64),
        ("ASSAY_U8", abi::U8),
        ("ASSAY_I64", abi::I64),
        ("ASSAY_DEVICE_CPU", abi::DEVICE_CPU),
        ("ASSAY_RGB", abi::RGB),
        ("ASSAY_GRAY", abi::GRAY),
        ("ASSAY_XYZ", abi::XYZ),
        ("ASSAY_DEPTH", abi::DEPTH),
        ("ASSAY_POINTS", abi::POINTS),
        ("ASSAY_FEATURES", abi::FEATURES),
        ("ASSAY_SCORES", abi::SCORES),
        ("ASSAY_LAYOUT_GRID", abi::LAYOUT_GRID),
        ("ASSAY_LAYOUT_CLOUD", abi::LAYOUT_CLOUD),
        ("ASSAY_PART_VALUES", abi::PART_VALUES),
        ("ASSAY_PART_VALID", abi::PART_VALID),
        ("ASSAY_PART_POSITIONS", abi::PART_POSITIONS),
        ("ASSAY_LOG_ERROR", abi::LOG_ERROR),
        ("ASSAY_LOG_WARN", abi::LOG_WARN),
        ("ASSAY_LOG_INFO", abi::LOG_INFO),
        ("ASSAY_LOG_DEBUG", abi::LOG_DEBUG),
        ("ASSAY_BOOL", abi::BOOL),
        ("ASSAY_INT", abi::INT),
        ("ASSAY_FLOAT", abi::FLOAT),
        ("ASSAY_STRING", abi::STRING),
        ("ASSAY_LIST", abi::LIST),
        ("ASSAY_FLAG_FITTED", abi::FLAG_FITTED),
        ("ASSAY_FLAG_CONCURRENT_SCORE", abi::FLAG_CONCURRENT_SCORE),
        ("ASSAY_FLAG_DETERMINISTIC", abi::FLAG_DETERMINISTIC),
        ("ASSAY_FLAG_OWN_THREADS", abi::FLAG_OWN_THREADS),
        ("ASSAY_FLAG_ONE_FIT", abi::FLAG_ONE_FIT),
        ("ASSAY_FIT_DONE", abi::FIT_DONE),
        ("ASSAY_FIT_ANOTHER_PASS", abi::FIT_ANOTHER_PASS),
    ] {
        writeln!(c, "_Static_assert({name} == {value}u, \"{name}\");").unwrap();
    }
    assert_layout!(c,
        "assay_error" = Error { struct_size, code, subject, message }
        "assay_tensor" = Tensor { struct_size, dtype, device, ndim, shape, data }
        "assay_frame" = Frame { offset_x, offset_y, stride_x, stride_y }
        "assay_spec" = Spec { struct_size, port, content, layout, channels, rows, cols, native_rows, native_cols, value_min, value_max, frame, name }
        "assay_value" = Value { struct_size, port, content, layout, values, valid, positions, frame, image_score }
        "assay_sample" = Sample { struct_size, n_inputs, index, id, inputs }
        "assay_outputs" = Outputs { struct_size, n_outputs, ctx, alloc, set_image_score }
        "assay_writer" = Writer { struct_size, reserved, ctx, write }
        "assay_reader" = Reader { struct_size, reserved, ctx, read }
        "assay_named_tensor" = NamedTensor { struct_size, reserved, name, tensor }
        "assay_inference" = Inference { struct_size, reserved, ctx, open, run, close }
        "assay_host" = Host { struct_size, abi_major, abi_minor, threads, seed, name, version, ctx, get_extension, log, parallel_for, progress, scratch, inference, keep, kept }
        "assay_port" = Port { struct_size, content, layout, min_count, max_count, reserved, name, doc }
        "assay_param_value" = ParamValue { struct_size, type_ as "type", name, i, f, s, items, n_items }
        "assay_param" = Param { struct_size, type_ as "type", name, doc, unit, default_value, min, max, choices, n_choices }
        "assay_fit" = Fit { struct_size, pass, fold, n_folds, n_samples, resumed, reserved }
        "assay_method" = Method { struct_size, flags, id, name, summary, vendor, version, licence, paper, deviations, n_inputs, n_outputs, n_params,
            reserved, inputs, outputs, params, create, plan, fit_begin, fit_add, fit_end, score, save, load, destroy, get_extension }
        "assay_plugin" = Plugin { struct_size, n_methods, name, version, methods, get_extension }
        "assay_entry_table" = EntryTable { struct_size, abi_major, abi_minor, reserved, plugin }
    );
    the_page_says_the_sizes(&[
        ("assay_entry_table", size_of::<abi::EntryTable>()),
        ("assay_plugin", size_of::<abi::Plugin>()),
        ("assay_method", size_of::<abi::Method>()),
        ("assay_port", size_of::<abi::Port>()),
        ("assay_param", size_of::<abi::Param>()),
        ("assay_param_value", size_of::<abi::ParamValue>()),
        ("assay_spec", size_of::<abi::Spec>()),
        ("assay_tensor", size_of::<abi::Tensor>()),
        ("assay_value", size_of::<abi::Value>()),
        ("assay_sample", size_of::<abi::Sample>()),
        ("assay_outputs", size_of::<abi::Outputs>()),
        ("assay_frame", size_of::<abi::Frame>()),
        ("assay_reader", size_of::<abi::Reader>()),
        ("assay_named_tensor", size_of::<abi::NamedTensor>()),
        ("assay_inference", size_of::<abi::Inference>()),
        ("assay_host", size_of::<abi::Host>()),
        ("assay_fit", size_of::<abi::Fit>()),
        ("assay_error", size_of::<abi::Error>()),
    ]);
    let folder = std::env::temp_dir().join(format!("assay-layout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let source = folder.join("layout.c");
    std::fs::write(&source, c).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = std::process::Command::new(&compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/include"))
        .arg(&source)
        .output()
        .unwrap_or_else(|e| panic!("a C compiler is needed to check the header; {compiler}: {e}"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// docs/abi.md tells those who cannot read the header how long its tables are.
fn the_page_says_the_sizes(sizes: &[(&str, usize)]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/abi.md");
    let page = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    for (table, size) in sizes {
        let cell = format!("`{table}` | {size} |");
        assert!(page.contains(&cell), "{path} does not say {cell}");
    }
}
