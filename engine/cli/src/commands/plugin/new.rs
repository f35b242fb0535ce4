//! `assay plugin new`: a project that builds, tests itself and runs in a recipe.

use crate::commands::Status;
use crate::console::Console;
use anyhow::{Context as _, Result, bail, ensure};
use assay_core::graph::BUILTIN;
use assay_core::plugin::{Registry, SearchPath};
use std::path::{Path, PathBuf};

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// With the SDK, which is written into the project.
    Rust,
    /// Against the one header, which is written into the project.
    C,
}

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Features from a sensor.
    Extractor,
    /// Scores from features or a sensor.
    Detector,
    /// Scores from scores.
    Fuser,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The method's id: small letters, digits and hyphens.
    pub(crate) name: String,
    /// What it is written in.
    #[arg(long, value_name = "L")]
    pub(crate) lang: Language,
    /// What the method does.
    #[arg(long, value_name = "R")]
    pub(crate) role: Role,
    /// The folder to make; by default the name.
    #[arg(long, value_name = "D")]
    pub(crate) dir: Option<PathBuf>,
}

/// The name that the templates give to what the project's name takes the place of.
const ID: &str = "my-method";

macro_rules! template {
    ($name:literal) => {
        include_str!(concat!("../../../templates/plugin/", $name))
    };
}

/// Of the SDK and the ABI: where a file goes, and what is in it.
const SDK: &[(&str, &str)] = &[
    ("assay-sdk/src/error.rs", include_str!("../../../../sdk/src/error.rs")),
    ("assay-sdk/src/glue.rs", include_str!("../../../../sdk/src/glue.rs")),
    ("assay-sdk/src/host.rs", include_str!("../../../../sdk/src/host.rs")),
    ("assay-sdk/src/lib.rs", include_str!("../../../../sdk/src/lib.rs")),
    ("assay-sdk/src/method.rs", include_str!("../../../../sdk/src/method.rs")),
    ("assay-sdk/src/parallel.rs", include_str!("../../../../sdk/src/parallel.rs")),
    ("assay-sdk/src/params.rs", include_str!("../../../../sdk/src/params.rs")),
    ("assay-sdk/src/state.rs", include_str!("../../../../sdk/src/state.rs")),
    ("assay-sdk/src/tables.rs", include_str!("../../../../sdk/src/tables.rs")),
    ("assay-sdk/src/testing.rs", include_str!("../../../../sdk/src/testing.rs")),
    ("assay-sdk/src/value.rs", include_str!("../../../../sdk/src/value.rs")),
    ("assay-sdk/Cargo.toml", template!("rust/vendor_sdk.toml.in")),
    ("assay-abi/src/lib.rs", include_str!("../../../../abi/src/lib.rs")),
    ("assay-abi/Cargo.toml", template!("rust/vendor_abi.toml.in")),
];

/// The header.
const HEADER: &str = include_str!("../../../../abi/include/assay/assay.h");

pub(crate) fn run(args: &Args, console: &Console) -> Result<Status> {
    check_name(&args.name)?;
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let empty = std::fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
    ensure!(
        empty && !folder.is_file(),
        "{} is there already: name another folder with --dir",
        folder.display()
    );
    write(&folder, &project(&args.name, args.lang, args.role))?;
    let (build, libraries) = (build(args.lang), libraries(args.lang));
    console.info(&format!("made {}; next, there: {build}", folder.display()));
    console.info(&format!("then assay plugin info {} --plugin-path {libraries}", args.name));
    console.info("and assay plugin validate with the library: README.md there goes on");
    Ok(Status::Ok)
}

/// A name that recipes, Cargo and C take, and that is not another method's.
fn check_name(name: &str) -> Result<()> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = name.ends_with('-') || name.contains("--");
    ensure!(
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(letters)
            && !ends
            && name.len() <= 64,
        "`{name}` cannot be a method's id: use small letters, digits and single hyphens, a letter first, as in `edge-length`"
    );
    let taken = Registry::discover(&SearchPath::usual(&[])).is_ok_and(|r| r.get(name).is_some());
    if taken || BUILTIN.contains(&name) {
        bail!("there is a method `{name}` already: a recipe would not know which one is meant");
    }
    Ok(())
}

fn build(lang: Language) -> &'static str {
    match lang {
        Language::Rust => "cargo test && cargo build --release",
        Language::C => "make test && make",
    }
}

/// The folder of the built library, in the project.
fn libraries(lang: Language) -> &'static str {
    match lang {
        Language::Rust => "target/release",
        Language::C => ".",
    }
}

