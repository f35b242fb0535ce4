use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A machine with a folder for every place, in the order in which they are searched.
struct Machine {
    folder: TempDir,
    surroundings: Surroundings,
}

/// Where the library would lie in each place of [`Machine`], and whether it belongs to Python.
const ORDER: [(&str, bool); 7] = [
    ("shared", false),
    ("app/bin", false),
    ("app/bin/lib", false),
    ("app/lib", false),
    ("system", false),
    ("venv/lib/python3.11/site-packages/onnxruntime/capi", true),
    ("venv/lib/python3.11/dist-packages/onnxruntime/capi", true),
];

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (place, _) in ORDER {
            std::fs::create_dir_all(path(place)).unwrap();
        }
        let surroundings = Surroundings {
            assay_variable: None,
            shared_variable: Some(path("shared").into()),
            executable_folder: Some(path("app/bin")),
            system_folders: vec![path("system")],
            python_prefixes: vec![path("venv")],
        };
        Self { folder, surroundings }
    }

    fn install(&self, place: &str, file: &str) -> PathBuf {
        let path = self.folder.path().join(place).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"").unwrap();
        path
    }

    fn find(&self, named: Option<&Path>) -> Result<Found<()>, NotFound> {
        find(named, &self.surroundings, |_| Ok(()))
    }
}

fn nowhere<T: std::fmt::Debug>(result: Result<T, NotFound>) -> (Vec<String>, Vec<String>) {
    match result.unwrap_err() {
        NotFound::Nowhere { searched, refused } => (searched, refused),
        NotFound::Named(error) => panic!("{error}"),
    }
}

fn named_error<T: std::fmt::Debug>(result: Result<T, NotFound>) -> String {
    match result.unwrap_err() {
        NotFound::Named(error) => error.to_string(),
        NotFound::Nowhere { .. } => panic!("searched in other places"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_first_place_that_has_a_library_that_works_is_taken(state in prop::array::uniform7(0..3_u8)) {
        // 0: nothing there, 1: one that is refused, 2: one that works.
        let machine = Machine::new();
        for ((place, _), state) in ORDER.iter().zip(state) {
            if state > 0 {
                let library = machine.install(place, platform::ONNX_RUNTIME);
                std::fs::write(library, [state]).unwrap();
            }
        }
        let accept = |library: &Path| match std::fs::read(library).unwrap()[..] {
            [2] => Ok(()),
            _ => Err("too old".to_owned()),
        };
        let found = find(None, &machine.surroundings, accept);
        match state.iter().position(|&s| s == 2) {
            Some(first) => {
                let found = found.unwrap();
                let (place, in_python) = ORDER[first];
                prop_assert_eq!(found.library, machine.folder.path().join(place).join(platform::ONNX_RUNTIME));
                prop_assert_eq!(found.in_python, in_python);
                prop_assert_eq!(found.searched.len(), first + 2); // and the variable that is not set
            }
            None => {
                let (searched, refused) = nowhere(found);
                prop_assert_eq!(searched.len(), ORDER.len() + 1);
                prop_assert_eq!(refused.len(), state.iter().filter(|&&s| s == 1).count());
            }
        }
    }
}

#[test]
fn a_named_folder_may_be_a_release_or_python_packages() {
    let machine = Machine::new();
    for layout in LAYOUTS {
        let library =
            machine.install(&Path::new("named").join(layout).to_string_lossy(), platform::ONNX_RUNTIME);
        let folder = machine.folder.path().join("named");
        assert_eq!(machine.find(Some(&folder)).unwrap().library, library);
        assert_eq!(machine.find(Some(&library)).unwrap().library, library);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_named_path_that_does_not_work_is_an_error_though_another_library_would() {
    let mut machine = Machine::new();
    machine.install("system", platform::ONNX_RUNTIME);
    let missing = machine.folder.path().join("nowhere");
    assert!(named_error(machine.find(Some(&missing))).contains("no such file or folder"));
    let empty = machine.folder.path().join("app");
    assert!(named_error(machine.find(Some(&empty))).contains(platform::ONNX_RUNTIME));

    machine.surroundings.assay_variable = Some(missing.into());
    let error = named_error(machine.find(None));
    assert!(error.contains(ASSAY_VARIABLE) && error.contains("nowhere"), "{error}");
    let system = machine.folder.path().join("system");
    assert!(machine.find(Some(&system)).is_ok(), "the path goes before the variable");

    let refuse = |_: &Path| Err::<(), _>("is version 1.2".to_owned());
    assert!(named_error(find(Some(&system), &machine.surroundings, refuse)).contains("is version 1.2"));
}

#[test]
fn every_place_is_recorded_with_what_was_found() {
    let mut machine = Machine::new();
    machine.surroundings.shared_variable = Some(machine.folder.path().join("gone").into());
    machine.install("system", "libonnxruntime_providers_shared.so");
    let (searched, refused) = nowhere(machine.find(None));
    assert!(refused.is_empty());
    assert_eq!(searched[0], format!("{ASSAY_VARIABLE}: not set"));
    assert!(searched[1].starts_with(SHARED_VARIABLE) && searched[1].ends_with("no such file or folder"));
    assert!(searched[5].starts_with("system libraries") && searched[5].ends_with(platform::ONNX_RUNTIME));
}

#[cfg(target_os = "linux")]
#[test]
fn of_several_versions_the_plain_name_goes_first_and_then_the_newest() {
    let machine = Machine::new();
    for file in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libonnxruntime.so.1"] {
        machine.install("system", file);
    }
    let mut seen = Vec::new();
    let _ = find(None, &machine.surroundings, |library| {
        seen.push(library.file_name().unwrap().to_string_lossy().into_owned());
        Err::<(), _>(String::new())
    });
    assert_eq!(seen, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.9.0", "libonnxruntime.so.1"]);

    machine.install("system", "libonnxruntime.so");
    assert!(machine.find(None).unwrap().library.ends_with("libonnxruntime.so"));
}
