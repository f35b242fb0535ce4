//! Parts of a scan's view that a recipe names: polygons, or what a mask's file says.

use super::domain::{Domain, Fault};
use super::toml::{Node, Value};
use crate::error::{Error, Result};
use assay_data::Mask;
use assay_data::prepare::polygon::{self, Corner};
use serde_json::json;
use toml::Value as Toml;

/// An area of the scan's native pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// Corners `[x, y]`; filled by the even-odd rule.
    pub path: Vec<Corner>,
    /// `(rows, columns)` of the mask that it was read from; `None` of a polygon.
    pub size: Option<(usize, usize)>,
}

impl Area {
    /// What a mask says.
    pub fn of(mask: &Mask) -> Self {
        Self { path: polygon::joined(&polygon::outlines(mask)), size: Some(mask.dim()) }
    }
}

/// The pixels that any of `areas` covers; `None` where there are none.
///
/// # Errors
/// [`Error::Request`] for a mask of another size.
pub(crate) fn union(areas: &[Area], native: (usize, usize)) -> Result<Option<Mask>> {
    let mut union: Option<Mask> = None;
    for area in areas {
        if let Some(size) = area.size.filter(|&size| size != native) {
            let (a, b) = (size, native);
            return Err(Error::Request(format!(
                "a mask of the recipe has {} x {} pixels, the scan {} x {} (rows x columns): draw it on a picture of the scan's own size",
                a.0, a.1, b.0, b.1
            )));
        }
        let mask = polygon::fill(&area.path, native);
        match &mut union {
            Some(union) => union.zip_mut_with(&mask, |u, &m| *u |= m),
            None => union = Some(mask),
        }
    }
    Ok(union)
}

/// One area as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    /// A mask's file.
    File(String),
    /// Corners.
    Polygon(Vec<Corner>),
}

/// A list of areas; one alone needs no list.
pub(super) struct Areas;

const WHAT: &str = "an image file, a polygon [[x, y], [x, y], [x, y], ...] of pixels, or a list of those";

/// Corners of a polygon at most: a mask's outline is written as one, too.
const MOST: usize = 200_000;

fn pair(node: &Node) -> Option<Corner> {
    let number = |node: &Node| match node.value {
        Value::Int(i) => Some(i as f64),
        Value::Float(f) => Some(f).filter(|f| f.abs() < 1e9),
        _ => None,
    };
    match &node.value {
        Value::List(items) if items.len() == 2 => Some([number(&items[0])?, number(&items[1])?]),
        _ => None,
    }
}

fn one(node: &Node) -> Option<Written> {
    match &node.value {
        Value::String(file) => Some(Written::File(file.clone())),
        Value::List(items) if items.is_empty() || (3..=MOST).contains(&items.len()) => {
            items.iter().map(pair).collect::<Option<_>>().map(Written::Polygon)
        }
        _ => None,
    }
}

impl Domain for Areas {
    type Value = Vec<Written>;

    fn read(&self, node: &Node) -> std::result::Result<Vec<Written>, Fault> {
        let areas = match &node.value {
            Value::List(items) if !items.iter().all(|item| pair(item).is_some()) => {
                items.iter().map(one).collect::<Option<_>>()
            }
            Value::List(items) if items.is_empty() => Some(Vec::new()),
            _ => one(node).map(|area| vec![area]),
        };
        areas.ok_or_else(|| {
            (node.line, format!("expected {WHAT}; a polygon has at least 3 corners and at most {MOST}"))
        })
    }

    fn write(&self, areas: &Vec<Written>) -> Option<Toml> {
        let corner = |c: &Corner| Toml::Array(c.iter().copied().map(Toml::Float).collect());
        let area = |area: &Written| match area {
            Written::File(file) => Toml::String(file.clone()),
            Written::Polygon(path) => Toml::Array(path.iter().map(corner).collect()),
        };
        Some(Toml::Array(areas.iter().map(area).collect()))
    }

    fn describe(&self) -> String {
        WHAT.into()
    }

    fn schema(&self) -> serde_json::Value {
        let corner = json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 });
        let polygon = json!({ "type": "array", "items": corner });
        let area = json!([{ "type": "string" }, polygon]);
        json!({ "anyOf": [area[0], area[1], { "type": "array", "items": { "anyOf": area } }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_mask_is_the_area_it_covers_and_fits_scans_of_its_size_alone() {
        let mask = array![[true, true, false], [true, false, true], [true, true, true]];
        let area = Area::of(&mask);
        assert_eq!(union(std::slice::from_ref(&area), (3, 3)).unwrap(), Some(mask));
        let error = union(&[area], (3, 4)).unwrap_err().to_string();
        assert!(error.contains("3 x 3") && error.contains("3 x 4"), "{error}");
        assert_eq!(union(&[], (3, 4)).unwrap(), None);
    }

    #[test]
    fn several_areas_cover_what_any_of_them_covers() {
        let square =
            |x: f64| Area { path: vec![[x, 0.0], [x + 1.0, 0.0], [x + 1.0, 9.0], [x, 9.0]], size: None };
        let mask = union(&[square(-0.5), square(0.0), square(3.0)], (1, 5)).unwrap().unwrap();
        assert_eq!(mask, array![[true, false, false, true, false]].mapv(|v: bool| v));
    }
}
