//! Published figures on the categories of MVTec 3D-AD, as the papers computed them: 224 x 224 maps, 100 thresholds.

use serde::Serialize;
use std::collections::BTreeMap;

/// The categories, in the order of every row.
const CATEGORIES: [&str; 10] =
    ["bagel", "cable_gland", "carrot", "cookie", "dowel", "foam", "peach", "potato", "rope", "tire"];

/// Thousandths by category; 0 where nothing was published.
type Row = [u16; 10];

/// A row where cable_gland alone was published.
const fn cable_gland(thousandths: u16) -> Row {
    [0, thousandths, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A method's published figures.
pub(super) struct Method {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// The method, and where the figures are from.
    pub(super) source: &'static str,
    image_auroc: Row,
    au_pro_30: Row,
    pixel_auroc: Row,
}

/// The figures of one category, [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) image_auroc: Option<f64>,
    pub(super) au_pro_30: Option<f64>,
    pub(super) pixel_auroc: Option<f64>,
}

impl Method {
    /// The figures of a category, if any were published.
    pub(super) fn of(&self, category: &str) -> Option<Figures> {
        let at = CATEGORIES.iter().position(|c| *c == category)?;
        let value = |row: &Row| (row[at] > 0).then(|| f64::from(row[at]) / 1000.0);
        let figures = Figures {
            image_auroc: value(&self.image_auroc),
            au_pro_30: value(&self.au_pro_30),
            pixel_auroc: value(&self.pixel_auroc),
        };
        (figures.image_auroc.is_some() || figures.au_pro_30.is_some()).then_some(figures)
    }

    /// The figures of those of `categories` that have some.
    pub(super) fn of_all<'a>(&self, categories: &[&'a str]) -> BTreeMap<&'a str, Figures> {
        categories.iter().filter_map(|c| Some((*c, self.of(c)?))).collect()
    }
}