/// The project's files: path and text.
fn project(name: &str, lang: Language, role: Role) -> Vec<(String, String)> {
    let snake = name.replace('-', "_");
    let camel: String = name.split('-').map(capitalised).collect();
    let source = match lang {
        Language::Rust => "src/lib.rs".to_owned(),
        Language::C => format!("{snake}.c"),
    };
    let library = format!("{}assay_{snake}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let role_name = format!("{role:?}").to_lowercase();
    let filled = |text: &str| {
        text.replace("@STEPS@", steps(lang, role))
            .replace("@LIBRARIES@", libraries(lang))
            .replace("@FILE@", &library)
            .replace("@SOURCE@", &source)
            .replace("@ROLE@", &role_name)
            .replace("@BUILD@", &format!("    {}", build(lang)))
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("MyMethod", &camel)
            .replace("my_method", &snake)
            .replace(ID, name)
    };
    let mut files = vec![
        ("README.md".to_owned(), filled(template!("README.md.in"))),
        ("recipe.toml".to_owned(), filled(template!("recipe.toml.in"))),
    ];
    match lang {
        Language::Rust => {
            let lib = match role {
                Role::Extractor => template!("rust/extractor.rs.in"),
                Role::Detector => template!("rust/detector.rs.in"),
                Role::Fuser => template!("rust/fuser.rs.in"),
            };
            files.push(("Cargo.toml".into(), filled(template!("rust/Cargo.toml.in"))));
            files.push((source.clone(), filled(lib)));
            files.push((".gitignore".into(), "/target\n".into()));
            files.extend(SDK.iter().map(|(path, text)| {
                // What is the SDK's own is not changed, but for its version.
                let text = if path.ends_with(".toml") { filled(text) } else { (*text).to_owned() };
                (format!("vendor/{path}"), text)
            }));
        }
        Language::C => {
            let (method, test) = match role {
                Role::Extractor => (template!("c/extractor.c.in"), template!("c/test_extractor.c.in")),
                Role::Detector => (template!("c/detector.c.in"), template!("c/test_detector.c.in")),
                Role::Fuser => (template!("c/fuser.c.in"), template!("c/test_fuser.c.in")),
            };
            files.push(("Makefile".into(), filled(template!("c/Makefile.in"))));
            files.push((source.clone(), filled(method)));
            files.push(("test.c".into(), filled(&[template!("c/test.c.in"), test].concat())));
            files.push(("assay/assay.h".into(), HEADER.into()));
            files.push((".gitignore".into(), "*.so\n*.dylib\n*.dll\nrun_test\n".into()));
        }
    }
    files
}

/// The steps of a recipe that uses the method.
fn steps(lang: Language, role: Role) -> &'static str {
    match (role, lang) {
        (Role::Extractor, _) => {
            "look  = { method = \"my-method\", from = \"colour\" }\nfound = { method = \"patchcore\", from = \"look\" }"
        }
        (Role::Detector, Language::Rust) => {
            "look  = { method = \"onnx\", from = \"colour\", taps = [\"c3\"] } # the built-in backbone\nfound = { method = \"my-method\", from = \"look\" }"
        }
        (Role::Detector, Language::C) => "found = { method = \"my-method\", from = \"colour\" }",
        (Role::Fuser, _) => {
            "look    = { method = \"onnx\", from = \"colour\" }           # the built-in backbone\n\
             nearest = { method = \"patchcore\", from = \"look\" }\n\
             usual   = { method = \"padim\", from = \"look\" }\n\
             found   = { method = \"my-method\", from = [\"nearest\", \"usual\"] }"
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// Writes the files into a folder beside, which then takes its name: all of it is there, or nothing.
fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    let absolute = std::path::absolute(folder).with_context(|| folder.display().to_string())?;
    let parent = absolute.parent().with_context(|| format!("{} has no parent", folder.display()))?;
    std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let making = tempfile::Builder::new()
        .prefix(".assay-plugin-")
        .tempdir_in(parent)
        .with_context(|| format!("{} cannot be written", parent.display()))?;
    for (path, text) in files {
        let path = making.path().join(path);
        let within = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(within).with_context(|| within.display().to_string())?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    // A folder that is there is an empty one.
    if folder.exists() {
        std::fs::remove_dir(folder).with_context(|| folder.display().to_string())?;
    }
    let made = making.keep();
    std::fs::rename(&made, folder).with_context(|| folder.display().to_string())?;
    readable(folder);
    Ok(())
}

/// A temporary folder is its maker's alone; a project is like any other folder.
fn readable(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Not as it should be, and no reason to fail.
        let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755));
    }
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendored_sdk_is_whole() {
        for (crate_name, folder) in [("assay-sdk", "../sdk/src"), ("assay-abi", "../abi/src")] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for entry in std::fs::read_dir(source).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let path = format!("{crate_name}/src/{name}");
                assert!(SDK.iter().any(|(p, _)| *p == path), "{path} is not written into new projects");
            }
        }
    }

    #[test]
    fn names_that_recipes_or_compilers_would_not_take_are_refused() {
        for name in ["", "9lives", "Edge", "a_b", "a--b", "a-", "-a", "ä", "patchcore onnx", "onnx"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("edge-length-2").unwrap();
    }

    #[test]
    fn a_project_bears_its_own_name_throughout() {
        for lang in [Language::Rust, Language::C] {
            for role in [Role::Extractor, Role::Detector, Role::Fuser] {
                let files = project("edge-length", lang, role);
                for (path, text) in &files {
                    let own = !path.starts_with("vendor/") && !path.ends_with("assay.h");
                    for left in ["my-method", "my_method", "MyMethod", "@S", "@L", "@R", "@B", "@V"] {
                        assert!(!own || !text.contains(left), "{left} in {path}");
                    }
                }
                assert!(files.iter().any(|(_, text)| text.contains("edge-length")));
            }
        }
    }
}
