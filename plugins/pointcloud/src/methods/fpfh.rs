//! The method `fpfh`: point feature histograms, of organised points pooled to a grid, of a cloud one a point.

use super::grid::GridPlan;
use super::{POINTS, cloud};
use crate::features::{Features, Surroundings};
use crate::fpfh::{Histogram, WIDTH};
use crate::plane::Facing;
use assay_sdk::{
    Content, Error, Host, Info, InputPort, Layout, Method, OutputPort, OutputSpec, Outputs, Result, Sample,
    Spec, params,
};

params! {
    /// Parameters of `fpfh`.
    pub struct FpfhParams {
        /// Longer side of the grid that the points are sampled to by nearest before features are computed; a smaller
        /// scan stays as it is. Time grows with its square. Of organised points alone.
        size: i64 = 224, min = 3.0, max = 2048.0, unit = "px";
        /// Longer side of the output grid; the other keeps the aspect. Of organised points alone.
        cells: i64 = 28, min = 1.0, max = 512.0, unit = "cells";
        /// Nearest points that a surface normal is fitted to.
        normals_nn: i64 = 30, min = 3.0, max = 1000.0, unit = "points";
        /// Nearest points that a histogram is made from, the point itself counted.
        neighbours: i64 = 100, min = 2.0, max = 1000.0, unit = "points";
        /// Neighbours lie nearer than this, those of a normal too; 0 = no bound.
        radius: f64 = 0.25, min = 0.0, max = 1e6, unit = "m";
        /// How pixels without a point count in a cell: `btf` = as zeros, and every cell is valid, as in the paper;
        /// `valid` = not at all, and a cell without points is invalid. Of organised points alone.
        pooling: String = "btf".into(), choices = &["btf", "valid"];
        /// Side of the cubes whose points become one, their centroid, before features are computed; 0 = every point counts.
        /// Evens out how densely a cloud was sampled, and time and memory grow with the points that are left. Of clouds alone.
        voxel: f64 = 0.0, min = 0.0, max = 1e6, unit = "m";
        /// Where normals look: `camera` = towards the origin, for clouds seen from there; `outward` = away from the mean of the
        /// points, for clouds that were put together from several views. Of clouds alone.
        orient: String = "camera".into(), choices = &["camera", "outward"];
    }
}

/// FPFH features of points.
pub struct Fpfh {
    params: FpfhParams,
    host: Host,
    plan: Option<Plan>,
}

/// What the features lie on.
enum Plan {
    Grid(GridPlan),
    Cloud,
}

impl Method for Fpfh {
    type Params = FpfhParams;
    const INFO: Info = Info {
        id: "fpfh",
        name: "Fast point feature histograms",
        summary: "FPFH: how the surface bends around each point. Of organised points pooled to a grid of 33 channels, of a \
                  cloud 33 columns a point.",
        vendor: "Assay",
        version: env!("CARGO_PKG_VERSION"),
        licence: "MIT OR Apache-2.0",
        paper: "Rusu, Blodow and Beetz, Fast Point Feature Histograms for 3D registration (ICRA 2009), as used by \
                Horwitz and Hoshen, Back to the Feature (2022)",
        deviations: "As Open3D and BTF compute them: neighbours weigh 1/distance^2, not 1/distance. One radius serves normals \
                     and histograms (BTF: 0.1 and 0.25 m, neither binds on its scans); a point whose neighbours span no \
                     plane takes the direction that normals are turned to as normal (Open3D: the z axis). The preprocessing \
                     of BTF (plane removal, clustering) is not part of this method.",
        inputs: &[InputPort {
            doc: "Organised points or a cloud, metres; x right, y down, z away from the camera.",
            content: &[Content::Xyz, Content::Points],
            layout: &[Layout::Grid, Layout::Cloud],
            ..POINTS
        }],
        outputs: &[OutputPort {
            name: "features",
            doc: "FPFH, 11 bins each of theta, alpha and phi: [33, h, w], or [n, 33] of the valid points of a cloud, thinned by \
                  `voxel`.",
            content: Content::Features,
            layout: &[Layout::Grid, Layout::Cloud],
        }],
        fitted: false,
        deterministic: true,
    };

    fn create(params: FpfhParams, host: Host) -> Result<Self> {
        Ok(Self { params, host, plan: None })
    }

    fn plan(&mut self, inputs: &[Spec]) -> Result<Vec<OutputSpec>> {
        let spec = inputs.first().ok_or_else(|| Error::input(POINTS.name, "no points are bound"))?;
        let (plan, output) = match spec.layout {
            Layout::Grid => {
                self.params.check_for_grid()?;
                let (plan, output) = GridPlan::new(spec, &self.params)?;
                (Plan::Grid(plan), output)
            }
            Layout::Cloud => {
                self.params.check_for_cloud()?;
                (Plan::Cloud, OutputSpec::cloud(WIDTH))
            }
        };
        self.plan = Some(plan);
        // The own histogram of a point and the mean of its neighbours', each bin up to 100.
        Ok(vec![OutputSpec { range: Some((0.0, 200.0)), ..output }])
    }

