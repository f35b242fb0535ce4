//! Folders as people have them, with real files.

use std::fs;

use ::tiff::encoder::{TiffEncoder, colortype};

use super::*;
use crate::{Unit, shared_scans};

/// A folder of scans in the making.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn colour(&self, name: &str, size: (u32, u32)) {
        ::image::RgbImage::from_fn(size.1, size.0, |x, y| ::image::Rgb([x as u8, y as u8, 9]))
            .save(self.at(name))
            .unwrap();
    }

    fn grey(&self, name: &str) {
        ::image::GrayImage::new(12, 10).save(self.at(name)).unwrap();
    }

    /// Points of a plane, `spacing` apart, at `distance`.
    fn xyz(&self, name: &str, size: (u32, u32), spacing: f32, distance: f32) {
        let cell = |k: u32| [(k % size.1) as f32 * spacing, (k / size.1) as f32 * spacing, distance];
        let values: Vec<f32> = (0..size.0 * size.1).flat_map(cell).collect();
        let mut encoder = TiffEncoder::new(fs::File::create(self.at(name)).unwrap()).unwrap();
        encoder.write_image::<colortype::RGB32Float>(size.1, size.0, &values).unwrap();
    }

    fn survey(&self) -> Result<Survey, DataError> {
        Survey::of(self.0.path(), None, &Limits::default())
    }

    fn refusal(&self) -> String {
        self.survey().unwrap_err().to_string()
    }
}

fn sensors(survey: &Survey) -> Vec<(&str, &str, SensorKind)> {
    survey.sensors.iter().map(|f| (&*f.sensor.name, &*f.sensor.pattern, f.sensor.kind)).collect()
}

#[test]
fn kinds_sizes_and_units_are_told_by_content() {
    let folder = Folder::new();
    for k in 0..5 {
        folder.colour(&format!("camera/{k}.png"), (30, 40));
        folder.xyz(&format!("laser/{k}.tiff"), (30, 40), 1.5, 400.0);
    }
    fs::write(folder.at("notes.txt"), "").unwrap();
    let survey = folder.survey().unwrap();
    assert_eq!(
        sensors(&survey),
        [("colour", "camera/{id}.png", SensorKind::Rgb), ("height", "laser/{id}.tiff", SensorKind::Xyz)]
    );
    assert_eq!((survey.sensors[1].sensor.unit, &survey.sensors[1].sizes), (Unit::Mm, &vec![(30, 40)]));
    assert_eq!((survey.layout, survey.training, survey.loose), (Layout::Plain, 5, vec!["notes.txt".into()]));
    // A bare plane: nothing stands out.
    assert_eq!(survey.part, Some(Part { stands_out: false, turned: None }));
    assert!(survey.obstacle.is_none() && survey.complete);
}

#[test]
fn several_cameras_get_names_of_their_own() {
    let folder = Folder::new();
    for k in 0..4 {
        ["left", "right"].iter().for_each(|side| folder.grey(&format!("{k:03}_{side}.png")));
    }
    let survey = folder.survey().unwrap();
    let kind = SensorKind::Gray;
    assert_eq!(sensors(&survey), [("left", "{id}_left.png", kind), ("right", "{id}_right.png", kind)]);
}

#[test]
fn a_sensor_of_another_view_is_left_out_and_so_are_masks() {
    let folder = Folder::new();
    for k in 0..4 {
        folder.colour(&format!("{k:03}_rgb.png"), (30, 40));
        folder.colour(&format!("{k:03}_fine.png"), (60, 80));
        folder.colour(&format!("{k:03}_wide.png"), (60, 120));
        folder.xyz(&format!("{k:03}_xyz.tiff"), (30, 40), 0.01, 0.5);
        folder.grey(&format!("{k:03}_mask.png"));
    }
    let survey = folder.survey().unwrap();
    let kept: Vec<&str> = survey.sensors.iter().map(|f| &*f.sensor.pattern).collect();
    assert_eq!(kept, ["{id}_fine.png", "{id}_rgb.png", "{id}_xyz.tiff"]);
    let reasons: Vec<(&str, &str)> =
        survey.left_out.iter().map(|(f, why)| (&*f.sensor.pattern, &**why)).collect();
    assert!(reasons.iter().any(|(p, why)| *p == "{id}_wide.png" && why.contains("60 x 120")), "{reasons:?}");
    assert!(
        reasons.iter().any(|(p, why)| *p == "{id}_mask.png" && why.contains("ground truth")),
        "{reasons:?}"
    );
}

