//! The methods of this plugin.

mod cloud;
mod fpfh;
mod gaps;
mod grid;
mod height;
mod normals;
mod sampled;

pub use fpfh::Fpfh;
pub use gaps::Gaps;
pub use height::HeightImage;
pub use normals::NormalImage;

use assay_sdk::{Content, Error, GridView, InputPort, Layout, Result, Sample};

/// The organised points that methods take.
const POINTS: InputPort = InputPort {
    name: "points",
    doc: "Organised points, metres; x right, y down, z away from the camera.",
    content: &[Content::Xyz],
    layout: &[Layout::Grid],
    min_count: 1,
    max_count: 1,
};

/// The points of a scan.
fn points<'a>(sample: &Sample<'a>) -> Result<GridView<'a>> {
    let grid =
        sample.inputs.first().ok_or_else(|| Error::input(POINTS.name, "the scan has no points"))?.grid()?;
    if grid.channels != 3 {
        return Err(Error::input(
            POINTS.name,
            format!("expected x, y and z, got {} channels", grid.channels),
        ));
    }
    Ok(grid)
}

/// Whether pixel `i` holds a point.
fn has_point(grid: &GridView<'_>, i: usize) -> bool {
    grid.is_valid(i) && (0..3).all(|c| grid.plane(c)[i].is_finite())
}

/// (rows, columns) shrunk so that the longer side is `longest`, at least one each; a smaller grid stays as it is.
fn resized((rows, cols): (usize, usize), longest: usize) -> (usize, usize) {
    let side = rows.max(cols);
    if side <= longest {
        return (rows, cols);
    }
    let scaled = |n: usize| ((n * longest + side / 2) / side).max(1);
    (scaled(rows), scaled(cols))
}

/// The pixel that each pixel of a sampled grid is taken from, by nearest as PyTorch does: floor(i * size / sampled).
fn sampled_pixels(
    (rows, cols): (usize, usize),
    (down, across): (usize, usize),
) -> impl Iterator<Item = usize> {
    (0..down).flat_map(move |i| (0..across).map(move |j| i * rows / down * cols + j * cols / across))
}