    fn score(&self, sample: &Sample<'_>, out: &mut Outputs<'_>) -> Result<()> {
        match &self.plan {
            Some(Plan::Grid(plan)) => plan.score(sample, &self.params, &self.host, out),
            Some(Plan::Cloud) => cloud::score(sample, &self.params, &self.host, out),
            None => Err(Error::state("fpfh was not planned")),
        }
    }
}

impl FpfhParams {
    /// Which points make a normal and a histogram.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings {
            normals: self.normals_nn as usize,
            histograms: self.neighbours as usize,
            radius: if self.radius > 0.0 { self.radius as f32 } else { f32::INFINITY },
        }
    }

    /// The features of points whose normals are turned to `facing`.
    pub(super) fn features(
        &self,
        points: &[[f32; 3]],
        facing: Facing,
        host: &Host,
    ) -> Result<Vec<Histogram>> {
        let found = Features::of(points, None, self.surroundings(), facing, host)
            .map_err(|e| Error::input(POINTS.name, e.to_string()))?;
        Ok(found.histograms)
    }

    /// What was set for clouds means nothing to a grid: refused, so that nobody relies on it.
    fn check_for_grid(&self) -> Result<()> {
        let default = Self::default();
        let set = [("voxel", self.voxel != default.voxel), ("orient", self.orient != default.orient)];
        refuse(
            &set,
            "a cloud of points, and the input is organised points: leave it out, or thin them by `size`",
        )
    }

    /// What was set for grids means nothing to a cloud.
    fn check_for_cloud(&self) -> Result<()> {
        let default = Self::default();
        let set = [
            ("size", self.size != default.size),
            ("cells", self.cells != default.cells),
            ("pooling", self.pooling != default.pooling),
        ];
        refuse(&set, "organised points, and the input is a cloud: leave it out, or thin the cloud by `voxel`")
    }
}

/// An error that names the first parameter that was `set`.
fn refuse(set: &[(&str, bool)], meant_for: &str) -> Result<()> {
    match set.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(Error::parameter(name, format!("is for {meant_for}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{wavy_cloud, wavy_scan};
    use crate::fpfh::fpfh;
    use crate::neighbours::{Neighbours, Search};
    use crate::normals::of_cloud;
    use assay_sdk::ParamValue;
    use assay_sdk::testing::{Runner, TestValue};

    #[test]
    fn what_is_set_for_the_other_kind_of_points_is_refused_by_name() {
        let grid = TestValue::grid(Content::Xyz, [3, 9, 9], wavy_scan(9, 9));
        let cloud = TestValue::cloud(Content::Points, wavy_cloud(30, 1).into_flattened(), 0, Vec::new());
        let text = |value: &str| ParamValue::String(value.into());
        for (input, name, value) in [
            (&grid, "voxel", ParamValue::Float(0.001)),
            (&grid, "orient", text("outward")),
            (&cloud, "size", ParamValue::Int(100)),
            (&cloud, "cells", ParamValue::Int(100)),
            (&cloud, "pooling", text("valid")),
        ] {
            let mut runner = Runner::new::<Fpfh>(&[(name, value)]).unwrap();
            assert_eq!(runner.plan(std::slice::from_ref(input)).unwrap_err().subject, name);
        }
    }

    #[test]
    fn more_normal_points_than_neighbours_give_histograms_of_the_neighbours_alone() {
        let cloud = wavy_cloud(500, 4);
        let host = Host::none();
        let params = FpfhParams { normals_nn: 60, neighbours: 20, ..FpfhParams::default() };
        let wide = Neighbours::search(&cloud, Search::nearest(60), &host).unwrap();
        let normals: Vec<_> =
            of_cloud(&cloud, &wide, 60, Facing::Camera, &host).into_iter().flatten().collect();
        let near = Neighbours::search(&cloud, Search::nearest(20), &host).unwrap();
        assert_eq!(
            params.features(&cloud, Facing::Camera, &host).unwrap(),
            fpfh(&cloud, &normals, &near, &host)
        );
    }

    #[test]
    fn a_binding_radius_leaves_no_point_without_a_normal() {
        let params = FpfhParams { radius: 1e-5, ..FpfhParams::default() };
        let features = params.features(&wavy_cloud(300, 5), Facing::Camera, &Host::none()).unwrap();
        assert!(features.iter().flatten().all(|v| v.is_finite()));
    }
}