#[test]
fn good_scans_are_found_below_other_folders() {
    for good in ["train/ok", "Data/Images/Normal", "good"] {
        let folder = Folder::new();
        (0..4).for_each(|k| folder.colour(&format!("{good}/{k}.png"), (10, 12)));
        folder.colour("test/ko/1.png", (10, 12));
        folder.colour("Data/Images/Anomaly/1.png", (10, 12));
        let survey = folder.survey().unwrap();
        assert_eq!((survey.data, survey.training), (folder.0.path().join(good), 4));
    }
}

#[test]
fn what_cannot_be_taken_is_refused_with_what_to_do() {
    let empty = Folder::new();
    assert!(empty.refusal().contains("is empty"), "{}", empty.refusal());
    fs::write(empty.at("1.gif"), "GIF89a").unwrap();
    assert!(empty.refusal().contains("1 .gif") && empty.refusal().contains("convert"), "{}", empty.refusal());

    let sets = Folder::new();
    ["bagel", "rope"].iter().for_each(|set| sets.colour(&format!("{set}/train/good/1.png"), (10, 12)));
    assert!(sets.refusal().contains("name one of them: bagel, rope"), "{}", sets.refusal());

    let clouds = Folder::new();
    let ply = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n";
    (0..3).for_each(|k| fs::write(clouds.at(&format!("{k}.ply")), ply).unwrap());
    assert!(clouds.refusal().contains("unorganised"), "{}", clouds.refusal());

    let broken = Folder::new();
    (0..3).for_each(|k| fs::write(broken.at(&format!("{k}.png")), "no picture").unwrap());
    assert!(broken.refusal().contains("0.png") || broken.refusal().contains("2.png"), "{}", broken.refusal());

    assert!(matches!(
        Survey::of(Path::new("absent"), None, &Limits::default()),
        Err(DataError::NoFolder { .. })
    ));
}

#[test]
fn a_scan_that_lacks_a_file_is_an_obstacle() {
    let folder = Folder::new();
    for k in 0..12 {
        folder.colour(&format!("rgb/{k}.png"), (10, 12));
        folder.grey(&format!("uv/{k}.png"));
    }
    fs::remove_file(folder.at("uv/3.png")).unwrap();
    let survey = folder.survey().unwrap();
    assert!(survey.obstacle.unwrap().to_string().contains("uv/3.png"));
}

#[test]
fn the_shared_data_sets_are_told() {
    let Some(data) = shared_scans::folder() else { return };
    let of = |set: &str| Survey::of(&data.join(set), None, &Limits::default()).unwrap();
    let gland = of("mvtec3d/cable_gland");
    assert_eq!(
        sensors(&gland),
        [("colour", "rgb/{id}.png", SensorKind::Rgb), ("height", "xyz/{id}.tiff", SensorKind::Xyz)]
    );
    assert_eq!((gland.layout, gland.training, gland.validation, gland.masks), (Layout::Mvtec3d, 72, 12, 27));
    assert_eq!(gland.sensors[1].sensor.unit, Unit::M);
    assert_eq!(gland.part, Some(Part { stands_out: true, turned: Some(true) }));
    for (set, training, test) in [("mvtec/kolektor_commutator", 60, 55), ("mvtec/deeppcb", 150, 160)] {
        let survey = of(set);
        assert_eq!(survey.sensors.len(), 1, "{set}");
        assert_eq!((survey.training, survey.test.values().sum::<usize>()), (training, test), "{set}");
        assert_eq!(survey.sensors[0].sensor.pattern, "{id}.jpg", "{set}");
    }
}

#[test]
fn sixteen_bit_pictures_alone_are_taken_as_grey_where_eight_bits_show_them() {
    for (value, taken) in [(40_000u16, true), (1200, false)] {
        let folder = Folder::new();
        for k in 0..3 {
            let pixels = ::image::ImageBuffer::from_pixel(12, 10, ::image::Luma([value]));
            pixels.save(folder.at(&format!("{k}.png"))).unwrap();
        }
        match folder.survey() {
            Ok(survey) => assert!(taken && survey.sensors[0].sensor.kind == SensorKind::Gray),
            Err(e) => assert!(!taken && e.to_string().contains("no method takes depth"), "{e}"),
        }
    }
}