/// The methods, and the names that choose them.
pub(super) const METHODS: [Method; 14] = [
    Method {
        name: "btf-rgb",
        source: "RGB PatchCore (Horwitz and Hoshen: Back to the Feature, 2022; raw scans)",
        image_auroc: [854, 840, 824, 687, 974, 716, 713, 593, 920, 724],
        au_pro_30: [898, 948, 927, 872, 927, 555, 902, 931, 903, 899],
        pixel_auroc: cable_gland(984),
    },
    Method {
        name: "btf-fpfh",
        source: "FPFH (Horwitz and Hoshen: Back to the Feature, 2022; raw scans)",
        image_auroc: [820, 533, 877, 769, 718, 574, 774, 895, 990, 582],
        au_pro_30: [972, 849, 981, 939, 963, 693, 975, 981, 980, 949],
        pixel_auroc: cable_gland(955),
    },
    Method {
        name: "btf",
        source: "BTF, RGB + FPFH (Horwitz and Hoshen: Back to the Feature, 2022; raw scans)",
        image_auroc: [938, 765, 972, 888, 960, 664, 904, 929, 982, 726],
        au_pro_30: [976, 967, 979, 974, 971, 884, 976, 981, 959, 971],
        pixel_auroc: cable_gland(991),
    },
    Method {
        name: "m3dm-rgb",
        source: "M3DM, RGB alone (Wang et al., CVPR 2023)",
        image_auroc: cable_gland(918),
        au_pro_30: cable_gland(972),
        pixel_auroc: cable_gland(990),
    },
    Method {
        name: "m3dm-3d",
        source: "M3DM, 3D alone (Wang et al., CVPR 2023)",
        image_auroc: [941, 651, 965, 969, 905, 760, 880, 974, 926, 765],
        au_pro_30: cable_gland(818),
        pixel_auroc: cable_gland(949),
    },
    Method {
        name: "m3dm",
        source: "M3DM, RGB + 3D (Wang et al., CVPR 2023)",
        image_auroc: [994, 909, 972, 976, 960, 942, 973, 899, 972, 850],
        au_pro_30: cable_gland(971),
        pixel_auroc: cable_gland(993),
    },
    Method {
        name: "easynet-depth",
        source: "EasyNet, depth alone (Chen et al., ACM MM 2023; checkpoint chosen on the test scans)",
        image_auroc: [735, 678, 747, 864, 719, 716, 713, 725, 885, 687],
        au_pro_30: cable_gland(30),
        pixel_auroc: [0; 10],
    },
    Method {
        name: "easynet",
        source: "EasyNet, RGB + depth (Chen et al., ACM MM 2023; checkpoint chosen on the test scans)",
        image_auroc: [991, 998, 918, 968, 945, 945, 905, 807, 994, 793],
        au_pro_30: [839, 864, 951, 618, 828, 836, 942, 889, 911, 528],
        pixel_auroc: [0; 10],
    },
    Method {
        name: "ast",
        source: "AST (Rudolph et al., WACV 2023)",
        image_auroc: cable_gland(873),
        au_pro_30: cable_gland(947),
        pixel_auroc: [0; 10],
    },
    Method {
        name: "cfm",
        source: "CFM (Costanzino et al., CVPR 2024; AU-PRO and pixel AUROC of the first version)",
        image_auroc: cable_gland(888),
        au_pro_30: cable_gland(966),
        pixel_auroc: cable_gland(992),
    },
    Method {
        name: "3dsr",
        source: "3DSR (as others quote it)",
        image_auroc: cable_gland(867),
        au_pro_30: [0; 10],
        pixel_auroc: [0; 10],
    },
    Method {
        name: "shape-guided",
        source: "Shape-Guided (its paper)",
        image_auroc: cable_gland(894),
        au_pro_30: cable_gland(973),
        pixel_auroc: [0; 10],
    },
    Method {
        name: "g2sf",
        source: "G2SF (its paper)",
        image_auroc: cable_gland(923),
        au_pro_30: cable_gland(977),
        pixel_auroc: [0; 10],
    },
    Method {
        name: "trd",
        source: "TRD, normals + RGB (arXiv 2412.08949)",
        image_auroc: [989, 995, 997, 970, 1000, 988, 996, 983, 1000, 917],
        au_pro_30: cable_gland(980),
        pixel_auroc: cable_gland(996),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(row: &Row) -> f64 {
        row.iter().map(|&v| f64::from(v)).sum::<f64>() / 10_000.0
    }

    #[test]
    fn the_rows_have_their_published_means() {
        let method = |name: &str| METHODS.iter().find(|m| m.name == name).unwrap();
        for (name, image_auroc) in [
            ("btf-rgb", 0.785),
            ("btf-fpfh", 0.753),
            ("btf", 0.873),
            ("m3dm-3d", 0.874),
            ("m3dm", 0.945),
            ("easynet-depth", 0.747),
            ("easynet", 0.926),
            ("trd", 0.984),
        ] {
            assert!((mean(&method(name).image_auroc) - image_auroc).abs() < 1e-3, "{name}");
        }
        for (name, au_pro) in [("btf-rgb", 0.876), ("btf-fpfh", 0.928), ("btf", 0.964), ("easynet", 0.821)] {
            assert!((mean(&method(name).au_pro_30) - au_pro).abs() < 1e-3, "{name}");
        }
    }

    #[test]
    fn what_was_not_published_is_absent() {
        let m3dm = METHODS.iter().find(|m| m.name == "m3dm").unwrap();
        assert_eq!(m3dm.of("bagel").unwrap().au_pro_30, None);
        assert_eq!(m3dm.of("cable_gland").unwrap().au_pro_30, Some(0.971));
        assert_eq!(m3dm.of("moulded_part"), None);
        assert_eq!(METHODS.iter().find(|m| m.name == "ast").unwrap().of("bagel"), None);
    }
}
