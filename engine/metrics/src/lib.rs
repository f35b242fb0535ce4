//! Exact evaluation metrics of anomaly detection.
//!
//! Everywhere in this crate a higher score is more anomalous, a label or mask of `true` means defective,
//! images are row-major and metrics lie in [0, 1]. Scores are ranked by their exact bits (-0 and 0 are
//! equal), equal scores are one threshold, and counts are integers until the last division, so that a metric
//! depends neither on the order in which scans are given nor on the number of threads.
//!
//! - [`auroc`] and [`best_f1`]: scores with labels, one a scan or one a pixel;
//! - [`MapSet`]: anomaly maps with their masks, for pixel AUROC and AU-PRO over a whole category;
//! - [`connected_components`]: the regions of a boolean image;
//! - [`Confusion`]: false-reject and escape rates of verdicts.
//!
//! ```
//! use assay_metrics::MapSet;
//!
//! let mut maps = MapSet::new();
//! maps.add(&[0.1, 0.0, 0.2, 0.1], &[false; 4], 2, 2)?;
//! maps.add(&[0.1, 0.9, 0.3, 0.8], &[false, true, false, true], 2, 2)?;
//! assert_eq!(maps.image_auroc()?, 1.0);
//!
//! let ranked = maps.rank()?;
//! assert_eq!(ranked.pixel_auroc(), 1.0);
//! assert_eq!(ranked.pro_curve()?.au_pro(0.3)?, 1.0);
//! # Ok::<(), assay_metrics::MetricError>(())
//! ```

mod components;
mod confusion;
mod error;
mod f1;
mod maps;
mod order;
mod paper;
mod pro;
mod ranking;
mod roc;

pub use components::{Component, Connectivity, Labelling, connected_components};
pub use confusion::{Confusion, Outcome};
pub use error::MetricError;
pub use f1::{BestF1, best_f1};
pub use maps::{MapSet, RankedMaps};
pub use order::Score;
pub use paper::{PAPER_SIDE, PAPER_THRESHOLDS};
pub use pro::{ProCurve, ProPoint};
pub use roc::auroc;
