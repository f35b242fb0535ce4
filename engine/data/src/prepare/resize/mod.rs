//! Resizing images, features, measurements and masks. Cells keep covering the same area of the scan: the
//! centre of cell j of w lies at (j + 1/2) * W / w - 1/2 of the W before. Rows and columns scale independently.

mod grid;
mod image;
mod mask;

pub use self::grid::{grid, nearest};
pub use self::image::{image, planes};
pub use self::mask::{MaskRule, mask};
use crate::DataError;

/// The longest side that anything is resized to or from, cells.
pub const MAX_SIDE: usize = 1 << 16;

/// Both sizes are `(rows, columns)`.
///
/// # Errors
/// [`DataError::BadArgument`] unless all sides are 1 to [`MAX_SIDE`].
fn check_sizes(from: (usize, usize), to: (usize, usize)) -> Result<(), DataError> {
    let side = 1..=MAX_SIDE;
    if [from.0, from.1, to.0, to.1].iter().all(|s| side.contains(s)) {
        return Ok(());
    }
    let cause =
        format!("from {} x {} to {} x {} cells; sides must be 1 to {MAX_SIDE}", from.0, from.1, to.0, to.1);
    Err(DataError::bad_argument("resize", cause))
}
